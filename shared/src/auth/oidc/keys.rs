//! An issuer's public keys. <https://www.rfc-editor.org/rfc/rfc7517>

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The most keys that are looked at.
const MOST: usize = 64;
/// Modulus of an RSA key, in bytes: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// The longest public exponent of an RSA key, in bytes.
const EXPONENT: usize = 8;
/// A coordinate on P-256, in bytes.
const COORDINATE: usize = 32;

/// Keys that verify RS256 or ES256.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys of a document that can be used; the others are passed over. `None` where it is no document of keys, or
    /// has none that can be used.
    pub(super) fn read(document: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(document).ok()?;
        let usable = |value| PublicKey::read(serde_json::from_value(value).ok()?);
        let keys: Vec<_> = document.keys.into_iter().take(MOST).filter_map(usable).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The key of this id for this algorithm; the only one for the algorithm where the token names none.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(_) => fitting.find(|key| key.id.as_deref() == id).map(|key| &key.key),
            None => fitting.next().filter(|_| fitting.next().is_none()).map(|key| &key.key),
        }
    }
}

impl PublicKey {
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.r#use.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (algorithm, name, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes(jwk.n)?, bytes(jwk.e)?);
                if !MODULUS.contains(&modulus.len()) || exponent.len() > EXPONENT {
                    return None;
                }
                (Algorithm::RS256, "RS256", DecodingKey::from_rsa_raw_components(&modulus, &exponent))
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
                if x.len() != COORDINATE || y.len() != COORDINATE {
                    return None;
                }
                let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
                (Algorithm::ES256, "ES256", DecodingKey::from_ec_der(&uncompressed))
            }
            _ => return None,
        };
        let is_for_it = jwk.alg.is_none_or(|alg| alg == name);
        is_for_it.then_some(Self { id: jwk.kid, algorithm, key })
    }
}

fn bytes(text: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

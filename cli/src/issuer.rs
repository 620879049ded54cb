//! This machine as an identity provider: a key pair in the data directory, and the ID tokens that it signs.
//! <https://openid.net/specs/openid-connect-core-1_0.html#IDToken>

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// Its name. It does not tell where its keys are: a token holds on whatever port `serve` listens.
pub(crate) const NAME: &str = "http://127.0.0.1:3000/local-issuer";
/// For whom its tokens are.
pub(crate) const AUDIENCE: &str = "orrery";
/// The subject that owns this machine's agents.
pub(crate) const OWNER: &str = "owner";

/// A key pair that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("the key of this machine's issuer cannot be made, or used")]
    Key,
    #[error("the key of this machine's issuer cannot be read: remove issuer-key, and another is made")]
    Unreadable,
}

/// What signs.
pub(crate) struct LocalIssuer {
    pair: EcdsaKeyPair,
    id: String,
}

impl LocalIssuer {
    /// A new key pair, as it is kept: PKCS#8 in hex.
    pub(crate) fn generate() -> Result<SecretString, IssuerError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| IssuerError::Key)?;
        let document = pair.to_pkcs8v1().map_err(|_| IssuerError::Key)?;
        Ok(hex::encode(document.as_ref()).into())
    }

    /// A key pair that was kept.
    pub(crate) fn read(kept: &SecretString) -> Result<Self, IssuerError> {
        let document = hex::decode(kept.expose_secret()).map_err(|_| IssuerError::Unreadable)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document)
            .map_err(|_| IssuerError::Unreadable)?;
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, pair.public_key().as_ref()));
        Ok(Self { pair, id })
    }

    /// Its public key, as a set of one. <https://www.rfc-editor.org/rfc/rfc7517#section-5>
    pub(crate) fn key_set(&self) -> Value {
        // An uncompressed point: 4, and 32 bytes of each coordinate.
        let (x, y) = self.pair.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }] })
    }

    /// A token for this subject that holds for so long.
    pub(crate) fn token(&self, subject: &str, now: Timestamp, holds: Duration) -> Result<String, IssuerError> {
        let made = now.as_second();
        let ends = made.saturating_add(i64::try_from(holds.as_secs()).unwrap_or(i64::MAX));
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.id });
        let claims = json!({ "iss": NAME, "aud": AUDIENCE, "sub": subject, "iat": made, "exp": ends });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| IssuerError::Key)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

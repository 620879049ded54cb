//! Sealing: AES-256-GCM, bound to a tenant and to what the text is for, under a key that is named in the result, so that
//! keys can be changed while what the old ones sealed still opens. A key's id is the beginning of its SHA-256.
//!
//! A sealed text is `v1.<key id>.<base64url of nonce and ciphertext>`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use crate::id::TenantId;

/// What can go wrong with sealing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// No key is configured.
    #[error(
        "ORRERY_SEALING_KEYS is not set: it holds keys of 64 hex digits, with commas between them, the newest first"
    )]
    NoKey,
    /// The configured keys cannot be read.
    #[error("ORRERY_SEALING_KEYS holds keys of 64 hex digits, with commas between them, the newest first")]
    BadKeys,
    /// The text was sealed under a key that is not configured any more.
    #[error("the sealing key {0:?} is not configured")]
    UnknownKey(String),
    /// The text was changed, or sealed for somebody or something else.
    #[error("the sealed text does not open")]
    Broken,
}

/// Seals under its first key, opens under any.
pub struct Sealer {
    keys: Vec<(String, LessSafeKey)>,
}

impl Sealer {
    /// Reads the keys, each 64 hex digits, with commas between them: the one that seals first.
    ///
    /// # Errors
    /// Where there is none, or one cannot be read.
    pub fn new(keys: Option<&SecretString>) -> Result<Self, SealError> {
        let keys = keys.ok_or(SealError::NoKey)?;
        let keys = keys.expose_secret().split(',').map(|key| parse(key.trim())).collect::<Option<Vec<_>>>();
        Ok(Self { keys: keys.ok_or(SealError::BadKeys)? })
    }

    /// A fresh key in the form that [`Sealer::new`] reads.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn generate_key() -> Result<SecretString, SealError> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| SealError::NoKey)?;
        Ok(hex::encode(key).into())
    }

    /// Seals a text for a tenant and a purpose (`webhook:wh_…`); it opens only with the same two.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn seal(&self, tenant: &TenantId, purpose: &str, text: &SecretString) -> Result<String, SealError> {
        let (id, key) = self.keys.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::NoKey)?;
        let mut bytes = text.expose_secret().as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound_to(id, tenant, purpose), &mut bytes)
            .map_err(|_| SealError::Broken)?;
        Ok(format!("v1.{id}.{}", URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat())))
    }

    /// Seals anew, under the first key, what [`Sealer::seal`] made; `None` where that is sealed under it.
    ///
    /// # Errors
    /// Where it does not open, or the system gives no randomness.
    pub fn reseal(&self, tenant: &TenantId, purpose: &str, sealed: &str) -> Result<Option<String>, SealError> {
        let text = self.open(tenant, purpose, sealed)?;
        let newest = self.keys.first().map(|(id, _)| format!("v1.{id}."));
        if newest.is_some_and(|newest| sealed.starts_with(&newest)) {
            return Ok(None);
        }
        self.seal(tenant, purpose, &text).map(Some)
    }

    /// Opens what [`Sealer::seal`] made.
    ///
    /// # Errors
    /// Where its key is gone, or it was not sealed for this tenant and purpose.
    pub fn open(&self, tenant: &TenantId, purpose: &str, sealed: &str) -> Result<SecretString, SealError> {
        let (id, packed) = sealed.strip_prefix("v1.").and_then(|rest| rest.split_once('.')).ok_or(SealError::Broken)?;
        let (_, key) =
            self.keys.iter().find(|(known, _)| known == id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|_| SealError::Broken)?;
        let (nonce, bytes) = packed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
        let mut bytes = bytes.to_vec();
        let text = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), bound_to(id, tenant, purpose), &mut bytes)
            .map_err(|_| SealError::Broken)?;
        String::from_utf8(text.to_vec()).map(SecretString::from).map_err(|_| SealError::Broken)
    }
}

fn bound_to(key: &str, tenant: &TenantId, purpose: &str) -> Aad<Vec<u8>> {
    Aad::from([key, tenant.as_str(), purpose].join("\0").into_bytes())
}

fn parse(key: &str) -> Option<(String, LessSafeKey)> {
    let bytes = hex::decode(key).ok()?;
    let id = hex::encode(digest(&SHA256, &bytes).as_ref().get(..4)?);
    Some((id, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &[u8]) -> Sealer {
        let keys: Vec<String> = keys.iter().map(|key| hex::encode([*key; 32])).collect();
        Sealer::new(Some(&keys.join(", ").into())).unwrap()
    }

    #[test]
    fn a_sealed_text_opens_for_the_same_tenant_and_purpose_only() {
        let (sealer, tenant) = (sealer(&[1]), TenantId::generate());
        let sealed = sealer.seal(&tenant, "webhook:a", &"s3cret".into()).unwrap();
        assert!(sealed.starts_with("v1.72cd6e84.") && !sealed.contains("s3cret"));
        assert_eq!(sealer.open(&tenant, "webhook:a", &sealed).unwrap().expose_secret(), "s3cret");
        assert_eq!(sealer.open(&tenant, "webhook:b", &sealed).unwrap_err(), SealError::Broken);
        assert_eq!(sealer.open(&TenantId::generate(), "webhook:a", &sealed).unwrap_err(), SealError::Broken);
    }

    #[test]
    fn an_old_key_still_opens_and_a_missing_one_is_named() {
        let tenant = TenantId::generate();
        let sealed = sealer(&[1]).seal(&tenant, "p", &"x".into()).unwrap();
        assert!(sealer(&[2, 1]).open(&tenant, "p", &sealed).is_ok());
        assert_eq!(sealer(&[2]).open(&tenant, "p", &sealed).unwrap_err(), SealError::UnknownKey("72cd6e84".into()));
    }

    #[test]
    fn what_an_old_key_sealed_is_sealed_anew_once() {
        let tenant = TenantId::generate();
        let old = sealer(&[1]).seal(&tenant, "p", &"x".into()).unwrap();
        let both = sealer(&[2, 1]);
        let new = both.reseal(&tenant, "p", &old).unwrap().unwrap();
        assert_eq!(sealer(&[2]).open(&tenant, "p", &new).unwrap().expose_secret(), "x");
        assert_eq!(both.reseal(&tenant, "p", &new).unwrap(), None);
        assert!(both.reseal(&tenant, "q", &old).is_err());
    }

    #[test]
    fn a_changed_byte_does_not_open() {
        let (sealer, tenant) = (sealer(&[1]), TenantId::generate());
        let sealed = sealer.seal(&tenant, "p", &"a longer text".into()).unwrap();
        for (index, byte) in sealed.bytes().enumerate().skip(5) {
            let other = if byte == b'A' { 'B' } else { 'A' };
            let mut changed = sealed.clone();
            changed.replace_range(index..=index, &other.to_string());
            assert!(sealer.open(&tenant, "p", &changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        assert_eq!(Sealer::new(None).err(), Some(SealError::NoKey));
        for keys in ["", "00", "k1:00", &"0".repeat(62), &format!("{},", "0".repeat(64))] {
            assert_eq!(Sealer::new(Some(&keys.into())).err(), Some(SealError::BadKeys), "{keys:?}");
        }
        assert!(Sealer::new(Some(&Sealer::generate_key().unwrap())).is_ok());
    }
}

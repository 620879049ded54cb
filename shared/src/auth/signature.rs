//! HMAC-SHA256 signatures over raw bytes, in lower-case hex, as `openssl dgst -sha256 -hmac` prints them.

use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use secrecy::{ExposeSecret, SecretString};

/// A signature that does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// None came.
    #[error("the signature is missing")]
    Missing,
    /// It is not one, or not one of these bytes under this secret.
    #[error("the signature is wrong")]
    Wrong,
}

/// The signature of these bytes.
#[must_use]
pub fn sign(secret: &SecretString, bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::hmac::sign(&key(secret), bytes))
}

/// Checks a signature in constant time. A `sha256=` before it is allowed.
///
/// # Errors
/// Where it is missing or wrong.
pub fn verify(secret: &SecretString, bytes: &[u8], signature: Option<&[u8]>) -> Result<(), SignatureError> {
    let signature = signature.ok_or(SignatureError::Missing)?;
    let signature = signature.strip_prefix(b"sha256=").unwrap_or(signature);
    let signature = hex::decode(signature).map_err(|_| SignatureError::Wrong)?;
    aws_lc_rs::hmac::verify(&key(secret), bytes, &signature).map_err(|_| SignatureError::Wrong)
}

fn key(secret: &SecretString) -> Key {
    Key::new(HMAC_SHA256, secret.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"message":"Hello"}"#;

    #[test]
    fn the_published_vector_holds() {
        // RFC 4231, test case 2.
        let signature = sign(&"Jefe".into(), b"what do ya want for nothing?");
        assert_eq!(signature, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_secret_only() {
        let secret = "your_webhook_secret".into();
        let good = sign(&secret, BODY);
        assert!(good.starts_with("8d152790") && good.ends_with("8583"), "{good}");
        let prefixed = format!("sha256={good}");
        assert_eq!(verify(&secret, BODY, Some(good.as_bytes())), Ok(()));
        assert_eq!(verify(&secret, BODY, Some(prefixed.as_bytes())), Ok(()));
        assert_eq!(verify(&"other".into(), BODY, Some(good.as_bytes())), Err(SignatureError::Wrong));
        assert_eq!(verify(&secret, b"{}", Some(good.as_bytes())), Err(SignatureError::Wrong));
        assert_eq!(verify(&secret, BODY, None), Err(SignatureError::Missing));
        for wrong in ["", "zz", &good[..62], "é".repeat(32).as_str()] {
            assert_eq!(verify(&secret, BODY, Some(wrong.as_bytes())), Err(SignatureError::Wrong), "{wrong:?}");
        }
    }
}

//! Slack's signature over the raw bytes of a request.
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>

use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use secrecy::{ExposeSecret, SecretString};

/// How far a request's time may be from ours: an older one may be somebody's recording.
pub const WINDOW: Duration = Duration::from_secs(300);

/// A request that Slack did not sign, or not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing.
    #[error("the request is not signed")]
    Missing,
    /// Its time is not a time, or too far from ours.
    #[error("the request's time is not now")]
    Stale,
    /// The signature is none of these bytes under this secret.
    #[error("the signature is wrong")]
    Wrong,
}

/// The signature of a body that is sent at this time, in seconds since the Unix epoch.
#[must_use]
pub fn signature(secret: &SecretString, timestamp: &str, body: &[u8]) -> String {
    format!("v0={}", hex::encode(sign(&key(secret), &signed(timestamp, body))))
}

/// Checks the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature`, the signature in constant time.
///
/// # Errors
/// Where one is missing or wrong.
pub fn check(
    secret: &SecretString,
    timestamp: Option<&[u8]>,
    signature: Option<&[u8]>,
    body: &[u8],
    now_ms: i64,
) -> Result<(), SignatureError> {
    let (timestamp, signature) = timestamp.zip(signature).ok_or(SignatureError::Missing)?;
    let timestamp = std::str::from_utf8(timestamp).map_err(|_| SignatureError::Stale)?;
    let sent: i64 = timestamp.parse().map_err(|_| SignatureError::Stale)?;
    if (now_ms / 1000).abs_diff(sent) > WINDOW.as_secs() {
        return Err(SignatureError::Stale);
    }
    let given = signature.strip_prefix(b"v0=").ok_or(SignatureError::Wrong)?;
    let given = hex::decode(given).map_err(|_| SignatureError::Wrong)?;
    verify(&key(secret), &signed(timestamp, body), &given).map_err(|_| SignatureError::Wrong)
}

/// What the signature is made of.
fn signed(timestamp: &str, body: &[u8]) -> Vec<u8> {
    [b"v0:", timestamp.as_bytes(), b":", body].concat()
}

fn key(secret: &SecretString) -> Key {
    Key::new(HMAC_SHA256, secret.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Slack's own guide.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIME: &str = "1531420618";
    const NOW: i64 = 1_531_420_618_000;
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn checked(time: &[u8], given: &[u8], body: &[u8], now: i64) -> Result<(), SignatureError> {
        check(&SECRET.into(), Some(time), Some(given), body, now)
    }

    #[test]
    fn the_published_example_holds() {
        assert_eq!(signature(&SECRET.into(), TIME, BODY), SIGNATURE);
        assert_eq!(checked(TIME.as_bytes(), SIGNATURE.as_bytes(), BODY, NOW), Ok(()));
    }

    #[test]
    fn other_bytes_another_secret_and_another_time_do_not() {
        let wrong = Err(SignatureError::Wrong);
        let mut changed = BODY.to_vec();
        changed.push(b' ');
        assert_eq!(checked(TIME.as_bytes(), SIGNATURE.as_bytes(), &changed, NOW), wrong);
        assert_eq!(checked(b"1531420619", SIGNATURE.as_bytes(), BODY, NOW), wrong);
        let other = signature(&"other".into(), TIME, BODY);
        assert_eq!(checked(TIME.as_bytes(), other.as_bytes(), BODY, NOW), wrong);
        for given in ["", "v0=", "v1=a2", &SIGNATURE[3..], &SIGNATURE[..66], "v0=é"] {
            assert_eq!(checked(TIME.as_bytes(), given.as_bytes(), BODY, NOW), wrong, "{given:?}");
        }
        assert_eq!(checked(TIME.as_bytes(), b"v0=\xff\xfe", BODY, NOW), wrong, "bytes that are no text");
    }

    #[test]
    fn a_recording_does_not() {
        for (shift, expected) in [
            (300_999, Ok(())),
            (301_000, Err(SignatureError::Stale)),
            (-300_000, Ok(())),
            (-301_000, Err(SignatureError::Stale)),
        ] {
            assert_eq!(checked(TIME.as_bytes(), SIGNATURE.as_bytes(), BODY, NOW + shift), expected, "{shift}");
        }
        for time in [&b""[..], b"soon", b"15314206180000000000000", b"\xff", b"-9223372036854775808"] {
            assert_eq!(checked(time, SIGNATURE.as_bytes(), BODY, NOW), Err(SignatureError::Stale));
        }
        let secret = SECRET.into();
        assert_eq!(check(&secret, None, Some(b"v0="), BODY, NOW), Err(SignatureError::Missing));
        assert_eq!(check(&secret, Some(b"1"), None, BODY, NOW), Err(SignatureError::Missing));
    }
}

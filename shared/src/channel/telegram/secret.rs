//! What Telegram sends along with each update of a bot: the bot's id, so that its connection is found by one read, and 32
//! random bytes. <https://core.telegram.org/bots/api#setwebhook>

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A webhook's secret, of `A-Z`, `a-z`, `0-9`, `_` and `-`.
pub struct WebhookSecret(String);

impl WebhookSecret {
    /// A fresh one for a bot; `None` where the system gives no randomness.
    #[must_use]
    pub fn generate(bot: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(format!("{bot}_{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// As Telegram is told it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it: its SHA-256 in hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(self.0.as_bytes())
    }

    /// The bot that a header claims to be for.
    #[must_use]
    pub fn bot_of(header: &[u8]) -> Option<&str> {
        let (bot, _) = std::str::from_utf8(header).ok()?.split_once('_')?;
        let is_id = (1..=20).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
        is_id.then_some(bot)
    }

    /// Whether a header holds the secret of this hash. It takes as long for any header of the same length.
    #[must_use]
    pub fn holds(header: &[u8], kept: &str) -> bool {
        verify_slices_are_equal(hash(header).as_bytes(), kept.as_bytes()).is_ok()
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_bot_and_holds_for_its_hash_alone() {
        let (one, other) =
            (WebhookSecret::generate("110201543").unwrap(), WebhookSecret::generate("110201543").unwrap());
        let header = one.reveal().as_bytes();
        assert_eq!(WebhookSecret::bot_of(header), Some("110201543"));
        assert!(header.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte)) && header.len() <= 256);
        assert!(WebhookSecret::holds(header, &one.hash()) && !WebhookSecret::holds(header, &other.hash()));
        assert!(!WebhookSecret::holds(b"", &one.hash()) && !WebhookSecret::holds(header, ""));
    }

    #[test]
    fn what_names_no_bot_is_no_secret() {
        for header in [&b""[..], b"_x", b"110201543", b"1x_y", b"\xff_", b"123456789012345678901_x"] {
            assert_eq!(WebhookSecret::bot_of(header), None, "{header:?}");
        }
    }
}

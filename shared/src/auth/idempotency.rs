//! Requests that may be retried: an `Idempotency-Key` names one.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A request that may be retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Names the request: its endpoint, its agent or key, and its idempotency key.
    pub hash: String,
    /// The SHA-256 of its body, in hex.
    pub body_hash: String,
}

impl Idempotency {
    /// The request with this idempotency key and body; `scope` is what the key is unique within.
    #[must_use]
    pub fn new(scope: &[&str], key: &str, body: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        for part in scope.iter().chain([&key]) {
            hash.update(&u64::try_from(part.len()).unwrap_or_default().to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self { hash: hex::encode(hash.finish()), body_hash: hex::encode(digest(&SHA256, body)) }
    }
}

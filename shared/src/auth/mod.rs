//! Who calls, and what they may do.

mod check;
mod idempotency;
mod key;
mod keyring;
mod signature;

pub use check::{AuthError, Caller, Check, Endpoint, Gatekeeper};
pub use idempotency::Idempotency;
pub use key::{KeyHash, Kind, PlainKey, Presented, Scope, UnknownName};
pub use keyring::{Keyring, KeyringError, NewKey};
pub use signature::{SignatureError, sign, verify};

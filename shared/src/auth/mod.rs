//! Who calls, and what they may do.

mod app;
mod check;
mod idempotency;
mod key;
mod keyring;
mod oidc;
mod signature;
pub mod user;

pub use app::{AppCaller, AppCheck};
pub use check::{AuthError, Caller, Check, Endpoint, Gatekeeper, Pass, Vouched};
pub use idempotency::Idempotency;
pub use key::{KeyHash, Kind, PlainKey, Presented, Scope, UnknownName, bearer};
pub use keyring::{Keyring, KeyringError, NewKey};
pub use oidc::TokenError;
pub use signature::{SignatureError, sign, verify};
pub use user::{User, UserError, Users};

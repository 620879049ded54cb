//! Secrets: by name from Secrets Manager or the environment, and the sealing of what tenants entrust to us.

mod manager;
mod seal;
mod source;

pub use manager::ManagedSecret;
pub use seal::{SealError, Sealer};
pub use source::{SEALING_KEYS, SecretError, Secrets};

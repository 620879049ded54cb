//! Secrets: by name from Secrets Manager or the environment, and the sealing of what tenants entrust to us.

mod seal;
mod source;

pub use seal::{SealError, Sealer};
pub use source::{SecretError, Secrets};

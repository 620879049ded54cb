//! Where the providers' API keys come from.

use async_trait::async_trait;
use secrecy::SecretString;

/// Gives out the providers' API keys by the names of their variables, such as `ANTHROPIC_API_KEY`.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The key of that name, or nothing where none is set.
    ///
    /// # Errors
    /// Where it cannot be told whether there is one.
    async fn key(&self, name: &str) -> Result<Option<SecretString>, KeyError>;
}

/// A key source that did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the key cannot be read")]
pub struct KeyError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl KeyError {
    /// For that reason.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// No keys at all: enough for the `demo` models and for services that ask for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

#[async_trait]
impl KeySource for NoKeys {
    async fn key(&self, _name: &str) -> Result<Option<SecretString>, KeyError> {
        Ok(None)
    }
}

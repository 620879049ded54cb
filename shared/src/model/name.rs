//! Model names: `provider/model`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A model of a provider, written `provider/model`. The model's part may have slashes of its own
/// (`openrouter/meta-llama/llama-4`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName {
    provider: String,
    model: String,
}

/// A model's name that is not one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a model is written provider/model, for example anthropic/claude-sonnet-4-5 or demo/echo; got {0:?}")]
pub struct ModelNameError(String);

impl ModelName {
    /// The provider: lower-case letters, digits and hyphens.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The provider's own name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl FromStr for ModelName {
    type Err = ModelNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error = || ModelNameError(name.chars().take(100).collect());
        let (provider, model) = name.split_once('/').ok_or_else(error)?;
        let provider_ok = (1..=32).contains(&provider.len())
            && provider.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let model_ok = (1..=200).contains(&model.len()) && model.bytes().all(|byte| byte.is_ascii_graphic());
        if provider_ok && model_ok {
            Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = ModelNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_first_slash() {
        let name: ModelName = "openrouter/meta-llama/llama-4".parse().unwrap();
        assert_eq!((name.provider(), name.model()), ("openrouter", "meta-llama/llama-4"));
        assert_eq!(name.to_string(), "openrouter/meta-llama/llama-4");
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for name in ["", "claude", "/x", "x/", "An/x", "a b/x", "a/x y", "a/x\n"] {
            assert!(name.parse::<ModelName>().is_err(), "{name:?}");
        }
    }
}

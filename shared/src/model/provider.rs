//! The providers that are known by name, and how one is spoken to.

use std::collections::BTreeMap;

use url::Url;

use super::{ErrorKind, ModelError};

/// The protocol of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Anthropic's Messages API.
    Anthropic,
    /// OpenAI's Chat Completions API, and what is compatible with it.
    OpenAi,
}

/// Whether a call without a key is worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyNeed {
    Required,
    Optional,
}

/// Where and how a provider is reached.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) protocol: Protocol,
    pub(super) base_url: Url,
    /// The name of its key, as in [`super::KeySource::key`].
    pub(super) key_name: String,
    pub(super) key_need: KeyNeed,
}

/// Name and base URL of the services that have one of their own. All but the first speak OpenAI's protocol.
const PUBLIC: [(&str, &str); 9] = [
    ("anthropic", "https://api.anthropic.com"),
    ("openai", "https://api.openai.com/v1"),
    ("deepseek", "https://api.deepseek.com/v1"),
    ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai"),
    ("groq", "https://api.groq.com/openai/v1"),
    ("mistral", "https://api.mistral.ai/v1"),
    ("ollama", OLLAMA),
    ("openrouter", "https://openrouter.ai/api/v1"),
    ("together", "https://api.together.xyz/v1"),
];

const OLLAMA: &str = "http://127.0.0.1:11434/v1";

impl Provider {
    /// The provider of that name. One that is not known speaks OpenAI's protocol at its configured base URL: so do
    /// `vllm` and `bedrock` (`https://bedrock-runtime.REGION.amazonaws.com/openai/v1`).
    ///
    /// A key is required only where a public service is called at its own address; a configured base URL may need none.
    pub(super) fn find(name: &str, base_urls: &BTreeMap<String, Url>) -> Result<Self, ModelError> {
        let unknown = |detail: &str| ModelError::new(ErrorKind::UnknownModel).with_detail(detail);
        let public = PUBLIC.iter().find(|(public, _)| *public == name).map(|(_, base_url)| *base_url);
        let (base_url, key_need) = match (base_urls.get(name), public) {
            (Some(url), _) => (url.clone(), KeyNeed::Optional),
            (None, Some(url)) => {
                let need = if url == OLLAMA { KeyNeed::Optional } else { KeyNeed::Required };
                (Url::parse(url).map_err(|error| unknown("a base URL").with_source(error))?, need)
            }
            (None, None) => return Err(unknown(&format!("there is no base URL for the provider {name}"))),
        };
        let protocol = if name == "anthropic" { Protocol::Anthropic } else { Protocol::OpenAi };
        let key_name = format!("{}_API_KEY", name.to_ascii_uppercase().replace('-', "_"));
        Ok(Self { protocol, base_url, key_name, key_need })
    }

    /// The address below the base URL, whose path is kept as a prefix and whose query is kept too. A `v1` that ends the
    /// prefix is not repeated.
    pub(super) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        let prefix = url.path().trim_end_matches('/');
        let path = if prefix.ends_with("/v1") { path.strip_prefix("/v1").unwrap_or(path) } else { path };
        let whole = format!("{prefix}{path}");
        url.set_path(&whole);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_urls(name: &str, url: &str) -> BTreeMap<String, Url> {
        BTreeMap::from([(name.to_owned(), url.parse().unwrap())])
    }

    #[test]
    fn every_public_provider_has_an_address_and_a_key() {
        for (name, _) in PUBLIC {
            let provider = Provider::find(name, &BTreeMap::new()).unwrap();
            assert_eq!(provider.key_need == KeyNeed::Optional, name == "ollama", "{name}");
            assert_eq!(provider.protocol == Protocol::Anthropic, name == "anthropic", "{name}");
        }
        assert_eq!(Provider::find("openrouter", &BTreeMap::new()).unwrap().key_name, "OPENROUTER_API_KEY");
    }

    #[test]
    fn an_unknown_provider_needs_a_base_url_and_no_key() {
        let provider = Provider::find("my-own", &base_urls("my-own", "http://127.0.0.1:9/x")).unwrap();
        assert_eq!((provider.key_name.as_str(), provider.key_need), ("MY_OWN_API_KEY", KeyNeed::Optional));
        assert_eq!(Provider::find("vllm", &BTreeMap::new()).unwrap_err().kind, ErrorKind::UnknownModel);
    }

    #[test]
    fn an_endpoint_keeps_prefix_and_query_and_does_not_repeat_the_version() {
        let cases = [
            ("https://a.example", "https://a.example/v1/messages"),
            ("https://a.example/", "https://a.example/v1/messages"),
            ("https://a.example/v1", "https://a.example/v1/messages"),
            ("https://a.example/proxy/v1/", "https://a.example/proxy/v1/messages"),
            ("https://a.example/proxy?team=x", "https://a.example/proxy/v1/messages?team=x"),
        ];
        for (base_url, expected) in cases {
            let provider = Provider::find("anthropic", &base_urls("anthropic", base_url)).unwrap();
            assert_eq!(provider.endpoint("/v1/messages").as_str(), expected, "{base_url}");
        }
    }
}

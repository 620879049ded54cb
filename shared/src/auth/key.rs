//! Keys: the text that a caller has, and the hash that we keep.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// What every key of the kopern dialect starts with.
const PREFIX: &str = "kpn_";
/// What every key of the app dialect starts with.
const APP_PREFIX: &str = "sk-app-";
/// How many characters of a key may be shown behind its prefix.
const SHOWN: usize = 4;
/// How many characters of base64 follow an app key's prefix.
const APP_RANDOM: usize = 43;
/// The longest text that is looked up as a key.
const LONGEST: usize = 200;

/// A key as its owner has it. It is shown once, when it is made, and never stored.
pub struct PlainKey(SecretString);

/// The SHA-256 of a key, in hex: what is stored, and looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(String);

impl PlainKey {
    /// A new key: the prefix and 32 random bytes in hex. `None` where the system gives no randomness.
    #[must_use]
    pub fn generate() -> Option<Self> {
        Some(Self(format!("{PREFIX}{}", hex::encode(random()?)).into()))
    }

    /// A new key of an app: the prefix and 32 random bytes in base64. `None` where the system gives no randomness.
    #[must_use]
    pub fn generate_for_app() -> Option<Self> {
        Some(Self(format!("{APP_PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?)).into()))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.expose_secret())
    }

    /// The characters by which a person tells keys apart.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = self.0.expose_secret();
        let prefix = if text.starts_with(APP_PREFIX) { APP_PREFIX } else { PREFIX };
        text.chars().take(prefix.len() + SHOWN).collect()
    }

    /// The key itself, to be handed to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

impl KeyHash {
    fn of(text: &str) -> Self {
        Self(hex::encode(digest(&SHA256, text.as_bytes())))
    }

    /// In hex.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key that came with a request, if it could be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented(Option<KeyHash>);

impl Presented {
    /// Chooses between the `Authorization` header and the `key` of the query: the first that could be a key. (OpenAI's
    /// SDKs always send a bearer of some kind, so that one which is no key of ours does not hide the query's.)
    #[must_use]
    pub fn from_request(authorization: Option<&str>, query: Option<&str>) -> Self {
        let bearer = authorization.and_then(bearer).map(str::to_owned);
        let from_query = query.and_then(|query| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == "key")
                .map(|(_, value)| value.into_owned())
        });
        let could_be_one = |text: &String| text.starts_with(PREFIX) && text.len() <= LONGEST;
        Self([bearer, from_query].into_iter().flatten().find(could_be_one).map(|text| KeyHash::of(&text)))
    }

    /// The key of an app, which comes as a bearer and in no other way.
    #[must_use]
    pub fn for_app(authorization: Option<&str>) -> Self {
        let is_one = |text: &&str| {
            text.strip_prefix(APP_PREFIX).is_some_and(|rest| {
                rest.len() == APP_RANDOM
                    && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            })
        };
        Self(authorization.and_then(bearer).filter(is_one).map(KeyHash::of))
    }

    /// The hash to look up; `None` where no key came.
    #[must_use]
    pub const fn hash(&self) -> Option<&KeyHash> {
        self.0.as_ref()
    }
}

/// The token of an `Authorization` header's value, if it is a bearer.
#[must_use]
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kept secret, on a server.
    Server,
    /// Public, in the source of a page: it works on widget routes and nowhere else.
    Widget,
    /// Kept secret, on a server of an app's owner: the app dialect, and nothing else.
    App,
}

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The OpenAI-compatible endpoints.
    Chat,
    /// The inbound webhook.
    Webhook,
    /// The MCP server.
    Mcp,
    /// The widget's endpoints.
    Widget,
    /// The app dialect.
    App,
}

impl Scope {
    /// As it is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Webhook => "webhook",
            Self::Mcp => "mcp",
            Self::Widget => "widget",
            Self::App => "app",
        }
    }
}

impl Kind {
    /// What a key of this kind may be used on.
    #[must_use]
    pub const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Server => &[Scope::Chat, Scope::Webhook, Scope::Mcp],
            Self::Widget => &[Scope::Widget],
            Self::App => &[Scope::App],
        }
    }

    /// As it is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Widget => "widget",
            Self::App => "app",
        }
    }
}

/// A name that stands for nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {expected}, not {found:?}")]
pub struct UnknownName {
    expected: &'static str,
    found: String,
}

impl FromStr for Scope {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = [Self::Chat, Self::Webhook, Self::Mcp, Self::Widget, Self::App];
        all.into_iter()
            .find(|scope| scope.name() == name)
            .ok_or_else(|| UnknownName { expected: "chat, webhook, mcp, widget or app", found: name.to_owned() })
    }
}

impl FromStr for Kind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "server" => Ok(Self::Server),
            "widget" => Ok(Self::Widget),
            "app" => Ok(Self::App),
            _ => Err(UnknownName { expected: "server, widget or app", found: name.to_owned() }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_prefix_and_32_random_bytes_and_its_hash_is_sha256() {
        let key = PlainKey::generate().unwrap();
        assert_eq!(key.reveal().len(), 4 + 64);
        assert_eq!(key.shown(), &key.reveal()[..8]);
        assert_eq!(
            KeyHash::of("abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "the vector of FIPS 180-4"
        );
    }

    #[test]
    fn an_apps_key_is_32_random_bytes_in_base64_and_comes_as_a_bearer_alone() {
        let key = PlainKey::generate_for_app().unwrap();
        assert_eq!(key.reveal().len(), 7 + 43);
        assert_eq!(key.shown(), &key.reveal()[..11]);
        let bearer = format!("Bearer {}", key.reveal());
        assert_eq!(Presented::for_app(Some(&bearer)).hash(), Some(&key.hash()));
        let long = format!("{bearer}x");
        let other = format!("Bearer {}", PlainKey::generate().unwrap().reveal());
        for wrong in [None, Some(key.reveal()), Some(&*long), Some(&*other), Some("Bearer sk-app-xxxxxxxxxxxxx")] {
            assert_eq!(Presented::for_app(wrong), Presented(None), "{wrong:?}");
        }
        assert_eq!(Presented::from_request(Some(&bearer), Some(&format!("key={}", key.reveal()))), Presented(None));
    }

    #[test]
    fn the_first_text_that_could_be_a_key_is_the_key() {
        let hash = |text| Presented(Some(KeyHash::of(text)));
        let none = Presented(None);
        for (authorization, query, expected) in [
            (Some("Bearer kpn_a"), None, hash("kpn_a")),
            (Some("bearer  kpn_a "), None, hash("kpn_a")),
            (None, Some("x=1&key=kpn_b"), hash("kpn_b")),
            (Some("Bearer kpn_a"), Some("key=kpn_b"), hash("kpn_a")),
            (Some("Bearer sk-other"), Some("key=kpn_b"), hash("kpn_b")),
            (Some("Bearer sk-other"), None, none.clone()),
            (Some("Basic kpn_a"), None, none.clone()),
            (Some("kpn_a"), None, none.clone()),
            (None, Some("key="), none.clone()),
            (None, None, none),
        ] {
            assert_eq!(Presented::from_request(authorization, query), expected, "{authorization:?} {query:?}");
        }
        let long = format!("Bearer kpn_{}", "x".repeat(300));
        assert_eq!(Presented::from_request(Some(&long), None), Presented(None));
    }
}

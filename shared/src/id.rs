//! Identifiers: a prefix that names the kind, and a UUIDv7 in Crockford's base32, so that ids sort by their time of birth.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Crockford's alphabet, lower case: no i, l, o, u. <https://www.crockford.com/base32.html>
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters that hold 128 bits, the most significant first.
fn base32(bits: u128) -> String {
    (0..26).rev().map(|place| char::from(ALPHABET[(bits >> (place * 5)) as usize & 31])).collect()
}

/// A new id with this prefix, for example `ag_01jq3v…`.
fn generate(prefix: &str) -> String {
    format!("{prefix}{}", base32(uuid::Uuid::now_v7().as_u128()))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What every generated id of this kind starts with.
            pub const PREFIX: &str = $prefix;

            /// A new id, unique and later than those before it.
            #[must_use]
            pub fn generate() -> Self {
                Self(generate($prefix))
            }

            /// The id as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// Who pays and who owns: everything belongs to one tenant.
    TenantId = "ten_";
    /// An agent.
    AgentId = "ag_";
    /// Agents that work together; the app dialect's app, which names it by [`ProjectId::as_app`].
    ProjectId = "proj_";
    /// A key, named without telling it.
    KeyId = "key_";
    /// What a key opens, through all its rotations: the name stays when the key does not.
    ConnectorId = "con_";
    /// A conversation. Callers may choose their own where the dialect lets them.
    SessionId = "sess_";
    /// A webhook: a sender that signs, or a receiver of events.
    WebhookId = "wh_";
    /// Something that receivers are told of; the same for all of them and over all attempts.
    EventId = "evt_";
    /// One turn, as it is traced and metered.
    TraceId = "trace_";
    /// A message in a queue of the table, or one time that it was handed out.
    MessageId = "msg_";
    /// One request, as the logs and `X-Request-Id` tell it.
    RequestId = "req_";
    /// An answer in OpenAI's shape.
    CompletionId = "chatcmpl-";
}

/// What an app's id starts with: that of its project, with another prefix.
const APP_PREFIX: &str = "app_";

impl ProjectId {
    /// The project as the app dialect names it: `app_…`.
    #[must_use]
    pub fn as_app(&self) -> String {
        format!("{APP_PREFIX}{}", self.0.strip_prefix(Self::PREFIX).unwrap_or(&self.0))
    }

    /// The project of an app's id, if it is one.
    #[must_use]
    pub fn of_app(app: &str) -> Option<Self> {
        app.strip_prefix(APP_PREFIX).map(|rest| Self(format!("{}{rest}", Self::PREFIX)))
    }
}

/// What keys open, and conversations and receivers belong to: an agent, or an app. Both ids tell which by their prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Home {
    /// An agent.
    Agent(AgentId),
    /// An app.
    App(ProjectId),
}

impl Home {
    /// Its id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Agent(agent) => agent.as_str(),
            Self::App(project) => project.as_str(),
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for Home {
    fn from(id: String) -> Self {
        if id.starts_with(ProjectId::PREFIX) { Self::App(id.into()) } else { Self::Agent(id.into()) }
    }
}

impl From<Home> for String {
    fn from(home: Home) -> Self {
        home.as_str().to_owned()
    }
}

impl From<&AgentId> for Home {
    fn from(agent: &AgentId) -> Self {
        Self::Agent(agent.clone())
    }
}

impl From<&ProjectId> for Home {
    fn from(project: &ProjectId) -> Self {
        Self::App(project.clone())
    }
}

impl From<&Self> for Home {
    fn from(home: &Self) -> Self {
        home.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_crockfords_with_the_most_significant_digit_first() {
        assert_eq!(base32(0), "0".repeat(26));
        assert_eq!(base32(31), format!("{}z", "0".repeat(25)));
        assert_eq!(base32(32), format!("{}10", "0".repeat(24)));
        assert_eq!(base32(u128::MAX), format!("7{}", "z".repeat(25)));
    }

    #[test]
    fn ids_are_unique_and_sort_by_birth() {
        let ids: Vec<AgentId> = (0..1000).map(|_| AgentId::generate()).collect();
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(ids[0].as_str().starts_with("ag_") && ids[0].as_str().len() == 29);
    }

    #[test]
    fn an_app_is_its_project_under_another_prefix() {
        let project = ProjectId::generate();
        assert!(project.as_app().starts_with("app_"));
        assert_eq!(ProjectId::of_app(&project.as_app()), Some(project.clone()));
        assert_eq!(ProjectId::of_app(project.as_str()), None);
        assert_eq!(Home::from(project.to_string()), Home::App(project));
        assert_eq!(Home::from("ag_1".to_owned()), Home::Agent("ag_1".into()));
    }
}

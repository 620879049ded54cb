//! Why a command failed, and with which exit code.

use crate::documents::DocumentsError;
use crate::place::PlaceError;
use crate::serve::ServeError;
use crate::when::ExpiryError;

/// A failure, in words for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    #[error(transparent)]
    Expiry(#[from] ExpiryError),
    #[error("{}", no_agent(named, known))]
    NoAgent { named: String, known: Vec<String> },
    #[error("{file}: there is no agent {agent:?}, in no document here and not in the table")]
    NoMember { file: String, agent: String },
    #[error("{}", no_project(named, known))]
    NoProject { named: String, known: Vec<String> },
    #[error("there is no key {0:?}; `orrery key list` tells their ids")]
    NoKey(String),
    #[error("there is no webhook {0:?}; `orrery webhook list` tells their ids")]
    NoWebhook(String),
    #[error("{0} was changed by another at the same moment; apply it again")]
    Overtaken(String),
    #[error("the document cannot be written as JSON")]
    Document(#[source] serde_json::Error),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("the table cannot be used")]
    Store(#[from] shared::store::StoreError),
    #[error("what is sealed as {0} does not open: connect it anew, or delete it")]
    Sealed(String, #[source] shared::secret::SealError),
    #[error("the sealing keys in {0} cannot be read or written")]
    SealingKeys(String, #[source] std::io::Error),
    #[error(transparent)]
    Secret(#[from] shared::secret::SecretError),
    #[error("the queue cannot be used")]
    Queue(#[from] shared::queue::QueueError),
    #[error(transparent)]
    Key(#[from] shared::auth::KeyringError),
    #[error(transparent)]
    Plan(#[from] shared::limit::UnknownPlan),
    #[error(transparent)]
    Seal(#[from] shared::secret::SealError),
    #[error(transparent)]
    Config(#[from] shared::config::ConfigError),
    #[error("{wrong} of {all} checks found something wrong")]
    Unwell { wrong: usize, all: usize },
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl CommandError {
    /// 2 where the command or a document is wrong, 1 where something failed.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Documents(_)
            | Self::NoMember { .. }
            | Self::Expiry(_)
            | Self::Config(_)
            | Self::Plan(_) => 2,
            Self::NoAgent { .. }
            | Self::NoProject { .. }
            | Self::NoKey(_)
            | Self::NoWebhook(_)
            | Self::Overtaken(_)
            | Self::Document(_)
            | Self::Place(_)
            | Self::Store(_)
            | Self::Queue(_)
            | Self::Sealed(..)
            | Self::SealingKeys(..)
            | Self::Secret(_)
            | Self::Key(_)
            | Self::Seal(_)
            | Self::Unwell { .. }
            | Self::Serve(_) => 1,
        }
    }
}

fn no_project(named: &str, known: &[String]) -> String {
    let named: String = named.chars().take(80).collect();
    match known {
        [] => format!("there is no project {named:?}, nor any other: store one with `orrery apply DIR`"),
        known => format!("there is no project {named:?}; there are {}", known.join(", ")),
    }
}

fn no_agent(named: &str, known: &[String]) -> String {
    let named: String = named.chars().take(80).collect();
    match known {
        [] => format!("there is no agent {named:?}, nor any other: store one with `orrery apply FILE`"),
        known => format!("there is no agent {named:?}; there are {}", known.join(", ")),
    }
}

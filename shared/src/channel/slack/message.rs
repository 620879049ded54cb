//! A message as Slack tells it, and whose it is.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What names our posts' metadata. Other apps of the team can read it: it holds no words of anybody.
const ANSWER: &str = "orrery_answer";
/// The same, of a post that is still being written.
const DRAFT: &str = "orrery_draft";

/// A message of a thread.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Its time, which names it.
    pub ts: String,
    /// Who wrote it.
    pub user: Option<String>,
    /// The bot that wrote it.
    pub bot_id: Option<String>,
    /// A bot's name for itself.
    pub username: Option<String>,
    /// What else it is than somebody's words.
    pub subtype: Option<String>,
    /// Its text, as Slack marks it.
    pub text: Option<String>,
    metadata: Option<Metadata>,
    reactions: Vec<Reaction>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Reaction {
    name: String,
    users: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    event_type: String,
    #[serde(default)]
    event_payload: Value,
}

/// A post of ours: to which message it answers, and the how many-eth it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
    event: String,
    index: usize,
}

/// What a message says of itself in its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is the post of this index of the answer to this event.
    Answer { event: String, index: usize },
    /// It is the answer to this event, not yet complete.
    Draft { event: String },
    /// It says nothing.
    Unknown,
}

/// The metadata of a post of an answer.
pub(super) fn answer(event: &str, index: usize) -> Value {
    json!({ "event_type": ANSWER, "event_payload": { "event": event, "index": index } })
}

/// The metadata of an answer that is not complete yet.
pub(super) fn draft(event: &str) -> Value {
    json!({ "event_type": DRAFT, "event_payload": { "event": event, "index": 0 } })
}

impl Message {
    /// Whether this user put this reaction on it.
    pub(super) fn has_reaction(&self, name: &str, user: &str) -> bool {
        self.reactions.iter().any(|reaction| reaction.name == name && reaction.users.iter().any(|own| own == user))
    }

    pub(super) fn origin(&self) -> Origin {
        let Some(metadata) = &self.metadata else { return Origin::Unknown };
        let payload = Payload::deserialize(&metadata.event_payload);
        match (metadata.event_type.as_str(), payload) {
            (ANSWER, Ok(Payload { event, index })) => Origin::Answer { event, index },
            (DRAFT, Ok(Payload { event, .. })) => Origin::Draft { event },
            _ => Origin::Unknown,
        }
    }
}

//! Conversations on the platforms of others: Slack, Telegram, WhatsApp.
//!
//! A platform's *door* verifies an event and queues it as an [`Incoming`]; its [`Voice`] posts what is to be said. What
//! stands between the two is the same for all of them.

mod call;
mod connector;
pub mod markdown;
pub mod slack;
pub mod telegram;
pub mod whatsapp;
mod words;
mod worker;

pub use connector::room;
pub use worker::work;

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::auth::Endpoint;
use crate::model::Message;
use crate::queue;

/// A platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Slack. A connection is a team's installation of the app.
    Slack,
    /// Telegram. A connection is a bot.
    Telegram,
    /// WhatsApp. A connection is a phone number of a business.
    WhatsApp,
}

impl Platform {
    /// As it is stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Telegram => "telegram",
            Self::WhatsApp => "whatsapp",
        }
    }

    const fn endpoint(self) -> Endpoint {
        match self {
            Self::Slack => Endpoint::Slack,
            Self::Telegram => Endpoint::Telegram,
            Self::WhatsApp => Endpoint::WhatsApp,
        }
    }
}

/// What a person sent, as it waits in the queue. It holds no token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    /// Where.
    pub platform: Platform,
    /// The connection: Slack's team id, Telegram's bot id, WhatsApp's phone number id.
    pub connection: String,
    /// What names the message on the platform, the same each time that it is delivered.
    pub event: String,
    /// The conversation on the platform: its messages are answered in order, and what was said in it is remembered.
    pub conversation: String,
    /// What the person wants.
    pub request: Request,
    /// Where the answer goes, in the platform's words.
    pub place: Value,
    /// When it came, in milliseconds since the Unix epoch.
    pub received_at: i64,
}

impl Incoming {
    /// It as a message of the channels' queue: in order within its conversation, and once.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn to_message(&self) -> Result<queue::Message, serde_json::Error> {
        Ok(queue::Message {
            group: Some(self.conversation_name()),
            deduplication: Some(self.name()),
            delay: Duration::ZERO,
            body: serde_json::to_string(self)?,
        })
    }

    /// What names the message among those of all platforms: 64 hex digits.
    fn name(&self) -> String {
        self.hash(&self.event)
    }

    /// What names the conversation among those of all platforms: 64 hex digits.
    fn conversation_name(&self) -> String {
        self.hash(&self.conversation)
    }

    fn hash(&self, part: &str) -> String {
        let whole = [self.platform.name(), &self.connection, part].join("\n");
        hex::encode(digest(&SHA256, whole.as_bytes()))
    }
}

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// An answer to their words.
    Answer {
        /// Their words, without what the platform adds to them.
        text: String,
    },
    /// A first word from the bot (`/start`).
    Greeting,
    /// To begin anew (`/new`).
    Reset,
    /// Nothing that the agent can read: a picture, a voice message.
    Unreadable,
}

/// Speaks on a platform in one conversation. Made for one [`Incoming`], with the connection's credentials in it.
#[async_trait]
pub trait Voice: Send + Sync {
    /// Shows that the message is seen and worked on. What comes of it does not matter.
    async fn seen(&self);

    /// How often [`Voice::busy`] is wanted while the agent works.
    fn pulse(&self) -> Option<Duration> {
        None
    }

    /// Shows that the agent still works. What comes of it does not matter.
    async fn busy(&self) {}

    /// What was said before this message, where the platform keeps it, the oldest first; else the session does.
    ///
    /// # Errors
    /// Where the platform cannot be asked.
    async fn history(&self) -> Result<Option<Vec<Message>>, VoiceError> {
        Ok(None)
    }

    /// How often a growing answer is shown; `None` where it is shown when it is complete.
    fn draft_interval(&self) -> Option<Duration> {
        None
    }

    /// Shows an answer so far (`markdown`), in place of what `draft` shows; tells how it is found again. What fails is
    /// left to the complete answer.
    async fn draft(&self, _markdown: &str, draft: Option<String>) -> Option<String> {
        draft
    }

    /// An answer as the posts that it is sent in, formatted for the platform and each within its limits.
    fn posts(&self, markdown: &str) -> Vec<String>;

    /// Sends one post: a new one, or in place of the one that stands at `reference`. Tells where it stands.
    ///
    /// # Errors
    /// Where the platform did not take it, or may not have.
    async fn post(&self, index: usize, post: &str, reference: Option<&str>) -> Result<String, VoiceError>;

    /// Whether the post of this index was sent before, by somebody who did not live to write it down.
    ///
    /// # Errors
    /// Where the platform cannot be asked.
    async fn find(&self, _index: usize) -> Result<Found, VoiceError> {
        Ok(Found::Unknowable)
    }

    /// Shows how it ended. What comes of it does not matter.
    async fn finished(&self, outcome: Outcome);
}

/// Whether a post stands on the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It does, here.
    At(String),
    /// It does not.
    Nowhere,
    /// The platform does not tell.
    Unknowable,
}

/// How a message's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// It was told why there is no answer.
    Excused,
}

/// Why a platform did not take a call.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// It asks to come again, after this time if it says when. Nothing was done.
    #[error("the platform asks to come again later")]
    Later(Option<Duration>),
    /// It was not reached, or did not answer: the call may have been carried out.
    #[error("it is not known whether the platform carried the call out")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses this call, and will again (its own code).
    #[error("the platform refuses the call: {0}")]
    Refused(String),
    /// Nothing can be said in this conversation any more: the bot was blocked, removed, or its token revoked (the
    /// platform's own code).
    #[error("the conversation is closed: {0}")]
    Closed(String),
}

/// The voice for this message, with the connection's opened credentials.
///
/// # Errors
/// Where the credentials, or the message's place, are not of the platform's shape.
fn voice(
    app: &App,
    platform: Platform,
    credentials: &SecretString,
    incoming: &Incoming,
) -> Result<Box<dyn Voice>, Box<dyn std::error::Error + Send + Sync>> {
    match platform {
        Platform::Slack => Ok(Box::new(slack::voice(app, credentials, incoming)?)),
        Platform::Telegram => Ok(Box::new(telegram::voice(app, credentials, incoming)?)),
        Platform::WhatsApp => Ok(Box::new(whatsapp::voice(app, credentials, incoming)?)),
    }
}

//! Speaks in a Telegram chat. Telegram does not tell what was sent, so that a message whose answer is lost may be sent
//! twice.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{BotApi, Posted, TelegramError};
use super::format;
use crate::channel::{Outcome, Voice, VoiceError};

/// How long Telegram shows that a bot types: five seconds, or less.
/// <https://core.telegram.org/bots/api#sendchataction>
const PULSE: Duration = Duration::from_secs(4);
/// How often a message is sent in other ways than the first.
const OTHER_WAYS: usize = 2;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The chat: negative for groups, and beyond 32 bits.
    pub(super) chat: i64,
    /// The message that is answered.
    pub(super) message: i64,
    /// The forum's topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) topic: Option<i64>,
}

/// A bot in one chat.
#[derive(Debug)]
pub struct TelegramVoice {
    api: BotApi,
    place: Place,
    /// Where the chat is now: groups move when they grow.
    chat: AtomicI64,
}

impl TelegramVoice {
    /// Speaks where the place of an [`Incoming`](crate::channel::Incoming) is.
    ///
    /// # Errors
    /// Where it is no place of Telegram.
    pub fn new(api: BotApi, place: &Value) -> Result<Self, serde_json::Error> {
        let place = Place::deserialize(place)?;
        Ok(Self { api, place, chat: AtomicI64::new(place.chat) })
    }

    async fn type_on(&self) {
        let mut action = json!({ "chat_id": self.chat.load(Ordering::Relaxed), "action": "typing" });
        if let Some(topic) = self.place.topic {
            action["message_thread_id"] = topic.into();
        }
        if let Err(error) = self.api.send_chat_action(&action).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the typing indicator was not shown");
        }
    }

    fn message(&self, index: usize, text: &str, markup: Markup) -> Value {
        let chat = self.chat.load(Ordering::Relaxed);
        let mut message = json!({ "chat_id": chat, "text": text, "link_preview_options": { "is_disabled": true } });
        if markup == Markup::Html {
            message["parse_mode"] = "HTML".into();
        }
        if let Some(topic) = self.place.topic {
            message["message_thread_id"] = topic.into();
        }
        // A chat that has moved counts its messages anew.
        if index == 0 && chat == self.place.chat {
            message["reply_parameters"] =
                json!({ "message_id": self.place.message, "allow_sending_without_reply": true });
        }
        message
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Markup {
    Html,
    None,
}

#[async_trait]
impl Voice for TelegramVoice {
    async fn seen(&self) {
        self.type_on().await;
    }

    fn pulse(&self) -> Option<Duration> {
        Some(PULSE)
    }

    async fn busy(&self) {
        self.type_on().await;
    }

    fn posts(&self, markdown: &str) -> Vec<String> {
        format::posts(markdown)
    }

    async fn post(&self, index: usize, post: &str, _: Option<&str>) -> Result<String, VoiceError> {
        let mut sent = self.api.send_message(&self.message(index, post, Markup::Html)).await;
        let (mut text, mut markup) = (post.to_owned(), Markup::Html);
        for _ in 0..OTHER_WAYS {
            match &sent {
                Err(TelegramError::Refused { moved_to: Some(chat), .. }) => self.chat.store(*chat, Ordering::Relaxed),
                Err(error) if error.is_markup() && markup == Markup::Html => {
                    (text, markup) = (format::plain(post), Markup::None);
                }
                _ => break,
            }
            sent = self.api.send_message(&self.message(index, &text, markup)).await;
        }
        let Posted { message_id } = sent?;
        Ok(message_id.to_string())
    }

    async fn finished(&self, _: Outcome) {}
}

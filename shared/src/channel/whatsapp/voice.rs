//! Speaks with a person on WhatsApp. The Cloud API does not tell what was sent, so that a message whose answer is lost may
//! be sent twice.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{GraphApi, Posted};
use super::format;
use crate::channel::call::CallError;
use crate::channel::{Outcome, Voice, VoiceError};

/// The typing indicator stands for 25 seconds.
/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/typing-indicators/>
const PULSE: Duration = Duration::from_secs(20);

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) to: Recipient,
    /// The message that is answered.
    pub(super) message: String,
}

/// A person, as the Cloud API is told whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recipient {
    /// By their phone number.
    Phone(String),
    /// By the id that they have for this business, where they show no number.
    User(String),
}

/// A number's voice to one person.
#[derive(Debug)]
pub struct WhatsAppVoice {
    api: GraphApi,
    place: Place,
}

impl WhatsAppVoice {
    /// Speaks where the place of an [`Incoming`](crate::channel::Incoming) is.
    ///
    /// # Errors
    /// Where it is no place of WhatsApp.
    pub fn new(api: GraphApi, place: &Value) -> Result<Self, serde_json::Error> {
        Ok(Self { api, place: Place::deserialize(place)? })
    }

    /// Marks the message as read, and shows that somebody types.
    async fn type_on(&self) {
        let status = json!({
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": self.place.message,
            "typing_indicator": { "type": "text" },
        });
        if let Err(error) = self.api.mark(&status).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the message was not marked as read");
        }
    }
}

#[async_trait]
impl Voice for WhatsAppVoice {
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
        let mut message = json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "type": "text",
            "text": { "body": post, "preview_url": false },
        });
        match &self.place.to {
            Recipient::Phone(number) => message["to"] = number.as_str().into(),
            Recipient::User(id) => message["recipient"] = id.as_str().into(),
        }
        if index == 0 {
            message["context"] = json!({ "message_id": self.place.message });
        }
        let Posted { messages } = self.api.send(&message).await?;
        let unreadable = || VoiceError::Unknown(CallError::Unreadable(http::StatusCode::OK).into());
        messages.into_iter().next().map(|message| message.id).ok_or_else(unreadable)
    }

    async fn finished(&self, _: Outcome) {}
}

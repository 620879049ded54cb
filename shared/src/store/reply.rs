//! Conversations on channels: how far a message's answer was posted, and which session a conversation is in.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, ttl};
use super::write::Write;
use super::{Store, StoreError};
use crate::id::{SessionId, TenantId};

/// How far the answer to a message was posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyItem {
    /// Who owns it.
    pub tenant: TenantId,
    /// Where its posts stand on the platform, in order.
    pub posts: Vec<String>,
    /// Whether the next one was about to be sent.
    pub is_posting: bool,
    /// Whether there is nothing more to be said.
    pub is_finished: bool,
    /// How many turns failed of it.
    #[serde(default)]
    pub failed_turns: u32,
}

impl ReplyItem {
    /// Nothing was posted.
    #[must_use]
    pub const fn new(tenant: TenantId) -> Self {
        Self { tenant, posts: Vec::new(), is_posting: false, is_finished: false, failed_turns: 0 }
    }
}

#[derive(Serialize, Deserialize)]
struct ConversationItem {
    tenant: TenantId,
    session: SessionId,
    expires_at: i64,
}

fn reply_key(message: &str) -> Key {
    Key::new(format!("REPLY#{message}"), "REPLY")
}

fn conversation_key(conversation: &str) -> Key {
    Key::new(format!("CONVERSATION#{conversation}"), "CONVERSATION")
}

impl Store {
    /// How far the answer to a message was posted.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn reply(&self, message: &str) -> Result<Option<ReplyItem>, StoreError> {
        self.get(&reply_key(message)).await
    }

    /// Writes down how far the answer to a message was posted; it is kept until `expires_at`.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_reply(&self, message: &str, reply: &ReplyItem, expires_at: i64) -> Result<(), StoreError> {
        let mut item = reply_key(message).with(serde_dynamo::to_item(reply)?);
        item.insert(TTL.to_owned(), ttl(expires_at));
        self.write(&Write::put(item)).await.map(drop)
    }

    /// The session that a conversation was moved to, unless that is over at `now_ms`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn conversation(&self, conversation: &str, now_ms: i64) -> Result<Option<SessionId>, StoreError> {
        let found: Option<ConversationItem> = self.get(&conversation_key(conversation)).await?;
        Ok(found.filter(|found| found.expires_at > now_ms).map(|found| found.session))
    }

    /// Moves a conversation to this session, until `expires_at`.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_conversation(
        &self,
        conversation: &str,
        tenant: &TenantId,
        session: &SessionId,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let item = ConversationItem { tenant: tenant.clone(), session: session.clone(), expires_at };
        let mut item = conversation_key(conversation).with(serde_dynamo::to_item(item)?);
        item.insert(TTL.to_owned(), ttl(expires_at));
        self.write(&Write::put(item)).await.map(drop)
    }
}

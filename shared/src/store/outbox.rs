//! Events that wait to be spread to their receivers: all that one turn tells of in one item, which is written with it.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, ttl};
use super::write::Write;
use super::{Store, StoreError};
use crate::id::{AgentId, EventId, TenantId, WebhookId};

/// What happened at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// Its name.
    pub id: String,
    /// Who owns it.
    pub tenant: TenantId,
    /// Of which agent it tells.
    pub agent: AgentId,
    /// What happened.
    pub events: Vec<OutboxEvent>,
    /// When.
    pub created_at: i64,
    /// When it may be forgotten.
    pub expires_at: i64,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEvent {
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub name: String,
    /// What receivers are sent.
    pub body: String,
    /// Who they are.
    pub receivers: Vec<WebhookId>,
}

/// Without what it says.
impl std::fmt::Debug for OutboxEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxEvent").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

fn outbox_key(id: &str) -> Key {
    Key::new(format!("OUTBOX#{id}"), "OUTBOX")
}

impl Store {
    /// What is waiting under this name, if anything is.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn outbox(&self, id: &str) -> Result<Option<OutboxItem>, StoreError> {
        self.get(&outbox_key(id)).await
    }

    /// It is spread.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_outbox(&self, id: &str) -> Result<(), StoreError> {
        self.write(&Write::delete(&outbox_key(id))).await.map(drop)
    }
}

pub(super) fn outbox_write(outbox: &OutboxItem) -> Result<Write, StoreError> {
    let mut item = outbox_key(&outbox.id).with(serde_dynamo::to_item(outbox)?);
    item.insert(TTL.to_owned(), ttl(outbox.expires_at));
    Ok(Write::put(item))
}

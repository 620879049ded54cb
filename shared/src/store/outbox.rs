//! Events that wait to be spread to their receivers: all that one turn tells of in one item, which is written with it.

use serde::{Deserialize, Serialize};

use super::item::{GSI1_PK, GSI1_SK, Key, TTL, number, text, ttl};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError};
use crate::clock::iso;
use crate::id::{EventId, Home, TenantId, WebhookId};

/// Over how many partitions of the index they are spread: an item may have hundreds of kilobytes, and a partition takes a
/// thousand a second.
const SHARDS: u32 = 4;

/// What happened at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// Its name.
    pub id: String,
    /// Who owns it.
    pub tenant: TenantId,
    /// Of what it tells, and whose receivers are told.
    #[serde(rename = "agent")]
    pub home: Home,
    /// What happened.
    pub events: Vec<OutboxEvent>,
    /// When.
    pub created_at: i64,
    /// When it is looked for, if it still stands.
    pub look_at: i64,
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

/// An outbox that should be spread by now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WaitingOutbox {
    /// Its name.
    pub id: String,
    /// When it happened.
    pub created_at: i64,
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

    /// Those that stand though it is time to look for them, at most so many; of each part of them, the longest due first.
    /// The index may lag behind a write by a moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn waiting_outboxes(&self, now_ms: i64, most: usize) -> Result<Vec<WaitingOutbox>, StoreError> {
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            let due = Query::index_until(&shard_index(shard), &iso(now_ms));
            found.extend(self.first(due, most / SHARDS as usize).await?);
        }
        Ok(found)
    }

    /// One that stands is looked for again at this time.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn look_again(&self, id: &str, at_ms: i64) -> Result<(), StoreError> {
        let update = Write::update(&outbox_key(id), "SET look_at = :at, #sort = :sort")
            .condition("attribute_exists(pk)")
            .name("#sort", GSI1_SK)
            .value(":at", number(at_ms))
            .value(":sort", text(iso(at_ms)));
        self.write(&update).await.map(drop)
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
    item.insert(GSI1_PK.to_owned(), text(shard_index(shard(&outbox.id))));
    item.insert(GSI1_SK.to_owned(), text(iso(outbox.look_at)));
    item.insert(TTL.to_owned(), ttl(outbox.expires_at));
    Ok(Write::put(item))
}

fn shard(id: &str) -> u32 {
    id.bytes().map(u32::from).sum::<u32>() % SHARDS
}

fn shard_index(shard: u32) -> String {
    format!("OUTBOX#{shard}")
}

//! Queues on one machine: a partition a queue, its messages in the order in which they were sent.

use serde::{Deserialize, Serialize};

use super::item::{Item, Key, TTL, number, text, ttl};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError};
use crate::id::MessageId;

/// How long a message waits before it is forgotten, in milliseconds: as long as SQS keeps one at most.
const KEPT: i64 = 14 * 24 * 60 * 60 * 1000;

/// A message in a queue.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedItem {
    /// Its name; messages sort by it in the order in which they were sent.
    pub id: String,
    /// Messages of one group are handed out one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A second message of this name is dropped for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<String>,
    /// What it says.
    pub body: String,
    /// When it was sent.
    pub sent_at: i64,
    /// Before this time it is not handed out.
    pub visible_at: i64,
    /// How often it was handed out.
    pub receives: u32,
    /// Names the last time that it was handed out.
    pub receipt: String,
}

/// Without what it says.
impl std::fmt::Debug for QueuedItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueuedItem").field("id", &self.id).field("receives", &self.receives).finish_non_exhaustive()
    }
}

impl QueuedItem {
    fn item(&self, queue: &str) -> Result<Item, StoreError> {
        let mut item = message_key(queue, &self.id).with(serde_dynamo::to_item(self)?);
        item.insert(TTL.to_owned(), ttl(self.sent_at.saturating_add(KEPT)));
        Ok(item)
    }
}

fn message_key(queue: &str, id: &str) -> Key {
    Key::new(format!("QUEUE#{queue}"), id)
}

fn name_key(queue: &str, name: &str) -> Key {
    Key::new(format!("QUEUE#{queue}#NAME#{name}"), "NAME")
}

impl Store {
    /// Puts a message into a queue; `false` where one of its name was put there and `named_until` of that one is not
    /// over.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn enqueue(&self, queue: &str, item: &QueuedItem, named_until: i64) -> Result<bool, StoreError> {
        let put = Write::put(item.item(queue)?);
        let mut writes = vec![put];
        if let Some(name) = &item.deduplication {
            let named = Item::from([("until".to_owned(), number(named_until)), (TTL.to_owned(), ttl(named_until))]);
            let put = Write::put(name_key(queue, name).with(named))
                .condition("attribute_not_exists(pk) OR #until <= :now")
                .name("#until", "until")
                .value(":now", number(item.sent_at));
            writes.push(put);
        }
        self.transact(&writes, &item.id).await
    }

    /// The next messages of a queue behind the one named `after`, in their order.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn queued(&self, queue: &str, after: Option<&str>, limit: i32) -> Result<Vec<QueuedItem>, StoreError> {
        let after = after.unwrap_or(MessageId::PREFIX);
        self.page(&Query::after(&message_key(queue, after).pk, after).limit(limit)).await
    }

    /// Hands a message out under a receipt; `false` where somebody else did since it was read.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn hand_out(
        &self,
        queue: &str,
        item: &QueuedItem,
        receipt: &str,
        visible_at: i64,
    ) -> Result<bool, StoreError> {
        let write = Write::update(
            &message_key(queue, &item.id),
            "SET receipt = :receipt, visible_at = :until, receives = :receives",
        )
        .condition("receipt = :before AND visible_at = :since")
        .value(":receipt", text(receipt))
        .value(":until", number(visible_at))
        .value(":receives", number(item.receives.saturating_add(1)))
        .value(":before", text(&item.receipt))
        .value(":since", number(item.visible_at));
        self.write(&write).await
    }

    /// Hides a message that was handed out under this receipt until `visible_at`. Nothing happens where it was handed
    /// out to another since.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn hide(&self, queue: &str, id: &str, receipt: &str, visible_at: i64) -> Result<(), StoreError> {
        let write = Write::update(&message_key(queue, id), "SET visible_at = :until")
            .condition("receipt = :receipt")
            .value(":until", number(visible_at))
            .value(":receipt", text(receipt));
        self.write(&write).await.map(drop)
    }

    /// Takes a message that was handed out under this receipt out of its queue. Nothing happens where it was handed out
    /// to another since.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn dequeue(&self, queue: &str, id: &str, receipt: &str) -> Result<(), StoreError> {
        let write =
            Write::delete(&message_key(queue, id)).condition("receipt = :receipt").value(":receipt", text(receipt));
        self.write(&write).await.map(drop)
    }

    /// Moves a message to another queue, where it is to be had at once. Nothing happens where it was handed out since
    /// it was read.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn move_message(&self, queue: &str, item: &QueuedItem, to: &str) -> Result<(), StoreError> {
        let delete = Write::delete(&message_key(queue, &item.id))
            .condition("receipt = :receipt")
            .value(":receipt", text(&item.receipt));
        let moved = QueuedItem { receipt: String::new(), ..item.clone() };
        let put = Write::put(moved.item(to)?);
        let writes = vec![delete, put];
        self.transact(&writes, MessageId::generate().as_str()).await.map(drop)
    }
}

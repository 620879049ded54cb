//! Queues on one machine: a partition a queue, its messages in the order in which they were sent.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};

use super::item::{Item, Key, TTL, number, text, ttl};
use super::turn::invalid;
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
        let put = Put::builder().table_name(&self.table).set_item(Some(item.item(queue)?)).build().map_err(invalid)?;
        let mut writes = vec![TransactWriteItem::builder().put(put).build()];
        if let Some(name) = &item.deduplication {
            let mut named = name_key(queue, name).attributes();
            named.insert("until".to_owned(), number(named_until));
            named.insert(TTL.to_owned(), ttl(named_until));
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(named))
                .condition_expression("attribute_not_exists(pk) OR #until <= :now")
                .expression_attribute_names("#until", "until")
                .expression_attribute_values(":now", number(item.sent_at))
                .build()
                .map_err(invalid)?;
            writes.push(TransactWriteItem::builder().put(put).build());
        }
        self.transact(writes, &item.id).await
    }

    /// The next messages of a queue behind the one named `after`, in their order.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn queued(&self, queue: &str, after: Option<&str>, limit: i32) -> Result<Vec<QueuedItem>, StoreError> {
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :queue AND sk > :after")
            .expression_attribute_values(":queue", text(message_key(queue, "").pk))
            .expression_attribute_values(":after", text(after.unwrap_or(MessageId::PREFIX)))
            .consistent_read(true)
            .limit(limit)
            .send()
            .await?;
        Ok(serde_dynamo::from_items(page.items.unwrap_or_default())?)
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
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(message_key(queue, &item.id).attributes()))
            .update_expression("SET receipt = :receipt, visible_at = :until, receives = :receives")
            .condition_expression("receipt = :before AND visible_at = :since")
            .expression_attribute_values(":receipt", text(receipt))
            .expression_attribute_values(":until", number(visible_at))
            .expression_attribute_values(":receives", number(item.receives.saturating_add(1)))
            .expression_attribute_values(":before", text(&item.receipt))
            .expression_attribute_values(":since", number(item.visible_at))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception())
    }

    /// Hides a message that was handed out under this receipt until `visible_at`. Nothing happens where it was handed
    /// out to another since.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn hide(&self, queue: &str, id: &str, receipt: &str, visible_at: i64) -> Result<(), StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(message_key(queue, id).attributes()))
            .update_expression("SET visible_at = :until")
            .condition_expression("receipt = :receipt")
            .expression_attribute_values(":until", number(visible_at))
            .expression_attribute_values(":receipt", text(receipt))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception()).map(drop)
    }

    /// Takes a message that was handed out under this receipt out of its queue. Nothing happens where it was handed out
    /// to another since.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn dequeue(&self, queue: &str, id: &str, receipt: &str) -> Result<(), StoreError> {
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(message_key(queue, id).attributes()))
            .condition_expression("receipt = :receipt")
            .expression_attribute_values(":receipt", text(receipt))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception()).map(drop)
    }

    /// Moves a message to another queue, as one that was never handed out. Nothing happens where it was handed out since
    /// it was read.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn move_message(&self, queue: &str, item: &QueuedItem, to: &str) -> Result<(), StoreError> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(message_key(queue, &item.id).attributes()))
            .condition_expression("receipt = :receipt")
            .expression_attribute_values(":receipt", text(&item.receipt))
            .build()
            .map_err(invalid)?;
        let moved = QueuedItem { receives: 0, receipt: String::new(), ..item.clone() };
        let put = Put::builder().table_name(&self.table).set_item(Some(moved.item(to)?)).build().map_err(invalid)?;
        let writes =
            vec![TransactWriteItem::builder().delete(delete).build(), TransactWriteItem::builder().put(put).build()];
        self.transact(writes, MessageId::generate().as_str()).await.map(drop)
    }
}

//! Reads: one item, several by their keys, a partition.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use super::item::{GSI1, Item, Key, text};
use super::{Store, StoreError};

/// How often keys that a batch left unread are asked for again.
const BATCH_TRIES: u32 = 5;

/// A part of the table: the items of one partition, in the order of their sort keys.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Query {
    #[serde(skip_serializing_if = "Option::is_none")]
    index_name: Option<&'static str>,
    key_condition_expression: &'static str,
    expression_attribute_values: BTreeMap<&'static str, AttributeValue>,
    consistent_read: bool,
    scan_index_forward: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_start_key: Option<Item>,
}

impl Query {
    fn new(index_name: Option<&'static str>, expression: &'static str, partition: &str) -> Self {
        Self {
            index_name,
            key_condition_expression: expression,
            expression_attribute_values: BTreeMap::from([(":partition", text(partition))]),
            consistent_read: index_name.is_none(),
            scan_index_forward: true,
            limit: None,
            exclusive_start_key: None,
        }
    }

    /// The items whose sort keys begin so.
    pub(super) fn starting(partition: &str, prefix: &str) -> Self {
        let mut query = Self::new(None, "pk = :partition AND begins_with(sk, :prefix)", partition);
        query.expression_attribute_values.insert(":prefix", text(prefix));
        query
    }

    /// The items behind this sort key.
    pub(super) fn after(partition: &str, sort: &str) -> Self {
        let mut query = Self::new(None, "pk = :partition AND sk > :after", partition);
        query.expression_attribute_values.insert(":after", text(sort));
        query
    }

    /// The items before this sort key, the last first.
    pub(super) fn before(partition: &str, sort: &str) -> Self {
        let mut query = Self::new(None, "pk = :partition AND sk < :before", partition);
        query.expression_attribute_values.insert(":before", text(sort));
        query.backwards()
    }

    /// The items from one sort key to another.
    pub(super) fn between(partition: &str, from: &str, to: &str) -> Self {
        let mut query = Self::new(None, "pk = :partition AND sk BETWEEN :from AND :to", partition);
        query.expression_attribute_values.insert(":from", text(from));
        query.expression_attribute_values.insert(":to", text(to));
        query
    }

    /// A partition of the index, which may lag behind a write by a moment.
    pub(super) fn index(partition: &str) -> Self {
        Self::new(Some(GSI1), "gsi1pk = :partition", partition)
    }

    /// The items of a partition of the index whose sort keys are not behind this one.
    pub(super) fn index_until(partition: &str, last: &str) -> Self {
        let mut query = Self::new(Some(GSI1), "gsi1pk = :partition AND gsi1sk <= :last", partition);
        query.expression_attribute_values.insert(":last", text(last));
        query
    }

    /// The last first.
    pub(super) const fn backwards(mut self) -> Self {
        self.scan_index_forward = false;
        self
    }

    /// At most so many.
    pub(super) const fn limit(mut self, most: i32) -> Self {
        self.limit = Some(most);
        self
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InTable<'a, T> {
    table_name: &'a str,
    #[serde(flatten)]
    request: &'a T,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetItem {
    key: Item,
    consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    item: Option<Item>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    keys: Vec<Item>,
    #[serde(default)]
    consistent_read: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGetItem<'a> {
    request_items: BTreeMap<&'a str, Keys>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    #[serde(default)]
    responses: BTreeMap<String, Vec<Item>>,
    #[serde(default)]
    unprocessed_keys: BTreeMap<String, Keys>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    items: Vec<Item>,
    last_evaluated_key: Option<Item>,
}

impl Store {
    /// One item, read consistently.
    pub(super) async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        if !key.is_possible() {
            return Ok(None);
        }
        let request = GetItem { key: key.attributes(), consistent_read: true };
        let found: Found = self.call("GetItem", &InTable { table_name: &self.table, request: &request }).await?;
        Ok(found.item.map(serde_dynamo::from_item).transpose()?)
    }

    /// The items under these keys, read consistently in one round trip; another follows only where DynamoDB leaves keys
    /// unread.
    pub(super) async fn batch(&self, keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let mut keys = Some(keys).filter(|keys| !keys.is_empty());
        let mut items = Vec::new();
        for attempt in 0..BATCH_TRIES {
            let Some(wanted) = keys.take() else { return Ok(items) };
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
            }
            let wanted = Keys { keys: wanted, consistent_read: true };
            let request = BatchGetItem { request_items: BTreeMap::from([(&*self.table, wanted)]) };
            let mut reply: Batch = self.call("BatchGetItem", &request).await?;
            items.extend(reply.responses.remove(&*self.table).unwrap_or_default());
            keys = reply.unprocessed_keys.remove(&*self.table).map(|unread| unread.keys);
        }
        if keys.is_some() { Err(StoreError::Contended) } else { Ok(items) }
    }

    /// What one page holds (1 MB) of a part of the table.
    pub(super) async fn page<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, StoreError> {
        let page: Page = self.call("Query", &InTable { table_name: &self.table, request: query }).await?;
        Ok(serde_dynamo::from_items(page.items)?)
    }

    /// All of a part of the table.
    pub(super) async fn all<T: DeserializeOwned>(&self, query: Query) -> Result<Vec<T>, StoreError> {
        self.first(query, usize::MAX).await
    }

    /// The first items of a part of the table, at most so many.
    pub(super) async fn first<T: DeserializeOwned>(&self, mut query: Query, most: usize) -> Result<Vec<T>, StoreError> {
        let mut items = Vec::new();
        loop {
            let page: Page = self.call("Query", &InTable { table_name: &self.table, request: &query }).await?;
            items.extend(serde_dynamo::from_items::<_, T>(page.items)?);
            query.exclusive_start_key = page.last_evaluated_key;
            if query.exclusive_start_key.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
        }
    }
}

//! Reads: one item, several by their keys, a partition.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use super::item::{GSI1, Item, Key, text};
use super::stored::{Stored, Unread};
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
struct GetItem<'a> {
    key: &'a Key,
    consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "T: DeserializeOwned")]
struct Found<T> {
    item: Option<Stored<T>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Keys<'a> {
    keys: Vec<Cow<'a, Key>>,
    consistent_read: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGetItem<'a> {
    request_items: BTreeMap<&'a str, Keys<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<'a> {
    #[serde(default, borrow)]
    responses: BTreeMap<String, Vec<Unread<'a>>>,
    #[serde(default)]
    unprocessed_keys: BTreeMap<String, UnprocessedKeys>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnprocessedKeys {
    keys: Vec<Stored<Key>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "T: DeserializeOwned")]
struct Page<T> {
    #[serde(default = "Vec::new")]
    items: Vec<Stored<T>>,
    last_evaluated_key: Option<Item>,
}

impl Store {
    /// One item, read consistently.
    pub(super) async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        if !key.is_possible() {
            return Ok(None);
        }
        let request = GetItem { key, consistent_read: true };
        let found: Found<T> = self.call("GetItem", &InTable { table_name: &self.table, request: &request }).await?;
        Ok(found.item.map(|Stored(item)| item))
    }

    /// Shows the items under these keys, read consistently in one round trip; another follows only where DynamoDB leaves
    /// keys unread.
    pub(super) async fn batch<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        mut show: impl FnMut(&Unread<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut keys = keys.map(Cow::Borrowed).collect::<Vec<_>>();
        for attempt in 0..BATCH_TRIES {
            if keys.is_empty() {
                return Ok(());
            }
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
            }
            let wanted = Keys { keys, consistent_read: true };
            let request = BatchGetItem { request_items: BTreeMap::from([(&*self.table, wanted)]) };
            let answer = self.answer("BatchGetItem", &request).await?;
            let mut reply: Batch<'_> = serde_json::from_slice(&answer)?;
            reply.responses.remove(&*self.table).iter().flatten().try_for_each(&mut show)?;
            let unprocessed = reply.unprocessed_keys.remove(&*self.table).map(|unprocessed| unprocessed.keys);
            keys = unprocessed.into_iter().flatten().map(|Stored(key)| Cow::Owned(key)).collect();
        }
        if keys.is_empty() { Ok(()) } else { Err(StoreError::Contended) }
    }

    /// What one page holds (1 MB) of a part of the table.
    pub(super) async fn page<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, StoreError> {
        let page: Page<T> = self.call("Query", &InTable { table_name: &self.table, request: query }).await?;
        Ok(page.items.into_iter().map(|Stored(item)| item).collect())
    }

    /// All of a part of the table.
    pub(super) async fn all<T: DeserializeOwned>(&self, query: Query) -> Result<Vec<T>, StoreError> {
        self.first(query, usize::MAX).await
    }

    /// The first items of a part of the table, at most so many.
    pub(super) async fn first<T: DeserializeOwned>(&self, mut query: Query, most: usize) -> Result<Vec<T>, StoreError> {
        let mut items = Vec::new();
        loop {
            let page: Page<T> = self.call("Query", &InTable { table_name: &self.table, request: &query }).await?;
            items.extend(page.items.into_iter().map(|Stored(item)| item));
            query.exclusive_start_key = page.last_evaluated_key;
            if query.exclusive_start_key.is_none() || items.len() >= most {
                items.truncate(most);
                return Ok(items);
            }
        }
    }
}

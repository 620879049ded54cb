//! What all items have in common.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_dynamo::AttributeValue;

/// An item, which is DynamoDB's JSON where it is written out.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The partition key.
pub(super) const PK: &str = "pk";
/// The sort key.
pub(super) const SK: &str = "sk";
/// The index's partition key.
pub(super) const GSI1_PK: &str = "gsi1pk";
/// The index's sort key.
pub(super) const GSI1_SK: &str = "gsi1sk";
/// The index.
pub(super) const GSI1: &str = "gsi1";
/// When DynamoDB may delete the item, in seconds since the Unix epoch.
pub(super) const TTL: &str = "ttl";

/// The longest partition key and sort key, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const LONGEST: (usize, usize) = (2048, 1024);

/// The primary key of an item.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    pub(super) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// Whether an item can stand under it. Callers name what they look for, at any length, and DynamoDB refuses the
    /// whole call for one key that is too long.
    pub(super) fn is_possible(&self) -> bool {
        self.pk.len() <= LONGEST.0 && self.sk.len() <= LONGEST.1
    }

    /// The item with its key added.
    pub(super) fn with(&self, mut item: Item) -> Item {
        item.extend([(PK.to_owned(), text(&self.pk)), (SK.to_owned(), text(&self.sk))]);
        item
    }
}

/// The key alone, as `GetItem` and the like want it.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut key = serializer.serialize_struct("Key", 2)?;
        key.serialize_field(PK, &Text { text: self.pk.as_str().into() })?;
        key.serialize_field(SK, &Text { text: self.sk.as_str().into() })?;
        key.end()
    }
}

/// A string attribute, as DynamoDB's JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Text<'a> {
    #[serde(rename = "S", borrow)]
    pub(super) text: Cow<'a, str>,
}

/// A string attribute.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(super) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The TTL attribute for a time in milliseconds: the first whole second after it.
pub(super) fn ttl(at_ms: i64) -> AttributeValue {
    number(at_ms / 1000 + 1)
}

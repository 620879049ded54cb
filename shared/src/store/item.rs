//! What all items have in common.

use std::collections::HashMap;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The key alone, as `GetItem` and the like want it.
    pub(super) fn attributes(&self) -> Item {
        Item::from([(PK.to_owned(), text(&self.pk)), (SK.to_owned(), text(&self.sk))])
    }

    /// Whether the item stands under this key.
    pub(super) fn names(&self, item: &Item) -> bool {
        let is = |name: &str, value: &str| {
            item.get(name).and_then(|found| match found {
                AttributeValue::S(text) => Some(text.as_str()),
                _ => None,
            }) == Some(value)
        };
        is(PK, &self.pk) && is(SK, &self.sk)
    }

    /// The item with its key added.
    pub(super) fn with(&self, mut item: Item) -> Item {
        item.extend(self.attributes());
        item
    }
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

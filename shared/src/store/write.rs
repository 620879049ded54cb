//! Writes: sent alone, or several in a transaction.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_dynamo::AttributeValue;

use super::item::{Item, Key};
use super::stored::Stored;
use super::{Store, StoreError};

/// How often a transaction is tried that meets another one at the same item.
const CONFLICT_TRIES: u32 = 8;

/// A write.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Write {
    #[serde(skip)]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_expression: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition_expression: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expression_attribute_names: BTreeMap<Cow<'static, str>, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expression_attribute_values: BTreeMap<Cow<'static, str>, AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_values: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_values_on_condition_check_failure: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    Update,
    Delete,
    Check,
}

impl Kind {
    /// The operation of one that is sent alone.
    const fn operation(self) -> &'static str {
        match self {
            Self::Put => "PutItem",
            Self::Update => "UpdateItem",
            Self::Delete => "DeleteItem",
            Self::Check => "ConditionCheck",
        }
    }

    /// As a transaction names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Put => "Put",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Check => "ConditionCheck",
        }
    }
}

/// What became of a write that was sent alone.
#[derive(Clone, Debug)]
pub(super) enum Written<T> {
    /// It is done; with the attributes that were asked for.
    Done(T),
    /// Its condition did not hold; with the item as it stands, if there is one.
    Refused(Option<T>),
}

impl Write {
    const fn new(kind: Kind, key: Option<Key>) -> Self {
        Self {
            kind,
            item: None,
            key,
            update_expression: None,
            condition_expression: None,
            expression_attribute_names: BTreeMap::new(),
            expression_attribute_values: BTreeMap::new(),
            return_values: None,
            return_values_on_condition_check_failure: None,
        }
    }

    /// Stores an item, with its key in it.
    pub(super) fn put(item: Item) -> Self {
        Self { item: Some(item), ..Self::new(Kind::Put, None) }
    }

    /// Changes attributes by an update expression.
    pub(super) fn update(key: &Key, expression: impl Into<Cow<'static, str>>) -> Self {
        Self { update_expression: Some(expression.into()), ..Self::new(Kind::Update, Some(key.clone())) }
    }

    /// Deletes an item.
    pub(super) fn delete(key: &Key) -> Self {
        Self::new(Kind::Delete, Some(key.clone()))
    }

    /// Changes nothing, in a transaction that goes by the condition.
    pub(super) fn check(key: &Key) -> Self {
        Self::new(Kind::Check, Some(key.clone()))
    }

    /// Only where this holds.
    pub(super) fn condition(mut self, expression: impl Into<Cow<'static, str>>) -> Self {
        self.condition_expression = Some(expression.into());
        self
    }

    /// What a `#name` in its expressions stands for.
    pub(super) fn name(mut self, placeholder: impl Into<Cow<'static, str>>, name: impl Into<String>) -> Self {
        self.expression_attribute_names.insert(placeholder.into(), name.into());
        self
    }

    /// What a `:value` in its expressions stands for.
    pub(super) fn value(mut self, placeholder: impl Into<Cow<'static, str>>, value: AttributeValue) -> Self {
        self.expression_attribute_values.insert(placeholder.into(), value);
        self
    }

    /// Tells the whole item as it is now.
    pub(super) const fn telling_new(mut self) -> Self {
        self.return_values = Some("ALL_NEW");
        self
    }

    /// Tells the attributes that were changed.
    pub(super) const fn telling_changed(mut self) -> Self {
        self.return_values = Some("UPDATED_NEW");
        self
    }

    /// Tells the item that refused.
    pub(super) const fn telling_refusal(mut self) -> Self {
        self.return_values_on_condition_check_failure = Some("ALL_OLD");
        self
    }
}

/// A write with its table.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InTable<'a> {
    table_name: &'a str,
    #[serde(flatten)]
    write: &'a Write,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction<'a> {
    client_request_token: &'a str,
    transact_items: Vec<BTreeMap<&'static str, InTable<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "T: DeserializeOwned")]
struct Attributes<T> {
    attributes: Stored<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "T: DeserializeOwned")]
struct Refused<T> {
    item: Option<Stored<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", bound = "T: DeserializeOwned")]
struct RefusedBy<T> {
    item: Stored<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Cancelled {
    cancellation_reasons: Vec<Reason>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reason {
    code: Option<String>,
}

impl Store {
    /// Sends one write; `false` where its condition did not hold.
    pub(super) async fn write(&self, write: &Write) -> Result<bool, StoreError> {
        Ok(self.send::<IgnoredAny, IgnoredAny>(write).await?.is_ok())
    }

    /// Sends one write that asks for attributes.
    pub(super) async fn write_telling<T: DeserializeOwned>(&self, write: &Write) -> Result<Written<T>, StoreError> {
        match self.send::<Attributes<T>, Refused<T>>(write).await? {
            Ok(Attributes { attributes: Stored(told) }) => Ok(Written::Done(told)),
            Err(refused) => Ok(Written::Refused(refused.item.map(|Stored(item)| item))),
        }
    }

    /// Sends one write that nothing but an item can refuse; the one that did.
    pub(super) async fn write_unless<T: DeserializeOwned>(&self, write: &Write) -> Result<Option<T>, StoreError> {
        let outcome = self.send::<IgnoredAny, RefusedBy<T>>(write).await?;
        Ok(outcome.err().map(|RefusedBy { item: Stored(item) }| item))
    }

    /// Sends one write; the inner error is what is said of a condition that did not hold.
    async fn send<T: DeserializeOwned, R: DeserializeOwned>(&self, write: &Write) -> Result<Result<T, R>, StoreError> {
        let request = InTable { table_name: &self.table, write };
        match self.call(write.kind.operation(), &request).await {
            Ok(told) => Ok(Ok(told)),
            Err(StoreError::Refused(error)) if error.code() == Some("ConditionalCheckFailedException") => {
                error.detail().map(Err).ok_or(StoreError::Refused(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes all or none; `false` where a condition did not hold. The token (36 characters at most) covers all tries,
    /// so that a write whose answer was lost is not done twice.
    pub(super) async fn transact(&self, writes: &[Write], token: &str) -> Result<bool, StoreError> {
        let in_table = |write| InTable { table_name: &self.table, write };
        let items = writes.iter().map(|write| BTreeMap::from([(write.kind.name(), in_table(write))]));
        let transaction = Transaction { client_request_token: token, transact_items: items.collect() };
        for attempt in 0..CONFLICT_TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(
                    (5 << attempt) + u64::from(token.bytes().next_back().unwrap_or_default()) % 16,
                ))
                .await;
            }
            let error = match self.call::<IgnoredAny>("TransactWriteItems", &transaction).await {
                Ok(_) => return Ok(true),
                Err(error) => error,
            };
            let (StoreError::Refused(cause) | StoreError::Unavailable(cause)) = &error else { return Err(error) };
            match cause.code() {
                Some("TransactionCanceledException") => {
                    let reasons =
                        cause.detail().map_or(Vec::new(), |cancelled: Cancelled| cancelled.cancellation_reasons);
                    let has = |code| reasons.iter().any(|reason| reason.code.as_deref() == Some(code));
                    if has("ConditionalCheckFailed") {
                        return Ok(false);
                    }
                    if !has("TransactionConflict") && !has("ThrottlingError") && !has("ProvisionedThroughputExceeded") {
                        return Err(error);
                    }
                }
                Some("TransactionInProgressException") => {}
                _ => return Err(error),
            }
        }
        Err(StoreError::Contended)
    }
}

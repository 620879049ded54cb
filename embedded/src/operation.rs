//! The operations that the database answers: from JSON to its typed calls and back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use dynoxide::actions::transact_write_items::TransactWriteItemsRequest;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tokens::{Tokens, content};

macro_rules! operations {
    ($($name:ident => $method:ident,)*) => {
        /// An operation, by its name in the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)*
            TransactWriteItems,
        }

        impl Operation {
            const NAMES: &[&str] = &[$(stringify!($name),)* "TransactWriteItems"];

            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    "TransactWriteItems" => Some(Self::TransactWriteItems),
                    _ => None,
                }
            }

            /// Runs it on a request's JSON and returns the response's.
            pub(crate) fn run(
                self,
                database: &Database,
                tokens: &Tokens,
                body: &[u8],
            ) -> Result<String, DynoxideError> {
                match self {
                    Self::TransactWriteItems => transact(database, tokens, body),
                    $(Self::$name => write(&database.$method(read(body)?)?),)*
                }
            }
        }
    };
}

operations! {
    BatchGetItem => batch_get_item,
    BatchWriteItem => batch_write_item,
    CreateTable => create_table,
    DeleteItem => delete_item,
    DeleteTable => delete_table,
    DescribeTable => describe_table,
    DescribeTimeToLive => describe_time_to_live,
    GetItem => get_item,
    ListTables => list_tables,
    PutItem => put_item,
    Query => query,
    Scan => scan,
    TransactGetItems => transact_get_items,
    UpdateItem => update_item,
    UpdateTimeToLive => update_time_to_live,
}

/// The longest token of a transaction, in characters.
const LONGEST_TOKEN: usize = 36;

/// Calls by operation.
pub(crate) struct Counters([AtomicU64; Operation::NAMES.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Operation::NAMES.len()])
    }
}

impl Counters {
    pub(crate) fn count(&self, operation: Operation) {
        if let Some(counter) = self.0.get(operation as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        Operation::NAMES
            .iter()
            .zip(&self.0)
            .map(|(name, counter)| ((*name).to_owned(), counter.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

fn transact(database: &Database, tokens: &Tokens, body: &[u8]) -> Result<String, DynoxideError> {
    let mut request: TransactWriteItemsRequest = read(body)?;
    match request.client_request_token.take_if(|token| token.len() <= LONGEST_TOKEN) {
        Some(token) => {
            let content = content(&request.transact_items)?;
            tokens.once(token, content, || write(&database.transact_write_items(request)?))
        }
        // One that is too long is left to the database to refuse.
        None => write(&database.transact_write_items(request)?),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))
}

fn write<T: Serialize>(response: &T) -> Result<String, DynoxideError> {
    serde_json::to_string(response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The error of a request that cannot be read. The database's types mark some of their messages with the error's class
/// (`VALIDATION:…`, `SERIALIZATION:…`); serde_json adds where it stood.
fn unreadable(message: &str) -> DynoxideError {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let (class, text) = message
        .split_once(':')
        .filter(|(class, _)| class.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .unwrap_or(("", message));
    if class.starts_with("SERIALIZATION") || text.starts_with("invalid type") {
        DynoxideError::SerializationException(text.to_owned())
    } else {
        DynoxideError::ValidationException(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_request_is_an_error_without_the_markers() {
        let error = unreadable("VALIDATION_REQUEST:Supplied AttributeValue is empty at line 1 column 20");
        assert!(
            matches!(&error, DynoxideError::ValidationException(text) if text == "Supplied AttributeValue is empty")
        );
        let error = unreadable("SERIALIZATION:Unexpected field type at line 1 column 2");
        assert!(matches!(&error, DynoxideError::SerializationException(text) if text == "Unexpected field type"));
        let error = unreadable("missing field `TableName` at line 1 column 2");
        assert!(matches!(&error, DynoxideError::ValidationException(text) if text == "missing field `TableName`"));
    }

    #[test]
    fn only_known_operations_have_a_name() {
        assert!(Operation::from_name("GetItem") == Some(Operation::GetItem));
        assert!(Operation::from_name("Getitem").is_none() && Operation::from_name("ExecuteStatement").is_none());
    }
}

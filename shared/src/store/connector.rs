//! Connectors: what a key opens, through its rotations. A plan counts them, and a caller who keeps a connector's name
//! finds the key that stands in it now. All of a tenant's are read consistently, by one query.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, number, text, ttl};
use super::read::Query;
use super::write::Write;
use super::{KeyItem, Store, StoreError};
use crate::id::{ConnectorId, Home, TenantId};

/// The sort key of the count; those of the connectors start with it, and stand behind it.
const SK: &str = "CONNECTOR";
/// No other key stands in the connector. It may be gone, since DynamoDB deletes what has expired.
const NOT_ANOTHERS: &str = "attribute_not_exists(pk) OR key_hash = :hash";

/// A connector whose key was not revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorItem {
    /// Its name.
    pub connector: ConnectorId,
    /// Who owns it.
    pub tenant: TenantId,
    /// What its keys open.
    #[serde(rename = "agent")]
    pub home: Home,
    /// The hash of the key that stands in it.
    pub key_hash: String,
    /// When that key stops to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// What a query over a tenant's connectors brings: the count first, then each of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Connector(ConnectorItem),
    Count { made: u64 },
}

/// A tenant's connectors.
pub(super) struct Connectors {
    /// How many of them work.
    pub(super) working: usize,
    /// How many were made within a limit; `None` before the first.
    pub(super) made: Option<u64>,
}

fn tenant_partition(tenant: &TenantId) -> String {
    format!("TENANT#{tenant}")
}

fn connector_key(tenant: &TenantId, connector: &ConnectorId) -> Key {
    Key::new(tenant_partition(tenant), format!("{SK}#{connector}"))
}

impl Store {
    /// A connector of a tenant whose key was not revoked.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn connector(
        &self,
        tenant: &TenantId,
        connector: &ConnectorId,
    ) -> Result<Option<ConnectorItem>, StoreError> {
        self.get(&connector_key(tenant, connector)).await
    }

    /// Counts a tenant's connectors. The count of those made is read no later than they are: who writes under the
    /// condition that it stands has seen every connector that was made within a limit.
    pub(super) async fn connectors(&self, tenant: &TenantId, now_ms: i64) -> Result<Connectors, StoreError> {
        let mut found = Connectors { working: 0, made: None };
        for row in self.all(Query::starting(&tenant_partition(tenant), SK)).await? {
            match row {
                Row::Connector(one) if one.expires_at.is_none_or(|at| at > now_ms) => found.working += 1,
                Row::Connector(_) => {}
                Row::Count { made } => found.made = Some(made),
            }
        }
        Ok(found)
    }

    /// Counts one more made, where `made` still is how many there were.
    pub(super) fn one_more(tenant: &TenantId, made: Option<u64>) -> Write {
        let update = Write::update(&Key::new(tenant_partition(tenant), SK), "SET made = :next, tenant = :tenant")
            .value(":next", number(made.unwrap_or_default() + 1))
            .value(":tenant", text(tenant.as_str()));
        match made {
            None => update.condition("attribute_not_exists(made)"),
            Some(made) => update.condition("made = :made").value(":made", number(made)),
        }
    }

    /// The connector of a new key.
    pub(super) fn new_connector(&self, key: &KeyItem) -> Result<Write, StoreError> {
        self.put_connector(key, &key.hash)
    }

    /// The connector of `old` with `new` standing in it, where no third does.
    pub(super) fn next_of_connector(&self, old: &KeyItem, new: &KeyItem) -> Result<Write, StoreError> {
        self.put_connector(new, &old.hash)
    }

    fn put_connector(&self, key: &KeyItem, hash: &str) -> Result<Write, StoreError> {
        let item = ConnectorItem {
            connector: key.connector.clone(),
            tenant: key.tenant.clone(),
            home: key.home.clone(),
            key_hash: key.hash.clone(),
            expires_at: key.expires_at,
        };
        let mut item = connector_key(&key.tenant, &key.connector).with(serde_dynamo::to_item(item)?);
        item.extend(key.expires_at.map(|at| (TTL.to_owned(), ttl(at))));
        let put = Write::put(item).condition(NOT_ANOTHERS).value(":hash", text(hash));
        Ok(put)
    }

    /// No connector any more, where no other key stands in it.
    pub(super) fn end_of_connector(key: &KeyItem) -> Write {
        Write::delete(&connector_key(&key.tenant, &key.connector))
            .condition(NOT_ANOTHERS)
            .value(":hash", text(&key.hash))
    }
}

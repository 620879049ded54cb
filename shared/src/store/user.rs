//! Users, found by the SHA-256 of their issuer and subject, and the tenant that is theirs.

use serde::{Deserialize, Serialize};

use super::item::{Item, Key};
use super::tenant::tenant_key;
use super::write::Write;
use super::{Store, StoreError, TenantItem};
use crate::id::TenantId;

/// A user of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserItem {
    /// The SHA-256 of issuer and subject, in hex.
    pub hash: String,
    /// Who vouches for them.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// What is theirs.
    pub tenant: TenantId,
    /// When they were first seen.
    pub created_at: i64,
}

fn user_key(hash: &str) -> Key {
    Key::new(format!("USER#{hash}"), "USER")
}

impl UserItem {
    fn item(&self) -> Result<Item, StoreError> {
        Ok(user_key(&self.hash).with(serde_dynamo::to_item(self)?))
    }
}

impl Store {
    /// A user.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn user(&self, hash: &str) -> Result<Option<UserItem>, StoreError> {
        self.get(&user_key(hash)).await
    }

    /// Stores a user who was not seen before, with a new tenant of theirs, both or neither; `false` where one of them
    /// stands already.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_new_user(&self, user: &UserItem, tenant: &TenantItem) -> Result<bool, StoreError> {
        let owned = tenant_key(&tenant.tenant).with(serde_dynamo::to_item(tenant)?);
        let writes = vec![self.new_item(user.item()?)?, self.new_item(owned)?];
        self.transact(&writes, tenant.tenant.as_str()).await
    }

    fn new_item(&self, item: Item) -> Result<Write, StoreError> {
        let put = Write::put(item).condition("attribute_not_exists(pk)");
        Ok(put)
    }

    /// Stores a user, over what was stored of them: the tenant that it names is theirs from now on.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_user(&self, user: &UserItem) -> Result<(), StoreError> {
        self.write(&Write::put(user.item()?)).await.map(drop)
    }
}

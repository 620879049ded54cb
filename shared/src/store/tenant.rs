//! Tenants, their plans, and what they used.

use serde::{Deserialize, Serialize};

use super::item::Key;
use super::write::Write;
use super::{Store, StoreError};
use crate::id::TenantId;

/// Who owns and pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantItem {
    /// Its id.
    pub tenant: TenantId,
    /// Its plan's name.
    pub plan: String,
    /// Tokens a month, where they differ from the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_tokens: Option<u64>,
    /// Requests a minute of each app, where they differ from the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Requests a day of each app, where they differ from the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u32>,
    /// When it was made.
    pub created_at: i64,
}

impl TenantItem {
    /// A tenant on the free plan.
    #[must_use]
    pub fn new(tenant: TenantId, created_at: i64) -> Self {
        Self {
            tenant,
            plan: "free".to_owned(),
            monthly_tokens: None,
            requests_per_minute: None,
            requests_per_day: None,
            created_at,
        }
    }
}

/// What a tenant used in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageItem {
    /// Tokens read by models.
    pub input_tokens: u64,
    /// Tokens written by models.
    pub output_tokens: u64,
    /// Turns that ran.
    pub turns: u64,
    /// What the providers' list prices make of it, in millionths of a US dollar.
    pub cost_micros: u64,
}

pub(super) fn tenant_key(tenant: &TenantId) -> Key {
    Key::new(format!("TENANT#{tenant}"), "TENANT")
}

/// The key of a month's usage; `month` is `yyyy-mm`.
pub(super) fn usage_key(tenant: &TenantId, month: &str) -> Key {
    Key::new(format!("TENANT#{tenant}"), format!("USAGE#{month}"))
}

impl Store {
    /// Stores a tenant, over what was stored of it.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_tenant(&self, tenant: &TenantItem) -> Result<(), StoreError> {
        let item = tenant_key(&tenant.tenant).with(serde_dynamo::to_item(tenant)?);
        self.write(&Write::put(item)).await.map(drop)
    }

    /// A tenant.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Option<TenantItem>, StoreError> {
        self.get(&tenant_key(tenant)).await
    }

    /// What a tenant used in a month (`yyyy-mm`).
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn usage(&self, tenant: &TenantId, month: &str) -> Result<UsageItem, StoreError> {
        Ok(self.get(&usage_key(tenant, month)).await?.unwrap_or_default())
    }
}

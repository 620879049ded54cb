//! Whether a tenant's plan has room for another connection.

use std::collections::BTreeSet;

use crate::limit::{Plan, PlanLimit};
use crate::store::{Store, StoreError};
use crate::{channel::Platform, id::TenantId};

/// Counts the connections of all the tenant's agents, and the keys' connectors that work; the connection of this name is
/// not counted. Connections that are made at the same moment do not see each other.
///
/// # Errors
/// Where the table cannot be read. The inner error is the plan's, where it has no room.
pub async fn room(
    store: &Store,
    tenant: &TenantId,
    platform: Platform,
    external: &str,
    now_ms: i64,
) -> Result<Result<(), PlanLimit>, StoreError> {
    let Some(most) = Plan::of(store.tenant(tenant).await?.as_ref()).connectors() else { return Ok(Ok(())) };
    let mut used = 0;
    for agent in store.agents(tenant).await? {
        let connections = store.connections(tenant, &agent.id).await?;
        used += connections.iter().filter(|one| (one.platform, one.external.as_str()) != (platform, external)).count();
        let keys = store.keys(tenant, &agent.id).await?;
        let working = keys.iter().filter(|key| key.enabled && key.expires_at.is_none_or(|at| at > now_ms));
        used += working.map(|key| key.connector.as_str()).collect::<BTreeSet<_>>().len();
    }
    let has_room = u32::try_from(used).is_ok_and(|used| used < most);
    Ok(if has_room { Ok(()) } else { Err(PlanLimit::Connectors(most)) })
}

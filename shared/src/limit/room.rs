//! Room for another connection of a channel: a plan counts it as a connector, beside those of keys.

use std::collections::BTreeSet;

use super::{Plan, PlanLimit};
use crate::id::TenantId;
use crate::store::{ConnectionItem, Store, StoreError};

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// As many connectors work as the plan has.
    #[error(transparent)]
    Plan(#[from] PlanLimit),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether the tenant's plan has room for a connection beside the connectors that work; those that it takes the place of
/// are not counted. Of two that are made at once, both may find the same room.
///
/// # Errors
/// [`RoomError::Plan`] where it has not.
pub async fn room_for_connection(
    store: &Store,
    tenant: &TenantId,
    replaces: impl Fn(&ConnectionItem) -> bool,
    now_ms: i64,
) -> Result<(), RoomError> {
    let Some(most) = Plan::of(store.tenant(tenant).await?.as_ref()).connectors() else { return Ok(()) };
    let mut working = 0;
    for agent in store.agents(tenant).await? {
        let (keys, connections) =
            tokio::try_join!(store.keys(tenant, &agent.id), store.connections(tenant, &agent.id))?;
        let works = |key: &&crate::store::KeyItem| key.enabled && key.expires_at.is_none_or(|at| at > now_ms);
        let connectors: BTreeSet<_> = keys.iter().filter(works).map(|key| &key.connector).collect();
        working += connectors.len() + connections.iter().filter(|connection| !replaces(connection)).count();
    }
    if working < most as usize { Ok(()) } else { Err(PlanLimit::Connectors(most).into()) }
}

//! Where the turn of a trace stands.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, ttl};
use super::write::Write;
use super::{Store, StoreError, TurnItem};
use crate::id::{ProjectId, SessionId, TenantId, TraceId};

/// The place of a turn of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TraceItem {
    tenant: TenantId,
    app: ProjectId,
    session: SessionId,
    turn: u64,
    expires_at: i64,
}

fn trace_key(trace: &TraceId) -> Key {
    Key::new(format!("TRACE#{trace}"), "TRACE")
}

/// Says where this turn of an app stands.
pub(super) fn trace_write(app: &ProjectId, turn: &TurnItem) -> Result<Write, StoreError> {
    let trace = TraceItem {
        tenant: turn.tenant.clone(),
        app: app.clone(),
        session: turn.session.clone(),
        turn: turn.number,
        expires_at: turn.expires_at,
    };
    let mut item = trace_key(&turn.trace).with(serde_dynamo::to_item(trace)?);
    item.insert(TTL.to_owned(), ttl(turn.expires_at));
    Ok(Write::put(item))
}

impl Store {
    /// The turn of this trace, if it is one of this app.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn traced_turn(
        &self,
        tenant: &TenantId,
        app: &ProjectId,
        trace: &TraceId,
        now_ms: i64,
    ) -> Result<Option<TurnItem>, StoreError> {
        let found: Option<TraceItem> = self.get(&trace_key(trace)).await?;
        match found.filter(|found| found.tenant == *tenant && found.app == *app) {
            Some(found) => self.turn(tenant, app, &found.session, found.turn, now_ms).await,
            None => Ok(None),
        }
    }
}

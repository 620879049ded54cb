//! What a request needs to be let in: one consistent BatchGetItem.

use super::agent::agent_key;
use super::bucket::{BucketItem, bucket_key};
use super::idempotency::idempotency_key;
use super::item::Key;
use super::key::key_key;
use super::project::project_key;
use super::session::session_key;
use super::tenant::{tenant_key, usage_key};
use super::{
    AgentItem, AppSessionItem, IdempotencyItem, KeyItem, ProjectItem, Store, StoreError, TenantItem, UsageItem,
};
use crate::id::{AgentId, ProjectId, SessionId, TenantId};

/// What to read. Parts that are not known yet are left out.
#[derive(Clone, Debug, Default)]
pub struct GateRequest {
    /// The SHA-256 of the key.
    pub key: Option<String>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// The app.
    pub project: Option<ProjectId>,
    /// The app's session that the request names.
    pub session: Option<(ProjectId, SessionId)>,
    /// The identities of the buckets.
    pub buckets: Vec<String>,
    /// The tenant, and the month (`yyyy-mm`) of its usage.
    pub tenant: Option<(TenantId, String)>,
    /// The hash of the request's idempotency key.
    pub idempotency: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// The key.
    pub key: Option<KeyItem>,
    /// The agent.
    pub agent: Option<AgentItem>,
    /// The app.
    pub project: Option<ProjectItem>,
    /// The app's session.
    pub session: Option<AppSessionItem>,
    /// When each bucket is full again, in the order of the request; `None` for a full one.
    pub buckets: Vec<Option<i64>>,
    /// The tenant.
    pub tenant: Option<TenantItem>,
    /// The tenant's usage.
    pub usage: Option<UsageItem>,
    /// The request with the same idempotency key.
    pub idempotency: Option<IdempotencyItem>,
}

impl Store {
    /// Reads all of it in one round trip; a second one follows only where DynamoDB leaves keys unread.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn read_gate(&self, request: &GateRequest) -> Result<Gate, StoreError> {
        let key = request.key.as_deref().map(key_key);
        let agent = request.agent.as_ref().map(agent_key);
        let project = request.project.as_ref().map(project_key);
        let session = request.session.as_ref().map(|(app, session)| session_key(app, session));
        let buckets: Vec<Key> = request.buckets.iter().map(|identity| bucket_key(identity)).collect();
        let tenant = request.tenant.as_ref().map(|(tenant, _)| tenant_key(tenant));
        let usage = request.tenant.as_ref().map(|(tenant, month)| usage_key(tenant, month));
        let idempotency = request.idempotency.as_deref().map(idempotency_key);

        let wanted =
            [&key, &agent, &project, &session, &tenant, &usage, &idempotency].into_iter().flatten().chain(&buckets);
        let possible = wanted.filter(|key| key.is_possible());
        let mut gate = Gate { buckets: vec![None; buckets.len()], ..Gate::default() };
        self.batch(possible, |item| {
            let is = |key: &Option<Key>| key.as_ref().is_some_and(|key| item.is_under(key));
            if is(&key) {
                gate.key = Some(item.read()?);
            } else if is(&agent) {
                gate.agent = Some(item.read()?);
            } else if is(&project) {
                gate.project = Some(item.read()?);
            } else if is(&session) {
                gate.session = Some(item.read()?);
            } else if is(&tenant) {
                gate.tenant = Some(item.read()?);
            } else if is(&usage) {
                gate.usage = Some(item.read()?);
            } else if is(&idempotency) {
                gate.idempotency = Some(item.read()?);
            } else {
                let of_bucket = buckets.iter().zip(&mut gate.buckets).find(|(key, _)| item.is_under(key));
                if let Some((_, full_at)) = of_bucket {
                    *full_at = Some(item.read::<BucketItem>()?.full_at);
                }
            }
            Ok(())
        })
        .await?;
        Ok(gate)
    }
}

//! The store against a table: what is kept apart, what races, and what is written all or not at all. The table is the
//! embedded one, or on the DynamoDB that `ORRERY_TEST_DYNAMODB` names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agents;
mod apps;
mod buckets;
mod claims;
mod owners;
mod queues;
mod sessions;
mod table;
mod turns;

use std::collections::BTreeMap;

use shared::id::{AgentId, ConnectorId, KeyId, SessionId, TenantId, TraceId, WebhookId};
use shared::store::{AgentItem, KeyItem, LeaseOutcome, SessionItem, Store, TurnItem, Webhook};
use table::Table;

/// When every test begins, in milliseconds since the Unix epoch: far ahead, so that what a test lets expire stands until
/// the test itself passes over it. DynamoDB Local deletes within seconds what has expired in earnest.
const NOW: i64 = 4_102_444_800_000;
/// How long sessions and turns are kept.
const KEPT: i64 = 60_000;
/// How long leases and claims hold.
const HOLD: i64 = 9_000;
/// The month that pays.
const MONTH: &str = "2100-01";

fn agent(tenant: &TenantId) -> AgentItem {
    AgentItem {
        id: AgentId::generate(),
        tenant: tenant.clone(),
        name: "support".to_owned(),
        version: 1,
        document: "{}".to_owned(),
        source: "---".to_owned(),
        updated_at: NOW,
        webhooks: BTreeMap::new(),
    }
}

fn webhook() -> (WebhookId, Webhook) {
    (WebhookId::generate(), Webhook::sender("shop".to_owned(), Some("sealed".to_owned()), NOW))
}

fn key(tenant: &TenantId, agent: &AgentId) -> KeyItem {
    let id = KeyId::generate();
    KeyItem {
        hash: format!("hash of {id}"),
        id,
        tenant: tenant.clone(),
        home: agent.into(),
        kind: "server".to_owned(),
        connector: ConnectorId::generate(),
        name: String::new(),
        description: String::new(),
        prefix: "kpn_1234".to_owned(),
        enabled: true,
        scopes: Vec::new(),
        origins: Vec::new(),
        requests_per_minute: None,
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        rotated_to: None,
        rotated_at: None,
        revoked_at: None,
    }
}

/// A key that takes another's place.
fn successor(old: &KeyItem) -> KeyItem {
    KeyItem { connector: old.connector.clone(), home: old.home.clone(), ..key(&old.tenant, &AgentId::generate()) }
}

/// A conversation under test.
struct Talk {
    tenant: TenantId,
    agent: AgentId,
    session: SessionId,
}

impl Talk {
    fn new() -> Self {
        Self { tenant: TenantId::generate(), agent: AgentId::generate(), session: SessionId::generate() }
    }

    fn wanted(&self, owner: &str, now: i64) -> SessionItem {
        SessionItem {
            id: self.session.clone(),
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            source: "webhook".to_owned(),
            created_at: now,
            expires_at: now + KEPT,
            last_turn: 0,
            ended_turn: 0,
            lease_owner: Some(owner.to_owned()),
            lease_until: Some(now + HOLD),
        }
    }

    async fn lease(&self, store: &Store, owner: &str, now: i64) -> LeaseOutcome {
        store.lease_session(&self.wanted(owner, now), true, now).await.unwrap()
    }

    fn turn(&self, number: u64, now: i64) -> TurnItem {
        TurnItem {
            session: self.session.clone(),
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            app: None,
            number,
            trace: TraceId::generate(),
            started_at: now,
            ended_at: now,
            expires_at: now + KEPT,
            source: "webhook".to_owned(),
            record: format!("turn {number}"),
        }
    }

    async fn records(&self, store: &Store, limit: i32, now: i64) -> Vec<String> {
        let turns = store.last_turns(&self.tenant, &self.agent, &self.session, limit, now).await.unwrap();
        turns.into_iter().map(|turn| turn.record).collect()
    }
}

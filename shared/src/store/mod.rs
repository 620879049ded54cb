//! The table. The only place that knows DynamoDB.
//!
//! | item | pk | sk | gsi1pk | gsi1sk | ttl | file |
//! |---|---|---|---|---|---|---|
//! | tenant and its plan | `TENANT#<id>` | `TENANT` | | | | tenant |
//! | a month's usage | `TENANT#<id>` | `USAGE#<yyyy-mm>` | | | | tenant |
//! | how many connectors were made within a limit | `TENANT#<id>` | `CONNECTOR` | | | | connector |
//! | connector: what a key opens, through its rotations | `TENANT#<id>` | `CONNECTOR#<id>` | | | the key's expiry | connector |
//! | user, and the tenant that is theirs | `USER#<sha-256 of issuer and subject>` | `USER` | | | | user |
//! | agent, with its webhooks | `AGENT#<id>` | `AGENT` | `TENANT#<id>#AGENT` | name | | agent |
//! | project, with its receivers | `PROJECT#<id>` | `PROJECT` | `TENANT#<id>#PROJECT` | name | | project |
//! | an app's usage of a model by an agent on a day | `PROJECT#<id>` | `USAGE#<yyyy-mm-dd>#<agent>#<model>` | | | 400 days | app_usage |
//! | key | `KEY#<sha-256 of the key>` | `KEY` | `AGENT#<agent or project>#KEY` | key id | | key |
//! | rate bucket | `BUCKET#<identity>` | `BUCKET` | | | when full again | bucket |
//! | session | `SESSION#<agent>#<id>` | `SESSION` | | | expiry | session |
//! | session of an app | `SESSION#<project>#<id>` | `SESSION` | | | 30 days after its last turn | app_session |
//! | alarm of such a session, until it ends | `SESSION#<project>#<id>` | `END` | `SESSION-END` | its time, and the session | | app_session |
//! | turn of a session | `SESSION#<agent or project>#<id>` | `TURN#<number>` | | | expiry | session |
//! | where the turn of an app's trace stands | `TRACE#<id>` | `TRACE` | | | the turn's | trace |
//! | connection of a channel | `CHANNEL#<platform>#<its id there>` | `CHANNEL` | `AGENT#<id>#CHANNEL` | platform and id | | connection |
//! | message in a queue of this machine | `QUEUE#<name>` | its id | | | 14 days | queue |
//! | name of such a message, taken for five minutes | `QUEUE#<name>#NAME#<name>` | `NAME` | | | its end | queue |
//! | how far an answer was posted on a channel | `REPLY#<message, hashed>` | `REPLY` | | | 8 days | reply |
//! | session that a conversation was moved to | `CONVERSATION#<conversation, hashed>` | `CONVERSATION` | | | the session's | reply |
//! | events that wait to be spread | `OUTBOX#<turn, or another name>` | `OUTBOX` | `OUTBOX#<0 to 3>` | when it is looked for | 4 days | outbox |
//! | event on its way to a receiver | `WEBHOOK#<agent>#<webhook>` | `DELIVERY#<event>` | | | 30 days | delivery |
//! | how a receiver does | `WEBHOOK#<agent>#<webhook>` | `RECEIVER` | | | 30 days | receiver |
//! | answer to a retried request | `IDEMPOTENCY#<scope and key, hashed>` | `IDEMPOTENCY` | | | 24 hours | idempotency |
//!
//! Every item but a bucket, a receiver and those of queues carries its tenant, and what belongs to another one is not
//! returned. Times are milliseconds since the Unix epoch; buckets count in microseconds, `ttl` in seconds. DynamoDB deletes late: a read passes over what has expired.
//! Writes that race are conditional; the writes of a turn are one transaction.

mod agent;
mod app_session;
mod app_usage;
mod bucket;
mod connection;
mod connector;
mod delivery;
mod error;
mod gate;
mod idempotency;
mod item;
mod key;
mod outbox;
mod project;
mod queue;
mod read;
mod receiver;
mod reply;
mod sealed;
mod session;
mod stored;
mod table;
mod tenant;
mod trace;
mod turn;
mod user;
mod write;

pub use agent::{AgentItem, Disabled, MOST_WEBHOOKS, PreviousSecret, Receiver, Webhook};
pub use app_session::{AppLease, AppSessionItem, EndReason, SessionAlarm, SessionEnd};
pub use app_usage::AppUsageItem;
pub use bucket::{BucketTake, BucketWrite};
pub use connection::ConnectionItem;
pub use connector::ConnectorItem;
pub use delivery::{AttemptClaim, AttemptItem, DeliveryItem, DeliveryState};
pub use error::StoreError;
pub use gate::{Gate, GateRequest};
pub use idempotency::{Claim, IdempotencyItem, IdempotencyState};
pub use key::KeyItem;
pub use outbox::{OutboxEvent, OutboxItem, WaitingOutbox};
pub use project::{ProjectAgent, ProjectItem};
pub use queue::QueuedItem;
pub use receiver::{Place, ReceiverItem};
pub use reply::ReplyItem;
pub use sealed::SealedText;
pub use session::{LeaseOutcome, SessionItem, TurnItem};
pub use tenant::{TenantItem, UsageItem};
pub use turn::{AppCommit, TurnAbort, TurnCommit};
pub use user::UserItem;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::{Client, TransportError};

/// The table. Clones share its client.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    table: Arc<str>,
}

impl Store {
    /// The table of this name, reached through this client.
    #[must_use]
    pub fn new(client: Client, table: &str) -> Self {
        Self { client, table: table.into() }
    }

    /// Opens the connection to the table, so that the first request finds it open.
    ///
    /// # Errors
    /// Where no connection comes about.
    pub async fn warm(&self) -> Result<(), TransportError> {
        self.client.warm().await
    }

    /// Calls one of DynamoDB's operations.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html>
    async fn call<T: DeserializeOwned>(&self, operation: &str, request: &impl Serialize) -> Result<T, StoreError> {
        Ok(serde_json::from_slice(&self.answer(operation, request).await?)?)
    }

    /// The same, and its answer as it comes.
    async fn answer(&self, operation: &str, request: &impl Serialize) -> Result<Bytes, StoreError> {
        Ok(self.client.call(&format!("DynamoDB_20120810.{operation}"), serde_json::to_vec(request)?).await?)
    }
}

//! The writes of a turn's end: all of them, or none.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Put, TransactWriteItem, Update};

use super::idempotency::idempotency_key;
use super::item::{TTL, number, text, ttl};
use super::key::key_key;
use super::session::{session_key, turn_key};
use super::tenant::usage_key;
use super::{OutboxItem, SessionItem, Store, StoreError, TurnItem, UsageItem};
use crate::id::{AgentId, SessionId, TenantId, TraceId};

/// How often a transaction is tried that meets another one at the same item.
const CONFLICT_TRIES: u32 = 8;

/// A turn that ended well.
#[derive(Clone, Debug)]
pub struct TurnCommit<'a> {
    /// The turn.
    pub turn: &'a TurnItem,
    /// Who holds the session's lease; `None` for a session that begins with this turn.
    pub lease_owner: Option<&'a str>,
    /// The month (`yyyy-mm`) that pays, and what is added to it.
    pub usage: (&'a str, UsageItem),
    /// The hash and the owner of the request's claim, and when its answer lapses.
    pub claim: Option<(&'a str, &'a str, i64)>,
    /// The hash of a key whose last use is to be written down, and the time.
    pub key_used: Option<(&'a str, i64)>,
    /// What is told of it.
    pub outbox: Option<&'a OutboxItem>,
}

/// A turn that failed or was given up: it is paid for and leaves nothing else behind.
#[derive(Clone, Debug)]
pub struct TurnAbort<'a> {
    /// The turn's name.
    pub trace: &'a TraceId,
    /// Who pays.
    pub tenant: &'a TenantId,
    /// Who would have answered.
    pub agent: &'a AgentId,
    /// The session.
    pub session: &'a SessionId,
    /// The place in the session that the turn would have had.
    pub number: u64,
    /// The month (`yyyy-mm`) that pays, and what is added to it.
    pub usage: (&'a str, UsageItem),
    /// Who holds the session's lease.
    pub lease_owner: Option<&'a str>,
    /// The hash and the owner of the request's claim.
    pub claim: Option<(&'a str, &'a str)>,
    /// What is told of it.
    pub outbox: Option<&'a OutboxItem>,
}

impl Store {
    /// Stores a turn, adds its usage, releases its session and answers its claim, in one transaction. `false` where the
    /// lease or the claim was lost to another: then nothing is written. The remains of a session that is over may stand
    /// in the turn's place: DynamoDB deletes a session and its turns in no order.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn commit_turn(&self, commit: &TurnCommit<'_>) -> Result<bool, StoreError> {
        let turn = commit.turn;
        let mut item = turn_key(&turn.agent, &turn.session, turn.number).with(serde_dynamo::to_item(turn)?);
        item.insert(TTL.to_owned(), ttl(turn.expires_at));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", number(turn.started_at))
            .build()
            .map_err(invalid)?;
        let (month, usage) = &commit.usage;
        let mut writes = vec![
            TransactWriteItem::builder().put(put).build(),
            self.session_write(turn, commit.lease_owner)?,
            self.usage_write(&turn.tenant, month, usage)?,
        ];
        if let Some((hash, owner, lapses_at)) = commit.claim {
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(idempotency_key(hash).attributes()))
                .update_expression("SET #state = :answered, #session = :session, turn = :turn, lapses_at = :lapses")
                .condition_expression("#owner = :owner")
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_names("#state", "state")
                .expression_attribute_names("#session", "session")
                .expression_attribute_values(":owner", text(owner))
                .expression_attribute_values(":answered", text("answered"))
                .expression_attribute_values(":session", text(turn.session.as_str()))
                .expression_attribute_values(":turn", number(turn.number))
                .expression_attribute_values(":lapses", number(lapses_at))
                .build()
                .map_err(invalid)?;
            writes.push(TransactWriteItem::builder().update(update).build());
        }
        if let Some((hash, now)) = commit.key_used {
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key_key(hash).attributes()))
                .update_expression("SET last_used_at = :now")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":now", number(now))
                .build()
                .map_err(invalid)?;
            writes.push(TransactWriteItem::builder().update(update).build());
        }
        if let Some(outbox) = commit.outbox {
            writes.push(self.outbox_write(outbox)?);
        }
        self.transact(writes, turn.trace.as_str()).await
    }

    /// Pays for a turn that failed or was given up, stores what is told of it, and releases what it held. A turn that was stored after all (the
    /// answer to its commit was lost) is not paid for twice; what it held is released even where it cannot be paid for.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn abort_turn(&self, abort: &TurnAbort<'_>) -> Result<(), StoreError> {
        let paid = self.pay(abort).await;
        if let Some(owner) = abort.lease_owner {
            self.release_lease(abort.agent, abort.session, owner).await?;
        }
        if let Some((hash, owner)) = abort.claim {
            self.release_claim(hash, owner).await?;
        }
        paid
    }

    async fn pay(&self, abort: &TurnAbort<'_>) -> Result<(), StoreError> {
        let (month, usage) = &abort.usage;
        let mut writes = Vec::new();
        if *usage != UsageItem::default() {
            writes.push(self.usage_write(abort.tenant, month, usage)?);
        }
        if let Some(outbox) = abort.outbox {
            writes.push(self.outbox_write(outbox)?);
        }
        if writes.is_empty() {
            return Ok(());
        }
        let unless_stored = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(turn_key(abort.agent, abort.session, abort.number).attributes()))
            .condition_expression("attribute_not_exists(pk) OR trace <> :trace")
            .expression_attribute_values(":trace", text(abort.trace.as_str()))
            .build()
            .map_err(invalid)?;
        writes.push(TransactWriteItem::builder().condition_check(unless_stored).build());
        self.transact(writes, &format!("{}-a", abort.trace)).await?;
        Ok(())
    }

    fn session_write(&self, turn: &TurnItem, lease_owner: Option<&str>) -> Result<TransactWriteItem, StoreError> {
        let key = session_key(&turn.agent, &turn.session);
        let write = TransactWriteItem::builder();
        let Some(owner) = lease_owner else {
            let session = SessionItem {
                id: turn.session.clone(),
                tenant: turn.tenant.clone(),
                agent: turn.agent.clone(),
                source: turn.source.clone(),
                created_at: turn.started_at,
                expires_at: turn.expires_at,
                last_turn: turn.number,
                ended_turn: 0,
                lease_owner: None,
                lease_until: None,
            };
            let mut item = key.with(serde_dynamo::to_item(session)?);
            item.insert(TTL.to_owned(), ttl(turn.expires_at));
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(item))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map_err(invalid)?;
            return Ok(write.put(put).build());
        };
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression(
                "SET last_turn = :turn, expires_at = :expires, #ttl = :ttl REMOVE lease_owner, lease_until",
            )
            .condition_expression("lease_owner = :owner AND last_turn = :before")
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":turn", number(turn.number))
            .expression_attribute_values(":before", number(turn.number - 1))
            .expression_attribute_values(":expires", number(turn.expires_at))
            .expression_attribute_values(":ttl", ttl(turn.expires_at))
            .expression_attribute_values(":owner", text(owner))
            .build()
            .map_err(invalid)?;
        Ok(write.update(update).build())
    }

    fn usage_write(&self, tenant: &TenantId, month: &str, usage: &UsageItem) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(usage_key(tenant, month).attributes()))
            .update_expression("ADD input_tokens :input, output_tokens :output, turns :turns, cost_micros :cost")
            .expression_attribute_values(":input", number(usage.input_tokens))
            .expression_attribute_values(":output", number(usage.output_tokens))
            .expression_attribute_values(":turns", number(usage.turns))
            .expression_attribute_values(":cost", number(usage.cost_micros))
            .build()
            .map_err(invalid)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Writes all or none; `false` where a condition did not hold. The token (36 characters at most) covers all tries,
    /// so that a write whose answer was lost is not done twice.
    pub(super) async fn transact(&self, writes: Vec<TransactWriteItem>, token: &str) -> Result<bool, StoreError> {
        for attempt in 0..CONFLICT_TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(
                    (5 << attempt) + u64::from(token.bytes().next_back().unwrap_or_default()) % 16,
                ))
                .await;
            }
            let sent = self
                .client
                .transact_write_items()
                .set_transact_items(Some(writes.clone()))
                .client_request_token(token)
                .send()
                .await;
            let Err(error) = sent else { return Ok(true) };
            match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let reasons = cancelled.cancellation_reasons();
                    let has = |code| reasons.iter().any(|reason| reason.code() == Some(code));
                    if has("ConditionalCheckFailed") {
                        return Ok(false);
                    }
                    if !has("TransactionConflict") && !has("ThrottlingError") && !has("ProvisionedThroughputExceeded") {
                        return Err(StoreError::Refused(Box::new(error)));
                    }
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => {}
                _ => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }
}

pub(super) fn invalid(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Refused(Box::new(error))
}

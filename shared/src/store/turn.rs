//! The writes of a turn's end: all of them, or none.

use super::app_usage::app_usage_write;
use super::idempotency::idempotency_key;
use super::item::{TTL, number, text, ttl};
use super::key::key_key;
use super::outbox::outbox_write;
use super::session::{session_key, turn_key};
use super::tenant::usage_key;
use super::trace::trace_write;
use super::write::Write;
use super::{AppSessionItem, AppUsageItem, OutboxItem, SessionItem, Store, StoreError, TurnItem, UsageItem};
use crate::id::{Home, SessionId, TenantId, TraceId};

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
    /// What an app's session comes to by it.
    pub app: Option<AppCommit<'a>>,
}

/// What a turn makes of its app's session, and of what the app used.
#[derive(Clone, Copy, Debug)]
pub struct AppCommit<'a> {
    /// The session as it is after the turn, without a lease.
    pub session: &'a AppSessionItem,
    /// What each agent used of each model.
    pub usage: &'a [AppUsageItem],
}

/// A turn that failed or was given up: it is paid for and leaves nothing else behind.
#[derive(Clone, Debug)]
pub struct TurnAbort<'a> {
    /// The turn's name.
    pub trace: &'a TraceId,
    /// Who pays.
    pub tenant: &'a TenantId,
    /// What the session belongs to.
    pub home: Home,
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
    /// What each agent of an app used of each model.
    pub app_usage: &'a [AppUsageItem],
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
        let mut item = turn_key(turn.home(), &turn.session, turn.number).with(serde_dynamo::to_item(turn)?);
        item.insert(TTL.to_owned(), ttl(turn.expires_at));
        let put = Write::put(item)
            .condition("attribute_not_exists(pk) OR expires_at <= :now")
            .value(":now", number(turn.started_at));
        let (month, usage) = &commit.usage;
        let mut writes = vec![put, usage_write(&turn.tenant, month, usage)];
        match &commit.app {
            None => writes.push(session_write(turn, commit.lease_owner)?),
            Some(AppCommit { session, usage }) => {
                match commit.lease_owner {
                    Some(owner) => writes.push(session.go_on(owner)?),
                    None => writes.extend(session.begin()?),
                }
                writes.push(trace_write(&session.app, turn)?);
                writes.extend(usage.iter().map(|usage| app_usage_write(&session.app, usage)));
            }
        }
        if let Some((hash, owner, lapses_at)) = commit.claim {
            let update = Write::update(
                &idempotency_key(hash),
                "SET #state = :answered, #session = :session, turn = :turn, lapses_at = :lapses",
            )
            .condition("#owner = :owner")
            .name("#owner", "owner")
            .name("#state", "state")
            .name("#session", "session")
            .value(":owner", text(owner))
            .value(":answered", text("answered"))
            .value(":session", text(turn.session.as_str()))
            .value(":turn", number(turn.number))
            .value(":lapses", number(lapses_at));
            writes.push(update);
        }
        if let Some((hash, now)) = commit.key_used {
            let update = Write::update(&key_key(hash), "SET last_used_at = :now")
                .condition("attribute_exists(pk)")
                .value(":now", number(now));
            writes.push(update);
        }
        if let Some(outbox) = commit.outbox {
            writes.push(outbox_write(outbox)?);
        }
        self.transact(&writes, turn.trace.as_str()).await
    }

    /// Pays for a turn that failed or was given up, stores what is told of it, and releases what it held. A turn that was
    /// stored after all (the answer to its commit was lost) is not paid for twice; what it held is released even where it
    /// cannot be paid for.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn abort_turn(&self, abort: &TurnAbort<'_>) -> Result<(), StoreError> {
        let paid = self.pay(abort).await;
        if let Some(owner) = abort.lease_owner {
            self.release_lease(&abort.home, abort.session, owner).await?;
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
            writes.push(usage_write(abort.tenant, month, usage));
        }
        if let Home::App(app) = &abort.home {
            writes.extend(abort.app_usage.iter().map(|usage| app_usage_write(app, usage)));
        }
        if let Some(outbox) = abort.outbox {
            writes.push(outbox_write(outbox)?);
        }
        if !writes.is_empty() {
            let unless_stored = Write::check(&turn_key(&abort.home, abort.session, abort.number))
                .condition("attribute_not_exists(pk) OR trace <> :trace")
                .value(":trace", text(abort.trace.as_str()));
            writes.push(unless_stored);
            self.transact(&writes, &format!("{}-a", abort.trace)).await?;
        }
        Ok(())
    }
}

fn session_write(turn: &TurnItem, lease_owner: Option<&str>) -> Result<Write, StoreError> {
    let key = session_key(&turn.agent, &turn.session);
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
        return Ok(Write::put(item).condition("attribute_not_exists(pk)"));
    };
    Ok(Write::update(&key, "SET last_turn = :turn, expires_at = :expires, #ttl = :ttl REMOVE lease_owner, lease_until")
        .condition("lease_owner = :owner AND last_turn = :before")
        .name("#ttl", TTL)
        .value(":turn", number(turn.number))
        .value(":before", number(turn.number - 1))
        .value(":expires", number(turn.expires_at))
        .value(":ttl", ttl(turn.expires_at))
        .value(":owner", text(owner)))
}

fn usage_write(tenant: &TenantId, month: &str, usage: &UsageItem) -> Write {
    Write::update(
        &usage_key(tenant, month),
        "ADD input_tokens :input, output_tokens :output, turns :turns, cost_micros :cost",
    )
    .value(":input", number(usage.input_tokens))
    .value(":output", number(usage.output_tokens))
    .value(":turns", number(usage.turns))
    .value(":cost", number(usage.cost_micros))
}

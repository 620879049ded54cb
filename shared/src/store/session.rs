//! Sessions and their turns. A session is one conversation with one agent; a turn is one item, so that there are only
//! whole ones.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, number, text, ttl};
use super::outbox::outbox_write;
use super::read::Query;
use super::write::{Write, Written};
use super::{OutboxItem, Store, StoreError};
use crate::id::{AgentId, EventId, Home, ProjectId, SessionId, TenantId, TraceId};

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionItem {
    /// Its id, unique with its agent.
    pub id: SessionId,
    /// Who owns it.
    pub tenant: TenantId,
    /// With whom it is held.
    pub agent: AgentId,
    /// The endpoint on which it began.
    pub source: String,
    /// When it began.
    pub created_at: i64,
    /// When it is over, unless another turn is taken.
    pub expires_at: i64,
    /// The number of its last turn; 0 before the first.
    pub last_turn: u64,
    /// The number of the last turn that was forgotten when the session was ended.
    #[serde(default)]
    pub ended_turn: u64,
    /// Who holds it while a turn runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<String>,
    /// Until when, unless the lease is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<i64>,
}

/// One turn: what was said, from the user's message to the end of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnItem {
    /// The session.
    pub session: SessionId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Who answered.
    pub agent: AgentId,
    /// The app that the session belongs to; a session without one belongs to its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<ProjectId>,
    /// Its place in the session, from 1.
    pub number: u64,
    /// Its name in logs and answers.
    pub trace: TraceId,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    #[serde(default)]
    pub ended_at: i64,
    /// When it may be forgotten.
    pub expires_at: i64,
    /// The endpoint that it came in by.
    pub source: String,
    /// What was said and what it cost, as JSON (`session::Turn`).
    pub record: String,
}

impl TurnItem {
    /// What its session belongs to.
    #[must_use]
    pub fn home(&self) -> Home {
        self.app.as_ref().map_or_else(|| Home::from(&self.agent), Home::from)
    }
}

/// What became of the wish for a session's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// It is ours; this is the session.
    Held(SessionItem),
    /// Another turn holds it until this time, if it does not renew.
    Busy(i64),
    /// There is no such session (any more).
    Missing,
}

pub(super) fn session_key(home: impl Into<Home>, session: &SessionId) -> Key {
    Key::new(format!("SESSION#{}#{session}", home.into()), "SESSION")
}

pub(super) fn turn_key(home: impl Into<Home>, session: &SessionId, turn: u64) -> Key {
    Key::new(format!("SESSION#{}#{session}", home.into()), format!("TURN#{turn:010}"))
}

impl Store {
    /// Takes the lease of a session: `wanted` names the session, its owner-to-be and the lease's end. Where `create` is
    /// set, a session that is missing or over begins anew. To ask again for a lease that is one's own is no harm: the
    /// answer to the first call may have been lost.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn lease_session(
        &self,
        wanted: &SessionItem,
        create: bool,
        now_ms: i64,
    ) -> Result<LeaseOutcome, StoreError> {
        let there = if create {
            "(attribute_not_exists(pk) OR #tenant = :tenant)"
        } else {
            "#tenant = :tenant AND expires_at > :now"
        };
        let write = Write::update(
            &session_key(&wanted.agent, &wanted.id),
            "SET id = :id, #tenant = :tenant, #agent = :agent, #source = if_not_exists(#source, :source), \
                 created_at = if_not_exists(created_at, :now), last_turn = if_not_exists(last_turn, :zero), \
                 expires_at = :expires, #ttl = :ttl, lease_owner = :owner, lease_until = :until",
        )
        .condition(format!(
            "{there} AND (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)"
        ))
        .name("#agent", "agent")
        .name("#tenant", "tenant")
        .name("#source", "source")
        .name("#ttl", TTL)
        .value(":id", text(wanted.id.as_str()))
        .value(":tenant", text(wanted.tenant.as_str()))
        .value(":agent", text(wanted.agent.as_str()))
        .value(":source", text(&wanted.source))
        .value(":now", number(now_ms))
        .value(":zero", number(0))
        .value(":expires", number(wanted.expires_at))
        .value(":ttl", ttl(wanted.expires_at))
        .value(":owner", text(wanted.lease_owner.clone().unwrap_or_default()))
        .value(":until", number(wanted.lease_until.unwrap_or_default()))
        .telling_new()
        .telling_refusal();
        match self.write_telling::<SessionItem>(&write).await? {
            Written::Done(session) => Ok(LeaseOutcome::Held(session)),
            Written::Refused(None) => Ok(LeaseOutcome::Missing),
            Written::Refused(Some(found)) => {
                let ours = found.tenant == wanted.tenant && (create || found.expires_at > now_ms);
                Ok(match found.lease_until {
                    Some(until) if ours => LeaseOutcome::Busy(until),
                    _ => LeaseOutcome::Missing,
                })
            }
        }
    }

    /// Holds a lease for longer; `false` where it is not ours any more.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn renew_lease(
        &self,
        home: impl Into<Home>,
        session: &SessionId,
        owner: &str,
        until_ms: i64,
    ) -> Result<bool, StoreError> {
        let write = Write::update(&session_key(home, session), "SET lease_until = :until")
            .condition("lease_owner = :owner")
            .value(":until", number(until_ms))
            .value(":owner", text(owner));
        self.write(&write).await
    }

    /// Gives a lease back without a turn. Nothing happens where it is not ours any more.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn release_lease(
        &self,
        home: impl Into<Home>,
        session: &SessionId,
        owner: &str,
    ) -> Result<(), StoreError> {
        let write = Write::update(&session_key(home, session), "REMOVE lease_owner, lease_until")
            .condition("lease_owner = :owner")
            .value(":owner", text(owner));
        self.write(&write).await.map(drop)
    }

    /// A session of a tenant, unless it is over at `now_ms`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn session(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        session: &SessionId,
        now_ms: i64,
    ) -> Result<Option<SessionItem>, StoreError> {
        let key = session_key(agent, session);
        if !key.is_possible() {
            return Ok(None);
        }
        let found: Option<SessionItem> = self.get(&key).await?;
        Ok(found.filter(|found| found.tenant == *tenant && found.expires_at > now_ms))
    }

    /// Ends a session that stands as it was read, and stores what is told of it, in one transaction; `false` where a
    /// turn runs in it, or was stored since.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn end_session(
        &self,
        session: &SessionItem,
        outbox: Option<&OutboxItem>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let update =
            Write::update(&session_key(&session.agent, &session.id), "SET expires_at = :now, ended_turn = last_turn")
                .condition(
                    "tenant = :tenant AND expires_at > :now AND last_turn = :turn AND \
             (attribute_not_exists(lease_until) OR lease_until <= :now)",
                )
                .value(":tenant", text(session.tenant.as_str()))
                .value(":turn", number(session.last_turn))
                .value(":now", number(now_ms));
        let mut writes = vec![update];
        if let Some(outbox) = outbox {
            writes.push(outbox_write(outbox)?);
        }
        self.transact(&writes, EventId::generate().as_str()).await
    }

    /// The last turns of a session, the oldest first, at most `limit` and at most what one page holds (1 MB).
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn last_turns(
        &self,
        tenant: &TenantId,
        home: impl Into<Home>,
        session: &SessionId,
        limit: i32,
        now_ms: i64,
    ) -> Result<Vec<TurnItem>, StoreError> {
        let query = Query::starting(&session_key(home, session).pk, "TURN#").backwards().limit(limit);
        let mut turns: Vec<TurnItem> = self.page(&query).await?;
        turns.retain(|turn| turn.tenant == *tenant && turn.expires_at > now_ms);
        turns.reverse();
        Ok(turns)
    }

    /// The turns of a session before this one, the newest first: what one page holds (1 MB), at most 50.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn turns_before(
        &self,
        tenant: &TenantId,
        home: impl Into<Home>,
        session: &SessionId,
        turn: u64,
        now_ms: i64,
    ) -> Result<Vec<TurnItem>, StoreError> {
        let (first, last) = (turn_key(home, session, 0), turn.saturating_sub(1));
        let query = Query::between(&first.pk, &first.sk, &format!("TURN#{last:010}")).backwards().limit(50);
        let mut turns: Vec<TurnItem> = self.page(&query).await?;
        turns.retain(|turn| turn.tenant == *tenant && turn.expires_at > now_ms);
        Ok(turns)
    }

    /// One turn of a session, unless it is over at `now_ms`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn turn(
        &self,
        tenant: &TenantId,
        home: impl Into<Home>,
        session: &SessionId,
        turn: u64,
        now_ms: i64,
    ) -> Result<Option<TurnItem>, StoreError> {
        let found: Option<TurnItem> = self.get(&turn_key(home, session, turn)).await?;
        Ok(found.filter(|found| found.tenant == *tenant && found.expires_at > now_ms))
    }
}

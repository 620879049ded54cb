//! Sessions of apps. Unlike an agent's, one has an end of its own, a user and metadata; it stays readable after its end.
//!
//! An alarm stands beside each session that has not ended: the index finds those whose time has come. It is written when
//! the session begins and moved when it rings too early, so that a turn need not touch it.

use serde::{Deserialize, Serialize};

use super::idempotency::idempotency_key;
use super::item::{GSI1_PK, GSI1_SK, Item, Key, TTL, number, text, ttl};
use super::outbox::outbox_write;
use super::read::Query;
use super::session::session_key;
use super::write::{Write, Written};
use super::{IdempotencyItem, OutboxItem, Store, StoreError};
use crate::id::{AgentId, EventId, ProjectId, SessionId, TenantId};

/// The index's partition of alarms.
const ALARMS: &str = "SESSION-END";

/// A conversation with an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSessionItem {
    /// Its id, unique with its app.
    pub id: SessionId,
    /// Who owns it.
    pub tenant: TenantId,
    /// With which app it is held.
    pub app: ProjectId,
    /// The agent that answers next.
    pub agent: AgentId,
    /// With whom, as the caller names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What callers told about it, a JSON object.
    pub metadata: String,
    /// When it began.
    pub created_at: i64,
    /// When it ends, unless another turn is taken before.
    pub ends_at: i64,
    /// That it was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SessionEnd>,
    /// When a person was called for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated_at: Option<i64>,
    /// The number of its last turn; 0 before the first.
    pub last_turn: u64,
    /// Tokens read by models so far.
    pub input_tokens: u64,
    /// Tokens written by models so far.
    pub output_tokens: u64,
    /// When it may be forgotten.
    pub expires_at: i64,
    /// Who holds it while a turn runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<String>,
    /// Until when, unless the lease is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<i64>,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// When.
    pub at: i64,
    /// Why.
    pub reason: EndReason,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A caller closed it.
    UserEnded,
    /// Nobody wrote for too long.
    Expired,
}

/// An alarm: the time at which a session may have to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAlarm {
    /// The session.
    pub session: SessionId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Its app.
    pub app: ProjectId,
    /// The time.
    pub rings_at: i64,
}

/// What became of the wish for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppLease {
    /// It is ours; this is the session.
    Held(Box<AppSessionItem>),
    /// Another turn holds it.
    Busy,
    /// The session has ended, or its time is over.
    Over(Box<AppSessionItem>),
    /// There is no such session.
    Missing,
}

impl SessionAlarm {
    fn of(session: &AppSessionItem) -> Self {
        Self {
            session: session.id.clone(),
            tenant: session.tenant.clone(),
            app: session.app.clone(),
            rings_at: session.ends_at,
        }
    }

    fn key(&self) -> Key {
        Key::new(session_key(&self.app, &self.session).pk, "END")
    }

    /// The sort key of the index: the time first.
    fn place(&self) -> String {
        format!("{}#{}", place(self.rings_at), self.session)
    }

    fn item(&self) -> Result<Item, StoreError> {
        let mut item = self.key().with(serde_dynamo::to_item(self)?);
        item.insert(GSI1_PK.to_owned(), text(ALARMS));
        item.insert(GSI1_SK.to_owned(), text(self.place()));
        Ok(item)
    }
}

/// A time as the index sorts it.
fn place(at_ms: i64) -> String {
    format!("{at_ms:015}")
}

impl AppSessionItem {
    fn item(&self) -> Result<Item, StoreError> {
        let mut item = session_key(&self.app, &self.id).with(serde_dynamo::to_item(self)?);
        item.insert(TTL.to_owned(), ttl(self.expires_at));
        Ok(item)
    }

    /// The writes that begin it: itself, and its alarm.
    pub(super) fn begin(&self) -> Result<[Write; 2], StoreError> {
        let put = Write::put(self.item()?).condition("attribute_not_exists(pk)");
        Ok([put, Write::put(SessionAlarm::of(self).item()?)])
    }

    /// The write that puts it in the place of what it was before this turn, and gives back its lease.
    pub(super) fn go_on(&self, lease_owner: &str) -> Result<Write, StoreError> {
        let put = Write::put(self.item()?)
            .condition("lease_owner = :owner AND last_turn = :before")
            .value(":owner", text(lease_owner))
            .value(":before", number(self.last_turn - 1));
        Ok(put)
    }
}

impl Store {
    /// A session of a tenant's app, unless it is forgotten at `now_ms`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn app_session(
        &self,
        tenant: &TenantId,
        app: &ProjectId,
        session: &SessionId,
        now_ms: i64,
    ) -> Result<Option<AppSessionItem>, StoreError> {
        let found: Option<AppSessionItem> = self.get(&session_key(app, session)).await?;
        Ok(found.filter(|found| found.tenant == *tenant && found.expires_at > now_ms))
    }

    /// Begins a session, answers the request's claim and stores what is told of it, in one transaction. `false` where the
    /// same request came before.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn begin_app_session(
        &self,
        session: &AppSessionItem,
        claim: Option<(&str, &IdempotencyItem)>,
        outbox: Option<&OutboxItem>,
    ) -> Result<bool, StoreError> {
        let mut writes = Vec::from(session.begin()?);
        if let Some((hash, answer)) = claim {
            let mut item = idempotency_key(hash).with(serde_dynamo::to_item(answer)?);
            item.insert(TTL.to_owned(), ttl(answer.lapses_at));
            let put = Write::put(item)
                .condition("attribute_not_exists(pk) OR lapses_at <= :now")
                .value(":now", number(session.created_at));
            writes.push(put);
        }
        if let Some(outbox) = outbox {
            writes.push(outbox_write(outbox)?);
        }
        self.transact(&writes, session.id.as_str()).await
    }

    /// Takes the lease of a session that has not ended. To ask again for a lease that is one's own is no harm.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn lease_app_session(
        &self,
        tenant: &TenantId,
        (app, session): (&ProjectId, &SessionId),
        (owner, until_ms): (&str, i64),
        now_ms: i64,
    ) -> Result<AppLease, StoreError> {
        let key = session_key(app, session);
        if !key.is_possible() {
            return Ok(AppLease::Missing);
        }
        let write = Write::update(&key, "SET lease_owner = :owner, lease_until = :until")
            .condition(
                "tenant = :tenant AND ends_at > :now AND attribute_not_exists(#end) AND \
                 (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)",
            )
            .name("#end", "end")
            .value(":tenant", text(tenant.as_str()))
            .value(":owner", text(owner))
            .value(":until", number(until_ms))
            .value(":now", number(now_ms))
            .telling_new()
            .telling_refusal();
        let found: AppSessionItem = match self.write_telling(&write).await? {
            Written::Done(session) => return Ok(AppLease::Held(Box::new(session))),
            Written::Refused(None) => return Ok(AppLease::Missing),
            Written::Refused(Some(found)) => found,
        };
        Ok(match &found {
            found if found.tenant != *tenant || found.expires_at <= now_ms => AppLease::Missing,
            found if found.end.is_some() || found.ends_at <= now_ms => AppLease::Over(Box::new(found.clone())),
            _ => AppLease::Busy,
        })
    }

    /// Ends a session that stands as it was read, takes its alarm away and stores what is told of it, in one transaction;
    /// `false` where a turn runs in it, was stored since, or it has ended already.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn end_app_session(
        &self,
        session: &AppSessionItem,
        end: &SessionEnd,
        outbox: Option<&OutboxItem>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let update = Write::update(&session_key(&session.app, &session.id), "SET #end = :end")
            .condition(
                "tenant = :tenant AND last_turn = :turn AND attribute_not_exists(#end) AND \
                 (attribute_not_exists(lease_until) OR lease_until <= :now)",
            )
            .name("#end", "end")
            .value(":tenant", text(session.tenant.as_str()))
            .value(":turn", number(session.last_turn))
            .value(":end", serde_dynamo::to_attribute_value(end)?)
            .value(":now", number(now_ms));
        let mut writes = vec![update, Write::delete(&SessionAlarm::of(session).key())];
        if let Some(outbox) = outbox {
            writes.push(outbox_write(outbox)?);
        }
        self.transact(&writes, EventId::generate().as_str()).await
    }

    /// The alarms that ring at `now_ms`, those of longest ago first, at most `most`. The index may lag behind a write by a
    /// moment.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn ringing(&self, now_ms: i64, most: i32) -> Result<Vec<SessionAlarm>, StoreError> {
        self.page(&Query::index_until(ALARMS, &format!("{}~", place(now_ms))).limit(most)).await
    }

    /// Moves an alarm that rang too early; nothing happens where it was moved, or is gone.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn move_alarm(&self, alarm: &SessionAlarm, rings_at: i64) -> Result<(), StoreError> {
        let moved = SessionAlarm { rings_at, ..alarm.clone() };
        let write = Write::update(&alarm.key(), "SET rings_at = :at, gsi1sk = :place")
            .condition("rings_at = :before")
            .value(":at", number(rings_at))
            .value(":place", text(moved.place()))
            .value(":before", number(alarm.rings_at));
        self.write(&write).await.map(drop)
    }

    /// Takes an alarm away that rings for a session which is no more.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn delete_alarm(&self, alarm: &SessionAlarm) -> Result<(), StoreError> {
        self.write(&Write::delete(&alarm.key())).await.map(drop)
    }
}

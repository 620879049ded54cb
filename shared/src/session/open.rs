//! Opening a session for a turn.

use std::time::Duration;

use tokio::time::Instant;

use super::app::{AppWish, FactError};
use super::history;
use crate::clock::{Clock, millis};
use crate::id::{Home, SessionId, TenantId, TraceId};
use crate::model::Message;
use crate::store::{AppLease, AppSessionItem, EndReason, LeaseOutcome, SessionItem, Store, StoreError, TurnItem};

/// How long a lease holds that is not renewed. A turn renews its own every third of it; after a crash the session is
/// free again when it has passed.
pub const LEASE: Duration = Duration::from_secs(9);
/// How long a turn waits for the one before it: longer than a lease, so that a crash costs a wait and no error.
pub const PATIENCE: Duration = Duration::from_secs(12);
/// How long a turn of an app waits for the one before it.
const APP_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries for a lease.
const PAUSE: Duration = Duration::from_millis(200);
/// How many turns of the past are read.
const TURNS: i32 = 50;

/// Which session a caller wishes for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// One that begins now.
    New,
    /// The one of this id, which begins now if there is none.
    Named(SessionId),
    /// The one of this id if it exists, else one that begins now.
    Known(SessionId),
    /// One of an app.
    App(AppWish),
}

/// A session that is open for one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The hold on it; a session that begins now is known to nobody else, and needs none.
    pub lease: Option<Lease>,
    /// The number of the turn.
    pub next_turn: u64,
    /// What was said before.
    pub history: Vec<Message>,
    /// An app's session, with what the request tells of it.
    pub app: Option<Box<AppSessionItem>>,
}

/// The hold on a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it: the turn's trace.
    pub owner: String,
}

/// Why a session is not open.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another turn holds it for longer than we wait.
    #[error("another turn of this session is running")]
    Busy,
    /// The app has no such session.
    #[error("there is no such session")]
    Missing(SessionId),
    /// The app's session has ended.
    #[error("the session has ended")]
    Over(SessionId, EndReason),
    /// What the request tells of the session does not fit.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    store: Store,
    clock: Clock,
    ttl: Duration,
}

impl Sessions {
    /// Over this table, by this clock; a session is kept for `ttl` after its last turn.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, ttl: Duration) -> Self {
        Self { store, clock, ttl }
    }

    /// Opens a session: the lease and the history are asked for together. Where another turn holds the lease, waits
    /// for a while.
    ///
    /// # Errors
    /// [`SessionError::Busy`] where it waited in vain.
    pub async fn open(
        &self,
        (tenant, home, source): (&TenantId, &Home, &str),
        owner: &TraceId,
        wish: Wish,
    ) -> Result<Session, SessionError> {
        let (id, create) = match wish {
            Wish::New => return Ok(fresh()),
            Wish::Named(id) => (id, true),
            Wish::Known(id) => (id, false),
            Wish::App(wish) => return self.open_app(tenant, owner, wish).await,
        };
        let Home::Agent(agent) = home else { return Err(SessionError::Missing(id)) };
        let give_up = Instant::now() + PATIENCE;
        loop {
            let now = self.clock.now_ms();
            let wanted = SessionItem {
                id: id.clone(),
                tenant: tenant.clone(),
                agent: agent.clone(),
                source: source.to_owned(),
                created_at: now,
                expires_at: now + millis(self.ttl),
                last_turn: 0,
                ended_turn: 0,
                lease_owner: Some(owner.to_string()),
                lease_until: Some(now + millis(LEASE)),
            };
            let (leased, turns) = tokio::join!(
                self.store.lease_session(&wanted, create, now),
                self.store.last_turns(tenant, agent, &id, TURNS, now),
            );
            match leased? {
                LeaseOutcome::Held(session) => {
                    let mut turns = self.settled(&session, turns?, now).await?;
                    turns.retain(|turn| turn.number > session.ended_turn);
                    return Ok(Session {
                        id,
                        lease: Some(Lease { owner: owner.to_string() }),
                        next_turn: session.last_turn + 1,
                        history: history(&turns),
                        app: None,
                    });
                }
                LeaseOutcome::Missing => return Ok(fresh()),
                LeaseOutcome::Busy(_) if Instant::now() >= give_up => return Err(SessionError::Busy),
                LeaseOutcome::Busy(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Opens a session of an app, or drafts a new one; the request's facts are added to it, and stored with the turn.
    async fn open_app(&self, tenant: &TenantId, owner: &TraceId, wish: AppWish) -> Result<Session, SessionError> {
        let AppWish { app, session, entry, facts } = wish;
        let Some(id) = session else {
            let drafted = facts.begin(tenant, (&app, &entry), SessionId::generate(), self.clock.now_ms())?;
            return Ok(Session { id: drafted.id.clone(), app: Some(Box::new(drafted)), ..fresh() });
        };
        let give_up = Instant::now() + APP_PATIENCE;
        loop {
            let now = self.clock.now_ms();
            let hold = (owner.as_str(), now + millis(LEASE));
            let (leased, turns) = tokio::join!(
                self.store.lease_app_session(tenant, (&app, &id), hold, now),
                self.store.last_turns(tenant, &app, &id, TURNS, now),
            );
            match leased? {
                AppLease::Held(mut session) => {
                    let turns = match turns {
                        Ok(turns) if is_settled(&turns, session.last_turn) => turns,
                        Ok(_) => self.store.last_turns(tenant, &app, &id, TURNS, now).await?,
                        Err(error) => return Err(error.into()),
                    };
                    if let Err(error) = facts.add_to(&mut session) {
                        self.store.release_lease(&app, &id, owner.as_str()).await?;
                        return Err(error.into());
                    }
                    return Ok(Session {
                        id,
                        lease: Some(Lease { owner: owner.to_string() }),
                        next_turn: session.last_turn + 1,
                        history: history(&turns),
                        app: Some(session),
                    });
                }
                AppLease::Missing => return Err(SessionError::Missing(id)),
                AppLease::Over(session) => {
                    let reason = session.end.as_ref().map_or(EndReason::Expired, |end| end.reason);
                    return Err(SessionError::Over(id, reason));
                }
                AppLease::Busy if Instant::now() >= give_up => return Err(SessionError::Busy),
                AppLease::Busy => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The turns as they stand under the lease: read again where one was stored after they were read.
    async fn settled(
        &self,
        session: &SessionItem,
        turns: Vec<TurnItem>,
        now: i64,
    ) -> Result<Vec<TurnItem>, StoreError> {
        if is_settled(&turns, session.last_turn) {
            return Ok(turns);
        }
        self.store.last_turns(&session.tenant, &session.agent, &session.id, TURNS, now).await
    }
}

/// Whether these turns go up to the session's last one.
fn is_settled(turns: &[TurnItem], last_turn: u64) -> bool {
    turns.last().map_or(0, |turn| turn.number) >= last_turn
}

fn fresh() -> Session {
    Session { id: SessionId::generate(), lease: None, next_turn: 1, history: Vec::new(), app: None }
}

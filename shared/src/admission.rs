//! Between the reading of a request and its turn: the rate token is taken, the request's idempotency key claimed, and the
//! session opened, all at once. Whatever refuses gives back what the others took, but for the rate token.

use std::time::Duration;

use futures::future::join_all;

use crate::auth::{Idempotency, Pass};
use crate::clock::Clock;
use crate::http::{ApiError, ErrorKind};
use crate::id::{SessionId, TraceId};
use crate::limit::{LimitError, Limiter, RateStatus};
use crate::session::{LEASE, PATIENCE, Session, SessionError, Sessions, Wish};
use crate::store::{Claim, IdempotencyItem, IdempotencyState, Store, StoreError, TurnItem};
use crate::turn::ClaimHold;

/// How long a key's last use may be out of date, in milliseconds.
const LAST_USE: i64 = 60 * 60 * 1000;

/// How a request goes on.
#[derive(Debug)]
pub enum Admission {
    /// Its turn runs.
    Run(Box<Admitted>),
    /// It is answered already: by this turn.
    Replay(Box<TurnItem>),
}

/// What a turn needs from the door.
#[derive(Debug)]
pub struct Admitted {
    /// The turn's name.
    pub trace: TraceId,
    /// The open session.
    pub session: Session,
    /// The request's claim.
    pub claim: Option<ClaimHold>,
    /// How the most binding bucket stands.
    pub rate: RateStatus,
    /// The hash of the key, where its last use is to be written down.
    pub key_used: Option<String>,
}

/// Lets callers in.
#[derive(Clone, Debug)]
pub struct Admissions {
    store: Store,
    clock: Clock,
    limiter: Limiter,
    sessions: Sessions,
}

impl Admissions {
    /// Over these parts.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, limiter: Limiter, sessions: Sessions) -> Self {
        Self { store, clock, limiter, sessions }
    }

    /// Whether the caller could be let in, by what was read of it. Nothing is written.
    ///
    /// # Errors
    /// Where a bucket is empty or the plan's limit reached; the status is told in any case.
    pub fn peek(&self, pass: &Pass) -> (Option<RateStatus>, Result<(), ApiError>) {
        let mut most_binding: Option<RateStatus> = None;
        for (bucket, full_at) in &pass.buckets {
            match self.limiter.peek(bucket, *full_at) {
                Ok(status) => most_binding = Some(binding(most_binding, status)),
                Err(error) => {
                    let error = ApiError::from(error);
                    return (error.rate.as_deref().copied().or(most_binding), Err(error));
                }
            }
        }
        (most_binding, pass.budget.map(drop).map_err(Into::into))
    }

    /// Takes the caller's rate tokens.
    ///
    /// # Errors
    /// Where a bucket is empty.
    pub async fn take(&self, pass: &Pass) -> Result<RateStatus, LimitError> {
        let takes = pass.buckets.iter().map(|(bucket, full_at)| self.limiter.take(bucket, *full_at));
        let taken: Vec<RateStatus> = join_all(takes).await.into_iter().collect::<Result<_, _>>()?;
        let most_binding = taken.into_iter().fold(None, |one, other| Some(binding(one, other)));
        most_binding.ok_or_else(|| StoreError::Contended.into())
    }

    /// Lets the caller in, for one turn.
    ///
    /// # Errors
    /// Where a bucket is empty, the same request runs, came with another body, or the session is held.
    pub async fn admit(
        &self,
        pass: &Pass,
        wish: Wish,
        idempotency: Option<&Idempotency>,
    ) -> Result<Admission, ApiError> {
        if let (Some(earlier), Some(idempotency)) = (&pass.earlier, idempotency) {
            return self.earlier(pass, earlier, idempotency).await;
        }
        let trace = TraceId::generate();
        let named = match &wish {
            Wish::New => None,
            Wish::Named(id) | Wish::Known(id) => Some(id.clone()),
            Wish::App(wish) => wish.session.clone(),
        };
        let hold = if named.is_some() { LEASE + PATIENCE } else { LEASE };
        let (rate, claim, session) = tokio::join!(
            self.take(pass),
            self.claim(pass, &trace, idempotency, hold),
            self.sessions.open((&pass.tenant, &pass.home, pass.endpoint.name()), &trace, wish),
        );
        match (rate, claim, session) {
            (Ok(rate), Ok(None | Some(Claim::Claimed)), Ok(session)) => Ok(Admission::Run(Box::new(Admitted {
                claim: idempotency.map(|found| ClaimHold { hash: found.hash.clone(), owner: trace.to_string() }),
                key_used: self.last_use(pass),
                trace,
                session,
                rate,
            }))),
            (rate, claim, session) => {
                self.give_back(pass, &trace, (&claim, idempotency), (&session, named)).await;
                if let (Ok(Some(Claim::Taken(earlier))), Some(idempotency)) = (&claim, idempotency) {
                    return self.earlier(pass, earlier, idempotency).await;
                }
                rate?;
                claim?;
                session?;
                Err(ApiError::internal("a request was neither let in nor refused"))
            }
        }
    }

    /// Gives back what a caller was let in with, where no turn comes of it.
    pub async fn withdraw(&self, pass: &Pass, admitted: &Admitted) {
        let claim = async {
            match &admitted.claim {
                Some(claim) => self.store.release_claim(&claim.hash, &claim.owner).await,
                None => Ok(()),
            }
        };
        let lease = async {
            match &admitted.session.lease {
                Some(lease) => self.store.release_lease(&pass.home, &admitted.session.id, &lease.owner).await,
                None => Ok(()),
            }
        };
        // What cannot be given back lapses by itself within seconds.
        let _lapses = tokio::join!(claim, lease);
    }

    /// Claims the request for as long as the session may be waited for; the turn renews it from then on.
    async fn claim(
        &self,
        pass: &Pass,
        owner: &TraceId,
        idempotency: Option<&Idempotency>,
        hold: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let Some(idempotency) = idempotency else { return Ok(None) };
        let now = self.clock.now_ms();
        let item = IdempotencyItem {
            tenant: pass.tenant.clone(),
            body_hash: idempotency.body_hash.clone(),
            lapses_at: now + i64::try_from(hold.as_millis()).unwrap_or_default(),
            owner: owner.to_string(),
            state: IdempotencyState::Running,
        };
        self.store.claim(&idempotency.hash, &item, now).await.map(Some)
    }

    /// The answer to a request that came before.
    async fn earlier(
        &self,
        pass: &Pass,
        earlier: &IdempotencyItem,
        asked: &Idempotency,
    ) -> Result<Admission, ApiError> {
        if earlier.body_hash != asked.body_hash {
            let message = "The Idempotency-Key was used with another body.";
            return Err(ApiError::new(ErrorKind::Mismatch, message).code("idempotency_mismatch"));
        }
        let IdempotencyState::Answered { session, turn } = &earlier.state else {
            let message = "The same request is still being answered.";
            let wait = Duration::from_secs(2);
            return Err(ApiError::new(ErrorKind::Conflict, message).code("request_running").retry_after(wait));
        };
        let now = self.clock.now_ms();
        let found = self.store.turn(&pass.tenant, &pass.home, session, *turn, now).await?;
        found.map(|turn| Admission::Replay(Box::new(turn))).ok_or_else(|| {
            ApiError::new(ErrorKind::Conflict, "The answer to this request is not kept any more.").code("answer_gone")
        })
    }

    /// Gives back what was taken, and what may have been: the answer to a write can be lost.
    async fn give_back(
        &self,
        pass: &Pass,
        owner: &TraceId,
        (claim, idempotency): (&Result<Option<Claim>, StoreError>, Option<&Idempotency>),
        (session, named): (&Result<Session, SessionError>, Option<SessionId>),
    ) {
        let claimed = idempotency.filter(|_| matches!(claim, Ok(Some(Claim::Claimed)) | Err(_)));
        let leased = named.filter(|_| match session {
            Ok(session) => session.lease.is_some(),
            Err(SessionError::Store(_)) => true,
            Err(SessionError::Busy | SessionError::Missing(_) | SessionError::Over(..) | SessionError::Fact(_)) => {
                false
            }
        });
        let claim = async {
            match claimed {
                Some(idempotency) => self.store.release_claim(&idempotency.hash, owner.as_str()).await,
                None => Ok(()),
            }
        };
        let lease = async {
            match leased {
                Some(session) => self.store.release_lease(&pass.home, &session, owner.as_str()).await,
                None => Ok(()),
            }
        };
        // What cannot be given back lapses by itself within seconds.
        let _lapses = tokio::join!(claim, lease);
    }

    fn last_use(&self, pass: &Pass) -> Option<String> {
        let key = pass.key()?;
        let stale = key.last_used_at.is_none_or(|used| used + LAST_USE < self.clock.now_ms());
        stale.then(|| key.hash.clone())
    }
}

/// The one of two buckets that leaves less.
fn binding(one: Option<RateStatus>, other: RateStatus) -> RateStatus {
    match one {
        Some(one) if one.remaining <= other.remaining => one,
        _ => other,
    }
}

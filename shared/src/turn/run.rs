//! Running a turn from its start to its last write.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::app::{self, End};
use super::progress::Progress;
use super::rounds::Rounds;
use super::{Answer, TurnEvent, TurnFailure, TurnStream, prompt};
use crate::agent::{Agent, Member};
use crate::clock::{Clock, millis};
use crate::egress::Egress;
use crate::id::{RequestId, SessionId, TraceId};
use crate::model::{Message, Models, Role, Stop};
use crate::session::{LEASE, Session, Turn};
use crate::store::{
    AppCommit, AppSessionItem, OutboxItem, Store, StoreError, TurnAbort, TurnCommit, TurnItem, UsageItem,
};
use crate::telemetry;
use crate::telemetry::metrics::{self, Measurement, TurnEnd, TurnMeasurement};
use crate::webhook::{Event, Listeners, Metrics, Outbox};

/// How many events wait for a slow listener before the turn waits too.
const WAITING: usize = 32;
/// How long an answer to an idempotency key is kept.
const ANSWER_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the end of a turn is written before it is given up.
const STORE_TRIES: u32 = 3;
/// How long a listener is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a turn keeps of its time for its last writes.
const FOR_STORING: Duration = Duration::from_secs(10);

/// The bounds of turns.
#[derive(Clone, Copy, Debug)]
pub struct TurnSettings {
    /// The longest turn.
    pub limit: Duration,
    /// How long a session is kept after its last turn.
    pub session_ttl: Duration,
}

/// Runs turns.
#[derive(Clone)]
pub struct Turns {
    store: Store,
    models: Models,
    egress: Egress,
    clock: Clock,
    settings: TurnSettings,
    outbox: Outbox,
    tasks: TaskTracker,
}

/// The hold on a request's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHold {
    /// The hash that names the request.
    pub hash: String,
    /// Who holds it: the turn's trace.
    pub owner: String,
}

/// What a caller says.
#[derive(Clone, Debug, Default)]
pub struct TurnInput {
    /// The user's words.
    pub message: String,
    /// What the caller's application tells about them.
    pub metadata: Option<Map<String, Value>>,
    /// What was said before, where the caller keeps it; else the session's own history counts.
    pub history: Option<Vec<Message>>,
}

/// What a turn knows of the project that its agent belongs to.
#[derive(Clone, Debug, Default)]
pub struct AppTurn {
    /// The project's agents, the one that answers included.
    pub members: Vec<Member>,
    /// What is kept about the conversation; the agents' own texts show it where they say `{{memory.…}}`.
    pub memory: Map<String, Value>,
}

/// A turn that runs.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its name.
    pub trace: TraceId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: i64,
}

/// One message in.
#[derive(Clone, Debug)]
pub struct TurnRequest {
    /// The turn's name.
    pub trace: TraceId,
    /// The request that it answers, for the log.
    pub request: RequestId,
    /// The function that took it in, for metrics.
    pub function: &'static str,
    /// Who answers first.
    pub agent: Agent,
    /// The project that it belongs to; nothing where the agent is called alone.
    pub app: Option<AppTurn>,
    /// The endpoint that it came in by.
    pub source: &'static str,
    /// Who is told of it.
    pub listeners: Listeners,
    /// The open session.
    pub session: Session,
    /// What came in.
    pub input: TurnInput,
    /// The tokens left this month.
    pub budget: Option<u64>,
    /// The request's claim.
    pub claim: Option<ClaimHold>,
    /// The hash of the key, where its last use is to be written down.
    pub key_used: Option<String>,
    /// When the invocation ends, if it does.
    pub deadline: Option<Instant>,
}

impl Turns {
    /// Turns over these parts; `tasks` is waited for before the process ends.
    #[must_use]
    pub const fn new(
        store: Store,
        models: Models,
        egress: Egress,
        clock: Clock,
        settings: TurnSettings,
        outbox: Outbox,
        tasks: TaskTracker,
    ) -> Self {
        Self { store, models, egress, clock, settings, outbox, tasks }
    }

    /// Starts a turn. Dropping the stream gives it up.
    #[must_use]
    pub fn run(&self, request: TurnRequest) -> (Begun, TurnStream) {
        let (events, stream) = channel(WAITING);
        let begun = Begun {
            trace: request.trace.clone(),
            session: request.session.id.clone(),
            started_at: self.clock.now_ms(),
        };
        let (turns, started_at) = (self.clone(), begun.started_at);
        // Boxed: on its way to a task it is moved several times otherwise, all 4 KB of it.
        let play = Box::pin(async move { turns.play(request, started_at, events).await });
        self.tasks.spawn(play.in_current_span());
        (begun, ReceiverStream::new(stream))
    }

    /// The events of a turn that is stored.
    ///
    /// # Errors
    /// Where its record cannot be read.
    pub fn replay(item: &TurnItem) -> Result<TurnStream, serde_json::Error> {
        let turn = Turn::from_record(&item.record)?;
        let (events, stream) = channel(2);
        let answer = Answer::new(item, &turn);
        // Both fit into the channel, and its receiver is in our hands.
        let _sent = events.try_send(TurnEvent::Text(answer.text.clone()));
        let _sent = events.try_send(TurnEvent::Finished(Box::new(answer)));
        Ok(ReceiverStream::new(stream))
    }

    async fn play(self, request: TurnRequest, started_at: i64, events: Sender<TurnEvent>) {
        let mut progress = Progress::new(request.agent.clone());
        let spoken = AssertUnwindSafe(self.speak(&request, &events, &mut progress)).catch_unwind().await;
        let outcome = match spoken.unwrap_or(Err(TurnFailure::Panicked)) {
            Ok(stop) => self.store(&request, &progress, stop, started_at).await,
            Err(failure) => Err(failure),
        };
        let usage = progress.usage();
        measure(&request, &progress, outcome.as_ref().err());
        let (trace, id, agent) = (request.trace.as_str(), request.request.as_str(), request.agent.id.as_str());
        let source = request.source;
        let last = match outcome {
            Ok(answer) => {
                tracing::info!(
                    trace,
                    request = id,
                    agent,
                    source,
                    model = progress.model,
                    turn.duration_ms = self.clock.now_ms() - started_at,
                    turn.input_tokens = usage.input_tokens,
                    turn.output_tokens = usage.output_tokens,
                    turn.tool_calls = progress.tool_calls,
                    "turn finished"
                );
                TurnEvent::Finished(Box::new(answer))
            }
            Err(failure) => {
                let error = telemetry::chain(&failure);
                match failure {
                    TurnFailure::Abandoned => {
                        tracing::info!(trace, request = id, agent, source, "turn given up by its caller")
                    }
                    _ => tracing::error!(trace, request = id, agent, source, error, "turn failed"),
                }
                self.give_up(&request, &progress, &failure).await;
                TurnEvent::Failed(failure)
            }
        };
        // The turn is settled; a listener who does not listen is not waited for.
        let _unheard = events.send_timeout(last, PATIENCE).await;
    }

    /// The rounds, for as long as there is time, the leases are kept and somebody listens.
    async fn speak(
        &self,
        request: &TurnRequest,
        events: &Sender<TurnEvent>,
        progress: &mut Progress,
    ) -> Result<Stop, TurnFailure> {
        let limit = Instant::now() + self.settings.limit;
        let rounds = Rounds {
            models: &self.models,
            egress: &self.egress,
            store: &self.store,
            app: request.app.as_ref(),
            context: prompt::context(self.clock.now(), request.input.metadata.as_ref()),
            history: request.input.history.clone().unwrap_or_else(|| request.session.history.clone()),
            budget: request.budget,
            deadline: request.deadline.map_or(limit, |end| limit.min(end.checked_sub(FOR_STORING).unwrap_or(end))),
            events,
        };
        let message = Message::text(Role::User, request.input.message.clone());
        tokio::select! {
            biased;
            () = events.closed() => Err(TurnFailure::Abandoned),
            () = tokio::time::sleep_until(rounds.deadline) => Err(TurnFailure::Deadline),
            lost = self.keep(request) => Err(lost),
            outcome = rounds.run(message, progress) => outcome,
        }
    }

    /// Renews what the turn holds for as long as it runs; ends when it is lost.
    async fn keep(&self, request: &TurnRequest) -> TurnFailure {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            let until = self.clock.now_ms() + i64::try_from(LEASE.as_millis()).unwrap_or_default();
            let session = &request.session;
            if let Some(lease) = &session.lease
                && matches!(
                    self.store.renew_lease(app::home(request), &session.id, &lease.owner, until).await,
                    Ok(false)
                )
            {
                return TurnFailure::Lost;
            }
            if let Some(claim) = &request.claim
                && matches!(self.store.renew_claim(&claim.hash, &claim.owner, until).await, Ok(false))
            {
                return TurnFailure::Lost;
            }
        }
    }

    async fn store(
        &self,
        request: &TurnRequest,
        progress: &Progress,
        stop: Stop,
        started_at: i64,
    ) -> Result<Answer, TurnFailure> {
        let turn = Turn {
            messages: progress.messages.clone(),
            model: progress.model.clone(),
            stop,
            tool_calls: progress.tool_calls,
            usage: progress.usage(),
            cost: progress.cost(),
            agent: Some(progress.speaker()),
            rounds: progress.rounds.clone(),
            escalation: progress.escalation.clone(),
        };
        let now = self.clock.now_ms();
        let (session, number) = (&request.session, request.session.next_turn);
        let of_app = session.app.as_deref().map(|before| app::after(before, number, progress, now));
        let item = TurnItem {
            session: session.id.clone(),
            tenant: request.agent.tenant.clone(),
            // The session of an agent stays with it; that of an app goes with who answers.
            agent: of_app.as_ref().map_or(&request.agent.id, |session| &session.agent).clone(),
            app: of_app.as_ref().map(|session| session.app.clone()),
            number,
            trace: request.trace.clone(),
            started_at,
            ended_at: now,
            expires_at: of_app.as_ref().map_or(now + millis(self.settings.session_ttl), |session| session.expires_at),
            source: request.source.to_owned(),
            record: turn.to_record(),
        };
        let month = self.month();
        let answer = Answer::new(&item, &turn);
        let outbox = outbox(request, progress, (Ok(&answer), of_app.as_ref()), now);
        let app_usage = app::usage(request, progress, End::Answered, (&self.day(), now));
        let commit = TurnCommit {
            turn: &item,
            lease_owner: session.lease.as_ref().map(|lease| lease.owner.as_str()),
            usage: (&month, usage_item(progress)),
            claim: request
                .claim
                .as_ref()
                .map(|claim| (claim.hash.as_str(), claim.owner.as_str(), now + millis(ANSWER_KEPT))),
            key_used: request.key_used.as_deref().map(|hash| (hash, now)),
            outbox: outbox.as_ref(),
            app: of_app.as_ref().map(|session| AppCommit { session, usage: &app_usage }),
        };
        if !insist(|| self.store.commit_turn(&commit)).await? {
            return Err(TurnFailure::Lost);
        }
        self.outbox.hand_over(outbox.as_ref()).await;
        Ok(answer)
    }

    /// Pays for a turn without an answer, and lets go of what it held.
    async fn give_up(&self, request: &TurnRequest, progress: &Progress, failure: &TurnFailure) {
        let session = &request.session;
        let (month, now) = (self.month(), self.clock.now_ms());
        let outbox = outbox(request, progress, (Err(failure), None), now);
        let app_usage = app::usage(request, progress, End::Failed, (&self.day(), now));
        let abort = TurnAbort {
            trace: &request.trace,
            tenant: &request.agent.tenant,
            home: app::home(request),
            session: &session.id,
            number: session.next_turn,
            usage: (&month, usage_item(progress)),
            lease_owner: session.lease.as_ref().map(|lease| lease.owner.as_str()),
            claim: request.claim.as_ref().map(|claim| (claim.hash.as_str(), claim.owner.as_str())),
            outbox: outbox.as_ref(),
            app_usage: &app_usage,
        };
        if let Err(error) = insist(|| self.store.abort_turn(&abort)).await {
            tracing::error!(
                trace = request.trace.as_str(),
                error = telemetry::chain(&error),
                "a turn could not be settled"
            );
        }
        self.outbox.hand_over(outbox.as_ref()).await;
    }

    /// `yyyy-mm`.
    fn month(&self) -> String {
        self.clock.now().strftime("%Y-%m").to_string()
    }

    /// `yyyy-mm-dd`.
    fn day(&self) -> String {
        self.clock.now().strftime("%Y-%m-%d").to_string()
    }
}

/// Writes the end of a turn, again where the table does not answer. Such a write may be repeated.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(write: impl Fn() -> F) -> Result<T, StoreError> {
    let mut attempt = 1;
    loop {
        match write().await {
            Err(StoreError::Unavailable(_) | StoreError::Contended) if attempt < STORE_TRIES => {
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// What the turn's listeners are told; nothing, where nobody listens.
fn outbox(
    request: &TurnRequest,
    progress: &Progress,
    (outcome, of_app): (Result<&Answer, &TurnFailure>, Option<&AppSessionItem>),
    now_ms: i64,
) -> Option<OutboxItem> {
    if request.listeners.is_empty() {
        return None;
    }
    let home = (&request.agent.tenant, app::home(request));
    if request.session.app.is_some() {
        let events = of_app.map(|session| app::events(request, session, progress)).unwrap_or_default();
        return request.listeners.outbox(request.trace.as_str(), home, events, now_ms);
    }
    let session = &request.session.id;
    let mut events = Event::tool_calls(session, &progress.messages);
    match outcome {
        Ok(answer) => {
            let metrics = Metrics {
                input_tokens: answer.usage.input_tokens,
                output_tokens: answer.usage.output_tokens,
                tool_call_count: answer.tool_calls,
            };
            events.push(Event::message_sent(session, &answer.text, metrics));
        }
        Err(TurnFailure::Abandoned) => {}
        Err(failure) => events.push(Event::error(session, &failure.public_message())),
    }
    request.listeners.outbox(request.trace.as_str(), home, events, now_ms)
}

fn measure(request: &TurnRequest, progress: &Progress, failure: Option<&TurnFailure>) {
    let usage = progress.usage();
    metrics::record(&Measurement::Turn(TurnMeasurement {
        function: request.function,
        end: match failure {
            None | Some(TurnFailure::Abandoned) => TurnEnd::Settled,
            Some(_) => TurnEnd::Failed,
        },
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        first_token: progress.spoke_at.map(|at| at.saturating_duration_since(progress.began)),
    }));
}

fn usage_item(progress: &Progress) -> UsageItem {
    let usage = progress.usage();
    UsageItem {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        turns: u64::from(usage.total() > 0),
        cost_micros: micros(progress.cost()),
    }
}

/// A price in millionths of a US dollar; one that is not known counts nothing.
pub(super) fn micros(cost: Option<f64>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a price is neither negative nor that high"
    )]
    let micros = (cost.unwrap_or_default() * 1_000_000.0).round() as u64;
    micros
}

//! From a message in the queue to its answer on the platform.
//!
//! A message may come more than once: platforms send again what they think is lost, and so does the queue when a worker
//! dies. The turn runs once, under the claim of the platform's event, and its answer is kept with it. The answer's posts
//! are counted in a ledger (`store::ReplyItem`): which ones stand, and which one is about to be sent. Of a post that was
//! about to be sent when a worker died, the platform is asked where it tells; where it does not, the post is sent again.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Found, Incoming, Outcome, Request, Voice, VoiceError, words};
use crate::admission::Admission;
use crate::app::App;
use crate::auth::{AuthError, Caller, Idempotency, Vouched};
use crate::clock::millis;
use crate::http::{ApiError, ErrorKind};
use crate::id::{RequestId, SessionId};
use crate::queue::{Received, Worked};
use crate::session::Wish;
use crate::store::{Claim, ConnectionItem, IdempotencyItem, IdempotencyState, ReplyItem, StoreError};
use crate::telemetry;
use crate::turn::{TurnEvent, TurnFailure, TurnInput, TurnRequest, TurnStream, Turns};

/// As metrics name it.
const FUNCTION: &str = "channel-worker";
/// How long a platform that asks to wait is waited for at once; for longer, the message goes back into the queue.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a message waits that cannot be read, and a post that the platform may have taken.
const AGAIN: Duration = Duration::from_secs(2);
/// The least and the most that a message waits that another worker is at: one that died holds it for up to 21 seconds.
const HELD: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(21));
/// How often a post is tried that the platform may have taken.
const TRIES: u32 = 3;
/// How often a turn is run, which is paid for each time, before its failure is told.
const TURNS: u32 = 3;
/// How often a conversation is told of a limit.
const NOTICE: Duration = Duration::from_secs(60);
/// How long it is known that a message was answered: WhatsApp sends again for seven days.
const KEPT: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// Why a message was not answered, this time.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Voice(#[from] VoiceError),
    #[error("the connection's credentials cannot be used")]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{failure}")]
    Turn {
        #[source]
        failure: TurnFailure,
        draft: Option<String>,
        /// Whether a draft may stand on the platform, known or not.
        is_begun: bool,
    },
    #[error("another worker is at it")]
    Busy,
}

/// What is to be said; nothing, where the text is empty.
struct Said {
    text: String,
    outcome: Outcome,
    /// Where the beginning of it is shown already.
    draft: Option<String>,
}

/// Works on one message of the channels' queue.
pub async fn work(app: &App, received: Received) -> Worked {
    let incoming: Incoming = match serde_json::from_str(&received.body) {
        Ok(incoming) => incoming,
        Err(error) => {
            tracing::error!(%error, "a channel's message cannot be read");
            return Worked::Again(AGAIN);
        }
    };
    let (platform, connection) = (incoming.platform.name(), incoming.connection.as_str());
    match (Work { app, incoming: &incoming, received: &received }).run().await {
        Ok(()) => Worked::Done,
        Err(WorkError::Busy) => Worked::Again(received.back_off().clamp(HELD.0, HELD.1)),
        Err(WorkError::Voice(VoiceError::Later(asked))) => {
            tracing::info!(platform, connection, "the platform is to be asked again later");
            Worked::Again(received.back_off().max(asked.unwrap_or_default()))
        }
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::error!(platform, connection, receives = received.receives, error, "a message is not answered yet");
            Worked::Again(received.back_off())
        }
    }
}

struct Work<'a> {
    app: &'a App,
    incoming: &'a Incoming,
    received: &'a Received,
}

impl Work<'_> {
    async fn run(&self) -> Result<(), WorkError> {
        let (store, name) = (self.app.store(), self.incoming.name());
        let (connection, reply) =
            tokio::try_join!(store.connection(self.incoming.platform, &self.incoming.connection), store.reply(&name),)?;
        let Some(connection) = connection else {
            tracing::info!(platform = self.incoming.platform.name(), "a message came for what is not connected");
            return Ok(());
        };
        let mut reply = reply.unwrap_or_else(|| ReplyItem::new(connection.tenant.clone()));
        if reply.is_finished {
            return Ok(());
        }
        let voice = self.voice(&connection).await?;
        let (said, ()) = tokio::join!(self.words(&connection, voice.as_ref(), &mut reply), voice.seen());
        let said = said?;
        let outcome = self.say(voice.as_ref(), &mut reply, &said).await?;
        reply.is_finished = true;
        reply.is_posting = false;
        self.keep(&reply).await?;
        voice.finished(outcome).await;
        Ok(())
    }

    /// Writes the ledger.
    async fn keep(&self, reply: &ReplyItem) -> Result<(), StoreError> {
        let lapses_at = self.app.clock().now_ms().saturating_add(millis(KEPT));
        self.app.store().put_reply(&self.incoming.name(), reply, lapses_at).await
    }

    async fn voice(&self, connection: &ConnectionItem) -> Result<Box<dyn Voice>, WorkError> {
        let sealer = self.app.sealer().await?;
        let purpose = ConnectionItem::purpose(connection.platform, &connection.external);
        let credentials = sealer
            .open(&connection.tenant, &purpose, &connection.sealed)
            .map_err(|error| WorkError::Credentials(error.into()))?;
        super::voice(self.app, connection.platform, &credentials, self.incoming).map_err(WorkError::Credentials)
    }

    /// What is to be said.
    async fn words(
        &self,
        connection: &ConnectionItem,
        voice: &dyn Voice,
        reply: &mut ReplyItem,
    ) -> Result<Said, WorkError> {
        let idempotency = Idempotency::new(&[FUNCTION], &self.incoming.name(), &[]);
        let vouched = Vouched {
            tenant: &connection.tenant,
            agent: &connection.agent,
            endpoint: self.incoming.platform.endpoint(),
            identity: &connection.external,
            idempotency: Some(&idempotency),
        };
        let caller = match vouched.by(self.app.gatekeeper()).await {
            Ok(caller) => caller,
            Err(AuthError::NoAgent) => return Ok(Said::excuse(words::NOBODY)),
            Err(error) => return Err(error.into()),
        };
        match &self.incoming.request {
            Request::Greeting => Ok(Said::answer(words::greeting(&caller.agent.document))),
            Request::Unreadable => Ok(Said::excuse(words::UNREADABLE)),
            Request::Reset => {
                let (name, session) = (self.incoming.conversation_name(), SessionId::generate());
                let lapses_at = self.app.clock().now_ms().saturating_add(millis(self.app.config().session_ttl));
                self.app.store().put_conversation(&name, &connection.tenant, &session, lapses_at).await?;
                Ok(Said::answer(words::ANEW))
            }
            Request::Answer { text } => {
                let turned = match self.begin(caller, voice, &idempotency, text).await {
                    Ok(events) => self.listen(events, voice, reply).await,
                    Err(error) => Err(error),
                };
                match turned {
                    Ok(said) => Ok(said),
                    Err(error) => self.excuse(error, reply).await,
                }
            }
        }
    }

    /// Begins the agent's turn, or the replay of the one that an earlier worker ran.
    async fn begin(
        &self,
        caller: Caller,
        voice: &dyn Voice,
        idempotency: &Idempotency,
        text: &str,
    ) -> Result<TurnStream, WorkError> {
        // Asked for before the session is held: a platform may take its time.
        let history = match &caller.pass.earlier {
            Some(_) => None,
            None => {
                self.app.admissions().peek(&caller.pass).1?;
                voice.history().await.unwrap_or_else(|error| {
                    tracing::warn!(error = telemetry::chain(&error), "what was said before cannot be read");
                    None
                })
            }
        };
        let conversation = self.incoming.conversation_name();
        let session = match self.app.store().conversation(&conversation, self.app.clock().now_ms()).await? {
            Some(session) => session,
            None => SessionId::from(format!("{}{conversation}", SessionId::PREFIX)),
        };
        let admission = self.app.admissions().admit(&caller.pass, Wish::Named(session), Some(idempotency)).await?;
        let admitted = match admission {
            Admission::Replay(turn) => return Ok(Turns::replay(&turn).map_err(ApiError::internal)?),
            Admission::Run(admitted) => admitted,
        };
        let platform = Value::from(self.incoming.platform.name());
        let (_, events) = self.app.turns().run(TurnRequest {
            trace: admitted.trace,
            request: RequestId::generate(),
            function: FUNCTION,
            source: caller.pass.endpoint.name(),
            listeners: caller.listeners(),
            agent: caller.agent,
            app: None,
            session: admitted.session,
            input: TurnInput {
                message: text.to_owned(),
                metadata: Some(Map::from_iter([("channel".to_owned(), platform)])),
                history,
            },
            budget: caller.pass.budget.ok().flatten(),
            claim: admitted.claim,
            key_used: admitted.key_used,
            deadline: self.received.deadline,
        });
        Ok(events)
    }

    /// Waits for the turn's end, and shows meanwhile that it runs.
    async fn listen(&self, mut events: TurnStream, voice: &dyn Voice, reply: &ReplyItem) -> Result<Said, WorkError> {
        let (mut text, mut draft, mut is_begun) = (String::new(), None, reply.is_posting);
        let (mut shown_at, mut seen_at) = (Instant::now(), Instant::now());
        // A draft stands for the first post. It is not shown where posts stand from an earlier try.
        let interval = voice.draft_interval().filter(|_| reply.posts.is_empty() && !reply.is_posting);
        loop {
            let next = match voice.pulse() {
                Some(pulse) => timeout_at(seen_at + pulse, events.next()).await,
                None => Ok(events.next().await),
            };
            match next {
                Err(_) => {
                    voice.busy().await;
                    seen_at = Instant::now();
                }
                Ok(Some(TurnEvent::Text(more))) => {
                    text.push_str(&more);
                    if interval.is_some_and(|interval| shown_at.elapsed() >= interval) {
                        if draft.is_none() {
                            is_begun = true;
                            self.keep(&ReplyItem { is_posting: true, ..reply.clone() }).await?;
                        }
                        draft = voice.draft(&text, draft).await;
                        shown_at = Instant::now();
                    }
                }
                Ok(Some(TurnEvent::ToolStarted { .. } | TurnEvent::ToolFinished { .. })) => {}
                Ok(Some(TurnEvent::Finished(answer))) => {
                    let text = if answer.text.trim().is_empty() { words::NOTHING.to_owned() } else { answer.text };
                    return Ok(Said { text, outcome: Outcome::Answered, draft });
                }
                Ok(Some(TurnEvent::Failed(failure))) => return Err(WorkError::Turn { failure, draft, is_begun }),
                Ok(None) => {
                    return Err(WorkError::Turn { failure: TurnFailure::Abandoned, draft, is_begun });
                }
            }
        }
    }

    /// What the person is told instead of an answer, unless it is tried again.
    async fn excuse(&self, error: WorkError, reply: &mut ReplyItem) -> Result<Said, WorkError> {
        match error {
            WorkError::Api(error) if error.kind == ErrorKind::RateLimited => {
                self.notice(words::too_many(error.retry_after.unwrap_or(AGAIN)), reply).await
            }
            WorkError::Api(error) if error.kind == ErrorKind::OverPlan => {
                self.notice(words::OVER_PLAN.to_owned(), reply).await
            }
            WorkError::Api(error) if error.code == Some("answer_gone") => Ok(Said::excuse(words::GONE)),
            WorkError::Api(error) if error.kind == ErrorKind::Conflict => Err(WorkError::Busy),
            WorkError::Turn { failure, draft, is_begun } => {
                reply.failed_turns += 1;
                if failure.is_final() || reply.failed_turns >= TURNS {
                    return Ok(Said { draft, ..Said::excuse(words::failed(&failure.public_message())) });
                }
                self.keep(&ReplyItem { is_posting: is_begun, ..reply.clone() }).await?;
                Err(WorkError::Turn { failure, draft, is_begun })
            }
            error => Err(error),
        }
    }

    /// A word about a limit, said once a minute in each conversation: to the message that claims it, each time that one
    /// is worked on.
    async fn notice(&self, text: String, reply: &ReplyItem) -> Result<Said, WorkError> {
        let now = self.app.clock().now_ms();
        let claim = IdempotencyItem {
            tenant: reply.tenant.clone(),
            body_hash: String::new(),
            lapses_at: now.saturating_add(millis(NOTICE)),
            owner: self.incoming.name(),
            state: IdempotencyState::Running,
        };
        let name = format!("notice-{}", self.incoming.conversation_name());
        Ok(match self.app.store().claim(&name, &claim, now).await? {
            Claim::Claimed => Said::excuse(text),
            Claim::Taken(_) => Said::excuse(""),
        })
    }

    /// Sends what does not stand on the platform yet, and tells how that ended.
    async fn say(&self, voice: &dyn Voice, reply: &mut ReplyItem, said: &Said) -> Result<Outcome, WorkError> {
        let mut posts = if said.text.trim().is_empty() { Vec::new() } else { voice.posts(&said.text) };
        if posts.is_empty() && !said.text.trim().is_empty() {
            posts = voice.posts(words::NOTHING);
        }
        let mut reference = said.draft.clone();
        if reply.is_posting
            && let Found::At(found) = voice.find(reply.posts.len()).await?
        {
            reference = Some(found);
        }
        for (index, post) in posts.iter().enumerate().skip(reply.posts.len()) {
            reply.is_posting = true;
            self.keep(reply).await?;
            match self.post(voice, index, post, reference.take()).await {
                Ok(reference) => reply.posts.push(reference),
                Err(VoiceError::Refused(code)) => {
                    self.log_refusal(&code);
                    for word in voice.posts(words::REFUSED) {
                        match self.post(voice, index, &word, None).await {
                            Err(VoiceError::Refused(code) | VoiceError::Closed(code)) => self.log_refusal(&code),
                            posted => reply.posts.push(posted?),
                        }
                    }
                    return Ok(Outcome::Excused);
                }
                Err(VoiceError::Closed(code)) => {
                    self.log_refusal(&code);
                    return Ok(Outcome::Excused);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(said.outcome)
    }

    fn log_refusal(&self, code: &str) {
        let (platform, connection) = (self.incoming.platform.name(), self.incoming.connection.as_str());
        tracing::warn!(platform, connection, code, "an answer is not taken");
    }

    /// Sends one post, and waits where the platform asks for a short wait.
    async fn post(
        &self,
        voice: &dyn Voice,
        index: usize,
        post: &str,
        mut reference: Option<String>,
    ) -> Result<String, VoiceError> {
        let give_up = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            tries += 1;
            match voice.post(index, post, reference.as_deref()).await {
                Err(VoiceError::Later(Some(wait))) => {
                    if Instant::now() + wait > give_up {
                        return Err(VoiceError::Later(Some(wait)));
                    }
                    sleep(wait).await;
                }
                Err(VoiceError::Unknown(_)) if tries < TRIES => {
                    sleep(AGAIN).await;
                    if let Found::At(found) = voice.find(index).await? {
                        reference = Some(found);
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

impl Said {
    fn answer(text: impl Into<String>) -> Self {
        Self { text: text.into(), outcome: Outcome::Answered, draft: None }
    }

    fn excuse(text: impl Into<String>) -> Self {
        Self { text: text.into(), outcome: Outcome::Excused, draft: None }
    }
}

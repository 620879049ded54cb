//! What a turn tells while it runs. The dialects render it.

use futures::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::id::{SessionId, TraceId};
use crate::model::{ModelError, Stop, Usage};
use crate::session::{Speaker, Turn};
use crate::store::{StoreError, TurnItem};

/// The events of a turn, ending with [`TurnEvent::Finished`] or [`TurnEvent::Failed`].
pub type TurnStream = ReceiverStream<TurnEvent>;

/// What a turn tells.
#[derive(Debug)]
pub enum TurnEvent {
    /// More of the answer.
    Text(String),
    /// A tool is called.
    ToolStarted {
        /// The tool's name.
        name: String,
    },
    /// A tool answered.
    ToolFinished {
        /// The tool's name.
        name: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// The answer is complete, and stored.
    Finished(Box<Answer>),
    /// There is no answer, or no more of it.
    Failed(TurnFailure),
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The turn's name.
    pub trace: TraceId,
    /// The session that it is stored in.
    pub session: SessionId,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// Who answered; the last, where one agent handed over to another.
    pub agent: Speaker,
    /// Everything that was said.
    pub text: String,
    /// Why it ended.
    pub stop: Stop,
    /// How many tools were called.
    pub tool_calls: u64,
    /// Their names, each once, in the order of their first calls.
    pub tools_used: Vec<String>,
    /// The providers' figures of all calls.
    pub usage: Usage,
    /// Its price in US dollars by the providers' lists; `None` where one is not known.
    pub cost: Option<f64>,
}

impl Answer {
    /// The answer that this turn gave, as it is stored or about to be.
    pub(super) fn new(item: &TurnItem, turn: &Turn) -> Self {
        let nameless = || Speaker { id: item.agent.clone(), name: String::new() };
        Self {
            trace: item.trace.clone(),
            session: item.session.clone(),
            started_at: item.started_at,
            agent: turn.agent.clone().unwrap_or_else(nameless),
            text: turn.text(),
            stop: turn.stop,
            tool_calls: turn.tool_calls,
            tools_used: turn.tools_used(),
            usage: turn.usage,
            cost: turn.cost,
        }
    }
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum TurnFailure {
    /// No model answered.
    #[error("the model failed")]
    Model(#[from] ModelError),
    /// The turn took too long.
    #[error("the turn took longer than it may")]
    Deadline,
    /// The answer could not be stored.
    #[error("the turn cannot be stored")]
    Store(#[from] StoreError),
    /// The session, or the request's claim, went to another turn.
    #[error("the turn lost its session")]
    Lost,
    /// The turn's code panicked.
    #[error("the turn panicked")]
    Panicked,
    /// Nobody listens any more.
    #[error("the caller went away")]
    Abandoned,
}

impl TurnFailure {
    /// Whether the same message would fail again, for all that is known.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Model(_) | Self::Deadline | Self::Panicked => true,
            Self::Store(_) | Self::Lost | Self::Abandoned => false,
        }
    }

    /// What anyone may be told.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Model(error) => error.public_message().to_owned(),
            Self::Deadline => "The agent took too long to answer.".to_owned(),
            Self::Store(_) => "The answer could not be stored.".to_owned(),
            Self::Lost | Self::Abandoned => "The conversation was interrupted.".to_owned(),
            Self::Panicked => "Something went wrong on our side.".to_owned(),
        }
    }
}

/// Waits for the end of a turn, whose pieces nobody wants to see.
///
/// # Errors
/// The turn's failure.
pub async fn last(mut events: TurnStream) -> Result<Box<Answer>, TurnFailure> {
    while let Some(event) = events.next().await {
        match event {
            TurnEvent::Finished(answer) => return Ok(answer),
            TurnEvent::Failed(failure) => return Err(failure),
            TurnEvent::Text(_) | TurnEvent::ToolStarted { .. } | TurnEvent::ToolFinished { .. } => {}
        }
    }
    Err(TurnFailure::Abandoned)
}

//! The tools that a model calls in one round.

use futures::StreamExt;
use tokio::time::Instant;

use super::progress::{Progress, millis};
use super::rounds::{Actor, Rounds};
use super::{TurnEvent, TurnFailure};
use crate::agent::{Agent, Member};
use crate::model::Block;
use crate::session::{Escalation, MOST_TOOLS, ToolCall};
use crate::telemetry;
use crate::tool::{Steering, ToolOutcome};

/// The most tools that are called in one round; a model that calls more is told so.
const CALLS: usize = 32;
/// How many tools run at once.
const AT_ONCE: usize = 8;
/// The most handoffs of a turn, so that agents do not pass it to and fro for ever.
const HANDOFFS: u32 = 5;
/// The characters of a tool's name in the turn's trace.
const NAME: usize = 64;

/// A tool call of the model.
pub(super) struct Call {
    id: String,
    name: String,
    input: serde_json::Value,
}

/// The calls among these blocks.
pub(super) fn calls(content: &[Block]) -> Vec<Call> {
    let call = |block: &Block| match block {
        Block::ToolUse { id, name, input } => Some(Call { id: id.clone(), name: name.clone(), input: input.clone() }),
        Block::Text { .. } | Block::ToolResult { .. } | Block::Opaque { .. } => None,
    };
    content.iter().filter_map(call).collect()
}

/// What came of a round's calls.
#[derive(Default)]
pub(super) struct Called {
    /// The results, in the order of the calls.
    pub(super) results: Vec<Block>,
    /// Who goes on, where the conversation was handed over.
    pub(super) next: Option<Agent>,
}

impl Rounds<'_> {
    /// Calls the tools: those that only read together, the others one after the other. All are those of the agent that
    /// called them; who takes over speaks after them.
    pub(super) async fn call(
        &self,
        calls: Vec<Call>,
        actor: &Actor,
        progress: &mut Progress,
    ) -> Result<Called, TurnFailure> {
        let at_once = if calls.iter().all(|call| actor.tools.is_read_only(&call.name)) { AT_ONCE } else { 1 };
        progress.tool_calls += u64::try_from(calls.len()).unwrap_or_default();
        for call in &calls {
            self.tell(TurnEvent::ToolStarted { name: call.name.clone() }).await?;
        }
        let mut outcomes = futures::stream::iter(calls.into_iter().enumerate().map(|(index, call)| async move {
            let started = Instant::now();
            let outcome = if index < CALLS {
                let left = self.deadline.saturating_duration_since(started);
                actor.tools.call(&call.name, &call.input, Some(left)).await
            } else {
                ToolOutcome::error(&format!("not called: at most {CALLS} calls are made at a time"))
            };
            (call, outcome, started, Instant::now())
        }))
        .buffered(at_once);
        let mut called = Called::default();
        let mut trace = Vec::new();
        while let Some((call, mut outcome, started, mut ended)) = outcomes.next().await {
            if let Some(steering) = outcome.steering.take() {
                outcome = self.steer(steering, &mut called, progress).await;
                ended = Instant::now();
            }
            if trace.len() < MOST_TOOLS {
                trace.push(ToolCall {
                    name: call.name.chars().take(NAME).collect(),
                    started_ms: progress.since_start(started),
                    duration_ms: millis(started, ended),
                    is_error: outcome.is_error,
                });
            }
            self.tell(TurnEvent::ToolFinished { name: call.name, is_error: outcome.is_error }).await?;
            called.results.push(Block::ToolResult {
                tool_use_id: call.id,
                content: outcome.content,
                is_error: outcome.is_error,
            });
        }
        if let Some(round) = progress.rounds.last_mut() {
            round.tools = trace;
            round.handoff = called.next.as_ref().map(|agent| agent.document.name.clone());
        }
        Ok(called)
    }

    /// Follows a call that steers the turn, and says what came of it.
    async fn steer(&self, steering: Steering, called: &mut Called, progress: &mut Progress) -> ToolOutcome {
        match steering {
            Steering::HandOver(target) => self.hand_over(&target, called, progress).await,
            Steering::Escalate { .. } if progress.escalation.is_some() => {
                ToolOutcome::value("A person was notified already. Tell the user so, unless you did.")
            }
            Steering::Escalate { reason, summary } => {
                progress.escalation = Some(Escalation { reason, summary, agent: progress.speaker() });
                ToolOutcome::value("A person was notified and will take a look. Tell the user so.")
            }
        }
    }

    async fn hand_over(&self, target: &Member, called: &mut Called, progress: &mut Progress) -> ToolOutcome {
        if let Some(next) = &called.next {
            let name = &next.document.name;
            return ToolOutcome::error(&format!("not done: the conversation was handed over to {name} already"));
        }
        if progress.handoffs >= HANDOFFS {
            return ToolOutcome::error(&format!(
                "not done: the conversation was handed over {HANDOFFS} times for this message, which is the most; \
                 answer the user yourself"
            ));
        }
        let Some(agent) = self.read(target, progress).await else {
            let name = &target.name;
            return ToolOutcome::error(&format!(
                "not done: {name} is not there; go on yourself, or choose another agent"
            ));
        };
        let name = agent.document.name.clone();
        progress.handoffs += 1;
        called.next = Some(agent);
        ToolOutcome::value(format!("Handed over. You are {name} now: go on from here, and answer the user."))
    }

    /// The agent as it is stored now; nothing where it is gone or cannot be read.
    async fn read(&self, target: &Member, progress: &Progress) -> Option<Agent> {
        let unreadable = |error: &(dyn std::error::Error + 'static)| {
            let agent = target.id.as_str();
            tracing::warn!(agent, error = telemetry::chain(error), "an agent to hand over to cannot be read");
        };
        let item = self.store.agent(&progress.agent.tenant, &target.id).await;
        let item = item.inspect_err(|error| unreadable(error)).ok().flatten()?;
        Agent::try_from(item).inspect_err(|error| unreadable(error)).ok()
    }
}

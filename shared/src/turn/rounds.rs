//! The rounds of a turn: model, tools, model …, until the model has said what it has to say.

use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::{TurnEvent, TurnFailure};
use crate::agent::AgentDocument;
use crate::model::{
    Block, Completion, ErrorKind, Message, ModelError, ModelEvent, ModelName, ModelRequest, Models, Role, Stop, Usage,
    cost,
};
use crate::tool::{ToolOutcome, Toolbox};

/// The most tools that are called in one round; a model that calls more is told so.
const CALLS: usize = 32;
/// How many tools run at once.
const AT_ONCE: usize = 8;

/// What a turn has come to so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// What was said since the user's message, that one included.
    pub(super) messages: Vec<Message>,
    /// The model that answered last.
    pub(super) model: String,
    /// How many tools were called.
    pub(super) tool_calls: u64,
    /// The figures of the calls that are complete, and of those that failed.
    paid: Usage,
    /// The figures of the call that runs.
    running: Usage,
    /// The price of the complete calls; `None` once one is not known.
    price: Price,
    /// When the caller was shown the first text.
    pub(super) spoke_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Price(Option<f64>);

impl Default for Price {
    fn default() -> Self {
        Self(Some(0.0))
    }
}

impl Progress {
    /// All figures so far.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = self.paid;
        usage += self.running;
        usage
    }

    /// The price so far, in US dollars.
    pub(super) const fn cost(&self) -> Option<f64> {
        self.price.0
    }

    fn pay(&mut self, model: &ModelName, usage: Usage) {
        self.running = Usage::default();
        self.paid += usage;
        self.price = Price(self.price.0.zip(cost(model, &usage)).map(|(sum, more)| sum + more));
    }
}

/// What the rounds work with.
pub(super) struct Rounds<'a> {
    pub(super) models: &'a Models,
    pub(super) tools: &'a Toolbox,
    pub(super) document: &'a AgentDocument,
    /// The system prompt and the context of this request.
    pub(super) prompt: (String, String),
    /// What was said before this turn.
    pub(super) history: Vec<Message>,
    /// The tokens left this month.
    pub(super) budget: Option<u64>,
    pub(super) deadline: Instant,
    pub(super) events: &'a Sender<TurnEvent>,
}

impl Rounds<'_> {
    /// Runs them. What was reached stands in `progress` at every moment.
    pub(super) async fn run(&self, message: Message, progress: &mut Progress) -> Result<Stop, TurnFailure> {
        progress.messages.push(message);
        for round in 0.. {
            let completion = self.ask(progress).await?;
            let calls = calls(&completion.content);
            let stop = completion.stop;
            match stop {
                Stop::ToolUse if !calls.is_empty() && round < self.document.limits.max_tool_rounds => {
                    if self.is_over_budget(progress) {
                        let note = "I had to stop here: the monthly token limit is reached.";
                        return self.stop_with(progress, completion, note).await;
                    }
                    progress.messages.push(Message { role: Role::Assistant, content: completion.content });
                    let results = self.call(calls, progress).await?;
                    progress.messages.push(Message { role: Role::User, content: results });
                }
                Stop::ToolUse if !calls.is_empty() => {
                    let note = format!("I had to stop after {round} rounds of tool calls, before I was done.");
                    return self.stop_with(progress, completion, &note).await;
                }
                Stop::Pause if round < self.document.limits.max_tool_rounds => {
                    progress.messages.push(Message { role: Role::Assistant, content: completion.content });
                }
                Stop::EndTurn | Stop::ToolUse | Stop::MaxTokens | Stop::Refusal | Stop::Pause => {
                    finish(progress, completion.content);
                    return Ok(if stop == Stop::ToolUse { Stop::EndTurn } else { stop });
                }
            }
        }
        Ok(Stop::EndTurn)
    }

    /// One call of the model; its text is passed on as it comes.
    async fn ask(&self, progress: &mut Progress) -> Result<Completion, TurnFailure> {
        let document = self.document;
        let request = ModelRequest {
            system: self.prompt.0.clone(),
            context: self.prompt.1.clone(),
            messages: self.history.iter().chain(&progress.messages).cloned().collect(),
            tools: self.tools.specs(),
            max_output_tokens: document.limits.max_output_tokens,
            temperature: document.temperature,
            thinking_tokens: document.thinking_tokens,
        };
        let models: Vec<_> = std::iter::once(&document.model).chain(&document.fallback_models).cloned().collect();
        let mut answer = match self.models.open(&models, &request, self.deadline).await {
            Ok(answer) => answer,
            Err(error) => {
                progress.pay(&document.model, error.usage);
                return Err(error.into());
            }
        };
        progress.model = answer.model.to_string();
        progress.pay(&answer.model, answer.wasted);
        let mut is_first = true;
        loop {
            match answer.events.next().await {
                Some(Ok(ModelEvent::Text(text))) => {
                    if is_first && progress.spoke_at.is_some() {
                        self.tell(TurnEvent::Text("\n\n".to_owned())).await?;
                    }
                    is_first = false;
                    progress.spoke_at.get_or_insert_with(Instant::now);
                    self.tell(TurnEvent::Text(text)).await?;
                }
                Some(Ok(ModelEvent::Usage(usage))) => progress.running = usage,
                Some(Ok(ModelEvent::Completed(completion))) => {
                    progress.pay(&completion.model, completion.usage);
                    return Ok(completion);
                }
                Some(Err(error)) => {
                    progress.pay(&answer.model, error.usage);
                    return Err(error.into());
                }
                None => return Err(ModelError::new(ErrorKind::Cut).into()),
            }
        }
    }

    /// Calls the tools: those that only read together, the others one after the other.
    async fn call(&self, calls: Vec<Call>, progress: &mut Progress) -> Result<Vec<Block>, TurnFailure> {
        let at_once = if calls.iter().all(|call| self.tools.is_read_only(&call.name)) { AT_ONCE } else { 1 };
        progress.tool_calls += u64::try_from(calls.len()).unwrap_or_default();
        for call in &calls {
            self.tell(TurnEvent::ToolStarted { name: call.name.clone() }).await?;
        }
        let mut outcomes = futures::stream::iter(calls.into_iter().enumerate().map(|(index, call)| async move {
            let outcome = if index < CALLS {
                let left = self.deadline.saturating_duration_since(Instant::now());
                self.run_tool(&call, left).await
            } else {
                ToolOutcome { content: format!("not called: at most {CALLS} calls are made at a time"), is_error: true }
            };
            (call, outcome)
        }))
        .buffered(at_once);
        let mut results = Vec::new();
        while let Some((call, outcome)) = outcomes.next().await {
            self.tell(TurnEvent::ToolFinished { name: call.name, is_error: outcome.is_error }).await?;
            results.push(Block::ToolResult {
                tool_use_id: call.id,
                content: outcome.content,
                is_error: outcome.is_error,
            });
        }
        Ok(results)
    }

    async fn run_tool(&self, call: &Call, left: Duration) -> ToolOutcome {
        self.tools.call(&call.name, &call.input, Some(left)).await
    }

    fn is_over_budget(&self, progress: &Progress) -> bool {
        self.budget.is_some_and(|budget| progress.usage().total() >= budget)
    }

    /// Ends before the model was done, and says so.
    async fn stop_with(
        &self,
        progress: &mut Progress,
        completion: Completion,
        note: &str,
    ) -> Result<Stop, TurnFailure> {
        let separator = if progress.spoke_at.is_some() { "\n\n" } else { "" };
        self.tell(TurnEvent::Text(format!("{separator}{note}"))).await?;
        let mut content = completion.content;
        let has_text = content.iter().any(|block| matches!(block, Block::Text { .. }));
        content.push(Block::Text { text: if has_text { format!("\n\n{note}") } else { note.to_owned() } });
        finish(progress, content);
        Ok(Stop::MaxTokens)
    }

    async fn tell(&self, event: TurnEvent) -> Result<(), TurnFailure> {
        self.events.send(event).await.map_err(|_| TurnFailure::Abandoned)
    }
}

/// A tool call of the model.
struct Call {
    id: String,
    name: String,
    input: serde_json::Value,
}

fn calls(content: &[Block]) -> Vec<Call> {
    let call = |block: &Block| match block {
        Block::ToolUse { id, name, input } => Some(Call { id: id.clone(), name: name.clone(), input: input.clone() }),
        Block::Text { .. } | Block::ToolResult { .. } | Block::Opaque { .. } => None,
    };
    content.iter().filter_map(call).collect()
}

/// Adds the last message, without calls that nobody answers.
fn finish(progress: &mut Progress, mut content: Vec<Block>) {
    content.retain(|block| !matches!(block, Block::ToolUse { .. }));
    if content.is_empty() {
        content.push(Block::Text { text: String::new() });
    }
    progress.messages.push(Message { role: Role::Assistant, content });
}

//! The rounds of a turn: model, tools, model …, until the model has said what it has to say. The agent may change from
//! one to the next.

use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::calls::calls;
use super::progress::{Progress, millis};
use super::{AppTurn, TurnEvent, TurnFailure, prompt};
use crate::agent::{Agent, AgentDocument};
use crate::egress::Egress;
use crate::model::{Block, Completion, ErrorKind, Message, ModelError, ModelEvent, ModelRequest, Models, Role, Stop};
use crate::session::Round;
use crate::store::Store;
use crate::tool::Toolbox;

/// What the rounds work with.
pub(super) struct Rounds<'a> {
    pub(super) models: &'a Models,
    pub(super) egress: &'a Egress,
    pub(super) store: &'a Store,
    /// The project that the agent belongs to, where it is not called alone.
    pub(super) app: Option<&'a AppTurn>,
    /// What the system prompt is followed by in this request.
    pub(super) context: String,
    /// What was said before this turn.
    pub(super) history: Vec<Message>,
    /// The tokens left this month.
    pub(super) budget: Option<u64>,
    pub(super) deadline: Instant,
    pub(super) events: &'a Sender<TurnEvent>,
}

/// What the agent that answers works with.
pub(super) struct Actor {
    document: Arc<AgentDocument>,
    pub(super) tools: Toolbox,
    /// The system prompt.
    prompt: String,
}

impl Rounds<'_> {
    fn actor(&self, agent: &Agent) -> Actor {
        let document = Arc::clone(&agent.document);
        let tools = match self.app {
            Some(app) => Toolbox::within(agent, &app.members, self.egress.clone()),
            None => Toolbox::new(Arc::clone(&document), self.egress.clone()),
        };
        let prompt = prompt::system(&document, self.app.map(|app| &app.memory));
        Actor { document, tools, prompt }
    }

    /// Runs them. What was reached stands in `progress` at every moment.
    pub(super) async fn run(&self, message: Message, progress: &mut Progress) -> Result<Stop, TurnFailure> {
        progress.messages.push(message);
        let mut actor = self.actor(&progress.agent);
        for round in 0.. {
            let completion = self.ask(&actor, progress).await?;
            let calls = calls(&completion.content);
            let stop = completion.stop;
            match stop {
                Stop::ToolUse if !calls.is_empty() && round < actor.document.limits.max_tool_rounds => {
                    if self.is_over_budget(progress) {
                        let note = "I had to stop here: the monthly token limit is reached.";
                        return self.stop_with(progress, completion, note).await;
                    }
                    progress.messages.push(Message { role: Role::Assistant, content: completion.content });
                    let called = self.call(calls, &actor, progress).await?;
                    progress.messages.push(Message { role: Role::User, content: called.results });
                    if let Some(next) = called.next {
                        actor = self.actor(&next);
                        progress.agent = next;
                    }
                }
                Stop::ToolUse if !calls.is_empty() => {
                    let note = format!("I had to stop after {round} rounds of tool calls, before I was done.");
                    return self.stop_with(progress, completion, &note).await;
                }
                Stop::Pause if round < actor.document.limits.max_tool_rounds => {
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
    async fn ask(&self, actor: &Actor, progress: &mut Progress) -> Result<Completion, TurnFailure> {
        let document = &actor.document;
        let request = ModelRequest {
            system: actor.prompt.clone(),
            context: self.context.clone(),
            messages: self.history.iter().chain(&progress.messages).cloned().collect(),
            tools: actor.tools.specs(),
            max_output_tokens: document.limits.max_output_tokens,
            temperature: document.temperature,
            thinking_tokens: document.thinking_tokens,
        };
        let models: Vec<_> = std::iter::once(&document.model).chain(&document.fallback_models).cloned().collect();
        let started = Instant::now();
        let mut answer = match self.models.open(&models, &request, self.deadline).await {
            Ok(answer) => answer,
            Err(error) => {
                progress.pay(&document.model, error.usage);
                return Err(error.into());
            }
        };
        progress.model = answer.model.to_string();
        progress.pay(&answer.model, answer.wasted);
        let mut first_text = None;
        loop {
            match answer.events.next().await {
                Some(Ok(ModelEvent::Text(text))) => {
                    if first_text.is_none() && progress.spoke_at.is_some() {
                        self.tell(TurnEvent::Text("\n\n".to_owned())).await?;
                    }
                    let now = *first_text.get_or_insert_with(Instant::now);
                    progress.spoke_at.get_or_insert(now);
                    self.tell(TurnEvent::Text(text)).await?;
                }
                Some(Ok(ModelEvent::Usage(usage))) => progress.running = usage,
                Some(Ok(ModelEvent::Completed(completion))) => {
                    progress.pay(&completion.model, completion.usage);
                    progress.note(Round {
                        agent: document.name.clone(),
                        model: completion.model.to_string(),
                        started_ms: progress.since_start(started),
                        duration_ms: millis(started, Instant::now()),
                        first_token_ms: first_text.map(|moment| progress.since_start(moment)),
                        usage: completion.usage,
                        stop: completion.stop,
                        tools: Vec::new(),
                        handoff: None,
                    });
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

    pub(super) async fn tell(&self, event: TurnEvent) -> Result<(), TurnFailure> {
        self.events.send(event).await.map_err(|_| TurnFailure::Abandoned)
    }
}

/// Adds the last message, without calls that nobody answers.
fn finish(progress: &mut Progress, mut content: Vec<Block>) {
    content.retain(|block| !matches!(block, Block::ToolUse { .. }));
    if content.is_empty() {
        content.push(Block::Text { text: String::new() });
    }
    progress.messages.push(Message { role: Role::Assistant, content });
}

//! What a turn can call: the agent's own tools, in sandboxed JavaScript, and those that Orrery brings.
//!
//! Most calls are made here. Those that steer the turn itself ([`Steering`]) are only read here; they exist within a
//! project alone.
//!
//! A call never fails as such: whatever goes wrong is an outcome that the model can read and act on.

mod arguments;
mod compare;
mod escalation;
mod handoff;
mod html;
mod javascript;
mod schema;
mod text;
mod web_fetch;
mod worker;

pub use javascript::SandboxSettings;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, AgentDocument, BuiltInTool, Member, ToolDefinition};
use crate::egress::Egress;
use crate::model::ToolSpec;
use crate::session::EscalationReason;
use arguments::ArgumentsError;
use javascript::{Script, ScriptError};
use text::Cut;
use worker::WorkerError;

/// The most bytes of a call's arguments, as JSON.
const MAX_INPUT_BYTES: usize = 1 << 20;
/// The most characters of an error.
const MAX_ERROR_CHARS: usize = 4000;

/// What a tool answered, for the model to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutcome {
    /// The answer, or what went wrong.
    pub content: String,
    /// Whether it went wrong.
    pub is_error: bool,
    /// What the call asks of the turn, which answers it then.
    pub steering: Option<Steering>,
}

/// What a call asks of the turn itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steering {
    /// This agent shall go on.
    HandOver(Member),
    /// A person shall take a look.
    Escalate {
        /// Why.
        reason: EscalationReason,
        /// What the person needs to know; at most 2,000 characters.
        summary: String,
    },
}

impl ToolOutcome {
    /// An answer.
    pub fn value(content: impl Into<String>) -> Self {
        Self { content: content.into(), is_error: false, steering: None }
    }

    /// What went wrong.
    #[must_use]
    pub fn error(error: &impl ToString) -> Self {
        let content = text::bound(&error.to_string(), MAX_ERROR_CHARS, Cut::Result);
        Self { content, is_error: true, steering: None }
    }

    const fn asking(steering: Steering) -> Self {
        Self { content: String::new(), is_error: false, steering: Some(steering) }
    }
}

/// An agent's tools. Nothing is compiled until a call.
#[derive(Clone, Debug)]
pub struct Toolbox {
    document: Arc<AgentDocument>,
    egress: Egress,
    sandbox: SandboxSettings,
    /// Who may be handed over to; nothing outside of projects, where no tool steers.
    targets: Option<Vec<Member>>,
}

/// A custom tool that gave no value.
#[derive(Debug, thiserror::Error)]
enum CustomError {
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl Toolbox {
    /// The tools of an agent that is called alone.
    #[must_use]
    pub fn new(document: Arc<AgentDocument>, egress: Egress) -> Self {
        Self { document, egress, sandbox: SandboxSettings::default(), targets: None }
    }

    /// The tools of an agent among the others of its project.
    #[must_use]
    pub fn within(agent: &Agent, members: &[Member], egress: Egress) -> Self {
        let named = agent.document.tools.iter().find_map(|tool| match tool {
            ToolDefinition::BuiltIn(BuiltInTool::Handoff { to }) => Some(to.as_slice()),
            _ => None,
        });
        let named = named.unwrap_or_default();
        let is_target = |member: &&Member| member.id != agent.id && (named.is_empty() || named.contains(&member.name));
        let targets = members.iter().filter(is_target).cloned().collect();
        Self { targets: Some(targets), ..Self::new(Arc::clone(&agent.document), egress) }
    }

    /// The same tools with other bounds for JavaScript.
    #[must_use]
    pub const fn with_sandbox(mut self, sandbox: SandboxSettings) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// The tools as a model is told of them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let spec = |tool: &ToolDefinition| match tool {
            ToolDefinition::BuiltIn(BuiltInTool::WebFetch) => web_fetch::spec(),
            ToolDefinition::BuiltIn(BuiltInTool::Handoff { .. }) => handoff::spec(self.targets()),
            ToolDefinition::BuiltIn(BuiltInTool::EscalateToHuman) => escalation::spec(),
            ToolDefinition::Custom { name, description, parameters, .. } => {
                ToolSpec { name: name.clone(), description: description.clone(), parameters: parameters.clone() }
            }
        };
        self.offered().map(spec).collect()
    }

    /// Whether a call of this tool changes nothing, so that several may run at once. JavaScript has no way out of its
    /// sandbox, so it changes nothing either; nor does a call that steers, which the turn follows afterwards.
    #[must_use]
    pub fn is_read_only(&self, name: &str) -> bool {
        match self.find(name) {
            Some(ToolDefinition::BuiltIn(_) | ToolDefinition::Custom { .. }) => true,
            None => false,
        }
    }

    /// Calls a tool. It ends within `budget`, the time that the turn has left, where one is given.
    pub async fn call(&self, name: &str, input: &Value, budget: Option<Duration>) -> ToolOutcome {
        let call = self.dispatch(name, input, budget);
        let Some(budget) = budget else { return call.await };
        tokio::time::timeout(budget, call)
            .await
            .unwrap_or_else(|_| ToolOutcome::error(&format!("the tool was stopped: no more than {budget:?} was left")))
    }

    fn find(&self, name: &str) -> Option<&ToolDefinition> {
        self.offered().find(|tool| match tool {
            ToolDefinition::BuiltIn(BuiltInTool::WebFetch) => name == web_fetch::NAME,
            ToolDefinition::BuiltIn(BuiltInTool::Handoff { .. }) => name == handoff::NAME,
            ToolDefinition::BuiltIn(BuiltInTool::EscalateToHuman) => name == escalation::NAME,
            ToolDefinition::Custom { name: own, .. } => name == own,
        })
    }

    /// The tools that have an effect here.
    fn offered(&self) -> impl Iterator<Item = &ToolDefinition> {
        self.document.tools.iter().filter(|tool| match tool {
            ToolDefinition::BuiltIn(BuiltInTool::Handoff { .. }) => !self.targets().is_empty(),
            ToolDefinition::BuiltIn(BuiltInTool::EscalateToHuman) => self.targets.is_some(),
            ToolDefinition::BuiltIn(BuiltInTool::WebFetch) | ToolDefinition::Custom { .. } => true,
        })
    }

    fn targets(&self) -> &[Member] {
        self.targets.as_deref().unwrap_or_default()
    }

    async fn dispatch(&self, name: &str, input: &Value, budget: Option<Duration>) -> ToolOutcome {
        let limit = self.document.limits.max_tool_result_chars;
        match self.find(name) {
            Some(ToolDefinition::BuiltIn(BuiltInTool::WebFetch)) => match web_fetch::call(&self.egress, input).await {
                Ok(page) => ToolOutcome::value(text::bound(&page, limit, Cut::Result)),
                Err(error) => ToolOutcome::error(&error),
            },
            Some(ToolDefinition::BuiltIn(BuiltInTool::Handoff { .. })) => {
                match handoff::target(self.targets(), input) {
                    Ok(target) => ToolOutcome::asking(Steering::HandOver(target)),
                    Err(error) => ToolOutcome::error(&error),
                }
            }
            Some(ToolDefinition::BuiltIn(BuiltInTool::EscalateToHuman)) => match escalation::read(input) {
                Ok((reason, summary)) => ToolOutcome::asking(Steering::Escalate { reason, summary }),
                Err(error) => ToolOutcome::error(&error),
            },
            Some(ToolDefinition::Custom { parameters, code, .. }) => {
                self.run_custom(parameters, code, input, budget).await
            }
            None => ToolOutcome::error(&format!("there is no tool {:?}; {}", text::shorten(name, 100), self.names())),
        }
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.specs().into_iter().map(|spec| spec.name).collect();
        if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) }
    }

    async fn run_custom(&self, parameters: &Value, code: &str, input: &Value, budget: Option<Duration>) -> ToolOutcome {
        let arguments = input.to_string();
        if arguments.len() > MAX_INPUT_BYTES {
            return ToolOutcome::error(&format!("the arguments are longer than {MAX_INPUT_BYTES} bytes"));
        }
        let limit = self.document.limits.max_tool_result_chars;
        let script = Script { code: code.to_owned(), arguments, max_units: limit.saturating_mul(2) };
        let (parameters, input, sandbox) = (parameters.clone(), input.clone(), self.sandbox);
        let time = budget.map_or(sandbox.time, |budget| sandbox.time.min(budget));
        let work = move |stop: &worker::Stop| -> Result<javascript::Rendered, CustomError> {
            arguments::check(&parameters, &input)?;
            Ok(javascript::run(script, sandbox, stop)?)
        };
        match worker::run(time, javascript::THREAD_STACK, work).await {
            Ok(Ok(value)) if value.units > limit.saturating_mul(2) => {
                ToolOutcome::value(text::cut(&value.text, limit, value.units, Cut::Result))
            }
            Ok(Ok(value)) => ToolOutcome::value(text::bound(&value.text, limit, Cut::Result)),
            Ok(Err(CustomError::Script(ScriptError::Time))) | Err(WorkerError::Overrun) => {
                ToolOutcome::error(&format!("the code exceeded {}", spoken(time)))
            }
            Ok(Err(error)) => ToolOutcome::error(&error),
            Err(error) => ToolOutcome::error(&format!("the code gave no value: {error}")),
        }
    }
}

/// A time as it is said: `5 s`, `200 ms`.
fn spoken(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests;

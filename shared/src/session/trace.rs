//! What a turn did, step by step: kept with it, so that it can be looked at afterwards.

use serde::{Deserialize, Serialize};

use crate::id::AgentId;
use crate::model::{Stop, Usage};

/// The most rounds that are kept of a turn.
pub const MOST_ROUNDS: usize = 64;
/// The most tools that are kept of a round.
pub const MOST_TOOLS: usize = 32;

/// An agent that spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaker {
    /// Its id.
    pub id: AgentId,
    /// Its name at that time.
    pub name: String,
}

/// One call of a model, and the tools that it called. Times are milliseconds since the turn's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The name of the agent.
    pub agent: String,
    /// The model that answered, `provider/model`. Attempts that failed before it are not kept.
    pub model: String,
    /// When the model was called.
    pub started_ms: u64,
    /// How long it took to answer, the failed attempts before it included; without its tools.
    pub duration_ms: u64,
    /// When its first text came; nothing where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// The provider's figures of this call.
    pub usage: Usage,
    /// Why the model stopped.
    pub stop: Stop,
    /// The tools that it called, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolCall>,
    /// The name of the agent that it handed over to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<String>,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool's name, as the model wrote it; cut to 64 characters, which no tool's name exceeds.
    pub name: String,
    /// When it began, in milliseconds since the turn's start.
    pub started_ms: u64,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// Whether it failed.
    pub is_error: bool,
}

/// A person was asked to take a look at the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Why.
    pub reason: EscalationReason,
    /// What it is about, in the model's words.
    pub summary: String,
    /// The agent that asked.
    pub agent: Speaker,
}

/// Why a person is asked to take a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    /// The user asked for a person.
    UserRequested,
    /// The agent cannot go on by itself.
    #[default]
    AgentRequested,
    /// A tool does not work.
    ToolFailure,
}

//! The two tools: how they are described, and what they are given.

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::agent::Agent;
use shared::dialect::mcp::CallToolResult;
use shared::http::{ApiError, Fields};
use shared::id::SessionId;
use shared::model::{Message, Role};

use crate::version::Version;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A message for the agent.
    Chat,
    /// What the agent is.
    AgentInfo,
}

impl Tool {
    const ALL: [Self; 2] = [Self::Chat, Self::AgentInfo];

    const fn name(self) -> &'static str {
        match self {
            Self::Chat => "kopern_chat",
            Self::AgentInfo => "kopern_agent_info",
        }
    }

    /// The tool of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }
}

/// What a client and its model are told about a tool.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    description: &'static str,
    input_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
}

/// Hints at what a call does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    title: &'static str,
    read_only_hint: bool,
    destructive_hint: bool,
    idempotent_hint: bool,
    open_world_hint: bool,
}

/// The tools as this version of the protocol can describe them.
pub(crate) fn descriptions(version: Version) -> Vec<Description> {
    Tool::ALL.map(|tool| description(tool, version)).into()
}

fn description(tool: Tool, version: Version) -> Description {
    let (title, description, input_schema, output_schema) = match tool {
        Tool::Chat => {
            ("Chat with the agent", "Send a message to the agent and get a response.", chat_input(), chat_output())
        }
        Tool::AgentInfo => {
            let nothing = json!({ "type": "object", "properties": {}, "required": [] });
            ("About the agent", "Get metadata about the agent.", nothing, agent_info_output())
        }
    };
    let only_reads = tool == Tool::AgentInfo;
    let annotations = Annotations {
        title,
        read_only_hint: only_reads,
        destructive_hint: false,
        idempotent_hint: only_reads,
        open_world_hint: !only_reads,
    };
    let is_structured = version >= Version::V2025_06_18;
    Description {
        name: tool.name(),
        title: is_structured.then_some(title),
        description,
        input_schema,
        output_schema: is_structured.then_some(output_schema),
        annotations: (version >= Version::V2025_03_26).then_some(annotations),
    }
}

fn chat_input() -> Value {
    json!({
        "type": "object",
        "properties": {
            "message": { "type": "string", "description": "The message to send" },
            "history": {
                "type": "array",
                "description": "Optional conversation history",
                "items": {
                    "type": "object",
                    "properties": {
                        "role": { "type": "string", "enum": ["user", "assistant"] },
                        "content": { "type": "string" }
                    },
                    "required": ["role", "content"]
                }
            },
            "session_id": {
                "type": "string",
                "description": "Optional session to go on with, as an earlier response named it; the history is then not needed"
            }
        },
        "required": ["message"]
    })
}

fn chat_output() -> Value {
    json!({
        "type": "object",
        "properties": {
            "response": { "type": "string", "description": "Everything that the agent said" },
            "session_id": { "type": "string", "description": "Sent along with the next message it carries the conversation on" }
        },
        "required": ["response", "session_id"]
    })
}

fn agent_info_output() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "description": { "type": "string" },
            "model": {
                "type": "object",
                "properties": { "provider": { "type": "string" }, "id": { "type": "string" } },
                "required": ["provider", "id"]
            }
        },
        "required": ["name", "description", "model"]
    })
}

/// The arguments of `kopern_chat`.
pub(crate) struct ChatArguments {
    /// The message.
    pub(crate) message: String,
    /// What was said before, where no session keeps it.
    pub(crate) history: Option<Vec<Message>>,
    /// The session to go on with.
    pub(crate) session: Option<SessionId>,
}

impl ChatArguments {
    /// Reads the arguments.
    ///
    /// # Errors
    /// Everything that is wrong with them, for the model that wrote them.
    pub(crate) fn read(arguments: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut fields = Fields::of(arguments);
        let read = Self {
            message: fields.string("message", 1..=10_000),
            history: fields.optional_list("history", 50, |item| {
                let role = item.word("role", &["user", "assistant"]);
                let role = if role == "assistant" { Role::Assistant } else { Role::User };
                Message::text(role, item.string("content", 0..=50_000))
            }),
            session: fields.optional_string("session_id", 1..=200).map(SessionId::from),
        };
        fields.finish()?;
        Ok(read)
    }
}

/// What the agent is, as `kopern_agent_info` tells it.
#[derive(Serialize)]
struct AgentInfo<'a> {
    name: &'a str,
    description: &'a str,
    model: ModelInfo<'a>,
}

#[derive(Serialize)]
struct ModelInfo<'a> {
    provider: &'a str,
    id: &'a str,
}

/// The result of `kopern_agent_info`.
pub(crate) fn agent_info(agent: &Agent) -> CallToolResult {
    let document = &agent.document;
    let model = ModelInfo { provider: document.model.provider(), id: document.model.model() };
    let info = AgentInfo { name: &document.name, description: &document.description, model };
    CallToolResult::text(serde_json::to_string_pretty(&info).unwrap_or_default()).structured(&info)
}

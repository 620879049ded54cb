//! What an agent is, once its document is read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ModelName;

/// An agent's document. The table keeps it as this type's JSON beside its Markdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentDocument {
    /// Its name within the tenant: `[a-z0-9][a-z0-9_-]{0,62}`, and neither like an id (`ag_…`) nor like a version (`v1`).
    pub name: String,
    /// What it is for, in a line.
    #[serde(default)]
    pub description: String,
    /// The model that answers.
    pub model: ModelName,
    /// The models to ask, in order, when the one before cannot answer.
    #[serde(default)]
    pub fallback_models: Vec<ModelName>,
    /// The sampling temperature, 0 to 2; the provider's default where it is not set.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// How many tokens the model may think; 1,024 to 128,000, beside what it may write. No thinking where it is not set.
    #[serde(default)]
    pub thinking_tokens: Option<u32>,
    /// What it can call.
    #[serde(default)]
    pub tools: Vec<ToolDefinition>,
    /// What it knows how to do: texts that are added to its prompt.
    #[serde(default)]
    pub skills: Vec<Skill>,
    /// Its bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Its chat widget.
    #[serde(default)]
    pub widget: WidgetSettings,
    /// The system prompt: the document's text.
    #[serde(default)]
    pub prompt: String,
}

/// A tool of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ToolDefinition {
    /// One that Orrery brings: `- use: web_fetch`.
    BuiltIn(BuiltInTool),
    /// One of the agent's own, in JavaScript.
    Custom {
        /// The name by which the model calls it: `[A-Za-z0-9_-]{1,64}`.
        name: String,
        /// What it does, for the model to read.
        #[serde(default)]
        description: String,
        /// The JSON Schema of its arguments.
        #[serde(default = "no_parameters")]
        parameters: Value,
        /// The body of an asynchronous function of `args`; its value is what it returns, or what it gives `result`.
        code: String,
    },
}

pub(super) fn no_parameters() -> Value {
    serde_json::json!({ "type": "object", "properties": {} })
}

/// A tool that Orrery brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "use", rename_all = "snake_case")]
pub enum BuiltInTool {
    /// Reads a public web page.
    WebFetch,
    /// Hands the conversation over to another agent of the project. Without effect where the agent is called alone.
    Handoff {
        /// The names of those that it may hand over to; any agent of the project where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        to: Vec<String>,
    },
    /// Asks a person to take a look at the conversation. Without effect where the agent is called alone.
    EscalateToHuman,
}

/// A text that tells the agent how to do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// What it is about, in a line.
    #[serde(default)]
    pub description: String,
    /// The text.
    pub content: String,
}

/// An agent's bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How often the model may call tools before it must answer, 1 to 30.
    pub max_tool_rounds: u32,
    /// The most tokens that the model may write in one call, 1 to 128,000.
    pub max_output_tokens: u32,
    /// The most characters of one tool's result, 1,000 to 500,000.
    pub max_tool_result_chars: usize,
    /// Requests a minute, where they differ from the documented ones.
    pub requests_per_minute: RequestLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tool_rounds: 10,
            max_output_tokens: 4096,
            max_tool_result_chars: 100_000,
            requests_per_minute: RequestLimits::default(),
        }
    }
}

/// Requests a minute by endpoint, 1 to 1,000,000; the documented limit where one is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestLimits {
    /// The OpenAI-compatible endpoint.
    pub openai: Option<u32>,
    /// The inbound webhook.
    pub webhook: Option<u32>,
    /// The widget's chat.
    pub widget: Option<u32>,
    /// The MCP server's tool calls.
    pub mcp: Option<u32>,
    /// The dashboard's chat, for each user.
    pub chat: Option<u32>,
    /// Each connected Slack team, Telegram bot or WhatsApp number.
    pub channel: Option<u32>,
}

/// The chat widget of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WidgetSettings {
    /// Whether the widget answers at all.
    pub enabled: bool,
    /// The agent's name as visitors read it; its own name where this is not set.
    pub title: Option<String>,
    /// The greeting when it opens.
    pub welcome_message: String,
    /// Where the bubble stands.
    pub position: WidgetPosition,
    /// Whether "Powered by" is shown.
    pub show_powered_by: bool,
    /// The origins (`https://example.com`) whose pages may use it; all where the list is empty.
    pub allowed_origins: Vec<String>,
    /// How it looks.
    pub theme: WidgetTheme,
}

impl Default for WidgetSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            title: None,
            welcome_message: "Hi! How can I help you?".to_owned(),
            position: WidgetPosition::BottomRight,
            show_powered_by: true,
            allowed_origins: Vec::new(),
            theme: WidgetTheme::default(),
        }
    }
}

/// A corner of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WidgetPosition {
    /// At the right.
    BottomRight,
    /// At the left.
    BottomLeft,
}

/// How a widget looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WidgetTheme {
    /// Light or dark.
    pub scheme: WidgetScheme,
    /// Colours of its own.
    pub colors: WidgetColors,
}

/// Whether a widget is light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WidgetScheme {
    /// As the visitor's system is.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// A widget's colours, each `#rrggbb` in lower case; the scheme's where one is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WidgetColors {
    /// The bubble, buttons and the visitor's messages.
    pub accent: Option<String>,
    /// The panel.
    pub background: Option<String>,
    /// Text on the panel.
    pub text: Option<String>,
}

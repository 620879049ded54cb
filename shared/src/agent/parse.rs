//! From Markdown with a YAML head to an [`AgentDocument`].

use std::collections::HashSet;
use std::str::FromStr;

use serde_json::Value;

use super::document::{AgentDocument, BuiltInTool, Limits, RequestLimits, Skill, ToolDefinition, WidgetSettings};
use super::error::{DocumentError, Problems};
use super::field::{Field, Group};
use super::parse_widget::widget;
use super::yaml;
use crate::id::AgentId;
use crate::model::ModelName;

const KB: usize = 1024;
pub(super) const MOST_DOCUMENT: usize = 300 * KB;
/// The most bytes of a document and its JSON together: a DynamoDB item of 400 KB holds both, and webhooks.
const MOST_STORED: usize = 360 * KB;
const MOST_PROMPT: usize = 200 * KB;
const MOST_CODE: usize = 100 * KB;
const MOST_SKILL: usize = 100 * KB;
const MOST_TOOLS: usize = 64;
const MOST_SKILLS: usize = 64;
const MOST_FALLBACKS: usize = 8;
/// Agents that one agent may hand over to by name.
const MOST_TARGETS: usize = 64;
/// Characters of a description.
const DESCRIPTION: usize = 4_000;
const MODEL_HINT: &str = "provider/model, for example anthropic/claude-sonnet-4-5 or demo/echo";

const FIELDS: &[&str] = &[
    "name",
    "description",
    "model",
    "fallback_models",
    "temperature",
    "thinking_tokens",
    "tools",
    "skills",
    "limits",
    "widget",
];

impl AgentDocument {
    /// Reads an agent's document: YAML between two lines `---`, then the prompt.
    ///
    /// # Errors
    /// With every problem of the document, each with its line and field. Where the YAML itself cannot be read, that is
    /// the only one told.
    pub fn parse(source: &str) -> Result<Self, DocumentError> {
        if source.len() > MOST_DOCUMENT {
            let message = format!("the document has {} bytes; it may have {} (300 KB)", source.len(), MOST_DOCUMENT);
            return Err(DocumentError::one(1, "", message));
        }
        let parts = split(source)?;
        let head = yaml::read(&parts.head, 1)?;
        let mut problems = Problems::default();
        if parts.prompt.len() > MOST_PROMPT {
            problems.add(parts.prompt_line, "prompt", "must have at most 200 KB");
        }
        let document = Field::root(&head).group(FIELDS, &mut problems).and_then(|head| read(&head, &mut problems));
        let document = problems.settle(document).map(|document| Self { prompt: parts.prompt, ..document })?;
        let stored = source.len() + serde_json::to_string(&document).map_or(0, |json| json.len());
        if stored > MOST_STORED {
            let message = format!("the document takes {stored} bytes in the table; it may take {MOST_STORED} (360 KB)");
            return Err(DocumentError::one(1, "", message));
        }
        Ok(document)
    }
}

pub(super) struct Parts {
    pub(super) head: String,
    prompt: String,
    /// The line after the head, from 1.
    prompt_line: u64,
}

/// Splits a document into its head and its text. A byte order mark and CRLF are taken for what they mean.
pub(super) fn split(source: &str) -> Result<Parts, DocumentError> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n");
    let mut lines = source.lines();
    if lines.next().is_none_or(|line| line.trim_end() != "---") {
        let message =
            "an agent starts with a line ---, its settings in YAML, and another line ---; then comes its prompt";
        return Err(DocumentError::one(1, "", message));
    }
    let head: Vec<_> = lines.by_ref().take_while(|line| line.trim_end() != "---").collect();
    let rest: Vec<_> = lines.collect();
    let ended = source.lines().skip(1).any(|line| line.trim_end() == "---");
    if !ended {
        return Err(DocumentError::one(1, "", "the settings do not end: write a line --- after them"));
    }
    Ok(Parts { prompt_line: head.len() as u64 + 3, head: head.join("\n"), prompt: rest.join("\n").trim().to_owned() })
}

fn read(head: &Group<'_>, problems: &mut Problems) -> Option<AgentDocument> {
    let name =
        head.required("name", "a name, for example support", problems).and_then(|field| agent_name(&field, problems));
    let description = text(head, "description", problems);
    let model = head.required("model", MODEL_HINT, problems).and_then(|field| model_name(&field, problems));
    let fallback_models = each(head, "fallback_models", MOST_FALLBACKS, problems, model_name);
    let temperature = head.field("temperature").and_then(|field| field.decimal(0.0..=2.0, problems));
    let tools = each(head, "tools", MOST_TOOLS, problems, tool);
    unique(head, "tools", problems);
    let skills = each(head, "skills", MOST_SKILLS, problems, skill);
    unique(head, "skills", problems);
    let limits = head.field("limits").map_or_else(Limits::default, |field| limits(&field, problems));
    let thinking_tokens = head.field("thinking_tokens").and_then(|field| field.whole(1_024..=128_000, problems));
    let widget = head.field("widget").map_or_else(WidgetSettings::default, |field| widget(&field, problems));
    Some(AgentDocument {
        name: name?,
        description,
        model: model?,
        fallback_models,
        temperature,
        thinking_tokens,
        tools,
        skills,
        limits,
        widget,
        prompt: String::new(),
    })
}

/// An optional text of a description's length.
fn text(group: &Group<'_>, key: &str, problems: &mut Problems) -> String {
    let field = group.field(key).and_then(|field| field.text(0..=DESCRIPTION, problems));
    field.unwrap_or_default().trim().to_owned()
}

/// What is read of each entry of an optional list.
pub(super) fn each<T>(
    group: &Group<'_>,
    key: &str,
    most: usize,
    problems: &mut Problems,
    read: fn(&Field<'_>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let entries = group.field(key).map(|field| field.list(most, problems)).unwrap_or_default();
    entries.iter().filter_map(|entry| read(entry, problems)).collect()
}

pub(super) fn agent_name(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let name = field.text(1..=63, problems)?;
    let may_begin = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let problem = if !name.bytes().all(|byte| may_begin(byte) || matches!(byte, b'_' | b'-')) {
        "may have lower-case letters, digits, _ and - only"
    } else if !name.bytes().next().is_some_and(may_begin) {
        "must start with a letter or a digit"
    } else if name.starts_with(AgentId::PREFIX) {
        "must not start with ag_: that is how ids start"
    } else if is_version(name) {
        "must not be a v and a number: that is how versions of the API are called"
    } else {
        return Some(name.to_owned());
    };
    field.problem(problems, problem);
    None
}

fn is_version(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn model_name(field: &Field<'_>, problems: &mut Problems) -> Option<ModelName> {
    let name = ModelName::from_str(field.text(1..=300, problems)?);
    name.map_err(|error| field.problem(problems, error.to_string())).ok()
}

fn tool(field: &Field<'_>, problems: &mut Problems) -> Option<ToolDefinition> {
    const CUSTOM: &[&str] = &["name", "description", "parameters", "code"];
    if let yaml::Value::Map(entries) = field.value
        && let Some(which) = entries.iter().find(|entry| entry.key == "use")
    {
        return built_in(field, &which.node.value, problems).map(ToolDefinition::BuiltIn);
    }
    let group = field.group(CUSTOM, problems)?;
    let name = group.required("name", "the name by which the model calls it", problems);
    let name = name.and_then(|field| tool_name(&field, problems));
    let description = text(&group, "description", problems);
    let parameters =
        group.field("parameters").map_or(Some(super::document::no_parameters()), |field| parameters(&field, problems));
    let code = group.required("code", "JavaScript that returns the tool's result", problems);
    let code = code.and_then(|field| bounded(&field, MOST_CODE, problems));
    Some(ToolDefinition::Custom { name: name?, description, parameters: parameters?, code: code? })
}

type ReadBuiltIn = fn(&Group<'_>, &mut Problems) -> BuiltInTool;

const BUILT_IN: &[(&str, ReadBuiltIn)] = &[
    ("web_fetch", |_, _| BuiltInTool::WebFetch),
    ("handoff", |group, problems| BuiltInTool::Handoff { to: targets(group, problems) }),
    ("escalate_to_human", |_, _| BuiltInTool::EscalateToHuman),
];

fn built_in(field: &Field<'_>, which: &yaml::Value, problems: &mut Problems) -> Option<BuiltInTool> {
    let is_handoff = matches!(which, yaml::Value::Text(name) if name == "handoff");
    let group = field.group(if is_handoff { &["use", "to"] } else { &["use"] }, problems)?;
    let which = group.required("use", "the tool's name, for example web_fetch", problems)?;
    which.choice(BUILT_IN, problems).map(|read| read(&group, problems))
}

/// The agents that a handoff is bound to; none where it is not.
fn targets(handoff: &Group<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(to) = handoff.field("to") else { return Vec::new() };
    if matches!(to.value, yaml::Value::List(names) if names.is_empty()) {
        to.problem(problems, "names nobody: leave it out where every agent of the project is meant");
    }
    let mut names: Vec<String> = Vec::new();
    for entry in to.list(MOST_TARGETS, problems) {
        match agent_name(&entry, problems) {
            Some(name) if names.contains(&name) => {
                entry.problem(problems, "stands twice: each agent may be named once")
            }
            name => names.extend(name),
        }
    }
    names
}

fn tool_name(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let name = field.text(1..=64, problems)?;
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !fits {
        field.problem(problems, "may have letters, digits, _ and - only");
    }
    fits.then(|| name.to_owned())
}

/// A text that is not empty and has at most so many bytes.
fn bounded(field: &Field<'_>, most: usize, problems: &mut Problems) -> Option<String> {
    let text = field.text(1..=MOST_DOCUMENT, problems)?;
    let message = match text {
        blank if blank.trim().is_empty() => "must not be empty".to_owned(),
        long if long.len() > most => format!("must have at most {} KB", most / KB),
        fits => return Some(fits.to_owned()),
    };
    field.problem(problems, message);
    None
}

/// The schema of a tool's arguments: a valid JSON Schema of an object.
fn parameters(field: &Field<'_>, problems: &mut Problems) -> Option<Value> {
    let schema = field.value.to_json();
    if !schema.is_object() {
        field.problem(problems, "must be a JSON Schema: a group of fields that starts with type: object");
        return None;
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        problems.add(field.line, format!("{}.type", field.path), "must be object: a tool's arguments are an object");
        return None;
    }
    if let Err(error) = jsonschema::validator_for(&schema) {
        let place = error.instance_path().to_string().replace('/', ".");
        let message: String = error.to_string().chars().take(300).collect();
        problems.add(field.line, format!("{}{place}", field.path), format!("is not a valid JSON Schema: {message}"));
        return None;
    }
    Some(schema)
}

fn skill(field: &Field<'_>, problems: &mut Problems) -> Option<Skill> {
    let group = field.group(&["name", "description", "content"], problems)?;
    let name = group.required("name", "the skill's name", problems).and_then(|field| skill_name(&field, problems));
    let description = text(&group, "description", problems);
    let content = group.required("content", "what the agent is to know", problems);
    let content = content.and_then(|field| bounded(&field, MOST_SKILL, problems));
    Some(Skill { name: name?, description, content: content? })
}

fn skill_name(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let name = field.text(1..=64, problems)?;
    let fits = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if !fits {
        field.problem(problems, "must be a word or a few, in one line");
    }
    fits.then(|| name.to_owned())
}

/// Tells of names that stand twice in a list of tools or skills.
fn unique(head: &Group<'_>, key: &str, problems: &mut Problems) {
    let Some(yaml::Value::List(nodes)) = head.field(key).map(|field| field.value) else { return };
    let mut seen = HashSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let yaml::Value::Map(entries) = &node.value else { continue };
        for entry in entries.iter().filter(|entry| matches!(entry.key.as_str(), "name" | "use")) {
            if let yaml::Value::Text(name) = &entry.node.value
                && !seen.insert(name)
            {
                let field = format!("{key}[{index}].{}", entry.key);
                problems.add(entry.line, field, "stands twice: each name may be used once");
            }
        }
    }
}

fn limits(field: &Field<'_>, problems: &mut Problems) -> Limits {
    const FIELDS: &[&str] = &["max_tool_rounds", "max_output_tokens", "max_tool_result_chars", "requests_per_minute"];
    let mut limits = Limits::default();
    let Some(group) = field.group(FIELDS, problems) else { return limits };
    if let Some(rounds) = group.field("max_tool_rounds").and_then(|field| field.whole(1..=30, problems)) {
        limits.max_tool_rounds = rounds;
    }
    if let Some(tokens) = group.field("max_output_tokens").and_then(|field| field.whole(1..=128_000, problems)) {
        limits.max_output_tokens = tokens;
    }
    if let Some(chars) = group.field("max_tool_result_chars").and_then(|field| field.whole(1_000..=500_000, problems)) {
        limits.max_tool_result_chars = chars;
    }
    if let Some(requests) = group.field("requests_per_minute") {
        limits.requests_per_minute = request_limits(&requests, problems);
    }
    limits
}

fn request_limits(field: &Field<'_>, problems: &mut Problems) -> RequestLimits {
    let Some(group) = field.group(&["openai", "webhook", "widget", "mcp", "chat", "channel"], problems) else {
        return RequestLimits::default();
    };
    let mut limit = |key| group.field(key).and_then(|field| field.whole(1..=1_000_000, problems));
    RequestLimits {
        openai: limit("openai"),
        webhook: limit("webhook"),
        widget: limit("widget"),
        mcp: limit("mcp"),
        chat: limit("chat"),
        channel: limit("channel"),
    }
}

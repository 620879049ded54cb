//! The tool `escalate_to_human`: a person is asked to take a look at the conversation.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{arguments, text};
use crate::model::ToolSpec;
use crate::session::EscalationReason;

/// The name by which a model calls it.
pub(super) const NAME: &str = "escalate_to_human";

/// The most characters of a summary; what is more is cut.
const SUMMARY: usize = 2_000;

pub(super) fn spec() -> ToolSpec {
    ToolSpec {
        name: NAME.to_owned(),
        description: "Asks a person to take a look at this conversation. Call it where the user asks for a person, or \
                      where you cannot go on by yourself."
            .to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {
                "reason": {
                    "type": "string", "enum": ["user_requested", "agent_requested", "tool_failure"],
                    "description": "user_requested: the user asks for a person; agent_requested: you cannot help, which \
                                    is the default; tool_failure: a tool does not work",
                },
                "summary": {
                    "type": "string",
                    "description": "What the person needs to know, in a few sentences",
                },
            },
            "required": ["summary"],
        }),
    }
}

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    reason: EscalationReason,
    summary: String,
}

/// A call that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum EscalationError {
    #[error(transparent)]
    Arguments(#[from] arguments::ArgumentsError),
    #[error("the arguments cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

/// Why, and what the person needs to know.
pub(super) fn read(input: &Value) -> Result<(EscalationReason, String), EscalationError> {
    arguments::check(&spec().parameters, input)?;
    let Arguments { reason, summary } = Arguments::deserialize(input)?;
    Ok((reason, text::shorten(summary.trim(), SUMMARY)))
}

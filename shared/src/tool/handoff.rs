//! The tool `handoff`: another agent of the project goes on with the conversation.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{arguments, text};
use crate::agent::Member;
use crate::model::ToolSpec;

/// The name by which a model calls it.
pub(super) const NAME: &str = "handoff";

/// The characters of an agent's description that the others are told.
const DESCRIPTION: usize = 500;

pub(super) fn spec(targets: &[Member]) -> ToolSpec {
    let mut description =
        "Hands the conversation over to another agent, who goes on in your place and answers the user. The agents:"
            .to_owned();
    for target in targets {
        let line = target.description.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = write!(description, "\n- {}", target.name);
        if !line.is_empty() {
            let _ = write!(description, ": {}", text::shorten(&line, DESCRIPTION));
        }
    }
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    ToolSpec {
        name: NAME.to_owned(),
        description,
        parameters: json!({
            "type": "object",
            "properties": {
                "agent": { "type": "string", "enum": names, "description": "Who goes on" },
                "reason": { "type": "string", "description": "Why, in a sentence, for that agent to read" },
            },
            "required": ["agent"],
        }),
    }
}

/// What we act on. The reason is read by the agent that goes on, where it stands in the conversation.
#[derive(Deserialize)]
struct Arguments {
    agent: String,
}

/// Who shall go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandoffError {
    #[error(transparent)]
    Arguments(#[from] arguments::ArgumentsError),
    #[error("the arguments cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("there is no such agent to hand over to")]
    Nobody,
}

pub(super) fn target(targets: &[Member], input: &Value) -> Result<Member, HandoffError> {
    arguments::check(&spec(targets).parameters, input)?;
    let Arguments { agent } = Arguments::deserialize(input)?;
    targets.iter().find(|target| target.name == agent).cloned().ok_or(HandoffError::Nobody)
}

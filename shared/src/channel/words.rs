//! What a bot says when the agent does not: in a person's words.

use std::time::Duration;

use crate::agent::AgentDocument;

/// The first word, in answer to `/start`.
pub(super) fn greeting(document: &AgentDocument) -> String {
    document.widget.welcome_message.clone()
}

/// In answer to `/new`.
pub(super) const ANEW: &str = "A new conversation begins. What was said before is forgotten.";

/// In answer to what is no text.
pub(super) const UNREADABLE: &str = "I can only read text messages: I cannot see pictures or files, nor hear voice messages. Please write to me instead.";

/// When too many messages come.
pub(super) fn too_many(wait: Duration) -> String {
    let seconds = wait.as_secs().max(1);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    format!("That is more than I can keep up with. Please write again in {seconds} {unit}.")
}

/// When the plan is used up.
pub(super) const OVER_PLAN: &str =
    "I cannot answer any more this month: the plan of those who run me is used up. Please tell them.";

/// When the turn failed.
pub(super) fn failed(reason: &str) -> String {
    format!("I could not answer that: {reason} Please try again.")
}

/// When the agent answered with nothing that can be shown.
pub(super) const NOTHING: &str = "I have nothing to say to that.";

/// When the platform does not take the answer.
pub(super) const REFUSED: &str = "My answer could not be shown here. Please ask me in another way.";

/// When it was answered before, and neither is known any more what nor how much of it was said.
pub(super) const GONE: &str = "I had an answer to that, but it is not kept any more. Please ask me again.";

/// When the agent is gone.
pub(super) const NOBODY: &str = "The agent that answered here is gone. Please tell those who run it.";

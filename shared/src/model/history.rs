//! The normal form of a conversation, which every provider takes.
//!
//! It begins with a user's words and alternates; no text is blank; each tool call has exactly one result, and the
//! results come first in the message after the calls. A history that was cut, edited or made by another provider is
//! brought into that form; one that has it stays as it is.

use std::collections::BTreeSet;

use super::{Block, Message, Role};

/// What stands for a result that the history lacks.
const NO_RESULT: &str = "The tool was not run: the conversation was interrupted.";

/// The conversation in its normal form, for that provider. Empty if no user says anything in it.
pub(super) fn normalise(messages: &[Message], provider: &str) -> Vec<Message> {
    let said = |message: &Message| message.role == Role::User && message.content.iter().any(is_words);
    let begin = messages.iter().position(said).unwrap_or(messages.len());
    let kept = messages[begin..].iter().map(|message| Message {
        role: message.role,
        content: message.content.iter().filter(|block| belongs(block, message.role, provider)).cloned().collect(),
    });
    merge(answer_calls(merge(kept)))
}

fn is_words(block: &Block) -> bool {
    matches!(block, Block::Text { text } if !text.trim().is_empty())
}

fn belongs(block: &Block, role: Role, provider: &str) -> bool {
    match block {
        Block::Text { .. } => is_words(block),
        Block::ToolUse { .. } => role == Role::Assistant,
        Block::ToolResult { .. } => role == Role::User,
        Block::Opaque { provider: maker, .. } => maker == provider,
    }
}

/// Joins neighbours of one role and drops what is empty.
fn merge(messages: impl IntoIterator<Item = Message>) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for message in messages {
        match merged.last_mut() {
            _ if message.content.is_empty() => {}
            Some(last) if last.role == message.role => last.content.extend(message.content),
            _ => merged.push(message),
        }
    }
    merged
}

/// Gives every call its result, and every result its call. The messages alternate.
fn answer_calls(messages: Vec<Message>) -> Vec<Message> {
    let mut answered = Vec::with_capacity(messages.len() + 1);
    let mut calls: Vec<String> = Vec::new();
    for mut message in messages {
        match message.role {
            Role::Assistant => {
                drop_repeated_calls(&mut message.content);
                drop_last_thoughts(&mut message.content);
                calls = call_ids(&message.content);
                answered.push(message);
            }
            Role::User => answered.push(with_results(std::mem::take(&mut calls), message.content)),
        }
    }
    if !calls.is_empty() {
        answered.push(with_results(calls, Vec::new()));
    }
    answered
}

/// Thoughts that led to nothing (the answer was cut there) must not end a message.
fn drop_last_thoughts(content: &mut Vec<Block>) {
    while let Some(Block::Opaque { block, .. }) = content.last()
        && matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
    {
        content.pop();
    }
}

/// Calls of one id cannot be told apart; the first is the one that has the result.
fn drop_repeated_calls(content: &mut Vec<Block>) {
    let mut ids = BTreeSet::new();
    content.retain(|block| match block {
        Block::ToolUse { id, .. } => ids.insert(id.clone()),
        _ => true,
    });
}

fn call_ids(content: &[Block]) -> Vec<String> {
    let id = |block: &Block| match block {
        Block::ToolUse { id, .. } => Some(id.clone()),
        _ => None,
    };
    content.iter().filter_map(id).collect()
}

fn with_results(calls: Vec<String>, content: Vec<Block>) -> Message {
    let (results, rest): (Vec<_>, Vec<_>) =
        content.into_iter().partition(|block| matches!(block, Block::ToolResult { .. }));
    let result = |call: String| {
        let found =
            results.iter().find(|block| matches!(block, Block::ToolResult { tool_use_id, .. } if *tool_use_id == call));
        found.cloned().unwrap_or_else(|| Block::ToolResult {
            tool_use_id: call,
            content: NO_RESULT.to_owned(),
            is_error: true,
        })
    };
    Message { role: Role::User, content: calls.into_iter().map(result).chain(rest).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn user(text: &str) -> Message {
        Message::text(Role::User, text)
    }

    fn assistant(text: &str) -> Message {
        Message::text(Role::Assistant, text)
    }

    fn call(id: &str) -> Block {
        Block::ToolUse { id: id.into(), name: "look".into(), input: json!({}) }
    }

    fn result(id: &str) -> Block {
        Block::ToolResult { tool_use_id: id.into(), content: "found".into(), is_error: false }
    }

    fn thought() -> Block {
        Block::Opaque {
            provider: "anthropic".into(),
            block: json!({"type": "thinking", "thinking": "", "signature": "s"}),
        }
    }

    fn of(role: Role, content: Vec<Block>) -> Message {
        Message { role, content }
    }

    fn normal(messages: &[Message]) -> Vec<Message> {
        let normal = normalise(messages, "anthropic");
        assert_eq!(normalise(&normal, "anthropic"), normal, "the normal form is its own");
        normal
    }

    #[test]
    fn a_history_in_order_stays_as_it_is() {
        let history = [
            user("hello"),
            of(Role::Assistant, vec![thought(), call("a"), call("b")]),
            of(Role::User, vec![result("a"), result("b")]),
            assistant("done"),
            user("thanks"),
        ];
        assert_eq!(normal(&history), history);
    }

    #[test]
    fn it_begins_with_a_users_words() {
        let history =
            [assistant("welcome"), of(Role::User, vec![result("x")]), assistant("so"), user("hello"), assistant("hi")];
        assert_eq!(normal(&history), history[3..]);
        assert_eq!(normal(&history[..3]), []);
    }

    #[test]
    fn neighbours_of_one_role_are_merged_and_blank_texts_dropped() {
        let history = [user("a"), user(" \n"), user("b"), assistant(""), user("c")];
        let texts = ["a", "b", "c"].map(|text| Block::Text { text: text.into() });
        assert_eq!(normal(&history), [of(Role::User, texts.to_vec())]);
    }

    #[test]
    fn results_come_first_and_in_the_order_of_their_calls() {
        let history = [
            user("go"),
            of(Role::Assistant, vec![call("a"), call("b")]),
            of(Role::User, vec![Block::Text { text: "and".into() }, result("b"), result("b"), result("a")]),
        ];
        let last = vec![result("a"), result("b"), Block::Text { text: "and".into() }];
        assert_eq!(normal(&history)[2], of(Role::User, last));
    }

    #[test]
    fn a_call_without_a_result_is_given_a_failed_one() {
        let history = [user("go"), of(Role::Assistant, vec![call("a"), call("b")]), of(Role::User, vec![result("b")])];
        let Block::ToolResult { tool_use_id, is_error, .. } = &normal(&history)[2].content[0] else {
            panic!("no result")
        };
        assert_eq!((tool_use_id.as_str(), *is_error), ("a", true));
        let normal = normal(&history[..2]);
        assert_eq!((normal.len(), normal[2].content.len()), (3, 2), "also at the end");
    }

    #[test]
    fn a_result_without_its_call_is_dropped() {
        let history = [user("go"), assistant("a"), of(Role::User, vec![result("x")]), assistant("b"), user("so")];
        assert_eq!(normal(&history).iter().map(|message| message.content.len()).collect::<Vec<_>>(), [1, 2, 1]);
    }

    #[test]
    fn blocks_of_another_provider_and_unfinished_thoughts_are_left_out() {
        let history = [user("go"), of(Role::Assistant, vec![thought()]), user("again")];
        assert_eq!(normal(&history).len(), 1);
        let history = [user("go"), of(Role::Assistant, vec![thought(), call("a")]), of(Role::User, vec![result("a")])];
        assert_eq!(normalise(&history, "openai")[1].content, [call("a")]);
        assert_eq!(normal(&history)[1].content, [thought(), call("a")]);
    }

    /// What every provider demands.
    fn assert_is_in_order(messages: &[Message]) {
        for (at, message) in messages.iter().enumerate() {
            let expected = if at % 2 == 0 { Role::User } else { Role::Assistant };
            assert_eq!(message.role, expected, "{messages:?}");
            assert!(!message.content.is_empty(), "{messages:?}");
            assert!(message.content.iter().all(|block| !matches!(block, Block::Text { .. }) || is_words(block)));
            if message.role == Role::Assistant {
                let calls = call_ids(&message.content);
                let next = messages.get(at + 1).map_or(&[][..], |next| &next.content);
                let results = next.iter().filter(|block| matches!(block, Block::ToolResult { .. })).count();
                assert_eq!(results, calls.len(), "{messages:?}");
                assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), calls.len(), "{messages:?}");
                for (call, block) in calls.iter().zip(next) {
                    assert!(
                        matches!(block, Block::ToolResult { tool_use_id, .. } if tool_use_id == call),
                        "{messages:?}"
                    );
                }
            }
        }
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let block = prop_oneof![
            prop::sample::select(vec!["a", "b", ""]).prop_map(|text| Block::Text { text: text.into() }),
            prop::sample::select(vec!["1", "2", "3"]).prop_map(call),
            prop::sample::select(vec!["1", "2", "3"]).prop_map(result),
            Just(thought()),
        ];
        let role = prop::sample::select(vec![Role::User, Role::Assistant]);
        (role, prop::collection::vec(block, 0..4)).prop_map(|(role, content)| of(role, content))
    }

    proptest! {
        #[test]
        fn any_history_is_brought_into_order(history in prop::collection::vec(any_message(), 0..8)) {
            assert_is_in_order(&normal(&history));
        }
    }
}

//! What is kept of a turn.

use serde::{Deserialize, Serialize};

use super::{Escalation, Round, Speaker};
use crate::model::{Block, Message, Role, Stop, Usage};
use crate::store::TurnItem;

/// The largest record, in bytes of JSON: an item of the table holds 400 KB.
const LARGEST: usize = 300_000;
/// What is kept of a text when a record is too large, in characters.
const EXCERPT: usize = 2_000;
/// How much of a session's past goes to the model, in bytes of stored JSON.
const PAST: usize = 600_000;

/// A turn as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// What the user said, what the model said, what the tools answered; it begins with the user and ends with the
    /// model.
    pub messages: Vec<Message>,
    /// The model that answered last, `provider/model`.
    pub model: String,
    /// Why it ended.
    pub stop: Stop,
    /// How many tools were called.
    pub tool_calls: u64,
    /// The providers' figures of all its calls.
    pub usage: Usage,
    /// Its price in US dollars by the providers' lists; `None` where one is not known.
    pub cost: Option<f64>,
    /// The agent that answered last; nothing in records from before it was kept.
    #[serde(default)]
    pub agent: Option<Speaker>,
    /// Its calls of models, in order.
    #[serde(default)]
    pub rounds: Vec<Round>,
    /// Whether a person was asked to take a look, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
}

impl Turn {
    /// Its JSON, cut to what an item holds: first the tools' results go, then every text is cut to an excerpt, then all
    /// goes that was said between the first and the last message, and at last the rounds' tools.
    #[must_use]
    pub fn to_record(&self) -> String {
        let whole = json(self);
        if whole.len() <= LARGEST {
            return whole;
        }
        let mut cut = self.clone();
        cut.excerpt(|block| matches!(block, Block::ToolResult { .. } | Block::ToolUse { .. }));
        let smaller = json(&cut);
        if smaller.len() <= LARGEST {
            return smaller;
        }
        cut.excerpt(|_| true);
        let excerpts = json(&cut);
        if excerpts.len() <= LARGEST {
            return excerpts;
        }
        let ends: Vec<Message> = [cut.messages.first(), cut.messages.last()].into_iter().flatten().cloned().collect();
        cut.messages = ends
            .into_iter()
            .map(|mut message| {
                message.content.retain(|block| matches!(block, Block::Text { .. }));
                message.content.truncate(8);
                message
            })
            .collect();
        let ends = json(&cut);
        if ends.len() <= LARGEST {
            return ends;
        }
        cut.rounds.iter_mut().for_each(|round| round.tools.clear());
        json(&cut)
    }

    /// Reads what [`Turn::to_record`] wrote.
    ///
    /// # Errors
    /// Where it did not.
    pub fn from_record(record: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(record)
    }

    /// Everything that the model said, round after round, as it was streamed.
    #[must_use]
    pub fn text(&self) -> String {
        let said = self.messages.iter().filter(|message| message.role == Role::Assistant);
        let rounds = said.map(Message::plain_text);
        rounds.filter(|round| !round.is_empty()).collect::<Vec<_>>().join("\n\n")
    }

    /// The tools that were called, each once, in the order of their first calls.
    #[must_use]
    pub fn tools_used(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for call in self.rounds.iter().flat_map(|round| &round.tools) {
            if !names.contains(&call.name) {
                names.push(call.name.clone());
            }
        }
        names
    }

    fn excerpt(&mut self, which: impl Fn(&Block) -> bool) {
        for block in self.messages.iter_mut().flat_map(|message| &mut message.content).filter(|block| which(block)) {
            match block {
                Block::Text { text } | Block::ToolResult { content: text, .. } => shorten(text),
                Block::ToolUse { input, .. } if input.to_string().len() > EXCERPT => *input = serde_json::json!({}),
                Block::Opaque { .. } | Block::ToolUse { .. } => {}
            }
        }
        self.messages.iter_mut().for_each(|message| {
            message.content.retain(|block| !(which(block) && matches!(block, Block::Opaque { .. })));
        });
    }
}

fn json(turn: &Turn) -> String {
    serde_json::to_string(turn).unwrap_or_default()
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(EXCERPT) {
        let size = text.len();
        text.truncate(end);
        text.push_str(&format!("… [cut from {size} bytes]"));
    }
}

/// The messages of these turns, the oldest first; the oldest turns are left out where it becomes too much. A turn whose
/// record cannot be read is passed over.
#[must_use]
pub fn history(turns: &[TurnItem]) -> Vec<Message> {
    let mut left = PAST;
    let kept = turns.iter().rev().take_while(|turn| {
        let fits = turn.record.len() <= left;
        left = left.saturating_sub(turn.record.len());
        fits
    });
    let mut turns: Vec<Turn> = kept.filter_map(|turn| Turn::from_record(&turn.record).ok()).collect();
    turns.reverse();
    turns.into_iter().flat_map(|turn| turn.messages).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{EscalationReason, MOST_ROUNDS, MOST_TOOLS, ToolCall};
    use super::*;

    fn turn(messages: Vec<Message>) -> Turn {
        Turn {
            messages,
            model: "demo/echo".into(),
            stop: Stop::EndTurn,
            tool_calls: 0,
            usage: Usage::default(),
            cost: None,
            agent: None,
            rounds: Vec::new(),
            escalation: None,
        }
    }

    fn round(tools: &[&str]) -> Round {
        let call = |name: &&str| ToolCall {
            name: (*name).to_owned(),
            started_ms: u64::MAX,
            duration_ms: u64::MAX,
            is_error: false,
        };
        Round {
            agent: "support".into(),
            model: "demo/echo".into(),
            started_ms: u64::MAX,
            duration_ms: u64::MAX,
            first_token_ms: Some(u64::MAX),
            usage: Usage::default(),
            stop: Stop::ToolUse,
            tools: tools.iter().map(call).collect(),
            handoff: Some("billing".into()),
        }
    }

    fn result(content: String) -> Message {
        Message {
            role: Role::User,
            content: vec![Block::ToolResult { tool_use_id: "1".into(), content, is_error: false }],
        }
    }

    #[test]
    fn a_record_reads_back_and_tells_its_text() {
        let turn = turn(vec![
            Message::text(Role::User, "hi"),
            Message::text(Role::Assistant, "one"),
            result("r".into()),
            Message::text(Role::Assistant, "two"),
        ]);
        assert_eq!(Turn::from_record(&turn.to_record()).unwrap(), turn);
        assert_eq!(turn.text(), "one\n\ntwo");
    }

    #[test]
    fn a_record_that_is_too_large_loses_tool_results_before_words() {
        let long = "é".repeat(200_000);
        let turn = turn(vec![
            Message::text(Role::User, "hi"),
            result(long.clone()),
            Message::text(Role::Assistant, "x".repeat(100_000)),
        ]);
        let kept = Turn::from_record(&turn.to_record()).unwrap();
        assert_eq!(kept.text().len(), 100_000);
        assert!(matches!(&kept.messages[1].content[0], Block::ToolResult { content, .. } if content.len() < 5_000));
    }

    #[test]
    fn no_record_is_larger_than_an_item() {
        let rounds =
            (0..400).flat_map(|_| [result("\u{1}".repeat(3_000)), Message::text(Role::Assistant, "\"".repeat(3_000))]);
        let mut turn = turn([Message::text(Role::User, "hi")].into_iter().chain(rounds).collect());
        assert!(turn.to_record().len() <= LARGEST);
        turn.rounds = vec![round(&["\u{1}".repeat(64).as_str(); MOST_TOOLS]); MOST_ROUNDS];
        turn.escalation = Some(Escalation {
            reason: EscalationReason::ToolFailure,
            summary: "\u{1}".repeat(2_000),
            agent: Speaker { id: "ag_1".into(), name: "support".into() },
        });
        let record = turn.to_record();
        assert!(record.len() <= LARGEST, "{}", record.len());
        let kept = Turn::from_record(&record).unwrap();
        assert_eq!((kept.rounds.len(), kept.escalation), (MOST_ROUNDS, turn.escalation));
    }

    #[test]
    fn a_record_from_before_its_rounds_were_kept_can_be_read() {
        let old = r#"{"messages":[],"model":"demo/echo","stop":"end_turn","tool_calls":0,
            "usage":{"input_tokens":0,"output_tokens":0},"cost":null}"#;
        assert_eq!(Turn::from_record(old).unwrap(), turn(Vec::new()));
    }

    #[test]
    fn tools_are_told_once_in_the_order_of_their_first_calls() {
        let mut turn = turn(Vec::new());
        turn.rounds = vec![round(&["b", "a"]), round(&[]), round(&["a", "c", "b"])];
        assert_eq!(turn.tools_used(), ["b", "a", "c"]);
    }
}

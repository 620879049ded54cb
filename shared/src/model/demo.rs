//! `demo/…`: a model that runs offline, always says the same, and can be told what to do, to try everything out without
//! a key.
//!
//! It repeats the last words of the user, a word at a time: `You said: hello`. Words that begin with a command do more,
//! and so does each line that calls a tool:
//!
//! | the user says | the model |
//! |---|---|
//! | `/tool NAME {"json": 1}`, one or several lines | calls these tools, all in one round, known to it or not; then it tells their results |
//! | `/then`, a line of its own after lines that call tools | once they have answered, does what the lines after it say instead |
//! | `/context` | repeats the system prompt it was given |
//! | `/history` | tells how many messages it was given, and what the user said in them |
//! | `/long N` | says N words, 100,000 at most |
//! | `/slow MS` | waits so many milliseconds before its first word, ten minutes at most |
//! | `/fail` | fails before its first word, as a provider with status 500 does |
//! | `/cut` | breaks off after a few words |
//!
//! A token is a word, that is, what stands between white space: those of the system prompt, of all texts, of tool
//! arguments and of results are read; those of the answer are written, and a tool call counts for one. It stops at the
//! output limit like any other model. It is never tried twice, for it would fail again.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::message::parse_arguments;
use super::stream::Events;
use super::{
    Block, Completion, ErrorKind, Message, ModelError, ModelEvent, ModelName, ModelRequest, Role, Stop, Usage,
};

/// The provider's part of these models' names.
pub(super) const PROVIDER: &str = "demo";

const MAX_LONG_WORDS: u32 = 100_000;
const MAX_SLOW: Duration = Duration::from_secs(600);

/// What it does.
#[derive(Debug, PartialEq)]
enum Plan {
    Say { wait: Duration, text: String },
    Call(Vec<Block>),
    Cut(String),
    Fail,
}

/// The answer to that request, with a pause before each word but the first.
pub(super) fn answer(model: &ModelName, request: &ModelRequest, pause: Duration, deadline: Instant) -> Events {
    let input_tokens = count_input(request);
    let most = usize::try_from(request.max_output_tokens).unwrap_or(usize::MAX);
    let (wait, text, end) = match plan(request) {
        Plan::Say { wait, text } => (wait, text, Ok((Vec::new(), Stop::EndTurn))),
        Plan::Call(calls) => (Duration::ZERO, String::new(), Ok((calls, Stop::ToolUse))),
        Plan::Cut(text) => (Duration::ZERO, text, Err(ErrorKind::Cut)),
        Plan::Fail => return stream::iter([Err(failed())]).boxed(),
    };
    let (words, is_whole) = words(text, most);
    let output_tokens = words.len() + end.as_ref().map_or(0, |(calls, _)| calls.len());
    let usage = Usage { input_tokens: tokens(input_tokens), output_tokens: tokens(output_tokens), ..Usage::default() };

    let last = match end {
        Ok((mut content, stop)) => {
            if !words.is_empty() {
                content.insert(0, Block::Text { text: words.concat() });
            }
            let stop = if is_whole { stop } else { Stop::MaxTokens };
            let completion = Completion { model: model.clone(), content, stop, usage };
            vec![Ok(ModelEvent::Usage(usage)), Ok(ModelEvent::Completed(completion))]
        }
        Err(kind) => vec![Err(ModelError::new(kind).with_usage(usage))],
    };
    let paced = words.into_iter().enumerate().map(move |(at, word)| (if at == 0 { wait } else { pause }, word));
    let spoken = stream::iter(paced).then(move |(pause, word)| async move {
        let until = Instant::now() + pause;
        if !pause.is_zero() {
            sleep_until(until.min(deadline)).await;
        }
        if until >= deadline { Err(ModelError::new(ErrorKind::Timeout)) } else { Ok(ModelEvent::Text(word)) }
    });
    until_failure(spoken.chain(stream::iter(last)).boxed())
}

fn failed() -> ModelError {
    let mut error = ModelError::new(ErrorKind::Server).with_detail("told to fail");
    error.status = Some(500);
    error
}

/// Ends the stream after its first error.
fn until_failure(events: Events) -> Events {
    stream::unfold(Some(events), |events| async move {
        let mut events = events?;
        let event = events.next().await?;
        let rest = event.is_ok().then_some(events);
        Some((event, rest))
    })
    .boxed()
}

fn plan(request: &ModelRequest) -> Plan {
    let say = |text: String| Plan::Say { wait: Duration::ZERO, text };
    let (said, answered) = said(&request.messages);
    let step = step(&said, answered);
    if step.is_none()
        && let [.., calls, results] = request.messages.as_slice()
        && let Some(text) = told_results(calls, results)
    {
        return say(text);
    }
    let text = step.unwrap_or_default();
    let calls = calls(&text, request.messages.len());
    if !calls.is_empty() {
        return Plan::Call(calls);
    }
    let mut words = text.split_whitespace();
    let command = words.next().unwrap_or_default();
    let number: Option<u32> = words.next().and_then(|number| number.parse().ok());
    match command {
        "/tool" => say("Write /tool NAME {\"json\": 1}".to_owned()),
        "/context" => say(request.whole_system().unwrap_or_default()),
        "/history" => say(told_history(&request.messages)),
        "/long" => say((1..=number.unwrap_or(100).min(MAX_LONG_WORDS)).map(|n| format!("word{n} ")).collect()),
        "/slow" => {
            let wait = Duration::from_millis(number.unwrap_or(1_000).into()).min(MAX_SLOW);
            Plan::Say { wait, text: format!("You said: {text}") }
        }
        "/fail" => Plan::Fail,
        "/cut" => Plan::Cut("This answer breaks off ".to_owned()),
        _ => say(format!("You said: {text}")),
    }
}

/// What the user said last, and how many rounds of tools have answered since.
fn said(messages: &[Message]) -> (String, usize) {
    let is_result = |block: &Block| matches!(block, Block::ToolResult { .. });
    let is_answer = |message: &&Message| message.content.iter().any(is_result);
    let users = || messages.iter().rev().filter(|message| message.role == Role::User);
    let answered = users().take_while(is_answer).count();
    (users().nth(answered).map(text_of).unwrap_or_default(), answered)
}

/// The part of that number, from 0, of what was said; `/then` parts it.
fn step(said: &str, number: usize) -> Option<String> {
    let lines: Vec<_> = said.split('\n').collect();
    lines.split(|line| line.trim() == "/then").nth(number).map(|lines| lines.join("\n"))
}

fn text_of(message: &Message) -> String {
    let text = |block: &Block| match block {
        Block::Text { text } => Some(text.clone()),
        _ => None,
    };
    message.content.iter().filter_map(text).collect::<Vec<_>>().join("\n")
}

fn calls(text: &str, round: usize) -> Vec<Block> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("/tool "));
    let call = |(number, line): (usize, &str)| {
        let (name, json) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        Block::ToolUse { id: format!("demo_{round}_{number}"), name: name.to_owned(), input: parse_arguments(json) }
    };
    lines.enumerate().map(call).collect()
}

/// What the tools answered, if the last message tells it.
fn told_results(calls: &Message, results: &Message) -> Option<String> {
    let name = |id: &str| {
        calls.content.iter().find_map(|block| match block {
            Block::ToolUse { id: call, name, .. } if call == id => Some(name.as_str()),
            _ => None,
        })
    };
    let told = |block: &Block| match block {
        Block::ToolResult { tool_use_id, content, is_error } => {
            let verb = if *is_error { "failed" } else { "answered" };
            Some(format!("{} {verb}: {content}", name(tool_use_id).unwrap_or("a tool")))
        }
        _ => None,
    };
    let told: Vec<_> = results.content.iter().filter_map(told).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

fn told_history(messages: &[Message]) -> String {
    let said =
        messages.iter().filter(|message| message.role == Role::User).map(text_of).filter(|text| !text.is_empty());
    let list: String = said.map(|text| format!("\n- {text}")).collect();
    format!("I was given {} messages. You said:{list}", messages.len())
}

/// The words with the white space after them, as many as allowed, and whether that is all.
fn words(text: String, most: usize) -> (Vec<String>, bool) {
    let mut words: Vec<String> = Vec::new();
    for piece in text.split_inclusive(char::is_whitespace) {
        match words.last_mut() {
            Some(last) if piece.trim().is_empty() => last.push_str(piece),
            _ => words.push(piece.to_owned()),
        }
    }
    let is_whole = words.len() <= most;
    words.truncate(most);
    (words, is_whole)
}

fn count_input(request: &ModelRequest) -> usize {
    let count = |text: &str| text.split_whitespace().count();
    let block = |block: &Block| match block {
        Block::Text { text } => count(text),
        Block::ToolUse { input: Value::Object(input), .. } if input.is_empty() => 0,
        Block::ToolUse { input, .. } => count(&input.to_string()),
        Block::ToolResult { content, .. } => count(content),
        Block::Opaque { .. } => 0,
    };
    count(&request.system)
        + count(&request.context)
        + request.messages.iter().flat_map(|message| &message.content).map(block).sum::<usize>()
}

fn tokens(words: usize) -> u64 {
    u64::try_from(words).unwrap_or(u64::MAX)
}

//! Tests of the layer as a whole: golden streams, what is sent, and calls over the network.

mod anthropic;
mod demo;
mod network;
mod openai;
mod server;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use proptest::prelude::*;
use serde_json::json;

use super::stream::{Decoder, decode};
use super::*;

type Told = Vec<Result<ModelEvent, ErrorKind>>;

fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

/// All that a decoder tells of a body that comes in these pieces.
fn told(pieces: Vec<Vec<u8>>, decoder: impl Decoder + 'static) -> Told {
    let bytes = stream::iter(pieces).map(|piece| Ok(Bytes::from(piece)));
    futures::executor::block_on(decode(bytes, decoder).map(|event| event.map_err(|error| error.kind)).collect())
}

fn told_whole(body: &str, decoder: impl Decoder + 'static) -> Told {
    told(vec![body.as_bytes().to_vec()], decoder)
}

fn completion(told: &Told) -> &Completion {
    match told.last() {
        Some(Ok(ModelEvent::Completed(completion))) => completion,
        other => panic!("not complete: {other:?}"),
    }
}

fn text(told: &Told) -> String {
    let text = |event: &Result<ModelEvent, ErrorKind>| match event {
        Ok(ModelEvent::Text(text)) => Some(text.clone()),
        _ => None,
    };
    told.iter().filter_map(text).collect()
}

/// Wherever it is cut, and with other line ends, the body tells the same.
fn assert_same_however_cut<D: Decoder + 'static>(body: &str, decoder: impl Fn() -> D) {
    let expected = told_whole(body, decoder());
    let told_cut = |body: &str, at: usize| {
        let (left, right) = body.as_bytes().split_at(at);
        told(vec![left.to_vec(), right.to_vec()], decoder())
    };
    for at in 1..body.len() {
        assert_eq!(told_cut(body, at), expected, "cut at {at}");
    }
    let crlf = body.replace('\n', "\r\n");
    for (at, _) in crlf.match_indices('\n') {
        assert_eq!(told_cut(&crlf, at), expected, "cut within the line end at {at}");
    }
    for body in [body, &crlf, &body.replace('\n', "\r")] {
        let bytes = body.bytes().map(|byte| vec![byte]).collect();
        assert_eq!(told(bytes, decoder()), expected, "byte by byte");
    }
}

/// However early it ends, it is told as a failure and never as an answer.
fn assert_cut_is_failure<D: Decoder + 'static>(events: &[&str], decoder: impl Fn() -> D) {
    for count in 0..events.len() {
        let told = told_whole(&events[..count].concat(), decoder());
        assert_eq!(told.last(), Some(&Err(ErrorKind::Cut)), "after {count} events");
        assert!(told[..told.len() - 1].iter().all(Result::is_ok));
    }
}

fn request(messages: Vec<Message>) -> ModelRequest {
    ModelRequest {
        system: "You are the support agent.".into(),
        context: String::new(),
        messages,
        tools: Vec::new(),
        max_output_tokens: 1_000,
        temperature: None,
        thinking_tokens: None,
    }
}

fn hello() -> ModelRequest {
    request(vec![Message::text(Role::User, "hello")])
}

fn tool(name: &str) -> ToolSpec {
    let parameters = json!({"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]});
    ToolSpec { name: name.into(), description: format!("The {name}"), parameters }
}

/// A question, two calls with thoughts before them, their results, and a second round.
fn two_rounds() -> ModelRequest {
    let call = |id: &str, name: &str, input| Block::ToolUse { id: id.into(), name: name.into(), input };
    let result = |id: &str, content: &str, is_error| Block::ToolResult {
        tool_use_id: id.into(),
        content: content.into(),
        is_error,
    };
    let thought = json!({"type": "thinking", "thinking": "Both.", "signature": "c2lnbg=="});
    let messages = vec![
        Message::text(Role::User, "Where are A-1 and A-2?"),
        Message {
            role: Role::Assistant,
            content: vec![
                Block::Opaque { provider: "anthropic".into(), block: thought.clone() },
                Block::Text { text: "I look.".into() },
                call("toolu_1", "order", json!({"number": "A-1"})),
                call("functions.order:2", "order", "{\"number\": A-2".into()),
            ],
        },
        Message {
            role: Role::User,
            content: vec![
                result("functions.order:2", "the arguments are no object", true),
                result("toolu_1", "{\"status\":\"shipped\"}", false),
            ],
        },
        Message {
            role: Role::Assistant,
            content: vec![
                Block::Opaque { provider: "anthropic".into(), block: thought },
                call("toolu_3", "today", json!({})),
            ],
        },
        Message { role: Role::User, content: vec![result("toolu_3", "Monday", false)] },
    ];
    ModelRequest {
        tools: vec![tool("order"), tool("today")],
        temperature: Some(0.5),
        thinking_tokens: Some(2_000),
        ..request(messages)
    }
}

#[test]
fn an_event_without_end_is_a_failure() {
    let pieces = std::iter::once(b"data: ".to_vec()).chain(std::iter::repeat_n(vec![b'x'; 1 << 20], 9)).collect();
    let decoder = super::openai::ChunkDecoder::new(model("openai/x"), 1);
    assert_eq!(told(pieces, decoder), [Err(ErrorKind::Malformed)]);
}

#[test]
fn an_answer_without_end_is_a_failure() {
    let piece = format!("data: {{\"padding\":\"{}\"}}\n\n", "x".repeat(1 << 20)).into_bytes();
    let decoder = super::openai::ChunkDecoder::new(model("openai/x"), 1);
    assert_eq!(told(vec![piece; 65], decoder), [Err(ErrorKind::Malformed)]);
}

/// A stream tells events, and then one completion or one failure.
fn assert_ends_once(told: &Told) {
    let is_end = |event: &Result<ModelEvent, ErrorKind>| matches!(event, Err(_) | Ok(ModelEvent::Completed(_)));
    assert!(told.last().is_some_and(is_end), "{told:?}");
    assert_eq!(told.iter().filter(|event| is_end(event)).count(), 1, "{told:?}");
}

proptest! {
    #[test]
    fn a_damaged_stream_ends_once_and_without_panic(at in 0..usize::MAX, length in 0..200_usize, noise in any::<Vec<u8>>()) {
        let golden = [include_str!("../fixtures/anthropic.sse"), include_str!("../fixtures/openai.sse")];
        let [claude, gpt] = golden.map(|body| {
            let mut bytes = body.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes.splice(at..(at + length).min(body.len()), noise.iter().copied());
            vec![bytes]
        });
        assert_ends_once(&told(claude, super::anthropic::MessageDecoder::new(model("anthropic/x"))));
        assert_ends_once(&told(gpt, super::openai::ChunkDecoder::new(model("openai/x"), 1)));
    }
}

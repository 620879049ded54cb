//! OpenAI's golden stream and request, and the ways of those who are compatible.

use serde_json::{Value, json};

use super::super::openai::{ChunkDecoder, body};
use super::*;

const GOLDEN: &str = include_str!("../fixtures/openai.sse");

fn decoder() -> ChunkDecoder {
    ChunkDecoder::new(model("openai/gpt-4o"), 1)
}

fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn call(id: &str, name: &str, input: Value) -> Block {
    Block::ToolUse { id: id.into(), name: name.into(), input }
}

fn told_chunks(chunks: &[Value]) -> Told {
    told_whole(&chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>(), decoder())
}

#[test]
fn the_golden_stream_is_told_in_full() {
    let told = told_whole(GOLDEN, decoder());
    assert_eq!(text(&told), "Ich schaue nach, schöne Grüße 😀 😀 \u{fffd}");
    let completion = completion(&told);
    assert_eq!(
        completion.content,
        [
            Block::Text { text: "Ich schaue nach, schöne Grüße 😀 😀 \u{fffd}".into() },
            call("call_a", "order", json!({"number": "A-1"})),
            call("call_b", "today", json!({})),
            call("call_1_2", "order", json!("{\"number\": A-2")),
        ]
    );
    assert_eq!(completion.stop, Stop::ToolUse);
    let usage = Usage { input_tokens: 47, output_tokens: 89, cache_read_tokens: 30, cache_write_tokens: 0 };
    assert_eq!(completion.usage, usage);
    assert_eq!(told[told.len() - 2], Ok(ModelEvent::Usage(usage)));
}

#[test]
fn it_tells_the_same_however_it_is_cut() {
    assert_same_however_cut(GOLDEN, decoder);
}

#[test]
fn a_stream_without_a_finish_reason_is_a_failure() {
    let events: Vec<_> = GOLDEN.split_inclusive("\n\n").collect();
    assert_cut_is_failure(&events[..events.len() - 2], decoder);
    assert_eq!(told_whole("data: [DONE]\n\n", decoder()), [Err(ErrorKind::Cut)]);
}

#[test]
fn a_stream_with_a_finish_reason_and_no_done_is_complete() {
    let told = told_chunks(&[delta(json!({"content": "hi"})), finish("stop")]);
    assert_eq!((text(&told).as_str(), completion(&told).stop), ("hi", Stop::EndTurn));
    assert_eq!(completion(&told).usage, Usage::default(), "usage that is not told counts as nothing");
}

#[test]
fn usage_may_come_with_the_finish_reason_and_leave_thinking_to_the_total() {
    let mut last = finish("stop");
    last["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 20});
    let told = told_chunks(&[delta(json!({"content": "hi"})), last]);
    assert_eq!((completion(&told).usage.input_tokens, completion(&told).usage.output_tokens), (10, 10));
}

#[test]
fn every_finish_reason_has_its_meaning() {
    let cases = [
        ("stop", Stop::EndTurn),
        ("length", Stop::MaxTokens),
        ("content_filter", Stop::Refusal),
        ("tool_calls", Stop::EndTurn),
        ("eos", Stop::EndTurn),
    ];
    for (reason, stop) in cases {
        let told = told_chunks(&[delta(json!({"content": "hi"})), finish(reason)]);
        assert_eq!(completion(&told).stop, stop, "{reason}");
    }
    for reason in ["stop", "tool_calls", "function_call"] {
        let calls = json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "n", "arguments": ""}}]});
        let told = told_chunks(&[delta(calls), finish(reason)]);
        assert_eq!(completion(&told).stop, Stop::ToolUse, "{reason}");
    }
    assert_eq!(told_chunks(&[finish("error")]), [Err(ErrorKind::Server)]);
}

#[test]
fn a_refusal_is_told_as_text() {
    let told = told_chunks(&[delta(json!({"refusal": "I'm "})), delta(json!({"refusal": "sorry."})), finish("stop")]);
    assert_eq!((text(&told).as_str(), completion(&told).stop), ("I'm sorry.", Stop::Refusal));
}

#[test]
fn calls_are_told_apart_without_index_or_id() {
    let one = |call: Value| delta(json!({"tool_calls": [call]}));
    let cases = [
        (
            "no index, whole calls with ids",
            vec![
                one(json!({"id": "a", "function": {"name": "n", "arguments": "{\"x\":1}"}})),
                one(json!({"id": "b", "function": {"name": "m", "arguments": "{}"}})),
            ],
            vec![call("a", "n", json!({"x": 1})), call("b", "m", json!({}))],
        ),
        (
            "one index for all",
            vec![
                one(json!({"index": 0, "id": "a", "function": {"name": "n", "arguments": "{\"x\""}})),
                one(json!({"index": 0, "id": "a", "function": {"name": "n", "arguments": ":1}"}})),
                one(json!({"index": 0, "id": "b", "function": {"name": "m", "arguments": null}})),
            ],
            vec![call("a", "n", json!({"x": 1})), call("b", "m", json!({}))],
        ),
        (
            "no ids at all, arguments as an object",
            vec![
                one(json!({"index": 0, "id": "", "function": {"name": "n", "arguments": {"x": 1}}})),
                one(json!({"index": 1, "id": null, "function": {"name": "m"}})),
            ],
            vec![call("call_1_0", "n", json!({"x": 1})), call("call_1_1", "m", json!({}))],
        ),
        (
            "the same id twice",
            vec![delta(json!({"tool_calls": [
                {"index": 0, "id": "a", "function": {"name": "n"}}, {"index": 1, "id": "a", "function": {"name": "m"}}]}))],
            vec![call("a", "n", json!({})), call("call_1_1", "m", json!({}))],
        ),
        (
            "the old way",
            vec![
                delta(json!({"function_call": {"name": "n", "arguments": "{\"x\":"}})),
                delta(json!({"function_call": {"arguments": "1}"}})),
            ],
            vec![call("call_1_0", "n", json!({"x": 1}))],
        ),
    ];
    for (name, mut chunks, expected) in cases {
        chunks.push(finish("tool_calls"));
        assert_eq!(completion(&told_chunks(&chunks)).content, expected, "{name}");
    }
}

#[test]
fn a_call_without_a_name_is_a_failure() {
    let chunk = delta(json!({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{}"}}]}));
    assert_eq!(told_chunks(&[chunk, finish("tool_calls")]), [Err(ErrorKind::Cut)]);
}

#[test]
fn text_may_come_in_parts_and_other_choices_are_ignored() {
    let parts = delta(
        json!({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}),
    );
    let other = json!({"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]});
    assert_eq!(text(&told_chunks(&[parts, other, finish("stop")])), "hi");
}

#[test]
fn an_error_in_the_stream_is_a_failure_of_its_kind() {
    let cases = [
        (json!({"error": {"code": 429, "message": "slow"}}), ErrorKind::RateLimited),
        (json!({"error": {"code": "context_length_exceeded", "message": "m"}}), ErrorKind::ContextTooLong),
        (json!({"error": {"type": "invalid_request_error", "code": null, "message": "m"}}), ErrorKind::InvalidRequest),
        (json!({"error": "boom"}), ErrorKind::Server),
    ];
    for (chunk, kind) in cases {
        assert_eq!(told_chunks(std::slice::from_ref(&chunk)), [Err(kind)], "{chunk}");
    }
    for body in ["data: {\"choices\"\n\n", "data: no\n\n"] {
        assert_eq!(told_whole(body, decoder()), [Err(ErrorKind::Malformed)], "{body}");
    }
}

fn sent(name: &str, request: &ModelRequest, url: &str) -> Value {
    body(&model(name), request, &url.parse().unwrap()).unwrap()
}

#[test]
fn a_conversation_with_tools_is_sent_so() {
    insta::assert_json_snapshot!(sent("openai/gpt-4o", &two_rounds(), "https://api.openai.com/v1/chat/completions"));
}

#[test]
fn others_are_sent_the_names_that_they_know() {
    let groq = sent("groq/openai/gpt-oss-20b", &hello(), "https://api.groq.com/openai/v1/chat/completions");
    assert_eq!((&groq["max_tokens"], groq.get("max_completion_tokens")), (&json!(1_000), None));
    assert_eq!(groq["model"], "openai/gpt-oss-20b");
    assert_eq!(groq["stream_options"]["include_usage"], true);
    assert!(groq.get("temperature").is_none() && groq.get("tools").is_none());
    let mistral = sent("mistral/mistral-large", &hello(), "https://api.mistral.ai/v1/chat/completions");
    assert!(mistral.get("stream_options").is_none());
}

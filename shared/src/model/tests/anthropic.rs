//! Anthropic's golden stream and request.

use serde_json::{Value, json};

use super::super::anthropic::{MessageDecoder, body};
use super::*;

const GOLDEN: &str = include_str!("../fixtures/anthropic.sse");

fn decoder() -> MessageDecoder {
    MessageDecoder::new(model("anthropic/claude-sonnet-4-5"))
}

fn sse(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}})
}

fn words(text: &str) -> Vec<Value> {
    vec![
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        json!({"type": "content_block_stop", "index": 0}),
    ]
}

fn end(reason: &str) -> Vec<Value> {
    vec![
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ]
}

#[test]
fn the_golden_stream_is_told_in_full() {
    let told = told_whole(GOLDEN, decoder());
    assert_eq!(text(&told), "Ich schaue nach, schöne Grüße 😀 😀 \u{fffd}Moment.");
    let opaque = |block: Value| Block::Opaque { provider: "anthropic".into(), block };
    let call = |id: &str, name: &str, input: Value| Block::ToolUse { id: id.into(), name: name.into(), input };
    let completion = completion(&told);
    assert_eq!(
        completion.content,
        [
            opaque(json!({"type": "thinking", "thinking": "Two orders: look both up.", "signature": "c2lnbg=="})),
            opaque(json!({"type": "redacted_thinking", "data": "ZGF0YQ=="})),
            Block::Text { text: "Ich schaue nach, schöne Grüße 😀 😀 \u{fffd}".into() },
            call("toolu_1", "order", json!({"number": "A-1"})),
            call("toolu_2", "today", json!({})),
            call("toolu_3", "order", json!("{\"number\": A-2")),
            opaque(json!({"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}})),
            Block::Text { text: "Moment.".into() },
        ]
    );
    assert_eq!(completion.stop, Stop::ToolUse);
    let usage = Usage { input_tokens: 47, output_tokens: 89, cache_read_tokens: 30, cache_write_tokens: 5 };
    assert_eq!(completion.usage, usage);
    assert_eq!(told[told.len() - 2], Ok(ModelEvent::Usage(usage)));
}

#[test]
fn it_tells_the_same_however_it_is_cut() {
    assert_same_however_cut(GOLDEN, decoder);
}

#[test]
fn a_stream_that_ends_early_is_a_failure() {
    let events: Vec<_> = GOLDEN.split_inclusive("\n\n").collect();
    assert_cut_is_failure(&events, decoder);
}

#[test]
fn every_stop_reason_has_its_meaning() {
    let cases = [
        ("end_turn", Stop::EndTurn),
        ("stop_sequence", Stop::EndTurn),
        ("tool_use", Stop::EndTurn),
        ("max_tokens", Stop::MaxTokens),
        ("model_context_window_exceeded", Stop::MaxTokens),
        ("refusal", Stop::Refusal),
        ("pause_turn", Stop::Pause),
        ("a_new_one", Stop::EndTurn),
    ];
    for (reason, stop) in cases {
        let told = told_whole(&sse(&[vec![start()], words("hi"), end(reason)].concat()), decoder());
        assert_eq!(completion(&told).stop, stop, "{reason}");
    }
}

#[test]
fn usage_may_be_corrected_at_the_end_or_missing() {
    let corrected = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 5}});
    let told = told_whole(&sse(&[start(), corrected, json!({"type": "message_stop"})]), decoder());
    let usage = Usage { input_tokens: 13, output_tokens: 5, cache_read_tokens: 4, cache_write_tokens: 0 };
    assert_eq!(completion(&told).usage, usage);

    let bare = [
        json!({"type": "message_start", "message": {}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(completion(&told_whole(&sse(&bare), decoder())).usage, Usage::default());
}

#[test]
fn an_error_event_is_a_failure_of_its_kind() {
    let cases = [
        ("overloaded_error", ErrorKind::Overloaded),
        ("rate_limit_error", ErrorKind::RateLimited),
        ("api_error", ErrorKind::Server),
        ("invalid_request_error", ErrorKind::InvalidRequest),
        ("authentication_error", ErrorKind::Unauthorized),
        ("a_new_one", ErrorKind::Server),
    ];
    for (name, kind) in cases {
        let error = json!({"type": "error", "error": {"type": name, "message": "m"}});
        let told = told_whole(&sse(&[vec![start()], words("hi"), vec![error]].concat()), decoder());
        assert_eq!(told.last(), Some(&Err(kind)), "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_a_failure() {
    for body in ["data: {\"type\"\n\n", "data: 5\n\n", "data: \u{1}\n\n", "data: {\"type\":\"message_start\"}\n\n"] {
        assert_eq!(told_whole(body, decoder()), [Err(ErrorKind::Malformed)], "{body}");
    }
    assert_eq!(told(vec![b"data: \"\xff\"\n\n".to_vec()], decoder()), [Err(ErrorKind::Malformed)]);
    let lost = json!({"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}});
    assert_eq!(told_whole(&sse(&[lost]), decoder()), [Err(ErrorKind::Malformed)]);
    let no_reason = [start(), json!({"type": "message_stop"})];
    assert_eq!(told_whole(&sse(&no_reason), decoder()).last(), Some(&Err(ErrorKind::Malformed)));
}

#[test]
fn a_conversation_with_tools_and_thoughts_is_sent_so() {
    insta::assert_json_snapshot!(body(&model("anthropic/claude-sonnet-4-5"), &two_rounds()).unwrap());
}

#[test]
fn a_conversation_with_tools_goes_on_with_an_agent_that_has_none() {
    let handed_over = ModelRequest { tools: Vec::new(), system: "You are billing.".into(), ..two_rounds() };
    let sent = body(&model("anthropic/claude-sonnet-4-5"), &handed_over).unwrap();
    let with_tools = body(&model("anthropic/claude-sonnet-4-5"), &two_rounds()).unwrap();
    assert_eq!(sent["messages"], with_tools["messages"]);
    insta::assert_json_snapshot!(without_messages(sent));
    let plain = body(&model("anthropic/x"), &hello()).unwrap();
    assert!(plain.get("tools").is_none() && plain.get("tool_choice").is_none());
    assert!(with_tools.get("tool_choice").is_none());
}

/// The rest of a request.
fn without_messages(mut sent: Value) -> Value {
    sent.as_object_mut().unwrap().remove("messages");
    sent
}

#[test]
fn what_was_told_is_sent_back_unchanged() {
    let told = told_whole(GOLDEN, decoder());
    let answer = Message { role: Role::Assistant, content: completion(&told).content.clone() };
    let sent = body(&model("anthropic/x"), &request(vec![Message::text(Role::User, "go"), answer])).unwrap();
    let blocks = sent["messages"][1]["content"].as_array().unwrap();
    let types: Vec<_> = blocks.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["thinking", "redacted_thinking", "text", "tool_use", "tool_use", "tool_use", "server_tool_use", "text"]
    );
    assert_eq!(blocks[0]["signature"], "c2lnbg==");
    assert_eq!(sent["messages"][2]["content"].as_array().unwrap().len(), 3, "each call is answered");
}

#[test]
fn thinking_and_temperature_exclude_each_other() {
    let plain = body(&model("anthropic/x"), &hello()).unwrap();
    assert!(plain.get("temperature").is_none() && plain.get("thinking").is_none() && plain.get("tools").is_none());
    assert_eq!(plain["max_tokens"], 1_000);

    let warm = body(&model("anthropic/x"), &ModelRequest { temperature: Some(0.5), ..hello() }).unwrap();
    assert_eq!(warm["temperature"], 0.5);

    let thinking = ModelRequest { temperature: Some(0.5), thinking_tokens: Some(10), ..hello() };
    let thinking = body(&model("anthropic/x"), &thinking).unwrap();
    assert!(thinking.get("temperature").is_none());
    assert_eq!((&thinking["thinking"]["budget_tokens"], &thinking["max_tokens"]), (&json!(1_024), &json!(2_024)));
}

#[test]
fn a_round_that_another_model_began_without_thoughts_goes_on_without_them() {
    let mut request = two_rounds();
    request.messages[3].content.remove(0);
    assert!(body(&model("anthropic/x"), &request).unwrap().get("thinking").is_none());
}

#[test]
fn tools_are_cached_where_there_is_no_system_prompt() {
    let request = ModelRequest { system: String::new(), tools: vec![tool("a"), tool("b")], ..hello() };
    let sent = body(&model("anthropic/x"), &request).unwrap();
    assert!(sent.get("system").is_none());
    assert!(sent["tools"][0].get("cache_control").is_none());
    assert_eq!(sent["tools"][1]["cache_control"]["type"], "ephemeral");
}

#[test]
fn a_conversation_in_which_nobody_speaks_is_not_sent() {
    let error = body(&model("anthropic/x"), &request(vec![Message::text(Role::User, " ")])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
}

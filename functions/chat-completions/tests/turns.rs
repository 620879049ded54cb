//! What happens between the question and the answer.

use std::io;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::http::Deadline;
use shared::id::SessionId;
use shared::model::{Block, Role};
use shared::session::Turn;
use testkit::{Api, Bench, next_piece};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

const PATH: &str = "/api/agents/{agent}/v1/chat/completions";
const TOOLS: &str = "
tools:
  - name: add
    description: Adds two numbers
    parameters: { type: object, properties: { a: { type: number }, b: { type: number } }, required: [a, b] }
    code: 'return { sum: args.a + args.b };'
  - name: break
    description: Fails
    code: throw new Error('no luck');
  - name: words
    description: Says much
    code: return 'word '.repeat(2000);
limits: { max_tool_rounds: 2 }";

async fn api(bench: Bench, front_matter: &str) -> Api {
    Api::new(bench, chat_completions::routes(), PATH, Kind::Server, front_matter).await
}

fn said(words: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": words }] })
}

fn streamed(words: &str) -> Value {
    json!({ "stream": true, "messages": [{ "role": "user", "content": words }] })
}

async fn answer(api: &Api, words: &str) -> String {
    let reply = api.post(&said(words)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn tools_called_together_each_answer_to_their_own_call() {
    let api = api(Bench::new().await, TOOLS).await;
    let told = answer(&api, "/tool add {\"a\": 1, \"b\": 2}\n/tool break {}\n/tool add {\"a\": 20, \"b\": 22}").await;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!((lines[0], lines[lines.len() - 1]), (r#"add answered: {"sum":3}"#, r#"add answered: {"sum":42}"#));
    assert!(lines[1].starts_with("break failed:") && lines[1].contains("no luck"), "{told}");
}

#[tokio::test]
async fn a_tool_that_is_not_there_or_is_called_wrongly_is_told_to_the_model() {
    let api = api(Bench::new().await, TOOLS).await;
    for (call, expected) in [
        ("/tool nothing {}", "nothing failed:"),
        (r#"/tool add {"a": "1"}"#, "add failed:"),
        ("/tool add not json", "add failed:"),
        ("/tool add {}", "add failed:"),
    ] {
        let told = answer(&api, call).await;
        assert!(told.starts_with(expected), "{call}: {told}");
    }
    let told = answer(&api, r#"/tool add {"a": "1", "b": 2}"#).await;
    assert!(told.contains("/a") || told.contains("\"1\""), "it says where: {told}");
}

#[tokio::test]
async fn clients_never_see_a_tool_call_that_they_did_not_ask_for() {
    let api = api(Bench::new().await, TOOLS).await;
    let reply = api.post(&streamed(r#"/tool add {"a": 1, "b": 2}"#)).await;
    assert!(!reply.body.contains("tool_calls"), "{}", reply.body);
    assert!(reply.body.contains(r#""finish_reason":"stop""#) && reply.body.contains("answered: "));
}

#[tokio::test]
async fn the_figures_of_all_rounds_are_told_and_added_to_the_tenants_usage() {
    let api = api(Bench::new().await, TOOLS).await;
    let plain = api.post(&said("hi")).await.json()["usage"]["total_tokens"].as_u64().unwrap();
    let usage = api.post(&said(r#"/tool add {"a":1,"b":2}"#)).await.json()["usage"].clone();
    // Round one reads 10 words and writes a call; round two reads the call and its result too, and writes 3 words.
    let system = plain - 1 - 3;
    let (first, second) = (system + 3, system + 3 + 1 + 1);
    assert_eq!(usage["prompt_tokens"], first + second);
    assert_eq!(usage["completion_tokens"], 1 + 3);
    let used = api.bench.usage().await;
    assert_eq!(used.input_tokens + used.output_tokens, plain + usage["total_tokens"].as_u64().unwrap());
    assert_eq!(used.turns, 2);
}

#[tokio::test]
async fn a_failed_turn_is_paid_for_and_leaves_no_session() {
    let api = api(Bench::new().await, TOOLS).await;
    assert_eq!(api.post(&said("/cut")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let used = api.bench.usage().await;
    assert!(used.input_tokens > 0 && used.output_tokens > 0, "{used:?}");
    assert!(!api.bench.dump().await.contains("SESSION#"));
}

#[tokio::test]
async fn a_stored_turn_is_whole() {
    let api = api(Bench::new().await, TOOLS).await;
    answer(&api, r#"/tool add {"a": 1, "b": 2}"#).await;
    let table = api.bench.dump().await;
    let at = table.find("sess_").unwrap();
    let session = SessionId::from(&table[at..at + 31]);
    let store = api.bench.app.store();
    let stored = store.turn(&api.bench.tenant, &api.agent, &session, 1, testkit::BEGIN).await.unwrap().unwrap();
    let turn = Turn::from_record(&stored.record).unwrap();
    let roles: Vec<Role> = turn.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User, Role::Assistant]);
    assert!(matches!(turn.messages[1].content[0], Block::ToolUse { .. }));
    assert!(matches!(turn.messages[2].content[0], Block::ToolResult { is_error: false, .. }));
    assert_eq!((turn.tool_calls, turn.model.as_str()), (1, "demo/echo"));
}

#[tokio::test]
async fn a_turn_that_takes_too_long_ends_with_an_error() {
    let api = api(Bench::with("enterprise", &[("ORRERY_TURN_SECONDS", "1")]).await, "").await;
    let begun = Instant::now();
    let (plain, streamed) = (said("/slow 60000"), streamed("/slow 60000"));
    let (plain, streamed) = tokio::join!(api.post(&plain), api.post(&streamed));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(plain.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(streamed.status, StatusCode::OK);
    let last: Value = serde_json::from_str(streamed.data().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "agent_error");
    assert!(!streamed.body.contains("[DONE]"));
}

#[tokio::test]
async fn a_turn_ends_in_time_for_its_last_words_before_the_invocation_does() {
    let api = api(Bench::new().await, "").await;
    let mut request = api.request(&streamed("/slow 60000"));
    request.extensions_mut().insert(Deadline(Instant::now() + Duration::from_millis(2_200)));
    let begun = Instant::now();
    let reply = api.send(request).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "two seconds are kept for storing");
    assert!(reply.data().last().is_some_and(|last| last.contains("agent_error")), "{}", reply.body);
}

#[tokio::test]
async fn a_caller_that_goes_away_pays_for_what_was_used_and_holds_nothing() {
    let api = api(Bench::new().await, TOOLS).await;
    let body = streamed("/tool words {}");
    let request = testkit::with_header(api.request(&body), "idempotency-key", b"k");
    let mut stream = testkit::open(&api.router, request).await.into_body();
    while !next_piece(&mut stream).await.contains("word") {}
    assert_eq!(api.post_once("k", &body).await.status, StatusCode::CONFLICT);
    drop(stream);
    timeout(Duration::from_secs(5), api.bench.settle()).await.unwrap();
    let used = api.bench.usage().await;
    assert!(used.input_tokens > 0, "the first round was complete: {used:?}");
    let table = api.bench.dump().await;
    assert!(!table.contains("SESSION#") && !table.contains("IDEMPOTENCY#"));
    assert_eq!(api.post_once("k", &body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_providers_work_ends_when_the_caller_goes_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let variables = [("ANTHROPIC_BASE_URL", base.as_str()), ("ANTHROPIC_API_KEY", "sk-ant-secret")];
    let api = api(Bench::with("enterprise", &variables).await, "model: anthropic/claude-sonnet-4-5").await;
    let body = streamed("Hello");
    let upstream = async {
        let (mut provider, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 65_536];
        let _head = provider.read(&mut request).await.unwrap();
        provider.write_all(PROVIDER_BEGINS.as_bytes()).await.unwrap();
        provider
    };
    let (mut provider, stream) = tokio::join!(upstream, api.open(&body));
    let mut stream = stream;
    while !next_piece(&mut stream).await.contains("Once") {}
    drop(stream);
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), provider.read_to_end(&mut rest)).await.unwrap().unwrap_or_default();
    timeout(Duration::from_secs(5), api.bench.settle()).await.unwrap();
    assert_eq!(api.bench.usage().await.input_tokens, 25, "what the provider had told by then");
}

/// Answers one request with these bytes, and tells what it was.
async fn provide(listener: &TcpListener, answer: &str) -> io::Result<String> {
    let (mut provider, _) = listener.accept().await?;
    let mut request = Vec::new();
    let mut chunk = vec![0; 65_536];
    while !ends(&request) {
        let read = provider.read(&mut chunk).await?;
        request.extend_from_slice(&chunk[..read]);
    }
    provider.write_all(answer.as_bytes()).await?;
    String::from_utf8(request).map_err(io::Error::other)
}

/// Whether a request is complete.
fn ends(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
    length.is_none_or(|length: usize| body.len() >= length)
}

#[tokio::test]
async fn a_model_that_calls_tools_for_ever_is_stopped_and_the_caller_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let bench = Bench::with("enterprise", &[("VLLM_BASE_URL", base.as_str())]).await;
    let api = api(bench, &format!("model: vllm/m{TOOLS}")).await;
    let upstream = async {
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(provide(&listener, PROVIDER_CALLS).await.unwrap());
        }
        requests
    };
    let body = said("go on");
    let (requests, reply) = tokio::join!(upstream, api.post(&body));
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let choice = reply.json()["choices"][0].clone();
    assert_eq!(choice["message"]["content"], "I had to stop after 2 rounds of tool calls, before I was done.");
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(reply.json()["usage"], json!({ "prompt_tokens": 30, "completion_tokens": 6, "total_tokens": 36 }));
    assert_eq!(requests[2].matches(r#"{\"sum\":3}"#).count(), 2, "the results of both rounds were told");
    assert_eq!(requests[0].matches("\"role\":\"tool\"").count(), 0);
}

#[tokio::test]
async fn why_the_model_stopped_is_told_in_openais_words() {
    for (told, expected) in [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let api = api(Bench::with("enterprise", &[("VLLM_BASE_URL", base.as_str())]).await, "model: vllm/m").await;
        let answer = PROVIDER_ANSWERS.replace("REASON", told);
        let body = streamed("Hello");
        let (request, reply) = tokio::join!(provide(&listener, &answer), api.post(&body));
        assert!(request.unwrap().contains("Hello"));
        assert!(reply.body.contains(&format!(r#""finish_reason":"{expected}""#)), "{}", reply.body);
        assert_eq!(reply.data().last(), Some(&"[DONE]"));
    }
}

/// An answer of the Chat Completions API.
const PROVIDER_ANSWERS: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Well\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"REASON\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12}}\n\n",
    "data: [DONE]\n\n",
);

/// An answer of the Chat Completions API that calls a tool.
const PROVIDER_CALLS: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",",
    "\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",",
    "\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1,\\\"b\\\":2}\"}}]},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12}}\n\n",
    "data: [DONE]\n\n",
);

/// The beginning of an answer of the Messages API that does not go on.
const PROVIDER_BEGINS: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",",
    "\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"stop_reason\":null,",
    "\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"Once\"}}\n\n",
);

//! What `kopern_chat` does with the agent.

use http::StatusCode;
use serde_json::{Value, json};
use shared::auth::Kind;
use testkit::{Api, Bench, next_piece, with_header};

const PATH: &str = "/api/mcp/server";

async fn api(front_matter: &str) -> Api {
    Api::new(Bench::new().await, mcp_server::routes(), PATH, Kind::Server, front_matter).await
}

fn chat(arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "kopern_chat", "arguments": arguments } })
}

fn with_token(arguments: &Value) -> Value {
    let mut call = chat(arguments);
    call["params"]["_meta"] = json!({ "progressToken": "p-1" });
    call
}

/// Sends a call as clients of 2025-06-18 do.
fn request(api: &Api, body: &Value) -> http::Request<axum::body::Body> {
    let request = with_header(api.request(body), "mcp-protocol-version", b"2025-06-18");
    with_header(request, "accept", b"text/event-stream;q=0.9, application/json")
}

async fn result(api: &Api, arguments: &Value) -> Value {
    let reply = api.send(request(api, &chat(arguments))).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"), "{}", reply.body);
    reply.json()["result"].clone()
}

#[tokio::test]
async fn a_session_carries_the_conversation_on_and_a_history_stands_for_one() {
    let api = api("").await;
    let first = result(&api, &json!({ "message": "one" })).await;
    let session = &first["structuredContent"]["session_id"];
    assert_eq!(first["structuredContent"]["response"], first["content"][0]["text"]);
    let second = result(&api, &json!({ "message": "/history", "session_id": session })).await;
    assert_eq!(second["structuredContent"]["session_id"], *session);
    let history = json!([{ "role": "user", "content": "one" }, { "role": "assistant", "content": "You said: one" }]);
    let third = result(&api, &json!({ "message": "/history", "history": history })).await;
    assert_eq!(second["content"], third["content"]);
    assert_ne!(third["structuredContent"]["session_id"], *session);
}

#[tokio::test]
async fn an_agent_that_fails_and_arguments_that_are_wrong_are_told_to_the_model() {
    let api = api("").await;
    for arguments in [
        json!({ "message": "/fail" }),
        json!({ "message": "/cut" }),
        json!({}),
        json!({ "message": "" }),
        json!({ "message": 7 }),
        json!({ "message": "x".repeat(10_001) }),
        json!({ "message": "x", "history": [{ "role": "system", "content": "x" }] }),
    ] {
        let failed = result(&api, &arguments).await;
        assert_eq!((&failed["isError"], &failed["structuredContent"]), (&json!(true), &Value::Null));
        assert!(!failed["content"][0]["text"].as_str().unwrap().is_empty());
    }
    let failed = result(&api, &json!({ "history": 7 })).await;
    let told = "Invalid arguments\nmessage: Required\nhistory: Expected array, received number";
    assert_eq!(failed["content"][0]["text"], told);
}

#[tokio::test]
async fn progress_is_told_under_the_callers_token_and_the_answer_comes_last() {
    let api = api("tools:\n  - name: now\n    description: Tells\n    code: return 'noon';").await;
    let reply = api.send(request(&api, &with_token(&json!({ "message": "/tool now {}" })))).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let messages: Vec<Value> = reply.data().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let (last, progress) = messages.split_last().unwrap();
    let told: Vec<&Value> = progress.iter().map(|message| &message["params"]).collect();
    assert_eq!(
        json!(told),
        json!([
            { "progressToken": "p-1", "progress": 1, "message": "Calling now" },
            { "progressToken": "p-1", "progress": 2, "message": "now is done" },
        ])
    );
    assert!(progress.iter().all(|message| message["method"] == "notifications/progress"));
    assert_eq!((&last["id"], &last["result"]["content"][0]["text"]), (&json!(1), &json!("now answered: noon")));
}

#[tokio::test]
async fn a_failure_after_progress_is_a_result_too() {
    let api = api("").await;
    let reply = api.send(request(&api, &with_token(&json!({ "message": "/cut" })))).await;
    let last: Value = serde_json::from_str(reply.data().last().unwrap()).unwrap();
    assert_eq!((&last["id"], &last["result"]["isError"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn without_a_token_or_the_wish_for_events_one_body_answers() {
    let api = api("").await;
    let plain = with_header(api.request(&with_token(&json!({ "message": "x" }))), "accept", b"application/json");
    assert_eq!(api.send(plain).await.header("content-type"), "application/json");
    let batch =
        with_header(api.request(&json!([with_token(&json!({ "message": "x" }))])), "accept", b"text/event-stream");
    assert_eq!(api.send(batch).await.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_caller_who_goes_away_gives_the_turn_up() {
    let api = api("").await;
    let stream = testkit::open(&api.router, request(&api, &with_token(&json!({ "message": "/slow 60000" })))).await;
    drop(stream);
    api.bench.settle().await;
    let reply = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        api.send(request(&api, &chat(&json!({ "message": "/slow 60000" })))),
    );
    assert!(reply.await.is_err());
    api.bench.settle().await;
    assert_eq!(api.bench.usage().await.turns, 0);
}

#[tokio::test]
async fn while_the_agent_writes_it_is_told_once_a_second() {
    let bench = Bench::with("enterprise", &[("ORRERY_DEMO_DELAY_MS", "300")]).await;
    let api = Api::new(bench, mcp_server::routes(), PATH, Kind::Server, "").await;
    let body = with_token(&json!({ "message": "/long 100000" }));
    let mut stream = testkit::open(&api.router, request(&api, &body)).await.into_body();
    let begin = std::time::Instant::now();
    let first = next_piece(&mut stream).await;
    assert!(first.contains("notifications/progress") && first.contains("characters written"), "{first}");
    assert!((900..5_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_call_that_comes_again_is_answered_and_not_repeated() {
    let api = api("").await;
    let body = chat(&json!({ "message": "once" }));
    let first = api.post_once("k", &body).await;
    let again = api.post_once("k", &body).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(api.bench.usage().await.turns, 1);
    let other = api.post_once("k", &chat(&json!({ "message": "other" }))).await;
    assert_eq!(
        (other.status, &other.json()["error"]["data"]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_mismatch"))
    );
    assert_eq!(other.json()["id"], 1);
}

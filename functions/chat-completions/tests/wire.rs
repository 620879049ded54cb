//! What the function says on the wire.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::auth::Kind;
use testkit::{Api, Bench, bare, event, next_piece, post, with_header, without_ids};

const PATH: &str = "/api/agents/{agent}/v1/chat/completions";

async fn api() -> Api {
    Api::new(Bench::new().await, chat_completions::routes(), PATH, Kind::Server, "").await
}

fn said(words: &str) -> Value {
    json!({ "model": "x", "messages": [{ "role": "user", "content": words }] })
}

fn streamed(words: &str) -> Value {
    json!({ "stream": true, "messages": [{ "role": "user", "content": words }] })
}

#[tokio::test]
async fn the_event_of_a_plain_call_is_answered_with_a_completion() {
    let api = api().await;
    let file = include_str!("../../../events/chat-completions.json");
    let reply = api.send(event(file, api.agent.as_str(), &api.key)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "application/json");
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn the_event_of_a_streaming_call_is_answered_with_chunks_and_the_usage_it_asks_for() {
    let api = api().await;
    let file = include_str!("../../../events/chat-completions-stream.json");
    let reply = api.send(event(file, api.agent.as_str(), &api.key)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert_eq!(reply.header("cache-control"), "no-cache, no-transform");
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn nobody_gets_a_usage_chunk_who_did_not_ask_for_it() {
    let api = api().await;
    for options in [json!(null), json!({}), json!({ "include_usage": false }), json!("yes")] {
        let mut body = streamed("Hello");
        body["stream_options"] = options;
        let reply = api.post(&body).await;
        let (last, chunks) = reply.data().split_last().map(|(last, rest)| (*last, rest.to_vec())).unwrap();
        assert_eq!(last, "[DONE]");
        for chunk in &chunks {
            let chunk: Value = serde_json::from_str(chunk).unwrap();
            assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
            assert!(chunk.get("usage").is_none());
        }
    }
}

#[tokio::test]
async fn every_chunk_names_the_same_completion_and_the_last_one_why_it_ended() {
    let api = api().await;
    let reply = api.post(&streamed("/long 50")).await;
    let data = reply.data();
    let chunks: Vec<Value> = data[..data.len() - 1].iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(chunks.len(), 52);
    for chunk in &chunks {
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["created"], 1_774_449_000);
        assert_eq!(chunk["model"], "echo");
        assert_eq!(chunk["choices"][0]["index"], 0);
    }
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant" }));
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"][0]["delta"], &last["choices"][0]["finish_reason"]), (&json!({}), &json!("stop")));
    assert!(others.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
}

#[tokio::test]
async fn each_word_is_a_frame_of_its_own_and_the_first_comes_before_the_model_speaks() {
    let api = api().await;
    let mut body = api.open(&streamed("/slow 60000")).await;
    let first = next_piece(&mut body).await;
    assert!(first.contains(r#""delta":{"role":"assistant"}"#) && first.ends_with("\n\n"), "{first}");
    let mut body = api.open(&streamed("a b")).await;
    let mut pieces = Vec::new();
    loop {
        match next_piece(&mut body).await {
            piece if piece.is_empty() => break,
            piece => pieces.push(piece),
        }
    }
    assert_eq!(pieces.len(), 7, "role, four words, the end, [DONE]: {pieces:?}");
    assert!(pieces.iter().all(|piece| piece.starts_with("data: ") && piece.ends_with("\n\n")));
}

#[tokio::test]
async fn an_answer_cut_by_its_length_says_so() {
    let front_matter = "limits: { max_output_tokens: 3 }";
    let api = Api::new(Bench::new().await, chat_completions::routes(), PATH, Kind::Server, front_matter).await;
    let reply = api.post(&said("one two three four")).await.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["choices"][0]["message"]["content"], "You said: one ");
}

#[tokio::test]
async fn a_failure_after_the_headers_is_an_error_frame_and_the_end() {
    let api = api().await;
    for (words, text) in [("/cut", true), ("/fail", false)] {
        let reply = api.post(&streamed(words)).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.body.contains("breaks "), text, "{words}");
        assert!(!reply.body.contains("[DONE]") && !reply.body.contains(r#""finish_reason":"s"#), "{}", reply.body);
        let last: Value = serde_json::from_str(reply.data().last().unwrap()).unwrap();
        assert_eq!((&last["error"]["type"], &last["error"]["code"]), (&json!("server_error"), &json!("agent_error")));
        assert!(!last["error"]["message"].as_str().unwrap().contains("told to fail"));
    }
}

#[tokio::test]
async fn a_failure_before_the_headers_is_500() {
    let api = api().await;
    for words in ["/fail", "/cut"] {
        let reply = api.post(&said(words)).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(reply.json()["error"]["code"], "agent_error");
    }
}

#[tokio::test]
async fn every_error_has_openais_shape_and_lets_pages_read_it() {
    let front_matter = "limits: { requests_per_minute: { openai: 4 } }";
    let api =
        Api::new(Bench::with_plan("free").await, chat_completions::routes(), PATH, Kind::Server, front_matter).await;
    let other = api.bench.agent("", "").await;
    let foreign = api.bench.key(&other, Kind::Server).await;
    let gone = api.bench.agent("", "").await;
    let orphan = api.bench.key(&gone, Kind::Server).await;
    assert!(api.bench.app.store().delete_agent(&api.bench.tenant, &gone).await.unwrap());
    let at = |agent: &str| PATH.replace("{agent}", agent);
    let once = |body: &Value| with_header(api.request(body), "idempotency-key", b"1");

    let running = testkit::open(&api.router, once(&streamed("/slow 60000"))).await.into_body();
    let mut replies = vec![
        api.send(testkit::post_bytes(&api.path, &api.key, "{\"messages\":")).await,
        api.post(&json!({ "messages": [] })).await,
        api.post(&json!({ "messages": [{ "role": "user", "content": "x" }], "stream": 1 })).await,
        api.post_as("sk-nothing", &said("x")).await,
        api.post_as(&foreign, &said("x")).await,
        api.send(bare(Method::POST, &api.path.replace("chat/", ""), &api.key)).await,
        api.send(post(&at(gone.as_str()), &orphan, &said("x"))).await,
        api.send(bare(Method::DELETE, &api.path, &api.key)).await,
        api.send(once(&streamed("/slow 60000"))).await,
        api.post(&said(&"x".repeat(4 * 1024 * 1024))).await,
        api.send(once(&said("x"))).await,
        api.post(&said("/fail")).await,
    ];
    drop(running);
    api.bench.settle().await;
    assert_eq!(api.post(&said(&"word ".repeat(9_990))).await.status, StatusCode::OK);
    replies.push(api.post(&said("x")).await);
    let limited = Api { key: api.bench.key(&other, Kind::Server).await, path: at(other.as_str()), agent: other, ..api };
    limited
        .bench
        .app
        .store()
        .put_tenant(&shared::store::TenantItem {
            plan: "pro".to_owned(),
            ..shared::store::TenantItem::new(limited.bench.tenant.clone(), 0)
        })
        .await
        .unwrap();
    for _ in 0..30 {
        assert_eq!(limited.post(&said("x")).await.status, StatusCode::OK);
    }
    replies.push(limited.post(&said("x")).await);

    let mut told = String::new();
    for reply in &replies {
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        assert_eq!(reply.header("content-type"), "application/json");
        assert!(reply.header("x-request-id").starts_with("req_"));
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), without_ids(&reply.body)));
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn every_other_path_below_v1_is_404_in_openais_shape() {
    let api = api().await;
    for path in ["responses", "completions", "embeddings", "chat", "chat/completions/x", "models/echo", "%ff"] {
        for method in [Method::GET, Method::POST] {
            let reply = api.send(bare(method, &format!("/api/agents/{}/v1/{path}", api.agent), "")).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
            assert_eq!(reply.header("access-control-allow-origin"), "*");
        }
    }
}

#[tokio::test]
async fn a_browser_with_the_sdk_may_ask() {
    let api = api().await;
    let wanted = b"authorization,content-type,x-stainless-arch,x-stainless-retry-count";
    for path in [api.path.clone(), format!("{}/", api.path), api.path.replace("chat/completions", "responses")] {
        let asked = with_header(bare(Method::OPTIONS, &path, ""), "origin", b"https://app.example");
        let reply = api.send(with_header(asked, "access-control-request-headers", wanted)).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        assert_eq!(reply.header("access-control-allow-headers").as_bytes(), wanted);
        assert!(reply.header("access-control-allow-methods").contains("POST"));
    }
}

//! What the function says on the wire.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::auth::{Kind, NewKey, Scope};
use testkit::{Api, Bench, bare, event, plain_key, post, post_bytes, with_header, without_ids};

const PATH: &str = "/api/webhook/{agent}";

async fn api(front_matter: &str) -> Api {
    Api::new(Bench::new().await, webhook::routes(), PATH, Kind::Server, front_matter).await
}

fn message(text: &str) -> Value {
    json!({ "message": text })
}

#[tokio::test]
async fn the_event_of_a_sender_is_answered_in_the_contracts_shape() {
    let api = api("").await;
    let file = include_str!("../../../events/webhook.json");
    let reply = api.send(event(file, api.agent.as_str(), &api.key)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("60", "59"));
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn tools_are_counted_and_every_word_of_the_answer_is_there() {
    let api = api("tools:\n  - name: now\n    description: Tells\n    code: return 'noon';").await;
    let reply = api.post(&message("/tool now {}\n/tool now {}")).await.json();
    assert_eq!(reply["response"], "now answered: noon\nnow answered: noon");
    assert_eq!(reply["metrics"]["toolCallCount"], 2);
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_told_field_by_field() {
    let api = api("").await;
    let mut told = String::new();
    for body in [
        json!({}),
        json!({ "message": "" }),
        json!({ "message": "x".repeat(10_001) }),
        json!({ "message": 5, "sessionId": "", "webhookId": null, "metadata": "x" }),
        json!({ "message": "x", "metadata": { "a": "x".repeat(33_000) } }),
        json!({ "message": "x", "sessionId": "s".repeat(201) }),
        json!(["message"]),
    ] {
        let reply = api.post(&body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        told.push_str(&reply.body);
        told.push('\n');
    }
    for bytes in [&b"{\"message\": \"a"[..], b"", b"\xff", b"{\"message\":\"\xff\"}"] {
        let reply = api.send(post_bytes(&api.path, &api.key, bytes.to_vec())).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        told.push_str(&reply.body);
        told.push('\n');
    }
    insta::assert_snapshot!(told);
    assert_eq!(api.bench.usage().await.turns, 0);
}

#[tokio::test]
async fn ten_thousand_characters_are_taken_however_many_bytes_they_are() {
    let api = api("").await;
    assert_eq!(api.post(&message(&"é".repeat(10_000))).await.status, StatusCode::OK);
    assert_eq!(api.post(&message(&"é".repeat(10_001))).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_error_is_in_the_contracts_shape() {
    let api = Api::new(Bench::with_plan("free").await, webhook::routes(), PATH, Kind::Server, "").await;
    let other = api.bench.agent("widget: { enabled: true }", "").await;
    let foreign = api.bench.key(&other, Kind::Server).await;
    let widget = api.bench.key(&api.agent, Kind::Widget).await;
    let (chat, _) = api.bench.new_key(NewKey { scopes: vec![Scope::Chat], ..plain_key(&api.agent) }).await;
    let gone = api.bench.agent("", "").await;
    let orphan = api.bench.key(&gone, Kind::Server).await;
    assert!(api.bench.app.store().delete_agent(&api.bench.tenant, &gone).await.unwrap());
    let limited = api.bench.agent("limits: { requests_per_minute: { webhook: 1 } }", "").await;
    let limited_key = api.bench.key(&limited, Kind::Server).await;
    let limited_path = PATH.replace("{agent}", limited.as_str());
    assert_eq!(api.send(post(&limited_path, &limited_key, &message("x"))).await.status, StatusCode::OK);

    let mut replies = vec![
        api.send(post_bytes(&api.path, &api.key, "no")).await,
        api.post_as("", &message("x")).await,
        api.post_as("kpn_unknown", &message("x")).await,
        api.post_as(&foreign, &message("x")).await,
        api.post_as(&widget, &message("x")).await,
        api.post_as(&chat, &message("x")).await,
        api.send(post(&PATH.replace("{agent}", gone.as_str()), &orphan, &message("x"))).await,
        api.post(&json!({ "message": "x", "webhookId": "wh_unknown" })).await,
        api.send(bare(Method::GET, &api.path, &api.key)).await,
        api.post(&message(&"x".repeat(4 * 1024 * 1024))).await,
        api.send(with_header(api.request(&message("x")), "idempotency-key", b"")).await,
        api.send(with_header(api.request(&message("x")), "idempotency-key", &[b'k'; 256])).await,
        api.send(post("/api/webhook/%ff", &api.key, &message("x"))).await,
        api.send(post(&limited_path, &limited_key, &message("x"))).await,
        api.post(&message("/fail")).await,
    ];
    for _ in 0..2 {
        assert_eq!(api.post(&message(&"a ".repeat(4_990))).await.status, StatusCode::OK);
    }
    replies.push(api.post(&message("x")).await);
    let mut told = String::new();
    for reply in &replies {
        assert_eq!(reply.header("content-type"), "application/json");
        assert!(reply.header("x-request-id").starts_with("req_"));
        assert_eq!(reply.header("access-control-allow-origin"), "", "the webhook is for servers");
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), without_ids(&reply.body)));
    }
    insta::assert_snapshot!(told);
}

//! Who is let in, from where, and how often.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::auth::{Kind, NewKey, Scope};
use testkit::{Api, Bench, bare, plain_key, post, post_bytes, with_header};

const PATH: &str = "/api/mcp/server";

async fn over(bench: Bench, front_matter: &str) -> Api {
    Api::new(bench, mcp_server::routes(), PATH, Kind::Server, front_matter).await
}

fn chat(message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": { "name": "kopern_chat", "arguments": { "message": message } } })
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" })
}

#[tokio::test]
async fn without_a_key_that_works_it_says_where_keys_go() {
    let api = over(Bench::new().await, "").await;
    for key in ["", "kpn_unknown"] {
        for body in [ping(), json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })] {
            let reply = api.post_as(key, &body).await;
            assert_eq!((reply.status, reply.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
            let error = &reply.json()["error"];
            assert_eq!((&error["code"], &error["data"]["code"]), (&json!(-32000), &json!("invalid_api_key")));
        }
    }
    let query = format!("{PATH}?key={}", api.key);
    assert_eq!(api.send(post(&query, "no-key-of-ours", &ping())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_opens_it_by_its_kind_and_scope() {
    let api = over(Bench::new().await, "").await;
    let page = api.bench.key(&api.agent, Kind::Widget).await;
    let (chats, _) = api.bench.new_key(NewKey { scopes: vec![Scope::Chat], ..plain_key(&api.agent) }).await;
    let (mcp, _) = api.bench.new_key(NewKey { scopes: vec![Scope::Mcp], ..plain_key(&api.agent) }).await;
    for (key, status) in [(page, 403), (chats, 403), (mcp, 200)] {
        let reply = api.post_as(&key, &ping()).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.body);
    }
}

#[tokio::test]
async fn only_calls_of_tools_take_tokens_and_only_they_are_refused() {
    let api = over(Bench::new().await, "limits: { requests_per_minute: { mcp: 1 } }").await;
    let writes = api.bench.writes();
    for _ in 0..3 {
        assert_eq!(api.post(&ping()).await.header("x-ratelimit-remaining"), "1");
    }
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "rm" } });
    assert_eq!(api.post(&unknown).await.json()["error"]["code"], -32602);
    assert_eq!(api.bench.writes(), writes);
    assert_eq!(api.post(&chat("one")).await.status, StatusCode::OK);
    let writes = api.bench.writes();
    let reply = api.post(&chat("two")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60"));
    let (error, id) = (&reply.json()["error"], &reply.json()["id"]);
    assert_eq!(
        (&error["code"], &error["data"]["code"], id),
        (&json!(-32000), &json!("rate_limit_exceeded"), &json!(9))
    );
    assert_eq!(api.bench.writes(), writes);
    assert_eq!(api.post(&ping()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_batch_takes_a_token_a_call_and_tells_each_refusal_in_its_place() {
    let api = over(Bench::new().await, "limits: { requests_per_minute: { mcp: 2 } }").await;
    let reply = api.post(&json!([chat("1"), chat("2"), chat("3"), ping()])).await;
    assert_eq!(reply.status, StatusCode::OK);
    let codes: Vec<Value> =
        reply.json().as_array().unwrap().iter().map(|one| one["error"]["data"]["code"].clone()).collect();
    assert_eq!(json!(codes), json!([null, null, "rate_limit_exceeded", null]));
}

#[tokio::test]
async fn who_has_used_its_plan_up_is_refused_and_may_still_look() {
    let api = over(Bench::with_plan("free").await, "").await;
    for _ in 0..2 {
        assert_eq!(api.post(&chat(&"a ".repeat(4_990))).await.status, StatusCode::OK);
    }
    let reply = api.post(&chat("more")).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (StatusCode::FORBIDDEN, &json!(-32000)));
    assert_eq!(reply.json()["error"]["data"]["code"], "quota_exceeded");
    assert_eq!(api.post(&ping()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_and_no_others() {
    let bench = Bench::with("enterprise", &[("ORRERY_MCP_ALLOWED_ORIGINS", "https://ide.example")]).await;
    let api = over(bench, "").await;
    let from = |origin: &'static str| with_header(api.request(&ping()), "origin", origin.as_bytes());
    let reply = api.send(from("https://ide.example")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::OK, "https://ide.example"));
    let reads = api.bench.reads();
    let reply = api.send(from("https://evil.example")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::FORBIDDEN, ""));
    assert_eq!((&reply.json()["jsonrpc"], &reply.json()["error"]["code"]), (&json!("2.0"), &json!(-32000)));
    assert_eq!(api.bench.reads(), reads);
    for (origin, allowed) in [("https://ide.example", "https://ide.example"), ("https://evil.example", "")] {
        let reply = api.send(with_header(bare(Method::OPTIONS, PATH, ""), "origin", origin.as_bytes())).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::NO_CONTENT, allowed));
    }
    assert_eq!(api.post(&ping()).await.status, StatusCode::OK, "what is no page names no origin");
}

#[tokio::test]
async fn who_calls_by_a_name_that_is_not_listed_is_refused() {
    let api = over(Bench::with("enterprise", &[("ORRERY_MCP_ALLOWED_HOSTS", "loopback")]).await, "").await;
    for (host, status) in [("127.0.0.1:3000", 200), ("evil.example", 403)] {
        let reply = api.send(with_header(api.request(&ping()), "host", host.as_bytes())).await;
        assert_eq!(reply.status.as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_json_rpc() {
    let api = over(Bench::new().await, "").await;
    let reply = api.send(post_bytes(PATH, &api.key, "x".repeat(4 * 1024 * 1024 + 1))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(-32600)));
}

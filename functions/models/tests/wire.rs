//! What the function says on the wire.

use http::{Method, StatusCode};
use serde_json::json;
use shared::auth::Kind;
use testkit::{Api, Bench, bare, event};

async fn api(kind: Kind) -> Api {
    Api::new(Bench::new().await, models::routes(), "/api/agents/{agent}/v1/models", kind, "").await
}

#[tokio::test]
async fn the_event_of_a_client_that_connects_is_answered_with_the_agents_model() {
    let api = api(Kind::Server).await;
    let reply = api.send(event(include_str!("../../../events/models.json"), api.agent.as_str(), &api.key)).await;
    assert_eq!(reply.status, StatusCode::OK);
    insta::assert_json_snapshot!(reply.json());
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("60", "59"));
    assert_eq!(reply.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn keys_that_do_not_open_it_are_refused_in_openais_shape() {
    let api = api(Kind::Widget).await;
    let other = api.bench.agent("", "").await;
    let foreign = api.bench.key(&other, Kind::Server).await;
    for (key, status, code) in [
        ("", 401, "invalid_api_key"),
        ("kpn_unknown", 401, "invalid_api_key"),
        (api.key.as_str(), 403, "endpoint_mismatch"),
        (foreign.as_str(), 403, "agent_mismatch"),
    ] {
        let reply = api.send(bare(Method::GET, &api.path, key)).await;
        assert_eq!(reply.status, status, "{code}");
        let error = reply.json()["error"].clone();
        assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!("invalid_request_error")));
        assert_eq!(reply.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn the_61st_call_of_a_minute_is_refused_and_writes_nothing() {
    let api = api(Kind::Server).await;
    for _ in 0..60 {
        assert_eq!(api.send(bare(Method::GET, &api.path, &api.key)).await.status, StatusCode::OK);
    }
    let writes = api.bench.writes();
    let reply = api.send(bare(Method::GET, &api.path, &api.key)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(api.bench.writes(), writes);
}

#[tokio::test]
async fn a_browser_may_ask_and_other_methods_may_not() {
    let api = api(Kind::Server).await;
    let reply = api.send(bare(Method::OPTIONS, &api.path, "")).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert_eq!(reply.header("access-control-allow-methods"), "GET, OPTIONS");
    let reply = api.send(bare(Method::POST, &api.path, &api.key)).await;
    assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, OPTIONS"));
    assert_eq!(reply.json()["error"]["code"], "method_not_allowed");
}

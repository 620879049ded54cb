//! What the function says on the wire.

use http::{Method, StatusCode};
use shared::auth::{Kind, NewKey};
use testkit::{Api, Bench, Reply, bare, event, plain_key, with_header};

const PATH: &str = "/api/widget/config";
const PLAIN: &str = "widget: { enabled: true }";
const RICH: &str = r##"widget:
  enabled: true
  title: Support Agent
  welcome_message: "Hi <b>there</b>"
  position: bottom-left
  show_powered_by: false
  allowed_origins: ["https://shop.example"]
  theme: { scheme: dark, colors: { accent: "#1A6B5C" } }
"##;

async fn api(front_matter: &str) -> Api {
    Api::new(Bench::new().await, widget_config::routes(), PATH, Kind::Widget, front_matter).await
}

async fn get(api: &Api, key: &str, origin: &str) -> Reply {
    let request = bare(Method::GET, PATH, key);
    api.send(if origin.is_empty() { request } else { with_header(request, "origin", origin.as_bytes()) }).await
}

#[tokio::test]
async fn the_event_of_a_widget_is_answered_with_the_contracts_fields() {
    let api = api(PLAIN).await;
    let (reads, writes) = (api.bench.reads(), api.bench.writes());
    let reply = api.send(event(include_str!("../../../events/widget-config.json"), "", &api.key)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let mut body = reply.json();
    let name = body["agentName"].take();
    assert!(name.as_str().is_some_and(|name| !name.is_empty()), "the agent's own name");
    insta::assert_json_snapshot!(body);
    assert_eq!(reply.header("access-control-allow-origin"), "https://example.com");
    assert_eq!(reply.header("vary"), "origin");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("x-ratelimit-limit"), "", "it has no limit");
    assert_eq!(api.bench.writes(), writes);
    assert_eq!(api.bench.reads(), reads + 2);
    assert_eq!(get(&api, &api.key, "").await.status, StatusCode::OK);
    assert_eq!(api.bench.reads(), reads + 3, "one read, once the key's agent is known");
}

#[tokio::test]
async fn the_documents_settings_are_told() {
    let api = api(RICH).await;
    insta::assert_json_snapshot!(get(&api, &api.key, "https://shop.example").await.json());
}

#[tokio::test]
async fn only_listed_pages_may_read_it() {
    let api = api(RICH).await;
    let reply = get(&api, &api.key, "https://shop.example").await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://shop.example");
    let reply = get(&api, &api.key, "https://evil.example").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::FORBIDDEN, ""));
    assert_eq!(reply.body, r#"{"error":"Origin not allowed.","code":"origin_not_allowed"}"#);
    let origins = vec!["https://one.example".to_owned()];
    let (bound, _) = api.bench.new_key(NewKey { kind: Kind::Widget, origins, ..plain_key(&api.agent) }).await;
    assert_eq!(get(&api, &bound, "https://shop.example").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn keys_that_do_not_open_it_are_refused_where_the_page_can_read_it() {
    let api = api(PLAIN).await;
    let server = api.bench.key(&api.agent, Kind::Server).await;
    let dark = api.bench.agent("", "").await;
    let dark = api.bench.key(&dark, Kind::Widget).await;
    for (key, status, code) in [
        ("", 401, "invalid_api_key"),
        ("kpn_unknown", 401, "invalid_api_key"),
        (server.as_str(), 403, "endpoint_mismatch"),
        (dark.as_str(), 403, "widget_disabled"),
    ] {
        let reply = get(&api, key, "https://example.com").await;
        assert_eq!((reply.status.as_u16(), reply.json()["code"].as_str()), (status, Some(code)));
        assert_eq!(reply.header("access-control-allow-origin"), "https://example.com");
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_stops_at_once() {
    let api = api(PLAIN).await;
    let (key, item) = api.bench.new_key(NewKey { kind: Kind::Widget, ..plain_key(&api.agent) }).await;
    assert_eq!(get(&api, &key, "").await.status, StatusCode::OK);
    api.bench.keyring().revoke(&api.agent, &item.id).await.unwrap();
    let reply = get(&api, &key, "").await;
    assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::UNAUTHORIZED, "no-store"));
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let api = api(PLAIN).await;
    let reads = api.bench.reads();
    let preflight = with_header(bare(Method::OPTIONS, PATH, ""), "origin", b"https://example.com");
    let reply = api.send(preflight).await;
    assert_eq!((reply.status, reply.header("access-control-allow-methods")), (StatusCode::NO_CONTENT, "GET, OPTIONS"));
    assert!(reply.header("access-control-allow-headers").contains("authorization"));
    let reply = api.send(bare(Method::POST, PATH, &api.key)).await;
    assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, OPTIONS"));
    assert_eq!(api.bench.reads(), reads);
}

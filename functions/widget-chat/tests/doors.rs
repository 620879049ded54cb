//! Who may use the widget, and from where.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::auth::{Kind, NewKey};
use testkit::{Api, Bench, Reply, bare, event, plain_key, post, post_bytes, with_header, without_ids};

const PATH: &str = "/api/widget/chat";
const ANYWHERE: &str = "widget: { enabled: true }";
const SOMEWHERE: &str =
    "widget: { enabled: true, allowed_origins: ['https://Shop.example/', 'http://localhost:3000'] }";

async fn api(front_matter: &str) -> Api {
    Api::new(Bench::new().await, widget_chat::routes(), PATH, Kind::Widget, front_matter).await
}

fn hello() -> Value {
    json!({ "message": "hi" })
}

async fn from(api: &Api, origin: &str) -> Reply {
    api.send(with_header(api.request(&hello()), "origin", origin.as_bytes())).await
}

#[tokio::test]
async fn the_event_of_a_browser_that_asks_first_is_answered_without_a_key() {
    let api = api(ANYWHERE).await;
    let reads = api.bench.reads();
    let reply = api.send(event(include_str!("../../../events/widget-chat-preflight.json"), "", "")).await;
    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(reply.header("access-control-allow-origin"), "https://example.com");
    assert_eq!(reply.header("access-control-allow-methods"), "POST, OPTIONS");
    assert!(reply.header("access-control-allow-headers").contains("content-type"));
    let vary: Vec<_> = reply.headers.get_all("vary").iter().collect();
    assert!(vary.iter().any(|value| *value == "origin"), "{vary:?}");
    assert_eq!(api.bench.reads(), reads);
}

#[tokio::test]
async fn where_no_origins_are_listed_all_are_allowed() {
    let api = api(ANYWHERE).await;
    for origin in ["https://example.com", "http://localhost:5173", "null"] {
        let reply = from(&api, origin).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::OK, origin));
        assert_eq!(reply.header("vary"), "origin");
    }
    let reply = api.post(&hello()).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::OK, ""));
}

#[tokio::test]
async fn where_origins_are_listed_only_their_pages_are_answered() {
    let api = api(SOMEWHERE).await;
    for origin in ["https://shop.example", "https://SHOP.example", "https://shop.example:443", "http://localhost:3000"]
    {
        let reply = from(&api, origin).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::OK, origin));
    }
    let writes = api.bench.writes();
    for origin in [
        "http://shop.example",
        "https://shop.example:8443",
        "https://www.shop.example",
        "https://shop.example.evil.example",
        "https://shop.example@evil.example",
        "http://localhost",
        "null",
        "",
        "shop.example",
        "\u{e9}",
    ] {
        let reply = from(&api, origin).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{origin}");
        assert_eq!(reply.json()["error"], "Origin not allowed.");
        assert_eq!(reply.header("access-control-allow-origin"), "");
    }
    assert_eq!(api.bench.writes(), writes);
    assert_eq!(api.post(&hello()).await.status, StatusCode::OK, "what is no browser names no origin");
}

#[tokio::test]
async fn a_key_may_be_bound_to_origins_of_its_own() {
    let api = api(ANYWHERE).await;
    let origins = vec!["https://one.example".to_owned()];
    let (key, _) = api.bench.new_key(NewKey { kind: Kind::Widget, origins, ..plain_key(&api.agent) }).await;
    let api = Api { key, ..api };
    assert_eq!(from(&api, "https://one.example").await.status, StatusCode::OK);
    assert_eq!(from(&api, "https://two.example").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn every_error_can_be_read_by_the_page() {
    let api = Api::new(Bench::with_plan("free").await, widget_chat::routes(), PATH, Kind::Widget, ANYWHERE).await;
    let server = api.bench.key(&api.agent, Kind::Server).await;
    let dark = api.bench.agent("", "").await;
    let dark_key = api.bench.key(&dark, Kind::Widget).await;
    let narrow = api.bench.agent("widget: { enabled: true }\nlimits: { requests_per_minute: { widget: 1 } }", "").await;
    let narrow_key = api.bench.key(&narrow, Kind::Widget).await;
    let page = |request| api.send(with_header(request, "origin", b"https://example.com"));
    assert_eq!(page(post(PATH, &narrow_key, &hello())).await.status, StatusCode::OK);
    let again = |body: &Value| with_header(api.request(body), "idempotency-key", b"k");
    let running = testkit::open(&api.router, again(&json!({ "message": "/slow 60000" }))).await.into_body();

    let mut replies = vec![
        page(post_bytes(PATH, &api.key, "no")).await,
        page(post(PATH, "", &hello())).await,
        page(post(PATH, "kpn_unknown", &hello())).await,
        page(post(PATH, &server, &hello())).await,
        page(post(PATH, &dark_key, &hello())).await,
        page(bare(Method::GET, PATH, &api.key)).await,
        page(again(&json!({ "message": "/slow 60000" }))).await,
        page(post_bytes(PATH, &api.key, "x".repeat(4 * 1024 * 1024 + 1))).await,
        page(again(&hello())).await,
        page(post(PATH, &narrow_key, &hello())).await,
    ];
    drop(running);
    api.bench.settle().await;
    for _ in 0..2 {
        assert_eq!(api.post(&json!({ "message": "a ".repeat(4_990) })).await.status, StatusCode::OK);
    }
    replies.push(page(api.request(&hello())).await);
    let mut told = String::new();
    for reply in &replies {
        assert_eq!(reply.header("access-control-allow-origin"), "https://example.com", "{}", reply.body);
        assert!(reply.header("access-control-expose-headers").contains("retry-after"));
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), without_ids(&reply.body)));
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn the_key_of_the_contracts_example_is_in_the_query() {
    let api = api(ANYWHERE).await;
    let request = http::Request::post(format!("{PATH}?key={}", api.key)).header("content-type", "application/json");
    assert_eq!(api.send(request.body(hello().to_string().into()).unwrap()).await.status, StatusCode::OK);
}

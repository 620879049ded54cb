//! What the function says on the wire.

use http::{Method, StatusCode};
use testkit::{Bench, Reply, bare, event, send, with_header};
use widget_script::VERSION;

const PATH: &str = "/api/widget/script";

async fn get(path: &str, known: &str) -> Reply {
    let bench = Bench::new().await;
    let before = bench.reads() + bench.writes();
    let request = with_header(bare(Method::GET, path, ""), "if-none-match", known.as_bytes());
    let reply = send(&bench.router(widget_script::routes()), request).await;
    assert_eq!(bench.reads() + bench.writes(), before, "the table is not asked");
    reply
}

#[tokio::test]
async fn the_event_of_a_script_tag_is_answered_with_the_script() {
    let bench = Bench::new().await;
    let request = event(include_str!("../../../events/widget-script.json"), "", "");
    let reply = send(&bench.router(widget_script::routes()), request).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(reply.header("cache-control"), "public, max-age=300, stale-while-revalidate=86400");
    assert_eq!(reply.header("etag"), format!("\"{}\"", *VERSION));
    assert!(reply.body.contains("OrreryWidget"));
}

#[tokio::test]
async fn a_url_that_names_the_version_is_cached_for_good_and_another_is_not() {
    let cached = |reply: Reply| reply.header("cache-control").contains("immutable");
    assert!(cached(get(&format!("{PATH}?key=kpn_x&v={}", *VERSION), "").await));
    assert!(!cached(get(&format!("{PATH}?v=0000000000000000"), "").await));
    assert!(!cached(get(&format!("{PATH}?v="), "").await));
    assert!(!cached(get(PATH, "").await));
}

#[tokio::test]
async fn a_browser_that_has_it_is_told_so_without_it() {
    let reply = get(PATH, &format!("W/\"other\", \"{}\"", *VERSION)).await;
    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(reply.header("etag"), format!("\"{}\"", *VERSION));
    assert!(reply.header("cache-control").contains("max-age=300"));
    assert_eq!(get(PATH, "\"other\"").await.status, StatusCode::OK);
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let bench = Bench::new().await;
    let router = bench.router(widget_script::routes());
    let reply = send(&router, bare(Method::POST, PATH, "")).await;
    assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, OPTIONS"));
    let reply = send(&router, bare(Method::OPTIONS, PATH, "")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::NO_CONTENT, "*"));
    let reply = send(&router, bare(Method::HEAD, PATH, "")).await;
    assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, ""));
}

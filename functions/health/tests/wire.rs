//! What the function says on the wire.

use http::{Method, StatusCode};
use testkit::{Bench, bare, event, send};

#[tokio::test]
async fn the_event_of_a_monitor_is_answered_with_the_time() {
    let bench = Bench::new().await;
    let reply = send(&bench.router(health::routes()), event(include_str!("../../../events/health.json"), "", "")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.body, r#"{"status":"ok","timestamp":"2026-03-25T14:30:00.000Z"}"#);
    assert_eq!(reply.header("content-type"), "application/json");
    assert!(reply.header("x-request-id").starts_with("req_"));
    assert_eq!(bench.reads() + bench.writes(), 1, "the tenant that the bench wrote, and nothing more");
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let bench = Bench::new().await;
    let reply = send(&bench.router(health::routes()), bare(Method::POST, "/api/health", "")).await;
    assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET"));
    assert_eq!(reply.body, r#"{"error":"POST is not allowed here. Use GET.","code":"method_not_allowed"}"#);
}

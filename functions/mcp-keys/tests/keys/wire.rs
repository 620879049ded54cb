//! What the function says on the wire.

use http::{Method, Request};
use serde_json::json;
use testkit::{Reply, bare, event, post_bytes, send, without_ids};

use super::{Desk, PATH, key_of};

/// The reply to an event file, with a real token, agent and server.
async fn answer(desk: &Desk, file: &str, server: &str) -> Reply {
    let file = file.replace("ID_TOKEN", &desk.ada).replace("con_00000000000000000000000000", server);
    send(&desk.router, event(&file, desk.agent.as_str(), "")).await
}

/// The reply for a snapshot: keys cut to their prefix.
fn shown(reply: &Reply) -> String {
    let body = without_ids(&reply.body);
    let mut pieces = body.split("kpn_");
    let mut body = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        body.push_str("kpn_…");
        body.push_str(piece.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()));
    }
    format!("{} {body}\n", reply.status.as_u16())
}

#[tokio::test]
async fn the_events_of_a_dashboard_are_answered_as_documented() {
    let desk = Desk::new().await;
    let created = answer(&desk, include_str!("../../../../events/mcp-keys.json"), "").await;
    let key = key_of(&created);
    assert_eq!((key.len(), created.json()["apiKeyPrefix"].as_str().unwrap()), (68, &key[..8]));
    let server = created.json()["serverId"].as_str().unwrap().to_owned();
    let rotated = answer(&desk, include_str!("../../../../events/mcp-keys-rotate.json"), &server).await;
    assert_eq!(rotated.json()["apiKeyPrefix"].as_str().unwrap(), &key_of(&rotated)[..8]);
    let listed = answer(&desk, include_str!("../../../../events/mcp-keys-list.json"), "").await;
    let deleted = answer(&desk, include_str!("../../../../events/mcp-keys-delete.json"), &server).await;
    let after = answer(&desk, include_str!("../../../../events/mcp-keys-list.json"), "").await;
    let told: String = [&created, &rotated, &listed, &deleted, &after].map(shown).concat();
    insta::assert_snapshot!(told);
    for reply in [&created, &listed, &deleted] {
        assert_eq!(reply.header("x-ratelimit-limit"), "60");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("access-control-allow-origin"), "*");
    }
    let kept = desk.bench.dump().await;
    assert!(!kept.contains(&key) && !kept.contains(&key_of(&rotated)), "no key is kept");
    assert!(!listed.body.contains(&key) && !after.body.contains(&key_of(&rotated)), "no key is told twice");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_field_by_field() {
    let desk = Desk::new().await;
    let put = |body: &str| {
        let mut request = post_bytes(PATH, &desk.ada, body.to_owned());
        *request.method_mut() = Method::PUT;
        request
    };
    let get = |method: Method, query: &str| bare(method, &format!("{PATH}{query}"), &desk.ada);
    let wrong = json!({
        "agentId": "", "name": "x".repeat(101), "description": 7, "rateLimitPerMinute": 1001, "kind": "root",
        "allowedOrigins": ["https://a.example/path", "https://b.example"], "expiresAt": "2026-03-25T14:30:00Z",
    });
    let limit = json!({ "agentId": "a", "name": "a\nb", "rateLimitPerMinute": 0, "expiresAt": "2037-01-01T00:00:00Z" });
    let mut told = String::new();
    for request in [
        post_bytes(PATH, &desk.ada, "{}"),
        post_bytes(PATH, &desk.ada, "[]"),
        post_bytes(PATH, &desk.ada, "{"),
        post_bytes(PATH, &desk.ada, wrong.to_string()),
        post_bytes(PATH, &desk.ada, limit.to_string()),
        put("{}"),
        put(r#"{"agentId":"a","serverId":7,"graceSeconds":604801}"#),
        get(Method::DELETE, ""),
        get(Method::DELETE, "?agentId=a&serverId="),
        get(Method::GET, "?serverId=x"),
    ] {
        told.push_str(&shown(&send(&desk.router, request).await));
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_page_may_ask_and_other_methods_may_not() {
    let desk = Desk::new().await;
    let asked = Request::options(PATH).header("origin", "https://dash.example");
    let reply = send(&desk.router, asked.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (204, "*"));
    assert_eq!(reply.header("access-control-allow-methods"), "GET, POST, PUT, DELETE, OPTIONS");
    let reply = send(&desk.router, bare(Method::PATCH, PATH, &desk.ada)).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "GET, POST, PUT, DELETE, OPTIONS"));
}

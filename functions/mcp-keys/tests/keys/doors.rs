//! Who is let in, and to what.

use std::time::Duration;

use http::Method;
use serde_json::json;
use testkit::{Bench, bare, post, send};

use super::{Desk, PATH};

#[tokio::test]
async fn only_an_id_token_opens_it_and_a_refusal_writes_nothing() {
    let desk = Desk::new().await;
    let key = desk.bench.key(&desk.agent, shared::auth::Kind::Server).await;
    let now = testkit::BEGIN / 1000;
    let claims = |changes: serde_json::Value| {
        let mut claims =
            json!({ "iss": desk.issuer.name(), "aud": "test", "sub": "ada", "iat": now - 7200, "exp": now + 60 });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        desk.issuer.sign(&claims)
    };
    let writes = desk.bench.writes();
    for (token, code) in [
        (String::new(), "token_missing"),
        (key, "invalid_token"),
        ("a.b.c".to_owned(), "invalid_token"),
        (claims(json!({ "exp": now - 60 })), "token_expired"),
        (claims(json!({ "aud": "other" })), "invalid_token"),
        (claims(json!({ "iss": "https://other.example" })), "invalid_token"),
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let reply = send(&desk.router, bare(method, PATH, &token)).await;
            assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, "Bearer"), "{code}");
            assert_eq!(reply.json()["code"], code, "{token}");
            assert!(reply.json()["error"].is_string());
        }
    }
    let in_the_query = format!("{PATH}?agentId={}&key={}", desk.agent, desk.ada);
    assert_eq!(send(&desk.router, bare(Method::GET, &in_the_query, "")).await.status, 401);
    assert_eq!(desk.bench.writes(), writes);
}

#[tokio::test]
async fn without_a_provider_or_without_its_keys_it_says_so() {
    let bench = Bench::new().await;
    let router = bench.router(mcp_keys::routes());
    let reply = send(&router, bare(Method::GET, PATH, "a.b.c")).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("sign_in_not_configured")));

    let desk = Desk::new().await;
    desk.issuer.fall_silent().await;
    let reply = desk.create(json!({})).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("identity_provider_unavailable")));
    assert_eq!(reply.header("retry-after"), "2");
}

#[tokio::test]
async fn nobody_sees_or_touches_what_is_anothers() {
    let desk = Desk::new().await;
    let (server, key) = desk.key(json!({})).await;
    let bob = desk.issuer.token("bob");
    let query = format!("{PATH}?agentId={}&serverId={server}", desk.agent);
    let body = json!({ "agentId": desk.agent, "serverId": server, "name": "x" });
    let mut put = post(PATH, &bob, &body);
    *put.method_mut() = Method::PUT;
    for request in [bare(Method::GET, &query, &bob), bare(Method::DELETE, &query, &bob), post(PATH, &bob, &body), put] {
        let reply = send(&desk.router, request).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (404, &json!("agent_not_found")));
    }
    assert!(desk.opens(&key).await.is_ok());

    let other = Desk { agent: desk.bench.agent("", "").await, ..desk };
    for reply in [other.rotate(&server, json!({})).await, other.delete(&server).await, other.delete("con_none").await] {
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (404, &json!("server_not_found")));
    }
    assert_eq!(other.list().await.len(), 0);
}

#[tokio::test]
async fn who_comes_first_gets_one_tenant_on_the_free_plan() {
    let desk = Desk::new().await;
    let bob = desk.issuer.token("bob");
    let path = format!("{PATH}?agentId={}", desk.agent);
    let replies = (0..8).map(|_| send(&desk.router, bare(Method::GET, &path, &bob)));
    for reply in futures::future::join_all(replies).await {
        assert_eq!(reply.status, 404);
    }
    let table: serde_json::Value = serde_json::from_str(&desk.bench.dump().await).unwrap();
    let items = table["Items"].as_array().unwrap();
    let tenants: Vec<_> = items.iter().filter(|item| item["sk"]["S"] == "TENANT").collect();
    assert_eq!(tenants.len(), 2, "the bench's, and bob's");
    assert!(tenants.iter().any(|tenant| tenant["plan"]["S"] == "free"));
}

#[tokio::test]
async fn the_61st_request_of_a_user_in_a_minute_is_refused() {
    let desk = Desk::new().await;
    for left in (0..60).rev() {
        let reply = desk.delete("con_none").await;
        assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-remaining")), (404, left.to_string().as_str()));
    }
    let writes = desk.bench.writes();
    let reply = desk.delete("con_none").await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, "1"));
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("60", "0"));
    assert_eq!(reply.json()["error"], "Too many requests. Please try again later.");
    assert_eq!(desk.bench.writes(), writes);
    let path = format!("{PATH}?agentId={}", desk.agent);
    let other = send(&desk.router, bare(Method::GET, &path, &desk.issuer.token("bob"))).await;
    assert_eq!(other.status, 404, "others go on");
    desk.bench.wait(Duration::from_secs(1));
    assert_eq!(desk.delete("con_none").await.status, 404);
}

//! The function on real events, over the embedded table, with an identity provider and a receiver of its own.

use std::time::Duration;

use axum::Router;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::id::AgentId;
use shared::store::MOST_WEBHOOKS;
use testkit::{Reply, Signed, bare, event, post, post_bytes, send, without_ids};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The function, and `ada`, who owns the bench's tenant with one agent.
struct Desk {
    signed: Signed,
    router: Router,
    agent: AgentId,
}

impl Desk {
    async fn new() -> Self {
        Self::with(&[("ORRERY_WEBHOOK_TARGETS", "loopback")]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let signed = Signed::with("enterprise", variables).await;
        let agent = signed.bench.agent("", "You are a test.").await;
        let router = signed.bench.router(agent_webhooks::routes());
        Self { router, agent, signed }
    }

    fn path(&self, below: &str) -> String {
        format!("/api/agents/{}/webhooks{below}", self.agent)
    }

    async fn post(&self, below: &str, body: &Value) -> Reply {
        send(&self.router, post(&self.path(below), &self.signed.ada, body)).await
    }

    async fn patch(&self, below: &str, body: &Value) -> Reply {
        let mut request = post(&self.path(below), &self.signed.ada, body);
        *request.method_mut() = Method::PATCH;
        send(&self.router, request).await
    }

    async fn bare(&self, method: Method, below: &str) -> Reply {
        send(&self.router, bare(method, &self.path(below), &self.signed.ada)).await
    }

    /// Makes a receiver: its path below the agent's webhooks, and its secret.
    async fn receiver(&self, url: &str) -> (String, String) {
        let body = json!({ "name": "CRM", "targetUrl": url, "events": ["message_sent"] });
        let made = self.post("", &body).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        let made = made.json();
        (format!("/{}", made["id"].as_str().unwrap_or_default()), made["secret"].as_str().unwrap_or_default().into())
    }
}

async fn answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

fn shown(desk: &Desk, reply: &Reply, secrets: &[&str]) -> String {
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("x-ratelimit-limit"), "60");
    let mut body = reply.body.replace(desk.agent.as_str(), "AGENT");
    for secret in secrets {
        body = body.replace(secret, "SECRET");
    }
    format!("{} {}\n", reply.status.as_u16(), without_ids(&body))
}

#[tokio::test]
async fn the_events_of_a_dashboard_are_answered_as_described() {
    let (desk, server) = (Desk::new().await, answering(ResponseTemplate::new(200).set_body_string("thanks")).await);
    let mut webhook = "wh_none".to_owned();
    let mut secrets = Vec::new();
    let mut told = String::new();
    for file in [
        include_str!("../../../events/agent-webhooks.json"),
        include_str!("../../../events/agent-webhooks-list.json"),
        include_str!("../../../events/agent-webhooks-change.json"),
        include_str!("../../../events/agent-webhooks-rotate.json"),
        include_str!("../../../events/agent-webhooks-deliveries.json"),
        include_str!("../../../events/agent-webhooks-redeliver.json"),
        include_str!("../../../events/agent-webhooks-delete.json"),
        include_str!("../../../events/agent-webhooks-delete.json"),
    ] {
        let file = file
            .replace("ID_TOKEN", &desk.signed.ada)
            .replace("https://hooks.example.com/orrery", &format!("{}/orrery", server.uri()))
            .replace("wh_00000000000000000000000000", &webhook);
        let reply = send(&desk.router, event(&file, desk.agent.as_str(), "")).await;
        if let Some(id) = reply.json()["id"].as_str().filter(|id| id.starts_with("wh_")) {
            webhook = id.to_owned();
        }
        if let Some(secret) = reply.json()["secret"].as_str() {
            secrets.push(secret.to_owned());
        }
        let known: Vec<&str> = secrets.iter().map(String::as_str).collect();
        told.push_str(&shown(&desk, &reply, &known).replace(&server.uri(), "http://RECEIVER"));
    }
    insta::assert_snapshot!(told);
    assert_eq!(secrets.len(), 2);
    let kept = desk.signed.bench.dump().await;
    assert!(secrets.iter().all(|secret| secret.starts_with("whsec_") && !kept.contains(secret.as_str())));
}

#[tokio::test]
async fn a_test_tells_what_came_back_and_is_signed_by_both_secrets_after_a_rotation() {
    let (desk, server) =
        (Desk::new().await, answering(ResponseTemplate::new(418).set_body_string("é".repeat(3_000))).await);
    let (webhook, _) = desk.receiver(&server.uri()).await;
    let reply = send(&desk.router, post_bytes(&desk.path(&format!("{webhook}/secret")), &desk.signed.ada, "")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let told = desk.post(&format!("{webhook}/test"), &json!({})).await.json();
    assert_eq!((&told["delivered"], &told["statusCode"]), (&json!(false), &json!(418)));
    assert_eq!(told["response"].as_str().map(|text| text.chars().count()), Some(2_000));
    desk.signed.bench.wait(Duration::from_secs(86_401));
    let file = include_str!("../../../events/agent-webhooks-test.json");
    let token = desk.signed.issuer.sign(&json!({
        "iss": desk.signed.issuer.name(), "aud": "test", "sub": "ada",
        "iat": desk.signed.bench.clock.now_ms() / 1000, "exp": desk.signed.bench.clock.now_ms() / 1000 + 60,
    }));
    let file = file.replace("ID_TOKEN", &token).replace("wh_00000000000000000000000000", &webhook[1..]);
    assert_eq!(send(&desk.router, event(&file, desk.agent.as_str(), "")).await.status, StatusCode::OK);
    let requests = server.received_requests().await.unwrap_or_default();
    let signatures: Vec<usize> = requests
        .iter()
        .map(|request| request.headers["webhook-signature"].to_str().unwrap_or_default().split(' ').count())
        .collect();
    assert_eq!(signatures, [2, 1], "the old secret's day is over");
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap_or_default();
    assert_eq!((&body["event"], &body["agentId"]), (&json!("test"), &json!(desk.agent)));
}

#[tokio::test]
async fn an_address_that_events_cannot_go_to_is_refused() {
    let desk = Desk::with(&[]).await;
    let mut told = String::new();
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "http://127.0.0.1:8080/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/",
        "https://localhost/",
        "https://user:password@example.com/",
        "https://example.com:22/",
        "ftp://example.com/",
        "example.com",
    ] {
        let reply = desk.post("", &json!({ "name": "x", "targetUrl": url, "events": ["error"] })).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{url}");
        told.push_str(&format!("{url}: {}\n", reply.json()["details"][0]));
    }
    insta::assert_snapshot!(told);
    assert_eq!(desk.bare(Method::GET, "").await.json()["webhooks"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_field_by_field() {
    let (desk, server) = (Desk::new().await, answering(ResponseTemplate::new(200)).await);
    let (webhook, _) = desk.receiver(&server.uri()).await;
    let sender = desk.post("", &json!({ "name": "shop", "type": "inbound" })).await;
    assert_eq!(sender.status, StatusCode::OK, "{}", sender.body);
    let sender = format!("/{}", sender.json()["id"].as_str().unwrap_or_default());
    let mut told = String::new();
    for reply in [
        desk.post("", &json!({})).await,
        desk.post("", &json!({ "name": "", "type": "both", "targetUrl": 1, "events": [], "secret": "short" })).await,
        desk.post("", &json!({ "name": "x", "type": "inbound", "targetUrl": "https://example.com/", "events": [] }))
            .await,
        desk.post(
            "",
            &json!({ "name": "x", "targetUrl": "x", "events": ["test"], "secret": "whsec_notbase64", "enabled": 1 }),
        )
        .await,
        desk.patch(&webhook, &json!({ "name": 5, "events": ["message_sent", "nothing"], "enabled": null })).await,
        desk.patch(&sender, &json!({ "events": ["message_sent"] })).await,
        desk.post(&format!("{webhook}/secret"), &json!({ "overlapSeconds": 604_801 })).await,
        desk.post(&format!("{sender}/test"), &json!({})).await,
        desk.bare(Method::GET, &format!("{sender}/deliveries")).await,
        desk.bare(Method::GET, &format!("{webhook}/deliveries?limit=0")).await,
        desk.bare(Method::GET, &format!("{webhook}/deliveries?limit=x")).await,
        desk.bare(Method::PUT, &webhook).await,
    ] {
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), reply.body));
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_a_switched_off_receiver_is_not_sent_to_again() {
    let (desk, server) = (Desk::new().await, answering(ResponseTemplate::new(200)).await);
    let (webhook, _) = desk.receiver(&server.uri()).await;
    let off = desk.patch(&webhook, &json!({ "enabled": false })).await.json();
    assert_eq!(
        (&off["enabled"], &off["name"], &off["events"]),
        (&json!(false), &json!("CRM"), &json!(["message_sent"]))
    );
    let again = desk.post(&format!("{webhook}/deliveries/evt_1/redeliver"), &json!({})).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (StatusCode::CONFLICT, Some("webhook_disabled")));
    let on =
        desk.patch(&webhook, &json!({ "enabled": true, "events": ["error", "message_sent", "error"] })).await.json();
    assert_eq!((&on["enabled"], &on["events"]), (&json!(true), &json!(["message_sent", "error"])));
    assert_eq!(desk.bare(Method::GET, &webhook).await.json(), on);
}

#[tokio::test]
async fn an_agent_has_room_for_so_many_webhooks_and_no_more() {
    let desk = Desk::new().await;
    for _ in 0..MOST_WEBHOOKS {
        assert_eq!(desk.post("", &json!({ "name": "shop", "type": "inbound" })).await.status, StatusCode::OK);
    }
    let full = desk.post("", &json!({ "name": "shop", "type": "inbound" })).await;
    assert_eq!((full.status, full.json()["code"].as_str()), (StatusCode::CONFLICT, Some("webhook_limit_reached")));
}

#[tokio::test]
async fn to_everybody_but_its_owner_an_agent_does_not_exist() {
    let (desk, server) = (Desk::new().await, answering(ResponseTemplate::new(200)).await);
    let (webhook, _) = desk.receiver(&server.uri()).await;
    let stranger = desk.signed.stranger("eve").await;
    let newcomer = desk.signed.issuer.token("newcomer");
    let key = desk.signed.bench.key(&desk.agent, Kind::Server).await;
    for (method, below) in [
        (Method::GET, String::new()),
        (Method::POST, String::new()),
        (Method::GET, webhook.clone()),
        (Method::PATCH, webhook.clone()),
        (Method::DELETE, webhook.clone()),
        (Method::POST, format!("{webhook}/secret")),
        (Method::POST, format!("{webhook}/test")),
        (Method::GET, format!("{webhook}/deliveries")),
        (Method::POST, format!("{webhook}/deliveries/evt_1/redeliver")),
    ] {
        let as_who = async |token: &str| send(&desk.router, bare(method.clone(), &desk.path(&below), token)).await;
        for token in [&stranger, &newcomer] {
            let reply = as_who(token).await;
            assert_eq!((reply.status, reply.json()["code"].as_str()), (StatusCode::NOT_FOUND, Some("agent_not_found")));
        }
        for token in ["", key.as_str()] {
            assert_eq!(as_who(token).await.status, StatusCode::UNAUTHORIZED, "{method} {below}");
        }
    }
    assert_eq!(server.received_requests().await.unwrap_or_default().len(), 0);
    assert_eq!(desk.bare(Method::GET, &webhook).await.status, StatusCode::OK);
    let other = desk.signed.bench.agent("", "").await;
    let path = format!("/api/agents/{other}/webhooks{webhook}");
    assert_eq!(send(&desk.router, bare(Method::GET, &path, &desk.signed.ada)).await.status, StatusCode::NOT_FOUND);
}

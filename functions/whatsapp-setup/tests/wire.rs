//! The function on real events, over the embedded table, with an identity provider and a Graph API of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use axum::Router;
use http::Method;
use serde_json::{Value, json};
use shared::channel::Platform;
use shared::id::AgentId;
use shared::store::ConnectionItem;
use testkit::{Reply, Signed, bare, event, post, post_bytes, send, with_header};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PATH: &str = "/api/whatsapp/setup";
const PHONE: &str = "106540352242922";
const ACCOUNT: &str = "102290129340398";
const TOKEN: &str = "EAAG0000000000000000000000000000";

struct Desk {
    signed: Signed,
    graph: MockServer,
    router: Router,
    agent: AgentId,
}

impl Desk {
    async fn new() -> Self {
        let graph = MockServer::start().await;
        let base = format!("{}/v25.0", graph.uri());
        let signed = Signed::with("enterprise", &[("GRAPH_BASE_URL", base.as_str())]).await;
        let agent = signed.bench.agent("", "You are a test.").await;
        let router = signed.bench.router(whatsapp_setup::routes());
        let desk = Self { signed, graph, router, agent };
        let phone = json!({ "id": PHONE, "display_phone_number": "+1 555-078-3881", "verified_name": "Shop" });
        desk.graph_says("GET", PHONE, 200, phone).await;
        desk.graph_says("POST", &format!("{ACCOUNT}/subscribed_apps"), 200, json!({ "success": true })).await;
        desk.graph_says("POST", PHONE, 200, json!({ "success": true })).await;
        desk
    }

    async fn graph_says(&self, verb: &str, node: &str, status: u16, body: Value) {
        let response = ResponseTemplate::new(status).set_body_json(body);
        Mock::given(method(verb)).and(path(format!("/v25.0/{node}"))).respond_with(response).mount(&self.graph).await;
    }

    async fn connect(&self, changes: Value) -> Reply {
        let mut body = json!({
            "agentId": self.agent, "phoneNumberId": PHONE, "accessToken": TOKEN, "businessAccountId": ACCOUNT,
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        send(&self.router, with_header(post(PATH, &self.signed.ada, &body), "host", b"bots.example")).await
    }

    async fn connection(&self) -> Option<ConnectionItem> {
        self.signed.bench.app.store().connection(Platform::WhatsApp, PHONE).await.unwrap()
    }
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(code: i64) -> Value {
    json!({ "error": { "code": code, "message": format!("(#{code}) words") } })
}

#[tokio::test]
async fn a_number_is_connected_listed_and_disconnected_by_the_events_of_a_dashboard() {
    let desk = Desk::new().await;
    let answer = |file: &str| {
        let request = event(&file.replace("ID_TOKEN", &desk.signed.ada), desk.agent.as_str(), "");
        let router = desk.router.clone();
        async move { send(&router, request).await }
    };
    let connected = answer(include_str!("../../../events/whatsapp-setup.json")).await;
    let verify = connected.json()["verifyToken"].as_str().unwrap().to_owned();
    let listed = answer(include_str!("../../../events/whatsapp-setup-list.json")).await;
    let kept = desk.signed.bench.dump().await;
    for hidden in [TOKEN, verify.as_str()] {
        assert!(!kept.contains(hidden) && !listed.body.contains(hidden));
    }
    let deleted = answer(include_str!("../../../events/whatsapp-setup-delete.json")).await;
    let told = [&connected, &listed, &deleted].map(|reply| format!("{} {}\n", reply.status.as_u16(), reply.body));
    insta::assert_snapshot!(told.concat().replace(&verify, "106540352242922_…"));
    assert_eq!(desk.connection().await, None);
    let asked = desk.graph.received_requests().await.unwrap();
    let asked: Vec<String> = asked.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect();
    let (phone, subscribed) = (format!("/v25.0/{PHONE}"), format!("/v25.0/{ACCOUNT}/subscribed_apps"));
    let expected =
        [format!("GET {phone}"), format!("POST {subscribed}"), format!("POST {phone}"), format!("POST {phone}")];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_meta_refuses_is_told_and_leaves_nothing_behind() {
    let desk = Desk::new().await;
    for (status, graph, expected) in [
        (401, refused(190), (400, "invalid_access_token")),
        (400, refused(100), (400, "whatsapp_refused")),
        (500, refused(2), (503, "whatsapp_unavailable")),
        (200, json!({ "id": "7" }), (400, "invalid_phone_number_id")),
    ] {
        desk.graph.reset().await;
        desk.graph_says("GET", PHONE, status, graph).await;
        let reply = desk.connect(json!({})).await;
        assert_eq!(code(&reply), (expected.0, expected.1.to_owned()));
        assert!(desk.connection().await.is_none() && !reply.body.contains(TOKEN));
    }
    desk.graph.reset().await;
    desk.graph_says("GET", PHONE, 200, json!({ "id": PHONE })).await;
    desk.graph_says("POST", &format!("{ACCOUNT}/subscribed_apps"), 200, json!({ "success": true })).await;
    desk.graph_says("POST", PHONE, 400, refused(2200)).await;
    assert_eq!(code(&desk.connect(json!({})).await), (400, "whatsapp_refused".to_owned()));
    assert_eq!(desk.connection().await, None);
}

#[tokio::test]
async fn nobody_takes_or_sees_what_is_anothers() {
    let desk = Desk::new().await;
    assert_eq!(desk.connect(json!({})).await.status, 200);
    let bob = desk.signed.stranger("bob").await;
    let query = format!("{PATH}?agentId={}", desk.agent);
    for request in [bare(Method::GET, &query, &bob), bare(Method::DELETE, &query, &bob)] {
        assert_eq!(code(&send(&desk.router, request).await), (404, "agent_not_found".to_owned()));
    }
    let (store, mut others) = (desk.signed.bench.app.store(), desk.connection().await.unwrap());
    assert!(store.delete_connection(&desk.signed.bench.tenant, Platform::WhatsApp, PHONE).await.unwrap());
    others.tenant = "ten_other".into();
    assert!(store.put_connection(&others).await.unwrap());
    assert_eq!(code(&desk.connect(json!({})).await), (409, "number_taken".to_owned()));
    assert_eq!(desk.connection().await, Some(others));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_field_by_field() {
    let desk = Desk::new().await;
    let mut told = String::new();
    let wrong = json!({
        "agentId": "", "phoneNumberId": "../me", "accessToken": "with a space in the token", "verifyToken": "short",
        "businessAccountId": "x", "appSecret": "é".repeat(16),
    });
    for body in ["{}".to_owned(), wrong.to_string()] {
        let reply = send(&desk.router, post_bytes(PATH, &desk.signed.ada, body)).await;
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), reply.body));
    }
    insta::assert_snapshot!(told);
}

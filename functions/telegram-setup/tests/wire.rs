//! The function on real events, over the embedded table, with an identity provider and a Telegram of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use axum::Router;
use http::Method;
use serde_json::{Value, json};
use shared::auth::user;
use shared::channel::Platform;
use shared::id::AgentId;
use shared::store::ConnectionItem;
use testkit::{Bench, Issuer, Reply, bare, event, post, post_bytes, send, with_header};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const PATH: &str = "/api/telegram/setup";
const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const BOT: &str = "110201543";

/// The function, a Telegram, and `ada`, who owns the bench's tenant with one agent.
struct Desk {
    bench: Bench,
    issuer: Issuer,
    telegram: MockServer,
    router: Router,
    agent: AgentId,
    ada: String,
}

impl Desk {
    async fn new() -> Self {
        Self::on("enterprise").await
    }

    async fn on(plan: &str) -> Self {
        let (issuer, telegram) = (Issuer::start().await, MockServer::start().await);
        let (name, address) = (issuer.name(), telegram.uri());
        let variables = [
            ("ORRERY_OIDC_ISSUER", name.as_str()),
            ("ORRERY_OIDC_AUDIENCE", "test"),
            ("TELEGRAM_BASE_URL", address.as_str()),
        ];
        let bench = Bench::with(plan, &variables).await;
        let ada = user::item(&issuer.name(), "ada", bench.tenant.clone(), testkit::BEGIN);
        bench.app.store().put_user(&ada).await.unwrap();
        let agent = bench.agent("", "You are a test.").await;
        let router = bench.router(telegram_setup::routes());
        let desk = Self { ada: issuer.token("ada"), router, agent, bench, issuer, telegram };
        let me = json!({ "id": 110_201_543, "is_bot": true, "first_name": "Shop", "username": "orrery_test_bot" });
        desk.telegram_says("getMe", 200, json!({ "ok": true, "result": me })).await;
        desk.telegram_says("setWebhook", 200, json!({ "ok": true, "result": true })).await;
        desk.telegram_says("deleteWebhook", 200, json!({ "ok": true, "result": true })).await;
        desk
    }

    async fn telegram_says(&self, method: &str, status: u16, body: Value) {
        let response = ResponseTemplate::new(status).set_body_json(body);
        Mock::given(path(format!("/bot{TOKEN}/{method}"))).respond_with(response).mount(&self.telegram).await;
    }

    /// From now on Telegram says this alone.
    async fn telegram_only_says(&self, method: &str, status: u16, body: Value) {
        self.telegram.reset().await;
        self.telegram_says(method, status, body).await;
    }

    async fn connect(&self) -> Reply {
        let request = post(PATH, &self.ada, &json!({ "agentId": self.agent, "botToken": TOKEN }));
        send(&self.router, with_header(request, "host", b"bots.example")).await
    }

    async fn connection(&self) -> Option<ConnectionItem> {
        self.bench.app.store().connection(Platform::Telegram, BOT).await.unwrap()
    }

    /// What Telegram was told about the webhook last.
    async fn webhook(&self) -> Value {
        let asked = self.telegram.received_requests().await.unwrap();
        let last = asked.iter().rfind(|request| request.url.path().ends_with("/setWebhook")).unwrap();
        serde_json::from_slice(&last.body).unwrap()
    }
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), reply.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(code: u16, description: &str) -> Value {
    json!({ "ok": false, "error_code": code, "description": description })
}

#[tokio::test]
async fn a_bot_is_connected_listed_and_disconnected_by_the_events_of_a_dashboard() {
    let desk = Desk::new().await;
    let answer = |file: &str| {
        let request = event(&file.replace("ID_TOKEN", &desk.ada), desk.agent.as_str(), "");
        let router = desk.router.clone();
        async move { send(&router, request).await }
    };
    let connected = answer(include_str!("../../../events/telegram-setup.json")).await;
    let webhook = desk.webhook().await;
    let secret = webhook["secret_token"].as_str().unwrap();
    assert_eq!(webhook["url"], "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1/api/telegram/webhook");
    assert_eq!(webhook["allowed_updates"], json!(["message"]));
    assert!(secret.starts_with("110201543_") && secret.len() == 10 + 43);
    let listed = answer(include_str!("../../../events/telegram-setup-list.json")).await;
    let kept = desk.bench.dump().await;
    for hidden in [TOKEN, &TOKEN[10..], secret] {
        assert!(!kept.contains(hidden) && !connected.body.contains(hidden) && !listed.body.contains(hidden));
    }
    let deleted = answer(include_str!("../../../events/telegram-setup-delete.json")).await;
    let after = answer(include_str!("../../../events/telegram-setup-list.json")).await;
    let told = [&connected, &listed, &deleted, &after];
    let told = told.map(|reply| format!("{} {}\n", reply.status.as_u16(), reply.body)).concat();
    insta::assert_snapshot!(told);
    assert_eq!(desk.connection().await, None);
    let asked = desk.telegram.received_requests().await.unwrap();
    let methods: Vec<&str> = asked.iter().map(|request| request.url.path().rsplit('/').next().unwrap()).collect();
    assert_eq!(methods, ["getMe", "setWebhook", "deleteWebhook"]);
}

#[tokio::test]
async fn connecting_anew_gives_a_new_secret_and_keeps_the_day_it_was_made() {
    let desk = Desk::new().await;
    assert_eq!(desk.connect().await.status, 200);
    let (first, old) = (desk.connection().await.unwrap(), desk.webhook().await["secret_token"].clone());
    desk.bench.wait(Duration::from_secs(60));
    assert_eq!(desk.connect().await.status, 200);
    let second = desk.connection().await.unwrap();
    assert_ne!(desk.webhook().await["secret_token"], old);
    assert_ne!(first.about["secret_hash"], second.about["secret_hash"]);
    assert_eq!((first.created_at, first.updated_at + 60_000), (second.created_at, second.updated_at));
}

#[tokio::test]
async fn what_telegram_refuses_is_told_and_leaves_nothing_behind() {
    let desk = Desk::new().await;
    desk.telegram_only_says("getMe", 401, refused(401, "Unauthorized")).await;
    assert_eq!(code(&desk.connect().await), (400, "invalid_bot_token".to_owned()));
    assert_eq!(desk.connection().await, None);

    let me = json!({ "ok": true, "result": { "id": 1, "is_bot": true, "first_name": "Shop", "username": "b_bot" } });
    desk.telegram_only_says("getMe", 200, me.clone()).await;
    let words = "Bad Request: bad webhook: An HTTPS URL must be provided for webhook";
    desk.telegram_says("setWebhook", 400, refused(400, words)).await;
    let reply = desk.connect().await;
    assert_eq!(code(&reply), (400, "telegram_refused".to_owned()));
    assert_eq!(reply.json()["error"], format!("Telegram refuses: {words}"));
    assert_eq!(desk.connection().await, None);

    desk.telegram_only_says("getMe", 200, me).await;
    let wait = json!({ "ok": false, "error_code": 429, "description": "Too Many", "parameters": { "retry_after": 7 } });
    desk.telegram_says("setWebhook", 429, wait).await;
    let reply = desk.connect().await;
    assert_eq!((code(&reply), reply.header("retry-after")), ((503, "telegram_unavailable".to_owned()), "7"));
    assert!(desk.connection().await.is_some(), "it is made whole by the next call");
}

#[tokio::test]
async fn a_telegram_that_does_not_answer_is_told_without_the_token() {
    let desk = Desk::new().await;
    assert_eq!(desk.connect().await.status, 200);
    for status in [500, 502] {
        desk.telegram_only_says("deleteWebhook", status, refused(status, "Internal Server Error")).await;
        let request = bare(Method::DELETE, &format!("{PATH}?agentId={}", desk.agent), &desk.ada);
        let reply = send(&desk.router, request).await;
        assert_eq!(code(&reply), (503, "telegram_unavailable".to_owned()));
        assert!(desk.connection().await.is_some() && !reply.body.contains(TOKEN));
    }
    desk.telegram_only_says("deleteWebhook", 401, refused(401, "Unauthorized")).await;
    let body = json!({ "agentId": desk.agent, "botId": BOT }).to_string();
    let mut request = post_bytes(PATH, &desk.ada, body);
    *request.method_mut() = Method::DELETE;
    assert_eq!(send(&desk.router, request).await.status, 200, "a bot whose token was revoked can be let go");
    assert_eq!(desk.connection().await, None);
}

#[tokio::test]
async fn nobody_takes_or_sees_what_is_anothers() {
    let desk = Desk::new().await;
    assert_eq!(desk.connect().await.status, 200);
    let before = desk.connection().await;
    let bob = desk.issuer.token("bob");
    let query = format!("{PATH}?agentId={}", desk.agent);
    let body = json!({ "agentId": desk.agent, "botToken": TOKEN });
    for request in [bare(Method::GET, &query, &bob), bare(Method::DELETE, &query, &bob), post(PATH, &bob, &body)] {
        assert_eq!(code(&send(&desk.router, request).await), (404, "agent_not_found".to_owned()));
    }
    let mut others = before.clone().unwrap();
    let store = desk.bench.app.store();
    assert!(store.delete_connection(&desk.bench.tenant, Platform::Telegram, BOT).await.unwrap());
    others.tenant = "ten_other".into();
    assert!(store.put_connection(&others).await.unwrap());
    let asked = desk.telegram.received_requests().await.unwrap().len();
    assert_eq!(code(&desk.connect().await), (409, "bot_taken".to_owned()));
    assert_eq!(desk.connection().await, Some(others));
    assert_eq!(desk.telegram.received_requests().await.unwrap().len(), asked, "Telegram is not asked");
    let gone = bare(Method::DELETE, &format!("{query}&botId=1"), &desk.ada);
    assert_eq!(code(&send(&desk.router, gone).await), (404, "bot_not_found".to_owned()));
    assert_eq!(send(&desk.router, bare(Method::GET, &query, "")).await.status, 401);
}

#[tokio::test]
async fn a_plan_counts_bots_beside_keys() {
    let desk = Desk::on("free").await;
    desk.bench.key(&desk.agent, shared::auth::Kind::Server).await;
    assert_eq!(code(&desk.connect().await), (403, "connector_limit_reached".to_owned()));
    let desk = Desk::on("free").await;
    assert_eq!(desk.connect().await.status, 200);
    assert_eq!(desk.connect().await.status, 200, "the same bot is not another connector");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_field_by_field() {
    let desk = Desk::new().await;
    let mut told = String::new();
    for body in [
        "{}",
        "{",
        r#"{"agentId":7,"botToken":"110201543"}"#,
        r#"{"agentId":"a","botToken":"1:../../x?y#zzzzzzzzzzzzzzzz"}"#,
    ] {
        let reply = send(&desk.router, post_bytes(PATH, &desk.ada, body.to_owned())).await;
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), reply.body));
    }
    for (method, query) in [(Method::GET, ""), (Method::DELETE, "?botId=1"), (Method::PUT, "")] {
        let reply = send(&desk.router, bare(method, &format!("{PATH}{query}"), &desk.ada)).await;
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), reply.body));
    }
    insta::assert_snapshot!(told);
}

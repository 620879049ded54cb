//! What a person comes back with, and what becomes of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::Router;
use http::Method;
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::channel::Platform;
use shared::channel::slack::connect::Install;
use shared::id::{AgentId, TenantId};
use shared::store::ConnectionItem;
use testkit::{BEGIN, Bench, Reply, bare, event, send};
use wiremock::matchers::{body_string, header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const PATH: &str = "/api/slack/oauth";
const CODE: &str = "1234567890.1234567890.abcdef";

struct Desk {
    slack: MockServer,
    bench: Bench,
    router: Router,
    agent: AgentId,
}

impl Desk {
    async fn new(plan: &str) -> Self {
        let slack = MockServer::start().await;
        let base = format!("{}/api", slack.uri());
        let settings =
            [("SLACK_BASE_URL", base.as_str()), ("SLACK_CLIENT_ID", "11.22"), ("SLACK_CLIENT_SECRET", "s3cret")];
        let bench = Bench::with(plan, &settings).await;
        let agent = bench.agent("", "Be kind.").await;
        Self { router: bench.router(slack_oauth::routes()), slack, agent, bench }
    }

    /// Slack takes the code, so many times at most, and answers so.
    async fn slack_answers(&self, times: u64, changes: &Value) {
        let mut body = json!({
            "ok": true, "access_token": "xoxb-the-token", "token_type": "bot", "scope": "chat:write", "bot_user_id": "U0BOT",
            "app_id": "A1", "team": { "id": "T1", "name": "Books & <b>Co</b>" }, "enterprise": null,
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Mock::given(path("/api/oauth.v2.access"))
            .and(header("authorization", "Basic MTEuMjI6czNjcmV0"))
            .and(body_string(format!("code={CODE}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .expect(times)
            .mount(&self.slack)
            .await;
        Mock::given(path("/api/auth.test"))
            .and(header("authorization", "Bearer xoxb-the-token"))
            .respond_with(
                ResponseTemplate::new(200)
                    .set_body_json(json!({ "ok": true, "team_id": "T1", "user_id": "U0BOT", "bot_id": "B1" })),
            )
            .mount(&self.slack)
            .await;
    }

    async fn state(&self) -> String {
        let install =
            Install::begin(self.bench.tenant.clone(), self.agent.clone(), "ada".into(), self.bench.clock.now_ms());
        install.seal(&self.bench.app.sealer().await.unwrap()).unwrap()
    }

    async fn come_back(&self, query: &str) -> Reply {
        send(&self.router, bare(Method::GET, &format!("{PATH}?{query}"), "")).await
    }

    async fn connect(&self) -> Reply {
        self.come_back(&format!("code={CODE}&state={}", self.state().await)).await
    }

    async fn connection(&self) -> Option<ConnectionItem> {
        self.bench.app.store().connection(Platform::Slack, "T1").await.unwrap()
    }
}

fn refused(reply: &Reply, status: u16, words: &str) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.body);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert!(reply.body.contains(words), "{}", reply.body);
}

#[tokio::test]
async fn the_event_of_a_browser_connects_the_team() {
    let desk = Desk::new("enterprise").await;
    desk.slack_answers(1, &json!({})).await;
    let file = include_str!("../../../events/slack-oauth.json").replace("STATE", &desk.state().await);
    let reply = send(&desk.router, event(&file, "", "")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    insta::assert_snapshot!(reply.body);
    assert_eq!((reply.header("cache-control"), reply.header("referrer-policy")), ("no-store", "no-referrer"));
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
    let connection = desk.connection().await.unwrap();
    assert_eq!((&connection.agent, &connection.tenant), (&desk.agent, &desk.bench.tenant));
    assert_eq!(connection.about["botUserId"], "U0BOT");
    assert!(!desk.bench.dump().await.contains("xoxb-the-token"), "the token is kept sealed alone");
}

#[tokio::test]
async fn a_state_is_used_once_and_for_ten_minutes() {
    let desk = Desk::new("enterprise").await;
    desk.slack_answers(1, &json!({})).await;
    let query = format!("code={CODE}&state={}", desk.state().await);
    let (one, other) = tokio::join!(desk.come_back(&query), desk.come_back(&query));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let late = format!("code={CODE}&state={}", desk.state().await);
    desk.bench.wait(Duration::from_secs(600));
    refused(&desk.come_back(&late).await, 400, "expired or was used already");
    refused(&desk.come_back(&query).await, 400, "expired or was used already");
}

#[tokio::test]
async fn what_is_no_state_of_ours_costs_nothing_and_is_not_repeated() {
    let desk = Desk::new("enterprise").await;
    let (reads, writes) = (desk.bench.reads(), desk.bench.writes());
    for (query, words) in [
        ("", "Missing code or state"),
        ("code=x", "Missing code or state"),
        ("state=x", "Missing code or state"),
        ("code=x&state=%3Cscript%3Ealert(1)%3C/script%3E", "Invalid state parameter"),
        ("code=x&state=ten_1~v1.00.AAAA", "Invalid state parameter"),
        ("error=access_denied&state=x", "was not let into the workspace"),
        ("error=%3Cscript%3E", "did not let the app"),
    ] {
        let reply = desk.come_back(query).await;
        refused(&reply, 400, words);
        assert!(!reply.body.contains("<script"), "{}", reply.body);
    }
    assert_eq!((desk.bench.reads(), desk.bench.writes()), (reads, writes));
    assert_eq!(desk.slack.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_team_of_another_account_stays_theirs() {
    let desk = Desk::new("enterprise").await;
    desk.slack_answers(2, &json!({})).await;
    assert_eq!(desk.connect().await.status, 200);
    let first = desk.connection().await.unwrap();
    let theirs = ConnectionItem { tenant: TenantId::generate(), ..first.clone() };
    assert!(desk.bench.app.store().delete_connection(&desk.bench.tenant, Platform::Slack, "T1").await.unwrap());
    assert!(desk.bench.app.store().put_connection(&theirs).await.unwrap());
    refused(&desk.connect().await, 409, "connected by another account");
    assert_eq!(desk.connection().await.unwrap(), theirs);
}

#[tokio::test]
async fn a_team_that_comes_again_is_answered_by_the_agent_of_the_last_time() {
    let desk = Desk::new("free").await;
    desk.slack_answers(2, &json!({})).await;
    assert_eq!(desk.connect().await.status, 200);
    desk.bench.wait(Duration::from_secs(60));
    let agent = desk.bench.agent("", "Be brief.").await;
    let desk = Desk { agent: agent.clone(), ..desk };
    assert_eq!(desk.connect().await.status, 200, "it takes its own place in the plan");
    let connection = desk.connection().await.unwrap();
    assert_eq!((connection.agent, connection.created_at, connection.updated_at), (agent, BEGIN, BEGIN + 60_000));
}

#[tokio::test]
async fn what_is_no_workspace_of_its_own_is_refused() {
    let desk = Desk::new("enterprise").await;
    desk.slack_answers(1, &json!({ "team": null, "is_enterprise_install": true, "enterprise": { "id": "E1" } })).await;
    let revoked = Mock::given(path("/api/auth.revoke")).and(header("authorization", "Bearer xoxb-the-token"));
    revoked
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "ok": true })))
        .expect(1)
        .mount(&desk.slack)
        .await;
    refused(&desk.connect().await, 400, "whole organisation");
    let desk = Desk::new("enterprise").await;
    desk.slack_answers(1, &json!({ "expires_in": 43200, "refresh_token": "xoxe-1" })).await;
    refused(&desk.connect().await, 400, "Token rotation must be off");
    assert!(desk.connection().await.is_none());
}

#[tokio::test]
async fn a_code_that_slack_does_not_take_connects_nobody() {
    for (reply, status) in [
        (ResponseTemplate::new(200).set_body_json(json!({ "ok": false, "error": "invalid_code" })), 400),
        (ResponseTemplate::new(500), 503),
        (ResponseTemplate::new(429).insert_header("retry-after", "5"), 503),
        (ResponseTemplate::new(200).set_body_string("<html>"), 503),
    ] {
        let desk = Desk::new("enterprise").await;
        Mock::given(path("/api/oauth.v2.access")).respond_with(reply).mount(&desk.slack).await;
        refused(&desk.connect().await, status, "Please begin again");
        assert!(desk.connection().await.is_none());
    }
}

#[tokio::test]
async fn an_agent_that_is_gone_and_a_plan_without_room_are_told() {
    let desk = Desk::new("free").await;
    desk.slack_answers(1, &json!({})).await;
    desk.bench.key(&desk.agent, Kind::Server).await;
    refused(&desk.connect().await, 403, "Connector limit reached (1)");
    let gone = Desk { agent: "ag_gone".into(), ..desk };
    refused(&gone.connect().await, 404, "does not exist any more");
    let bench = Bench::new().await;
    let state = Install::begin(bench.tenant.clone(), bench.agent("", "").await, "ada".into(), BEGIN);
    let state = state.seal(&bench.app.sealer().await.unwrap()).unwrap();
    let router = bench.router(slack_oauth::routes());
    let reply = send(&router, bare(Method::GET, &format!("{PATH}?code=x&state={state}"), "")).await;
    refused(&reply, 503, "Slack is not configured");
}

#[tokio::test]
async fn other_methods_are_refused() {
    let desk = Desk::new("enterprise").await;
    let reply = send(&desk.router, bare(Method::POST, PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "GET"));
}

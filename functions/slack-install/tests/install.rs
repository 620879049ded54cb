//! Who may install the app, and where they are sent.

use axum::Router;
use http::Method;
use serde_json::json;
use shared::auth::Kind;
use shared::channel::slack::connect::Install;
use shared::id::AgentId;
use testkit::{BEGIN, Reply, Signed, bare, event, send, with_header};

const PATH: &str = "/api/slack/install";
const SETTINGS: [(&str, &str); 2] = [("SLACK_CLIENT_ID", "11.22"), ("SLACK_CLIENT_SECRET", "secret")];

struct Desk {
    signed: Signed,
    router: Router,
    agent: AgentId,
}

impl Desk {
    async fn new(plan: &str, settings: &[(&str, &str)]) -> Self {
        let signed = Signed::with(plan, settings).await;
        let agent = signed.bench.agent("", "Be kind.").await;
        Self { router: signed.bench.router(slack_install::routes()), agent, signed }
    }

    async fn ask(&self, token: &str) -> Reply {
        let path = format!("{PATH}?agentId={}", self.agent);
        send(&self.router, bare(Method::GET, &path, token)).await
    }
}

#[tokio::test]
async fn the_event_of_a_dashboard_is_answered_with_slacks_address() {
    let desk = Desk::new("enterprise", &SETTINGS).await;
    let file = include_str!("../../../events/slack-install.json").replace("ID_TOKEN", &desk.signed.ada);
    let reply = send(&desk.router, event(&file, desk.agent.as_str(), "")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    let url = reply.json()["url"].as_str().unwrap().to_owned();
    let (told, state) = url.split_once("&state=").unwrap();
    insta::assert_snapshot!(told);
    let sealer = desk.signed.bench.app.sealer().await.unwrap();
    let state = state.replace("%7E", "~");
    let install = Install::open(&sealer, &state, BEGIN).unwrap();
    assert_eq!((install.agent, install.tenant), (desk.agent, desk.signed.bench.tenant));
    assert!(!install.user.is_empty());
}

#[tokio::test]
async fn what_asks_for_a_page_is_sent_there() {
    let desk = Desk::new("enterprise", &SETTINGS).await;
    let request = bare(Method::GET, &format!("{PATH}?agentId={}", desk.agent), &desk.signed.ada);
    let reply = send(&desk.router, with_header(request, "accept", b"text/html,application/xhtml+xml,*/*;q=0.8")).await;
    assert_eq!(reply.status, 302);
    assert!(reply.header("location").starts_with("https://slack.com/oauth/v2/authorize?client_id=11.22&scope="));
}

#[tokio::test]
async fn only_who_owns_the_agent_may_ask() {
    let desk = Desk::new("enterprise", &SETTINGS).await;
    let key = desk.signed.bench.key(&desk.agent, Kind::Server).await;
    for (token, status, code) in [
        (String::new(), 401, "token_missing"),
        (key, 401, "invalid_token"),
        (desk.signed.stranger("bob").await, 404, "agent_not_found"),
    ] {
        let reply = desk.ask(&token).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (status, &json!(code)));
    }
    let reply = send(&desk.router, bare(Method::GET, PATH, &desk.signed.ada)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.as_str()),
        (400, r#"{"error":"Invalid query parameters","code":"invalid_request","details":["agentId: Required"]}"#)
    );
}

#[tokio::test]
async fn a_plan_without_room_is_told_and_so_is_a_deployment_without_an_app() {
    let desk = Desk::new("free", &SETTINGS).await;
    assert_eq!(desk.ask(&desk.signed.ada).await.status, 200);
    desk.signed.bench.key(&desk.agent, Kind::Server).await;
    let reply = desk.ask(&desk.signed.ada).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (403, &json!("connector_limit_reached")));
    let desk = Desk::new("enterprise", &[]).await;
    let reply = desk.ask(&desk.signed.ada).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("slack_not_configured")));
}

#[tokio::test]
async fn pages_may_ask_and_other_methods_may_not() {
    let desk = Desk::new("enterprise", &SETTINGS).await;
    let reply = send(&desk.router, bare(Method::OPTIONS, PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-methods")), (204, "GET, OPTIONS"));
    let reply = send(&desk.router, bare(Method::POST, PATH, &desk.signed.ada)).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "GET, OPTIONS"));
}

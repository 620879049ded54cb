//! What Slack sends, and what becomes of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use shared::channel::Platform;
use shared::channel::slack::signature::signature;
use shared::clock::Clock;
use shared::id::AgentId;
use shared::store::ConnectionItem;
use testkit::{BEGIN, Bench, Fault, Lambda, Moment, Reply, Strike, bare, event, event_with, send};

const PATH: &str = "/api/slack/events";
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TEAM: &str = "T0123ABCD";
const SETTINGS: [(&str, &str); 1] = [("SLACK_SIGNING_SECRET", SECRET)];

struct Desk {
    bench: Bench,
    router: Router,
    agent: AgentId,
}

impl Desk {
    async fn new() -> Self {
        Self::over(Bench::with("enterprise", &SETTINGS).await).await
    }

    async fn over(bench: Bench) -> Self {
        let agent = bench.agent("", "Be kind.").await;
        let desk = Self { router: bench.router(slack_events::routes()), agent, bench };
        desk.connect(BEGIN).await;
        desk
    }

    async fn connect(&self, at: i64) {
        let connection = ConnectionItem {
            platform: Platform::Slack,
            external: TEAM.to_owned(),
            tenant: self.bench.tenant.clone(),
            agent: self.agent.clone(),
            sealed: "sealed".to_owned(),
            about: json!({ "botUserId": "U0BOT" }).as_object().unwrap().clone(),
            created_at: at,
            updated_at: at,
        };
        assert!(self.bench.app.store().put_connection(&connection).await.unwrap());
    }

    async fn is_connected(&self) -> bool {
        self.bench.app.store().connection(Platform::Slack, TEAM).await.unwrap().is_some()
    }

    fn signed(&self, body: &str) -> Request<Body> {
        let time = (self.bench.clock.now_ms() / 1000).to_string();
        let signature = signature(&SECRET.into(), &time, body.as_bytes());
        let request = Request::post(PATH).header("content-type", "application/json");
        let request = request.header("x-slack-request-timestamp", time).header("x-slack-signature", signature);
        request.body(Body::from(body.to_owned())).unwrap()
    }

    async fn post(&self, body: &Value) -> Reply {
        send(&self.router, self.signed(&body.to_string())).await
    }

    async fn event(&self, event: Value) -> Reply {
        self.post(&envelope(event)).await
    }

    /// What waits in the queue.
    async fn queued(&self) -> Vec<Value> {
        let deliveries = self.bench.app.channels().receive(10).await.unwrap();
        deliveries.iter().map(|delivery| serde_json::from_str(&delivery.body).unwrap()).collect()
    }
}

fn envelope(event: Value) -> Value {
    json!({ "type": "event_callback", "team_id": TEAM, "event_id": "Ev1", "event_time": BEGIN / 1000, "event": event })
}

fn mention() -> Value {
    json!({ "type": "app_mention", "user": "U0ADA", "text": "<@U0BOT> hi", "ts": "1774448999.000100", "channel": "C1" })
}

#[tokio::test]
async fn the_event_of_a_mention_is_queued_and_answered_at_once() {
    let desk = Desk::new().await;
    let reply = send(&desk.router, event(include_str!("../../../events/slack-events.json"), "", "")).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, r#"{"ok":true}"#));
    insta::assert_json_snapshot!(desk.queued().await);
}

#[tokio::test]
async fn the_challenge_is_sent_back_and_must_be_signed_too() {
    let desk = Desk::new().await;
    let file = include_str!("../../../events/slack-events-challenge.json");
    let reply = send(&desk.router, event(file, "", "")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, r#"{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}"#);
    let unsigned = send(&desk.router, event(&file.replace("v0=", "v0=0"), "", "")).await;
    assert_eq!(unsigned.status, 401);
}

#[tokio::test]
async fn what_slack_did_not_sign_now_is_refused_without_a_read() {
    let desk = Desk::new().await;
    let body = envelope(mention()).to_string();
    let (reads, writes) = (desk.bench.reads(), desk.bench.writes());
    let changed = |name: &'static str, value: &[u8]| testkit::with_header(desk.signed(&body), name, value);
    let mut without = desk.signed(&body);
    without.headers_mut().remove("x-slack-signature");
    for request in [
        changed("x-slack-signature", b"v0=00"),
        changed("x-slack-signature", b"v0=\xff\xfe"),
        changed("x-slack-request-timestamp", b"1774448699"),
        changed("x-slack-request-timestamp", b"now"),
        without,
        bare(Method::POST, PATH, "kpn_x"),
    ] {
        let reply = send(&desk.router, request).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (401, &json!("invalid_signature")));
    }
    desk.bench.wait(std::time::Duration::from_secs(301));
    let late = send(&desk.router, event(include_str!("../../../events/slack-events.json"), "", "")).await;
    assert_eq!((late.status.as_u16(), late.json()["error"].as_str().unwrap()), (401, "The request is too old"));
    assert_eq!((desk.bench.reads(), desk.bench.writes()), (reads, writes));
}

#[tokio::test]
async fn without_a_signing_secret_nothing_is_taken() {
    let bench = Bench::new().await;
    let router = bench.router(slack_events::routes());
    let reply = send(&router, event(include_str!("../../../events/slack-events.json"), "", "")).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("slack_not_configured")));
}

#[tokio::test]
async fn a_mention_is_queued_once_however_often_and_in_whatever_guise_it_comes() {
    let desk = Desk::new().await;
    let mut message = mention();
    message["type"] = "message".into();
    message["channel_type"] = "channel".into();
    for event in [mention(), message, mention()] {
        let mut request = desk.signed(&envelope(event).to_string());
        request.headers_mut().insert("x-slack-retry-num", "1".parse().unwrap());
        assert_eq!(send(&desk.router, request).await.status, 200);
    }
    assert_eq!(desk.queued().await.len(), 1);
}

#[tokio::test]
async fn what_is_for_nobody_is_acknowledged_and_forgotten() {
    let desk = Desk::new().await;
    let mut elsewhere = envelope(mention());
    elsewhere["team_id"] = "T0OTHER".into();
    let mut by_a_bot = mention();
    by_a_bot["bot_id"] = "B1".into();
    let writes = desk.bench.writes();
    for body in [
        elsewhere,
        envelope(by_a_bot),
        envelope(json!({ "type": "reaction_added" })),
        json!({ "type": "app_rate_limited", "team_id": TEAM }),
        json!({ "type": "something_new" }),
    ] {
        let reply = desk.post(&body).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, r#"{"ok":true}"#), "{body}");
    }
    assert_eq!(desk.bench.writes(), writes);
    let reply = send(&desk.router, desk.signed("{")).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (400, &json!("invalid_json")));
}

#[tokio::test]
async fn a_team_that_removes_the_app_is_forgotten() {
    let desk = Desk::new().await;
    assert_eq!(desk.event(json!({ "type": "tokens_revoked", "tokens": { "oauth": ["U0ADA"] } })).await.status, 200);
    assert!(desk.is_connected().await);
    assert_eq!(desk.event(json!({ "type": "tokens_revoked", "tokens": { "bot": ["U0BOT"] } })).await.status, 200);
    assert!(!desk.is_connected().await);
    desk.connect(BEGIN).await;
    assert_eq!(desk.event(json!({ "type": "app_uninstalled" })).await.status, 200);
    assert!(!desk.is_connected().await);
    desk.connect(BEGIN + 1_000).await;
    assert_eq!(desk.event(json!({ "type": "app_uninstalled" })).await.status, 200);
    assert!(desk.is_connected().await, "it was connected again since");
}

#[tokio::test]
async fn what_cannot_be_queued_is_asked_for_again() {
    let (bench, faults) = Bench::with_faults_and(&SETTINGS).await;
    let desk = Desk::over(bench).await;
    for operation in ["GetItem", "TransactWriteItems"] {
        faults.strike(Strike {
            operation: operation.to_owned(),
            calls: 0..usize::MAX,
            tries: usize::MAX,
            fault: Fault::InternalError,
            moment: Moment::Before,
        });
        let reply = desk.event(mention()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("unavailable")), "{operation}");
        faults.heal();
    }
    assert_eq!(desk.event(mention()).await.status, 200);
    assert_eq!(desk.queued().await.len(), 1);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let desk = Desk::new().await;
    let reply = send(&desk.router, bare(Method::GET, PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn the_functions_own_binary_answers_and_queues() {
    let desk = Desk::new().await;
    let binary = env!("CARGO_BIN_EXE_slack-events");
    let mut lambda = Lambda::start(&desk.bench, binary, &SETTINGS).await;
    let body = envelope(mention()).to_string();
    let time = (Clock::system().now_ms() / 1000).to_string();
    let signature = signature(&SECRET.into(), &time, body.as_bytes());
    let file = include_str!("../../../events/slack-events.json");
    for (signature, status, queued) in [(signature.as_str(), 200, 1), ("v0=00", 401, 0)] {
        let headers = [("X-Slack-Request-Timestamp", time.as_str()), ("X-Slack-Signature", signature)];
        let reply = lambda.invoke(&event_with(file, &headers, &body)).await;
        assert_eq!((&reply["statusCode"], lambda.take_sent().len()), (&json!(status), queued), "{reply}");
    }
}

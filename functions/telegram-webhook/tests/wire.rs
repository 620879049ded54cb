//! The function on real events, over the embedded table.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use shared::channel::telegram::{Bot, BotToken, WebhookSecret, connection};
use shared::channel::{Incoming, Platform};
use shared::id::AgentId;
use testkit::{Bench, Fault, Lambda, Moment, Reply, Strike, bare, event, send, with_header};

const PATH: &str = "/api/telegram/webhook";
const HEADER: &str = "x-telegram-bot-api-secret-token";

/// A person writes.
const UPDATE: &str =
    r#"{"update_id":1,"message":{"message_id":1,"from":{"id":5},"chat":{"id":5,"type":"private"},"text":"a"}}"#;

struct Hook {
    bench: Bench,
    router: Router,
    agent: AgentId,
    secret: WebhookSecret,
}

impl Hook {
    async fn new() -> Self {
        Self::over(Bench::new().await).await
    }

    async fn over(bench: Bench) -> Self {
        let agent = bench.agent("", "You are a test.").await;
        let token = BotToken::parse("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw").unwrap();
        let bot: Bot =
            serde_json::from_value(json!({ "id": 110_201_543, "username": "orrery_test_bot", "first_name": "Shop" }))
                .unwrap();
        let secret = WebhookSecret::generate("110201543").unwrap();
        let sealer = bench.app.sealer().await.unwrap();
        let item = connection(&sealer, (&bench.tenant, &agent), (&bot, &token), &secret, 1).unwrap();
        assert!(bench.app.store().put_connection(&item).await.unwrap());
        let router = bench.router(telegram_webhook::routes());
        Self { bench, router, agent, secret }
    }

    fn request(&self, secret: &str, body: &str) -> Request<Body> {
        let request = Request::post(PATH).header(HEADER, secret).header("content-type", "application/json");
        request.body(Body::from(body.to_owned())).unwrap()
    }

    async fn post(&self, body: &str) -> Reply {
        send(&self.router, self.request(self.secret.reveal(), body)).await
    }

    async fn queued(&self) -> Vec<Incoming> {
        let mut queued = Vec::new();
        for delivery in self.bench.app.channels().receive(10).await.unwrap() {
            queued.push(serde_json::from_str(&delivery.body).unwrap());
            delivery.acknowledge().await.unwrap();
        }
        queued
    }
}

#[tokio::test]
async fn the_events_of_people_are_queued_for_their_conversation() {
    let hook = Hook::new().await;
    for file in [
        include_str!("../../../events/telegram-webhook.json"),
        include_str!("../../../events/telegram-webhook-group.json"),
    ] {
        let file = file.replace("110201543_SECRET", hook.secret.reveal());
        let reply = send(&hook.router, event(&file, hook.agent.as_str(), "")).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, r#"{"ok":true}"#));
    }
    let queued = hook.queued().await;
    let told: Vec<Value> = queued.iter().map(|incoming| serde_json::to_value(incoming).unwrap()).collect();
    assert_eq!(
        told,
        [
            json!({
                "platform": "telegram", "connection": "110201543", "event": "884301222", "conversation": "5123456789:0",
                "request": { "kind": "answer", "text": "Where is order 7? 😀" },
                "place": { "chat": 5_123_456_789_i64, "message": 17 }, "received_at": testkit::BEGIN,
            }),
            json!({
                "platform": "telegram", "connection": "110201543", "event": "884301223",
                "conversation": "-1001234567890123:12", "request": { "kind": "answer", "text": "Where is order 7?" },
                "place": { "chat": -1_001_234_567_890_123_i64, "message": 4021, "topic": 12 }, "received_at": testkit::BEGIN,
            }),
        ]
    );
}

#[tokio::test]
async fn t2_an_update_that_comes_twice_is_queued_once() {
    let hook = Hook::new().await;
    for _ in 0..2 {
        assert_eq!(hook.post(UPDATE).await.status, 200);
    }
    assert_eq!(hook.queued().await.len(), 1);
}

#[tokio::test]
async fn t1_without_the_bots_secret_nothing_is_read_and_nothing_written() {
    let hook = Hook::new().await;
    let secret = hook.secret.reveal();
    let other = WebhookSecret::generate("110201543").unwrap();
    let writes = hook.bench.writes();
    let unknown = secret.replace("110201543_", "110201544_");
    for wrong in ["", "x", "110201543", "110201543_", &secret[..secret.len() - 1], other.reveal(), &unknown] {
        let reply = send(&hook.router, hook.request(wrong, "{")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (401, &json!("invalid_secret_token")), "{wrong}");
    }
    let none = send(&hook.router, bare(Method::POST, PATH, "")).await;
    assert_eq!(none.status, 401);
    let bytes = with_header(bare(Method::POST, PATH, ""), HEADER, b"110201543_\xff");
    assert_eq!(send(&hook.router, bytes).await.status, 401);
    assert_eq!((hook.queued().await, hook.bench.writes()), (vec![], writes));
}

#[tokio::test]
async fn t3_what_asks_for_no_answer_is_taken_and_passed_over() {
    let hook = Hook::new().await;
    for body in [
        r#"{"update_id":1,"edited_message":{"message_id":1,"chat":{"id":5,"type":"private"},"text":"a"}}"#,
        r#"{"update_id":2,"callback_query":{"id":"x"}}"#,
        r#"{"update_id":3,"message":{"message_id":1,"from":{"id":5,"is_bot":true},"chat":{"id":5,"type":"private"},"text":"a"}}"#,
        r#"{"update_id":4,"something_new":{}}"#,
        r#"{"update_id":"x"}"#,
        "{",
        "",
    ] {
        let reply = hook.post(body).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, r#"{"ok":true}"#), "{body}");
    }
    assert_eq!(hook.queued().await, []);
}

#[tokio::test]
async fn a_bot_that_was_disconnected_is_refused_and_one_read_finds_a_connection() {
    let hook = Hook::new().await;
    let reads = hook.bench.reads();
    hook.post("{}").await;
    assert_eq!(hook.bench.reads(), reads + 1);
    let store = hook.bench.app.store();
    assert!(store.delete_connection(&hook.bench.tenant, Platform::Telegram, "110201543").await.unwrap());
    assert_eq!(hook.post("{}").await.status, 401);
    let reply = send(&hook.router, bare(Method::GET, PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn a_table_that_is_away_is_a_503_and_the_update_is_taken_when_it_comes_again() {
    let (bench, faults) = Bench::with_faults().await;
    let hook = Hook::over(bench).await;
    for operation in ["GetItem", "TransactWriteItems"] {
        for fault in [Fault::InternalError, Fault::Throttled, Fault::Reset] {
            faults.strike(Strike {
                operation: operation.to_owned(),
                calls: 0..usize::MAX,
                tries: usize::MAX,
                fault,
                moment: Moment::Before,
            });
            let reply = hook.post(UPDATE).await;
            assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("unavailable")), "{operation}");
            faults.heal();
        }
    }
    assert_eq!(hook.post(UPDATE).await.status, 200);
    assert_eq!(hook.queued().await.len(), 1);
}

#[tokio::test]
async fn the_functions_own_binary_answers_and_queues() {
    let hook = Hook::new().await;
    let mut lambda = Lambda::start(&hook.bench, env!("CARGO_BIN_EXE_telegram-webhook"), &[]).await;
    let file = include_str!("../../../events/telegram-webhook.json");
    for (secret, status, queued) in [(hook.secret.reveal(), 200, 1), ("110201543_WRONG", 401, 0)] {
        let reply = lambda.invoke(&file.replace("110201543_SECRET", secret)).await;
        assert_eq!((&reply["statusCode"], lambda.take_sent().len()), (&json!(status), queued), "{reply}");
    }
}

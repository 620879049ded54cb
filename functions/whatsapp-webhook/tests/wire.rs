//! The function on real events, over the embedded table.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use shared::auth::sign;
use shared::channel::Incoming;
use shared::channel::whatsapp::{AccessToken, Credentials, PhoneNumber, VerifyToken, connection};
use shared::id::AgentId;
use testkit::{Bench, Fault, Lambda, Moment, Reply, Strike, bare, event, event_with, send};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const PATH: &str = "/api/whatsapp/webhook";
const PHONE: &str = "106540352242922";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Hook {
    bench: Bench,
    router: Router,
    agent: AgentId,
    verify: VerifyToken,
}

impl Hook {
    async fn new() -> Self {
        Self::with(Some(SECRET), None).await
    }

    /// A deployment with this app secret, and a number with this one of its own.
    async fn with(deployment: Option<&str>, own: Option<&str>) -> Self {
        Self::on(Bench::with("enterprise", &[("WHATSAPP_APP_SECRET", deployment.unwrap_or_default())]).await, own).await
    }

    async fn on(bench: Bench, own: Option<&str>) -> Self {
        let agent = bench.agent("", "You are a test.").await;
        let phone: PhoneNumber = serde_json::from_value(json!({ "id": PHONE })).unwrap();
        let credentials = Credentials {
            token: AccessToken::parse("EAAG0000000000000000").unwrap(),
            app_secret: own.map(|secret| secret.to_owned().into()),
        };
        let verify = VerifyToken::generate(PHONE).unwrap();
        let sealer = bench.app.sealer().await.unwrap();
        let item = connection(&sealer, (&bench.tenant, &agent), (&phone, None), &credentials, &verify, 1).unwrap();
        assert!(bench.app.store().put_connection(&item).await.unwrap());
        let router = bench.router(whatsapp_webhook::routes());
        Self { bench, router, agent, verify }
    }

    async fn event(&self, file: &str) -> Reply {
        let value: Value = serde_json::from_str(file).unwrap();
        let signature = sign(&SECRET.into(), value["body"].as_str().unwrap_or_default().as_bytes());
        let file = file.replace("SIGNATURE", &signature).replace("VERIFY_TOKEN", self.verify.reveal());
        send(&self.router, event(&file, self.agent.as_str(), "")).await
    }

    async fn post(&self, query: &str, secret: &str, body: &str) -> Reply {
        let signature = format!("sha256={}", sign(&secret.into(), body.as_bytes()));
        let request = Request::post(format!("{PATH}{query}")).header("x-hub-signature-256", signature);
        send(&self.router, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn queued(&self) -> Vec<Incoming> {
        let deliveries = self.bench.app.channels().receive(10).await.unwrap();
        deliveries.iter().map(|delivery| serde_json::from_str(&delivery.body).unwrap()).collect()
    }
}

fn notification(phones: &[&str]) -> String {
    let one = |(index, phone): (usize, &&str)| {
        let message = json!({ "id": format!("wamid.{index}"), "from": "1", "type": "text", "text": { "body": "hi" } });
        change(phone, &[message])
    };
    of_changes(&phones.iter().enumerate().map(one).collect::<Vec<_>>())
}

fn change(phone: &str, messages: &[Value]) -> Value {
    json!({ "field": "messages", "value": { "metadata": { "phone_number_id": phone }, "messages": messages } })
}

fn of_changes(changes: &[Value]) -> String {
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": changes }] }).to_string()
}

/// An SQS that answers when `at_once` messages wait for that, for as long as its task is kept, and what was sent to it, in
/// order.
async fn sqs(at_once: usize) -> (String, Arc<Mutex<Vec<Value>>>, JoinSet<()>) {
    let (sent, barrier) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Barrier::new(at_once)));
    let heard = Arc::clone(&sent);
    let take = move |body: String| {
        let (heard, barrier) = (Arc::clone(&heard), Arc::clone(&barrier));
        async move {
            barrier.wait().await;
            heard.lock().unwrap().push(serde_json::from_str(&body).unwrap());
            "{}"
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
    (format!("http://{address}"), sent, serving)
}

#[tokio::test]
async fn a_conversations_messages_are_queued_in_order_and_conversations_beside_each_other() {
    const CONVERSATIONS: usize = 16;
    const EACH: usize = 5;
    let (url, sent, _serving) = sqs(CONVERSATIONS).await;
    let variables = [
        ("WHATSAPP_APP_SECRET", SECRET),
        ("ORRERY_CHANNELS_QUEUE", &url),
        ("AWS_ENDPOINT_URL_SQS", &url),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let hook = Hook::on(Bench::with("enterprise", &variables).await, None).await;
    let message = |number: usize| {
        let (from, text) = ((number % CONVERSATIONS).to_string(), (number / CONVERSATIONS).to_string());
        json!({ "id": format!("wamid.{number}"), "from": from, "type": "text", "text": { "body": text } })
    };
    let messages: Vec<Value> = (0..CONVERSATIONS * EACH).map(message).collect();
    assert_eq!(hook.post("", SECRET, &of_changes(&[change(PHONE, &messages)])).await.status, 200);
    let mut texts = BTreeMap::<String, Vec<String>>::new();
    for request in sent.lock().unwrap().iter() {
        let incoming: Value = serde_json::from_str(request["MessageBody"].as_str().unwrap()).unwrap();
        let text = incoming["request"]["text"].as_str().unwrap().to_owned();
        texts.entry(request["MessageGroupId"].to_string()).or_default().push(text);
    }
    assert_eq!(texts.len(), CONVERSATIONS);
    assert!(texts.values().all(|texts| *texts == ["0", "1", "2", "3", "4"]), "{texts:?}");
}

#[tokio::test]
async fn the_events_of_meta_are_answered_and_messages_are_queued() {
    let hook = Hook::new().await;
    let agreed = hook.event(include_str!("../../../events/whatsapp-webhook-verify.json")).await;
    assert_eq!((agreed.status.as_u16(), agreed.body.as_str()), (200, "1158201444"));
    assert_eq!(agreed.header("content-type"), "text/plain");
    let reads = hook.bench.reads();
    assert_eq!(hook.event(include_str!("../../../events/whatsapp-webhook-status.json")).await.status, 200);
    assert_eq!(hook.bench.reads(), reads + 1, "one read finds the connection");
    assert_eq!(hook.event(include_str!("../../../events/whatsapp-webhook.json")).await.status, 200);
    let queued: Vec<Value> = hook.queued().await.iter().map(|one| serde_json::to_value(one).unwrap()).collect();
    let wamid = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=";
    assert_eq!(
        queued,
        [json!({
            "platform": "whatsapp", "connection": PHONE, "event": wamid, "conversation": "US.13491208655302741918",
            "request": { "kind": "answer", "text": "Où est la commande 7\u{a0}? 😀 @shop a/b" },
            "place": { "to": { "phone": "16505551234" }, "message": wamid }, "received_at": testkit::BEGIN,
        })]
    );
}

#[tokio::test]
async fn a2_without_a_secret_or_a_signature_nothing_is_taken() {
    let body = notification(&[PHONE]);
    let hook = Hook::with(None, None).await;
    for query in ["", "?connection=106540352242922"] {
        let reply = hook.post(query, SECRET, &body).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("whatsapp_not_configured")));
    }
    let hook = Hook::new().await;
    assert_eq!(hook.post("", "another", &body).await.status, 401);
    assert_eq!(send(&hook.router, bare(Method::POST, PATH, "")).await.status, 401);
    let bare_hex = Request::post(PATH).header("x-hub-signature-256", sign(&SECRET.into(), b"{}"));
    assert_eq!(send(&hook.router, bare_hex.body(Body::from("{}")).unwrap()).await.status, 401, "Meta names the method");
    assert_eq!(hook.queued().await, []);
}

#[tokio::test]
async fn who_signs_speaks_for_their_own_numbers_alone() {
    let own = "ffffffffffffffffffffffffffffffff";
    let hook = Hook::with(Some(SECRET), Some(own)).await;
    let named = format!("?connection={PHONE}");
    assert_eq!(hook.post(&named, SECRET, &notification(&[PHONE])).await.status, 401);
    assert_eq!(hook.post("", SECRET, &notification(&[PHONE])).await.status, 200);
    assert_eq!(hook.queued().await, [], "the deployment's app does not sign for a number with an app of its own");
    assert_eq!(hook.post(&named, own, &notification(&["7", PHONE, "8"])).await.status, 200);
    assert_eq!(hook.queued().await.len(), 1);
}

#[tokio::test]
async fn a1_a_wrong_verify_token_is_forbidden() {
    let hook = Hook::new().await;
    let (token, other) = (hook.verify.reveal(), VerifyToken::generate(PHONE).unwrap());
    for query in [
        String::new(),
        "?hub.mode=subscribe&hub.challenge=1".to_owned(),
        format!("?hub.mode=subscribe&hub.challenge=1&hub.verify_token={}", other.reveal()),
        format!("?hub.mode=other&hub.challenge=1&hub.verify_token={token}"),
        format!("?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}&connection=7"),
        format!("?hub.mode=subscribe&hub.verify_token={token}"),
    ] {
        let reply = send(&hook.router, bare(Method::GET, &format!("{PATH}{query}"), "")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (403, &json!("invalid_verify_token")), "{query}");
    }
    let reply = send(&hook.router, bare(Method::PUT, PATH, "")).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "GET, POST"));
}

#[tokio::test]
async fn a_table_that_is_away_is_a_503_and_the_notification_is_taken_when_it_comes_again() {
    let (bench, faults) = Bench::with_faults_and(&[("WHATSAPP_APP_SECRET", SECRET)]).await;
    let (hook, body) = (Hook::on(bench, None).await, notification(&[PHONE]));
    for operation in ["GetItem", "TransactWriteItems"] {
        for fault in [Fault::InternalError, Fault::Throttled, Fault::Reset] {
            faults.strike(Strike {
                operation: operation.to_owned(),
                calls: 0..usize::MAX,
                tries: usize::MAX,
                fault,
                moment: Moment::Before,
            });
            let reply = hook.post("", SECRET, &body).await;
            assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (503, &json!("unavailable")), "{operation}");
            faults.heal();
        }
    }
    assert_eq!(hook.post("", SECRET, &body).await.status, 200);
    assert_eq!(hook.queued().await.len(), 1);
}

#[tokio::test]
async fn the_functions_own_binary_answers_and_queues() {
    let hook = Hook::new().await;
    let binary = env!("CARGO_BIN_EXE_whatsapp-webhook");
    let mut lambda = Lambda::start(&hook.bench, binary, &[("WHATSAPP_APP_SECRET", SECRET)]).await;
    let (file, body) = (include_str!("../../../events/whatsapp-webhook.json"), notification(&[PHONE, PHONE]));
    let signature = sign(&SECRET.into(), body.as_bytes());
    for (signature, status, queued) in [(signature.as_str(), 200, 2), ("00", 401, 0)] {
        let signature = format!("sha256={signature}");
        let reply = lambda.invoke(&event_with(file, &[("X-Hub-Signature-256", &signature)], &body)).await;
        assert_eq!((&reply["statusCode"], lambda.take_sent().len()), (&json!(status), queued), "{reply}");
    }
}

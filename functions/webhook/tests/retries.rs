//! A request that comes again is answered, not repeated.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::id::SessionId;
use shared::store::{LeaseOutcome, SessionItem};
use testkit::{Api, Bench};
use tokio::task::JoinSet;

const PATH: &str = "/api/webhook/{agent}";

async fn api(front_matter: &str) -> Api {
    Api::new(Bench::new().await, webhook::routes(), PATH, Kind::Server, front_matter).await
}

fn message(text: &str) -> Value {
    json!({ "message": text })
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_costs_nothing() {
    let api = api("limits: { requests_per_minute: { webhook: 1 } }").await;
    let first = api.post_once("order-1", &message("hi")).await;
    assert_eq!(first.status, StatusCode::OK);
    let (usage, writes) = (api.bench.usage().await, api.bench.writes());
    for _ in 0..3 {
        let again = api.post_once("order-1", &message("hi")).await;
        assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
        assert_eq!(again.header("x-ratelimit-remaining"), "0");
    }
    assert_eq!((api.bench.usage().await, api.bench.writes()), (usage, writes));
    assert_eq!(api.post_once("order-2", &message("hi")).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_422() {
    let api = api("").await;
    api.post_once("k", &message("hi")).await;
    let writes = api.bench.writes();
    let reply = api.post_once("k", &message("ho")).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_mismatch"))
    );
    assert_eq!(api.bench.writes(), writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_10_equal_requests_at_once_one_runs() {
    let api = Arc::new(api("").await);
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let api = Arc::clone(&api);
        calls.spawn(async move { api.post_once("k", &message("/slow 300 x")).await });
    }
    let replies = calls.join_all().await;
    let ran = replies.iter().filter(|reply| reply.status == StatusCode::OK).count();
    assert_eq!(ran, 1);
    for reply in replies.iter().filter(|reply| reply.status != StatusCode::OK) {
        assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::CONFLICT, &json!("request_running")));
        assert_eq!(reply.header("retry-after"), "2");
    }
    assert_eq!(api.bench.usage().await.turns, 1);
    assert_eq!(api.post_once("k", &message("/slow 300 x")).await.json()["response"], "You said: /slow 300 x");
}

#[tokio::test]
async fn a_request_that_failed_may_come_again() {
    let api = api("").await;
    for turns in 1..=2 {
        assert_eq!(api.post_once("k", &message("/cut")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(api.bench.usage().await.turns, turns);
    }
    assert_eq!(api.post_once("k", &message("hi")).await.status, StatusCode::OK, "even with another body");
}

#[tokio::test]
async fn a_request_that_was_refused_claims_nothing() {
    let api = api("").await;
    assert_eq!(api.post_once("k", &json!({})).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(api.post_once("k", &message("hi")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_counts_for_its_agent_and_for_a_day() {
    let api = api("").await;
    let first = api.post_once("k", &message("hi")).await;
    let agent = api.bench.agent("", "").await;
    let key = api.bench.key(&agent, Kind::Server).await;
    let path = PATH.replace("{agent}", agent.as_str());
    let other = testkit::with_header(testkit::post(&path, &key, &message("ho")), "idempotency-key", b"k");
    assert_eq!(api.send(other).await.json()["response"], "You said: ho");
    api.bench.wait(Duration::from_secs(86_400 - 60));
    assert_eq!(api.post_once("k", &message("hi")).await.body, first.body);
    api.bench.wait(Duration::from_secs(120));
    let anew = api.post_once("k", &message("hi")).await;
    assert_eq!(anew.status, StatusCode::OK);
    assert_ne!(anew.body, first.body, "another session");
}

#[tokio::test]
async fn a_request_that_waits_for_its_session_runs_once() {
    let api = api("").await;
    let (store, now) = (api.bench.app.store(), api.bench.clock.now_ms());
    let held = SessionItem {
        id: SessionId::from("s"),
        tenant: api.bench.tenant.clone(),
        agent: api.agent.clone(),
        source: "webhook".to_owned(),
        created_at: now,
        expires_at: now + 3_600_000,
        last_turn: 0,
        ended_turn: 0,
        lease_owner: Some("somebody".to_owned()),
        lease_until: Some(now + 3_600_000),
    };
    assert!(matches!(store.lease_session(&held, true, now).await, Ok(LeaseOutcome::Held(_))));
    let body = json!({ "message": "one", "sessionId": "s" });
    let again = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        api.bench.wait(Duration::from_secs(11));
        assert_eq!(api.post_once("k", &body).await.status, StatusCode::CONFLICT);
        store.release_lease(&api.agent, &held.id, "somebody").await.unwrap();
    };
    let (first, ()) = tokio::join!(api.post_once("k", &body), again);
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    assert_eq!(api.bench.usage().await.turns, 1);
}

#[tokio::test]
async fn a_replay_does_not_add_to_its_session() {
    let api = api("").await;
    let body = json!({ "message": "one", "sessionId": "s" });
    for _ in 0..3 {
        assert_eq!(api.post_once("k", &body).await.status, StatusCode::OK);
    }
    let told = api.post(&json!({ "message": "/history", "sessionId": "s" })).await.json()["response"].clone();
    assert_eq!(told, "I was given 3 messages. You said:\n- one\n- /history");
}

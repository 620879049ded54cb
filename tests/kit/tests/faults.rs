//! Whole turns over a table that fails: whatever goes wrong at whichever call, the caller is told the truth, a turn is
//! whole or not there, it is paid for once, and its session is free again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::ops::Range;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::id::{AgentId, SessionId};
use shared::session::{LEASE, PATIENCE};
use shared::store::UsageItem;
use testkit::{Bench, Fault, Faults, Moment, Reply, Strike, post, send};
use tokio::task::JoinSet;
use tokio::time::timeout;

const SESSION: &str = "conversation";
/// How often a turn's last write is called, each time with the SDK's own tries.
const WRITES: usize = 3;
/// For good.
const ALL: usize = usize::MAX;

/// A conversation whose first turn is behind it; the second is under test.
struct Talk {
    bench: Bench,
    faults: Faults,
    router: Router,
    agent: AgentId,
    key: String,
}

impl Talk {
    async fn new() -> Self {
        let (bench, faults) = Bench::with_faults().await;
        let agent = bench.agent("", "Be kind.").await;
        let key = bench.key(&agent, Kind::Server).await;
        let router = bench.router(webhook::routes().merge(chat_completions::routes()));
        let talk = Self { bench, faults, router, agent, key };
        let first = talk.say("one", "first").await;
        assert_eq!(first.status, StatusCode::OK, "{}", first.body);
        // The key's last use is written down again.
        talk.bench.wait(Duration::from_secs(2 * 60 * 60));
        talk.faults.heal();
        talk
    }

    fn request(&self, message: &str, idempotency_key: &str) -> Request<Body> {
        let path = format!("/api/webhook/{}", self.agent);
        let mut request = post(&path, &self.key, &json!({ "message": message, "sessionId": SESSION }));
        request.headers_mut().insert("idempotency-key", idempotency_key.parse().unwrap());
        request
    }

    async fn say(&self, message: &str, idempotency_key: &str) -> Reply {
        send(&self.router, self.request(message, idempotency_key)).await
    }

    async fn records(&self) -> Vec<String> {
        let (store, now) = (self.bench.app.store(), self.bench.clock.now_ms());
        let session = SessionId::from(SESSION);
        let turns = store.last_turns(&self.bench.tenant, &self.agent, &session, 50, now).await.unwrap();
        assert!(turns.iter().zip(1..).all(|(turn, number)| turn.number == number), "numbers without a gap");
        turns.into_iter().map(|turn| turn.record).collect()
    }

    async fn usage(&self) -> UsageItem {
        let month = self.bench.clock.now().strftime("%Y-%m").to_string();
        self.bench.app.store().usage(&self.bench.tenant, &month).await.unwrap()
    }

    /// After the fault: the same request again, which must be answered, from a turn that is stored and paid for once.
    /// `given_up` turns that were not stored are paid for too.
    async fn assert_recovers(&self, given_up: u64, case: &str) {
        self.faults.heal();
        let again = timeout(Duration::from_secs(5), self.say("two", "second")).await;
        let again = again.unwrap_or_else(|_| panic!("{case}: the session stays locked"));
        assert_eq!(again.status, StatusCode::OK, "{case}: {}", again.body);
        assert_eq!(again.json()["response"], "You said: two", "{case}");
        let records = self.records().await;
        assert_eq!(records.len(), 2, "{case}: {records:?}");
        let second: Value = serde_json::from_str(&records[1]).unwrap();
        assert_eq!(second["messages"].as_array().unwrap().len(), 2, "{case}: a whole turn");
        let usage = self.usage().await;
        assert_eq!(usage.turns, 2 + given_up, "{case}: each turn is paid for once");
        assert_eq!(usage.output_tokens, 3 * (2 + given_up), "{case}");
        let third = self.say("three", "third").await;
        assert_eq!(third.json()["response"], "You said: three", "{case}: the session goes on: {}", third.body);
    }
}

/// The reply to a turn that failed for the table's sake.
fn assert_says_to_come_again(reply: &Reply, case: &str) {
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{case}: {}", reply.body);
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{case}");
    assert_eq!(reply.json()["code"], "unavailable", "{case}");
}

/// What may go wrong with a call that the caller gets an answer to.
const WRONG: [(Fault, Moment); 5] = [
    (Fault::InternalError, Moment::Before),
    (Fault::InternalError, Moment::After),
    (Fault::Throttled, Moment::Before),
    (Fault::Reset, Moment::Before),
    (Fault::Reset, Moment::After),
];

/// All calls that the second turn makes when nothing goes wrong.
async fn calls() -> Vec<(String, usize)> {
    let talk = Talk::new().await;
    assert_eq!(talk.say("two", "second").await.status, StatusCode::OK);
    let calls = talk.faults.calls();
    assert_eq!(calls.get("TransactWriteItems"), Some(&1), "the end of a turn is one write");
    calls.into_iter().flat_map(|(name, count)| (0..count).map(move |place| (name.clone(), place))).collect()
}

fn strike(operation: &str, calls: Range<usize>, tries: usize, (fault, moment): (Fault, Moment)) -> Strike {
    Strike { operation: operation.to_owned(), calls, tries, fault, moment }
}

#[tokio::test]
async fn one_failed_call_is_not_felt() {
    for (operation, place) in calls().await {
        for wrong in WRONG {
            let case = format!("{operation} {place}: {wrong:?}");
            let talk = Talk::new().await;
            talk.faults.strike(strike(&operation, place..place + 1, 1, wrong));
            let reply = timeout(Duration::from_secs(5), talk.say("two", "second")).await;
            let reply = reply.unwrap_or_else(|_| panic!("{case}: no answer"));
            assert_eq!(reply.status, StatusCode::OK, "{case}: {}", reply.body);
            assert_eq!(reply.json()["response"], "You said: two", "{case}");
            talk.assert_recovers(0, &case).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_fails_for_good_is_a_503_and_the_same_request_is_answered_afterwards() {
    for (operation, place) in calls().await {
        for wrong in WRONG {
            let case = format!("{operation} {place}: {wrong:?}");
            let talk = Talk::new().await;
            talk.faults.strike(strike(&operation, place..place + 1, ALL, wrong));
            let reply = talk.say("two", "second").await;
            if operation == "TransactWriteItems" {
                assert_eq!(reply.status, StatusCode::OK, "{case}: a turn's end is written with more patience");
            } else {
                assert_says_to_come_again(&reply, &case);
            }
            talk.assert_recovers(0, &case).await;
        }
    }
}

#[tokio::test]
async fn a_turn_that_cannot_be_stored_is_a_503_and_is_paid_for_once() {
    for wrong in WRONG {
        let case = format!("{wrong:?}");
        let talk = Talk::new().await;
        talk.faults.strike(strike("TransactWriteItems", 0..WRITES, ALL, wrong));
        assert_says_to_come_again(&talk.say("two", "second").await, &case);
        let given_up = u64::from(wrong.1 == Moment::Before);
        talk.faults.heal();
        assert_eq!(talk.usage().await.turns, 2, "{case}: it ran, so it is paid for");
        talk.assert_recovers(given_up, &case).await;
    }
}

#[tokio::test]
async fn a_table_that_stays_away_is_a_503_and_the_session_is_free_when_its_lease_is_over() {
    let mut cases = JoinSet::new();
    for operation in ["BatchGetItem", "PutItem", "UpdateItem", "Query", "TransactWriteItems"] {
        for wrong in WRONG {
            cases.spawn(async move {
                let case = format!("{operation}: {wrong:?}");
                let talk = Talk::new().await;
                talk.faults.strike(strike(operation, 0..ALL, ALL, wrong));
                assert_says_to_come_again(&talk.say("two", "second").await, &case);
                talk.bench.wait(LEASE + PATIENCE);
                talk.assert_recovers(0, &case).await;
            });
        }
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_costs_a_lease_and_no_turn() {
    for (operation, place) in calls().await {
        for moment in [Moment::Before, Moment::After] {
            let case = format!("dies at {operation} {place}, {moment:?}");
            let talk = Talk::new().await;
            talk.faults.strike(strike(&operation, place..place + 1, 1, (Fault::Silence, moment)));
            let died = timeout(Duration::from_millis(100), talk.say("two", "second")).await;
            assert!(died.is_err(), "{case}: it waits for an answer that never comes");
            talk.bench.wait(LEASE + PATIENCE);
            talk.assert_recovers(0, &case).await;
        }
    }
}

#[tokio::test]
async fn while_a_dead_processs_claim_stands_its_request_is_told_to_come_again() {
    let talk = Talk::new().await;
    talk.faults.strike(strike("TransactWriteItems", 0..1, 1, (Fault::Silence, Moment::Before)));
    assert!(timeout(Duration::from_millis(100), talk.say("two", "second")).await.is_err());
    talk.faults.heal();
    let early = talk.say("two", "second").await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.body);
    assert_eq!(early.json()["code"], "request_running");
    assert_eq!(early.header("retry-after"), "2");
    talk.bench.wait(LEASE + PATIENCE);
    talk.assert_recovers(0, "afterwards").await;
}

#[tokio::test]
async fn a_stream_whose_turn_cannot_be_stored_ends_with_an_error_and_not_as_if_it_had_succeeded() {
    let talk = Talk::new().await;
    let path = format!("/api/agents/{}/v1/chat/completions", talk.agent);
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "two" }] });
    talk.faults.strike(strike("TransactWriteItems", 0..WRITES, ALL, (Fault::Reset, Moment::Before)));
    let reply = send(&talk.router, post(&path, &talk.key, &body)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let data = reply.data();
    let last: Value = serde_json::from_str(data.last().unwrap()).unwrap();
    assert_eq!(last["error"]["type"], "server_error", "{data:?}");
    assert!(!reply.body.contains("[DONE]") && !reply.body.contains("\"finish_reason\":\"stop\""), "{data:?}");
    talk.faults.heal();
    assert_eq!(talk.usage().await.turns, 2, "it ran, so it is paid for");
}

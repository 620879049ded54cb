//! Whole turns that meet: in one session, under one idempotency key, and with callers who do not wait.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;
use shared::auth::Kind;
use shared::id::{AgentId, SessionId};
use shared::session::{LEASE, Turn};
use testkit::{Bench, Reply, post, send};
use tokio::task::JoinSet;
use tokio::time::timeout;

const SESSION: &str = "conversation";
/// The writes until the first turn is with its model: the tenant, the agent, the key, the rate token and the lease.
const BEFORE_THE_MODEL: u64 = 5;

struct Talk {
    bench: Bench,
    router: Router,
    agent: AgentId,
    key: String,
}

impl Talk {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let agent = bench.agent("", "Be kind.").await;
        let key = bench.key(&agent, Kind::Server).await;
        Self { router: bench.router(webhook::routes()), bench, agent, key }
    }

    fn request(&self, message: &str) -> Request<Body> {
        let path = format!("/api/webhook/{}", self.agent);
        post(&path, &self.key, &json!({ "message": message, "sessionId": SESSION }))
    }

    /// What was said in the session's turns, whose numbers have no gap.
    async fn answers(&self) -> Vec<String> {
        let (store, now) = (self.bench.app.store(), self.bench.clock.now_ms());
        let session = SessionId::from(SESSION);
        let turns = store.last_turns(&self.bench.tenant, &self.agent, &session, 50, now).await.unwrap();
        assert!(turns.iter().zip(1..).all(|(turn, number)| turn.number == number));
        turns.iter().map(|turn| Turn::from_record(&turn.record).unwrap().text()).collect()
    }

    async fn paid_turns(&self) -> u64 {
        self.bench.app.store().usage(&self.bench.tenant, "2026-03").await.unwrap().turns
    }

    /// Sends all at once.
    async fn all(&self, requests: Vec<Request<Body>>) -> Vec<Reply> {
        let mut sent = JoinSet::new();
        for request in requests {
            let router = self.router.clone();
            sent.spawn(async move { send(&router, request).await });
        }
        sent.join_all().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_session_wait_for_each_other_and_each_is_answered_once() {
    let talk = Talk::new().await;
    let replies = talk.all((1..=6).map(|number| talk.request(&number.to_string())).collect()).await;
    for reply in &replies {
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    }
    let mut answers = talk.answers().await;
    answers.sort();
    assert_eq!(answers, [1, 2, 3, 4, 5, 6].map(|number| format!("You said: {number}")));
    assert_eq!(talk.paid_turns().await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_sent_many_times_at_once_runs_once() {
    let talk = Talk::new().await;
    let mut requests: Vec<_> = (0..10).map(|_| talk.request("/slow 100")).collect();
    for request in &mut requests {
        request.headers_mut().insert("idempotency-key", "same".parse().unwrap());
    }
    let replies = talk.all(requests).await;
    let (answered, told_to_wait): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == StatusCode::OK);
    assert!(!answered.is_empty() && answered.iter().all(|reply| reply.body == answered[0].body));
    for reply in told_to_wait {
        assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::CONFLICT, "2"), "{}", reply.body);
    }
    assert_eq!((talk.answers().await.len(), talk.paid_turns().await), (1, 1));
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_the_session_to_the_next() {
    let talk = Talk::new().await;
    let left = timeout(Duration::from_millis(100), send(&talk.router, talk.request("/slow 60000"))).await;
    assert!(left.is_err());
    let next = timeout(Duration::from_secs(3), send(&talk.router, talk.request("hi"))).await.unwrap();
    assert_eq!(next.status, StatusCode::OK, "{}", next.body);
    assert_eq!(talk.answers().await, ["You said: hi"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_whose_lease_went_to_another_is_paid_for_and_not_stored() {
    let talk = Talk::new().await;
    let (router, request) = (talk.router.clone(), talk.request("/slow 1000"));
    let mut frozen = JoinSet::new();
    frozen.spawn(async move { send(&router, request).await });
    while talk.bench.writes() < BEFORE_THE_MODEL {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    talk.bench.wait(LEASE);
    let other = send(&talk.router, talk.request("hi")).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.body);
    let late = frozen.join_next().await.unwrap().unwrap();
    assert_eq!((late.status, late.json()["code"].as_str()), (StatusCode::INTERNAL_SERVER_ERROR, Some("agent_error")));
    assert_eq!(talk.answers().await, ["You said: hi"]);
    assert_eq!(talk.paid_turns().await, 2);
}

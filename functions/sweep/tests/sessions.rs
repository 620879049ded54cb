//! Sessions of apps whose time is over, over the embedded table and a clock that stands still.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use shared::app::App;
use shared::clock::millis;
use shared::dialect::app::ExecuteResponse;
use shared::dialect::{self, Dialect};
use shared::http::{Cors, Exchange, Request, StatusCode};
use shared::id::{SessionId, WebhookId};
use shared::session::app::{IDLE, LONGEST};
use shared::store::{AppLease, AppSessionItem, EndReason, Receiver, Webhook};
use shared::{project, turn};
use testkit::{AppApi, Bench, Fault, Faults, Moment, Strike};

const MINUTE: Duration = Duration::from_secs(60);

async fn execute(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response {
    let mut exchange = Exchange::read(Dialect::App, "sweep", Cors::None, request).await.unwrap();
    let (_, events) = project::execute(&app, &mut exchange, &id).await.unwrap();
    let answer = turn::last(events).await.unwrap();
    dialect::json(StatusCode::OK, &ExecuteResponse::from(*answer))
}

/// An app that somebody is told of, and a table that fails when it is told to.
async fn api() -> (AppApi, Faults) {
    let (bench, faults) = Bench::with_faults().await;
    let routes = Router::new().route("/v1/apps/{app_id}/execute", post(execute));
    let api = AppApi::new(bench, routes, &[("clerk", "", "You repeat what is said.")]).await;
    let url = "https://receiver.example/events".to_owned();
    let receiver = Receiver { url, events: vec!["session.ended".to_owned()], disabled: None };
    let webhook =
        Webhook { receiver: Some(receiver), ..Webhook::sender(String::new(), None, api.bench.clock.now_ms()) };
    let (tenant, app) = (&api.project.tenant, &api.project.id);
    assert!(api.bench.app.store().put_webhook(tenant, app, &WebhookId::generate(), &webhook).await.unwrap());
    (api, faults)
}

async fn begun(api: &AppApi) -> String {
    let reply = api.post("execute", &json!({ "message": "hello" })).await;
    reply.json()["session_id"].as_str().unwrap().to_owned()
}

async fn goes_on(api: &AppApi, session: &str) {
    let reply = api.post("execute", &json!({ "message": "and on", "session_id": session })).await;
    assert!(reply.status.is_success(), "{}", reply.body);
}

async fn stored(api: &AppApi, session: &str) -> AppSessionItem {
    api.session(session).await.unwrap()
}

async fn sweep(api: &AppApi) {
    assert!(sweep::sweep(&api.bench.app).await.is_ok());
}

/// The sessions whose end is told of, each as often as it is; nobody takes what is told out of the table.
async fn told(api: &AppApi) -> Vec<String> {
    let store = api.bench.app.store();
    let mut told = Vec::new();
    for waiting in store.waiting_outboxes(api.bench.clock.now_ms() + millis(LONGEST), 100).await.unwrap() {
        for event in store.outbox(&waiting.id).await.unwrap().unwrap().events {
            let body: Value = serde_json::from_str(&event.body).unwrap();
            assert_eq!((&body["event"], &body["data"]["reason"]), (&json!("session.ended"), &json!("expired")));
            told.push(body["data"]["session_id"].as_str().unwrap().to_owned());
        }
    }
    told
}

async fn rings(api: &AppApi) -> usize {
    api.bench.app.store().ringing(api.bench.clock.now_ms(), 100).await.unwrap().len()
}

#[tokio::test]
async fn a_session_whose_time_is_over_ends_and_says_so_once() {
    let (api, _) = api().await;
    let session = begun(&api).await;
    api.bench.wait(IDLE - Duration::from_millis(1));
    sweep(&api).await;
    assert_eq!((stored(&api, &session).await.end, told(&api).await.len()), (None, 0));
    api.bench.wait(MINUTE);
    sweep(&api).await;
    let ended = stored(&api, &session).await;
    let end = ended.end.unwrap();
    assert_eq!((end.reason, end.at), (EndReason::Expired, ended.ends_at));
    for _ in 0..3 {
        api.bench.wait(MINUTE);
        sweep(&api).await;
    }
    assert_eq!(told(&api).await, [session]);
}

#[tokio::test]
async fn of_two_sweeps_at_once_one_tells() {
    let (api, _) = api().await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(begun(&api).await);
    }
    api.bench.wait(IDLE);
    let (one, other) = tokio::join!(sweep::sweep(&api.bench.app), sweep::sweep(&api.bench.app));
    assert!(one.is_ok() && other.is_ok());
    let mut told = told(&api).await;
    told.sort_unstable();
    sessions.sort_unstable();
    assert_eq!(told, sessions);
}

#[tokio::test]
async fn a_session_that_went_on_has_its_alarm_moved() {
    let (api, _) = api().await;
    let session = begun(&api).await;
    api.bench.wait(IDLE / 2);
    goes_on(&api, &session).await;
    api.bench.wait(IDLE / 2);
    assert_eq!(rings(&api).await, 1);
    sweep(&api).await;
    assert_eq!((stored(&api, &session).await.end, rings(&api).await), (None, 0));
    api.bench.wait(IDLE / 2);
    sweep(&api).await;
    assert_eq!(stored(&api, &session).await.end.map(|end| end.reason), Some(EndReason::Expired));
    assert_eq!(told(&api).await, [session]);
}

#[tokio::test]
async fn a_session_that_always_goes_on_ends_after_a_day() {
    let (api, _) = api().await;
    let session = begun(&api).await;
    let mut left = LONGEST;
    while left > IDLE / 2 {
        api.bench.wait(IDLE / 2);
        left -= IDLE / 2;
        goes_on(&api, &session).await;
        sweep(&api).await;
    }
    assert_eq!(told(&api).await.len(), 0);
    api.bench.wait(left);
    sweep(&api).await;
    assert_eq!(told(&api).await, [session]);
}

#[tokio::test]
async fn a_turn_that_runs_keeps_its_session() {
    let (api, _) = api().await;
    let session = SessionId::from(begun(&api).await);
    let (store, clock) = (api.bench.app.store(), &api.bench.clock);
    let (tenant, app) = (&api.project.tenant, &api.project.id);
    api.bench.wait(IDLE - Duration::from_secs(1));
    let hold = ("trace_that_runs", clock.now_ms() + 9_000);
    let leased = store.lease_app_session(tenant, (app, &session), hold, clock.now_ms()).await.unwrap();
    assert!(matches!(leased, AppLease::Held(_)));
    api.bench.wait(Duration::from_secs(2));
    sweep(&api).await;
    assert_eq!((stored(&api, session.as_str()).await.end, told(&api).await.len()), (None, 0));
    api.bench.wait(MINUTE);
    sweep(&api).await;
    assert_eq!(told(&api).await, [session.to_string()]);
}

#[tokio::test]
async fn an_end_whose_reply_is_lost_is_told_once() {
    for tries in [1, usize::MAX] {
        let (api, faults) = api().await;
        let session = begun(&api).await;
        api.bench.wait(IDLE);
        let operation = "TransactWriteItems".to_owned();
        faults.strike(Strike { operation, calls: 0..1, tries, fault: Fault::Reset, moment: Moment::After });
        assert_eq!(sweep::sweep(&api.bench.app).await.is_ok(), tries == 1);
        faults.heal();
        sweep(&api).await;
        assert_eq!(told(&api).await, [session]);
    }
}

#[tokio::test]
async fn an_end_that_fails_is_in_nobodys_way_and_comes_later() {
    let (api, faults) = api().await;
    let session = begun(&api).await;
    api.bench.wait(IDLE);
    let operation = "TransactWriteItems".to_owned();
    faults.strike(Strike { operation, calls: 0..1, tries: usize::MAX, fault: Fault::Reset, moment: Moment::Before });
    assert!(sweep::sweep(&api.bench.app).await.is_err());
    faults.heal();
    assert_eq!((rings(&api).await, told(&api).await.len()), (0, 0));
    api.bench.wait(MINUTE * 10);
    sweep(&api).await;
    assert_eq!((rings(&api).await, told(&api).await), (0, vec![session]));
}

#[tokio::test]
async fn a_project_that_is_gone_leaves_no_alarm() {
    let (api, _) = api().await;
    begun(&api).await;
    api.bench.wait(IDLE);
    assert!(api.bench.app.store().delete_project(&api.project.tenant, &api.project.id).await.unwrap());
    sweep(&api).await;
    assert_eq!((rings(&api).await, told(&api).await.len()), (0, 0));
}

//! Projects, their sessions and alarms, traces and usage.

use serde_json::json;
use shared::id::{AgentId, Home, ProjectId, SessionId, TenantId, TraceId};
use shared::session::{Facts, app};
use shared::store::{
    AppCommit, AppLease, AppSessionItem, AppUsageItem, EndReason, IdempotencyItem, IdempotencyState, ProjectAgent,
    ProjectItem, SessionEnd, Store, TurnAbort, TurnCommit, TurnItem, UsageItem,
};

use crate::table::Table;
use crate::{HOLD, MONTH, NOW, webhook};

fn project() -> ProjectItem {
    let agent = ProjectAgent { id: AgentId::generate(), name: "support".to_owned(), description: String::new() };
    ProjectItem {
        id: ProjectId::generate(),
        tenant: TenantId::generate(),
        name: "shop".to_owned(),
        version: 1,
        agents: vec![agent],
        pause_on_escalation: false,
        source: "---".to_owned(),
        updated_at: NOW,
        webhooks: std::collections::BTreeMap::new(),
    }
}

fn session(project: &ProjectItem) -> AppSessionItem {
    let facts = Facts::new(Some("u".to_owned()), json!({ "a": 1 }).as_object().cloned()).unwrap();
    facts.begin(&project.tenant, (&project.id, &project.agents[0].id), SessionId::generate(), NOW).unwrap()
}

fn turn(session: &AppSessionItem, number: u64, now: i64) -> TurnItem {
    TurnItem {
        session: session.id.clone(),
        tenant: session.tenant.clone(),
        agent: session.agent.clone(),
        app: Some(session.app.clone()),
        number,
        trace: TraceId::generate(),
        started_at: now,
        ended_at: now + 5,
        expires_at: now + 60_000,
        source: "app".to_owned(),
        record: format!("turn {number}"),
    }
}

fn used(session: &AppSessionItem, day: &str, tokens: u64) -> AppUsageItem {
    AppUsageItem {
        tenant: session.tenant.clone(),
        day: day.to_owned(),
        agent: session.agent.clone(),
        agent_name: "support".to_owned(),
        model: "demo/echo".to_owned(),
        input_tokens: tokens,
        output_tokens: 1,
        turns: 1,
        cost_micros: 7,
        expires_at: NOW + 60_000,
    }
}

fn commit<'a>(turn: &'a TurnItem, owner: Option<&'a str>, app: AppCommit<'a>) -> TurnCommit<'a> {
    let usage = (MONTH, UsageItem::default());
    TurnCommit { turn, lease_owner: owner, usage, claim: None, key_used: None, outbox: None, app: Some(app) }
}

async fn lease(store: &Store, session: &AppSessionItem, owner: &str, now: i64) -> AppLease {
    let of = (&session.app, &session.id);
    store.lease_app_session(&session.tenant, of, (owner, now + HOLD), now).await.unwrap()
}

async fn stored(store: &Store, session: &AppSessionItem) -> Option<AppSessionItem> {
    store.app_session(&session.tenant, &session.app, &session.id, NOW).await.unwrap()
}

#[tokio::test]
async fn versions_of_a_project_follow_one_another_and_its_receivers_survive_them() {
    let store = Table::new().await;
    let first = project();
    assert!(store.put_project(&first).await.unwrap());
    assert!(!store.put_project(&first).await.unwrap(), "another was first");
    let (id, receiver) = webhook();
    assert!(store.put_webhook(&first.tenant, &first.id, &id, &receiver).await.unwrap());
    let second = ProjectItem { version: 2, name: "store".to_owned(), ..first.clone() };
    assert!(store.put_project(&second).await.unwrap());
    let found = store.project(&first.tenant, &first.id).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.webhooks.len()), ("store", 1));
    assert_eq!(store.webhooks(&first.tenant, &Home::from(&first.id)).await.unwrap().len(), 1);
    let other = TenantId::generate();
    assert_eq!(store.project(&other, &first.id).await.unwrap(), None);
    assert!(!store.put_webhook(&other, &first.id, &id, &receiver).await.unwrap());
    assert!(!store.delete_project(&other, &first.id).await.unwrap());
    assert!(store.delete_project(&first.tenant, &first.id).await.unwrap());
    assert!(!store.put_webhook(&first.tenant, &first.id, &id, &receiver).await.unwrap(), "it is gone");
}

#[tokio::test]
async fn a_session_begins_once_for_a_request_that_comes_again() {
    let store = Table::new().await;
    let (first, second) = (session(&project()), session(&project()));
    let answer = |session: &AppSessionItem| IdempotencyItem {
        tenant: session.tenant.clone(),
        body_hash: "body".to_owned(),
        lapses_at: NOW + HOLD,
        owner: session.id.to_string(),
        state: IdempotencyState::Answered { session: session.id.clone(), turn: 0 },
    };
    assert!(store.begin_app_session(&first, Some(("hash", &answer(&first))), None).await.unwrap());
    assert!(!store.begin_app_session(&second, Some(("hash", &answer(&second))), None).await.unwrap());
    assert_eq!(stored(&store, &first).await, Some(first));
    assert_eq!(stored(&store, &second).await, None);
}

#[tokio::test]
async fn of_many_who_want_a_session_one_holds_it_and_its_turn_moves_it_on() {
    let store = Table::new().await;
    let begun = session(&project());
    assert!(store.begin_app_session(&begun, None, None).await.unwrap());
    let AppLease::Held(held) = lease(&store, &begun, "one", NOW).await else { panic!("it is free") };
    assert_eq!(held.metadata, begun.metadata);
    assert_eq!(lease(&store, &begun, "two", NOW).await, AppLease::Busy);
    assert!(matches!(lease(&store, &begun, "one", NOW).await, AppLease::Held(_)), "its own again");
    let after =
        AppSessionItem { last_turn: 1, agent: AgentId::from("ag_next"), metadata: "{}".into(), ..begun.clone() };
    let turn = turn(&after, 1, NOW);
    let usage = [used(&after, "2100-01-01", 10), used(&after, "2100-01-02", 20)];
    let app = AppCommit { session: &after, usage: &usage };
    assert!(!store.commit_turn(&commit(&turn, Some("two"), app)).await.unwrap(), "not the lease's owner");
    assert!(store.commit_turn(&commit(&turn, Some("one"), app)).await.unwrap());
    assert_eq!(stored(&store, &begun).await, Some(after.clone()));
    let traced = store.traced_turn(&after.tenant, &after.app, &turn.trace, NOW).await.unwrap();
    assert_eq!(traced, Some(turn.clone()));
    assert_eq!(store.traced_turn(&after.tenant, &ProjectId::generate(), &turn.trace, NOW).await.unwrap(), None);
    assert_eq!(store.traced_turn(&TenantId::generate(), &after.app, &turn.trace, NOW).await.unwrap(), None);
    let days = |from, to| store.app_usage(&after.tenant, &after.app, (from, to));
    assert_eq!(days("2100-01-01", "2100-01-01").await.unwrap().len(), 1);
    let both = days("2100-01-01", "2100-01-31").await.unwrap();
    assert_eq!(both.iter().map(|used| used.input_tokens).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(days("2100-01-03", "2100-01-31").await.unwrap(), []);
    assert!(
        store.put_project(&ProjectItem { id: after.app.clone(), ..project() }).await.unwrap(),
        "usage is not in its way"
    );
}

#[tokio::test]
async fn a_session_that_begins_with_its_turn_has_an_alarm_too_and_a_failed_turn_is_paid_for_alone() {
    let store = Table::new().await;
    let drafted = session(&project());
    let trace = TraceId::generate();
    let abort = TurnAbort {
        trace: &trace,
        tenant: &drafted.tenant,
        home: Home::from(&drafted.app),
        session: &drafted.id,
        number: 1,
        usage: (MONTH, UsageItem { input_tokens: 3, ..UsageItem::default() }),
        lease_owner: None,
        claim: None,
        outbox: None,
        app_usage: &[used(&drafted, "2100-01-01", 3)],
    };
    store.abort_turn(&abort).await.unwrap();
    assert_eq!(stored(&store, &drafted).await, None);
    assert_eq!(store.app_usage(&drafted.tenant, &drafted.app, ("2100-01-01", "2100-01-01")).await.unwrap().len(), 1);
    let after = AppSessionItem { last_turn: 1, ..drafted.clone() };
    let turn = turn(&after, 1, NOW);
    assert!(store.commit_turn(&commit(&turn, None, AppCommit { session: &after, usage: &[] })).await.unwrap());
    let alarms = store.ringing(after.ends_at, 10).await.unwrap();
    assert!(alarms.iter().any(|alarm| alarm.session == after.id), "{alarms:?}");
}

#[tokio::test]
async fn an_alarm_rings_in_its_time_is_moved_and_ends_with_its_session() {
    let store = Table::new().await;
    let begun = session(&project());
    assert!(store.begin_app_session(&begun, None, None).await.unwrap());
    let ours = |now: i64| {
        let (store, id) = (&store, &begun.id);
        async move {
            let ringing = store.ringing(now, 100).await.unwrap();
            ringing.into_iter().find(|alarm| alarm.session == *id)
        }
    };
    assert_eq!(ours(begun.ends_at - 1).await, None);
    let alarm = ours(begun.ends_at).await.unwrap();
    store.move_alarm(&alarm, begun.ends_at + 1_000).await.unwrap();
    assert_eq!(ours(begun.ends_at).await, None);
    let moved = ours(begun.ends_at + 1_000).await.unwrap();
    store.move_alarm(&alarm, NOW).await.unwrap();
    assert_eq!(ours(begun.ends_at + 1_000).await, Some(moved), "it was moved before");
    let end = SessionEnd { at: NOW + 7, reason: EndReason::UserEnded };
    assert!(store.end_app_session(&begun, &end, None, NOW).await.unwrap());
    assert!(!store.end_app_session(&begun, &end, None, NOW).await.unwrap(), "it has ended");
    assert_eq!(ours(begun.ends_at + 1_000).await, None);
    assert_eq!(stored(&store, &begun).await.unwrap().end, Some(end));
    assert!(matches!(lease(&store, &begun, "late", NOW).await, AppLease::Over(_)));
}

#[tokio::test]
async fn a_session_is_not_ended_under_a_turn_nor_after_one_that_was_not_seen() {
    let store = Table::new().await;
    let begun = session(&project());
    assert!(store.begin_app_session(&begun, None, None).await.unwrap());
    let end = SessionEnd { at: NOW, reason: EndReason::UserEnded };
    assert!(matches!(lease(&store, &begun, "one", NOW).await, AppLease::Held(_)));
    assert!(!store.end_app_session(&begun, &end, None, NOW).await.unwrap(), "a turn runs");
    let after = AppSessionItem { last_turn: 1, ..begun.clone() };
    let turn = turn(&after, 1, NOW);
    assert!(store.commit_turn(&commit(&turn, Some("one"), AppCommit { session: &after, usage: &[] })).await.unwrap());
    assert!(!store.end_app_session(&begun, &end, None, NOW).await.unwrap(), "it went on");
    assert!(store.end_app_session(&after, &end, None, NOW).await.unwrap());
}

#[tokio::test]
async fn a_session_of_another_tenant_or_app_is_missing_and_one_in_time_over() {
    let store = Table::new().await;
    let begun = session(&project());
    assert!(store.begin_app_session(&begun, None, None).await.unwrap());
    let theirs = AppSessionItem { tenant: TenantId::generate(), ..begun.clone() };
    assert_eq!(lease(&store, &theirs, "x", NOW).await, AppLease::Missing);
    let elsewhere = AppSessionItem { app: ProjectId::generate(), ..begun.clone() };
    assert_eq!(lease(&store, &elsewhere, "x", NOW).await, AppLease::Missing);
    assert_eq!(stored(&store, &theirs).await, None);
    assert!(matches!(lease(&store, &begun, "x", app::ends_at(NOW, NOW)).await, AppLease::Over(_)));
}

#[tokio::test]
async fn the_secrets_of_an_apps_receivers_are_sealed_anew_with_the_others() {
    let store = Table::new().await;
    let project = project();
    assert!(store.put_project(&project).await.unwrap());
    let (id, receiver) = webhook();
    assert!(store.put_webhook(&project.tenant, &project.id, &id, &receiver).await.unwrap());
    let texts = store.sealed_texts().await.unwrap();
    let text = texts.iter().find(|text| text.tenant == project.tenant).unwrap();
    assert_eq!((&text.purpose, text.sealed.as_str()), (&receiver.purpose(id.as_str()), "sealed"));
    assert!(store.put_resealed(text, "anew").await.unwrap());
    let found = store.webhooks(&project.tenant, &Home::from(&project.id)).await.unwrap();
    assert_eq!(found[id.as_str()].sealed_secret.as_deref(), Some("anew"));
}

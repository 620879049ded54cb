//! The end of a turn: everything or nothing, once.

use serde_json::json;
use shared::id::{Home, TraceId};
use shared::store::{
    Claim, GateRequest, IdempotencyItem, IdempotencyState, LeaseOutcome, Store, StoreError, TurnAbort, TurnCommit,
    TurnItem, UsageItem,
};

use super::{HOLD, KEPT, MONTH, NOW, Table, Talk, key};

const USED: UsageItem = UsageItem { input_tokens: 3, output_tokens: 5, turns: 1, cost_micros: 7 };
const DAY: i64 = 86_400_000;

fn commit<'a>(turn: &'a TurnItem, lease_owner: Option<&'a str>) -> TurnCommit<'a> {
    TurnCommit { turn, lease_owner, usage: (MONTH, USED), claim: None, key_used: None, outbox: None, app: None }
}

fn abort<'a>(talk: &'a Talk, trace: &'a TraceId, number: u64) -> TurnAbort<'a> {
    TurnAbort {
        trace,
        tenant: &talk.tenant,
        home: Home::from(&talk.agent),
        session: &talk.session,
        number,
        usage: (MONTH, USED),
        lease_owner: None,
        claim: None,
        outbox: None,
        app_usage: &[],
    }
}

async fn claimed(store: &Store, talk: &Talk, owner: &str) {
    let item = IdempotencyItem {
        tenant: talk.tenant.clone(),
        body_hash: "body".to_owned(),
        lapses_at: NOW + HOLD,
        owner: owner.to_owned(),
        state: IdempotencyState::Running,
    };
    assert_eq!(store.claim("hash", &item, NOW).await.unwrap(), Claim::Claimed);
}

async fn claim(store: &Store) -> Option<IdempotencyItem> {
    let request = GateRequest { idempotency: Some("hash".to_owned()), ..GateRequest::default() };
    store.read_gate(&request).await.unwrap().idempotency
}

/// Nothing of a turn was written: no record, no usage, no answer, no last use.
async fn assert_nothing_written(store: &Store, talk: &Talk) {
    assert!(talk.records(store, 50, NOW).await.is_empty());
    assert_eq!(store.usage(&talk.tenant, MONTH).await.unwrap(), UsageItem::default());
    assert!(claim(store).await.is_none_or(|claim| claim.state == IdempotencyState::Running));
    let keys = store.keys(&talk.tenant, &talk.agent).await.unwrap();
    assert!(keys.iter().all(|key| key.last_used_at.is_none()));
}

#[tokio::test]
async fn a_commit_stores_the_turn_pays_answers_the_claim_and_frees_the_session() {
    let store = Table::new().await;
    let talk = Talk::new();
    let door = key(&talk.tenant, &talk.agent);
    store.put_key(&door).await.unwrap();
    talk.lease(&store, "owner", NOW).await;
    claimed(&store, &talk, "owner").await;
    let turn = talk.turn(1, NOW);
    let whole = TurnCommit {
        claim: Some(("hash", "owner", NOW + DAY)),
        key_used: Some((&door.hash, NOW)),
        ..commit(&turn, Some("owner"))
    };
    assert!(store.commit_turn(&whole).await.unwrap());
    assert!(store.commit_turn(&whole).await.unwrap(), "the answer to the first try may have been lost");

    let stored = store.turn(&talk.tenant, &talk.agent, &talk.session, 1, NOW).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&turn));
    assert_eq!(store.usage(&talk.tenant, MONTH).await.unwrap(), USED, "it counts once");
    let answered = claim(&store).await.unwrap();
    assert_eq!(answered.state, IdempotencyState::Answered { session: talk.session.clone(), turn: 1 });
    assert_eq!(answered.lapses_at, NOW + DAY);
    assert_eq!(store.keys(&talk.tenant, &talk.agent).await.unwrap()[0].last_used_at, Some(NOW));
    let LeaseOutcome::Held(session) = talk.lease(&store, "next", NOW).await else { panic!("the session is free") };
    assert_eq!(session.last_turn, 1);
}

#[tokio::test]
async fn a_turn_that_lost_its_lease_writes_nothing() {
    let store = Table::new().await;
    let talk = Talk::new();
    let turn = talk.turn(1, NOW);
    assert!(!store.commit_turn(&commit(&turn, Some("owner"))).await.unwrap(), "there is no session");
    talk.lease(&store, "owner", NOW).await;
    talk.lease(&store, "other", NOW + HOLD).await;
    assert!(!store.commit_turn(&commit(&turn, Some("owner"))).await.unwrap());
    assert_nothing_written(&store, &talk).await;
    assert_eq!(talk.lease(&store, "third", NOW + HOLD).await, LeaseOutcome::Busy(NOW + 2 * HOLD), "the other has it");
}

#[tokio::test]
async fn a_turn_that_lost_its_claim_or_its_number_writes_nothing() {
    let store = Table::new().await;
    let talk = Talk::new();
    store.put_key(&key(&talk.tenant, &talk.agent)).await.unwrap();
    talk.lease(&store, "owner", NOW).await;
    claimed(&store, &talk, "other").await;
    let turn = talk.turn(1, NOW);
    let claiming = TurnCommit { claim: Some(("hash", "owner", NOW + DAY)), ..commit(&turn, Some("owner")) };
    assert!(!store.commit_turn(&claiming).await.unwrap());
    let second = talk.turn(2, NOW);
    assert!(!store.commit_turn(&commit(&second, Some("owner"))).await.unwrap(), "the session is at turn 0");
    let keyless = TurnCommit { key_used: Some(("no such key", NOW)), ..commit(&turn, Some("owner")) };
    assert!(!store.commit_turn(&keyless).await.unwrap());
    assert_nothing_written(&store, &talk).await;
    assert_eq!(talk.lease(&store, "third", NOW).await, LeaseOutcome::Busy(NOW + HOLD), "it is still leased");
}

#[tokio::test]
async fn a_session_that_begins_with_its_turn_begins_once() {
    let store = Table::new().await;
    let talk = Talk::new();
    let (turn, rival) = (talk.turn(1, NOW), talk.turn(1, NOW));
    assert!(store.commit_turn(&commit(&turn, None)).await.unwrap());
    assert!(!store.commit_turn(&commit(&rival, None)).await.unwrap());
    assert_eq!(store.usage(&talk.tenant, MONTH).await.unwrap(), USED);
    let held = store.lease_session(&talk.wanted("next", NOW), false, NOW).await.unwrap();
    assert!(matches!(held, LeaseOutcome::Held(session) if session.last_turn == 1 && session.created_at == NOW));
}

#[tokio::test]
async fn a_session_that_is_over_begins_anew_without_its_past() {
    let store = Table::new().await;
    let talk = Talk::new();
    assert!(store.commit_turn(&commit(&talk.turn(1, NOW), None)).await.unwrap());
    let over = NOW + KEPT;
    assert!(matches!(talk.lease(&store, "owner", over).await, LeaseOutcome::Held(session) if session.last_turn == 1));
    assert!(store.commit_turn(&commit(&talk.turn(2, over), Some("owner"))).await.unwrap());
    assert_eq!(talk.records(&store, 50, over).await, ["turn 2"]);
}

#[tokio::test]
async fn turns_that_outlive_their_deleted_session_do_not_stand_in_the_way_of_a_new_one() {
    let store = Table::new().await;
    let talk = Talk::new();
    assert!(store.commit_turn(&commit(&talk.turn(1, NOW), None)).await.unwrap());
    let partition = format!("SESSION#{}#{}", talk.agent, talk.session);
    store.call("DeleteItem", json!({ "Key": { "pk": { "S": partition }, "sk": { "S": "SESSION" } } })).await;

    talk.lease(&store, "owner", NOW + 1).await;
    let early = talk.turn(1, NOW + KEPT - 1);
    assert!(!store.commit_turn(&commit(&early, Some("owner"))).await.unwrap(), "the old turn is not over");
    let next = TurnItem { record: "anew".to_owned(), ..talk.turn(1, NOW + KEPT) };
    assert!(store.commit_turn(&commit(&next, Some("owner"))).await.unwrap());
    assert_eq!(talk.records(&store, 50, NOW + KEPT).await, ["anew"]);
}

#[tokio::test]
async fn a_turn_that_was_given_up_is_paid_for_once_and_lets_go_of_what_it_held() {
    let store = Table::new().await;
    let talk = Talk::new();
    talk.lease(&store, "owner", NOW).await;
    claimed(&store, &talk, "owner").await;
    let trace = TraceId::generate();
    let given_up = TurnAbort { lease_owner: Some("owner"), claim: Some(("hash", "owner")), ..abort(&talk, &trace, 1) };
    for _ in 0..2 {
        store.abort_turn(&given_up).await.unwrap();
        assert_eq!(store.usage(&talk.tenant, MONTH).await.unwrap(), USED);
    }
    assert_eq!(claim(&store).await, None);
    assert!(matches!(talk.lease(&store, "next", NOW).await, LeaseOutcome::Held(session) if session.last_turn == 0));
    assert!(talk.records(&store, 50, NOW).await.is_empty());
}

#[tokio::test]
async fn a_turn_that_cost_nothing_leaves_no_usage() {
    let store = Table::new().await;
    let talk = Talk::new();
    let trace = TraceId::generate();
    store.abort_turn(&TurnAbort { usage: (MONTH, UsageItem::default()), ..abort(&talk, &trace, 1) }).await.unwrap();
    let request = GateRequest { tenant: Some((talk.tenant.clone(), MONTH.to_owned())), ..GateRequest::default() };
    assert_eq!(store.read_gate(&request).await.unwrap().usage, None);
}

#[tokio::test]
async fn a_turn_that_was_stored_after_all_is_not_paid_for_again_when_it_is_given_up() {
    let store = Table::new().await;
    let talk = Talk::new();
    let turn = talk.turn(1, NOW);
    assert!(store.commit_turn(&commit(&turn, None)).await.unwrap());
    store.abort_turn(&abort(&talk, &turn.trace, 1)).await.unwrap();
    assert_eq!(store.usage(&talk.tenant, MONTH).await.unwrap(), USED);
    let loser = TraceId::generate();
    store.abort_turn(&abort(&talk, &loser, 1)).await.unwrap();
    let twice = UsageItem { input_tokens: 6, output_tokens: 10, turns: 2, cost_micros: 14 };
    assert_eq!(store.usage(&talk.tenant, MONTH).await.unwrap(), twice, "the one that lost the number pays for itself");
}

#[tokio::test]
async fn a_record_that_is_larger_than_an_item_is_refused_and_nothing_is_written() {
    let store = Table::new().await;
    let talk = Talk::new();
    let turn = TurnItem { record: "x".repeat(410 * 1024), ..talk.turn(1, NOW) };
    assert!(matches!(store.commit_turn(&commit(&turn, None)).await, Err(StoreError::Refused(_))));
    assert_nothing_written(&store, &talk).await;
    assert_eq!(
        store.lease_session(&talk.wanted("a", NOW), false, NOW).await.unwrap(),
        LeaseOutcome::Missing,
        "no session began"
    );
}

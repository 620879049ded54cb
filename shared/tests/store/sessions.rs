//! Leases, and reading turns.

use shared::id::TenantId;
use shared::store::{LeaseOutcome, SessionItem, TurnCommit, UsageItem};
use tokio::task::JoinSet;

use super::{HOLD, KEPT, MONTH, NOW, Table, Talk};

#[tokio::test]
async fn of_many_who_want_a_session_one_holds_it() {
    let store = Table::racing().await;
    let talk = Talk::new();
    let mut wishes = JoinSet::new();
    for owner in 0..8 {
        let (store, wanted) = (store.clone(), talk.wanted(&owner.to_string(), NOW));
        wishes.spawn(async move { store.lease_session(&wanted, true, NOW).await.unwrap() });
    }
    let outcomes = wishes.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, LeaseOutcome::Held(_))).count(), 1);
    let busy = outcomes.iter().filter(|outcome| **outcome == LeaseOutcome::Busy(NOW + HOLD)).count();
    assert_eq!(busy, 7);
}

#[tokio::test]
async fn a_lease_is_busy_until_it_is_over_and_is_lost_once_another_took_it() {
    let store = Table::new().await;
    let talk = Talk::new();
    assert_eq!(talk.lease(&store, "first", NOW).await, LeaseOutcome::Held(talk.wanted("first", NOW)));
    assert_eq!(
        talk.lease(&store, "first", NOW).await,
        LeaseOutcome::Held(talk.wanted("first", NOW)),
        "the answer to the first call may have been lost"
    );
    assert!(store.renew_lease(&talk.agent, &talk.session, "first", NOW + 2 * HOLD).await.unwrap());
    assert_eq!(talk.lease(&store, "second", NOW + HOLD).await, LeaseOutcome::Busy(NOW + 2 * HOLD));

    let later = NOW + 2 * HOLD;
    let LeaseOutcome::Held(session) = talk.lease(&store, "second", later).await else { panic!("the lease is over") };
    assert_eq!((session.lease_owner.as_deref(), session.created_at), (Some("second"), NOW));
    assert!(!store.renew_lease(&talk.agent, &talk.session, "first", later + HOLD).await.unwrap());
    store.release_lease(&talk.agent, &talk.session, "first").await.unwrap();
    assert_eq!(talk.lease(&store, "third", later).await, LeaseOutcome::Busy(later + HOLD), "the second holds it");
    store.release_lease(&talk.agent, &talk.session, "second").await.unwrap();
    assert!(matches!(talk.lease(&store, "third", later).await, LeaseOutcome::Held(_)));
}

#[tokio::test]
async fn a_session_that_is_missing_or_over_is_leased_only_to_begin_anew() {
    let store = Table::new().await;
    let talk = Talk::new();
    assert_eq!(store.lease_session(&talk.wanted("a", NOW), false, NOW).await.unwrap(), LeaseOutcome::Missing);
    assert!(matches!(talk.lease(&store, "a", NOW).await, LeaseOutcome::Held(_)));
    store.release_lease(&talk.agent, &talk.session, "a").await.unwrap();
    let held = store.lease_session(&talk.wanted("b", NOW + 1), false, NOW + 1).await.unwrap();
    assert!(matches!(held, LeaseOutcome::Held(_)));

    let over = NOW + 1 + KEPT;
    assert_eq!(store.lease_session(&talk.wanted("c", over), false, over).await.unwrap(), LeaseOutcome::Missing);
    assert!(matches!(talk.lease(&store, "c", over).await, LeaseOutcome::Held(_)));
}

#[tokio::test]
async fn a_session_of_another_tenant_is_missing() {
    let store = Table::new().await;
    let talk = Talk::new();
    assert!(matches!(talk.lease(&store, "theirs", NOW).await, LeaseOutcome::Held(_)));
    for create in [true, false] {
        let wanted = SessionItem { tenant: TenantId::generate(), ..talk.wanted("ours", NOW) };
        for now in [NOW, NOW + HOLD, NOW + KEPT] {
            assert_eq!(store.lease_session(&wanted, create, now).await.unwrap(), LeaseOutcome::Missing);
        }
    }
    assert_eq!(talk.lease(&store, "theirs again", NOW).await, LeaseOutcome::Busy(NOW + HOLD));
}

#[tokio::test]
async fn the_last_turns_come_in_order_and_neither_from_other_tenants_nor_from_the_past() {
    let store = Table::new().await;
    let talk = Talk::new();
    for number in 1..=12 {
        let now = NOW + i64::try_from(number).unwrap();
        talk.lease(&store, "owner", now).await;
        let turn = talk.turn(number, now);
        let commit = TurnCommit {
            turn: &turn,
            lease_owner: Some("owner"),
            usage: (MONTH, UsageItem::default()),
            claim: None,
            key_used: None,
            outbox: None,
            app: None,
        };
        assert!(store.commit_turn(&commit).await.unwrap());
    }
    assert_eq!(talk.records(&store, 3, NOW).await, ["turn 10", "turn 11", "turn 12"]);
    assert_eq!(talk.records(&store, 50, NOW).await.len(), 12);
    assert_eq!(talk.records(&store, 50, NOW + KEPT + 10).await, ["turn 11", "turn 12"], "expired, though not deleted");

    let other = TenantId::generate();
    assert_eq!(store.last_turns(&other, &talk.agent, &talk.session, 50, NOW).await.unwrap(), []);
    let turn = |tenant, number, now| store.turn(tenant, &talk.agent, &talk.session, number, now);
    assert_eq!(turn(&talk.tenant, 12, NOW).await.unwrap().unwrap().record, "turn 12");
    assert_eq!(turn(&talk.tenant, 12, NOW + 12 + KEPT).await.unwrap(), None, "expired");
    assert_eq!(turn(&talk.tenant, 13, NOW).await.unwrap(), None);
    assert_eq!(turn(&other, 12, NOW).await.unwrap(), None);
}

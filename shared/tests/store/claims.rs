//! Claims of requests that may be retried.

use shared::id::{SessionId, TenantId};
use shared::store::{Claim, GateRequest, IdempotencyItem, IdempotencyState, Store};
use tokio::task::JoinSet;

use super::{HOLD, NOW, Table};

fn claim(owner: &str, now: i64) -> IdempotencyItem {
    IdempotencyItem {
        tenant: TenantId::from("ten_1"),
        body_hash: "body".to_owned(),
        lapses_at: now + HOLD,
        owner: owner.to_owned(),
        state: IdempotencyState::Running,
    }
}

async fn stored(store: &Store) -> Option<IdempotencyItem> {
    let request = GateRequest { idempotency: Some("hash".into()), ..GateRequest::default() };
    store.read_gate(&request).await.unwrap().idempotency
}

#[tokio::test]
async fn of_many_claims_of_one_request_one_wins() {
    let store = Table::racing().await;
    let mut claims = JoinSet::new();
    for owner in 0..8 {
        let (store, item) = (store.clone(), claim(&owner.to_string(), NOW));
        claims.spawn(async move { (store.claim("hash", &item, NOW).await.unwrap(), item) });
    }
    let outcomes = claims.join_all().await;
    let won: Vec<_> = outcomes.iter().filter(|(claim, _)| *claim == Claim::Claimed).collect();
    assert_eq!(won.len(), 1);
    let taken = outcomes.iter().filter(|(claim, _)| *claim == Claim::Taken(won[0].1.clone())).count();
    assert_eq!(taken, 7, "the others are told who was first");
}

#[tokio::test]
async fn a_claim_is_taken_until_it_lapses_and_renewed_by_its_owner_alone() {
    let store = Table::new().await;
    let first = claim("first", NOW);
    assert_eq!(store.claim("hash", &first, NOW).await.unwrap(), Claim::Claimed);
    assert_eq!(store.claim("hash", &first, NOW).await.unwrap(), Claim::Claimed, "the answer may have been lost");
    let second = claim("second", NOW);
    assert_eq!(store.claim("hash", &second, NOW + HOLD - 1).await.unwrap(), Claim::Taken(first));
    assert!(store.renew_claim("hash", "first", NOW + 2 * HOLD).await.unwrap());
    assert!(!store.renew_claim("hash", "second", NOW + 9 * HOLD).await.unwrap());
    assert!(matches!(store.claim("hash", &second, NOW + HOLD).await.unwrap(), Claim::Taken(_)));
    assert_eq!(store.claim("hash", &second, NOW + 2 * HOLD).await.unwrap(), Claim::Claimed);
    assert!(!store.renew_claim("hash", "first", NOW + 9 * HOLD).await.unwrap(), "it is lost");
    assert_eq!(stored(&store).await, Some(second));
}

#[tokio::test]
async fn a_claim_is_released_by_its_owner_alone() {
    let store = Table::new().await;
    assert_eq!(store.claim("hash", &claim("first", NOW), NOW).await.unwrap(), Claim::Claimed);
    store.release_claim("hash", "second").await.unwrap();
    assert!(stored(&store).await.is_some());
    store.release_claim("hash", "first").await.unwrap();
    assert_eq!(stored(&store).await, None);
    store.release_claim("hash", "first").await.unwrap();
    assert_eq!(store.claim("hash", &claim("second", NOW), NOW).await.unwrap(), Claim::Claimed);
}

#[tokio::test]
async fn an_answered_claim_is_neither_renewed_nor_released_nor_claimed_again_before_it_lapses() {
    let store = Table::new().await;
    let state = IdempotencyState::Answered { session: SessionId::from("sess_1"), turn: 4 };
    let answered = IdempotencyItem { state, ..claim("first", NOW) };
    assert_eq!(store.claim("hash", &answered, NOW).await.unwrap(), Claim::Claimed);
    assert!(!store.renew_claim("hash", "first", NOW).await.unwrap());
    store.release_claim("hash", "first").await.unwrap();
    for owner in ["first", "second"] {
        let again = store.claim("hash", &claim(owner, NOW), NOW + 1).await.unwrap();
        assert_eq!(again, Claim::Taken(answered.clone()));
    }
    assert_eq!(stored(&store).await, Some(answered.clone()));
    assert_eq!(store.claim("hash", &claim("second", NOW), answered.lapses_at).await.unwrap(), Claim::Claimed);
}

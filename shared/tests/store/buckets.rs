//! Rate buckets, alone and under contention.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::Clock;
use shared::limit::{Bucket, LimitError, Limiter, Rate};
use shared::store::{BucketTake, BucketWrite, GateRequest};
use tokio::task::JoinSet;

use super::{NOW, Table};

/// The present, in microseconds.
const MICROS: i64 = NOW * 1000;

#[tokio::test]
async fn a_bucket_is_taken_from_full_once_and_later_after_that() {
    let store = Table::new().await;
    let from_full = BucketWrite::FromFull { now: MICROS, full_at: MICROS + 10 };
    assert_eq!(store.take_from_bucket("b", from_full).await.unwrap(), BucketTake::Taken(MICROS + 10));
    let changed = BucketTake::Changed(Some(MICROS + 10));
    assert_eq!(store.take_from_bucket("b", from_full).await.unwrap(), changed, "it is not full any more");

    let later = |now, at_most| BucketWrite::Later { now, by: 10, at_most };
    assert_eq!(store.take_from_bucket("b", later(MICROS, MICROS + 9)).await.unwrap(), changed, "not enough is left");
    assert_eq!(store.take_from_bucket("b", later(MICROS + 10, MICROS + 99)).await.unwrap(), changed, "it is full");
    let taken = store.take_from_bucket("b", later(MICROS, MICROS + 10)).await.unwrap();
    assert_eq!(taken, BucketTake::Taken(MICROS + 20));
    assert_eq!(store.take_from_bucket("new", later(MICROS, MICROS)).await.unwrap(), BucketTake::Changed(None));

    let full_again = BucketWrite::FromFull { now: MICROS + 20, full_at: MICROS + 30 };
    assert_eq!(store.take_from_bucket("b", full_again).await.unwrap(), BucketTake::Taken(MICROS + 30));
    let read = GateRequest { buckets: vec!["new".into(), "b".into()], ..GateRequest::default() };
    assert_eq!(store.read_gate(&read).await.unwrap().buckets, [None, Some(MICROS + 30)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_get_no_more_than_the_bucket_holds_and_no_less() {
    let store = Table::racing().await;
    let clock = Clock::manual(Timestamp::from_millisecond(NOW).unwrap());
    let limiter = Limiter::new(store.clone(), clock.clone());
    let bucket = Bucket { identity: "b".to_owned(), rate: Rate::per_minute(30) };
    let mut takers = JoinSet::new();
    for _ in 0..200 {
        let (limiter, bucket) = (limiter.clone(), bucket.clone());
        takers.spawn(async move { limiter.take(&bucket, None).await });
    }
    let outcomes = takers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 30);
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(LimitError::Refused { .. }))).count();
    assert_eq!(refused, 170, "nobody is told that the table is contended");

    let Err(LimitError::Refused { retry_after, .. }) = limiter.take(&bucket, None).await else {
        panic!("the bucket is empty")
    };
    assert_eq!(retry_after, Duration::from_secs(2));
    clock.advance(retry_after);
    assert!(limiter.take(&bucket, None).await.is_ok(), "who waits as long as told is let in");
    assert!(limiter.take(&bucket, None).await.is_err());
}

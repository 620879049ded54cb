//! The sweep over the embedded table.

use serde_json::Value;
use testkit::{Bench, Fault, Moment, Strike};

#[tokio::test]
async fn a_sweep_that_finds_nothing_writes_nothing() {
    let bench = Bench::new().await;
    let before = bench.writes();
    assert!(sweep::sweep(&bench.app).await.is_ok());
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_duty_that_fails_fails_the_sweep_and_the_next_one_is_whole_again() {
    let (bench, faults) = Bench::with_faults().await;
    let operation = "Query".to_owned();
    let (fault, moment) = (Fault::InternalError, Moment::Before);
    faults.strike(Strike { operation, calls: 0..usize::MAX, tries: usize::MAX, fault, moment });
    assert!(sweep::sweep(&bench.app).await.is_err());
    faults.heal();
    assert!(sweep::sweep(&bench.app).await.is_ok());
}

#[test]
fn the_event_of_a_schedule_is_one() {
    let event: Value = serde_json::from_str(include_str!("../../../events/sweep.json")).unwrap();
    assert_eq!((&event["source"], &event["detail-type"]), (&"aws.events".into(), &"Scheduled Event".into()));
}

//! Queues: dead letters, and what waits for too long.

use std::time::Duration;

use shared::clock::millis;
use shared::queue::{CHANNELS, LONGEST_DELAY, QUEUES, Queue};

use super::Deployment;
use super::report::Report;
use crate::error::CommandError;
use crate::place::Keeper;
use crate::when;

/// The most messages that are counted.
const MOST: usize = 10_000;
/// How long a message may wait in a queue that is worked on.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub(super) async fn check(deployment: &Deployment, report: &mut Report) -> Result<(), CommandError> {
    if matches!(deployment.place.keeper, Keeper::Cloud { .. }) {
        let words = "not looked at: the stack's alarms tell of dead letters, and `orrery queue list` lists them";
        report.about("queues").skipped("queues", words);
        return Ok(());
    }
    for name in QUEUES {
        let mut about = report.about(format!("queue {name}"));
        let queue = deployment.place.table_queue(name);
        let dead = Queue::Table(queue.dead_letters()).look(MOST).await?.len();
        if dead == 0 {
            about.well("dead letters", "no message was given up");
        } else {
            let remedy = format!("see them with `orrery queue list {name}`, then replay or purge them");
            about.wrong("dead letters", format!("{dead} given up: they were worked on too often in vain"), remedy);
        }
        let waiting = Queue::Table(queue).look(MOST).await?;
        let Some(oldest) = waiting.iter().map(|message| message.sent_at).min() else {
            about.well("waiting", "nothing waits");
            continue;
        };
        // An event between two attempts waits on purpose.
        let patience = if name == CHANNELS { PATIENCE } else { PATIENCE + LONGEST_DELAY };
        let message = format!("{} in it, the oldest since {}", waiting.len(), when::shown(oldest));
        if deployment.place.clock.now_ms() - oldest > millis(patience) {
            about.wrong("waiting", message, "is `orrery serve` running? Its log tells why messages come again");
        } else {
            about.well("waiting", message);
        }
    }
    Ok(())
}

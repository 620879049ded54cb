//! Works on what waits in a queue of this machine, as Lambda does in the cloud.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use shared::app::App;
use shared::queue::{Consumer, Delivery, Queue, Received, TableQueue, Worked};
use shared::telemetry;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How many messages are worked on at once.
const WORKERS: usize = 32;
/// How often the queue is looked at where nothing is heard: other processes may send to it, and delays end.
const LOOK: Duration = Duration::from_millis(500);
/// How often a message that is worked on is hidden for longer. After a crash it comes again when its visibility ends.
const RENEWAL: Duration = Duration::from_secs(3);
/// How long a message waits whose work panicked.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// Works until it is dropped. What is worked on then comes again.
pub(super) async fn pump(app: App, queue: TableQueue, work: Consumer) {
    let messages = Queue::Table(queue.clone());
    let mut workers = JoinSet::new();
    loop {
        while workers.try_join_next().is_some() {}
        let deliveries = match messages.receive(WORKERS - workers.len()).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "a queue cannot be read");
                Vec::new()
            }
        };
        let is_idle = deliveries.is_empty();
        for delivery in deliveries {
            workers.spawn(one(app.clone(), delivery, work));
        }
        if is_idle || workers.len() >= WORKERS {
            tokio::select! {
                () = queue.changed(LOOK) => {}
                Some(_) = workers.join_next() => {}
            }
        }
    }
}

async fn one(app: App, delivery: Delivery, work: Consumer) {
    let received = Received { body: delivery.body.clone(), receives: delivery.receives, deadline: None };
    let worked = tokio::select! {
        worked = AssertUnwindSafe(work(&app, received)).catch_unwind() => worked,
        never = renew(&delivery) => never,
    };
    let settled = match worked.unwrap_or(Worked::Again(AFTER_PANIC)) {
        Worked::Done => delivery.acknowledge().await,
        Worked::Again(wait) => delivery.hide(wait).await,
    };
    if let Err(error) = settled {
        tracing::warn!(error = telemetry::chain(&error), "a message comes again");
    }
}

/// Keeps a message hidden, for as long as it is polled.
async fn renew<T>(delivery: &Delivery) -> T {
    let mut ticks = interval(RENEWAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = delivery.hide(RENEWAL * 3).await {
            tracing::warn!(error = telemetry::chain(&error), "a message may come again");
        }
    }
}

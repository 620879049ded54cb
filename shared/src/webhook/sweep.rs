//! Events whose message was lost: the queue did not take it, or whoever would have sent it fell.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::Task;
use crate::app::App;
use crate::queue::QueueError;
use crate::store::StoreError;

/// How many outboxes are looked through at a time.
const MOST: usize = 1_000;
/// How many are handed over at once.
const AT_ONCE: usize = 16;

/// Why events still wait.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Hands over again what should be spread by now, the oldest first, and tells how many outboxes that were. One that still
/// stands is looked for again when it is twice as old.
///
/// # Errors
/// Where the table or the queue fails: the next sweep finds what is left.
pub async fn sweep(app: &App) -> Result<usize, SweepError> {
    let (store, queue, now) = (app.store(), app.deliveries_queue(), app.clock().now_ms());
    let waiting = store.waiting_outboxes(now, MOST).await?;
    let count = waiting.len();
    let again = stream::iter(waiting).map(Ok::<_, SweepError>);
    again
        .try_for_each_concurrent(AT_ONCE, |outbox| async move {
            queue.send(&Task::Spread { outbox: outbox.id.clone() }.to_message(Duration::ZERO)).await?;
            let age = now.saturating_sub(outbox.created_at);
            Ok(store.look_again(&outbox.id, now.saturating_add(age)).await?)
        })
        .await?;
    Ok(count)
}

//! Sends events to the receivers that agents' owners named: the consumer of the deliveries' queue.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use shared::app::App;
use shared::queue::{Received, Worked};
use shared::telemetry;

/// How long a task waits where this process cannot work on any.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Works on one task.
pub fn consume(app: &App, received: Received) -> BoxFuture<'_, Worked> {
    async move {
        match app.deliveries() {
            Ok(deliveries) => deliveries.work(&received.body).await,
            Err(error) => {
                tracing::error!(error = telemetry::chain(&error), "no event can be sent");
                Worked::Again(AFTER_FAILURE)
            }
        }
    }
    .boxed()
}

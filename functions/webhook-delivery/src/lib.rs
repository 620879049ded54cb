//! Sends events to the receivers that agents' owners named: the consumer of the deliveries' queue.

use futures::FutureExt;
use futures::future::BoxFuture;
use shared::app::App;
use shared::queue::{Received, Worked};
use shared::telemetry;

/// Works on one task.
pub fn consume(app: &App, received: Received) -> BoxFuture<'_, Worked> {
    async move {
        match app.deliveries() {
            Ok(deliveries) => deliveries.work(&received).await,
            Err(error) => {
                tracing::error!(error = telemetry::chain(&error), "no event can be sent");
                Worked::Again(received.back_off())
            }
        }
    }
    .boxed()
}

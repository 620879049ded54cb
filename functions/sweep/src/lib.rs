//! Does each minute what no request does.

use std::error::Error;

use futures::FutureExt;
use futures::future::BoxFuture;
use shared::app::App;
use shared::{project, telemetry, webhook};

/// A duty failed; it is in the log which one, and why. The next sweep does what was left.
#[derive(Debug, thiserror::Error)]
#[error("the sweep is not complete")]
pub struct SweepError;

/// Does one duty after the other; one that fails keeps no other from being done.
///
/// # Errors
/// Where a duty failed.
pub fn sweep(app: &App) -> BoxFuture<'_, Result<(), SweepError>> {
    async move {
        let done = [
            is_done("events are handed over again", webhook::sweep(app).await),
            is_done("sessions end whose time is over", project::end_sessions(app).await),
        ];
        if done.contains(&false) { Err(SweepError) } else { Ok(()) }
    }
    .boxed()
}

fn is_done(duty: &'static str, outcome: Result<usize, impl Error + 'static>) -> bool {
    match outcome {
        Ok(0) => {}
        Ok(count) => tracing::info!(duty, count, "swept"),
        Err(ref error) => tracing::error!(duty, error = telemetry::chain(error), "a duty of the sweep failed"),
    }
    outcome.is_ok()
}

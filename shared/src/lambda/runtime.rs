//! The loop: one invocation after the other, and nothing between two of them.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use http::header::HeaderName;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::answer::answer;
use super::api::{Invocation, RuntimeApi, RuntimeApiError};
use super::event::{self, EventError};
use super::reply::ErrorReport;
use crate::clock::Clock;
use crate::http::Deadline;
use crate::telemetry;

const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// How long what an invocation began may go on after its reply.
const SETTLING: Duration = Duration::from_secs(10);
/// How long the running invocation has when the environment ends, and what it began after that. Lambda kills the process
/// after 500 ms. <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown>
pub(super) const LAST_REPLY: Duration = Duration::from_millis(300);
pub(super) const LAST_SETTLING: Duration = Duration::from_millis(100);

/// What serves invocations.
pub(super) struct Runtime {
    pub(super) api: RuntimeApi,
    pub(super) router: Router,
    /// What handlers begin and a reply does not wait for.
    pub(super) tasks: TaskTracker,
    pub(super) clock: Clock,
}

impl Runtime {
    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// Where no invocation can be had any more.
    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RuntimeApiError> {
        let mut shutdown = pin!(shutdown);
        loop {
            let invocation = tokio::select! {
                biased;
                () = &mut shutdown => break,
                next = self.api.next() => next?,
            };
            let mut serving = pin!(self.serve(invocation));
            tokio::select! {
                biased;
                () = &mut serving => {}
                () = &mut shutdown => {
                    if tokio::time::timeout(LAST_REPLY, serving).await.is_err() {
                        tracing::warn!("an invocation is given up: the environment ends");
                    }
                    break;
                }
            }
        }
        self.api.disconnect();
        self.settle(LAST_SETTLING).await;
        Ok(())
    }

    /// Serves one invocation. What goes wrong with it is logged, and ends it alone.
    async fn serve(&mut self, invocation: Invocation) {
        let trace = invocation.trace.as_ref().and_then(|trace| trace.to_str().ok());
        // At the level of errors, so that every line of the log carries it.
        let span = tracing::error_span!("invocation", aws.request_id = invocation.id, aws.trace_id = trace);
        async {
            let left = self.time_left(&invocation);
            let end = left.map(|left| Instant::now() + left);
            if let Err(error) = self.reply(&invocation, end).await {
                tracing::error!(error = telemetry::chain(&error), "an invocation could not be answered");
            }
            let left = end.map_or(SETTLING, |end| end.saturating_duration_since(Instant::now()));
            self.settle(left.min(SETTLING)).await;
        }
        .instrument(span)
        .await;
    }

    async fn reply(&mut self, invocation: &Invocation, end: Option<Instant>) -> Result<(), RuntimeApiError> {
        match request(invocation, end) {
            Ok(request) => {
                let response = answer(self.router.clone(), request).await;
                self.api.respond(invocation, response).await
            }
            Err(error) => {
                tracing::error!(%error, "an event cannot be read");
                let report = ErrorReport { error_message: &error.to_string(), error_type: "Runtime.UnusableEvent" };
                self.api.fail(invocation, &report).await
            }
        }
    }

    fn time_left(&self, invocation: &Invocation) -> Option<Duration> {
        let millis = invocation.deadline_ms?.saturating_sub(self.clock.now_ms());
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    }

    /// Waits for what handlers began.
    async fn settle(&self, limit: Duration) {
        if self.tasks.is_empty() {
            return;
        }
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::error!(tasks = self.tasks.len(), "something goes on after its reply");
        }
        self.tasks.reopen();
    }
}

/// The invocation's request.
fn request(invocation: &Invocation, end: Option<Instant>) -> Result<Request<Body>, EventError> {
    let event = invocation.event.as_ref().ok_or(EventError::TooLarge)?;
    let mut request = event::read(event)?;
    if let Some(end) = end {
        request.extensions_mut().insert(Deadline(end));
    }
    if let Some(trace) = &invocation.trace {
        request.headers_mut().insert(TRACE, trace.clone());
    }
    Ok(request)
}

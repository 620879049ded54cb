//! Running routes on Lambda: buffered functions on the stock runtime, streaming ones on our own loop, which sends each
//! frame at once, answers panics, reports broken replies in trailers and ends in order.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

mod answer;
mod api;
mod connection;
mod consumer;
mod event;
mod extension;
mod reply;
mod runtime;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::future::BoxFuture;
use lambda_http::{LambdaEvent, RequestExt as _, lambda_runtime};
use serde::de::IgnoredAny;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::answer::{answer, log_panics};
use self::api::RuntimeApi;
use self::connection::Address;
use self::consumer::{Batch, consume};
use self::extension::Extension;
use self::reply::ErrorReport;
use self::runtime::{Runtime, time_left};
use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError};
use crate::http::Deadline;
use crate::queue::{Consumer, Queue};
use crate::telemetry::{self, Audience};

/// Faster than the system's where much is small and short-lived.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// When the table's connection is opened: beside the wait for the first invocation, which is to be asked for first.
const WARM_AFTER: Duration = Duration::from_millis(1);

/// A function that cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Runs a function whose replies leave it whole, until its execution environment ends.
#[must_use]
pub fn run_buffered(routes: fn() -> Router<App>) -> ExitCode {
    run(async move |started| buffered(routes().with_state(started.app)).await)
}

/// Runs a function whose replies leave it piece by piece, until its execution environment ends. (Two functions rather
/// than one with a mode: what the other one needs is not linked.)
#[must_use]
pub fn run_streaming(routes: fn() -> Router<App>) -> ExitCode {
    run(async move |started| streaming(routes().with_state(started.app.clone()), started).await)
}

/// Runs a function that works on what waits in a queue, until its execution environment ends.
#[must_use]
pub fn run_consumer(queue: fn(&App) -> &Queue, work: Consumer) -> ExitCode {
    run(async move |started| consuming(&started.app, queue, work).await)
}

/// Runs a function that a schedule calls, until its execution environment ends. An invocation whose work fails fails.
#[must_use]
pub fn run_scheduled<E: Error + Send + Sync + 'static>(
    work: for<'a> fn(&'a App) -> BoxFuture<'a, Result<(), E>>,
) -> ExitCode {
    run(async move |started| scheduled(&started.app, work).await)
}

/// What a function serves with.
struct Started {
    app: App,
    api: RuntimeApi,
    address: Address,
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn run(serve: impl AsyncFnOnce(Started) -> Outcome) -> ExitCode {
    let config = Config::from_environment();
    telemetry::start(Audience::Machine, config.as_ref().map_or("info", |config| &config.log));
    log_panics();
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async { serve(begin(config).await?).await }),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = telemetry::chain(error.as_ref()), "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

/// Sets everything up; Lambda is told what stands in the way.
async fn begin(config: Result<Config, ConfigError>) -> Result<Started, Box<dyn Error + Send + Sync>> {
    let address = Address::new(&config::runtime_api().ok_or("AWS_LAMBDA_RUNTIME_API is not set: this is not Lambda")?);
    let mut api = RuntimeApi::new(address.clone());
    match start(config) {
        Ok(app) => Ok(Started { app, api, address }),
        Err(error) => {
            let message = telemetry::chain(&error);
            let report = ErrorReport { error_message: &message, error_type: "Runtime.InitError" };
            if let Err(error) = api.fail_to_start(&report).await {
                tracing::error!(error = telemetry::chain(&error), "Lambda could not be told");
            }
            Err(error.into())
        }
    }
}

fn start(config: Result<Config, ConfigError>) -> Result<App, StartError> {
    Ok(App::in_the_cloud(config?, Clock::system())?)
}

async fn streaming(router: Router, started: Started) -> Outcome {
    let Started { app, api, address } = started;
    let shutdown = extension::shutdown()?;
    let _extension = Extension::register(&address).await;
    let (clock, tasks) = (app.clock().clone(), app.tasks().clone());
    let mut warming = JoinSet::new();
    warming.spawn(async move {
        tokio::time::sleep(WARM_AFTER).await;
        app.warm().await;
    });
    // As a task: whenever something wakes the future that a runtime blocks on, it asks the system for news first.
    let mut serving = JoinSet::new();
    serving.spawn(Runtime { api, router, tasks, clock }.run(shutdown));
    match serving.join_next().await {
        Some(ended) => Ok(ended??),
        None => Ok(()),
    }
}

async fn consuming(app: &App, queue: fn(&App) -> &Queue, work: Consumer) -> Outcome {
    lambda_runtime::run(lambda_http::service_fn(async |event: LambdaEvent<Batch>| {
        Ok::<_, Infallible>(consume(app, queue(app), work, event).await)
    }))
    .await
}

async fn scheduled<E: Error + Send + Sync + 'static>(
    app: &App,
    work: for<'a> fn(&'a App) -> BoxFuture<'a, Result<(), E>>,
) -> Outcome {
    lambda_runtime::run(lambda_http::service_fn(async |_: LambdaEvent<IgnoredAny>| {
        work(app).await.map_err(lambda_runtime::Error::from)
    }))
    .await
}

async fn buffered(router: Router) -> Outcome {
    lambda_http::run(lambda_http::service_fn(move |request: lambda_http::Request| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(router, prepare(request).map(Body::new)).await) }
    }))
    .await
}

/// Takes the stage off the path, and tells the handlers when the invocation ends.
fn prepare(mut request: lambda_http::Request) -> lambda_http::Request {
    if let Some(target) = event::target(&request) {
        *request.uri_mut() = target;
    }
    let deadline = request.lambda_context_ref().and_then(|context| i64::try_from(context.deadline).ok());
    let left = deadline.and_then(|deadline| time_left(deadline, Clock::system().now_ms()));
    if let Some(left) = left {
        request.extensions_mut().insert(Deadline(Instant::now() + left));
    }
    request
}

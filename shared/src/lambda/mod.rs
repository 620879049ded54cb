//! Running routes on Lambda: buffered functions on the stock runtime, streaming ones on our own loop, which sends each
//! frame at once, answers panics, reports broken replies in trailers and ends in order.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

mod answer;
mod api;
mod connection;
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
use lambda_http::RequestExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;

use self::answer::{answer, log_panics};
use self::api::RuntimeApi;
use self::connection::Address;
use self::extension::Extension;
use self::reply::ErrorReport;
use self::runtime::Runtime;
use crate::app::{App, AppError};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError};
use crate::http::Deadline;
use crate::telemetry::{self, Audience};

/// When the table's connection is opened: beside the wait for the first invocation, which is to be asked for first.
const WARM_AFTER: Duration = Duration::from_millis(1);

/// How a function's replies leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whole, when they are complete.
    Buffered,
    /// Piece by piece, as they are made.
    Streaming,
}

/// A function that cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Runs a function until its execution environment ends.
#[must_use]
pub fn run(routes: fn() -> OpenApiRouter<App>, mode: Mode) -> ExitCode {
    let config = Config::from_environment();
    telemetry::start(Audience::Machine, config.as_ref().map_or("info", |config| &config.log));
    log_panics();
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(routes, mode, config)),
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

async fn serve(
    routes: fn() -> OpenApiRouter<App>,
    mode: Mode,
    config: Result<Config, ConfigError>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = Address::new(&config::runtime_api().ok_or("AWS_LAMBDA_RUNTIME_API is not set: this is not Lambda")?);
    let mut api = RuntimeApi::new(address.clone());
    match start(config) {
        Ok(app) => {
            let router: Router = routes().with_state(app.clone()).into();
            match mode {
                Mode::Buffered => buffered(router).await,
                Mode::Streaming => streaming(app, router, api, &address).await,
            }
        }
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

async fn streaming(
    app: App,
    router: Router,
    api: RuntimeApi,
    address: &Address,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shutdown = extension::shutdown()?;
    let _extension = Extension::register(address).await;
    let (clock, tasks) = (app.clock().clone(), app.tasks().clone());
    let mut warming = JoinSet::new();
    warming.spawn(async move {
        tokio::time::sleep(WARM_AFTER).await;
        app.warm().await;
    });
    Ok(Runtime { api, router, tasks, clock }.run(shutdown).await?)
}

async fn buffered(router: Router) -> Result<(), Box<dyn Error + Send + Sync>> {
    lambda_http::run(lambda_http::service_fn(move |request: lambda_http::Request| {
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(router, with_deadline(request).map(Body::new)).await) }
    }))
    .await
}

/// Tells the handlers when the invocation ends.
fn with_deadline(mut request: lambda_http::Request) -> lambda_http::Request {
    if let Some(context) = request.lambda_context_ref() {
        let left = context.deadline().duration_since(Clock::system().now().into()).unwrap_or_default();
        request.extensions_mut().insert(Deadline(Instant::now() + left));
    }
    request
}

//! Running routes on the Lambda runtime.

use std::process::ExitCode;

use axum::Router;
use lambda_http::tower::ServiceBuilder;
use lambda_http::tower::ServiceExt as _;
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Deadline;
use crate::telemetry::{self, Audience};

/// How a function's replies leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whole, when they are complete.
    Buffered,
    /// Piece by piece, as they are made.
    Streaming,
}

/// Runs a function until its execution environment ends.
#[must_use]
pub fn run(routes: fn() -> OpenApiRouter<App>, mode: Mode) -> ExitCode {
    match start(routes, mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = telemetry::chain(error.as_ref()), "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

fn start(routes: fn() -> OpenApiRouter<App>, mode: Mode) -> Result<(), lambda_http::Error> {
    let config = Config::from_environment();
    telemetry::start(Audience::Machine, config.as_ref().map_or("info", |config| &config.log));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = App::in_the_cloud(config?, Clock::system())?;
        let router: Router = routes().with_state(app).into();
        let service = ServiceBuilder::new().map_request(with_deadline).service(router);
        match mode {
            Mode::Buffered => lambda_http::run(service).await,
            Mode::Streaming => lambda_http::run_with_streaming_response(service.boxed_clone()).await,
        }
    })
}

/// Tells the handlers when the invocation ends.
fn with_deadline(mut request: lambda_http::Request) -> lambda_http::Request {
    use lambda_http::RequestExt as _;
    if let Some(context) = request.lambda_context_ref() {
        let left = context.deadline().duration_since(Clock::system().now().into()).unwrap_or_default();
        request.extensions_mut().insert(Deadline(Instant::now() + left));
    }
    request
}

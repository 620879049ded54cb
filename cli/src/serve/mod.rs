//! `orrery serve`: every function of template.yaml behind one port of this machine, over a table in this process.

mod functions;
mod identity;
mod log;
pub(crate) mod openapi;
mod page;
mod page_keys;
mod pump;
mod routes;
mod start;
mod viewer;

use std::collections::BTreeMap;
use std::future::{IntoFuture, pending};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use embedded::EmbeddedDynamo;
use shared::app::{App, AppError};
use shared::config::Config;
use shared::egress::Reach;
use shared::id::RequestId;
use shared::queue::{Consumer, Queue};
use shared::secret::SEALING_KEYS;
use shared::telemetry::{self, Audience};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::args::ServeArguments;
use crate::error::CommandError;
use crate::output;
use crate::place::{Keeper, Place, SEALING_KEYS_FILE};
use functions::Function;
use identity::PublishedIssuer;
use openapi::Description;
use page_keys::PageAgents;
use pump::pump;
use routes::{Routes, RoutesError};

/// How long running turns may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// How often expired items are removed.
const CLEANING: Duration = Duration::from_secs(3600);
/// How often the function `sweep` runs, as template.yaml has it.
const SWEEP: Duration = Duration::from_secs(60);

/// Why the server cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(
        "port {0} of 127.0.0.1 is taken: stop what listens there, or choose another with --port (0 takes any free one)"
    )]
    PortTaken(u16),
    #[error("port {port} of 127.0.0.1 cannot be listened on")]
    Port { port: u16, source: std::io::Error },
    #[error(transparent)]
    Routes(#[from] RoutesError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("this machine's address is no URL")]
    Url(#[source] url::ParseError),
    #[error("the API's description cannot be written")]
    OpenApi(#[source] serde_json::Error),
    #[error("the server stopped")]
    Stopped(#[source] std::io::Error),
}

/// What answers requests.
struct Server {
    routes: Routes,
    functions: BTreeMap<String, Router>,
    page: PageAgents,
    /// The descriptions: the kopern dialect's, and the app's.
    openapi: [Bytes; 2],
}

impl Server {
    fn new(routes: Routes, page: PageAgents, app: &App) -> Result<Self, ServeError> {
        let mut functions = BTreeMap::new();
        for name in routes.functions() {
            functions.insert(name.to_owned(), (Function::named(name)?.routes)().with_state(app.clone()));
        }
        Ok(Self {
            routes,
            functions,
            page,
            openapi: [openapi::text(Description::Kopern)?.into(), openapi::text(Description::App)?.into()],
        })
    }
}

/// Prints the API's description.
pub(crate) fn describe(described: Description) -> Result<(), CommandError> {
    output::data(&openapi::text(described)?);
    Ok(())
}

/// The application over this machine's table, with the secrets of the environment. Where that names no identity
/// provider, this machine is one.
fn app(config: Config, place: &Place, issuer: Option<&PublishedIssuer>) -> Result<App, CommandError> {
    let oidc = config.oidc.clone().or_else(|| issuer.map(PublishedIssuer::settings));
    let mut config = Config { secret: None, oidc, ..config };
    // What listens on this machine is its owner's own.
    config.webhook_reach.get_or_insert(Reach::PublicAndThisMachine);
    // Its pages and their tools run on this machine; a page elsewhere must not reach it under a name of its own.
    config.mcp_allowed_origins.push("loopback".to_owned());
    if config.mcp_allowed_hosts.is_empty() {
        config.mcp_allowed_hosts.push("loopback".to_owned());
    }
    if let Some(keys) = place.sealing_keys(&config)? {
        match &place.keeper {
            Keeper::Machine { directory: Some(directory), .. } => {
                config.sealing_keys_file = Some(directory.join(SEALING_KEYS_FILE));
            }
            Keeper::Machine { directory: None, .. } | Keeper::Cloud { .. } => {
                config.secrets.insert(SEALING_KEYS.to_owned(), keys);
            }
        }
    }
    Ok(App::over(config, place.clock.clone(), place.store.clone()).map_err(ServeError::App)?)
}

pub(crate) async fn run(arguments: ServeArguments) -> Result<(), CommandError> {
    let config = Config::from_environment()?;
    telemetry::start(Audience::Person, &config.log);
    let listener = listen(arguments.port).await?;
    let url = format!("http://{}", listener.local_addr().map_err(ServeError::Stopped)?);
    let place = Place::machine(&arguments.data).await?;
    start::apply(&place, arguments.agents).await?;
    let issuer = match config.oidc {
        Some(_) => None,
        None => {
            place.issuer()?.map(|issuer| PublishedIssuer::new(&issuer, &url)).transpose().map_err(ServeError::Url)?
        }
    };
    let app = app(config, &place, issuer.as_ref())?;
    let routes = Routes::of_template().map_err(ServeError::Routes)?;
    let page = PageAgents::new(place.clone());
    output::data(&format!("listening on {url}"));
    start::tell(&place, &url, &page).await?;
    let router = router(Server::new(routes, page, &app)?, issuer);
    tokio::select! {
        stopped = serve(listener, router, app.tasks()) => Ok(stopped?),
        () = clean(&place) => Ok(()),
        () = work(&app) => Ok(()),
        () = sweep(&app) => Ok(()),
    }
}

fn router(server: Server, issuer: Option<PublishedIssuer>) -> Router {
    Router::new()
        .route("/", get(start_page))
        .route(
            "/openapi.json",
            get(async |State(server): State<Arc<Server>>| json(StatusCode::OK, server.openapi[0].clone())),
        )
        .route("/openapi/{document}", get(openapi_document))
        .route("/docs/", get(viewer::page))
        .route("/docs/{file}", get(viewer::file))
        .fallback(dispatch)
        .with_state(Arc::new(server))
        .merge(issuer.map(PublishedIssuer::routes).unwrap_or_default())
        .layer(from_fn(log::requests))
}

async fn openapi_document(State(server): State<Arc<Server>>, Path(document): Path<String>) -> Response {
    match document.as_str() {
        "kopern.json" => json(StatusCode::OK, server.openapi[0].clone()),
        "app.json" => json(StatusCode::OK, server.openapi[1].clone()),
        _ => not_found(),
    }
}

async fn listen(port: u16) -> Result<TcpListener, ServeError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::PortTaken(port),
        _ => ServeError::Port { port, source },
    })
}

/// Serves until the end is asked for, and then for as long as running turns last, but not longer than [`DRAIN`]. Asked
/// a second time, it ends at once.
async fn serve(listener: TcpListener, router: Router, turns: &TaskTracker) -> Result<(), ServeError> {
    let listener = listener.tap_io(|stream| {
        let _slower_without = stream.set_nodelay(true);
    });
    let (asked, mut heard) = tokio::sync::watch::channel(());
    let first = async move {
        end_asked().await;
        output::note("Ending: running turns have 10 s. Ask again to end at once.");
        asked.send_replace(());
    };
    let served = async {
        axum::serve(listener, router).with_graceful_shutdown(first).into_future().await?;
        turns.close();
        turns.wait().await;
        Ok(())
    };
    let bound = async {
        // The sender goes only with the server.
        if heard.changed().await.is_err() {
            pending::<()>().await;
        }
        tokio::select! {
            () = tokio::time::sleep(DRAIN) => {}
            () = end_asked() => {}
        }
    };
    tokio::select! {
        served = served => served.map_err(ServeError::Stopped),
        () = bound => {
            output::note("Ended with turns still running.");
            Ok(())
        }
    }
}

/// Ctrl-C, or SIGTERM.
async fn end_asked() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// Works on what waits in the queues.
async fn work(app: &App) {
    let pump = async |queue: &Queue, consume: Consumer| match queue {
        Queue::Table(queue) => pump(app.clone(), queue.clone(), consume).await,
        Queue::Sqs(_) => pending().await,
    };
    tokio::join!(
        pump(app.channels(), channel_worker::consume),
        pump(app.deliveries_queue(), webhook_delivery::consume),
    );
}

/// Does each minute what no request does, for as long as it is polled.
async fn sweep(app: &App) {
    loop {
        let _logged = sweep::sweep(app).await;
        tokio::time::sleep(SWEEP).await;
    }
}

/// Removes expired items from time to time, for as long as it is polled.
async fn clean(place: &Place) {
    let Keeper::Machine { database, .. } = &place.keeper else { return pending().await };
    loop {
        let database: EmbeddedDynamo = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_expired()).await {
            Ok(Ok(removed)) => tracing::debug!(removed, "expired items are removed"),
            Ok(Err(error)) => tracing::warn!(error = telemetry::chain(&error), "expired items stay"),
            Err(_) => tracing::warn!("expired items stay"),
        }
        tokio::time::sleep(CLEANING).await;
    }
}

async fn start_page(State(server): State<Arc<Server>>, request: Request) -> Response {
    if !page::is_local(request.headers()) {
        return not_found();
    }
    match server.page.load().await {
        Ok(agents) => page::response(&agents, &server.page.flag()),
        Err(error) => {
            tracing::error!(error = telemetry::chain(&error), "the start page cannot be shown");
            json(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"The start page cannot be shown"}"#)
        }
    }
}

async fn dispatch(State(server): State<Arc<Server>>, request: Request) -> Response {
    let function = server.routes.find(request.method().as_str(), request.uri().path());
    match function.and_then(|function| server.functions.get(function)) {
        Some(function) => match function.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => not_found(),
    }
}

fn not_found() -> Response {
    json(StatusCode::NOT_FOUND, r#"{"error":"Not found"}"#)
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(RequestId::generate().as_str()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

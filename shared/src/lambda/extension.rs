//! A notice before the end: Lambda sends SIGTERM to a runtime only where an extension is registered, so one is, which
//! asks for no event. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::connection::{Address, Connection};

const VERSION: &str = "/2020-01-01/extension";
const NAME: &str = "orrery-shutdown-notice";
const NO_EVENTS: &str = r#"{"events":[]}"#;
const EXTENSION_ID: &str = "lambda-extension-identifier";

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;
/// How long registering may take. It comes before the first invocation is asked for, as Lambda demands.
const REGISTRATION: Duration = Duration::from_secs(1);

/// A registered extension, for as long as it is kept.
pub(super) struct Extension {
    _waiting: JoinSet<()>,
}

impl Extension {
    /// Registers the extension; none where there is no such API, as outside of Lambda.
    pub(super) async fn register(address: &Address) -> Option<Self> {
        tokio::time::timeout(REGISTRATION, Self::try_register(address)).await.ok()?
    }

    async fn try_register(address: &Address) -> Option<Self> {
        let request = |method, path, name, value: &str| {
            let target = format!("{}{VERSION}{path}", address.prefix);
            let host = address.authority.as_str();
            Request::builder().method(method).uri(target).header(header::HOST, host).header(name, value)
        };
        let mut connection = Connection::open(address).await.ok()?;
        let register = request(Method::POST, "/register", "lambda-extension-name", NAME);
        let register = register.header(header::CONTENT_TYPE, "application/json").body(Body::from(NO_EVENTS)).ok()?;
        let (answer, body) = connection.send(register).await.ok()?.into_parts();
        Limited::new(body, LARGEST_ANSWER).collect().await.ok()?;
        let id = answer.headers.get(EXTENSION_ID).filter(|_| answer.status.is_success())?.to_str().ok()?;
        let next = request(Method::GET, "/event/next", EXTENSION_ID, id).body(Body::empty()).ok()?;
        let mut waiting = JoinSet::new();
        // No event comes, and no answer: the question tells Lambda that the extension is there.
        waiting.spawn(async move {
            if connection.is_ready().await {
                let _unanswered = connection.send(next).await;
            }
        });
        Some(Self { _waiting: waiting })
    }
}

/// Ends when the process is asked to end.
///
/// # Errors
/// Where signals cannot be listened to.
pub(super) fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

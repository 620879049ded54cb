//! The loop against a Runtime API that the tests play, byte by byte.

mod consumer;
mod cuts;
mod events;
mod fake;
mod replies;
mod shutdown;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::get;
use futures::channel::mpsc;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use self::fake::{Fake, Peer};
use super::api::{RuntimeApi, RuntimeApiError};
use super::runtime::Runtime;
use crate::clock::Clock;

/// When every test begins, in milliseconds since the Unix epoch.
const BEGIN: i64 = 1_774_449_000_000;

/// What a test waits for comes at once; this is for the case that it does not.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), what).await.expect("it does not come")
}

/// A loop that runs, until it is dropped.
struct Running {
    tasks: TaskTracker,
    outcome: JoinSet<Result<(), RuntimeApiError>>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Running {
    fn start(fake: &Fake, router: Router) -> Self {
        let (shutdown, asked) = oneshot::channel::<()>();
        let tasks = TaskTracker::new();
        let runtime = Runtime {
            api: RuntimeApi::new(fake.address()),
            router,
            tasks: tasks.clone(),
            clock: Clock::manual(Timestamp::from_millisecond(BEGIN).unwrap()),
        };
        let mut outcome = JoinSet::new();
        outcome.spawn(runtime.run(async { asked.await.unwrap_or_default() }));
        Self { tasks, outcome, shutdown: Some(shutdown) }
    }

    /// Asks it to end.
    fn stop(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// How it ended.
    async fn ended(&mut self) -> Result<(), RuntimeApiError> {
        soon(self.outcome.join_next()).await.unwrap().unwrap()
    }
}

/// A handler's stream in the test's hands.
type Frames = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A router whose one reply, at `/stream`, is what the sender is given; and `/plain`, which says ok.
fn scripted() -> (Router, Frames) {
    let (frames, stream) = mpsc::unbounded();
    let stream = std::sync::Arc::new(std::sync::Mutex::new(Some(stream)));
    let handler = move || {
        let stream = stream.lock().unwrap().take().expect("one stream a test");
        async move { Ok::<_, Infallible>(Response::new(Body::from_stream(stream))) }
    };
    (Router::new().route("/stream", get(handler)).route("/plain", get(async || "ok")), frames)
}

/// An event of a REST API.
fn rest(method: &str, path: &str) -> Value {
    json!({
        "resource": path, "path": path, "httpMethod": method, "headers": {}, "multiValueHeaders": {},
        "queryStringParameters": null, "multiValueQueryStringParameters": null, "pathParameters": null,
        "stageVariables": null, "body": null, "isBase64Encoded": false,
        "requestContext": {"stage": "v1", "httpMethod": method, "path": format!("/v1{path}"), "identity": {}},
    })
}

/// The loop still serves, on this connection.
async fn serves(peer: &mut Peer) {
    peer.invoke("again", &rest("GET", "/plain")).await;
    let reply = peer.reply().await;
    assert!(reply.head.line.contains("/invocation/again/response"), "{}", reply.head.line);
    assert_eq!((reply.status(), reply.body.as_slice()), (200, b"ok".as_slice()));
    peer.accept_reply().await;
}

fn request(event: &Value) -> Request<Body> {
    super::event::read(event.to_string().as_bytes()).unwrap()
}

//! A function's own binary, as Lambda runs it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use embedded::EmbeddedDynamo;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use shared::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as Lock, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Bench;

/// How long a function may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an invocation may take, in milliseconds.
const INVOCATION: i64 = 30_000;

/// A process of a function in front of a Runtime API, over the table of a bench. What it sends to a queue is kept.
pub struct Lambda {
    events: mpsc::UnboundedSender<String>,
    replies: mpsc::UnboundedReceiver<String>,
    sent: Arc<Mutex<Vec<Value>>>,
    process: Child,
    _server: JoinSet<()>,
}

#[derive(Clone)]
struct Around {
    database: EmbeddedDynamo,
    events: Arc<Lock<mpsc::UnboundedReceiver<String>>>,
    replies: mpsc::UnboundedSender<String>,
    sent: Arc<Mutex<Vec<Value>>>,
}

impl Lambda {
    /// Starts the binary with these variables beside those that Lambda sets.
    pub async fn start(bench: &Bench, binary: &str, variables: &[(&str, &str)]) -> Self {
        let (events, taken) = mpsc::unbounded_channel();
        let (answers, replies) = mpsc::unbounded_channel();
        let sent = Arc::<Mutex<Vec<Value>>>::default();
        let around = Around {
            database: bench.database.clone(),
            events: Arc::new(Lock::new(taken)),
            replies: answers,
            sent: Arc::clone(&sent),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(around);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let url = format!("http://{address}");
        let queue = format!("{url}/queue.fifo");
        let name = Path::new(binary).file_name().unwrap().to_str().unwrap();
        let process = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", name),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "1"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_ENDPOINT_URL", &url),
                ("ORRERY_TABLE", "orrery"),
                ("ORRERY_CHANNELS_QUEUE", &queue),
            ])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { events, replies, sent, process, _server: server }
    }

    /// The reply to an event: API Gateway's, with status and body.
    pub async fn invoke(&mut self, event: &str) -> Value {
        self.events.send(event.to_owned()).unwrap();
        let reply = timeout(PATIENCE, self.replies.recv()).await.unwrap().unwrap();
        serde_json::from_str(&reply).unwrap()
    }

    /// What the queue was sent since this was last asked.
    #[must_use]
    pub fn take_sent(&self) -> Vec<Value> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// What stands around the function: the Runtime API, the table and a queue.
async fn answer(State(around): State<Around>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    match headers.get("x-amz-target").map(|target| target.to_str().unwrap()) {
        Some(target) if target.starts_with("AmazonSQS.") => {
            around.sent.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            return "{}".into_response();
        }
        Some(target) => {
            let (status, answer) = around.database.call(target, body).await.unwrap();
            return (StatusCode::from_u16(status).unwrap(), answer).into_response();
        }
        None => (),
    }
    match uri.path().rsplit('/').next().unwrap_or_default() {
        "next" if uri.path().contains("/invocation/") => {
            let Some(event) = around.events.lock().await.recv().await else { return StatusCode::GONE.into_response() };
            let deadline = (Clock::system().now_ms() + INVOCATION).to_string();
            let headers = [
                ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
                ("lambda-runtime-deadline-ms", &deadline),
                ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:test"),
            ];
            (headers, event).into_response()
        }
        "response" | "error" => {
            // A test that does not wait for it has ended.
            let _gone = around.replies.send(String::from_utf8_lossy(&body).into_owned());
            StatusCode::ACCEPTED.into_response()
        }
        "register" => [("lambda-extension-identifier", "0f1e2d3c-0000-4000-8000-000000000000")].into_response(),
        "next" => std::future::pending().await,
        _ => "healthy".into_response(),
    }
}

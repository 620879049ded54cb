//! The Runtime API. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::time::Duration;

use axum::body::Body;
use axum::response::Response as Reply;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::connection::{Address, ConnectError, Connection};
use super::event::LARGEST_EVENT;
use super::reply::{ERROR_BODY, ERROR_TYPE, ErrorReport, ReplyBody};

const VERSION: &str = "/2018-06-01/runtime";
const INVOCATION_ID: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
const INTEGRATION: HeaderValue = HeaderValue::from_static("application/vnd.awslambda.http-integration-response");

const USER_AGENT: &str = concat!("orrery/", env!("CARGO_PKG_VERSION"));

/// How often a connection is tried, or an invocation asked for, before it is given up: for some four seconds.
const ATTEMPTS: u32 = 10;
/// The first pause between two attempts; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The largest answer that is read where none matters, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What can go wrong with the Runtime API.
#[derive(Debug, thiserror::Error)]
pub(super) enum RuntimeApiError {
    /// It is not there.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection was cut.
    #[error("the connection to the Runtime API was cut")]
    Cut(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// It took something amiss.
    #[error("the Runtime API answered {0}")]
    Refused(StatusCode),
    /// An invocation has no name to answer it by.
    #[error("the Runtime API sent an invocation without an id")]
    NoId,
    /// A request cannot be built.
    #[error("the Runtime API cannot be asked that")]
    Request(#[from] http::Error),
}

/// One invocation.
#[derive(Debug)]
pub(super) struct Invocation {
    /// Its name.
    pub(super) id: String,
    /// The attempt's name, which is given back.
    attempt: Option<HeaderValue>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub(super) deadline_ms: Option<i64>,
    /// The trace that it belongs to.
    pub(super) trace: Option<HeaderValue>,
    /// What it is about; none where that is too large.
    pub(super) event: Option<Bytes>,
}

/// The Runtime API over one connection, which is opened when it is needed.
pub(super) struct RuntimeApi {
    address: Address,
    connection: Option<Connection>,
}

impl RuntimeApi {
    pub(super) const fn new(address: Address) -> Self {
        Self { address, connection: None }
    }

    /// Gives the connection up, and with it a reply that is on its way.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Waits for the next invocation, however long it takes.
    ///
    /// # Errors
    /// Where none can be had in [`ATTEMPTS`] attempts.
    pub(super) async fn next(&mut self) -> Result<Invocation, RuntimeApiError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.try_next().await {
                Ok(Some(invocation)) => return Ok(invocation),
                Ok(None) => attempt = 0,
                Err(error @ RuntimeApiError::Connect(_)) => return Err(error),
                Err(error) if attempt >= ATTEMPTS => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "no invocation can be had");
                    self.disconnect();
                    tokio::time::sleep(pause(attempt)).await;
                }
            }
        }
    }

    /// The next invocation, or none yet.
    async fn try_next(&mut self) -> Result<Option<Invocation>, RuntimeApiError> {
        let request = self.request(Method::GET, "/invocation/next", HeaderMap::new(), Body::empty())?;
        let (parts, body) = self.send(request).await?.into_parts();
        if parts.status == StatusCode::NO_CONTENT {
            self.finish(body).await;
            return Ok(None);
        }
        if parts.status != StatusCode::OK {
            return Err(RuntimeApiError::Refused(parts.status));
        }
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let id = text("lambda-runtime-aws-request-id").ok_or(RuntimeApiError::NoId)?.to_owned();
        let event = match Limited::new(body, LARGEST_EVENT).collect().await {
            Ok(event) => Some(event.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                self.disconnect();
                None
            }
            Err(error) => return Err(RuntimeApiError::Cut(Some(error))),
        };
        Ok(Some(Invocation {
            id,
            attempt: parts.headers.get(INVOCATION_ID).cloned(),
            deadline_ms: text("lambda-runtime-deadline-ms").and_then(|millis| millis.parse().ok()),
            trace: parts.headers.get("lambda-runtime-trace-id").cloned(),
            event,
        }))
    }

    /// Streams the reply to an invocation, to its last frame.
    ///
    /// # Errors
    /// Where it is not taken, or the connection is cut; the reply is dropped then.
    pub(super) async fn respond(&mut self, invocation: &Invocation, reply: Reply) -> Result<(), RuntimeApiError> {
        let (body, end) = ReplyBody::new(reply);
        let mut headers = invocation.headers();
        headers.insert(RESPONSE_MODE, HeaderValue::from_static("streaming"));
        headers.insert(header::CONTENT_TYPE, INTEGRATION);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.append(header::TRAILER, HeaderValue::from(ERROR_TYPE));
        headers.append(header::TRAILER, HeaderValue::from(ERROR_BODY));
        let path = format!("/invocation/{}/response", invocation.id);
        let request = self.request(Method::POST, &path, headers, Body::new(body))?;
        let sent = self.exchange(request).await;
        // Some emulators answer at once: the invocation lasts for as long as its reply does.
        let sent = match sent {
            Ok(()) => end.await.map_err(|_dropped| RuntimeApiError::Cut(None)),
            Err(error) => Err(error),
        };
        if sent.is_err() {
            self.disconnect();
        } else if let Some(connection) = &mut self.connection
            && !connection.is_ready().await
        {
            self.disconnect();
        }
        sent
    }

    /// Tells that an invocation failed.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub(super) async fn fail(
        &mut self,
        invocation: &Invocation,
        report: &ErrorReport<'_>,
    ) -> Result<(), RuntimeApiError> {
        self.report(&format!("/invocation/{}/error", invocation.id), invocation.headers(), report).await
    }

    /// Tells that the function cannot start.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub(super) async fn fail_to_start(&mut self, report: &ErrorReport<'_>) -> Result<(), RuntimeApiError> {
        self.report("/init/error", HeaderMap::new(), report).await
    }

    async fn report(
        &mut self,
        path: &str,
        mut headers: HeaderMap,
        report: &ErrorReport<'_>,
    ) -> Result<(), RuntimeApiError> {
        if let Ok(kind) = HeaderValue::from_str(report.error_type) {
            headers.insert(ERROR_TYPE, kind);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.request(Method::POST, path, headers, Body::from(report.json()))?;
        let told = self.exchange(request).await;
        if told.is_err() {
            self.disconnect();
        }
        told
    }

    /// Sends what needs no more than to be taken.
    async fn exchange(&mut self, request: Request<Body>) -> Result<(), RuntimeApiError> {
        let (parts, body) = self.send(request).await?.into_parts();
        if !parts.status.is_success() {
            return Err(RuntimeApiError::Refused(parts.status));
        }
        self.finish(body).await;
        Ok(())
    }

    /// Reads an answer to its end, so that the connection can be used again.
    async fn finish(&mut self, body: Incoming) {
        if Limited::new(body, LARGEST_ANSWER).collect().await.is_err() {
            self.disconnect();
        }
    }

    /// Sends a request: again on a new connection for as long as none of it was sent.
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, RuntimeApiError> {
        let mut unsent = request;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.try_send(unsent).await? {
                Sent::Answered(response) => return Ok(response),
                Sent::Nothing(request, error) => {
                    unsent = *request;
                    error
                }
            };
            if attempt >= ATTEMPTS {
                return Err(error.into());
            }
            // A connection that was closed while nobody used it is no reason to wait.
            if attempt > 1 {
                tracing::warn!(%error, "the Runtime API is tried again");
                tokio::time::sleep(pause(attempt)).await;
            }
        }
    }

    async fn try_send(&mut self, request: Request<Body>) -> Result<Sent, RuntimeApiError> {
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.address).await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return Ok(Sent::Nothing(Box::new(request), error)),
        };
        if !connection.is_ready().await {
            return Ok(Sent::Nothing(Box::new(request), ConnectError::Closed));
        }
        match connection.send(request).await {
            Ok(response) => {
                self.connection = Some(connection);
                Ok(Sent::Answered(response))
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) => Ok(Sent::Nothing(Box::new(unsent), ConnectError::Closed)),
                None => Err(RuntimeApiError::Cut(Some(error.into_error().into()))),
            },
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Request<Body>, RuntimeApiError> {
        let target = format!("{}{VERSION}{path}", self.address.prefix);
        let host = self.address.authority.as_str();
        let builder = Request::builder().method(method).uri(target).header(header::HOST, host);
        let mut request = builder.header(header::USER_AGENT, USER_AGENT).body(body)?;
        request.headers_mut().extend(headers);
        Ok(request)
    }
}

/// What became of a request.
enum Sent {
    /// The head of its answer is here.
    Answered(Response<Incoming>),
    /// None of it was sent.
    Nothing(Box<Request<Body>>, ConnectError),
}

impl Invocation {
    /// The headers of what is sent about it.
    fn headers(&self) -> HeaderMap {
        self.attempt.iter().map(|attempt| (INVOCATION_ID, attempt.clone())).collect()
    }
}

fn pause(attempt: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE)
}

//! A reply as Lambda streams it: a JSON prelude with status and headers, eight NUL bytes, then the body's frames as they
//! come. A body that fails ends in trailers.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as HttpBody, Frame};
use serde::Serialize;
use tokio::sync::oneshot;
use tracing::Span;

use super::answer::forget;
use crate::telemetry;

/// Names the error, in a trailer or a header.
pub(super) const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
/// Holds the error as JSON in base64, in a trailer.
pub(super) const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

/// What separates the prelude from the body.
const SEPARATOR: [u8; 8] = [0; 8];

/// An error as Lambda is told it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorReport<'a> {
    pub(super) error_message: &'a str,
    pub(super) error_type: &'a str,
}

impl ErrorReport<'_> {
    /// The report as JSON.
    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prelude {
    status_code: u16,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
}

/// A header that stands several times becomes a list, which every reader of the prelude understands and means the same
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-5.3>); only cookies are no list.
fn prelude(status: http::StatusCode, headers: &HeaderMap) -> Bytes {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut joined = BTreeMap::<String, String>::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::SET_COOKIE) {
        joined
            .entry(name.to_string())
            .and_modify(|list| {
                list.push_str(", ");
                list.push_str(&text(value));
            })
            .or_insert_with(|| text(value));
    }
    let cookies = headers.get_all(header::SET_COOKIE).iter().map(text).collect();
    let prelude = Prelude { status_code: status.as_u16(), headers: joined, cookies };
    let mut bytes = serde_json::to_vec(&prelude).unwrap_or_default();
    bytes.extend_from_slice(&SEPARATOR);
    Bytes::from(bytes)
}

/// A reply on its way.
pub(super) struct ReplyBody {
    stage: Stage,
    body: Body,
    span: Span,
    ended: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum Stage {
    Prelude(Bytes),
    Frames,
    Ended,
}

impl ReplyBody {
    /// The reply, and what tells that its end was reached, be it in trailers. Where the reply is dropped before, the
    /// receiver gets nothing.
    pub(super) fn new(response: Response) -> (Self, oneshot::Receiver<()>) {
        let (parts, body) = response.into_parts();
        let (ended, end) = oneshot::channel();
        let stage = Stage::Prelude(prelude(parts.status, &parts.headers));
        (Self { stage, body, span: Span::current(), ended: Some(ended) }, end)
    }

    fn end(&mut self) {
        self.stage = Stage::Ended;
        self.body = Body::empty();
        if let Some(ended) = self.ended.take() {
            // Nobody waits for the reply where the process ends.
            let _unheard = ended.send(());
        }
    }

    fn fail(&mut self, kind: &'static str) -> Frame<Bytes> {
        self.end();
        let report = ErrorReport { error_message: "The reply broke off.", error_type: kind };
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(ERROR_TYPE, HeaderValue::from_static(kind));
        if let Ok(body) = HeaderValue::try_from(STANDARD.encode(report.json())) {
            trailers.insert(ERROR_BODY, body);
        }
        Frame::trailers(trailers)
    }
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.stage {
            Stage::Prelude(prelude) => {
                let prelude = std::mem::take(prelude);
                self.stage = Stage::Frames;
                return Poll::Ready(Some(Ok(Frame::data(prelude))));
            }
            Stage::Frames => {}
            Stage::Ended => return Poll::Ready(None),
        }
        let span = self.span.clone();
        let _entered = span.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(context)));
        let failure = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
            // Trailers of the handler's own have no place in an HTTP integration.
            Ok(Poll::Ready(None | Some(Ok(_)))) => {
                self.end();
                return Poll::Ready(None);
            }
            Ok(Poll::Ready(Some(Err(error)))) => {
                tracing::error!(error = telemetry::chain(&error), "the reply broke off");
                "Runtime.StreamError"
            }
            Err(panic) => {
                forget(panic);
                tracing::error!("the reply's stream panicked");
                "Runtime.StreamPanic"
            }
        };
        Poll::Ready(Some(Ok(self.fail(failure))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }
}

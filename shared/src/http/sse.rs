//! Server-sent events. <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, Stream, StreamExt};
use http::header::{self, HeaderValue};
use utoipa::ToSchema;

/// How long a stream is silent at most: well below every proxy's patience, and API Gateway's.
const SILENCE: Duration = Duration::from_secs(15);

/// One event: its name, if it has one, and its data on one line.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = ServerSentEvent)]
pub struct Frame {
    /// The event's name.
    #[schema(nullable = false)]
    pub event: Option<&'static str>,
    /// Its data: compact JSON, or a word.
    pub data: String,
}

/// A reply that sends each frame whole and at once, and a comment where it would be silent for long.
pub fn stream(frames: impl Stream<Item = Frame> + Send + 'static) -> Response {
    let events = together(frames).map(|frame| {
        let event = match frame.event {
            Some(name) => Event::default().event(name),
            None => Event::default(),
        };
        Ok::<_, Infallible>(event.data(frame.data))
    });
    let mut response =
        Sse::new(events).keep_alive(KeepAlive::new().interval(SILENCE).text("heartbeat")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // For proxies that gather small writes otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The same frames. One that was waited for lets everything else that can run come first, so that the frames of one burst
/// are ready by then and leave in one write. No time passes for a frame that comes alone.
fn together(frames: impl Stream<Item = Frame> + Send) -> impl Stream<Item = Frame> + Send {
    stream::unfold(Box::pin(frames), |mut frames| async move {
        let frame = match frames.next().now_or_never() {
            Some(frame) => frame?,
            None => {
                let frame = frames.next().await?;
                // Within a group, since that asks only whom it was told to: hyper asks a body for frames at any time.
                FuturesUnordered::from_iter([tokio::task::yield_now()]).next().await;
                frame
            }
        };
        Some((frame, frames))
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use futures::pending;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    fn frame(number: usize) -> Frame {
        Frame { event: None, data: number.to_string() }
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "both tasks end with the test")]
    async fn frames_that_come_one_after_the_other_without_a_pause_are_ready_together() {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let mut frames = Box::pin(together(UnboundedReceiverStream::new(receiver)));
        assert!(frames.next().now_or_never().is_none());
        let sending = tokio::spawn(async move {
            for number in 0..5 {
                sender.send(frame(number)).unwrap();
                // To the end of the queue, behind whoever waits for the frame.
                let mut is_behind = false;
                poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut is_behind, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            pending!();
        });
        let reading = tokio::spawn(async move {
            // As hyper does, who asks once more before it waits.
            let asked_twice = poll_fn(|context| match frames.poll_next_unpin(context) {
                Poll::Pending => frames.poll_next_unpin(context),
                ready => ready,
            });
            let first = asked_twice.await;
            first.into_iter().chain(std::iter::from_fn(|| frames.next().now_or_never().flatten())).collect::<Vec<_>>()
        });
        assert_eq!(reading.await.unwrap(), [frame(0), frame(1), frame(2), frame(3), frame(4)]);
        sending.abort();
    }
}

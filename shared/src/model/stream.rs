//! From a response's bytes to model events: server-sent events, their limits and time-outs, and the provider's decoder.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use sse_stream::SseByteStream;
use tokio::time::{Instant, timeout_at};

use super::{Completion, ErrorKind, ModelError, ModelEvent, Usage};

/// The most bytes from one event to the next.
const MAX_EVENT_BYTES: usize = 8 << 20;
/// The most bytes of one answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The events of one call. It ends with a completion or an error.
pub(super) type Events = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// Understands the events of one provider.
pub(super) trait Decoder: Send {
    /// Reads the data of one event and adds what it tells. A completion is the last that it adds.
    fn read(&mut self, data: &str, events: &mut VecDeque<ModelEvent>) -> Result<(), ModelError>;

    /// Called when no more will come: the completion, if everything for it has come.
    fn finish(&mut self) -> Option<Completion>;

    /// What the call has used so far.
    fn usage(&self) -> Usage;
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When the first bytes of the answer must have come.
    pub(super) first_byte: Instant,
    /// The longest silence after that.
    pub(super) idle: Duration,
    /// When everything must have come.
    pub(super) deadline: Instant,
}

/// Why bytes stopped coming.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("nothing came in time")]
    Timeout,
    #[error("more came than is allowed")]
    TooLong,
    #[error("the connection was lost")]
    Connection(#[source] reqwest::Error),
}

/// The body's bytes, for as long as patience lasts. Dropping it closes the connection.
pub(super) fn body(response: reqwest::Response, patience: Patience) -> impl Stream<Item = Result<Bytes, ReadError>> {
    let begin = Some((response, Some(patience.first_byte)));
    stream::unfold(begin, move |state| async move {
        let (mut response, first_byte) = state?;
        let until = first_byte.unwrap_or_else(|| Instant::now() + patience.idle).min(patience.deadline);
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(bytes)) => Some((Ok(bytes?), Some((response, None)))),
            Ok(Err(error)) => Some((Err(ReadError::Connection(error.without_url())), None)),
            Err(_) => Some((Err(ReadError::Timeout), None)),
        }
    })
}

/// The events that those bytes tell.
pub(super) fn decode(
    bytes: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
    decoder: impl Decoder + 'static,
) -> Events {
    let since_event = Arc::new(AtomicUsize::new(0));
    let reading = Reading {
        blocks: SseByteStream::new(Box::pin(bounded(bytes, Arc::clone(&since_event)))),
        since_event,
        decoder,
        ready: VecDeque::new(),
        is_over: false,
    };
    stream::unfold(reading, |mut reading| async move { reading.next().await.map(|event| (event, reading)) }).boxed()
}

fn bounded(
    bytes: impl Stream<Item = Result<Bytes, ReadError>>,
    since_event: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, ReadError>> {
    let mut total = 0;
    bytes.map(move |bytes| {
        let bytes = bytes?;
        total += bytes.len();
        let event = since_event.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if total > MAX_ANSWER_BYTES || event > MAX_EVENT_BYTES { Err(ReadError::TooLong) } else { Ok(bytes) }
    })
}

struct Reading<S, D>
where
    S: Stream<Item = Result<Bytes, ReadError>> + Send,
{
    blocks: SseByteStream<std::pin::Pin<Box<S>>>,
    since_event: Arc<AtomicUsize>,
    decoder: D,
    ready: VecDeque<ModelEvent>,
    is_over: bool,
}

impl<S, D> Reading<S, D>
where
    S: Stream<Item = Result<Bytes, ReadError>> + Send,
    D: Decoder,
{
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.is_over = matches!(event, ModelEvent::Completed(_));
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.is_over = true;
                return Some(Err(error.with_usage(self.decoder.usage())));
            }
        }
    }

    async fn advance(&mut self) -> Result<(), ModelError> {
        let failure = match self.blocks.next().await {
            Some(Ok(block)) => {
                self.since_event.store(0, Ordering::Relaxed);
                return match block.data.as_deref().map(str::trim) {
                    None | Some("") => Ok(()),
                    Some(data) => self.decoder.read(data, &mut self.ready),
                };
            }
            Some(Err(error)) => broken(error),
            None => ModelError::new(ErrorKind::Cut),
        };
        let completion = self.decoder.finish().ok_or(failure)?;
        self.ready.push_back(ModelEvent::Completed(completion));
        Ok(())
    }
}

fn broken(error: sse_stream::Error) -> ModelError {
    let sse_stream::Error::Body(source) = error else {
        return ModelError::new(ErrorKind::Malformed).with_source(error);
    };
    let kind = match source.downcast_ref::<ReadError>() {
        Some(ReadError::Timeout) => ErrorKind::Timeout,
        Some(ReadError::TooLong) => ErrorKind::Malformed,
        Some(ReadError::Connection(_)) | None => ErrorKind::Cut,
    };
    ModelError::new(kind).with_source(source)
}

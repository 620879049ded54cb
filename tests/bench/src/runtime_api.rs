//! A Lambda Runtime API for one function at a time, which tells when it is asked and when each piece of a reply comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::clock::Clock;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Outcome;
use crate::wire::{Peer, Server, Wire, message};

/// The longest wait for a function.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an invocation may take.
const INVOCATION_MS: i64 = 60_000;

/// A reply with the time of each of its pieces.
pub(crate) struct Reply {
    pub(crate) pieces: Vec<(Instant, Vec<u8>)>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.pieces.iter().flat_map(|(_, piece)| piece).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// When this text had come.
    pub(crate) fn arrival(&self, text: &str) -> Option<Instant> {
        let has = |piece: &[u8]| piece.windows(text.len()).any(|window| window == text.as_bytes());
        self.pieces.iter().find(|(_, piece)| has(piece)).map(|(at, _)| *at)
    }
}

/// The Runtime API.
pub(crate) struct RuntimeApi {
    pub(crate) server: Server,
    events: UnboundedSender<Arc<str>>,
    polls: UnboundedReceiver<Instant>,
    replies: UnboundedReceiver<Reply>,
}

struct Inside {
    clock: Clock,
    events: Mutex<UnboundedReceiver<Arc<str>>>,
    polls: UnboundedSender<Instant>,
    replies: UnboundedSender<Reply>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Outcome<Self> {
        let (events, events_inside) = unbounded_channel();
        let (polls_inside, polls) = unbounded_channel();
        let (replies_inside, replies) = unbounded_channel();
        let inside = Inside {
            clock: Clock::system(),
            events: Mutex::new(events_inside),
            polls: polls_inside,
            replies: replies_inside,
        };
        Ok(Self { server: Server::start(Arc::new(inside)).await?, events, polls, replies })
    }

    /// When the function next asks for an invocation.
    pub(crate) async fn polled(&mut self) -> Outcome<Instant> {
        let at = tokio::time::timeout(PATIENCE, self.polls.recv()).await;
        at.map_err(|_late| "the function does not ask for an invocation")?.ok_or_else(|| "no Runtime API".into())
    }

    /// Hands an event over and waits for the whole reply.
    pub(crate) async fn invoke(&mut self, event: &Arc<str>) -> Outcome<Reply> {
        self.events.send(Arc::clone(event))?;
        let reply = tokio::time::timeout(PATIENCE, self.replies.recv()).await;
        reply.map_err(|_late| "the function does not reply")?.ok_or_else(|| "no Runtime API".into())
    }
}

impl Peer for Inside {
    async fn talk(self: Arc<Self>, mut wire: Wire) -> Outcome<()> {
        while let Some(head) = wire.head().await? {
            let at = Instant::now();
            let mut rest = head.rest();
            let line = head.line().to_owned();
            if line.contains("/invocation/next") {
                self.polls.send(at)?;
                let event = self.events.lock().await.recv().await.ok_or("no events")?;
                let deadline = self.clock.now_ms() + INVOCATION_MS;
                let headers = format!(
                    "Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                     Lambda-Runtime-Deadline-Ms: {deadline}\r\n\
                     Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:bench\r\n\
                     Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n"
                );
                wire.send(&message("HTTP/1.1 200 OK", &headers, event.as_bytes())).await?;
            } else if line.contains("/extension/register") {
                wire.body(rest).await?;
                let headers = "Lambda-Extension-Identifier: 0f1e2d3c-0000-4000-8000-000000000000\r\n";
                wire.send(&message("HTTP/1.1 200 OK", headers, b"{}")).await?;
            } else if line.contains("/extension/event/next") {
                std::future::pending::<()>().await;
            } else {
                let mut pieces = Vec::new();
                while let Some(piece) = wire.piece(&mut rest).await? {
                    pieces.push((Instant::now(), piece));
                }
                wire.send(&message("HTTP/1.1 202 Accepted", "", br#"{"status":"OK"}"#)).await?;
                self.replies.send(Reply { pieces }).map_err(|_gone| "nobody waits for replies")?;
            }
        }
        Ok(())
    }
}

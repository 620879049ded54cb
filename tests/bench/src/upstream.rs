//! A model's provider that streams as fast as it can, or at a pace, and stamps what it sends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::load::Target;
use crate::wire::{Peer, Server, Wire, message};

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// How many tokens.
    pub(crate) tokens: usize,
    /// The pause before each but the first; none sends all at once.
    pub(crate) pause: Option<Duration>,
}

/// Tokens at a pace at which each goes its way alone.
pub(crate) const PACED: Script = Script { tokens: 20, pause: Some(Duration::from_millis(8)) };

/// The provider.
pub(crate) struct Upstream {
    pub(crate) server: Server,
    inside: Arc<Inside>,
}

struct Inside {
    script: Mutex<Script>,
    asked: Mutex<Vec<Instant>>,
    sent: Mutex<Vec<Instant>>,
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The text of a token, which is in nothing else that is sent.
pub(crate) fn token(number: usize) -> String {
    format!("tok{number:03} ")
}

impl Upstream {
    pub(crate) async fn start(script: Script) -> Outcome<Self> {
        let inside = Arc::new(Inside { script: Mutex::new(script), asked: Mutex::default(), sent: Mutex::default() });
        Ok(Self { server: Server::start(Arc::clone(&inside)).await?, inside })
    }

    /// A request to it, without anything between.
    pub(crate) fn target(&self) -> Target {
        let body = r#"{"model":"mock","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
        Target::post(self.server.address, "/v1/chat/completions", "bench", body)
    }

    pub(crate) fn play(&self, script: Script) {
        *lock(&self.inside.script) = script;
    }

    /// When it was asked since this was last wanted to be known.
    pub(crate) fn take_asked(&self) -> Vec<Instant> {
        std::mem::take(&mut *lock(&self.inside.asked))
    }

    /// When the last answer's tokens were sent.
    pub(crate) fn take_sent(&self) -> Vec<Instant> {
        std::mem::take(&mut *lock(&self.inside.sent))
    }
}

impl Peer for Inside {
    async fn talk(self: Arc<Self>, mut wire: Wire) -> Outcome<()> {
        let mut whole: Option<(usize, Vec<u8>)> = None;
        while let Some(head) = wire.head().await? {
            if head.line().starts_with("GET") {
                wire.send(&message("HTTP/1.1 200 OK", "", b"{}")).await?;
                continue;
            }
            wire.body(head.rest()).await?;
            let script = *lock(&self.script);
            match script.pause {
                None => {
                    let kept = whole.take().filter(|(tokens, _)| *tokens == script.tokens);
                    let (_, bytes) = whole.insert(kept.unwrap_or_else(|| (script.tokens, all(script.tokens))));
                    wire.send(bytes).await?;
                }
                Some(pause) => self.stream(&mut wire, script.tokens, pause).await?,
            }
        }
        Ok(())
    }
}

impl Inside {
    async fn stream(&self, wire: &mut Wire, tokens: usize, pause: Duration) -> Outcome<()> {
        lock(&self.asked).push(Instant::now());
        lock(&self.sent).clear();
        wire.send(HEAD).await?;
        for number in 0..tokens {
            if number > 0 {
                tokio::time::sleep(pause).await;
            }
            let bytes = chunk(&delta(number));
            lock(&self.sent).push(Instant::now());
            wire.send(&bytes).await?;
        }
        wire.send(&end(tokens)).await
    }
}

fn all(tokens: usize) -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    (0..tokens).for_each(|number| bytes.extend(chunk(&delta(number))));
    bytes.extend(end(tokens));
    bytes
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

fn event(choices: &str, more: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"mock\",\"choices\":{choices}{more}}}\n\n"
    )
}

fn delta(number: usize) -> String {
    event(&format!(r#"[{{"index":0,"delta":{{"content":"{}"}},"finish_reason":null}}]"#, token(number)), "")
}

fn end(tokens: usize) -> Vec<u8> {
    let finish = event(r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#, "");
    let usage =
        format!(r#","usage":{{"prompt_tokens":20,"completion_tokens":{tokens},"total_tokens":{}}}"#, tokens + 20);
    let mut bytes = chunk(&format!("{finish}{}data: [DONE]\n\n", event("[]", &usage)));
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! An SQS that takes every message and hands none out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::wire::{Peer, Server, Wire, message};

/// The queues' port.
pub(crate) struct Sqs {
    pub(crate) server: Server,
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Inside {
    pause: Mutex<Duration>,
    bodies: Mutex<Vec<String>>,
}

impl Sqs {
    pub(crate) async fn start() -> Outcome<Self> {
        let inside = Arc::<Inside>::default();
        Ok(Self { server: Server::start(Arc::clone(&inside)).await?, inside })
    }

    /// From now on, calls are answered after this time.
    pub(crate) fn answer_after(&self, pause: Duration) {
        *self.inside.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    /// What was sent since this was last asked, in the order in which it came.
    pub(crate) fn take_bodies(&self) -> Vec<String> {
        std::mem::take(&mut *self.inside.bodies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Peer for Inside {
    async fn talk(self: Arc<Self>, mut wire: Wire) -> Outcome<()> {
        while let Some(head) = wire.head().await? {
            let body = wire.body(head.rest()).await?;
            if head.header("x-amz-target") == Some("AmazonSQS.SendMessage") {
                let mut request: Value = serde_json::from_slice(&body)?;
                let body = request["MessageBody"].take();
                let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
                bodies.push(body.as_str().unwrap_or_default().to_owned());
            }
            let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let headers = "Content-Type: application/x-amz-json-1.0\r\n";
            wire.send(&message("HTTP/1.1 200 OK", headers, br#"{"MessageId":"1"}"#)).await?;
        }
        Ok(())
    }
}

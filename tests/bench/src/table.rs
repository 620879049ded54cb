//! The embedded table behind a port, so that a function's process holds no part of it. It can answer late, and add up
//! the capacity units that calls consume.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use embedded::EmbeddedDynamo;
use serde_json::Value;

use crate::Outcome;
use crate::wire::{Peer, Server, Wire, message};

/// The table's port.
pub(crate) struct Table {
    pub(crate) server: Server,
    inside: Arc<Inside>,
}

struct Inside {
    database: EmbeddedDynamo,
    mode: Mutex<Mode>,
    spent: Mutex<Spent>,
}

/// How calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At once.
    Plain,
    /// At once, and what they consume is added up.
    Counting,
    /// After this time.
    Late(Duration),
}

/// What calls have consumed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    /// Calls by operation.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Read units.
    pub(crate) read: f64,
    /// Write units.
    pub(crate) write: f64,
}

impl Table {
    pub(crate) async fn start(database: EmbeddedDynamo) -> Outcome<Self> {
        let inside = Arc::new(Inside { database, mode: Mutex::new(Mode::Plain), spent: Mutex::default() });
        Ok(Self { server: Server::start(Arc::clone(&inside)).await?, inside })
    }

    pub(crate) fn answer(&self, mode: Mode) {
        *self.inside.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// What was consumed since this was last asked.
    pub(crate) fn take_spent(&self) -> Spent {
        std::mem::take(&mut *self.inside.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Peer for Inside {
    async fn talk(self: Arc<Self>, mut wire: Wire) -> Outcome<()> {
        while let Some(head) = wire.head().await? {
            let body = wire.body(head.rest()).await?;
            let target = head.header("x-amz-target").unwrap_or_default().to_owned();
            if target.is_empty() {
                wire.send(&message("HTTP/1.1 200 OK", "", b"healthy")).await?;
                continue;
            }
            let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
            if let Mode::Late(pause) = mode {
                tokio::time::sleep(pause).await;
            }
            let body = if mode == Mode::Counting { asking_for_capacity(&body)? } else { body };
            let (status, answer) = self.run(&target, body).await?;
            if mode == Mode::Counting {
                self.count(&target, &serde_json::from_slice(&answer)?);
            }
            let headers = "Content-Type: application/x-amz-json-1.0\r\n";
            wire.send(&message(&format!("HTTP/1.1 {status} Answer"), headers, &answer)).await?;
        }
        Ok(())
    }
}

impl Inside {
    async fn run(&self, target: &str, body: Vec<u8>) -> Outcome<(u16, Vec<u8>)> {
        let (status, answer) = self.database.call(target, body.into()).await?;
        Ok((status, answer.to_vec()))
    }

    fn count(&self, target: &str, answer: &Value) {
        let operation = target.rsplit('.').next().unwrap_or_default();
        let consumed = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum(),
            table => table["CapacityUnits"].as_f64().unwrap_or_default(),
        };
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent.calls.entry(operation.to_owned()).or_default() += 1;
        if matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems") {
            spent.read += consumed;
        } else {
            spent.write += consumed;
        }
    }
}

fn asking_for_capacity(body: &[u8]) -> Outcome<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body)?;
    body["ReturnConsumedCapacity"] = "TOTAL".into();
    Ok(serde_json::to_vec(&body)?)
}

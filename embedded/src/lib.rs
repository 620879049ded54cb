//! DynamoDB in this process, over an embedded SQLite database, so that one machine runs the same store as the cloud.
//! Nothing listens, nothing is sent.
//!
//! A database in memory answers on the caller's thread, which costs a third less than the way to another thread and
//! back; one in a file waits for the disk, and for other processes, on a blocking thread, one call after the other: the
//! database takes one at a time, and threads that wait for their turn cost more than tasks that do.

mod operation;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use operation::{Counters, Operation};
use tokens::Tokens;

/// How long another process's hold on the file is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a held file is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const TARGET_PREFIX: &str = "DynamoDB_20120810.";
const UNKNOWN: &[u8] = br#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;

/// A database that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The file cannot be opened or created.
    #[error("the database {} cannot be opened: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database says.
        reason: String,
    },
    /// The path is not UTF-8.
    #[error("the database's path {} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The database in memory cannot be made.
    #[error("the database in memory cannot be made: {0}")]
    Memory(String),
    /// Expired items cannot be removed.
    #[error("expired items cannot be removed: {0}")]
    Sweep(String),
}

/// Answers an operation and its JSON, at the try of this number, by an HTTP status and JSON.
pub type Service = Arc<dyn Fn(&str, Bytes, u32) -> Answer + Send + Sync>;

type Answer = BoxFuture<'static, io::Result<(u16, Bytes)>>;

/// An embedded DynamoDB. Clones share one database.
#[derive(Clone)]
pub struct EmbeddedDynamo(Arc<Inner>);

struct Inner {
    database: Database,
    tokens: Tokens,
    place: Place,
    /// Whose turn it is, of those who call a database in a file.
    turn: Arc<Semaphore>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Memory,
    File,
}

impl EmbeddedDynamo {
    /// Opens the database in this file, which is made where it is missing, or a new one in memory. Several processes
    /// may have the same file open; each waits for the others up to 5 seconds.
    ///
    /// # Errors
    /// Where the file cannot be opened, is none of ours, or stays locked.
    pub fn open(path: Option<&Path>) -> Result<Self, EmbeddedError> {
        let (database, place) = match path {
            None => (Database::memory().map_err(|error| EmbeddedError::Memory(error.to_string()))?, Place::Memory),
            Some(path) => {
                let name = path.to_str().ok_or_else(|| EmbeddedError::Path(path.to_owned()))?;
                let database = patiently(|| Database::new(name))
                    .map_err(|error| EmbeddedError::Open { path: path.to_owned(), reason: error.to_string() })?;
                (database, Place::File)
            }
        };
        let (tokens, turn, counters) = (Tokens::default(), Arc::new(Semaphore::new(1)), Counters::default());
        Ok(Self(Arc::new(Inner { database, tokens, place, turn, counters })))
    }

    /// Answers a call: an operation (`DynamoDB_20120810.GetItem`) with its JSON, by an HTTP status with JSON.
    ///
    /// # Errors
    /// Where the process is about to end.
    pub fn call(&self, target: &str, body: Bytes) -> Answer {
        let (inner, target) = (Arc::clone(&self.0), target.to_owned());
        match self.0.place {
            Place::Memory => ready(Ok(inner.answer(&target, &body))).boxed(),
            Place::File => async move {
                let turn = Arc::clone(&inner.turn).acquire_owned().await.map_err(io::Error::other)?;
                let answer = move || {
                    let answer = inner.answer(&target, &body);
                    drop(turn);
                    answer
                };
                tokio::task::spawn_blocking(answer).await.map_err(io::Error::other)
            }
            .boxed(),
        }
    }

    /// It as a service that a client is given: the number of a call's try does not matter to it.
    #[must_use]
    pub fn service(&self) -> Service {
        let database = self.clone();
        Arc::new(move |target, body, _| database.call(target, body))
    }

    /// How often each operation was called through this handle and its clones; operations never called are left out.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.counters.read()
    }

    /// Removes the items whose time to live has passed, and tells how many. DynamoDB does so by itself within days;
    /// here nobody does it unasked. It blocks the thread.
    ///
    /// # Errors
    /// Where the database fails or stays locked.
    pub fn sweep_expired(&self) -> Result<usize, EmbeddedError> {
        patiently(|| self.0.database.sweep_ttl()).map_err(|error| EmbeddedError::Sweep(error.to_string()))
    }
}

impl fmt::Debug for EmbeddedDynamo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbeddedDynamo").field(&self.0.place).finish()
    }
}

impl Inner {
    fn answer(&self, target: &str, body: &[u8]) -> (u16, Bytes) {
        let operation = target.strip_prefix(TARGET_PREFIX).and_then(Operation::from_name);
        let Some(operation) = operation else { return (400, Bytes::from_static(UNKNOWN)) };
        self.counters.count(operation);
        match patiently(|| operation.run(&self.database, &self.tokens, body)) {
            Ok(json) => (200, json.into()),
            Err(error) => (error.status_code(), error.to_json().into()),
        }
    }
}

/// Runs `attempt` until the file is not locked by another process, for [`LOCK_PATIENCE`] at most. An operation that
/// finds the file locked has changed nothing.
fn patiently<T>(attempt: impl Fn() -> Result<T, DynoxideError>) -> Result<T, DynoxideError> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_locked(&error) && start.elapsed() < LOCK_PATIENCE => sleep(LOCK_PAUSE),
            result => return result,
        }
    }
}

fn is_locked(error: &DynoxideError) -> bool {
    matches!(error, DynoxideError::InternalServerError(_) | DynoxideError::SqliteError(_)) && {
        let message = error.to_string();
        message.contains("locked") || message.contains("busy")
    }
}

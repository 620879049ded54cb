//! DynamoDB in this process: a transport for the AWS SDK over an embedded SQLite database, so that one machine runs the
//! same store as the cloud. Nothing listens, nothing is sent.
//!
//! A database in memory answers on the caller's thread, which costs a third less than the way to another thread and
//! back; one in a file waits for the disk, and for other processes, on a blocking thread.

mod operation;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dynoxide::{Database, DynoxideError};

use operation::{Counters, Operation};

/// How long another process's hold on the file is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often a held file is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const TARGET_PREFIX: &str = "DynamoDB_20120810.";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

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

/// An embedded DynamoDB, given to the SDK as its HTTP client. Clones share one database.
#[derive(Clone)]
pub struct EmbeddedDynamo(Arc<Inner>);

struct Inner {
    database: Database,
    place: Place,
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
        Ok(Self(Arc::new(Inner { database, place, counters: Counters::default() })))
    }

    /// The SDK's client of this database.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one client that needs neither region nor credentials of its own"
    )]
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "this machine"))
            .http_client(self.clone());
        Client::from_conf(config.build())
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
    fn answer(&self, target: &str, body: &[u8]) -> Answer {
        let operation = target.strip_prefix(TARGET_PREFIX).and_then(Operation::from_name);
        let Some(operation) = operation else { return Answer::unknown_operation() };
        self.counters.count(operation);
        match patiently(|| operation.run(&self.database, body)) {
            Ok(json) => Answer { status: 200, json },
            Err(error) => Answer { status: error.status_code(), json: error.to_json() },
        }
    }
}

/// A reply on its way back to the SDK.
struct Answer {
    status: u16,
    json: String,
}

impl Answer {
    fn unknown_operation() -> Self {
        let json = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#.to_owned();
        Self { status: 400, json }
    }

    fn into_response(self) -> Result<HttpResponse, ConnectorError> {
        let status = StatusCode::try_from(self.status).map_err(|error| ConnectorError::other(error.into(), None))?;
        let mut response = HttpResponse::new(status, SdkBody::from(self.json));
        response.headers_mut().insert("content-type", CONTENT_TYPE);
        Ok(response)
    }
}

impl HttpConnector for EmbeddedDynamo {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let inner = Arc::clone(&self.0);
        let answer = move || inner.answer(&target, request.body().bytes().unwrap_or_default()).into_response();
        match self.0.place {
            Place::Memory => HttpConnectorFuture::ready(answer()),
            Place::File => HttpConnectorFuture::new(async move {
                tokio::task::spawn_blocking(answer).await.map_err(|error| ConnectorError::other(error.into(), None))?
            }),
        }
    }
}

impl HttpClient for EmbeddedDynamo {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("embedded", None))
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

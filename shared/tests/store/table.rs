//! The table of one test: embedded in this process, or a new one on the DynamoDB that `ORRERY_TEST_DYNAMODB` names.

use std::ops::Deref;
use std::thread;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use embedded::EmbeddedDynamo;
use shared::id::TraceId;
use shared::outbound::{self, TlsRoots};
use shared::store::Store;
use tempfile::TempDir;

/// The variable that names another DynamoDB, as in `http://127.0.0.1:8000`.
const ENDPOINT: &str = "ORRERY_TEST_DYNAMODB";

/// A test's own table, which goes when the test ends. It is used as the store over it.
pub(crate) struct Table {
    store: Store,
    /// The same table without the store.
    pub(crate) client: Client,
    /// Its name.
    pub(crate) name: String,
    place: Place,
}

/// Where a table is.
enum Place {
    Memory,
    File(#[expect(dead_code, reason = "it is removed when it is dropped")] TempDir),
    Endpoint(String),
}

impl Table {
    /// A table, in memory unless another DynamoDB is named.
    pub(crate) async fn new() -> Self {
        match endpoint() {
            Some(endpoint) => Self::at(endpoint).await,
            None => Self::over(EmbeddedDynamo::open(None).unwrap().client(), Place::Memory).await,
        }
    }

    /// A table whose calls run beside each other, so that what races here races in earnest: in a file, where calls
    /// run on threads of their own, unless another DynamoDB is named.
    pub(crate) async fn racing() -> Self {
        if let Some(endpoint) = endpoint() {
            return Self::at(endpoint).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let database = EmbeddedDynamo::open(Some(&folder.path().join("table"))).unwrap();
        Self::over(database.client(), Place::File(folder)).await
    }

    async fn at(endpoint: String) -> Self {
        Self::over(client(&endpoint), Place::Endpoint(endpoint)).await
    }

    async fn over(client: Client, place: Place) -> Self {
        let name = format!("orrery-{}", TraceId::generate());
        let store = Store::new(client.clone(), name.clone());
        let table = Self { store, client, name, place };
        table.create_table().await.unwrap();
        table
    }
}

impl Deref for Table {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for Table {
    /// On another DynamoDB the table is deleted, over a connection of its own: the test's may be gone with its runtime.
    fn drop(&mut self) {
        let Place::Endpoint(endpoint) = &self.place else { return };
        let deleted = thread::scope(|scope| scope.spawn(|| delete(endpoint, &self.name)).join());
        if !thread::panicking() {
            deleted.unwrap();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn delete(endpoint: &str, table: &str) {
    client(endpoint).delete_table().table_name(table).send().await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks where the tests' tables are")]
fn endpoint() -> Option<String> {
    std::env::var(ENDPOINT).ok().filter(|endpoint| !endpoint.is_empty())
}

/// A client of the endpoint, over the transport that the functions have.
#[expect(clippy::disallowed_methods, reason = "the one client that is not of a deployment")]
fn client(endpoint: &str) -> Client {
    let transport = outbound::client(TlsRoots::Bundled, Duration::from_secs(5)).unwrap();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "the tests"))
        .endpoint_url(endpoint)
        .http_client(outbound::sdk_transport(transport));
    Client::from_conf(config.build())
}

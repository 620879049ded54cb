//! The table of one test: embedded in this process, or a new one on the DynamoDB that `ORRERY_TEST_DYNAMODB` names.

use std::ops::Deref;
use std::thread;
use std::time::Duration;

use embedded::EmbeddedDynamo;
use serde_json::{Value, json};
use shared::aws::{Client, Service};
use shared::clock::Clock;
use shared::config::Aws;
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
    client: Client,
    /// Its name.
    name: String,
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
        match endpoint(ENDPOINT) {
            Some(endpoint) => Self::at(endpoint).await,
            None => Self::over(Client::in_process(EmbeddedDynamo::open(None).unwrap().service()), Place::Memory).await,
        }
    }

    /// A table whose calls run beside each other, so that what races here races in earnest: in a file, where calls
    /// run on threads of their own, unless another DynamoDB is named.
    pub(crate) async fn racing() -> Self {
        if let Some(endpoint) = endpoint(ENDPOINT) {
            return Self::at(endpoint).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let database = EmbeddedDynamo::open(Some(&folder.path().join("table"))).unwrap();
        Self::over(Client::in_process(database.service()), Place::File(folder)).await
    }

    async fn at(endpoint: String) -> Self {
        Self::over(client(Service::DynamoDb, &endpoint), Place::Endpoint(endpoint)).await
    }

    /// Calls an operation on this table, without the store.
    pub(crate) async fn call(&self, operation: &str, mut request: Value) {
        request["TableName"] = self.name.as_str().into();
        self.client.call(&format!("DynamoDB_20120810.{operation}"), request.to_string()).await.unwrap();
    }

    async fn over(client: Client, place: Place) -> Self {
        let name = format!("orrery-{}", TraceId::generate());
        let store = Store::new(client.clone(), &name);
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
    let client = client(Service::DynamoDb, endpoint);
    client.call("DynamoDB_20120810.DeleteTable", json!({ "TableName": table }).to_string()).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks where the tests' tables and queues are")]
pub(crate) fn endpoint(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|endpoint| !endpoint.is_empty())
}

/// A client of a service at the endpoint, over the transport that the functions have.
pub(crate) fn client(service: Service, endpoint: &str) -> Client {
    let transport = outbound::client(TlsRoots::Bundled, Duration::from_secs(5)).unwrap();
    let aws = Aws {
        region: "eu-central-1".to_owned(),
        dynamodb_endpoint: Some(endpoint.to_owned()),
        sqs_endpoint: Some(endpoint.to_owned()),
        credentials: Some(("test".to_owned(), "test".into(), None)),
        ..Aws::default()
    };
    Client::new(transport, Clock::system(), service, &aws)
}

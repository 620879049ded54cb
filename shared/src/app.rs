//! What a handler may use. Each part is made when it is first asked for, so that a function pays only for what it touches.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::admission::Admissions;
use crate::auth::{Gatekeeper, Users};
use crate::aws::{self, Service};
use crate::clock::Clock;
use crate::config::Config;
use crate::egress::{Egress, EgressError, EgressSettings};
use crate::http::ApiError;
use crate::limit::Limiter;
use crate::model::{ModelSettings, Models};
use crate::outbound;
use crate::queue::{Queue, QueueSettings, SqsQueue, TableQueue};
use crate::secret::{Sealer, Secrets};
use crate::session::Sessions;
use crate::store::Store;
use crate::telemetry::metrics;
use crate::turn::{TurnSettings, Turns};
use crate::webhook::{self, Deliveries, Outbox};

/// What people sent on channels waits in this queue of the table, where it does not in SQS.
const CHANNELS: &str = "channels";
/// Events on their way to receivers wait in this one.
const DELIVERIES: &str = "deliveries";
/// A queue of the table. Whoever works on a message renews its hold, so that a crash costs seconds.
const MACHINE: QueueSettings = QueueSettings { visibility: Duration::from_secs(9), most_receives: 10 };
/// How long the table's connection may take to be opened ahead.
const WARMING: Duration = Duration::from_millis(300);

/// The application: cheap to clone, one a process.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    config: Config,
    clock: Clock,
    store: Store,
    secrets: Secrets,
    client: reqwest::Client,
    egress: Egress,
    gatekeeper: Gatekeeper,
    admissions: Admissions,
    tasks: TaskTracker,
    channels: Queue,
    deliveries_queue: Queue,
    deliveries: OnceLock<Deliveries>,
    turns: OnceLock<Turns>,
    users: OnceLock<Users>,
}

/// What cannot be set up at the start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The HTTP client.
    #[error(transparent)]
    Outbound(#[from] outbound::OutboundError),
    /// The client for addresses that users name.
    #[error(transparent)]
    Egress(#[from] EgressError),
}

impl App {
    /// The application in the cloud: the table and the secret of the region, reached through our own HTTP client; its
    /// metrics are written where the settings name their namespace.
    ///
    /// # Errors
    /// Where the HTTP client cannot be built.
    pub fn in_the_cloud(config: Config, clock: Clock) -> Result<Self, AppError> {
        let client = outbound::client(config.tls_roots, config.connect_timeout)?;
        if let Some(namespace) = &config.metrics {
            metrics::start(namespace, clock.clone());
        }
        let table = aws::Client::new(client.clone(), clock.clone(), Service::DynamoDb, &config.aws);
        let store = Store::new(table, &config.table);
        Self::assemble(config, clock, store, client)
    }

    /// The application over a table that is at hand.
    ///
    /// # Errors
    /// Where the HTTP client cannot be built.
    pub fn over(config: Config, clock: Clock, store: Store) -> Result<Self, AppError> {
        let client = outbound::client(config.tls_roots, config.connect_timeout)?;
        Self::assemble(config, clock, store, client)
    }

    fn assemble(config: Config, clock: Clock, store: Store, client: reqwest::Client) -> Result<Self, AppError> {
        let secrets = match &config.secret {
            None => Secrets::environment(config.secrets.clone()),
            Some(name) => {
                let manager = aws::Client::new(client.clone(), clock.clone(), Service::SecretsManager, &config.aws);
                Secrets::manager(manager, name.clone(), config.secret_ttl, clock.clone())
            }
        };
        let queue = |name: &str, url: Option<&String>| match url {
            None => Queue::Table(TableQueue::new(store.clone(), clock.clone(), name, MACHINE)),
            Some(url) => {
                let sqs = aws::Client::new(client.clone(), clock.clone(), Service::Sqs, &config.aws);
                Queue::Sqs(SqsQueue::new(sqs, url.clone()))
            }
        };
        let channels = queue(CHANNELS, config.channels_queue.as_ref());
        let deliveries_queue = queue(DELIVERIES, config.deliveries_queue.as_ref());
        let limiter = Limiter::new(store.clone(), clock.clone());
        let sessions = Sessions::new(store.clone(), clock.clone(), config.session_ttl);
        Ok(Self(Arc::new(Parts {
            egress: Egress::new(outbound::tls(config.tls_roots)?, EgressSettings::default())?,
            gatekeeper: Gatekeeper::new(store.clone(), clock.clone()),
            admissions: Admissions::new(store.clone(), clock.clone(), limiter, sessions),
            tasks: TaskTracker::new(),
            channels,
            deliveries_queue,
            deliveries: OnceLock::new(),
            turns: OnceLock::new(),
            users: OnceLock::new(),
            config,
            clock,
            store,
            secrets,
            client,
        })))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The table.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Who checks keys.
    #[must_use]
    pub fn gatekeeper(&self) -> &Gatekeeper {
        &self.0.gatekeeper
    }

    /// Who lets callers in.
    #[must_use]
    pub fn admissions(&self) -> &Admissions {
        &self.0.admissions
    }

    /// Who runs turns.
    #[must_use]
    pub fn turns(&self) -> &Turns {
        self.0.turns.get_or_init(|| {
            let config = &self.0.config;
            let settings = ModelSettings {
                first_byte_timeout: config.first_byte_timeout,
                idle_timeout: config.idle_timeout,
                attempts: config.model_attempts,
                base_urls: config.base_urls.clone(),
                demo_delay: config.demo_delay,
                ..ModelSettings::default()
            };
            Turns::new(
                self.0.store.clone(),
                Models::new(self.0.client.clone(), settings, Arc::new(self.0.secrets.clone())),
                self.0.egress.clone(),
                self.0.clock.clone(),
                TurnSettings { limit: config.turn_limit, session_ttl: config.session_ttl },
                self.outbox(),
                self.0.tasks.clone(),
            )
        })
    }

    /// Who knows the people that come with an ID token.
    #[must_use]
    pub fn users(&self) -> &Users {
        self.0.users.get_or_init(|| {
            let oidc = self.0.config.oidc.clone();
            Users::new(oidc, self.0.client.clone(), self.0.store.clone(), self.0.clock.clone())
        })
    }

    /// What people sent on channels waits here.
    #[must_use]
    pub fn channels(&self) -> &Queue {
        &self.0.channels
    }

    /// Events on their way to receivers wait here.
    #[must_use]
    pub fn deliveries_queue(&self) -> &Queue {
        &self.0.deliveries_queue
    }

    /// Who hands over what is told to receivers.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.0.deliveries_queue.clone(), self.0.clock.clone())
    }

    /// Who sends events to receivers.
    ///
    /// # Errors
    /// Where the client for their addresses cannot be built.
    pub fn deliveries(&self) -> Result<&Deliveries, AppError> {
        if let Some(deliveries) = self.0.deliveries.get() {
            return Ok(deliveries);
        }
        let settings = EgressSettings {
            total_timeout: webhook::TOTAL_TIMEOUT,
            max_body_bytes: webhook::LARGEST_ANSWER,
            reach: self.0.config.webhook_reach.unwrap_or_default(),
            ..EgressSettings::default()
        };
        let egress = Egress::new(outbound::tls(self.0.config.tls_roots)?, settings)?;
        let (store, queue) = (self.0.store.clone(), self.0.deliveries_queue.clone());
        let made = Deliveries::new(store, queue, egress, self.0.secrets.clone(), self.0.clock.clone());
        Ok(self.0.deliveries.get_or_init(|| made))
    }

    /// The client for services that the operator chose.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.0.client
    }

    /// The deployment's secrets.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// The turns that run, to be waited for before the process ends.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Opens the connection to the table, so that the first request finds it open. What comes of it does not matter.
    pub async fn warm(&self) {
        match tokio::time::timeout(WARMING, self.0.store.warm()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the table's connection was not opened ahead"),
            Err(_) => tracing::debug!("the table's connection was not opened ahead in time"),
        }
    }

    /// What opens sealed texts.
    ///
    /// # Errors
    /// Where the sealing keys cannot be had.
    pub async fn sealer(&self) -> Result<Sealer, ApiError> {
        let keys = self.0.secrets.get("ORRERY_SEALING_KEYS").await.map_err(ApiError::internal)?;
        Sealer::new(keys.as_ref()).map_err(ApiError::internal)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn app() -> (App, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = Config::read([("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), endpoint)]).unwrap();
        (App::in_the_cloud(config, Clock::system()).unwrap(), listener)
    }

    #[tokio::test]
    async fn warming_asks_the_tables_endpoint_for_nothing_and_keeps_the_connection() {
        let (app, listener) = app().await;
        let table = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhealthy").await.unwrap();
            (String::from_utf8_lossy(&asked[..length]).to_lowercase(), stream)
        };
        let ((), (asked, mut stream)) = tokio::join!(app.warm(), table);
        assert!(asked.starts_with("get / http/1.1") && !asked.contains("authorization"), "{asked}");
        let mut again = [0; 1024];
        let (length, ()) = tokio::join!(async { stream.read(&mut again).await.unwrap() }, app.warm());
        assert!(again[..length].starts_with(b"GET / "), "the second request comes over the same connection");
    }

    #[tokio::test]
    async fn warming_does_not_wait_for_long() {
        let (app, _silent) = app().await;
        let begin = std::time::Instant::now();
        app.warm().await;
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    }
}

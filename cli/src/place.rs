//! Where agents and keys are kept: a directory of this machine, or a table on AWS.

use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials;
use embedded::{EmbeddedDynamo, EmbeddedError};
use secrecy::{ExposeSecret, SecretString};
use shared::app::{App, AppError};
use shared::auth::user;
use shared::aws::{Client, Service};
use shared::clock::Clock;
use shared::config::{Config, ConfigError};
use shared::http::ApiError;
use shared::id::TenantId;
use shared::outbound::{self, OutboundError};
use shared::queue::{Queue, QueueSettings, SqsQueue, TableQueue};
use shared::secret::{ManagedSecret, SEALING_KEYS, SealError, Sealer};
use shared::store::{Store, StoreError, TenantItem, UserItem};
use shared::telemetry;

use crate::args::{PlaceArguments, TableArguments};
use crate::issuer::{self, IssuerError, LocalIssuer};
use crate::transport;

/// The directory that is meant where none is named.
const DEFAULT_DIRECTORY: &str = ".orrery";
/// What stands for a table that is not kept.
pub(crate) const MEMORY: &str = ":memory:";
/// The table's name on this machine.
const LOCAL_TABLE: &str = "orrery";
/// What holds this machine's sealing keys.
pub(crate) const SEALING_KEYS_FILE: &str = "sealing-keys";
/// The deployment's own tenant.
const TENANT: &str = "ten_default";
/// The plan of who runs a deployment of their own: no limits.
const PLAN: &str = "enterprise";

/// A place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("--data :memory: keeps nothing: it is for `orrery serve` alone")]
    Memory,
    #[error("the directory {} cannot be used", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error("AWS credentials cannot be had")]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the table cannot be used")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("the deployment's sealing keys are needed: set ORRERY_SECRET to the name of its secret")]
    NoSecret(#[source] SealError),
    #[error(
        "the keys are in ORRERY_SEALING_KEYS: put a new one of 64 hex digits in front there, with a comma behind it"
    )]
    KeysInEnvironment,
    #[error("the deployment's secret cannot be read: {}", .0.source().map(telemetry::chain).unwrap_or_default())]
    Secret(ApiError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error("whose user is meant? Name who issues their ID tokens: --issuer URL, or ORRERY_OIDC_ISSUER")]
    NoIssuer,
    #[error("a user's subject is 1 to 255 characters, in one line")]
    Subject,
}

/// An open table and whose part of it is meant.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tenant: TenantId,
    pub(crate) keeper: Keeper,
}

/// What keeps the table.
#[derive(Clone, Debug)]
pub(crate) enum Keeper {
    /// A directory of this machine, or its memory.
    Machine { database: EmbeddedDynamo, directory: Option<PathBuf> },
    /// AWS, with the settings and credentials that were found, and what calls it.
    Cloud { config: Box<Config>, client: reqwest::Client },
}

/// Where the sealing keys are kept.
pub(crate) enum KeysPlace {
    /// A file of this machine.
    File(PathBuf),
    /// A secret in Secrets Manager, which functions keep for a while.
    Manager { secret: ManagedSecret, name: String, memory: Duration },
}

impl Place {
    /// The place that a command means.
    pub(crate) async fn open(arguments: &TableArguments) -> Result<Self, PlaceError> {
        let mut place = Self::at(&arguments.place).await?;
        if let Some(subject) = &arguments.owner {
            let user = place.user(subject, arguments.issuer.as_deref())?;
            place.tenant = user::settle(&place.store, &place.clock, &user.issuer, &user.subject).await?;
        }
        Ok(place)
    }

    /// The place that a command means which is about the whole of it.
    pub(crate) async fn at(arguments: &PlaceArguments) -> Result<Self, PlaceError> {
        match &arguments.table {
            Some(table) => Self::cloud(table, arguments).await,
            None if arguments.data == Path::new(MEMORY) => Err(PlaceError::Memory),
            None => Self::machine(&arguments.data).await,
        }
    }

    /// A queue of this machine, by its name.
    pub(crate) fn table_queue(&self, name: &str) -> TableQueue {
        TableQueue::new(self.store.clone(), self.clock.clone(), name, QueueSettings::MACHINE)
    }

    /// The queue of SQS at this URL; none where the place is this machine.
    pub(crate) fn sqs_queue(&self, url: &str) -> Option<Queue> {
        let Keeper::Cloud { config, client } = &self.keeper else { return None };
        let sqs = Client::new(client.clone(), self.clock.clone(), Service::Sqs, &config.aws);
        Some(Queue::Sqs(SqsQueue::new(sqs, url.to_owned())))
    }

    /// A user of this place, as the table would keep them if this place were theirs.
    pub(crate) fn user(&self, subject: &str, issuer: Option<&str>) -> Result<UserItem, PlaceError> {
        let issuer = match (issuer, Config::from_environment()?.oidc, &self.keeper) {
            (Some(issuer), _, _) => issuer.to_owned(),
            (None, Some(oidc), _) => oidc.issuer,
            (None, None, Keeper::Machine { .. }) => issuer::NAME.to_owned(),
            (None, None, Keeper::Cloud { .. }) => return Err(PlaceError::NoIssuer),
        };
        if !(1..=255).contains(&subject.chars().count()) || subject.chars().any(char::is_control) {
            return Err(PlaceError::Subject);
        }
        Ok(user::item(&issuer, subject, self.tenant.clone(), self.clock.now_ms()))
    }

    /// What signs this machine's ID tokens, made where it is missing; none where nothing is kept.
    pub(crate) fn issuer(&self) -> Result<Option<LocalIssuer>, PlaceError> {
        let Keeper::Machine { directory: Some(directory), .. } = &self.keeper else { return Ok(None) };
        let path = directory.join("issuer-key");
        let new = LocalIssuer::generate()?;
        let kept = keep(&path, new.expose_secret()).map_err(|error| PlaceError::Directory(path, error))?;
        Ok(Some(LocalIssuer::read(&SecretString::from(kept))?))
    }

    /// The table of a directory, which is made where it is missing, or one in memory.
    pub(crate) async fn machine(data: &Path) -> Result<Self, PlaceError> {
        let directory = (data != Path::new(MEMORY)).then(|| data.to_owned());
        if let Some(directory) = &directory {
            make_directory(directory).map_err(|error| PlaceError::Directory(directory.clone(), error))?;
        }
        let database =
            EmbeddedDynamo::open(directory.as_ref().map(|directory| directory.join("orrery.db")).as_deref())?;
        let store = Store::new(Client::in_process(database.service()), LOCAL_TABLE);
        store.create_table().await?;
        let place = Self::of(store, Keeper::Machine { database, directory }).await?;
        let owner = user::item(issuer::NAME, issuer::OWNER, place.tenant.clone(), place.clock.now_ms());
        if place.store.user(&owner.hash).await?.is_none() {
            place.store.put_user(&owner).await?;
        }
        Ok(place)
    }

    async fn cloud(table: &str, arguments: &PlaceArguments) -> Result<Self, PlaceError> {
        let mut config = Config::from_environment()?;
        let client = outbound::client(config.tls_roots, config.connect_timeout)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(transport::over(client.clone()));
        if let Some(region) = &arguments.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let found = loader.load().await;
        if let Some(region) = found.region() {
            config.aws.region = region.to_string();
        }
        if let Some(provider) = found.credentials_provider() {
            let found = provider.provide_credentials().await.map_err(|error| PlaceError::Credentials(error.into()))?;
            let token = found.session_token().map(SecretString::from);
            let key = SecretString::from(found.secret_access_key());
            config.aws.credentials = Some((found.access_key_id().to_owned(), key, token));
        }
        if arguments.endpoint_url.is_some() {
            config.aws.dynamodb_endpoint.clone_from(&arguments.endpoint_url);
        }
        let dynamodb = Client::new(client.clone(), Clock::system(), Service::DynamoDb, &config.aws);
        let store = Store::new(dynamodb, table);
        Self::of(store, Keeper::Cloud { config: Box::new(config), client }).await
    }

    async fn of(store: Store, keeper: Keeper) -> Result<Self, PlaceError> {
        let place = Self { store, clock: Clock::system(), tenant: TenantId::from(TENANT), keeper };
        if place.store.tenant(&place.tenant).await?.is_none() {
            let new = TenantItem::new(place.tenant.clone(), place.clock.now_ms());
            let tenant = TenantItem { plan: PLAN.to_owned(), ..new };
            place.store.put_tenant(&tenant).await?;
        }
        Ok(place)
    }

    /// What a command needs after it to mean this place: nothing, or ` --data …`.
    pub(crate) fn flag(&self) -> String {
        match &self.keeper {
            Keeper::Machine { directory: Some(directory), .. } if directory != Path::new(DEFAULT_DIRECTORY) => {
                format!(" --data '{}'", directory.display())
            }
            Keeper::Machine { .. } | Keeper::Cloud { .. } => String::new(),
        }
    }

    /// What seals the secrets of inbound webhooks.
    pub(crate) async fn sealer(&self) -> Result<Sealer, PlaceError> {
        match &self.keeper {
            Keeper::Machine { .. } => Ok(Sealer::new(self.sealing_keys(&Config::from_environment()?)?.as_ref())?),
            Keeper::Cloud { config, .. } if config.secret.is_none() => {
                Sealer::new(config.secrets.get(SEALING_KEYS)).map_err(PlaceError::NoSecret)
            }
            Keeper::Cloud { config, .. } => {
                let app = App::over(Config::clone(config), self.clock.clone(), self.store.clone())?;
                app.sealer().await.map_err(PlaceError::Secret)
            }
        }
    }

    /// Where the sealing keys can be changed.
    pub(crate) fn keys_place(&self) -> Result<KeysPlace, PlaceError> {
        match &self.keeper {
            Keeper::Machine { directory: Some(directory), .. } => {
                let config = Config::from_environment()?;
                if config.secrets.contains_key(SEALING_KEYS) {
                    return Err(PlaceError::KeysInEnvironment);
                }
                self.sealing_keys(&config)?;
                Ok(KeysPlace::File(directory.join(SEALING_KEYS_FILE)))
            }
            Keeper::Machine { directory: None, .. } => Err(PlaceError::Memory),
            Keeper::Cloud { config, client } => {
                let name = config.secret.clone().ok_or(PlaceError::NoSecret(SealError::NoKey))?;
                let manager = Client::new(client.clone(), self.clock.clone(), Service::SecretsManager, &config.aws);
                let secret = ManagedSecret::new(manager, name.clone());
                Ok(KeysPlace::Manager { secret, name, memory: config.secret_ttl })
            }
        }
    }

    /// The sealing keys: those of the environment, or on this machine those of the directory, made where they are
    /// missing.
    pub(crate) fn sealing_keys(&self, config: &Config) -> Result<Option<SecretString>, PlaceError> {
        let given = config.secrets.get(SEALING_KEYS).cloned();
        match &self.keeper {
            Keeper::Machine { directory: Some(directory), .. } if given.is_none() => {
                let path = directory.join(SEALING_KEYS_FILE);
                let keys = Sealer::generate_key()?;
                let keys = keep(&path, keys.expose_secret()).map_err(|error| PlaceError::Directory(path, error))?;
                Ok(Some(SecretString::from(keys)))
            }
            Keeper::Machine { directory: None, .. } if given.is_none() => Ok(Some(Sealer::generate_key()?)),
            Keeper::Machine { .. } | Keeper::Cloud { .. } => Ok(given),
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// What the file holds; where it is missing it is written first, for its owner's eyes alone. Of two processes that
/// write at once, one wins, and both read the same.
fn keep(path: &Path, text: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(kept) => return Ok(kept.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let own = path.with_extension(std::process::id().to_string());
    write_private(&own, text)?;
    match fs::hard_link(&own, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => fs::remove_file(&own)?,
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Writes a file that its owner alone can read.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()
}

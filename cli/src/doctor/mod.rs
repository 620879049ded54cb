//! `orrery doctor`: looks at what ties agents to the world, and says what is wrong with it and what to do.
//!
//! Platforms are asked what they know, and the public doors are tried with what changes nothing. No secret is told:
//! of addresses that others may have written secrets into, the host alone.

mod door;
mod queues;
mod report;
mod slack;
mod telegram;
mod webhooks;
mod whatsapp;

use secrecy::SecretString;
use shared::app::App;
use shared::channel::Platform;
use shared::config::Config;
use shared::egress::Reach;
use shared::secret::{SEALING_KEYS, SealError, Sealer};
use shared::store::{AgentItem, ConnectionItem, ProjectItem};
use shared::telemetry;
use url::Url;

use crate::agents;
use crate::args::{DoctorArguments, Part};
use crate::error::CommandError;
use crate::place::{Keeper, Place, PlaceError, SEALING_KEYS_FILE};
use report::{About, Report};

/// What is looked at.
struct Deployment {
    place: Place,
    app: App,
    agents: Vec<AgentItem>,
    /// None where one agent is meant.
    projects: Vec<ProjectItem>,
    /// None where the sealing keys cannot be had.
    sealer: Option<Sealer>,
    /// Where platforms reach it, where that is known.
    public_url: Option<Url>,
}

/// A connection, and the name of the agent that answers there.
struct Connection {
    item: ConnectionItem,
    agent: String,
}

pub(crate) async fn run(arguments: DoctorArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let agents = match &arguments.agent {
        Some(named) => vec![agents::find(&place, named).await?],
        None => place.store.agents(&place.tenant).await?,
    };
    let projects = match &arguments.agent {
        Some(_) => Vec::new(),
        None => place.store.projects(&place.tenant).await?,
    };
    let app = app(&place)?;
    let public_url = arguments.public_url.or_else(|| app.config().public_url.clone());
    let connections = connections(&place, &agents).await?;
    let mut webhooks = agents.iter().map(|agent| &agent.webhooks).chain(projects.iter().map(|one| &one.webhooks));
    let is_sealed = webhooks.any(|all| all.values().any(|webhook| webhook.sealed_secret.is_some()));
    let mut report = Report::new(arguments.json);
    let sealer = sealer(&app, !connections.is_empty() || is_sealed, &mut report).await;
    let deployment = Deployment { place, app, agents, projects, sealer, public_url };
    let is_meant = |part| arguments.part.is_none_or(|meant| meant == part);
    for (part, platform) in PLATFORMS.into_iter().filter(|(part, _)| is_meant(*part)) {
        let own: Vec<_> = connections.iter().filter(|connection| connection.item.platform == platform).collect();
        if own.is_empty() {
            report.about(platform.name()).skipped("connections", "nothing is connected");
        }
        if !own.is_empty() || arguments.part == Some(part) {
            match platform {
                Platform::Slack => slack::check(&deployment, &own, &mut report).await,
                Platform::Telegram => telegram::check(&deployment, &own, &mut report).await,
                Platform::WhatsApp => whatsapp::check(&deployment, &own, &mut report).await,
            }
        }
    }
    if is_meant(Part::Webhooks) {
        webhooks::check(&deployment, &mut report).await?;
    }
    if is_meant(Part::Queues) {
        queues::check(&deployment, &mut report).await?;
    }
    report.end()
}

const PLATFORMS: [(Part, Platform); 3] =
    [(Part::Slack, Platform::Slack), (Part::Telegram, Platform::Telegram), (Part::Whatsapp, Platform::WhatsApp)];

/// The application with the settings of whoever serves the place. Nothing is made that is missing.
fn app(place: &Place) -> Result<App, PlaceError> {
    let config = match &place.keeper {
        Keeper::Cloud { config, .. } => Config::clone(config),
        Keeper::Machine { directory, .. } => {
            let mut config = Config { secret: None, ..Config::from_environment()? };
            config.webhook_reach.get_or_insert(Reach::PublicAndThisMachine);
            config.sealing_keys_file = directory.as_ref().map(|directory| directory.join(SEALING_KEYS_FILE));
            config
        }
    };
    Ok(App::over(config, place.clock.clone(), place.store.clone())?)
}

async fn connections(place: &Place, agents: &[AgentItem]) -> Result<Vec<Connection>, CommandError> {
    let mut all = Vec::new();
    for agent in agents {
        let found = place.store.connections(&place.tenant, &agent.id).await?;
        all.extend(found.into_iter().map(|item| Connection { item, agent: agent.name.clone() }));
    }
    Ok(all)
}

/// What opens sealed texts; that it is missing is wrong where there are any.
async fn sealer(app: &App, is_needed: bool, report: &mut Report) -> Option<Sealer> {
    let mut about = report.about("sealing keys");
    let why = match app.secrets().get(SEALING_KEYS).await.map(|keys| Sealer::new(keys.as_ref())) {
        Ok(Ok(sealer)) => {
            about.well("keys", "they are there");
            return Some(sealer);
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => telemetry::chain(&error),
    };
    if is_needed {
        let remedy = "put them back, or name the deployment's secret in ORRERY_SECRET: without them no token opens";
        about.wrong("keys", why, remedy);
    } else {
        about.skipped("keys", "nothing is sealed yet");
    }
    None
}

impl Deployment {
    /// A connection's credentials; what keeps them shut is told.
    fn open(&self, connection: &ConnectionItem, about: &mut About<'_>) -> Option<SecretString> {
        let purpose = ConnectionItem::purpose(connection.platform, &connection.external);
        self.unseal(&purpose, &connection.sealed, "connect it again", about)
    }

    fn unseal(&self, purpose: &str, sealed: &str, anew: &str, about: &mut About<'_>) -> Option<SecretString> {
        let Some(sealer) = &self.sealer else {
            about.skipped("seal", "not looked at: there are no sealing keys");
            return None;
        };
        match sealer.open(&self.place.tenant, purpose, sealed) {
            Ok(opened) => Some(opened),
            Err(SealError::UnknownKey(id)) => {
                let message = format!("it is sealed with the key {id}, which is gone");
                about.wrong("seal", message, format!("put that key back behind the others, or {anew}"));
                None
            }
            Err(error) => {
                about.wrong("seal", error.to_string(), anew);
                None
            }
        }
    }

    /// Tells whether a setting is there.
    async fn setting(&self, name: &str, about: &mut About<'_>) -> Option<SecretString> {
        match self.app.secrets().get(name).await {
            Ok(Some(value)) => {
                about.well("setting", format!("{name} is set"));
                Some(value)
            }
            Ok(None) => {
                let remedy = match self.place.keeper {
                    Keeper::Machine { .. } => "set it where `orrery serve` runs, and where this command does",
                    Keeper::Cloud { .. } => "put it into the deployment's secret, which ORRERY_SECRET names",
                };
                about.wrong("setting", format!("{name} is not set"), remedy);
                None
            }
            Err(error) => {
                about.wrong("setting", telemetry::chain(&error), "let this command read the deployment's secret");
                None
            }
        }
    }

    /// Whether messages that are sent to this address come here, as far as that is known.
    fn is_ours(&self, url: &str, path: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        match &self.public_url {
            Some(base) => {
                let own = shared::http::below(base, path);
                url.origin() == own.origin() && url.path() == own.path()
            }
            None => url.path().ends_with(path),
        }
    }

    /// Where messages should be sent.
    fn should_be(&self, path: &str) -> String {
        self.public_url.as_ref().map_or_else(|| format!("…{path}"), |base| shared::http::below(base, path).to_string())
    }
}

/// An address without what may be secret in it.
fn host(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "an address that is none".to_owned(), |url| url.origin().ascii_serialization())
}

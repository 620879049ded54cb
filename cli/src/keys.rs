//! `orrery key`: making, listing, rotating and revoking keys. A key's text is told once and never stored.

use serde::Serialize;
use shared::agent::origin;
use shared::auth::{Keyring, Kind, NewKey, PlainKey};
use shared::id::{Home, KeyId};
use shared::store::{AgentItem, KeyItem, ProjectItem};

use crate::agents;
use crate::args::{self, KeyArguments, KeyCommand, KeyCreateArguments, KeyListArguments};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;
use crate::projects;
use crate::when;

/// The longest name of a key, in characters.
const LONGEST_NAME: usize = 100;

/// What a key opens.
#[derive(Clone, Debug)]
struct Door {
    home: Home,
    name: String,
}

impl From<AgentItem> for Door {
    fn from(agent: AgentItem) -> Self {
        Self { home: Home::Agent(agent.id), name: agent.name }
    }
}

impl From<ProjectItem> for Door {
    fn from(project: ProjectItem) -> Self {
        Self { home: Home::App(project.id), name: project.name }
    }
}

/// An agent or an app, as a key names it.
#[derive(Serialize)]
struct Opens<'a> {
    id: String,
    name: &'a str,
}

/// A key as it is told.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a KeyId,
    /// The key itself: told once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    prefix: &'a str,
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Opens<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<Opens<'a>>,
    enabled: bool,
    origins: &'a [String],
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    rotated_to: Option<&'a KeyId>,
    rotated_at: Option<String>,
    revoked_at: Option<String>,
}

impl<'a> Shown<'a> {
    fn new(door: &'a Door, key: &'a KeyItem, plain: Option<&'a PlainKey>) -> Self {
        let opens = |id: String| Some(Opens { id, name: &door.name });
        let (agent, app) = match &door.home {
            Home::Agent(agent) => (opens(agent.to_string()), None),
            Home::App(project) => (None, opens(project.as_app())),
        };
        Self {
            id: &key.id,
            key: plain.map(PlainKey::reveal),
            prefix: &key.prefix,
            kind: &key.kind,
            name: &key.name,
            agent,
            app,
            enabled: key.enabled,
            origins: &key.origins,
            created_at: when::shown(key.created_at),
            expires_at: key.expires_at.map(when::shown),
            last_used_at: key.last_used_at.map(when::shown),
            rotated_to: key.rotated_to.as_ref(),
            rotated_at: key.rotated_at.map(when::shown),
            revoked_at: key.revoked_at.map(when::shown),
        }
    }
}

pub(crate) async fn run(command: KeyCommand) -> Result<(), CommandError> {
    match command {
        KeyCommand::Create(arguments) => create(&arguments).await,
        KeyCommand::List(arguments) => list(&arguments).await,
        KeyCommand::Rotate(arguments) => rotate(&arguments).await,
        KeyCommand::Revoke(arguments) => revoke(&arguments).await,
    }
}

fn keyring(place: &Place) -> Keyring {
    Keyring::new(place.store.clone(), place.clock.clone(), place.tenant.clone())
}

async fn create(arguments: &KeyCreateArguments) -> Result<(), CommandError> {
    let kind = match (&arguments.app, arguments.kind) {
        (Some(_), _) => Kind::App,
        (None, args::Kind::Server) => Kind::Server,
        (None, args::Kind::Widget) => Kind::Widget,
    };
    let origins = origins(&arguments.origins, kind)?;
    if arguments.name.chars().count() > LONGEST_NAME || arguments.name.chars().any(char::is_control) {
        return Err(CommandError::Usage(format!("--name may have at most {LONGEST_NAME} characters, in one line")));
    }
    let place = Place::open(&arguments.table).await?;
    let now = place.clock.now();
    let expires = arguments.expires.as_deref().map(|text| when::from_now(text, now)).transpose()?;
    let door = match (&arguments.agent, &arguments.app) {
        (Some(agent), _) => Door::from(agents::find(&place, agent).await?),
        (None, app) => Door::from(projects::find(&place, app.as_deref().unwrap_or_default()).await?),
    };
    let new = NewKey {
        home: door.home.clone(),
        kind,
        name: arguments.name.clone(),
        description: String::new(),
        scopes: Vec::new(),
        expires_at: expires.and_then(|time| now.checked_add(time).ok()),
        origins,
        requests_per_minute: None,
    };
    let (plain, key) = keyring(&place).create(new).await?;
    tell_new(&door, &key, &plain, arguments.output.into());
    Ok(())
}

fn origins(given: &[String], kind: Kind) -> Result<Vec<String>, CommandError> {
    if kind != Kind::Widget && !given.is_empty() {
        return Err(CommandError::Usage("--origin is for widget keys: add --kind widget".to_owned()));
    }
    let read = |given: &String| {
        let wrong = || CommandError::Usage(format!("--origin is written like https://example.com, not {given:?}"));
        origin::normalise(given).ok_or_else(wrong)
    };
    given.iter().map(read).collect()
}

fn tell_new(door: &Door, key: &KeyItem, plain: &PlainKey, output: Output) {
    match output {
        Output::Json => output::json(&Shown::new(door, key, Some(plain))),
        Output::Quiet => output::data(plain.reveal()),
        Output::Text => {
            output::note(&format!("A {} key for {}, {}. It is shown this once:", key.kind, door.name, key.id));
            output::data(plain.reveal());
        }
    }
}

/// Every key of one agent or app, or of all.
async fn all(place: &Place, agent: Option<&str>, app: Option<&str>) -> Result<Vec<(Door, KeyItem)>, CommandError> {
    let doors: Vec<Door> = match (agent, app) {
        (Some(named), _) => vec![agents::find(place, named).await?.into()],
        (None, Some(named)) => vec![projects::find(place, named).await?.into()],
        (None, None) => {
            let agents = place.store.agents(&place.tenant).await?.into_iter().map(Door::from);
            agents.chain(place.store.projects(&place.tenant).await?.into_iter().map(Door::from)).collect()
        }
    };
    let mut all = Vec::new();
    for door in doors {
        let keys = keyring(place).list(&door.home).await?;
        all.extend(keys.into_iter().map(|key| (door.clone(), key)));
    }
    Ok(all)
}

async fn list(arguments: &KeyListArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let keys = all(&place, arguments.agent.as_deref(), arguments.app.as_deref()).await?;
    match Output::from(arguments.output) {
        Output::Json => {
            let shown: Vec<_> = keys.iter().map(|(door, key)| Shown::new(door, key, None)).collect();
            output::json(&shown);
        }
        Output::Quiet => keys.iter().for_each(|(_, key)| output::data(key.id.as_str())),
        Output::Text if keys.is_empty() => output::note("No keys yet. Make one with: orrery key create --agent NAME"),
        Output::Text => {
            let rows: Vec<_> = keys.iter().map(|(door, key)| row(door, key, place.clock.now_ms())).collect();
            output::table(["id", "opens", "kind", "key", "state", "last used", "name"], &rows);
        }
    }
    Ok(())
}

fn row(door: &Door, key: &KeyItem, now: i64) -> [String; 7] {
    let state = match key {
        KeyItem { rotated_to: Some(to), .. } => format!("rotated to {to}"),
        KeyItem { enabled: false, .. } => "revoked".to_owned(),
        KeyItem { expires_at: Some(at), .. } if *at <= now => "expired".to_owned(),
        KeyItem { expires_at: Some(at), .. } => format!("works until {}", when::shown(*at)),
        KeyItem { expires_at: None, .. } => "works".to_owned(),
    };
    let used = key.last_used_at.map_or_else(|| "never".to_owned(), when::shown);
    let shown = format!("{}…", key.prefix);
    [key.id.to_string(), door.name.clone(), key.kind.clone(), shown, state, used, key.name.clone()]
}

async fn find(place: &Place, id: &str) -> Result<(Door, KeyItem), CommandError> {
    let found = all(place, None, None).await?.into_iter().find(|(_, key)| key.id.as_str() == id);
    found.ok_or_else(|| CommandError::NoKey(id.chars().take(64).collect()))
}

async fn rotate(arguments: &KeyArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let (door, key) = find(&place, &arguments.key).await?;
    let (plain, new) = keyring(&place).rotate(&door.home, &key.id).await?;
    tell_new(&door, &new, &plain, arguments.output.into());
    Ok(())
}

async fn revoke(arguments: &KeyArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let (door, key) = find(&place, &arguments.key).await?;
    keyring(&place).revoke(&door.home, &key.id).await?;
    match Output::from(arguments.output) {
        Output::Json => {
            let revoked = KeyItem { enabled: false, revoked_at: Some(place.clock.now_ms()), ..key };
            output::json(&Shown::new(&door, &revoked, None));
        }
        Output::Quiet => output::data(key.id.as_str()),
        Output::Text => output::note(&format!("{} ({}…) opens nothing any more.", key.id, key.prefix)),
    }
    Ok(())
}

//! `orrery agent`: what is in the table.

use serde::Serialize;
use shared::agent::AgentDocument;
use shared::auth::{Keyring, KeyringError};
use shared::id::AgentId;
use shared::store::AgentItem;

use crate::args::{AgentArguments, AgentCommand, ListArguments};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;
use crate::when;

/// An agent as it is told.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a AgentId,
    name: &'a str,
    version: u64,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<AgentDocument>,
}

pub(crate) async fn run(command: AgentCommand) -> Result<(), CommandError> {
    match command {
        AgentCommand::List(arguments) => list(&arguments).await,
        AgentCommand::Show(arguments) => show(&arguments).await,
        AgentCommand::Delete(arguments) => delete(&arguments).await,
    }
}

/// The agent of this name or id.
pub(crate) async fn find(place: &Place, named: &str) -> Result<AgentItem, CommandError> {
    let by_id = place.store.agent(&place.tenant, &AgentId::from(named)).await?;
    if let Some(agent) = by_id {
        return Ok(agent);
    }
    let mut agents = place.store.agents(&place.tenant).await?;
    match agents.iter().position(|agent| agent.name == named) {
        Some(position) => Ok(agents.swap_remove(position)),
        None => {
            let known = agents.into_iter().map(|agent| agent.name).collect();
            Err(CommandError::NoAgent { named: named.to_owned(), known })
        }
    }
}

async fn list(arguments: &ListArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let agents = place.store.agents(&place.tenant).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&agents.iter().map(brief).collect::<Vec<_>>()),
        Output::Quiet => agents.iter().for_each(|agent| output::data(agent.id.as_str())),
        Output::Text if agents.is_empty() => output::note("No agents yet. Store some with: orrery apply FILE"),
        Output::Text => {
            let row = |agent: &AgentItem| {
                let version = agent.version.to_string();
                [agent.name.clone(), agent.id.to_string(), version, when::shown(agent.updated_at)]
            };
            output::table(["name", "id", "version", "updated"], &agents.iter().map(row).collect::<Vec<_>>());
        }
    }
    Ok(())
}

async fn show(arguments: &AgentArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let agent = find(&place, &arguments.agent).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&Shown {
            source: Some(&agent.source),
            document: serde_json::from_str(&agent.document).ok(),
            ..brief(&agent)
        }),
        Output::Quiet => output::data(agent.id.as_str()),
        Output::Text => output::data(&agent.source),
    }
    Ok(())
}

async fn delete(arguments: &AgentArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let agent = find(&place, &arguments.agent).await?;
    let keyring = Keyring::new(place.store.clone(), place.clock.clone(), place.tenant.clone());
    for key in keyring.list(&agent.id).await?.into_iter().filter(|key| key.enabled) {
        match keyring.revoke(&agent.id, &key.id).await {
            Ok(()) | Err(KeyringError::Disabled) => {}
            Err(error) => return Err(error.into()),
        }
    }
    place.store.delete_agent(&place.tenant, &agent.id).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&brief(&agent)),
        Output::Quiet => output::data(agent.id.as_str()),
        Output::Text => {
            output::note(&format!("Deleted {} ({}). Its keys open nothing any more.", agent.name, agent.id))
        }
    }
    Ok(())
}

fn brief(agent: &AgentItem) -> Shown<'_> {
    Shown {
        id: &agent.id,
        name: &agent.name,
        version: agent.version,
        updated_at: when::shown(agent.updated_at),
        source: None,
        document: None,
    }
}

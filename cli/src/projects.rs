//! `orrery project`: projects in the table, each an app.

use serde::Serialize;
use shared::auth::{Keyring, KeyringError};
use shared::id::ProjectId;
use shared::store::{ProjectAgent, ProjectItem};

use crate::args::{ListArguments, ProjectArguments, ProjectCommand};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;
use crate::when;

/// A project as it is told.
#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    name: &'a str,
    version: u64,
    agents: &'a [ProjectAgent],
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

pub(crate) async fn run(command: ProjectCommand) -> Result<(), CommandError> {
    match command {
        ProjectCommand::List(arguments) => list(&arguments).await,
        ProjectCommand::Show(arguments) => show(&arguments).await,
        ProjectCommand::Delete(arguments) => delete(&arguments).await,
    }
}

/// The project of this name or app id.
pub(crate) async fn find(place: &Place, named: &str) -> Result<ProjectItem, CommandError> {
    let mut projects = place.store.projects(&place.tenant).await?;
    let id = ProjectId::of_app(named).unwrap_or_else(|| ProjectId::from(named));
    match projects.iter().position(|project| project.id == id || project.name == named) {
        Some(position) => Ok(projects.swap_remove(position)),
        None => {
            let known = projects.into_iter().map(|project| project.name).collect();
            Err(CommandError::NoProject { named: named.to_owned(), known })
        }
    }
}

async fn list(arguments: &ListArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let projects = place.store.projects(&place.tenant).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&projects.iter().map(brief).collect::<Vec<_>>()),
        Output::Quiet => projects.iter().for_each(|project| output::data(&project.id.as_app())),
        Output::Text if projects.is_empty() => output::note("No projects yet. Store one with: orrery apply DIR"),
        Output::Text => {
            let row = |project: &ProjectItem| {
                let agents: Vec<_> = project.agents.iter().map(|agent| agent.name.as_str()).collect();
                let version = project.version.to_string();
                [project.name.clone(), project.id.as_app(), version, agents.join(", "), when::shown(project.updated_at)]
            };
            let rows: Vec<_> = projects.iter().map(row).collect();
            output::table(["name", "app", "version", "agents", "updated"], &rows);
        }
    }
    Ok(())
}

async fn show(arguments: &ProjectArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let project = find(&place, &arguments.project).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&Shown { source: Some(&project.source), ..brief(&project) }),
        Output::Quiet => output::data(&project.id.as_app()),
        Output::Text => output::data(&project.source),
    }
    Ok(())
}

async fn delete(arguments: &ProjectArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let project = find(&place, &arguments.project).await?;
    let keyring = Keyring::new(place.store.clone(), place.clock.clone(), place.tenant.clone());
    for key in keyring.list(&project.id).await?.into_iter().filter(|key| key.enabled) {
        match keyring.revoke(&project.id, &key.id).await {
            Ok(()) | Err(KeyringError::Disabled) => {}
            Err(error) => return Err(error.into()),
        }
    }
    place.store.delete_project(&place.tenant, &project.id).await?;
    let id = project.id.as_app();
    match Output::from(arguments.output) {
        Output::Json => output::json(&brief(&project)),
        Output::Quiet => output::data(&id),
        Output::Text => {
            output::note(&format!("Deleted {} ({id}). Its keys open nothing any more; its agents stay.", project.name));
        }
    }
    Ok(())
}

fn brief(project: &ProjectItem) -> Shown<'_> {
    Shown {
        id: project.id.as_app(),
        name: &project.name,
        version: project.version,
        agents: &project.agents,
        updated_at: when::shown(project.updated_at),
        source: None,
    }
}

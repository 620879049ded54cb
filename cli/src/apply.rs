//! `orrery apply`: from files into the table.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Serialize, Serializer};
use shared::agent::AgentDocument;
use shared::id::{AgentId, ProjectId};
use shared::store::{AgentItem, ProjectAgent, ProjectItem};
use similar::TextDiff;

use crate::args::ApplyArguments;
use crate::documents::{self, Documents, Found, FoundProject};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;

/// Whether the table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What changed is stored.
    Store,
    /// Nothing is stored.
    DryRun,
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// The table had no agent of this name.
    Created,
    /// A new version of an agent.
    Updated,
    /// The table has it already.
    Unchanged,
}

/// What a document is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Agent,
    Project,
}

/// A document that was applied, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    pub(crate) file: String,
    pub(crate) kind: Kind,
    /// The agent's id, or the app's; one that a dry run would have made is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) change: Change,
    /// The unified diff of a dry run.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub(crate) diff: Option<String>,
}

fn text<S: Serializer>(diff: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(diff.as_deref().unwrap_or_default())
}

pub(crate) async fn run(arguments: ApplyArguments) -> Result<(), CommandError> {
    let found = documents::read(&arguments.paths)?;
    let mode = if arguments.dry_run { Mode::DryRun } else { Mode::Store };
    let place = Place::open(&arguments.table).await?;
    let applied = apply(&place, &found, mode).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&applied),
        Output::Quiet => applied.iter().filter_map(|one| one.id.as_ref()).for_each(|id| output::data(id)),
        Output::Text => applied.iter().for_each(tell),
    }
    Ok(())
}

fn tell(applied: &Applied) {
    if let Some(diff) = applied.diff.as_ref().filter(|diff| !diff.is_empty()) {
        output::data(diff);
    }
    let Applied { name, version, .. } = applied;
    let id = applied.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    output::note(&match (applied.change, applied.diff.is_some()) {
        (Change::Unchanged, _) => format!("{name}{id} is unchanged at version {version}."),
        (Change::Created, false) => format!("{name}{id} is new: version {version}."),
        (Change::Updated, false) => format!("{name}{id} is at version {version} now."),
        (Change::Created, true) => format!("{name} would be new."),
        (Change::Updated, true) => format!("{name}{id} would be at version {version}."),
    });
}

/// Stores the documents that are not in the table as they are here: the agents, then the projects that they belong to.
pub(crate) async fn apply(place: &Place, found: &Documents, mode: Mode) -> Result<Vec<Applied>, CommandError> {
    let stored = place.store.agents(&place.tenant).await?;
    let known = |name: &str| {
        let here = found.agents.iter().any(|agent| agent.document.name == name);
        here || stored.iter().any(|agent| agent.name == name)
    };
    for project in &found.projects {
        if let Some(missing) = project.agents.iter().find(|name| !known(name)) {
            return Err(CommandError::NoMember { file: project.path.display().to_string(), agent: missing.clone() });
        }
    }
    let mut applied = Vec::new();
    let mut agents: Vec<ProjectAgent> = stored.iter().map(member).collect();
    for found in &found.agents {
        let before = stored.iter().find(|agent| agent.name == found.document.name);
        let done = apply_one(place, found, before, mode).await?;
        agents.retain(|agent| agent.name != done.name);
        agents.push(ProjectAgent {
            id: AgentId::from(done.id.clone().unwrap_or_default()),
            name: done.name.clone(),
            description: found.document.description.clone(),
        });
        applied.push(done);
    }
    if !found.projects.is_empty() {
        let stored = place.store.projects(&place.tenant).await?;
        for found in &found.projects {
            let before = stored.iter().find(|project| project.name == found.document.name);
            applied.push(apply_project(place, found, before, &agents, mode).await?);
        }
    }
    Ok(applied)
}

/// An agent, as the others of its project know it.
fn member(agent: &AgentItem) -> ProjectAgent {
    let document: Option<AgentDocument> = serde_json::from_str(&agent.document).ok();
    ProjectAgent {
        id: agent.id.clone(),
        name: agent.name.clone(),
        description: document.map(|document| document.description).unwrap_or_default(),
    }
}

async fn apply_project(
    place: &Place,
    found: &FoundProject,
    before: Option<&ProjectItem>,
    agents: &[ProjectAgent],
    mode: Mode,
) -> Result<Applied, CommandError> {
    let named = |name: &String| agents.iter().find(|agent| agent.name == *name).cloned();
    let project = ProjectItem {
        id: before.map_or_else(ProjectId::generate, |before| before.id.clone()),
        tenant: place.tenant.clone(),
        name: found.document.name.clone(),
        version: before.map_or(0, |before| before.version) + 1,
        agents: found.agents.iter().filter_map(named).collect(),
        pause_on_escalation: found.document.pause_on_escalation,
        source: found.source.clone(),
        updated_at: place.clock.now_ms(),
        webhooks: BTreeMap::new(),
    };
    let change = match before {
        None => Change::Created,
        Some(before) if before.source == project.source && before.agents == project.agents => Change::Unchanged,
        Some(_) => Change::Updated,
    };
    if mode == Mode::Store && change != Change::Unchanged && !place.store.put_project(&project).await? {
        return Err(CommandError::Overtaken(project.name));
    }
    let old = before.map(|before| (before.source.as_str(), before.version));
    Ok(Applied::new(
        &found.path,
        Kind::Project,
        (project.name, project.id.as_app()),
        (change, mode),
        (old, &project.source),
    ))
}

impl Applied {
    /// What became of a document, whose text and version in the table were `old`.
    fn new(
        path: &Path,
        kind: Kind,
        (name, id): (String, String),
        (change, mode): (Change, Mode),
        (old, new): (Option<(&str, u64)>, &str),
    ) -> Self {
        let stored = old.map_or(0, |(_, version)| version);
        Self {
            file: path.display().to_string(),
            kind,
            diff: (mode == Mode::DryRun).then(|| diff(&name, old.map(|(text, _)| text), new)),
            id: (mode == Mode::Store || old.is_some()).then_some(id),
            name,
            version: if change == Change::Unchanged { stored } else { stored + 1 },
            change,
        }
    }
}

async fn apply_one(
    place: &Place,
    found: &Found,
    before: Option<&AgentItem>,
    mode: Mode,
) -> Result<Applied, CommandError> {
    let agent = AgentItem {
        id: before.map_or_else(AgentId::generate, |before| before.id.clone()),
        tenant: place.tenant.clone(),
        name: found.document.name.clone(),
        version: before.map_or(0, |before| before.version) + 1,
        document: serde_json::to_string(&found.document).map_err(CommandError::Document)?,
        source: found.source.clone(),
        updated_at: place.clock.now_ms(),
        webhooks: before.map(|before| before.webhooks.clone()).unwrap_or_default(),
    };
    let change = match before {
        None => Change::Created,
        Some(before) if before.source == agent.source && before.document == agent.document => Change::Unchanged,
        Some(_) => Change::Updated,
    };
    if mode == Mode::Store && change != Change::Unchanged && !place.store.put_agent(&agent).await? {
        return Err(CommandError::Overtaken(agent.name));
    }
    let old = before.map(|before| (before.source.as_str(), before.version));
    Ok(Applied::new(&found.path, Kind::Agent, (agent.name, agent.id.to_string()), (change, mode), (old, &agent.source)))
}

fn diff(name: &str, old: Option<&str>, new: &str) -> String {
    let from = if old.is_some() { format!("{name} (stored)") } else { "/dev/null".to_owned() };
    TextDiff::from_lines(old.unwrap_or_default(), new)
        .unified_diff()
        .header(&from, &format!("{name} (file)"))
        .to_string()
}

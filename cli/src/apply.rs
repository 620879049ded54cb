//! `orrery apply`: from files into the table.

use serde::{Serialize, Serializer};
use shared::id::AgentId;
use shared::store::AgentItem;
use similar::TextDiff;

use crate::args::ApplyArguments;
use crate::documents::{self, Found};
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

/// A document that was applied, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    pub(crate) file: String,
    /// The agent's id; one that a dry run would have made is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<AgentId>,
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
        Output::Quiet => applied.iter().filter_map(|one| one.id.as_ref()).for_each(|id| output::data(id.as_str())),
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

/// Stores the documents that are not in the table as they are here.
pub(crate) async fn apply(place: &Place, found: &[Found], mode: Mode) -> Result<Vec<Applied>, CommandError> {
    let stored = place.store.agents(&place.tenant).await?;
    let mut applied = Vec::new();
    for found in found {
        let before = stored.iter().find(|agent| agent.name == found.document.name);
        applied.push(apply_one(place, found, before, mode).await?);
    }
    Ok(applied)
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
    let is_told = mode == Mode::Store || before.is_some();
    Ok(Applied {
        file: found.path.display().to_string(),
        diff: (mode == Mode::DryRun).then(|| diff(before, &agent)),
        id: is_told.then_some(agent.id),
        name: agent.name,
        version: before.filter(|_| change == Change::Unchanged).map_or(agent.version, |before| before.version),
        change,
    })
}

fn diff(before: Option<&AgentItem>, after: &AgentItem) -> String {
    let old = before.map_or("", |before| before.source.as_str());
    let name = &after.name;
    let from = if before.is_some() { format!("{name} (stored)") } else { "/dev/null".to_owned() };
    TextDiff::from_lines(old, &after.source).unified_diff().header(&from, &format!("{name} (file)")).to_string()
}

//! What happens before the first request: agents are applied, a first key is made, and lines to paste are told.

use std::path::{Path, PathBuf};

use shared::auth::{Keyring, Kind, NewKey, PlainKey};
use shared::store::AgentItem;

use super::page_keys::PageAgents;
use crate::apply::{self, Change, Mode};
use crate::documents;
use crate::error::CommandError;
use crate::output;
use crate::place::Place;

/// Where documents are looked for when nothing else is said.
const AGENTS: &str = "agents";

/// Applies the documents of the directory that was named, or of `agents` where it exists.
pub(super) async fn apply(place: &Place, directory: Option<PathBuf>) -> Result<(), CommandError> {
    let directory = match directory {
        Some(directory) => directory,
        None if Path::new(AGENTS).is_dir() => PathBuf::from(AGENTS),
        None => return Ok(()),
    };
    let found = documents::read(&[directory])?;
    for applied in apply::apply(place, &found, Mode::Store).await? {
        let (name, version) = (&applied.name, applied.version);
        match applied.change {
            Change::Created => output::note(&format!("{}: {name} is new", applied.file)),
            Change::Updated => output::note(&format!("{}: {name} is at version {version} now", applied.file)),
            Change::Unchanged => {}
        }
    }
    Ok(())
}

/// Tells how to call the agents. The first start makes a key, which is told this once; later ones say how to get one.
pub(super) async fn tell(place: &Place, url: &str, page: &PageAgents) -> Result<(), CommandError> {
    let agents = place.store.agents(&place.tenant).await?;
    let Some(first) = agents.first() else {
        let flag = place.flag();
        output::note(&format!(
            "There are no agents yet. Write agents/hello.md and start again, or: orrery apply hello.md{flag}"
        ));
        return Ok(());
    };
    let widget = page.load().await?.into_iter().find_map(|agent| Some((agent.name, agent.key?)));
    output::data(&format!("start page: {url}/\n"));
    match first_key(place, &agents).await? {
        Some(key) => {
            output::data(&format!("A key for {}. It is shown this once:\n\n  {}\n", first.name, key.reveal()));
            output::data(&lines(url, first, &key, widget.as_ref()));
        }
        None => output::data(&format!(
            "Keys are shown once, when they are made. Another one: orrery key create --agent {}{}\n",
            first.name,
            place.flag()
        )),
    }
    Ok(())
}

/// A server key for the first agent, where no agent has one yet.
async fn first_key(place: &Place, agents: &[AgentItem]) -> Result<Option<PlainKey>, CommandError> {
    let keyring = Keyring::new(place.store.clone(), place.clock.clone(), place.tenant.clone());
    for agent in agents {
        if keyring.list(&agent.id).await?.iter().any(|key| key.kind == Kind::Server.name()) {
            return Ok(None);
        }
    }
    let Some(first) = agents.first() else { return Ok(None) };
    let new = NewKey {
        home: (&first.id).into(),
        kind: Kind::Server,
        name: "first start".to_owned(),
        description: String::new(),
        scopes: Vec::new(),
        expires_at: None,
        origins: Vec::new(),
        requests_per_minute: None,
    };
    Ok(Some(keyring.create(new).await?.0))
}

fn lines(url: &str, agent: &AgentItem, key: &PlainKey, widget: Option<&(String, String)>) -> String {
    let head = format!("-H 'Authorization: Bearer {}' -H 'Content-Type: application/json'", key.reveal());
    let chat = format!("{url}/api/agents/{}/v1/chat/completions {head}", agent.id);
    let name = &agent.name;
    let mut lines = vec![
        format!("curl {url}/api/health"),
        format!(r#"curl {chat} -d '{{"model":"{name}","messages":[{{"role":"user","content":"Hello!"}}]}}'"#),
        format!(
            r#"curl -N {chat} -d '{{"model":"{name}","stream":true,"messages":[{{"role":"user","content":"Hello!"}}]}}'"#
        ),
        format!(r#"curl {url}/api/webhook/{} {head} -d '{{"message":"Hello!"}}'"#, agent.id),
    ];
    if let Some((name, key)) = widget {
        lines.push(format!(
            "# the widget of {name}: its key is public\ncurl -N '{url}/api/widget/chat?key={key}' -H 'Content-Type: application/json' -d '{{\"message\":\"Hello!\"}}'"
        ));
    }
    format!("Try it:\n\n{}\n", lines.join("\n\n"))
}

//! The agents of the start page, each with a widget key of its own. The table keeps a key's hash alone, so the text is
//! kept beside it: a widget key is public, and the page shows it anyway.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use shared::agent::Agent;
use shared::auth::{Keyring, Kind, NewKey, Presented};
use shared::store::AgentItem;
use tokio::sync::Mutex;

use super::page::PageAgent;
use crate::error::CommandError;
use crate::place::{Keeper, Place, PlaceError, write_private};

/// The name of the page's keys in `orrery key list`.
const NAME: &str = "start page";

/// Reads what the page shows.
pub(super) struct PageAgents {
    place: Place,
    file: Option<PathBuf>,
    /// The keys' texts by agent.
    keys: Mutex<BTreeMap<String, String>>,
}

impl PageAgents {
    /// Over this place, with the keys that were made for the page before.
    pub(super) fn new(place: Place) -> Self {
        let file = match &place.keeper {
            Keeper::Machine { directory: Some(directory), .. } => Some(directory.join("start-page.json")),
            Keeper::Machine { directory: None, .. } | Keeper::Cloud { .. } => None,
        };
        let kept = file.as_ref().and_then(|file| fs::read(file).ok());
        let keys = kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
        Self { place, file, keys: Mutex::new(keys) }
    }

    /// What commands need after them to mean the page's table.
    pub(super) fn flag(&self) -> String {
        self.place.flag()
    }

    /// The agents as they are now. One whose widget is enabled gets a key where it has none that works.
    pub(super) async fn load(&self) -> Result<Vec<PageAgent>, CommandError> {
        let mut keys = self.keys.lock().await;
        let mut shown = Vec::new();
        for item in self.place.store.agents(&self.place.tenant).await? {
            let Ok(agent) = Agent::try_from(item.clone()) else { continue };
            let document = &agent.document;
            let key = match document.widget.enabled {
                true => Some(self.key(&item, &mut keys).await?),
                false => None,
            };
            shown.push(PageAgent {
                id: agent.id.to_string(),
                name: document.name.clone(),
                description: document.description.clone(),
                model: document.model.to_string(),
                welcome: document.widget.welcome_message.clone(),
                key,
            });
        }
        Ok(shown)
    }

    async fn key(&self, agent: &AgentItem, keys: &mut BTreeMap<String, String>) -> Result<String, CommandError> {
        let keyring = Keyring::new(self.place.store.clone(), self.place.clock.clone(), self.place.tenant.clone());
        if let Some(text) = keys.get(agent.id.as_str()) {
            let presented = Presented::from_request(Some(&format!("Bearer {text}")), None);
            let hash = presented.hash().map(shared::auth::KeyHash::as_str);
            let stored = keyring.list(&agent.id).await?;
            if stored.iter().any(|key| key.enabled && Some(key.hash.as_str()) == hash) {
                return Ok(text.clone());
            }
        }
        let new = NewKey {
            agent: agent.id.clone(),
            kind: Kind::Widget,
            name: NAME.to_owned(),
            scopes: Vec::new(),
            expires_in: None,
            origins: Vec::new(),
            requests_per_minute: None,
        };
        let (plain, _) = keyring.create(new).await?;
        keys.insert(agent.id.to_string(), plain.reveal().to_owned());
        if let Some(file) = &self.file {
            let text = serde_json::to_string(keys).map_err(CommandError::Document)?;
            write_private(file, &text).map_err(|error| PlaceError::Directory(file.clone(), error))?;
        }
        Ok(plain.reveal().to_owned())
    }
}

//! The agents of the start page, each with a widget key of its own. A key's text is kept in this process alone: the next
//! start puts another in its place.

use std::collections::BTreeMap;

use shared::agent::Agent;
use shared::auth::{Keyring, Kind, NewKey};
use shared::store::AgentItem;
use tokio::sync::Mutex;

use super::page::PageAgent;
use crate::error::CommandError;
use crate::place::Place;

/// The name of the page's keys in `orrery key list`.
const NAME: &str = "start page";

/// Reads what the page shows.
pub(super) struct PageAgents {
    place: Place,
    /// The keys' texts by agent.
    keys: Mutex<BTreeMap<String, String>>,
}

impl PageAgents {
    /// Over this place.
    pub(super) fn new(place: Place) -> Self {
        Self { place, keys: Mutex::default() }
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
        let of_page = keyring.list(&agent.id).await?.into_iter().find(|key| key.enabled && key.name == NAME);
        if let (Some(text), Some(_)) = (keys.get(agent.id.as_str()), &of_page) {
            return Ok(text.clone());
        }
        let new = NewKey {
            home: (&agent.id).into(),
            kind: Kind::Widget,
            name: NAME.to_owned(),
            description: String::new(),
            scopes: Vec::new(),
            expires_at: None,
            origins: Vec::new(),
            requests_per_minute: None,
        };
        let (plain, _) = match of_page {
            Some(earlier) => keyring.rotate(&agent.id, &earlier.id).await?,
            None => keyring.create(new).await?,
        };
        keys.insert(agent.id.to_string(), plain.reveal().to_owned());
        Ok(plain.reveal().to_owned())
    }
}

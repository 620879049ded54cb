//! Connecting a team: what an installation is asked for with, and what is kept of it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use url::form_urlencoded;

use super::api::{Identity, Installation, Team};
use crate::auth::Idempotency;
use crate::channel::Platform;
use crate::id::{AgentId, RequestId, TenantId};
use crate::secret::{SealError, Sealer};
use crate::store::{Claim, ConnectionItem, IdempotencyItem, IdempotencyState, Store, StoreError};

/// How long an installation may take from its begin to its end.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// The longest state that is looked at, in bytes.
const LONGEST_STATE: usize = 2_048;
/// What a state is sealed for.
const PURPOSE: &str = "slack-install";
/// What the bot may do.
pub const SCOPES: &str = "app_mentions:read,channels:history,chat:write,groups:history,im:history,im:read,im:write,mpim:history,reactions:write";

/// An installation that was asked for: who for whom, and until when. It goes through the browser, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Who owns the agent.
    pub tenant: TenantId,
    /// Who is to answer.
    pub agent: AgentId,
    /// The user who asked.
    pub user: String,
    /// Names this installation.
    pub id: String,
    /// Until when, in milliseconds since the Unix epoch.
    pub until: i64,
}

/// A state that is none of ours, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It was changed, or never ours.
    #[error("the state is none of ours")]
    Foreign,
    /// It is too old.
    #[error("the state has expired")]
    Expired,
}

impl Install {
    /// One that begins now.
    #[must_use]
    pub fn begin(tenant: TenantId, agent: AgentId, user: String, now_ms: i64) -> Self {
        let until = now_ms + i64::try_from(PATIENCE.as_millis()).unwrap_or_default();
        Self { tenant, agent, user, id: RequestId::generate().to_string(), until }
    }

    /// It as the `state` of the request to Slack.
    ///
    /// # Errors
    /// Where it cannot be sealed.
    pub fn seal(&self, sealer: &Sealer) -> Result<String, SealError> {
        let text = json!(self).to_string().into();
        Ok(format!("{}~{}", self.tenant, sealer.seal(&self.tenant, PURPOSE, &text)?))
    }

    /// What [`Install::seal`] made.
    ///
    /// # Errors
    /// Where it did not, or too long ago.
    pub fn open(sealer: &Sealer, state: &str, now_ms: i64) -> Result<Self, StateError> {
        let (tenant, sealed) =
            state.split_once('~').filter(|_| state.len() <= LONGEST_STATE).ok_or(StateError::Foreign)?;
        let text = sealer.open(&tenant.into(), PURPOSE, sealed).map_err(|_| StateError::Foreign)?;
        let install: Self = serde_json::from_str(text.expose_secret()).map_err(|_| StateError::Foreign)?;
        if install.until > now_ms { Ok(install) } else { Err(StateError::Expired) }
    }

    /// Takes the installation for the one that asks: `false` where another took it before.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn take(&self, store: &Store, now_ms: i64) -> Result<bool, StoreError> {
        let name = Idempotency::new(&[PURPOSE], &self.id, b"");
        let item = IdempotencyItem {
            tenant: self.tenant.clone(),
            body_hash: name.body_hash,
            lapses_at: self.until,
            owner: RequestId::generate().to_string(),
            state: IdempotencyState::Running,
        };
        Ok(store.claim(&name.hash, &item, now_ms).await? == Claim::Claimed)
    }

    /// The connection that the installation makes.
    ///
    /// # Errors
    /// Where the token cannot be sealed.
    pub fn connection(
        &self,
        sealer: &Sealer,
        (installation, team, identity): (&Installation, &Team, &Identity),
        now_ms: i64,
    ) -> Result<ConnectionItem, SealError> {
        let credentials = json!({
            "bot_token": installation.access_token.expose_secret(),
            "bot_user": identity.user_id, "bot_id": identity.bot_id,
        });
        let credentials = credentials.to_string().into();
        let about = json!({
            "teamName": team.name, "botUserId": identity.user_id, "botId": identity.bot_id,
            "appId": installation.app_id, "installedBy": self.user,
        });
        Ok(ConnectionItem {
            platform: Platform::Slack,
            external: team.id.clone(),
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            sealed: sealer.seal(&self.tenant, &ConnectionItem::purpose(Platform::Slack, &team.id), &credentials)?,
            about: about.as_object().cloned().unwrap_or_else(Map::new),
            created_at: now_ms,
            updated_at: now_ms,
        })
    }
}

/// Where a person lets the app into a team; `base` is where Slack's API is. Slack sends them back to the app's redirect
/// URL. <https://docs.slack.dev/authentication/installing-with-oauth>
#[must_use]
pub fn authorize_url(base: &str, client_id: &str, state: &str) -> String {
    let host = base.strip_suffix("/api").unwrap_or(base);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", client_id), ("scope", SCOPES), ("state", state)])
        .finish();
    format!("{host}/oauth/v2/authorize?{query}")
}

/// What is sealed in a connection.
#[derive(Deserialize)]
pub(super) struct Credentials {
    /// The bot's token.
    #[serde(deserialize_with = "super::secret")]
    pub(super) bot_token: SecretString,
    /// The bot's user id.
    pub(super) bot_user: String,
    /// The bot's id, which its posts carry.
    pub(super) bot_id: Option<String>,
}

/// The bot's user id, as a connection tells it.
#[must_use]
pub fn bot_user(connection: &ConnectionItem) -> &str {
    connection.about.get("botUserId").and_then(|id| id.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_774_449_000_000;

    fn sealer() -> Sealer {
        Sealer::new(Some(&Sealer::generate_key().unwrap())).unwrap()
    }

    fn install() -> Install {
        Install::begin(TenantId::generate(), AgentId::generate(), "ada".into(), NOW)
    }

    #[test]
    fn a_state_opens_for_ten_minutes_and_tells_nothing() {
        let (sealer, install) = (sealer(), install());
        let state = install.seal(&sealer).unwrap();
        assert!(state.len() < 600 && !state.contains(install.agent.as_str()), "{state}");
        assert!(state.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{state}");
        assert_eq!(Install::open(&sealer, &state, NOW + 599_999).unwrap(), install);
        assert_eq!(Install::open(&sealer, &state, NOW + 600_000), Err(StateError::Expired));
    }

    #[test]
    fn a_changed_state_and_one_of_others_do_not_open() {
        let (sealer, install) = (sealer(), install());
        let state = install.seal(&sealer).unwrap();
        let other = Install::begin(TenantId::generate(), install.agent.clone(), "eve".into(), NOW);
        let (_, sealed) = state.split_once('~').unwrap();
        let swapped = format!("{}~{sealed}", other.tenant);
        let by_others = install.seal(&self::sealer()).unwrap();
        let long = format!("{state}{}", "A".repeat(LONGEST_STATE));
        for wrong in ["", "~", "x", &swapped, &by_others, &state[..state.len() - 1], &long] {
            assert_eq!(Install::open(&sealer, wrong, NOW), Err(StateError::Foreign), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_kept_sealed_and_opens_for_its_own_connection_alone() {
        let (sealer, install) = (sealer(), install());
        let installation: Installation =
            serde_json::from_value(json!({ "access_token": "xoxb-1", "app_id": "A1" })).unwrap();
        let team = Team { id: "T1".into(), name: "Books".into() };
        let identity = Identity { user_id: "U0BOT".into(), bot_id: Some("B1".into()), team_id: "T1".into() };
        let connection = install.connection(&sealer, (&installation, &team, &identity), NOW).unwrap();
        assert!(!format!("{connection:?}").contains("xoxb-1"));
        assert_eq!(bot_user(&connection), "U0BOT");
        let open = |team: &str| {
            sealer.open(&connection.tenant, &ConnectionItem::purpose(Platform::Slack, team), &connection.sealed)
        };
        let credentials: Credentials = serde_json::from_str(open("T1").unwrap().expose_secret()).unwrap();
        assert_eq!((credentials.bot_token.expose_secret(), credentials.bot_user.as_str()), ("xoxb-1", "U0BOT"));
        assert!(open("T2").is_err());
    }
}

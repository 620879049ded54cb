//! What goes over the wire.

use serde::Serialize;
use shared::channel::telegram::{Bot, BotToken};
use shared::clock::iso;
use shared::http::{ApiError, Fields, in_the_query, json_object, parameters};
use shared::id::AgentId;
use shared::store::ConnectionItem;
use url::Url;
use utoipa::{IntoParams, ToSchema};

/// The longest id, in characters.
const LONGEST_ID: usize = 200;

/// A bot to be tied to an agent.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ConnectBotRequest {
    /// The agent that is to answer.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
    /// The bot's token, as BotFather tells it. It is kept sealed, and never told again.
    #[schema(value_type = String, pattern = "^[0-9]{1,20}:[A-Za-z0-9_-]{20,128}$")]
    pub(crate) bot_token: BotToken,
}

impl ConnectBotRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let agent_id = AgentId::from(fields.string("agentId", 1..=LONGEST_ID));
        let token = fields.string("botToken", 1..=LONGEST_ID);
        let bot_token = BotToken::parse(&token);
        if bot_token.is_none() && !token.is_empty() {
            fields.wrong("botToken", "Invalid bot token");
        }
        fields.finish()?;
        let bot_token = bot_token.ok_or_else(|| ApiError::internal("a token that is none was let through"))?;
        Ok(Self { agent_id, bot_token })
    }
}

/// The bot that was tied.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectBotResponse {
    /// Always `true`.
    success: bool,
    /// What names the bot on Telegram.
    bot_id: String,
    /// The bot's name, without the `@`.
    bot_username: String,
    /// The bot's name for people.
    bot_name: String,
    /// Where Telegram sends messages to.
    webhook_url: String,
}

impl ConnectBotResponse {
    pub(crate) fn new(connection: &ConnectionItem, bot: &Bot, url: &Url) -> Self {
        Self {
            success: true,
            bot_id: connection.external.clone(),
            bot_username: bot.username.clone(),
            bot_name: bot.first_name.clone(),
            webhook_url: url.to_string(),
        }
    }
}

/// Whose bots are listed.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct ListBotsQuery {
    /// The agent.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
}

impl ListBotsQuery {
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let query = Self { agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)) };
        fields.finish().map_err(in_the_query)?;
        Ok(query)
    }
}

/// An agent's bots.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListBotsResponse {
    bots: Vec<BotEntry>,
}

/// A bot, without its token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BotEntry {
    /// What names the bot on Telegram.
    bot_id: String,
    /// The bot's name, without the `@`.
    bot_username: String,
    /// The bot's name for people.
    bot_name: String,
    /// When it was tied, as RFC 3339 writes it.
    created_at: String,
    /// When it was last tied anew.
    updated_at: String,
}

impl From<Vec<ConnectionItem>> for ListBotsResponse {
    fn from(connections: Vec<ConnectionItem>) -> Self {
        Self { bots: connections.into_iter().map(BotEntry::from).collect() }
    }
}

impl From<ConnectionItem> for BotEntry {
    fn from(connection: ConnectionItem) -> Self {
        let text =
            |name: &str| connection.about.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Self {
            bot_username: text("username"),
            bot_name: text("name"),
            bot_id: connection.external.clone(),
            created_at: iso(connection.created_at),
            updated_at: iso(connection.updated_at),
        }
    }
}

/// Which bots are untied.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct DisconnectBotQuery {
    /// The agent.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
    /// The bot; without it all of the agent's.
    #[param(nullable = false, min_length = 1, max_length = 20)]
    pub(crate) bot_id: Option<String>,
}

impl DisconnectBotQuery {
    /// Reads the query, or a body with the same fields.
    pub(crate) fn read(query: &str, body: &[u8]) -> Result<Self, ApiError> {
        let parameters = if body.is_empty() { parameters(query) } else { json_object(body)? };
        let mut fields = Fields::of(&parameters);
        let query = Self {
            agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)),
            bot_id: fields.optional_string("botId", 1..=20),
        };
        fields.finish().map_err(|error| if body.is_empty() { in_the_query(error) } else { error })?;
        Ok(query)
    }
}

/// That nothing comes from the bots any more.
#[derive(Serialize, ToSchema)]
pub(crate) struct DisconnectBotResponse {
    /// Always `true`.
    pub(crate) success: bool,
}

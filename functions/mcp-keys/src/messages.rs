//! What goes over the wire.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::agent::origin;
use shared::auth::Kind;
use shared::clock::iso;
use shared::http::{ApiError, Fields, in_the_query, json_object, parameters};
use shared::id::{AgentId, ConnectorId};
use shared::store::KeyItem;
use utoipa::{IntoParams, ToSchema};

/// The longest that a key may live: ten years.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(3_653 * 24);
/// The longest grace of a rotated key: a week.
const LONGEST_GRACE: u32 = 7 * 86_400;
/// The longest id, in characters.
const LONGEST_ID: usize = 200;
/// The most origins of a widget's key.
const ORIGINS: usize = 50;

/// A key to be made.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreateKeyRequest {
    /// The agent that it opens.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
    /// A person's name for it, in one line.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// What it is for.
    #[schema(required = false, max_length = 1000)]
    pub(crate) description: String,
    /// Requests a minute of the key's own. Without it, the limits of the endpoints hold alone: at most 60 a minute.
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    pub(crate) rate_limit_per_minute: Option<u32>,
    /// `server` (the default) for servers, or `widget`: public, and good for the widget's endpoints alone.
    #[schema(value_type = String, required = false, pattern = "^(server|widget)$")]
    pub(crate) kind: Kind,
    /// The origins of the pages that may use a widget's key, for example `https://example.com`; all where none is given.
    #[schema(required = false, max_items = 50)]
    pub(crate) allowed_origins: Vec<String>,
    /// When it stops to work: a time to come, at most ten years away.
    #[schema(value_type = String, required = false, format = DateTime, nullable = false)]
    pub(crate) expires_at: Option<Timestamp>,
}

impl CreateKeyRequest {
    pub(crate) fn read(body: &[u8], now: Timestamp) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)),
            name: fields.string("name", 1..=100),
            description: fields.optional_string("description", 0..=1000).unwrap_or_default(),
            rate_limit_per_minute: fields.optional_integer("rateLimitPerMinute", 1..=1000),
            kind: match fields.optional_word("kind", &["server", "widget"]) {
                Some("widget") => Kind::Widget,
                _ => Kind::Server,
            },
            allowed_origins: fields
                .optional_strings("allowedOrigins", ORIGINS, |text| origin::normalise(text).ok_or("Invalid url"))
                .unwrap_or_default(),
            expires_at: expiry(&mut fields, now),
        };
        if request.name.chars().any(char::is_control) {
            fields.wrong("name", "String must be one line");
        }
        if request.kind == Kind::Server && !request.allowed_origins.is_empty() {
            fields.wrong("allowedOrigins", "Only a key of kind widget has origins");
        }
        fields.finish()?;
        Ok(request)
    }
}

fn expiry(fields: &mut Fields<'_>, now: Timestamp) -> Option<Timestamp> {
    let until = fields.optional_time("expiresAt")?;
    if until <= now {
        fields.wrong("expiresAt", "Date must be in the future");
    } else if until.duration_since(now) > LONGEST_LIFE {
        fields.wrong("expiresAt", "Date must be at most ten years away");
    }
    Some(until)
}

/// The key that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateKeyResponse {
    /// What names the key from now on, and the keys that take its place.
    pub(crate) server_id: String,
    /// The key itself. It is told here, and nowhere else.
    pub(crate) api_key: String,
    /// Its first characters.
    pub(crate) api_key_prefix: String,
}

/// A key to be rotated.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotateKeyRequest {
    /// The agent that it opens.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
    /// The key's server.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) server_id: ConnectorId,
    /// For how many seconds the old key works yet, at most a week; 0 where it is not given.
    #[schema(required = false, maximum = 604_800)]
    pub(crate) grace_seconds: u32,
}

impl RotateKeyRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)),
            server_id: ConnectorId::from(fields.string("serverId", 1..=LONGEST_ID)),
            grace_seconds: fields.optional_integer("graceSeconds", 0..=LONGEST_GRACE).unwrap_or_default(),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// The key that took the place.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateKeyResponse {
    /// The key itself. It is told here, and nowhere else.
    pub(crate) api_key: String,
    /// Its first characters.
    pub(crate) api_key_prefix: String,
}

/// A key to be deleted.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct DeleteKeyQuery {
    /// The agent that it opens.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
    /// The key's server.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) server_id: ConnectorId,
}

impl DeleteKeyQuery {
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let query = Self {
            agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)),
            server_id: ConnectorId::from(fields.string("serverId", 1..=LONGEST_ID)),
        };
        fields.finish().map_err(in_the_query)?;
        Ok(query)
    }
}

/// That no key of the server works any more.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeleteKeyResponse {
    /// Always `true`.
    pub(crate) success: bool,
}

/// Whose keys are listed.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct ListKeysQuery {
    /// The agent that they open.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
}

impl ListKeysQuery {
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let query = Self { agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)) };
        fields.finish().map_err(in_the_query)?;
        Ok(query)
    }
}

/// An agent's keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListKeysResponse {
    /// The oldest first.
    keys: Vec<KeyEntry>,
}

/// A key, without its text. Times are as RFC 3339 writes them, or `null`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeyEntry {
    /// What names this very key, also where another has taken its place.
    id: String,
    /// What names it, and those before and after it, in requests.
    server_id: String,
    name: String,
    description: String,
    /// The key's first characters.
    prefix: String,
    /// `server` or `widget`.
    kind: String,
    /// Whether it works, as long as it does not expire.
    enabled: bool,
    allowed_origins: Vec<String>,
    /// Requests a minute of its own.
    #[schema(required = true)]
    rate_limit_per_minute: Option<u32>,
    created_at: String,
    /// When it was last used, to the hour.
    #[schema(required = true)]
    last_used_at: Option<String>,
    #[schema(required = true)]
    expires_at: Option<String>,
    /// The `id` of the key that took its place.
    #[schema(required = true)]
    rotated_to: Option<String>,
    #[schema(required = true)]
    rotated_at: Option<String>,
    /// When it was deleted.
    #[schema(required = true)]
    revoked_at: Option<String>,
}

impl From<Vec<KeyItem>> for ListKeysResponse {
    fn from(keys: Vec<KeyItem>) -> Self {
        Self { keys: keys.into_iter().map(KeyEntry::from).collect() }
    }
}

impl From<KeyItem> for KeyEntry {
    fn from(key: KeyItem) -> Self {
        Self {
            id: key.id.to_string(),
            server_id: key.connector.to_string(),
            name: key.name,
            description: key.description,
            prefix: key.prefix,
            kind: key.kind,
            enabled: key.enabled,
            allowed_origins: key.origins,
            rate_limit_per_minute: key.requests_per_minute,
            created_at: iso(key.created_at),
            last_used_at: key.last_used_at.map(iso),
            expires_at: key.expires_at.map(iso),
            rotated_to: key.rotated_to.map(|id| id.to_string()),
            rotated_at: key.rotated_at.map(iso),
            revoked_at: key.revoked_at.map(iso),
        }
    }
}

//! What goes over the wire.

use secrecy::SecretString;
use serde::Serialize;
use shared::channel::whatsapp::{AccessToken, Credentials, PhoneNumber, VerifyToken};
use shared::clock::iso;
use shared::http::{ApiError, Fields, in_the_query, json_object, parameters};
use shared::id::AgentId;
use shared::store::ConnectionItem;
use url::Url;
use utoipa::{IntoParams, ToSchema};

/// The longest id of ours, in characters.
const LONGEST_ID: usize = 200;

/// A phone number to be tied to an agent.
pub(crate) struct ConnectNumberRequest {
    pub(crate) agent_id: AgentId,
    pub(crate) phone_number_id: String,
    pub(crate) business_account_id: Option<String>,
    pub(crate) verify_token: Option<String>,
    pub(crate) credentials: Credentials,
}

/// A phone number to be tied to an agent, as it is described.
#[derive(ToSchema)]
#[schema(as = ConnectNumberRequest, rename_all = "camelCase")]
#[expect(dead_code, reason = "it is read field by field")]
pub(crate) struct ConnectNumberFields {
    /// The agent that is to answer.
    #[schema(min_length = 1, max_length = 200)]
    agent_id: String,
    /// The number's id, as Meta shows it beside the number.
    #[schema(pattern = "^[0-9]{1,20}$")]
    phone_number_id: String,
    /// A system user's access token with `whatsapp_business_messaging` and `whatsapp_business_management`. It is kept
    /// sealed, and never told again.
    #[schema(pattern = "^[!-~]{16,1024}$")]
    access_token: String,
    /// What Meta shows when it asks whether the webhook is willing; made where it is not given.
    #[schema(nullable = false, pattern = "^[!-~]{8,300}$")]
    verify_token: Option<String>,
    /// The WhatsApp business account of the number. With it, Meta is told where to send messages.
    #[schema(nullable = false, pattern = "^[0-9]{1,20}$")]
    business_account_id: Option<String>,
    /// The secret of the app at Meta that the token is of, where it is not the deployment's own app. It is kept sealed.
    #[schema(nullable = false, pattern = "^[!-~]{16,128}$")]
    app_secret: Option<String>,
}

impl ConnectNumberRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let agent_id = AgentId::from(fields.string("agentId", 1..=LONGEST_ID));
        let phone_number_id = fields.string("phoneNumberId", 1..=20);
        let token = fields.string("accessToken", 16..=1024);
        let verify_token = fields.optional_string("verifyToken", 8..=300);
        let business_account_id = fields.optional_string("businessAccountId", 1..=20);
        let app_secret = fields.optional_string("appSecret", 16..=128);
        for (name, id) in
            [("phoneNumberId", Some(&phone_number_id)), ("businessAccountId", business_account_id.as_ref())]
        {
            if id.is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_digit())) {
                fields.wrong(name, "Invalid id");
            }
        }
        for (name, text) in [("verifyToken", &verify_token), ("appSecret", &app_secret)] {
            if text.as_ref().is_some_and(|text| !text.bytes().all(|byte| byte.is_ascii_graphic())) {
                fields.wrong(name, "String must be visible ASCII characters");
            }
        }
        let parsed = AccessToken::parse(&token);
        if parsed.is_none() && token.len() >= 16 {
            fields.wrong("accessToken", "Invalid access token");
        }
        fields.finish()?;
        let token = parsed.ok_or_else(|| ApiError::internal("a token that is none was let through"))?;
        let credentials = Credentials { token, app_secret: app_secret.map(SecretString::from) };
        Ok(Self { agent_id, phone_number_id, business_account_id, verify_token, credentials })
    }
}

/// Whether Meta knows where to send messages.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Webhook {
    /// Meta was told, and has asked the address.
    Registered,
    /// The address and the verify token are to be registered in the app's settings, with the field `messages`.
    ToBeRegistered,
}

/// The number that was tied.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectNumberResponse {
    /// Always `true`.
    success: bool,
    /// The number's id.
    phone_number_id: String,
    /// The number, as people write it.
    phone_number: String,
    /// The business's name.
    verified_name: String,
    webhook: Webhook,
    /// Where Meta sends messages to.
    webhook_url: String,
    /// What Meta shows when it asks whether the address is willing. It is told here, and nowhere else.
    verify_token: String,
}

impl ConnectNumberResponse {
    pub(crate) fn new(number: &PhoneNumber, webhook: Webhook, url: &Url, verify: &VerifyToken) -> Self {
        Self {
            success: true,
            phone_number_id: number.id.clone(),
            phone_number: number.display_phone_number.clone(),
            verified_name: number.verified_name.clone(),
            webhook,
            webhook_url: url.to_string(),
            verify_token: verify.reveal().to_owned(),
        }
    }
}

/// Whose phone numbers are listed.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct ListNumbersQuery {
    /// The agent.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
}

impl ListNumbersQuery {
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let query = Self { agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)) };
        fields.finish().map_err(in_the_query)?;
        Ok(query)
    }
}

/// An agent's phone numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListNumbersResponse {
    numbers: Vec<NumberEntry>,
}

/// A phone number, without its tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NumberEntry {
    /// The number's id.
    phone_number_id: String,
    /// The number, as people write it.
    phone_number: String,
    /// The business's name.
    verified_name: String,
    /// When it was tied, as RFC 3339 writes it.
    created_at: String,
    /// When it was last tied anew.
    updated_at: String,
}

impl From<Vec<ConnectionItem>> for ListNumbersResponse {
    fn from(connections: Vec<ConnectionItem>) -> Self {
        Self { numbers: connections.into_iter().map(NumberEntry::from).collect() }
    }
}

impl From<ConnectionItem> for NumberEntry {
    fn from(connection: ConnectionItem) -> Self {
        let text =
            |name: &str| connection.about.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Self {
            phone_number: text("number"),
            verified_name: text("name"),
            phone_number_id: connection.external.clone(),
            created_at: iso(connection.created_at),
            updated_at: iso(connection.updated_at),
        }
    }
}

/// Which phone numbers are untied.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct DisconnectNumberQuery {
    /// The agent.
    #[param(value_type = String, min_length = 1, max_length = 200)]
    pub(crate) agent_id: AgentId,
    /// The number; without it all of the agent's.
    #[param(nullable = false, min_length = 1, max_length = 20)]
    pub(crate) phone_number_id: Option<String>,
}

impl DisconnectNumberQuery {
    /// Reads the query, or a body with the same fields.
    pub(crate) fn read(query: &str, body: &[u8]) -> Result<Self, ApiError> {
        let parameters = if body.is_empty() { parameters(query) } else { json_object(body)? };
        let mut fields = Fields::of(&parameters);
        let query = Self {
            agent_id: AgentId::from(fields.string("agentId", 1..=LONGEST_ID)),
            phone_number_id: fields.optional_string("phoneNumberId", 1..=20),
        };
        fields.finish().map_err(|error| if body.is_empty() { in_the_query(error) } else { error })?;
        Ok(query)
    }
}

/// That nothing comes from the numbers any more.
#[derive(Serialize, ToSchema)]
pub(crate) struct DisconnectNumberResponse {
    /// Always `true`.
    pub(crate) success: bool,
}

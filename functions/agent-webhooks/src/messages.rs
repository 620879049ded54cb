//! What goes over the wire. Times are as RFC 3339 writes them.

use serde::Serialize;
use shared::clock::iso;
use shared::http::{ApiError, ErrorKind, Fields, in_the_query, json_object, parameters};
use shared::store::{AttemptItem, DeliveryItem, DeliveryState, Webhook};
use shared::webhook::{EventKind, Sent, sign};
use utoipa::{IntoParams, ToSchema};

/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// The longest address, in characters.
const LONGEST_URL: usize = 2_000;
/// The longest overlap of two secrets, in seconds: a week.
const LONGEST_OVERLAP: u32 = 7 * 86_400;
/// For how many seconds both secrets hold, where nothing is said.
const OVERLAP: u32 = 86_400;
/// The longest id, in characters.
const LONGEST_ID: usize = 200;

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// A sender calls the agent, and signs.
    Inbound,
    /// A receiver is told of events, which are signed.
    Outbound,
}

/// A webhook to be made.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreateWebhookRequest {
    /// Its name, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// `outbound`, where it is not given.
    #[schema(rename = "type", required = false)]
    pub(crate) direction: Direction,
    /// Where events are posted to: an https URL. Outbound webhooks need it.
    #[schema(required = false, min_length = 1, max_length = 2_000, format = "uri")]
    pub(crate) target_url: String,
    /// What is told. Outbound webhooks need it.
    #[schema(
        required = false,
        min_items = 1,
        max_items = 5,
        pattern = "^(message_sent|tool_call_completed|session_ended|error|webhook_disabled)$"
    )]
    pub(crate) events: Vec<String>,
    /// The secret of the signatures, 8 to 200 characters; one is made where it is not given. What begins with `whsec_`
    /// goes on with base64 of 24 to 64 bytes.
    #[schema(min_length = 8, max_length = 200, nullable = false)]
    pub(crate) secret: Option<String>,
    /// Whether it is switched on; it is, where nothing is said.
    #[schema(required = false)]
    pub(crate) enabled: bool,
}

impl CreateWebhookRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let direction = match fields.optional_word("type", &["outbound", "inbound"]) {
            Some("inbound") => Direction::Inbound,
            _ => Direction::Outbound,
        };
        let (target_url, events) = match direction {
            Direction::Outbound => (fields.string("targetUrl", 1..=LONGEST_URL), events(&mut fields)),
            Direction::Inbound => {
                not_for_senders(&mut fields, &object);
                (String::new(), None)
            }
        };
        if direction == Direction::Outbound && !object.contains_key("events") {
            fields.wrong("events", "Required");
        }
        let request = Self {
            name: name(&mut fields),
            direction,
            target_url,
            events: events.unwrap_or_default(),
            secret: secret(&mut fields),
            enabled: fields.optional_bool("enabled").unwrap_or(true),
        };
        fields.finish()?;
        Ok(request)
    }
}

fn name(fields: &mut Fields<'_>) -> String {
    fields.string("name", 1..=LONGEST_NAME)
}

fn events(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let read = |name: &str| match name.parse::<EventKind>() {
        Ok(kind) if EventKind::NAMES.contains(&name) => Ok(kind),
        _ => Err("Invalid enum value"),
    };
    let mut kinds = fields.optional_strings("events", EventKind::NAMES.len(), read)?;
    if kinds.is_empty() {
        fields.wrong("events", "Array must contain at least 1 element(s)");
    }
    kinds.sort();
    kinds.dedup();
    Some(kinds.into_iter().map(|kind| kind.name().to_owned()).collect())
}

fn secret(fields: &mut Fields<'_>) -> Option<String> {
    let secret = fields.optional_string("secret", 8..=200)?;
    if !sign::is_secret(&secret) {
        fields.wrong("secret", "Invalid secret: what follows whsec_ is base64 of 24 to 64 bytes");
    }
    Some(secret)
}

fn not_for_senders(fields: &mut Fields<'_>, object: &serde_json::Map<String, serde_json::Value>) {
    for name in ["targetUrl", "events"] {
        if object.contains_key(name) {
            fields.wrong(name, "Only outbound webhooks have it");
        }
    }
}

/// That events cannot be sent to the address.
pub(crate) fn invalid_url(why: &str) -> ApiError {
    let details = vec![format!("targetUrl: Invalid url: {why}")];
    ApiError::new(ErrorKind::InvalidRequest, "Invalid request body").code("invalid_request").details(details)
}

/// What changes of a webhook.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ChangeWebhookRequest {
    /// Its name, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    pub(crate) name: Option<String>,
    /// Where events are posted to: an https URL.
    #[schema(min_length = 1, max_length = 2_000, format = "uri", nullable = false)]
    pub(crate) target_url: Option<String>,
    /// What is told.
    #[schema(
        min_items = 1,
        max_items = 5,
        nullable = false,
        pattern = "^(message_sent|tool_call_completed|session_ended|error|webhook_disabled)$"
    )]
    pub(crate) events: Option<Vec<String>>,
    /// Whether it is switched on.
    #[schema(nullable = false)]
    pub(crate) enabled: Option<bool>,
}

impl ChangeWebhookRequest {
    pub(crate) fn read(body: &[u8], webhook: &Webhook) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        if webhook.is_sender() {
            not_for_senders(&mut fields, &object);
        }
        let request = Self {
            name: fields.optional_string("name", 1..=LONGEST_NAME),
            target_url: fields.optional_string("targetUrl", 1..=LONGEST_URL),
            events: events(&mut fields),
            enabled: fields.optional_bool("enabled"),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// A secret to be rotated.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotateSecretRequest {
    /// The new secret, 8 to 200 characters; one is made where it is not given.
    #[schema(min_length = 8, max_length = 200, nullable = false)]
    pub(crate) secret: Option<String>,
    /// For how many seconds the old secret holds yet, at most a week; a day where it is not given.
    #[schema(required = false, maximum = 604_800)]
    pub(crate) overlap_seconds: u32,
}

impl RotateSecretRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(if body.is_empty() { b"{}" } else { body })?;
        let mut fields = Fields::of(&object);
        let request = Self {
            secret: secret(&mut fields),
            overlap_seconds: fields.optional_integer("overlapSeconds", 0..=LONGEST_OVERLAP).unwrap_or(OVERLAP),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// The secret that took the place.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateSecretResponse {
    /// The secret itself. It is told here, and nowhere else.
    secret: String,
    /// Until when the old one holds.
    previous_secret_expires_at: String,
}

impl RotateSecretResponse {
    pub(crate) fn new(secret: String, until: i64) -> Self {
        Self { secret, previous_secret_expires_at: iso(until) }
    }
}

/// A webhook, without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookEntry {
    id: String,
    name: String,
    r#type: Direction,
    enabled: bool,
    /// Where events are posted to; `null` for an inbound one.
    #[schema(required = true)]
    target_url: Option<String>,
    /// What is told; empty for an inbound one.
    events: Vec<String>,
    /// Whether there is a secret.
    signed: bool,
    /// Why it was switched off, where its owner did not do it.
    #[schema(required = true)]
    disabled_reason: Option<String>,
    /// Since when.
    #[schema(required = true)]
    disabled_at: Option<String>,
    /// Until when the secret before the current one holds, where it does.
    #[schema(required = true)]
    previous_secret_expires_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl WebhookEntry {
    pub(crate) fn of(id: &str, webhook: &Webhook, now_ms: i64) -> Self {
        let receiver = webhook.receiver.clone();
        let disabled = receiver.as_ref().and_then(|receiver| receiver.disabled.clone());
        let previous = webhook.previous.as_ref().filter(|previous| previous.until > now_ms);
        Self {
            id: id.to_owned(),
            name: webhook.name.clone(),
            r#type: if webhook.is_sender() { Direction::Inbound } else { Direction::Outbound },
            enabled: webhook.enabled,
            target_url: receiver.as_ref().map(|receiver| receiver.url.clone()),
            events: receiver.map(|receiver| receiver.events).unwrap_or_default(),
            signed: webhook.sealed_secret.is_some(),
            disabled_at: disabled.as_ref().map(|disabled| iso(disabled.at)),
            disabled_reason: disabled.map(|disabled| disabled.reason),
            previous_secret_expires_at: previous.map(|previous| iso(previous.until)),
            created_at: iso(webhook.created_at),
            updated_at: iso(webhook.updated_at),
        }
    }
}

/// A webhook that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookMade {
    #[serde(flatten)]
    pub(crate) webhook: WebhookEntry,
    /// The secret itself. It is told here, and nowhere else.
    pub(crate) secret: String,
}

/// An agent's webhooks.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListWebhooksResponse {
    /// The oldest first.
    pub(crate) webhooks: Vec<WebhookEntry>,
}

/// That the webhook is gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeleteWebhookResponse {
    /// Always `true`.
    pub(crate) success: bool,
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestWebhookResponse {
    /// Whether the receiver took the event.
    delivered: bool,
    #[serde(flatten)]
    attempt: AttemptEntry,
}

impl From<Sent> for TestWebhookResponse {
    fn from(sent: Sent) -> Self {
        Self { delivered: sent.is_taken(), attempt: sent.attempt.into() }
    }
}

/// Which deliveries are listed.
#[derive(Debug, IntoParams)]
#[into_params(rename_all = "camelCase", parameter_in = Query)]
pub(crate) struct ListDeliveriesQuery {
    /// How many, 1 to 100; 20 where nothing is said.
    #[param(required = false, minimum = 1, maximum = 100)]
    pub(crate) limit: i32,
    /// Those before this one: the `next` of the page before.
    #[param(min_length = 1, max_length = 200, nullable = false)]
    pub(crate) before: Option<String>,
}

impl ListDeliveriesQuery {
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let mut limit = 20;
        if let Some(text) = fields.optional_string("limit", 1..=10) {
            match text.parse() {
                Ok(number) if (1..=100).contains(&number) => limit = number,
                _ => fields.wrong("limit", "Expected integer from 1 to 100"),
            }
        }
        let query = Self { limit, before: fields.optional_string("before", 1..=LONGEST_ID) };
        fields.finish().map_err(in_the_query)?;
        Ok(query)
    }
}

/// What was sent to a receiver.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListDeliveriesResponse {
    /// The newest first.
    deliveries: Vec<DeliveryEntry>,
    /// What the next page is asked for with; `null` where there is none.
    #[schema(required = true)]
    next: Option<String>,
}

impl ListDeliveriesResponse {
    pub(crate) fn new(found: Vec<DeliveryItem>, limit: i32) -> Self {
        let is_full = usize::try_from(limit).is_ok_and(|limit| found.len() >= limit);
        let next = found.last().filter(|_| is_full).map(|last| last.event.to_string());
        Self { deliveries: found.into_iter().map(DeliveryEntry::from).collect(), next }
    }
}

/// An event on its way to a receiver.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryEntry {
    /// The event's id, as its `webhook-id` header has it.
    id: String,
    event: String,
    /// `pending`, `delivered`, `failed` or `cancelled`.
    status: &'static str,
    created_at: String,
    /// When it is sent again, where it is.
    #[schema(required = true)]
    next_attempt_at: Option<String>,
    /// The last ones, the oldest first.
    attempts: Vec<AttemptEntry>,
}

impl From<DeliveryItem> for DeliveryEntry {
    fn from(delivery: DeliveryItem) -> Self {
        let (status, next) = match delivery.state {
            DeliveryState::Pending => ("pending", Some(iso(delivery.next_at))),
            DeliveryState::Delivered => ("delivered", None),
            DeliveryState::Failed => ("failed", None),
            DeliveryState::Cancelled => ("cancelled", None),
        };
        Self {
            id: delivery.event.to_string(),
            event: delivery.name,
            status,
            created_at: iso(delivery.created_at),
            next_attempt_at: next,
            attempts: delivery.attempts.into_iter().map(AttemptEntry::from).collect(),
        }
    }
}

/// One time that an event was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptEntry {
    at: String,
    duration_ms: u64,
    /// The status that came back, if one did.
    #[schema(required = true)]
    status_code: Option<u16>,
    /// Why none came back, or why it does not count.
    #[schema(required = true)]
    error: Option<String>,
    /// The body that came back, cut to 2,000 characters.
    response: String,
}

impl From<AttemptItem> for AttemptEntry {
    fn from(attempt: AttemptItem) -> Self {
        Self {
            at: iso(attempt.at),
            duration_ms: attempt.duration_ms,
            status_code: attempt.status,
            error: attempt.error,
            response: attempt.response,
        }
    }
}

//! What goes over the wire. Times are as RFC 3339 writes them.

use serde::Serialize;
use serde_json::{Map, Value};
use shared::clock::{iso, iso_seconds};
use shared::http::{ApiError, Fields, in_the_query, json_object, parameters};
use shared::store::{AttemptItem, DeliveryItem, DeliveryState, Webhook};
use shared::webhook::{EventKind, Sent};
use utoipa::{IntoParams, ToSchema};

/// The longest address, in characters.
const LONGEST_URL: usize = 2_000;
/// The longest id that is looked for.
const LONGEST_ID: usize = 200;
/// For how long the old secret holds where nothing is said, in seconds: a day.
const OVERLAP: u32 = 24 * 60 * 60;
/// For how long it holds at most: a week.
const LONGEST_OVERLAP: u32 = 7 * OVERLAP;

/// A webhook to be made.
#[derive(Debug, ToSchema)]
pub(crate) struct CreateWebhookRequest {
    /// Where events are posted to: an https URL.
    #[schema(min_length = 1, max_length = 2_000, format = "uri")]
    pub(crate) url: String,
    /// What is told.
    #[schema(min_items = 1, max_items = 3, pattern = "^(session.started|session.ended|conversation.escalated)$")]
    pub(crate) events: Vec<String>,
    /// What signs, 8 to 200 characters; one is made where it is not given.
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
        if !object.contains_key("events") {
            fields.wrong("events", "Required");
        }
        let request = Self {
            url: fields.string("url", 1..=LONGEST_URL),
            events: events(&mut fields, &object).unwrap_or_default(),
            secret: fields.optional_string("secret", 8..=200),
            enabled: fields.optional_bool("enabled").unwrap_or(true),
        };
        fields.finish()?;
        Ok(request)
    }
}

fn events(fields: &mut Fields<'_>, object: &Map<String, Value>) -> Option<Vec<String>> {
    let read = |name: &str| EventKind::APP_NAMES.into_iter().find(|known| *known == name).ok_or("Invalid enum value");
    let mut names = fields.optional_strings("events", EventKind::APP_NAMES.len(), read)?;
    if object.get("events").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fields.wrong("events", "Array must contain at least 1 element(s)");
    }
    names.sort_unstable();
    names.dedup();
    Some(names.into_iter().map(str::to_owned).collect())
}

/// What changes of a webhook.
#[derive(Debug, ToSchema)]
pub(crate) struct ChangeWebhookRequest {
    /// Where events are posted to: an https URL.
    #[schema(min_length = 1, max_length = 2_000, format = "uri", nullable = false)]
    pub(crate) url: Option<String>,
    /// What is told.
    #[schema(
        min_items = 1,
        max_items = 3,
        nullable = false,
        pattern = "^(session.started|session.ended|conversation.escalated)$"
    )]
    pub(crate) events: Option<Vec<String>>,
    /// Whether it is switched on.
    #[schema(nullable = false)]
    pub(crate) enabled: Option<bool>,
}

impl ChangeWebhookRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let object = json_object(body)?;
        let mut fields = Fields::of(&object);
        let request = Self {
            url: fields.optional_string("url", 1..=LONGEST_URL),
            events: events(&mut fields, &object),
            enabled: fields.optional_bool("enabled"),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// A secret to be rotated.
#[derive(Debug, ToSchema)]
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
            secret: fields.optional_string("secret", 8..=200),
            overlap_seconds: fields.optional_integer("overlap_seconds", 0..=LONGEST_OVERLAP).unwrap_or(OVERLAP),
        };
        fields.finish()?;
        Ok(request)
    }
}

/// The secret that took the place.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotateSecretResponse {
    /// The secret itself. It is told here, and nowhere else.
    pub(crate) secret: String,
    /// Until when the old secret holds. Standard Webhooks' header is signed with both; `x-kore-signature` with the new one.
    pub(crate) previous_secret_expires_at: String,
}

/// A webhook.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookEntry {
    /// Its id.
    id: String,
    /// Where events are posted to.
    url: String,
    /// What is told.
    events: Vec<String>,
    /// Whether it is switched on.
    enabled: bool,
    /// Since when it is switched off, where its owner did not do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    disabled_at: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    disabled_reason: Option<String>,
    /// Until when the secret before the current one holds, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous_secret_expires_at: Option<String>,
    /// When it was made.
    created_at: String,
    /// When it was changed.
    updated_at: String,
}

impl WebhookEntry {
    pub(crate) fn of(id: &str, webhook: &Webhook, now_ms: i64) -> Self {
        let receiver = webhook.receiver.clone();
        let disabled = receiver.as_ref().and_then(|receiver| receiver.disabled.clone());
        let previous = webhook.previous.as_ref().filter(|previous| previous.until > now_ms);
        Self {
            id: id.to_owned(),
            url: receiver.as_ref().map(|receiver| receiver.url.clone()).unwrap_or_default(),
            events: receiver.map(|receiver| receiver.events).unwrap_or_default(),
            enabled: webhook.enabled,
            disabled_at: disabled.as_ref().map(|disabled| iso_seconds(disabled.at)),
            disabled_reason: disabled.map(|disabled| disabled.reason),
            previous_secret_expires_at: previous.map(|previous| iso_seconds(previous.until)),
            created_at: iso_seconds(webhook.created_at),
            updated_at: iso_seconds(webhook.updated_at),
        }
    }
}

/// A webhook that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookMade {
    #[serde(flatten)]
    pub(crate) webhook: WebhookEntry,
    /// The secret itself. It is told here, and nowhere else.
    pub(crate) secret: String,
}

/// An app's webhooks.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListWebhooksResponse {
    /// The oldest first.
    pub(crate) webhooks: Vec<WebhookEntry>,
}

/// That the webhook is gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeleteWebhookResponse {
    /// The webhook.
    pub(crate) webhook_id: String,
    /// Always `true`.
    pub(crate) deleted: bool,
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
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
#[into_params(parameter_in = Query)]
pub(crate) struct ListDeliveriesQuery {
    /// How many, 1 to 100; 20 where nothing is said.
    #[param(required = false, minimum = 1, maximum = 100)]
    pub(crate) limit: i32,
    /// The `next_cursor` of an answer: those before these.
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
                _ => fields.wrong("limit", "Expected a whole number from 1 to 100"),
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
    /// Where there may be more: what to ask for as `before`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl ListDeliveriesResponse {
    pub(crate) fn new(found: Vec<DeliveryItem>, limit: i32) -> Self {
        let is_full = usize::try_from(limit).is_ok_and(|limit| found.len() >= limit);
        let next_cursor = found.last().filter(|_| is_full).map(|last| last.event.to_string());
        Self { deliveries: found.into_iter().map(DeliveryEntry::from).collect(), next_cursor }
    }
}

/// An event on its way to a receiver.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryEntry {
    /// The event's id, as its `webhook-id` and `x-kore-delivery` headers have it.
    id: String,
    /// What is told.
    event: String,
    /// `pending`, `delivered`, `failed` or `cancelled`.
    #[schema(pattern = "^(pending|delivered|failed|cancelled)$")]
    status: &'static str,
    /// When it happened.
    created_at: String,
    /// When it is sent again, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_attempt_at: Option<String>,
    /// The last ones, the oldest first.
    attempts: Vec<AttemptEntry>,
}

impl From<DeliveryItem> for DeliveryEntry {
    fn from(delivery: DeliveryItem) -> Self {
        let (status, next) = match delivery.state {
            DeliveryState::Pending => ("pending", Some(iso_seconds(delivery.next_at))),
            DeliveryState::Delivered => ("delivered", None),
            DeliveryState::Failed => ("failed", None),
            DeliveryState::Cancelled => ("cancelled", None),
        };
        Self {
            id: delivery.event.to_string(),
            event: delivery.name,
            status,
            created_at: iso_seconds(delivery.created_at),
            next_attempt_at: next,
            attempts: delivery.attempts.into_iter().map(AttemptEntry::from).collect(),
        }
    }
}

/// One time that an event was sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptEntry {
    /// When, to the millisecond.
    at: String,
    /// How long it took.
    duration_ms: u64,
    /// The status that came back, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status_code: Option<u16>,
    /// Why none came back, or why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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

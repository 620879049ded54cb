//! `/api/whatsapp/webhook`: tells Meta that it may send (GET), and takes what it sends (POST). A message is queued, and
//! answered later. <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview>
//!
//! A connection's address names it in the query (`?connection=…`), so that its verify token and the secret that signs
//! are found by one read. At the address without a name, what the deployment's own app signs is taken.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::{self, TryStreamExt};
use secrecy::SecretString;
use shared::app::App;
use shared::auth::{SignatureError, verify};
use shared::channel::whatsapp::{About, Credentials, FailedStatus, SignedBy, VerifyToken, phone_of_token, read};
use shared::channel::{Incoming, Platform};
use shared::dialect::Dialect;
use shared::dialect::kopern::ErrorResponse;
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Fields, Request, StatusCode, parameters};
use shared::queue::QueueError;
use shared::store::ConnectionItem;
use utoipa::{IntoParams, OpenApi};

const FUNCTION: &str = "whatsapp-webhook";
const PATH: &str = "/api/whatsapp/webhook";
/// The deployment's app secret, among its secrets.
const APP_SECRET: &str = "WHATSAPP_APP_SECRET";
/// What a message has failed with that came too late.
const WINDOW_CLOSED: i64 = 131_047;
/// How many conversations are queued at once: a notification may hold a thousand messages.
const AT_ONCE: usize = 16;

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(agree, receive))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(agree).post(receive).fallback(other_method))
}

/// How Meta asks whether it may send.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct VerificationQuery {
    /// Always `subscribe`.
    #[param(rename = "hub.mode", pattern = "^subscribe$")]
    mode: String,
    /// The connection's verify token.
    #[param(rename = "hub.verify_token", min_length = 1, max_length = 300)]
    verify_token: String,
    /// What is to be given back.
    #[param(rename = "hub.challenge", min_length = 1, max_length = 500)]
    challenge: String,
    /// The phone number's id.
    #[param(nullable = false, min_length = 1, max_length = 20)]
    connection: Option<String>,
}

impl VerificationQuery {
    fn read(query: &str) -> Option<Self> {
        let parameters = parameters(query);
        let mut fields = Fields::of(&parameters);
        let query = Self {
            mode: fields.string("hub.mode", 1..=20),
            verify_token: fields.string("hub.verify_token", 1..=300),
            challenge: fields.string("hub.challenge", 1..=500),
            connection: fields.optional_string("connection", 1..=20),
        };
        fields.finish().ok().map(|()| query)
    }
}

/// Gives Meta's challenge back, where the verify token is the connection's.
#[utoipa::path(
    get, path = PATH, tag = "whatsapp", operation_id = "verifyWhatsAppWebhook",
    params(VerificationQuery),
    responses(
        (status = 200, content_type = "text/plain", body = String), (status = 403, body = ErrorResponse),
        (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn agree(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::None), request, async |exchange| {
        answer_verification(&app, exchange).await
    })
    .await
}

async fn answer_verification(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let refused = || ApiError::new(ErrorKind::Forbidden, "Token mismatch").code("invalid_verify_token");
    let query =
        VerificationQuery::read(exchange.query()).filter(|query| query.mode == "subscribe").ok_or_else(refused)?;
    let phone = query.connection.as_deref().or_else(|| phone_of_token(&query.verify_token)).ok_or_else(refused)?;
    let connection = app.store().connection(Platform::WhatsApp, phone).await?.ok_or_else(refused)?;
    let about = About::of(&connection).map_err(ApiError::internal)?;
    if !VerifyToken::holds(&query.verify_token, &about.verify_hash) {
        return Err(refused());
    }
    exchange.about_agent(&connection.agent);
    Ok((StatusCode::OK, [("content-type", "text/plain")], query.challenge).into_response())
}

/// Takes a notification from Meta. What asks for no answer is taken too, and passed over.
#[utoipa::path(
    post, path = PATH, tag = "whatsapp", operation_id = "receiveWhatsAppNotification",
    params(
        ("X-Hub-Signature-256" = String, Header, description = "`sha256=` and the HMAC-SHA256 of the raw body under the app's secret, in hex"),
        ("connection" = Option<String>, Query, description = "The phone number's id"),
    ),
    request_body(content = Object, description = "A notification of the Cloud API"),
    responses(
        (status = 200, content_type = "text/plain", body = String), (status = 400, body = ErrorResponse),
        (status = 401, body = ErrorResponse), (status = 413, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn receive(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::None), request, async |exchange| answer(&app, exchange).await)
        .await
}

async fn answer(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let mut connections = Connections::default();
    let named = parameters(exchange.query()).get("connection").and_then(|id| id.as_str().map(str::to_owned));
    let named = match named {
        Some(phone) => connections.of(app, &phone).await?,
        None => None,
    };
    if let Some(connection) = &named {
        exchange.about_agent(&connection.agent);
    }
    let signed_by = check_signature(app, exchange, named.as_ref()).await?;
    let notification = read(exchange.body(), app.clock().now_ms()).unwrap_or_else(|error| {
        tracing::warn!(line = error.line(), column = error.column(), "a notification of WhatsApp cannot be read");
        Default::default()
    });
    notification.failed.iter().for_each(log_failed);
    let mut conversations: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for incoming in &notification.messages {
        let connection = connections.of(app, &incoming.connection).await?;
        if connection.is_some_and(|connection| is_signed(&connection, signed_by, named.as_ref())) {
            conversations.entry((&incoming.connection, &incoming.conversation)).or_default().push(incoming);
        }
    }
    queue(app, conversations.into_values()).await?;
    Ok((StatusCode::OK, [("content-type", "text/plain")], "EVENT_RECEIVED").into_response())
}

/// Checks who signed the body: the app that the named connection has for its own, or the deployment's.
async fn check_signature(app: &App, exchange: &Exchange, named: Option<&ConnectionItem>) -> Result<SignedBy, ApiError> {
    let signed_by = match named {
        Some(connection) => About::of(connection).map_err(ApiError::internal)?.signed_by,
        None => SignedBy::Deployment,
    };
    let secret = match (signed_by, named) {
        (SignedBy::OwnApp, Some(connection)) => own_secret(app, connection).await?,
        _ => app.secrets().get(APP_SECRET).await.map_err(ApiError::internal)?,
    };
    let secret = secret.ok_or_else(|| {
        let message = "WhatsApp is not configured on this deployment.";
        ApiError::new(ErrorKind::Unavailable, message).code("whatsapp_not_configured")
    })?;
    // Meta always names the method.
    let signature = exchange.header("x-hub-signature-256").map(|value| value.as_bytes());
    let signature = signature.ok_or(SignatureError::Missing)?.strip_prefix(b"sha256=").ok_or(SignatureError::Wrong)?;
    verify(&secret, exchange.body(), Some(signature))?;
    Ok(signed_by)
}

async fn own_secret(app: &App, connection: &ConnectionItem) -> Result<Option<SecretString>, ApiError> {
    let purpose = ConnectionItem::purpose(connection.platform, &connection.external);
    let opened = app.sealer().await?.open(&connection.tenant, &purpose, &connection.sealed);
    let credentials = Credentials::read(&opened.map_err(ApiError::internal)?).map_err(ApiError::internal)?;
    Ok(credentials.app_secret)
}

/// Whether who signed may speak for a connection: an app of its own for that one alone, the deployment's for all others.
fn is_signed(connection: &ConnectionItem, signed_by: SignedBy, named: Option<&ConnectionItem>) -> bool {
    match signed_by {
        SignedBy::OwnApp => named.is_some_and(|named| named.external == connection.external),
        SignedBy::Deployment => About::of(connection).is_ok_and(|about| about.signed_by == SignedBy::Deployment),
    }
}

/// The connections that one notification is about, each read once.
#[derive(Default)]
struct Connections(BTreeMap<String, Option<ConnectionItem>>);

impl Connections {
    async fn of(&mut self, app: &App, phone: &str) -> Result<Option<ConnectionItem>, ApiError> {
        if let Some(known) = self.0.get(phone) {
            return Ok(known.clone());
        }
        let connection = app.store().connection(Platform::WhatsApp, phone).await?;
        self.0.insert(phone.to_owned(), connection.clone());
        Ok(connection)
    }
}

/// Queues the messages of conversations: each one's in order, conversations beside each other. Where one is not taken,
/// Meta sends all again, and those that were are dropped by their names.
async fn queue(app: &App, conversations: impl Iterator<Item = Vec<&Incoming>>) -> Result<(), ApiError> {
    stream::iter(conversations.map(Ok))
        .try_for_each_concurrent(AT_ONCE, async |messages| {
            for incoming in messages {
                let message = incoming.to_message().map_err(ApiError::internal)?;
                app.channels().send(&message).await.map_err(not_queued)?;
            }
            Ok(())
        })
        .await
}

fn not_queued(error: QueueError) -> ApiError {
    match error {
        QueueError::TooLarge => ApiError::internal(error),
        error => ApiError::new(ErrorKind::Unavailable, "The service is busy. Please try again.")
            .code("unavailable")
            .because(error),
    }
}

fn log_failed(failed: &FailedStatus) {
    let codes = format!("{:?}", failed.codes);
    if failed.codes.contains(&WINDOW_CLOSED) {
        tracing::warn!(codes, "an answer came more than 24 hours after the person's last message: WhatsApp refused it");
    } else {
        tracing::warn!(codes, "an answer did not arrive on WhatsApp");
    }
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::None), request, "GET, POST").await
}

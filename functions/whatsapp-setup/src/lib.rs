//! `/api/whatsapp/setup`: ties a phone number to an agent (POST), tells which are (GET), and unties them (DELETE), for the
//! people who own the agent. They come with an ID token.
//!
//! A number's connection is stored before Meta is told of its webhook, since Meta asks the webhook at once; it is deleted
//! after Meta has forgotten it. A call that was cut short is made whole by making it again.

mod messages;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use shared::app::App;
use shared::channel::whatsapp::{self, GraphApi, GraphError, VerifyToken};
use shared::channel::{self, Platform};
use shared::dialect::kopern::ErrorResponse;
use shared::dialect::{self, Dialect};
use shared::http::{ApiError, Cors, ErrorKind, Exchange, Request, StatusCode};
use shared::id::{AgentId, TenantId};
use shared::store::ConnectionItem;
use utoipa::OpenApi;

use messages::{
    ConnectNumberRequest, ConnectNumberResponse, DisconnectNumberQuery, DisconnectNumberResponse, ListNumbersQuery,
    ListNumbersResponse, Webhook,
};

const FUNCTION: &str = "whatsapp-setup";
const PATH: &str = "/api/whatsapp/setup";
const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const WEBHOOK: &str = "/api/whatsapp/webhook";

/// This function's part of the OpenAPI description. Answering a request takes none of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list, connect, disconnect))]
pub struct ApiDoc;

/// The routes of this function.
pub fn routes() -> Router<App> {
    Router::new().route(PATH, get(list).post(connect).delete(disconnect).fallback(other_method))
}

/// Lists the phone numbers that an agent answers for. No token is told.
#[utoipa::path(
    get, path = PATH, tag = "whatsapp", operation_id = "listWhatsAppNumbers",
    params(ListNumbersQuery),
    responses(
        (status = 200, body = ListNumbersResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn list(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_list(&app, exchange).await
    })
    .await
}

async fn answer_list(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let query = ListNumbersQuery::read(exchange.query())?;
    let tenant = app.users().tenant(&user).await?;
    let numbers = numbers(app, exchange, &tenant, &query.agent_id).await?;
    Ok(dialect::json(StatusCode::OK, &ListNumbersResponse::from(numbers)))
}

/// Ties a phone number to an agent: from now on the agent answers what people write to it. With the business account, Meta
/// is told where to send messages; without it, the reply tells what to register by hand.
#[utoipa::path(
    post, path = PATH, tag = "whatsapp", operation_id = "connectWhatsAppNumber",
    request_body = messages::ConnectNumberFields,
    responses(
        (status = 200, body = ConnectNumberResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 403, body = ErrorResponse),
        (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse), (status = 503, body = ErrorResponse),
    ),
)]
async fn connect(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_connect(&app, exchange).await
    })
    .await
}

async fn answer_connect(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let request = ConnectNumberRequest::read(exchange.body())?;
    let tenant = app.users().tenant(&user).await?;
    exchange.own_agent(app.store(), &tenant, &request.agent_id).await?;
    let mut url = exchange.public_url(app.config().public_url.as_ref(), WEBHOOK)?;
    url.query_pairs_mut().append_pair("connection", &request.phone_number_id);
    let (phone, now) = (request.phone_number_id.as_str(), app.clock().now_ms());
    let before = app.store().connection(Platform::WhatsApp, phone).await?;
    if before.as_ref().is_some_and(|before| before.tenant != tenant) {
        return Err(taken());
    }
    if before.is_none() {
        channel::room(app.store(), &tenant, Platform::WhatsApp, phone, now).await??;
    }
    let credentials = request.credentials;
    let api = GraphApi::new(
        app.client().clone(),
        app.config().base_urls.get("graph"),
        phone.to_owned(),
        credentials.token.clone(),
    );
    let number = api.phone_number().await.map_err(told)?;
    if number.id != phone {
        let message = "WhatsApp knows the phone number by another id.";
        return Err(ApiError::new(ErrorKind::InvalidRequest, message).code("invalid_phone_number_id"));
    }
    let verify = match request.verify_token {
        Some(chosen) => VerifyToken::chosen(chosen),
        None => VerifyToken::generate(phone)
            .ok_or_else(|| ApiError::new(ErrorKind::Internal, "Something went wrong on our side."))?,
    };
    let account = request.business_account_id.as_deref();
    let mut connection = whatsapp::connection(
        &app.sealer().await?,
        (&tenant, &request.agent_id),
        (&number, account),
        &credentials,
        &verify,
        now,
    )
    .map_err(ApiError::internal)?;
    connection.created_at = before.as_ref().map_or(now, |before| before.created_at);
    if !app.store().put_connection(&connection).await? {
        return Err(taken());
    }
    let webhook = match account {
        None => Webhook::ToBeRegistered,
        Some(account) => {
            if let Err(error) = register(&api, account, &url, &verify).await {
                if before.is_none() && matches!(error, GraphError::Refused { .. }) {
                    app.store().delete_connection(&tenant, Platform::WhatsApp, phone).await?;
                }
                return Err(told(error));
            }
            Webhook::Registered
        }
    };
    Ok(dialect::json(StatusCode::OK, &ConnectNumberResponse::new(&number, webhook, &url, &verify)))
}

/// Has what comes to the number sent to its webhook.
async fn register(api: &GraphApi, account: &str, url: &url::Url, verify: &VerifyToken) -> Result<(), GraphError> {
    api.subscribe(account).await?;
    api.set_callback(url, verify.reveal()).await
}

/// Unties an agent's phone number, or all of them: Meta is told to send nothing to us any more, and their tokens are
/// deleted.
#[utoipa::path(
    delete, path = PATH, tag = "whatsapp", operation_id = "disconnectWhatsAppNumber",
    params(DisconnectNumberQuery),
    responses(
        (status = 200, body = DisconnectNumberResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
        (status = 503, body = ErrorResponse),
    ),
)]
async fn disconnect(State(app): State<App>, request: Request) -> Response {
    Exchange::answer((Dialect::Kopern, FUNCTION, Cors::Any), request, async |exchange| {
        answer_disconnect(&app, exchange).await
    })
    .await
}

async fn answer_disconnect(app: &App, exchange: &mut Exchange) -> Result<Response, ApiError> {
    let user = exchange.user(app.users()).await?;
    let query = DisconnectNumberQuery::read(exchange.query(), exchange.body())?;
    let tenant = app.users().tenant(&user).await?;
    let mut numbers = numbers(app, exchange, &tenant, &query.agent_id).await?;
    numbers.retain(|number| query.phone_number_id.as_ref().is_none_or(|id| *id == number.external));
    if numbers.is_empty() {
        let message = "No such phone number is connected to the agent.";
        return Err(ApiError::new(ErrorKind::NotFound, message).code("number_not_found"));
    }
    for number in &numbers {
        forget(app, number).await?;
        app.store().delete_connection(&tenant, Platform::WhatsApp, &number.external).await?;
    }
    Ok(dialect::json(StatusCode::OK, &DisconnectNumberResponse { success: true }))
}

/// Has Meta send nothing to us any more. A token that does not hold any more cannot say so, and need not.
async fn forget(app: &App, number: &ConnectionItem) -> Result<(), ApiError> {
    let purpose = ConnectionItem::purpose(number.platform, &number.external);
    let opened = app.sealer().await?.open(&number.tenant, &purpose, &number.sealed);
    let opened = opened.ok().and_then(|credentials| whatsapp::open(app, &number.external, &credentials).ok());
    let Some(api) = opened else {
        tracing::warn!(number = number.external, "a number's token does not open: its webhook is left as it is");
        return Ok(());
    };
    match api.delete_callback().await {
        Ok(()) | Err(GraphError::Refused { .. }) => Ok(()),
        Err(error) => Err(told(error)),
    }
}

/// The agent's numbers, where the agent is the tenant's own.
async fn numbers(
    app: &App,
    exchange: &mut Exchange,
    tenant: &TenantId,
    agent: &AgentId,
) -> Result<Vec<ConnectionItem>, ApiError> {
    exchange.own_agent(app.store(), tenant, agent).await?;
    let mut connections = app.store().connections(tenant, agent).await?;
    connections.retain(|connection| connection.platform == Platform::WhatsApp);
    Ok(connections)
}

fn taken() -> ApiError {
    ApiError::new(ErrorKind::Conflict, "The phone number is connected by somebody else.").code("number_taken")
}

fn told(error: GraphError) -> ApiError {
    match error {
        GraphError::Refused { code: 190, .. } => {
            ApiError::new(ErrorKind::InvalidRequest, "The access token does not hold.").code("invalid_access_token")
        }
        GraphError::Refused { code, message } => {
            ApiError::new(ErrorKind::InvalidRequest, format!("WhatsApp refuses with {code}: {message}"))
                .code("whatsapp_refused")
        }
        error => ApiError::new(ErrorKind::Unavailable, "WhatsApp does not answer. Please try again.")
            .code("whatsapp_unavailable")
            .because(error),
    }
}

async fn other_method(request: Request) -> Response {
    Exchange::answer_other_method((Dialect::Kopern, FUNCTION, Cors::Any), request, METHODS).await
}

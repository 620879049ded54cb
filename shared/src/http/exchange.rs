//! One request and its reply: the body as it came, the headers that every reply carries, and the log's one line about a
//! failure.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{ApiError, ErrorKind, InPath, public_url};
use crate::admission::{Admission, Admissions};
use crate::agent::Agent;
use crate::auth::{AppCheck, AuthError, Caller, Check, Endpoint, Idempotency, Pass, Presented, User, Users, bearer};
use crate::dialect::Dialect;
use crate::id::{AgentId, RequestId, TenantId};
use crate::limit::RateStatus;
use crate::store::{AgentItem, Store};
use crate::telemetry;
use crate::telemetry::metrics::{self, Measurement};
use crate::turn::{AppTurn, Begun, TurnInput, TurnRequest, TurnStream, Turns};
use crate::webhook::Listeners;

/// The longest idempotency key, in characters.
const LONGEST_IDEMPOTENCY_KEY: usize = 255;

/// When the invocation ends; [`crate::lambda`] puts it into the request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// What a path names; where its escapes are no text, it is the name of nothing.
#[must_use]
pub fn named<T: Default>(path: InPath<T>) -> T {
    path.map(|Path(name)| name).unwrap_or_default()
}

/// A request, and what its reply will carry.
#[derive(Debug)]
pub struct Exchange {
    dialect: Dialect,
    function: &'static str,
    id: RequestId,
    parts: Parts,
    body: Bytes,
    /// Who may read the reply in a browser.
    cors: Cors,
    /// How the most binding bucket stands.
    rate: Option<RateStatus>,
    /// The call that the request makes, where the dialect's calls have ids.
    call: Value,
    /// For the log.
    agent: Option<String>,
}

/// Who answers a caller, and who is told of it.
#[derive(Debug)]
pub struct Respondent {
    /// What lets the caller in.
    pub pass: Pass,
    /// The agent.
    pub agent: Agent,
    /// The receivers.
    pub listeners: Listeners,
    /// The app that it belongs to.
    pub app: Option<AppTurn>,
}

impl From<Caller> for Respondent {
    fn from(caller: Caller) -> Self {
        Self { listeners: caller.listeners(), pass: caller.pass, agent: caller.agent, app: None }
    }
}

/// What a reply says to browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Nothing: the endpoint is for servers.
    None,
    /// Pages of every origin may read it.
    Any,
    /// Pages of the origin that asked may read it.
    Asker,
    /// Pages of the origin that asked may not read it; others may.
    NotAsker,
}

impl Exchange {
    /// Answers a request by this work. The exchange is what the work reads, and what the reply carries.
    pub async fn answer(
        (dialect, function, cors): (Dialect, &'static str, Cors),
        request: Request<Body>,
        work: impl AsyncFnOnce(&mut Self) -> Result<Response, ApiError>,
    ) -> Response {
        match Self::read(dialect, function, cors, request).await {
            Ok(mut exchange) => {
                let outcome = work(&mut exchange).await;
                exchange.reply(outcome)
            }
            Err(reply) => reply,
        }
    }

    /// Answers a request with a method that the path does not take: a browser's question whether it may ask, where
    /// browsers may, or a refusal.
    pub async fn answer_other_method(
        (dialect, function, cors): (Dialect, &'static str, Cors),
        request: Request<Body>,
        methods: &'static str,
    ) -> Response {
        match Self::read(dialect, function, cors, request).await {
            Ok(exchange) if exchange.method() == Method::OPTIONS && cors != Cors::None => exchange.preflight(methods),
            Ok(exchange) => exchange.method_not_allowed(methods),
            Err(reply) => reply,
        }
    }

    /// Takes a request in, with its body.
    ///
    /// # Errors
    /// The finished reply to a body that is too large, or does not arrive.
    pub async fn read(
        dialect: Dialect,
        function: &'static str,
        cors: Cors,
        request: Request<Body>,
    ) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let mut exchange = Self {
            dialect,
            function,
            id: RequestId::generate(),
            parts,
            body: Bytes::new(),
            cors,
            rate: None,
            call: Value::Null,
            agent: None,
        };
        let largest = dialect.largest_body();
        match Limited::new(body, largest).collect().await {
            Ok(body) => {
                exchange.body = body.to_bytes();
                Ok(exchange)
            }
            Err(error) if error.is::<LengthLimitError>() => Err(exchange
                .reply(Err(ApiError::new(ErrorKind::TooLarge, format!("The body is larger than {largest} bytes."))))),
            Err(error) => {
                Err(exchange
                    .reply(Err(ApiError::new(ErrorKind::InvalidRequest, "The body did not arrive.").because(error))))
            }
        }
    }

    /// The body as it came.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.parts.method
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.parts.headers.get(name)
    }

    /// All headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The key that came along.
    #[must_use]
    pub fn presented(&self) -> Presented {
        let authorization = self.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        Presented::from_request(authorization, self.parts.uri.query())
    }

    /// The part of the URL behind the question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Where platforms reach a path of this deployment: as the settings say, or as this request reached it.
    ///
    /// # Errors
    /// Where neither tells it.
    pub fn public_url(&self, configured: Option<&Url>, path: &str) -> Result<Url, ApiError> {
        public_url::of(&self.parts, configured, path).ok_or_else(|| {
            ApiError::new(ErrorKind::InvalidRequest, "The Host header names no host.").code("invalid_host")
        })
    }

    /// For the log: the agent that the request is about.
    pub fn about_agent(&mut self, agent: &AgentId) {
        self.agent = Some(agent.to_string());
    }

    /// An agent of this tenant, which the request is about from here on; to anybody else, it does not exist.
    ///
    /// # Errors
    /// Where the tenant has no such agent, or the table cannot be read.
    pub async fn own_agent(
        &mut self,
        store: &Store,
        tenant: &TenantId,
        agent: &AgentId,
    ) -> Result<AgentItem, ApiError> {
        let found = store.agent(tenant, agent).await?.ok_or(AuthError::NoAgent)?;
        self.about_agent(agent);
        Ok(found)
    }

    /// The `Origin` header. One that is no text counts as an origin that nobody allows.
    fn origin(&self) -> Option<&str> {
        self.parts.headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("null"))
    }

    /// The `Idempotency-Key`, if one came: visible ASCII, neither empty nor too long.
    fn idempotency_key(&self) -> Result<Option<&str>, ApiError> {
        let Some(value) = self.parts.headers.get("idempotency-key") else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        if (1..=LONGEST_IDEMPOTENCY_KEY).contains(&text.len()) {
            Ok(Some(text))
        } else {
            let message = format!("Idempotency-Key is 1 to {LONGEST_IDEMPOTENCY_KEY} visible ASCII characters.");
            Err(ApiError::new(ErrorKind::InvalidRequest, message).code("invalid_idempotency_key"))
        }
    }

    /// The body must not say that it is something else than JSON.
    ///
    /// # Errors
    /// Where its `Content-Type` says so.
    pub fn expect_json(&self) -> Result<(), ApiError> {
        let Some(found) = self.parts.headers.get(header::CONTENT_TYPE) else { return Ok(()) };
        let found =
            found.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if found == "application/json" || (found.starts_with("application/") && found.ends_with("+json")) {
            return Ok(());
        }
        Err(ApiError::new(ErrorKind::UnsupportedMediaType, "The Content-Type must be application/json.")
            .code("unsupported_media_type"))
    }

    /// The request's `Idempotency-Key` with its body, if it carries one; `scope` is what the key is unique within.
    ///
    /// # Errors
    /// Where the key is none.
    pub fn idempotency(&self, scope: &[&str]) -> Result<Option<Idempotency>, ApiError> {
        Ok(self.idempotency_key()?.map(|key| Idempotency::new(scope, key, &self.body)))
    }

    /// The check of this request's key, and of the page that it comes from.
    #[must_use]
    pub fn check(&self, endpoint: Endpoint) -> Check {
        Check::key(self.presented(), endpoint).from_origin(self.origin())
    }

    /// The check of the key of this app, which is given no other way than as a bearer.
    #[must_use]
    pub fn check_app(&self, app: &str) -> AppCheck {
        let authorization = self.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        AppCheck::key(Presented::for_app(authorization)).of_app(app)
    }

    /// Who comes with an ID token. Nothing is taken from their bucket.
    ///
    /// # Errors
    /// Where the ID token does not hold.
    pub async fn identify(&self, users: &Users) -> Result<User, ApiError> {
        let authorization = self.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        Ok(users.identify(authorization.and_then(bearer)).await?)
    }

    /// Lets in who comes with an ID token, and takes their rate token; from here on the reply tells how their bucket
    /// stands.
    ///
    /// # Errors
    /// Where the ID token does not hold, or their bucket is empty.
    pub async fn user(&mut self, users: &Users) -> Result<User, ApiError> {
        let user = self.identify(users).await?;
        self.rate = Some(users.take(&user).await?);
        Ok(user)
    }

    /// Looks whether the caller can be let in; from here on the reply tells how its bucket stands.
    ///
    /// # Errors
    /// Where its bucket is empty, or its plan used up. An answered request that comes again is let in all the same: it
    /// costs nothing.
    pub fn let_in(&mut self, admissions: &Admissions, pass: &Pass) -> Result<(), ApiError> {
        self.agent = Some(pass.home.to_string());
        let (rate, outcome) = admissions.peek(pass);
        self.rate = rate.or(self.rate);
        if pass.earlier.is_some() { Ok(()) } else { outcome }
    }

    /// Begins the turn of a caller that is let in, or the replay of the one that answered this request before.
    ///
    /// # Errors
    /// Where the stored turn cannot be read.
    pub fn begin(
        &mut self,
        turns: &Turns,
        respondent: impl Into<Respondent>,
        admission: Admission,
        input: TurnInput,
    ) -> Result<(Begun, TurnStream), ApiError> {
        let Respondent { pass, agent, listeners, app } = respondent.into();
        match admission {
            Admission::Replay(turn) => {
                let begun =
                    Begun { trace: turn.trace.clone(), session: turn.session.clone(), started_at: turn.started_at };
                Ok((begun, Turns::replay(&turn).map_err(ApiError::internal)?))
            }
            Admission::Run(admitted) => {
                self.rate = Some(admitted.rate);
                let request = TurnRequest {
                    trace: admitted.trace,
                    request: self.id.clone(),
                    function: self.function,
                    source: pass.endpoint.name(),
                    listeners,
                    agent,
                    app,
                    session: admitted.session,
                    input,
                    budget: pass.budget.ok().flatten(),
                    claim: admitted.claim,
                    key_used: admitted.key_used,
                    deadline: self.deadline(),
                };
                Ok(turns.run(request))
            }
        }
    }

    /// When the invocation ends, if it does.
    fn deadline(&self) -> Option<Instant> {
        self.parts.extensions.get::<Deadline>().map(|deadline| deadline.0)
    }

    /// Notes how the caller's bucket stands: every reply from here on tells it.
    pub const fn set_rate(&mut self, rate: RateStatus) {
        self.rate = Some(rate);
    }

    /// Notes the id of the call that the request makes: a failure is told under it from here on.
    pub fn set_call(&mut self, id: Value) {
        self.call = id;
    }

    /// Pages of the asking origin may not read the reply after all.
    pub const fn refuse_origin(&mut self) {
        self.cors = Cors::NotAsker;
    }

    /// The reply, with the headers that every one carries. A failure is logged here, once.
    #[must_use]
    pub fn reply(mut self, outcome: Result<Response, ApiError>) -> Response {
        let mut response = match outcome {
            Ok(response) => response,
            Err(error) => {
                self.log(&error);
                self.rate = error.rate.as_deref().copied().or(self.rate);
                self.dialect.error(&error, &self.call)
            }
        };
        let headers = response.headers_mut();
        if let Some(rate) = self.rate {
            self.dialect.rate_headers(&rate, headers);
        }
        if let Ok(id) = HeaderValue::from_str(self.id.as_str()) {
            headers.insert("x-request-id", id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        self.cors_headers(headers);
        response
    }

    /// The reply to a browser's question whether it may ask: `methods` it may use, with the headers that it names.
    /// <https://fetch.spec.whatwg.org/#cors-preflight-fetch>
    #[must_use]
    pub fn preflight(self, methods: &'static str) -> Response {
        let asked = self.parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let mut response = http::StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        let usual = HeaderValue::from_static("authorization, content-type, idempotency-key");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(usual));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
        self.reply(Ok(response))
    }

    /// The reply to a method that the path does not take.
    #[must_use]
    pub fn method_not_allowed(self, allow: &'static str) -> Response {
        let method = match &self.parts.method {
            method if *method == Method::GET || *method == Method::POST => method.to_string(),
            _ => "This method".to_owned(),
        };
        let mut response = self.reply(Err(ApiError::new(
            ErrorKind::MethodNotAllowed,
            format!("{method} is not allowed here. Use {allow}."),
        )
        .code("method_not_allowed")));
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        response
    }

    fn cors_headers(&self, headers: &mut HeaderMap) {
        let origin = match self.cors {
            Cors::None => return,
            Cors::Any => HeaderValue::from_static("*"),
            Cors::Asker | Cors::NotAsker => {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                match self.parts.headers.get(header::ORIGIN) {
                    Some(origin) if self.cors == Cors::Asker => origin.clone(),
                    Some(_) | None => return,
                }
            }
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            HeaderName::from_static("access-control-expose-headers"),
            HeaderValue::from_static(
                "retry-after, x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
            ),
        );
    }

    /// Logs a failure that is told as a part of a reply.
    pub fn log(&self, error: &ApiError) {
        let (request, function, agent) = (self.id.as_str(), self.function, self.agent.as_deref());
        let kind = format!("{:?}", error.kind);
        metrics::record(&Measurement::Refusal { function, kind: &kind });
        match &error.source {
            Some(source) => {
                let error = telemetry::chain(source.as_ref());
                tracing::error!(request, function, agent, kind, error, "request failed");
            }
            None => tracing::info!(request, function, agent, kind, code = error.code, "request refused"),
        }
    }
}

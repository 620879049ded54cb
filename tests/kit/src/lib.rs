//! What Orrery's own tests share: an application over an embedded table, with a clock that stands still.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod app;
mod faults;
mod issuer;
mod lambda;
mod signed;

pub use app::AppApi;
pub use faults::{Fault, Faults, Moment, Strike};
pub use issuer::Issuer;
pub use lambda::Lambda;
pub use signed::Signed;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use embedded::EmbeddedDynamo;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use lambda_http::RequestExt as _;
use serde_json::{Value, json};
use shared::agent::AgentDocument;
use shared::app::App;
use shared::auth::{Keyring, Kind, NewKey};
use shared::aws::Client;
use shared::clock::Clock;
use shared::config::Config;
use shared::id::{AgentId, TenantId, WebhookId};
use shared::secret::Sealer;
use shared::store::{AgentItem, KeyItem, Store, TenantItem, UsageItem, Webhook};
use tower::ServiceExt;

/// When every test begins: 2026-03-25T14:30:00Z, in milliseconds since the Unix epoch.
pub const BEGIN: i64 = 1_774_449_000_000;

/// An application to test against.
pub struct Bench {
    /// The application.
    pub app: App,
    /// Its clock.
    pub clock: Clock,
    /// Its table.
    pub database: EmbeddedDynamo,
    /// Who owns everything.
    pub tenant: TenantId,
}

/// A reply, read to its end.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A header as text; empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or_default())
    }

    /// The data lines of an event stream.
    #[must_use]
    pub fn data(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }
}

impl Bench {
    /// An application whose tenant is on the enterprise plan.
    pub async fn new() -> Self {
        Self::with_plan("enterprise").await
    }

    /// An application whose tenant is on this plan.
    pub async fn with_plan(plan: &str) -> Self {
        Self::with(plan, &[]).await
    }

    /// An application whose tenant is on this plan, with these variables as its environment.
    pub async fn with(plan: &str, variables: &[(&str, &str)]) -> Self {
        let database = EmbeddedDynamo::open(None).unwrap();
        let client = Client::in_process(database.service());
        Self::over(plan, variables, database, client).await
    }

    /// An application whose tenant is on the enterprise plan, and whose table fails when it is told to.
    pub async fn with_faults() -> (Self, Faults) {
        Self::with_faults_and(&[]).await
    }

    /// The same, with these variables as its environment.
    pub async fn with_faults_and(variables: &[(&str, &str)]) -> (Self, Faults) {
        let database = EmbeddedDynamo::open(None).unwrap();
        let faults = Faults::over(&database);
        let client = faults.client();
        (Self::over("enterprise", variables, database, client).await, faults)
    }

    async fn over(plan: &str, variables: &[(&str, &str)], database: EmbeddedDynamo, client: Client) -> Self {
        let clock = Clock::manual(jiff::Timestamp::from_millisecond(BEGIN).unwrap());
        let store = Store::new(client, "orrery");
        store.create_table().await.unwrap();
        let keys = Sealer::generate_key().unwrap();
        let variables = [("ORRERY_DEMO_DELAY_MS", "0")].iter().chain(variables);
        let mut config =
            Config::read(variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
        config.secrets.insert("ORRERY_SEALING_KEYS".to_owned(), keys);
        let tenant = TenantId::generate();
        let item = TenantItem { plan: plan.to_owned(), ..TenantItem::new(tenant.clone(), BEGIN) };
        store.put_tenant(&item).await.unwrap();
        Self { app: App::over(config, clock.clone(), store).unwrap(), clock, database, tenant }
    }

    /// Stores an agent with this front matter (without its `name`, and its `model` unless it is a real one) and prompt.
    pub async fn agent(&self, front_matter: &str, prompt: &str) -> AgentId {
        let id = AgentId::generate();
        self.put_agent(&id, 1, front_matter, prompt).await;
        id
    }

    /// Stores a version of an agent.
    pub async fn put_agent(&self, id: &AgentId, version: u64, front_matter: &str, prompt: &str) {
        self.put_named_agent((id, &id.as_str().replace('_', "-")), version, front_matter, prompt).await;
    }

    /// Stores a version of an agent of this name.
    pub async fn put_named_agent(&self, (id, name): (&AgentId, &str), version: u64, front_matter: &str, prompt: &str) {
        let model = if front_matter.contains("model:") { "" } else { "model: demo/echo\n" };
        let source = format!("---\nname: {name}\n{model}{front_matter}\n---\n{prompt}\n");
        let document = AgentDocument::parse(&source).unwrap_or_else(|error| panic!("{error}"));
        let item = AgentItem {
            id: id.clone(),
            tenant: self.tenant.clone(),
            name: name.to_owned(),
            version,
            document: serde_json::to_string(&document).unwrap(),
            source,
            updated_at: self.clock.now_ms(),
            webhooks: BTreeMap::new(),
        };
        assert!(self.app.store().put_agent(&item).await.unwrap());
    }

    /// Makes a key and gives its text.
    pub async fn key(&self, agent: &AgentId, kind: Kind) -> String {
        self.new_key(NewKey { kind, ..plain_key(agent) }).await.0
    }

    /// Makes a key of one's own design.
    pub async fn new_key(&self, new: NewKey) -> (String, KeyItem) {
        let (plain, item) = self.keyring().create(new).await.unwrap();
        (plain.reveal().to_owned(), item)
    }

    /// The tenant's keys.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        Keyring::new(self.app.store().clone(), self.clock.clone(), self.tenant.clone())
    }

    /// Adds an inbound webhook, which signs with this secret if there is one.
    pub async fn webhook(&self, agent: &AgentId, secret: Option<&str>) -> WebhookId {
        let id = WebhookId::generate();
        let sealer = self.app.sealer().await.unwrap();
        let mut webhook = Webhook::sender("test".to_owned(), None, BEGIN);
        let seal = |secret: &str| sealer.seal(&self.tenant, &webhook.purpose(id.as_str()), &secret.into()).unwrap();
        webhook.sealed_secret = secret.map(seal);
        assert!(self.app.store().put_webhook(&self.tenant, agent, &id, &webhook).await.unwrap());
        id
    }

    /// These routes, ready to be called.
    pub fn router(&self, routes: Router<App>) -> Router {
        routes.with_state(self.app.clone())
    }

    /// Waits for the turns that run.
    pub async fn settle(&self) {
        self.app.tasks().close();
        self.app.tasks().wait().await;
    }

    /// What the tenant used this month.
    pub async fn usage(&self) -> UsageItem {
        let month = self.clock.now().strftime("%Y-%m").to_string();
        self.app.store().usage(&self.tenant, &month).await.unwrap()
    }

    /// Everything in the table, as one text.
    pub async fn dump(&self) -> String {
        let (_, body) = self.database.call("DynamoDB_20120810.Scan", r#"{"TableName":"orrery"}"#.into()).await.unwrap();
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Moves the clock.
    pub fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Deletes what has expired by the clock, as DynamoDB does in its time.
    pub async fn expire(&self) {
        let table: Value = serde_json::from_str(&self.dump().await).unwrap();
        let now = self.clock.now_ms() / 1000;
        let expires = |item: &Value| item["ttl"]["N"].as_str().and_then(|ttl| ttl.parse::<i64>().ok());
        for item in table["Items"].as_array().unwrap() {
            if expires(item).is_some_and(|at| at <= now) {
                let key = json!({ "pk": item["pk"], "sk": item["sk"] });
                let delete = json!({ "TableName": "orrery", "Key": key }).to_string();
                self.database.call("DynamoDB_20120810.DeleteItem", delete.into()).await.unwrap();
            }
        }
    }

    /// How often the table was written since it was made.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.count(&["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"])
    }

    /// How often the table was read since it was made.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.count(&["GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"])
    }

    fn count(&self, operations: &[&str]) -> u64 {
        let counts = self.database.counts();
        operations.iter().filter_map(|operation| counts.get(*operation)).sum()
    }
}

/// A server key without anything special.
#[must_use]
pub fn plain_key(agent: &AgentId) -> NewKey {
    NewKey {
        home: agent.into(),
        kind: Kind::Server,
        name: "test".to_owned(),
        description: String::new(),
        scopes: Vec::new(),
        expires_at: None,
        origins: Vec::new(),
        requests_per_minute: None,
    }
}

/// Sends a request and reads the reply to its end.
pub async fn send(router: &Router, request: Request<Body>) -> Reply {
    let (parts, body) = open(router, request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// Sends a request; the reply's body is left to be read.
pub async fn open(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

/// The next piece of a body, as text; empty at its end.
pub async fn next_piece(body: &mut Body) -> String {
    let Some(frame) = body.frame().await else { return String::new() };
    String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()
}

/// A request without a body, with a bearer if the key is not empty.
#[must_use]
pub fn bare(method: Method, path: &str, key: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = if key.is_empty() { request } else { request.header("authorization", format!("Bearer {key}")) };
    request.body(Body::empty()).unwrap()
}

/// The request with a header more.
#[must_use]
pub fn with_header(mut request: Request<Body>, name: &'static str, value: &[u8]) -> Request<Body> {
    request.headers_mut().insert(name, HeaderValue::from_bytes(value).unwrap());
    request
}

/// A POST of JSON with a bearer.
#[must_use]
pub fn post(path: &str, key: &str, body: &Value) -> Request<Body> {
    post_bytes(path, key, body.to_string())
}

/// A POST of whatever it is with a bearer.
#[must_use]
pub fn post_bytes(path: &str, key: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.header("authorization", format!("Bearer {key}")).body(body.into()).unwrap()
}

/// The request of an event file (`events/…`), its agent and key put in, as Lambda hands it to a function.
#[must_use]
pub fn event(json: &str, agent: &str, key: &str) -> Request<Body> {
    let json = json.replace("ag_00000000000000000000000000", agent).replace(&format!("kpn_{}", "0".repeat(64)), key);
    let event: lambda_http::request::LambdaRequest = serde_json::from_str(&json).unwrap();
    let mut request: lambda_http::Request = event.into();
    // The deployed functions are told to leave the stage out of the path (template.yaml).
    let path = request.raw_http_path().to_owned();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    *request.uri_mut() = format!("{path}{query}").parse().unwrap();
    request.map(|body| Body::from(body.to_vec()))
}

/// An event file (`events/…`) with another body, and with these headers.
#[must_use]
pub fn event_with(json: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut event: Value = serde_json::from_str(json).unwrap();
    for (name, value) in headers {
        event["headers"][name] = (*value).into();
        event["multiValueHeaders"][name] = serde_json::json!([value]);
    }
    event["body"] = body.into();
    event.to_string()
}

/// The text with every generated id cut to its prefix, for snapshots.
#[must_use]
pub fn without_ids(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((at, prefix)) = first_id(rest) {
        kept.push_str(&rest[..at + prefix.len()]);
        kept.push('…');
        rest = &rest[at + prefix.len() + 26..];
    }
    kept + rest
}

fn first_id(text: &str) -> Option<(usize, &'static str)> {
    let is_id = |at: usize, prefix: &str| {
        let tail = &text.as_bytes()[at + prefix.len()..];
        tail.len() >= 26 && tail[..26].iter().all(u8::is_ascii_alphanumeric)
    };
    let places = |prefix: &'static str| text.match_indices(prefix).map(move |(at, _)| (at, prefix));
    let prefixes = ["con_", "chatcmpl-", "app_", "proj_", "sess_", "ag_", "wh_", "evt_", "trace_", "req_", "key_"];
    prefixes.into_iter().flat_map(places).filter(|(at, prefix)| is_id(*at, prefix)).min_by_key(|(at, _)| *at)
}

/// An agent behind the routes of a function, with a key.
pub struct Api {
    /// What it stands on.
    pub bench: Bench,
    /// The agent.
    pub agent: AgentId,
    /// Its key.
    pub key: String,
    /// Where it is called.
    pub path: String,
    /// The routes.
    pub router: Router,
}

impl Api {
    /// An agent of this front matter, which a key of this kind calls at `path`; `{agent}` in it stands for the id.
    pub async fn new(bench: Bench, routes: Router<App>, path: &str, kind: Kind, front_matter: &str) -> Self {
        let agent = bench.agent(front_matter, "You are a test.").await;
        let key = bench.key(&agent, kind).await;
        let router = bench.router(routes);
        Self { path: path.replace("{agent}", agent.as_str()), agent, key, router, bench }
    }

    /// A POST of JSON with the key.
    #[must_use]
    pub fn request(&self, body: &Value) -> Request<Body> {
        post(&self.path, &self.key, body)
    }

    /// Posts JSON with the key.
    pub async fn post(&self, body: &Value) -> Reply {
        self.send(self.request(body)).await
    }

    /// Posts JSON with the key and an idempotency key.
    pub async fn post_once(&self, name: &str, body: &Value) -> Reply {
        self.send(with_header(self.request(body), "idempotency-key", name.as_bytes())).await
    }

    /// Posts JSON with another key.
    pub async fn post_as(&self, key: &str, body: &Value) -> Reply {
        self.send(post(&self.path, key, body)).await
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    /// Posts JSON with the key and leaves the answer to be read.
    pub async fn open(&self, body: &Value) -> Body {
        open(&self.router, self.request(body)).await.into_body()
    }
}

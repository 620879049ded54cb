//! What a function is measured on: a table, a model, queues and platforms in another process than its own, a Runtime
//! API, real events.

use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::clock::Clock;
use shared::id::{AgentId, EventId, ProjectId, WebhookId};
use shared::store::{DeliveryItem, DeliveryState, Receiver, TenantItem, Webhook};
use shared::webhook::{Attempt, Task};
use testkit::{Bench, Signed};

use crate::Outcome;
use crate::people::{self, APPS, DOORS, People};
use crate::platforms::Platforms;
use crate::process::Process;
use crate::runtime_api::{Reply, RuntimeApi};
use crate::sqs::Sqs;
use crate::table::Table;
use crate::upstream::{Script, Upstream};

/// As many tokens as a short answer has.
pub(crate) const ANSWER: Script = Script { tokens: 20, pause: None };
/// An agent with what agents have, whose rate limits are counted and never reached.
pub(crate) const AGENT: &str = "model: openai/mock
limits: { requests_per_minute: { openai: 1000000, webhook: 1000000, widget: 1000000, mcp: 1000000, chat: 1000000, channel: 1000000 } }
widget: { enabled: true }
tools:
  - name: get_order_status
    description: Looks an order up by its number
    parameters: { type: object, properties: { order: { type: string } }, required: [order] }
    code: |
      return { order: args.order, status: 'shipped' };";
/// How many deliveries a batch has.
pub(crate) const BATCH: u32 = 5;
const HOUR_MS: i64 = 3_600_000;
/// What a reply to a request holds that went well.
pub(crate) const OK: &str = r#""statusCode":200"#;

/// Everything around a function.
pub(crate) struct Stage {
    pub(crate) table: Table,
    pub(crate) upstream: Upstream,
    pub(crate) sqs: Sqs,
    pub(crate) platforms: Platforms,
    binaries: PathBuf,
    events: PathBuf,
    signed: Signed,
    agent: AgentId,
    server_key: String,
    widget_key: String,
    /// An app of one agent, and its key.
    app: (ProjectId, String),
    people: People,
    /// Another agent, and its receivers: each waits for one delivery of a batch.
    telling: (AgentId, Vec<WebhookId>),
    number: AtomicU64,
}

impl Stage {
    pub(crate) async fn new(binaries: PathBuf, events: PathBuf) -> Outcome<Self> {
        let signed = Signed::new("enterprise").await;
        let bench = &signed.bench;
        let agent =
            bench.agent(AGENT, "You are the support agent of a bookshop. Answer briefly and in plain words.").await;
        let unlimited = TenantItem {
            requests_per_minute: Some(u32::MAX),
            requests_per_day: Some(u32::MAX),
            ..tenant(bench).await?
        };
        bench.app.store().put_tenant(&unlimited).await?;
        let app = bench.project(&[("app-agent", AGENT, "You are the support agent of a bookshop.")]).await.id;
        let platforms = Platforms::start().await?;
        let telling = bench.agent(AGENT, "You are the support agent of a bookshop.").await;
        let mut receivers = Vec::new();
        for _ in 0..BATCH {
            receivers.push(receiver(bench, &telling, &format!("{}/receiver", platforms.url())).await?);
        }
        Ok(Self {
            table: Table::start(bench.database.clone()).await?,
            upstream: Upstream::start(ANSWER).await?,
            sqs: Sqs::start().await?,
            platforms,
            server_key: bench.key(&agent, Kind::Server).await,
            widget_key: bench.key(&agent, Kind::Widget).await,
            app: (app.clone(), bench.app_key(&app).await),
            people: People::connect(bench, &agent).await?,
            telling: (telling, receivers),
            binaries,
            events,
            signed,
            agent,
            number: AtomicU64::new(1),
        })
    }

    fn bench(&self) -> &Bench {
        &self.signed.bench
    }

    /// A number that nothing has had.
    pub(crate) fn number(&self) -> u64 {
        self.numbers(1).start
    }

    /// So many of them.
    pub(crate) fn numbers(&self, count: u64) -> Range<u64> {
        let first = self.number.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    fn read(&self, name: &str) -> Outcome<String> {
        let path = self.events.join(name).with_extension("json");
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// An event of `events/`, with the agent and who may do what it asks for: a key, a user that nobody was before, a
    /// platform with a new message, or work that was not done yet.
    pub(crate) async fn event(&self, name: &str) -> Outcome<Arc<str>> {
        if DOORS.contains(&name) {
            return self.knock(name, self.numbers(1));
        }
        match name {
            "channel-worker" => return self.batch(name, &[people::queued(self.number())?]),
            "webhook-delivery" => return self.batch(name, &self.deliveries().await?),
            _ => (),
        }
        let mut text = self.read(name)?.replace("ag_00000000000000000000000000", self.agent.as_str());
        if text.contains("ID_TOKEN") {
            text = text.replace("ID_TOKEN", &self.id_token().await);
        }
        let key = if name.starts_with("widget") { &self.widget_key } else { &self.server_key };
        let (app, app_key) = (self.app.0.as_app(), &self.app.1);
        text = text.replace(&format!("app_{}", "0".repeat(26)), &app);
        text = text.replace(&format!("sk-app-{}", "0".repeat(43)), app_key);
        Ok(text.replace(&format!("kpn_{}", "0".repeat(64)), key).into())
    }

    /// What a platform calls its door with, for new messages of these numbers.
    pub(crate) fn knock(&self, door: &str, numbers: Range<u64>) -> Outcome<Arc<str>> {
        let mut event: Value = serde_json::from_str(&self.read(door)?)?;
        let knock = self.people.knock(door, numbers);
        for (name, value) in knock.headers {
            event["headers"][name] = value.as_str().into();
            event["multiValueHeaders"][name] = json!([value]);
        }
        event["body"] = knock.body.into();
        Ok(event.to_string().into())
    }

    /// A batch of messages of a queue.
    pub(crate) fn batch(&self, name: &str, bodies: &[String]) -> Outcome<Arc<str>> {
        let event: Value = serde_json::from_str(&self.read(name)?)?;
        let record = |body: &String| {
            let mut record = event["Records"][0].clone();
            record["messageId"] = self.number().to_string().into();
            record["body"] = body.as_str().into();
            record
        };
        Ok(json!({ "Records": bodies.iter().map(record).collect::<Vec<_>>() }).to_string().into())
    }

    /// As many new deliveries as a batch has, one for each receiver: what waits of them in the queue.
    async fn deliveries(&self) -> Outcome<Vec<String>> {
        let now = Clock::system().now_ms();
        let mut bodies = Vec::new();
        let (agent, receivers) = &self.telling;
        for webhook in receivers {
            let delivery = DeliveryItem {
                event: EventId::generate(),
                tenant: self.bench().tenant.clone(),
                home: agent.into(),
                webhook: webhook.clone(),
                name: "message_sent".to_owned(),
                body: json!({ "event": "message_sent", "data": { "response": "It is on its way." } }).to_string(),
                created_at: now,
                state: DeliveryState::Pending,
                begun_at: now,
                step: 0,
                attempt: 0,
                next_at: now,
                claimed_until: None,
                attempts: Vec::new(),
                expires_at: now + HOUR_MS,
            };
            self.bench().app.store().put_new_delivery(&delivery).await?;
            let DeliveryItem { home, webhook, event, attempt, .. } = delivery;
            let attempt = Attempt { home, webhook, event, attempt, due: 0, deferred: 0 };
            bodies.push(serde_json::to_string(&Task::Attempt(attempt))?);
        }
        Ok(bodies)
    }

    /// The ID token of somebody new who owns everything.
    async fn id_token(&self) -> String {
        let (subject, now) = (format!("user-{}", self.number()), Clock::system().now_ms());
        self.signed.user(&subject, &self.bench().tenant).await;
        let issuer = &self.signed.issuer;
        let (issued, expires) = (now / 1000, (now + HOUR_MS) / 1000);
        issuer.sign(&json!({ "iss": issuer.name(), "aud": "test", "sub": subject, "iat": issued, "exp": expires }))
    }

    /// Where a binary is.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Starts a function in front of a Runtime API; it has asked for its first invocation at the time returned.
    pub(crate) async fn start(&self, name: &str) -> Outcome<(Running, Instant)> {
        let mut api = RuntimeApi::start().await?;
        let process = Process::start(&self.binary(name), &[], &self.environment(name, &api)?, Stdio::null())?;
        let polled = api.polled().await?;
        Ok((Running { api, process }, polled))
    }

    fn environment(&self, name: &str, api: &RuntimeApi) -> Outcome<Vec<(String, String)>> {
        let sqs = format!("http://{}", self.sqs.server.address);
        let sealing = self.bench().app.config().secrets.get("ORRERY_SEALING_KEYS").ok_or("no sealing keys")?;
        let mut variables = vec![
            ("AWS_LAMBDA_RUNTIME_API", api.server.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "1".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{}", self.table.server.address)),
            ("AWS_ENDPOINT_URL_SQS", sqs.clone()),
            ("ORRERY_CHANNELS_QUEUE", format!("{sqs}/channels.fifo")),
            ("ORRERY_DELIVERIES_QUEUE", format!("{sqs}/deliveries")),
            ("ORRERY_WEBHOOK_TARGETS", "loopback".to_owned()),
            ("ORRERY_SEALING_KEYS", sealing.expose_secret().to_owned()),
            ("ORRERY_OIDC_ISSUER", self.signed.issuer.name()),
            ("ORRERY_OIDC_AUDIENCE", "test".to_owned()),
            ("OPENAI_BASE_URL", format!("http://{}/v1", self.upstream.server.address)),
            ("OPENAI_API_KEY", "bench".to_owned()),
        ];
        variables.extend(self.platforms.environment());
        variables.extend(APPS.map(|(name, value)| (name, value.to_owned())));
        Ok(variables.into_iter().map(|(variable, value)| (variable.to_owned(), value)).collect())
    }

    /// What the tenant has used this month, so that it is seen that metering is on.
    pub(crate) async fn tokens_used(&self) -> Outcome<u64> {
        let month = Clock::system().now().strftime("%Y-%m").to_string();
        let usage = self.bench().app.store().usage(&self.bench().tenant, &month).await?;
        Ok(usage.input_tokens + usage.output_tokens)
    }
}

async fn tenant(bench: &Bench) -> Outcome<TenantItem> {
    Ok(bench.app.store().tenant(&bench.tenant).await?.ok_or("the tenant is missing")?)
}

/// Adds a receiver of events to an agent.
async fn receiver(bench: &Bench, agent: &AgentId, url: &str) -> Outcome<WebhookId> {
    let id = WebhookId::generate();
    let receiver = Receiver { url: url.to_owned(), events: vec!["message_sent".to_owned()], disabled: None };
    let mut webhook =
        Webhook { receiver: Some(receiver), ..Webhook::sender("bench".to_owned(), None, bench.clock.now_ms()) };
    let sealer = bench.app.sealer().await?;
    webhook.sealed_secret = Some(sealer.seal(&bench.tenant, &webhook.purpose(id.as_str()), &"secret".into())?);
    bench.app.store().put_webhook(&bench.tenant, agent, &id, &webhook).await?;
    Ok(id)
}

/// A function that waits for an invocation.
pub(crate) struct Running {
    pub(crate) api: RuntimeApi,
    pub(crate) process: Process,
}

impl Running {
    /// One invocation, whose reply must hold this, up to the function's next question.
    pub(crate) async fn call(&mut self, event: &Arc<str>, holds: &str) -> Outcome<Reply> {
        let reply = self.api.invoke(event).await?;
        let text = reply.text();
        if !text.contains(holds) {
            return Err(text.into());
        }
        self.api.polled().await?;
        Ok(reply)
    }
}

//! What a function is measured on: a table and a model in another process than its own, a Runtime API, real events.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use shared::auth::Kind;
use shared::id::AgentId;
use testkit::Bench;

use crate::Outcome;
use crate::process::Process;
use crate::runtime_api::{Reply, RuntimeApi};
use crate::table::Table;
use crate::upstream::{Script, Upstream};

/// As many tokens as a short answer has.
pub(crate) const ANSWER: Script = Script { tokens: 20, pause: None };
/// An agent with what agents have, whose rate limits are counted and never reached.
pub(crate) const AGENT: &str = "model: openai/mock
limits: { requests_per_minute: { openai: 1000000, webhook: 1000000, widget: 1000000, mcp: 1000000 } }
widget: { enabled: true }
tools:
  - name: get_order_status
    description: Looks an order up by its number
    parameters: { type: object, properties: { order: { type: string } }, required: [order] }
    code: |
      return { order: args.order, status: 'shipped' };";

/// Everything around a function.
pub(crate) struct Stage {
    pub(crate) table: Table,
    pub(crate) upstream: Upstream,
    binaries: PathBuf,
    events: PathBuf,
    bench: Bench,
    agent: AgentId,
    server_key: String,
    widget_key: String,
}

impl Stage {
    pub(crate) async fn new(binaries: PathBuf, events: PathBuf) -> Outcome<Self> {
        let bench = Bench::new().await;
        let agent =
            bench.agent(AGENT, "You are the support agent of a bookshop. Answer briefly and in plain words.").await;
        Ok(Self {
            table: Table::start(bench.database.clone()).await?,
            upstream: Upstream::start(ANSWER).await?,
            server_key: bench.key(&agent, Kind::Server).await,
            widget_key: bench.key(&agent, Kind::Widget).await,
            binaries,
            events,
            bench,
            agent,
        })
    }

    /// An event of `events/`, with the agent and a key that opens the function.
    pub(crate) fn event(&self, name: &str) -> Outcome<Arc<str>> {
        let path = self.events.join(name).with_extension("json");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let key = if name.starts_with("widget") { &self.widget_key } else { &self.server_key };
        let text = text.replace("ag_00000000000000000000000000", self.agent.as_str());
        Ok(text.replace(&format!("kpn_{}", "0".repeat(64)), key).into())
    }

    /// Where a binary is.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Starts a function in front of a Runtime API; it has asked for its first invocation at the time returned.
    pub(crate) async fn start(&self, name: &str) -> Outcome<(Running, Instant)> {
        let mut api = RuntimeApi::start().await?;
        let process = Process::start(&self.binary(name), &[], &self.environment(name, &api), Stdio::null())?;
        let polled = api.polled().await?;
        Ok((Running { api, process }, polled))
    }

    fn environment(&self, name: &str, api: &RuntimeApi) -> Vec<(String, String)> {
        let table = format!("http://{}", self.table.server.address);
        let upstream = format!("http://{}/v1", self.upstream.server.address);
        let api = api.server.address.to_string();
        [
            ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "1"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table),
            ("OPENAI_BASE_URL", &upstream),
            ("OPENAI_API_KEY", "bench"),
        ]
        .map(|(variable, value)| (variable.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What the tenant has used this month, so that it is seen that metering is on.
    pub(crate) async fn tokens_used(&self) -> Outcome<u64> {
        let month = shared::clock::Clock::system().now().strftime("%Y-%m").to_string();
        let usage = self.bench.app.store().usage(&self.bench.tenant, &month).await?;
        Ok(usage.input_tokens + usage.output_tokens)
    }
}

/// A function that waits for an invocation.
pub(crate) struct Running {
    pub(crate) api: RuntimeApi,
    pub(crate) process: Process,
}

impl Running {
    /// One invocation, which must be answered with 200, up to the function's next question.
    pub(crate) async fn call(&mut self, event: &Arc<str>) -> Outcome<Reply> {
        let reply = self.call_for(event, 200).await?;
        self.api.polled().await?;
        Ok(reply)
    }

    /// One invocation, which must be answered with this status.
    pub(crate) async fn call_for(&mut self, event: &Arc<str>, status: u16) -> Outcome<Reply> {
        let reply = self.api.invoke(event).await?;
        let text = reply.text();
        if text.contains(&format!(r#""statusCode":{status}"#)) { Ok(reply) } else { Err(text.into()) }
    }
}

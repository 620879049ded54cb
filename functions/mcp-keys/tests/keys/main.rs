//! The function on real events, over the embedded table, with an identity provider of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod doors;
mod life;
mod plans;
mod wire;

use axum::Router;
use http::Method;
use serde_json::{Value, json};
use shared::auth::{AuthError, Caller, Check, Endpoint, Presented};
use shared::id::AgentId;
use testkit::{Bench, Issuer, Reply, Signed, bare, post, send};

const PATH: &str = "/api/mcp/keys";

/// The function, and `ada`, who owns the bench's tenant with one agent.
struct Desk {
    bench: Bench,
    issuer: Issuer,
    router: Router,
    agent: AgentId,
    ada: String,
}

impl Desk {
    async fn new() -> Self {
        Self::on("enterprise").await
    }

    async fn on(plan: &str) -> Self {
        let Signed { bench, issuer, ada } = Signed::new(plan).await;
        let agent = bench.agent("", "You are a test.").await;
        let router = bench.router(mcp_keys::routes());
        Self { ada, router, agent, bench, issuer }
    }

    async fn create(&self, changes: Value) -> Reply {
        let mut body = json!({ "agentId": self.agent, "name": "Production" });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        send(&self.router, post(PATH, &self.ada, &body)).await
    }

    /// Makes a key: its server, and its text.
    async fn key(&self, changes: Value) -> (String, String) {
        let reply = self.create(changes).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let text = |name: &str| reply.json()[name].as_str().unwrap().to_owned();
        (text("serverId"), text("apiKey"))
    }

    async fn rotate(&self, server: &str, changes: Value) -> Reply {
        let mut body = json!({ "agentId": self.agent, "serverId": server });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let mut request = post(PATH, &self.ada, &body);
        *request.method_mut() = Method::PUT;
        send(&self.router, request).await
    }

    async fn delete(&self, server: &str) -> Reply {
        let path = format!("{PATH}?agentId={}&serverId={server}", self.agent);
        send(&self.router, bare(Method::DELETE, &path, &self.ada)).await
    }

    async fn list(&self) -> Vec<Value> {
        let path = format!("{PATH}?agentId={}", self.agent);
        let reply = send(&self.router, bare(Method::GET, &path, &self.ada)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["keys"].as_array().unwrap().clone()
    }

    /// Whether the key opens the agent's chat now.
    async fn opens(&self, key: &str) -> Result<(), AuthError> {
        self.caller(key).await.map(drop)
    }

    async fn caller(&self, key: &str) -> Result<Caller, AuthError> {
        let presented = Presented::from_request(Some(&format!("Bearer {key}")), None);
        let check = Check::key(presented, Endpoint::ChatCompletions).for_agent(self.agent.clone());
        check.by(self.bench.app.gatekeeper()).await
    }
}

/// The key of a reply.
fn key_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["apiKey"].as_str().unwrap().to_owned()
}

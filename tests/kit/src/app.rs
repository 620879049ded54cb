//! An app behind the routes of a function.

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;
use shared::app::App;
use shared::auth::{Kind, NewKey};
use shared::id::{AgentId, ProjectId, SessionId};
use shared::store::{AppSessionItem, ProjectAgent, ProjectItem};

use crate::{Bench, Reply, bare, plain_key, post, send, with_header};

/// An app with a key.
pub struct AppApi {
    /// What it stands on.
    pub bench: Bench,
    /// The project.
    pub project: ProjectItem,
    /// Its key.
    pub key: String,
    /// The routes.
    pub router: Router,
}

impl AppApi {
    /// An app of these agents, each a name, front matter and a prompt; the first one answers first.
    pub async fn new(bench: Bench, routes: Router<App>, agents: &[(&str, &str, &str)]) -> Self {
        let project = bench.project(agents).await;
        let key = bench.app_key(&project.id).await;
        let router = bench.router(routes);
        Self { bench, project, key, router }
    }

    /// The path of one of the app's endpoints: `execute`, `sessions` …
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/apps/{}/{rest}", self.project.id.as_app())
    }

    /// A POST of JSON to one of its endpoints.
    #[must_use]
    pub fn request(&self, rest: &str, body: &Value) -> Request<Body> {
        post(&self.path(rest), &self.key, body)
    }

    /// Posts JSON.
    pub async fn post(&self, rest: &str, body: &Value) -> Reply {
        self.send(self.request(rest, body)).await
    }

    /// Posts JSON with an idempotency key.
    pub async fn post_once(&self, rest: &str, name: &str, body: &Value) -> Reply {
        self.send(with_header(self.request(rest, body), "idempotency-key", name.as_bytes())).await
    }

    /// A request without a body.
    pub async fn bare(&self, method: Method, rest: &str) -> Reply {
        self.send(bare(method, &self.path(rest), &self.key)).await
    }

    /// Sends any request.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    /// A session as it is stored.
    pub async fn session(&self, id: &str) -> Option<AppSessionItem> {
        let (store, now) = (self.bench.app.store(), self.bench.clock.now_ms());
        store.app_session(&self.project.tenant, &self.project.id, &SessionId::from(id), now).await.unwrap()
    }
}

impl Bench {
    /// Stores agents, each a name, front matter and a prompt, and a project of them; the first one answers first.
    pub async fn project(&self, agents: &[(&str, &str, &str)]) -> ProjectItem {
        let mut members = Vec::new();
        for (name, front_matter, prompt) in agents {
            let id = AgentId::generate();
            self.put_named_agent((&id, name), 1, front_matter, prompt).await;
            let description = format!("Knows about {name}");
            members.push(ProjectAgent { id, name: (*name).to_owned(), description });
        }
        let id = ProjectId::generate();
        let project = ProjectItem {
            name: format!("project-{}", &id.as_str()[5..]),
            id,
            tenant: self.tenant.clone(),
            version: 1,
            agents: members,
            pause_on_escalation: false,
            source: String::new(),
            updated_at: self.clock.now_ms(),
            webhooks: std::collections::BTreeMap::new(),
        };
        assert!(self.app.store().put_project(&project).await.unwrap());
        project
    }

    /// Makes a key of an app and gives its text.
    pub async fn app_key(&self, project: &ProjectId) -> String {
        let plain = plain_key(&AgentId::from("none"));
        self.new_key(NewKey { home: project.into(), kind: Kind::App, ..plain }).await.0
    }
}

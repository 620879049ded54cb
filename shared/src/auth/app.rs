//! The check at the app dialect's door: like the other, one round trip, and nothing is written.

use super::check::{check_life, check_scope};
use super::{AuthError, Endpoint, Gatekeeper, Idempotency, Pass, Presented};
use crate::id::{Home, ProjectId, SessionId};
use crate::limit::{Bucket, app_rates, budget_left};
use crate::store::{AppSessionItem, GateRequest, ProjectItem};

/// Who calls an app. Only an [`AppCheck`] makes one.
#[derive(Clone, Debug)]
pub struct AppCaller {
    /// What lets them in.
    pub pass: Pass,
    /// The app.
    pub project: ProjectItem,
    /// The session that the request names, as it was read; it may have ended.
    pub session: Option<AppSessionItem>,
}

/// What is checked, built up like a sentence: `AppCheck::key(presented).of_app(app).in_session(id).by(&gatekeeper)`.
#[derive(Clone, Debug)]
pub struct AppCheck {
    presented: Presented,
    app: Option<ProjectId>,
    session: Option<SessionId>,
    idempotency: Option<String>,
}

impl AppCheck {
    /// The key must be an app's.
    #[must_use]
    pub const fn key(presented: Presented) -> Self {
        Self { presented, app: None, session: None, idempotency: None }
    }

    /// It must be this app's; to all others, the app does not exist.
    #[must_use]
    pub fn of_app(mut self, app: &str) -> Self {
        self.app = ProjectId::of_app(app);
        self
    }

    /// This session is read along.
    #[must_use]
    pub fn in_session(mut self, session: Option<SessionId>) -> Self {
        self.session = session;
        self
    }

    /// An earlier request with the same idempotency key is read along.
    #[must_use]
    pub fn with_idempotency(mut self, idempotency: Option<&Idempotency>) -> Self {
        self.idempotency = idempotency.map(|idempotency| idempotency.hash.clone());
        self
    }

    /// Asks for everything, and decides.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub async fn by(self, gatekeeper: &Gatekeeper) -> Result<AppCaller, AuthError> {
        let hash = self.presented.hash().ok_or(AuthError::Unknown)?.clone();
        let now = gatekeeper.clock.now();
        let month = now.strftime("%Y-%m").to_string();
        let hint = gatekeeper.hint(&hash);
        let buckets = self.app.as_ref().map_or(Vec::new(), |app| {
            ["minute", "day"].map(|window| format!("{}#{app}#{window}", Endpoint::App.name())).to_vec()
        });
        let request = GateRequest {
            key: Some(hash.as_str().to_owned()),
            project: self.app.clone(),
            session: self.app.clone().zip(self.session),
            buckets,
            tenant: hint.map(|(tenant, _)| (tenant, month.clone())),
            idempotency: self.idempotency,
            agent: None,
        };
        let mut gate = gatekeeper.store.read_gate(&request).await?;
        let key = gate.key.take().ok_or(AuthError::Unknown)?;
        check_life(&key, now.as_millisecond())?;
        check_scope(&key, Endpoint::App)?;
        let app = self.app.filter(|app| key.home == Home::from(app)).ok_or(AuthError::NoApp)?;
        let project = gate.project.take().filter(|project| project.tenant == key.tenant).ok_or(AuthError::NoApp)?;
        if request.tenant.as_ref().map(|(tenant, _)| tenant) != Some(&key.tenant) {
            let tenant = Some((key.tenant.clone(), month));
            let rest = gatekeeper.store.read_gate(&GateRequest { tenant, ..GateRequest::default() }).await?;
            (gate.tenant, gate.usage) = (rest.tenant, rest.usage);
        }
        gatekeeper.remember(hash, &key);

        let rates = app_rates(gate.tenant.as_ref());
        let known = request.buckets.into_iter().zip(rates).zip(gate.buckets);
        let now_ms = now.as_millisecond();
        let is_live = |tenant: &_, until: i64| *tenant == key.tenant && until > now_ms;
        let session = gate.session.filter(|session| is_live(&session.tenant, session.expires_at));
        let pass = Pass {
            tenant: key.tenant.clone(),
            home: Home::App(app),
            endpoint: Endpoint::App,
            budget: budget_left(gate.tenant.as_ref(), gate.usage),
            buckets: known.map(|((identity, rate), full_at)| (Bucket { identity, rate }, full_at)).collect(),
            earlier: gate.idempotency.filter(|earlier| is_live(&earlier.tenant, earlier.lapses_at)),
            key: Some(key),
        };
        Ok(AppCaller { pass, project, session })
    }
}

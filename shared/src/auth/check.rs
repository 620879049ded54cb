//! The check at the door. It reads everything that a decision needs in one round trip, and writes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Idempotency, KeyHash, Kind, Presented, Scope};
use crate::agent::{Agent, AgentError, origin};
use crate::clock::Clock;
use crate::id::{AgentId, Home, TenantId};
use crate::limit::{Bucket, PlanLimit, Rate, budget_left};
use crate::store::{AgentItem, Gate, GateRequest, IdempotencyItem, KeyItem, Store, StoreError, Webhook};
use crate::webhook::Listeners;

/// How many keys' owners are remembered.
const HINTS: usize = 4096;
/// How many agents are remembered.
const AGENTS: usize = 64;

/// An endpoint that takes keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The OpenAI-compatible chat.
    ChatCompletions,
    /// The OpenAI-compatible list of models.
    Models,
    /// The inbound webhook.
    Webhook,
    /// The widget's chat.
    WidgetChat,
    /// The widget's settings.
    WidgetConfig,
    /// The MCP server.
    McpServer,
    /// The dashboard's chat, for users.
    AgentChat,
    /// A Slack bot's worker.
    Slack,
    /// A Telegram bot's worker.
    Telegram,
    /// A WhatsApp number's worker.
    WhatsApp,
    /// The app dialect.
    App,
}

impl Endpoint {
    /// What a key needs to open it; no key opens what is for users and channels.
    pub(super) const fn scope(self) -> Option<Scope> {
        match self {
            Self::ChatCompletions | Self::Models => Some(Scope::Chat),
            Self::Webhook => Some(Scope::Webhook),
            Self::WidgetChat | Self::WidgetConfig => Some(Scope::Widget),
            Self::McpServer => Some(Scope::Mcp),
            Self::App => Some(Scope::App),
            Self::AgentChat | Self::Slack | Self::Telegram | Self::WhatsApp => None,
        }
    }

    /// As sessions and logs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "openai",
            Self::Models => "models",
            Self::Webhook => "webhook",
            Self::WidgetChat => "widget",
            Self::WidgetConfig => "widget-config",
            Self::McpServer => "mcp",
            Self::AgentChat => "chat",
            Self::Slack => "slack",
            Self::Telegram => "telegram",
            Self::WhatsApp => "whatsapp",
            Self::App => "app",
        }
    }

    /// The identity of the bucket that it takes from: the agent's, or for the widget the key's.
    fn bucket(self, agent: Option<&AgentId>, key: &KeyHash) -> String {
        match (self, agent) {
            (Self::WidgetChat, _) | (_, None) => format!("{}#key#{}", self.name(), key.as_str()),
            (_, Some(agent)) => format!("{}#agent#{agent}", self.name()),
        }
    }

    /// The identities of the buckets that may bind: the endpoint's, and the key's own. None where reading is all that it
    /// does.
    fn buckets(self, agent: Option<&AgentId>, key: &KeyHash) -> Vec<String> {
        match self {
            Self::WidgetConfig => Vec::new(),
            _ => vec![self.bucket(agent, key), format!("own#key#{}", key.as_str())],
        }
    }

    /// Whether outbound webhooks are fired from it. Those that other programs call are told to nobody, or a receiver that
    /// calls the agent again would never come to an end.
    const fn is_told(self) -> Told {
        match self {
            Self::AgentChat => Told::ToReceivers,
            Self::ChatCompletions
            | Self::Models
            | Self::Webhook
            | Self::WidgetChat
            | Self::WidgetConfig
            | Self::McpServer
            | Self::Slack
            | Self::Telegram
            | Self::WhatsApp
            | Self::App => Told::ToNobody,
        }
    }

    /// The documented requests a minute, or the agent's own. An app's are its owner's plan's.
    fn rate(self, agent: &Agent) -> Option<Rate> {
        let own = &agent.document.limits.requests_per_minute;
        let requests = match self {
            Self::ChatCompletions => own.openai.unwrap_or(30),
            Self::Models => 60,
            Self::Webhook => own.webhook.unwrap_or(60),
            Self::WidgetChat => own.widget.unwrap_or(20),
            Self::McpServer => own.mcp.unwrap_or(30),
            Self::AgentChat => own.chat.unwrap_or(30),
            Self::Slack | Self::Telegram | Self::WhatsApp => own.channel.unwrap_or(15),
            Self::WidgetConfig | Self::App => return None,
        };
        Some(Rate::per_minute(requests))
    }
}

/// Who learns of what happens on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    ToReceivers,
    ToNobody,
}

/// That somebody is let through the door: who pays, for what, and within which bounds.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Who pays.
    pub tenant: TenantId,
    /// What it opens.
    pub home: Home,
    /// By which endpoint.
    pub endpoint: Endpoint,
    /// The tokens left this month, `None` for no limit; or the plan's limit that is reached.
    pub budget: Result<Option<u64>, PlanLimit>,
    /// The buckets to take from, and when each is full again by what was read.
    pub buckets: Vec<(Bucket, Option<i64>)>,
    /// The request that came with the same idempotency key.
    pub earlier: Option<IdempotencyItem>,
    pub(super) key: Option<KeyItem>,
}

impl Pass {
    /// The key that opened the door, if one did.
    #[must_use]
    pub const fn key(&self) -> Option<&KeyItem> {
        self.key.as_ref()
    }
}

/// Who calls an agent. Only a [`Check`] or a [`Vouched`] makes one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What lets them in.
    pub pass: Pass,
    /// Whom they talk to.
    pub agent: Agent,
    /// The agent's webhooks by id.
    pub webhooks: std::collections::BTreeMap<String, Webhook>,
}

impl Caller {
    /// Who is told what comes of the call: the agent's receivers, where it is one of the dashboard's chat.
    #[must_use]
    pub fn listeners(&self) -> Listeners {
        match self.pass.endpoint.is_told() {
            Told::ToReceivers => Listeners::of(&self.webhooks),
            Told::ToNobody => Listeners::default(),
        }
    }
}

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No key came, or none that is known.
    #[error("the key is missing or unknown")]
    Unknown,
    /// The key was revoked, or another took its place.
    #[error("the key is disabled")]
    Disabled,
    /// The key's time is over.
    #[error("the key has expired")]
    Expired,
    /// The key belongs to another agent.
    #[error("the key is for another agent")]
    OtherAgent,
    /// The key is not for this part of the API.
    #[error("the key is not for this endpoint")]
    WrongKind,
    /// The key, or the widget, is not for pages of this origin.
    #[error("the origin is not allowed")]
    Origin,
    /// The agent's widget is switched off.
    #[error("the widget is not enabled")]
    WidgetDisabled,
    /// The agent is gone.
    #[error("the agent is gone")]
    NoAgent,
    /// There is no such app, or the key is another's.
    #[error("there is no such app")]
    NoApp,
    /// The agent's document cannot be read.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the check works with; one for the life of the process.
#[derive(Clone, Debug)]
pub struct Gatekeeper {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// To whom a key belonged when it was last seen. It decides what is read ahead, and nothing else.
    hints: Arc<Mutex<HashMap<KeyHash, (TenantId, Home)>>>,
    /// The agents that were seen last, so that a document is parsed once a version.
    agents: Arc<Mutex<HashMap<AgentId, Agent>>>,
}

impl Gatekeeper {
    /// Over this table, by this clock.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, hints: Arc::default(), agents: Arc::default() }
    }

    pub(super) fn hint(&self, key: &KeyHash) -> Option<(TenantId, Home)> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn remember(&self, key: KeyHash, item: &KeyItem) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.len() >= HINTS {
            hints.clear();
        }
        hints.insert(key, (item.tenant.clone(), item.home.clone()));
    }

    /// An agent of a tenant, as it is now.
    ///
    /// # Errors
    /// Where it is gone.
    pub async fn find_agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<Agent, AuthError> {
        let item = self.store.agent(tenant, agent).await?.ok_or(AuthError::NoAgent)?;
        Ok(self.agent(item)?)
    }

    /// The agent of an item; its document is parsed where this version of it was not seen before.
    fn agent(&self, item: AgentItem) -> Result<Agent, AgentError> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |agent: &&Agent| {
            (agent.version, agent.updated_at.as_millisecond(), &agent.tenant)
                == (item.version, item.updated_at, &item.tenant)
        };
        if let Some(agent) = agents.get(&item.id).filter(is_same) {
            return Ok(agent.clone());
        }
        let agent = Agent::try_from(item)?;
        if agents.len() >= AGENTS {
            agents.clear();
        }
        agents.insert(agent.id.clone(), agent.clone());
        Ok(agent)
    }
}

/// What is checked, built up like a sentence: `Check::key(presented, endpoint).for_agent(id).by(&gatekeeper)`.
#[derive(Clone, Debug)]
pub struct Check {
    presented: Presented,
    endpoint: Endpoint,
    agent: Option<AgentId>,
    origin: Option<Asker>,
    idempotency: Option<String>,
}

impl Check {
    /// The key must open this endpoint.
    #[must_use]
    pub const fn key(presented: Presented, endpoint: Endpoint) -> Self {
        Self { presented, endpoint, agent: None, origin: None, idempotency: None }
    }

    /// It must be this agent's.
    #[must_use]
    pub fn for_agent(mut self, agent: AgentId) -> Self {
        self.agent = Some(agent);
        self
    }

    /// It must be allowed from this `Origin` header, if there is one.
    #[must_use]
    pub fn from_origin(mut self, header: Option<&str>) -> Self {
        self.origin = header.map(|header| Asker(origin::normalise(header)));
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
    pub async fn by(self, gatekeeper: &Gatekeeper) -> Result<Caller, AuthError> {
        let hash = self.presented.hash().ok_or(AuthError::Unknown)?.clone();
        let now = gatekeeper.clock.now();
        let month = now.strftime("%Y-%m").to_string();
        let hint = gatekeeper.hint(&hash);
        let request = GateRequest {
            key: Some(hash.as_str().to_owned()),
            agent: self.agent.clone().or_else(|| hint.as_ref().and_then(|(_, home)| agent_of(home))),
            buckets: self.endpoint.buckets(self.agent.as_ref(), &hash),
            tenant: hint.map(|(tenant, _)| (tenant, month.clone())),
            idempotency: self.idempotency.clone(),
            ..GateRequest::default()
        };
        let mut gate = gatekeeper.store.read_gate(&request).await?;
        let key = gate.key.take().ok_or(AuthError::Unknown)?;
        self.check_key(&key, now.as_millisecond())?;
        let agent = agent_of(&key.home).ok_or(AuthError::WrongKind)?;
        read_the_rest(&gatekeeper.store, &request, (&key.tenant, &agent), month, &mut gate).await?;
        gatekeeper.remember(hash, &key);

        let item = gate.agent.take().filter(|found| found.tenant == key.tenant && found.id == agent);
        let mut item = item.ok_or(AuthError::NoAgent)?;
        let webhooks = std::mem::take(&mut item.webhooks);
        let agent = gatekeeper.agent(item)?;
        self.check_agent(&agent)?;
        let budget = budget_left(gate.tenant.as_ref(), gate.usage);

        let rates = [self.endpoint.rate(&agent), key.requests_per_minute.map(Rate::per_minute)];
        let known = request.buckets.into_iter().zip(rates).zip(gate.buckets);
        let buckets =
            known.filter_map(|((identity, rate), full_at)| Some((Bucket { identity, rate: rate? }, full_at))).collect();
        let earlier =
            gate.idempotency.filter(|earlier| earlier.tenant == key.tenant && earlier.lapses_at > now.as_millisecond());
        let (tenant, home, endpoint) = (key.tenant.clone(), key.home.clone(), self.endpoint);
        let pass = Pass { tenant, home, endpoint, budget, buckets, earlier, key: Some(key) };
        Ok(Caller { pass, agent, webhooks })
    }

    fn check_key(&self, key: &KeyItem, now_ms: i64) -> Result<(), AuthError> {
        check_life(key, now_ms)?;
        if self.agent.as_ref().is_some_and(|agent| key.home != Home::from(agent)) {
            return Err(AuthError::OtherAgent);
        }
        check_scope(key, self.endpoint)?;
        self.check_origin(&key.origins)
    }

    fn check_agent(&self, agent: &Agent) -> Result<(), AuthError> {
        if self.endpoint.scope() != Some(Scope::Widget) {
            return Ok(());
        }
        if !agent.document.widget.enabled {
            return Err(AuthError::WidgetDisabled);
        }
        self.check_origin(&agent.document.widget.allowed_origins)
    }

    fn check_origin(&self, allowed: &[String]) -> Result<(), AuthError> {
        let Some(Asker(asker)) = &self.origin else { return Ok(()) };
        let is_among = |asker: &String| allowed.iter().any(|one| origin::normalise(one).as_ref() == Some(asker));
        if allowed.is_empty() || asker.as_ref().is_some_and(is_among) { Ok(()) } else { Err(AuthError::Origin) }
    }
}

/// Whether a key works at all.
pub(super) fn check_life(key: &KeyItem, now_ms: i64) -> Result<(), AuthError> {
    if !key.enabled {
        return Err(AuthError::Disabled);
    }
    if key.expires_at.is_some_and(|expires| expires <= now_ms) {
        return Err(AuthError::Expired);
    }
    Ok(())
}

/// Whether a key opens this endpoint.
pub(super) fn check_scope(key: &KeyItem, endpoint: Endpoint) -> Result<(), AuthError> {
    let scope = endpoint.scope().ok_or(AuthError::WrongKind)?;
    let of_its_kind = key.kind.parse::<Kind>().is_ok_and(|kind| kind.scopes().contains(&scope));
    let of_its_own = key.scopes.is_empty() || key.scopes.iter().any(|own| own == scope.name());
    if of_its_kind && of_its_own { Ok(()) } else { Err(AuthError::WrongKind) }
}

fn agent_of(home: &Home) -> Option<AgentId> {
    match home {
        Home::Agent(agent) => Some(agent.clone()),
        Home::App(_) => None,
    }
}

/// A caller for whom something else than a key speaks: a user's ID token, a channel's signature.
#[derive(Clone, Debug)]
pub struct Vouched<'a> {
    /// Who pays.
    pub tenant: &'a TenantId,
    /// Whom they talk to.
    pub agent: &'a AgentId,
    /// By which endpoint.
    pub endpoint: Endpoint,
    /// Who is limited, within the endpoint: the user, the Slack team, the bot, the phone number.
    pub identity: &'a str,
    /// The request's idempotency key, or the platform's event.
    pub idempotency: Option<&'a Idempotency>,
}

impl Vouched<'_> {
    /// Asks for everything in one round trip, and decides.
    ///
    /// # Errors
    /// Where the agent is gone, or another's.
    pub async fn by(self, gatekeeper: &Gatekeeper) -> Result<Caller, AuthError> {
        let now = gatekeeper.clock.now();
        let identity = format!("{}#{}", self.endpoint.name(), self.identity);
        let request = GateRequest {
            key: None,
            agent: Some(self.agent.clone()),
            buckets: vec![identity.clone()],
            tenant: Some((self.tenant.clone(), now.strftime("%Y-%m").to_string())),
            idempotency: self.idempotency.map(|idempotency| idempotency.hash.clone()),
            ..GateRequest::default()
        };
        let gate = gatekeeper.store.read_gate(&request).await?;
        let mut item = gate.agent.filter(|agent| agent.tenant == *self.tenant).ok_or(AuthError::NoAgent)?;
        let webhooks = std::mem::take(&mut item.webhooks);
        let agent = gatekeeper.agent(item)?;
        let full_at = gate.buckets.first().copied().flatten();
        let rate = self.endpoint.rate(&agent);
        let is_live =
            |earlier: &IdempotencyItem| earlier.tenant == *self.tenant && earlier.lapses_at > now.as_millisecond();
        let pass = Pass {
            tenant: self.tenant.clone(),
            home: Home::from(self.agent),
            endpoint: self.endpoint,
            budget: budget_left(gate.tenant.as_ref(), gate.usage),
            buckets: rate.map(|rate| (Bucket { identity, rate }, full_at)).into_iter().collect(),
            earlier: gate.idempotency.filter(is_live),
            key: None,
        };
        Ok(Caller { pass, agent, webhooks })
    }
}

/// The origin of the page that asks; `None` for one that cannot be named (`null`), which no list allows.
#[derive(Clone, Debug)]
struct Asker(Option<String>);

/// Reads what could not be known before the key was: on a key's first request, and where the hint was out of date.
async fn read_the_rest(
    store: &Store,
    asked: &GateRequest,
    (tenant, agent): (&TenantId, &AgentId),
    month: String,
    gate: &mut Gate,
) -> Result<(), StoreError> {
    let agent = (asked.agent.as_ref() != Some(agent)).then(|| agent.clone());
    let tenant = (asked.tenant.as_ref().map(|(asked, _)| asked) != Some(tenant)).then(|| (tenant.clone(), month));
    if agent.is_none() && tenant.is_none() {
        return Ok(());
    }
    let rest = store
        .read_gate(&GateRequest { agent: agent.clone(), tenant: tenant.clone(), ..GateRequest::default() })
        .await?;
    if agent.is_some() {
        gate.agent = rest.agent;
    }
    if tenant.is_some() {
        (gate.tenant, gate.usage) = (rest.tenant, rest.usage);
    }
    Ok(())
}

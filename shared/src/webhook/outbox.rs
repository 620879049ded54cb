//! From what happened to the deliveries' queue.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Event, EventKind};
use crate::clock::{Clock, millis};
use crate::id::{EventId, Home, TenantId, WebhookId};
use crate::queue::{Message, Queue};
use crate::store::{OutboxEvent, OutboxItem, Webhook};
use crate::telemetry;

/// How long events that nobody spreads are kept.
const KEPT: Duration = Duration::from_secs(4 * 24 * 3600);
/// When it is looked for events that should be spread by then: later than any writer writes.
const LATE: Duration = Duration::from_secs(60);

/// What stands in the deliveries' queue. It says nothing of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Spread what waits under this name, if anything does.
    Spread {
        /// The name.
        outbox: String,
    },
    /// Make an attempt.
    Attempt(Attempt),
}

/// An attempt that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Of what the event tells.
    #[serde(rename = "agent")]
    pub home: Home,
    /// The receiver.
    pub webhook: WebhookId,
    /// The event.
    pub event: EventId,
    /// Its number.
    pub attempt: u32,
    /// When it is due.
    #[serde(default)]
    pub due: i64,
    /// How often its receiver had no place for it.
    #[serde(default)]
    pub deferred: u32,
}

impl Task {
    /// It as a message that is handed out after this time.
    #[must_use]
    pub fn to_message(&self, delay: Duration) -> Message {
        Message { delay, body: serde_json::to_string(self).unwrap_or_default(), ..Message::default() }
    }
}

/// The receivers of an agent or an app, and what they want to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners(Vec<(WebhookId, Vec<EventKind>)>);

impl Listeners {
    /// Those of these webhooks that are switched on.
    #[must_use]
    pub fn of(webhooks: &BTreeMap<String, Webhook>) -> Self {
        let listener = |(id, webhook): (&String, &Webhook)| {
            let receiver = webhook.receiver.as_ref().filter(|_| webhook.enabled)?;
            let wanted = receiver.events.iter().filter_map(|name| name.parse().ok()).collect();
            Some((WebhookId::from(id.as_str()), wanted))
        };
        Self(webhooks.iter().filter_map(listener).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to be stored of these events of an agent or an app; nothing, where nobody wants to be told of any.
    #[must_use]
    pub fn outbox(
        &self,
        id: &str,
        (tenant, home): (&TenantId, impl Into<Home>),
        events: Vec<Event>,
        now_ms: i64,
    ) -> Option<OutboxItem> {
        let home = home.into();
        let wanted = |event: Event| {
            let receivers: Vec<WebhookId> =
                self.0.iter().filter(|(_, kinds)| kinds.contains(&event.kind)).map(|(id, _)| id.clone()).collect();
            (!receivers.is_empty()).then(|| OutboxEvent {
                id: EventId::generate(),
                name: event.kind.name().to_owned(),
                body: event.body(&home, now_ms),
                receivers,
            })
        };
        let events: Vec<OutboxEvent> = events.into_iter().filter_map(wanted).collect();
        (!events.is_empty()).then(|| OutboxItem {
            id: id.to_owned(),
            tenant: tenant.clone(),
            home: home.clone(),
            events,
            created_at: now_ms,
            look_at: now_ms.saturating_add(millis(LATE)),
            expires_at: now_ms.saturating_add(millis(KEPT)),
        })
    }
}

/// Puts what is stored into the deliveries' queue.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: Queue,
    clock: Clock,
}

impl Outbox {
    /// Over the deliveries' queue.
    #[must_use]
    pub const fn new(queue: Queue, clock: Clock) -> Self {
        Self { queue, clock }
    }

    /// The time of what happens now, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Says that events are stored. What the queue does not take is swept into it later.
    pub async fn hand_over(&self, outbox: Option<&OutboxItem>) {
        let Some(outbox) = outbox else { return };
        let task = Task::Spread { outbox: outbox.id.clone() };
        if let Err(error) = self.queue.send(&task.to_message(Duration::ZERO)).await {
            let (outbox, error) = (outbox.id.as_str(), telemetry::chain(&error));
            tracing::error!(outbox, error, "the deliveries' queue does not take what is told");
        }
    }
}

//! Deliveries: an event on its way to one receiver, with what came of each attempt.

use serde::{Deserialize, Serialize};

use super::item::{Item, Key, TTL, number, text, ttl};
use super::read::Query;
use super::write::{Write, Written};
use super::{Store, StoreError};
use crate::id::{EventId, Home, TenantId, WebhookId};

/// An event on its way to a receiver.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryItem {
    /// The event.
    pub event: EventId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Of what it tells.
    #[serde(rename = "agent")]
    pub home: Home,
    /// The receiver.
    pub webhook: WebhookId,
    /// What happened.
    pub name: String,
    /// What is sent.
    pub body: String,
    /// When it happened.
    pub created_at: i64,
    /// How it stands.
    pub state: DeliveryState,
    /// When the first attempt of its schedule was due.
    pub begun_at: i64,
    /// How many attempts its schedule has had.
    pub step: u32,
    /// Counts all attempts: the number of the next one.
    pub attempt: u32,
    /// When the next attempt is due.
    pub next_at: i64,
    /// Until when somebody makes an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_until: Option<i64>,
    /// The last attempts, the oldest first.
    pub attempts: Vec<AttemptItem>,
    /// When it may be forgotten.
    pub expires_at: i64,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// More attempts are made.
    Pending,
    /// The receiver took it.
    Delivered,
    /// The receiver did not take it, and is not asked any more.
    Failed,
    /// The receiver was deleted or switched off before it took it.
    Cancelled,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptItem {
    /// When it began.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The status that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why none came back, or why it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of the body that came back.
    #[serde(default)]
    pub response: String,
}

/// Without what it says.
impl std::fmt::Debug for DeliveryItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("DeliveryItem");
        shown.field("event", &self.event).field("webhook", &self.webhook).field("state", &self.state);
        shown.field("attempt", &self.attempt).field("next_at", &self.next_at).finish_non_exhaustive()
    }
}

/// What became of the wish to make an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptClaim {
    /// It is ours.
    Claimed(Box<DeliveryItem>),
    /// It is not to be made now: this is how the delivery stands.
    Refused(Box<DeliveryItem>),
    /// There is no such delivery.
    Missing,
}

fn partition(home: &Home, webhook: &WebhookId) -> String {
    format!("WEBHOOK#{home}#{webhook}")
}

fn delivery_key(home: &Home, webhook: &WebhookId, event: &EventId) -> Key {
    Key::new(partition(home, webhook), format!("DELIVERY#{event}"))
}

impl DeliveryItem {
    fn item(&self) -> Result<Item, StoreError> {
        let mut item = delivery_key(&self.home, &self.webhook, &self.event).with(serde_dynamo::to_item(self)?);
        item.insert(TTL.to_owned(), ttl(self.expires_at));
        Ok(item)
    }
}

impl Store {
    /// Stores a delivery; `false` where it is known already.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn put_new_delivery(&self, delivery: &DeliveryItem) -> Result<bool, StoreError> {
        let put = Write::put(delivery.item()?).condition("attribute_not_exists(pk)");
        self.write(&put).await
    }

    /// Claims the attempt of this number, or a later one, until `until_ms`: where it is due and nobody makes it.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn claim_attempt(
        &self,
        (home, webhook, event): (&Home, &WebhookId, &EventId),
        attempt: u32,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<AttemptClaim, StoreError> {
        let key = delivery_key(home, webhook, event);
        if !key.is_possible() {
            return Ok(AttemptClaim::Missing);
        }
        let claim = Write::update(&key, "SET claimed_until = :until")
            .condition(
                "#state = :pending AND attempt <= :attempt AND next_at <= :now AND \
                 (attribute_not_exists(claimed_until) OR claimed_until <= :now)",
            )
            .name("#state", "state")
            .value(":pending", text("pending"))
            .value(":attempt", number(attempt))
            .value(":now", number(now_ms))
            .value(":until", number(until_ms))
            .telling_new()
            .telling_refusal();
        Ok(match self.write_telling(&claim).await? {
            Written::Done(found) => AttemptClaim::Claimed(Box::new(found)),
            Written::Refused(Some(found)) => AttemptClaim::Refused(Box::new(found)),
            Written::Refused(None) => AttemptClaim::Missing,
        })
    }

    /// Stores how a delivery stands after an attempt that was claimed until `claimed_until`; `false` where the claim was
    /// lost.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn settle_attempt(&self, delivery: &DeliveryItem, claimed_until: i64) -> Result<bool, StoreError> {
        let put =
            Write::put(delivery.item()?).condition("claimed_until = :claimed").value(":claimed", number(claimed_until));
        self.write(&put).await
    }

    /// Begins the schedule of a delivery anew; what is in the queue for it counts no more. `None` where there is no such
    /// delivery.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn restart_delivery(
        &self,
        tenant: &TenantId,
        (home, webhook, event): (&Home, &WebhookId, &EventId),
        now_ms: i64,
    ) -> Result<Option<DeliveryItem>, StoreError> {
        let key = delivery_key(home, webhook, event);
        if !key.is_possible() {
            return Ok(None);
        }
        let restart = Write::update(
            &key,
            "SET #state = :pending, begun_at = :now, next_at = :now, step = :zero, attempt = attempt + :one \
             REMOVE claimed_until",
        )
        .condition("tenant = :tenant AND expires_at > :now")
        .name("#state", "state")
        .value(":pending", text("pending"))
        .value(":tenant", text(tenant.as_str()))
        .value(":now", number(now_ms))
        .value(":zero", number(0))
        .value(":one", number(1))
        .telling_new();
        Ok(match self.write_telling(&restart).await? {
            Written::Done(found) => Some(found),
            Written::Refused(_) => None,
        })
    }

    /// Deliveries to a receiver, the newest first: those before the one of this event, if one is named.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        (home, webhook): (&Home, &WebhookId),
        before: Option<&EventId>,
        limit: i32,
        now_ms: i64,
    ) -> Result<Vec<DeliveryItem>, StoreError> {
        let before = before.map_or("DELIVERY$".to_owned(), |event| format!("DELIVERY#{event}"));
        let query = Query::before(&partition(home, webhook), &before).limit(limit);
        let mut found: Vec<DeliveryItem> = self.page(&query).await?;
        found.retain(|delivery| delivery.tenant == *tenant && delivery.expires_at > now_ms);
        Ok(found)
    }
}

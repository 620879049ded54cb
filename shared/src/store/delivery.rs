//! Deliveries: an event on its way to one receiver, with what came of each attempt.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};

use super::gate::accepted;
use super::item::{Item, Key, TTL, number, text, ttl};
use super::{Store, StoreError};
use crate::id::{AgentId, EventId, TenantId, WebhookId};

/// How many deliveries are looked through for one that went well.
const LOOK: i32 = 200;

/// An event on its way to a receiver.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryItem {
    /// The event.
    pub event: EventId,
    /// Who owns it.
    pub tenant: TenantId,
    /// Of which agent it tells.
    pub agent: AgentId,
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

fn partition(agent: &AgentId, webhook: &WebhookId) -> String {
    format!("WEBHOOK#{agent}#{webhook}")
}

fn delivery_key(agent: &AgentId, webhook: &WebhookId, event: &EventId) -> Key {
    Key::new(partition(agent, webhook), format!("DELIVERY#{event}"))
}

impl DeliveryItem {
    fn item(&self) -> Result<Item, StoreError> {
        let mut item = delivery_key(&self.agent, &self.webhook, &self.event).with(serde_dynamo::to_item(self)?);
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
        let put = self.client.put_item().table_name(&self.table).set_item(Some(delivery.item()?));
        let sent = put.condition_expression("attribute_not_exists(pk)").send().await;
        accepted(sent, |error| error.is_conditional_check_failed_exception())
    }

    /// Claims the attempt of this number, or a later one, until `until_ms`: where it is due and nobody makes it.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn claim_attempt(
        &self,
        (agent, webhook, event): (&AgentId, &WebhookId, &EventId),
        attempt: u32,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<AttemptClaim, StoreError> {
        let key = delivery_key(agent, webhook, event);
        if !key.is_possible() {
            return Ok(AttemptClaim::Missing);
        }
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression("SET claimed_until = :until")
            .condition_expression(
                "#state = :pending AND attempt <= :attempt AND next_at <= :now AND \
                 (attribute_not_exists(claimed_until) OR claimed_until <= :now)",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", text("pending"))
            .expression_attribute_values(":attempt", number(attempt))
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":until", number(until_ms))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(reply) => {
                Ok(AttemptClaim::Claimed(serde_dynamo::from_item(reply.attributes.unwrap_or_default()).map(Box::new)?))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => match failed.item.clone() {
                    Some(found) => Ok(AttemptClaim::Refused(serde_dynamo::from_item(found).map(Box::new)?)),
                    None => Ok(AttemptClaim::Missing),
                },
                _ => Err(error.into()),
            },
        }
    }

    /// Stores how a delivery stands after an attempt that was claimed until `claimed_until`; `false` where the claim was
    /// lost.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn settle_attempt(&self, delivery: &DeliveryItem, claimed_until: i64) -> Result<bool, StoreError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(delivery.item()?));
        let sent = put
            .condition_expression("claimed_until = :claimed")
            .expression_attribute_values(":claimed", number(claimed_until))
            .send()
            .await;
        accepted(sent, |error| error.is_conditional_check_failed_exception())
    }

    /// Begins the schedule of a delivery anew; what is in the queue for it counts no more. `None` where there is no such
    /// delivery.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn restart_delivery(
        &self,
        tenant: &TenantId,
        (agent, webhook, event): (&AgentId, &WebhookId, &EventId),
        now_ms: i64,
    ) -> Result<Option<DeliveryItem>, StoreError> {
        let key = delivery_key(agent, webhook, event);
        if !key.is_possible() {
            return Ok(None);
        }
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .update_expression(
                "SET #state = :pending, begun_at = :now, next_at = :now, step = :zero, attempt = attempt + :one \
                 REMOVE claimed_until",
            )
            .condition_expression("tenant = :tenant AND expires_at > :now")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", text("pending"))
            .expression_attribute_values(":tenant", text(tenant.as_str()))
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match sent {
            Ok(reply) => Ok(Some(serde_dynamo::from_item(reply.attributes.unwrap_or_default())?)),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deliveries to a receiver, the newest first: those before the one of this event, if one is named.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        (agent, webhook): (&AgentId, &WebhookId),
        before: Option<&EventId>,
        limit: i32,
        now_ms: i64,
    ) -> Result<Vec<DeliveryItem>, StoreError> {
        let before = before.map_or("DELIVERY$".to_owned(), |event| format!("DELIVERY#{event}"));
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :webhook AND sk < :before")
            .expression_attribute_values(":webhook", text(partition(agent, webhook)))
            .expression_attribute_values(":before", text(before))
            .scan_index_forward(false)
            .limit(limit)
            .send()
            .await?;
        let mut found: Vec<DeliveryItem> = serde_dynamo::from_items(page.items.unwrap_or_default())?;
        found.retain(|delivery| delivery.tenant == *tenant && delivery.expires_at > now_ms);
        Ok(found)
    }

    /// Whether the receiver took any of its last events since this time.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn took_any(
        &self,
        tenant: &TenantId,
        receiver: (&AgentId, &WebhookId),
        since_ms: i64,
    ) -> Result<bool, StoreError> {
        let last = self.deliveries(tenant, receiver, None, LOOK, since_ms).await?;
        Ok(last.iter().any(|delivery| {
            delivery.state == DeliveryState::Delivered
                && delivery.attempts.last().is_some_and(|attempt| attempt.at > since_ms)
        }))
    }
}

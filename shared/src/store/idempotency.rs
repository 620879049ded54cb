//! Requests that may be retried: each key is claimed once, and the answer is found again through its turn.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, number, text, ttl};
use super::{Store, StoreError};
use crate::id::{SessionId, TenantId};

/// A request that carried an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyItem {
    /// Who sent it.
    pub tenant: TenantId,
    /// The SHA-256 of its body, in hex.
    pub body_hash: String,
    /// When the claim of the request that runs lapses, unless it is renewed; the end of the 24 hours once answered.
    pub lapses_at: i64,
    /// Who holds the claim.
    pub owner: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: IdempotencyState,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum IdempotencyState {
    /// Its turn runs.
    Running,
    /// Its turn is stored here.
    Answered {
        /// The session.
        session: SessionId,
        /// The turn's number in the session.
        turn: u64,
    },
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours.
    Claimed,
    /// Another request was first.
    Taken(IdempotencyItem),
}

/// The key of a request: a hash of its scope and its idempotency key.
pub(super) fn idempotency_key(hash: &str) -> Key {
    Key::new(format!("IDEMPOTENCY#{hash}"), "IDEMPOTENCY")
}

impl Store {
    /// Claims a request, unless another's claim or an answer stands that has not lapsed at `now_ms`.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn claim(&self, hash: &str, item: &IdempotencyItem, now_ms: i64) -> Result<Claim, StoreError> {
        let mut attributes = idempotency_key(hash).with(serde_dynamo::to_item(item)?);
        attributes.insert(TTL.to_owned(), ttl(now_ms + 86_400_000));
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(attributes))
            .condition_expression(
                "attribute_not_exists(pk) OR lapses_at <= :now OR (#owner = :owner AND #state = :running)",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":owner", text(&item.owner))
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":now", number(now_ms))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Claim::Claimed),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Claim::Taken(serde_dynamo::from_item(failed.item.clone().unwrap_or_default())?))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Gives a claim up, so that the same request may run again. Nothing happens where it is not ours any more.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn release_claim(&self, hash: &str, owner: &str) -> Result<(), StoreError> {
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(idempotency_key(hash).attributes()))
            .condition_expression("#owner = :owner AND #state = :running")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":running", text("running"))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception()).map(drop)
    }

    /// Holds a claim for longer; `false` where it is not ours any more, or is answered.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn renew_claim(&self, hash: &str, owner: &str, until_ms: i64) -> Result<bool, StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(idempotency_key(hash).attributes()))
            .update_expression("SET lapses_at = :until")
            .condition_expression("#owner = :owner AND #state = :running")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":running", text("running"))
            .expression_attribute_values(":until", number(until_ms))
            .send()
            .await;
        super::gate::accepted(sent, |error| error.is_conditional_check_failed_exception())
    }
}

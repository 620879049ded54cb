//! Requests that may be retried: each key is claimed once, and the answer is found again through its turn.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, number, text, ttl};
use super::write::Write;
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
        let write = Write::put(attributes)
            .condition("attribute_not_exists(pk) OR lapses_at <= :now OR (#owner = :owner AND #state = :running)")
            .name("#owner", "owner")
            .name("#state", "state")
            .value(":owner", text(&item.owner))
            .value(":running", text("running"))
            .value(":now", number(now_ms))
            .telling_refusal();
        Ok(self.write_unless(&write).await?.map_or(Claim::Claimed, Claim::Taken))
    }

    /// Gives a claim up, so that the same request may run again. Nothing happens where it is not ours any more.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn release_claim(&self, hash: &str, owner: &str) -> Result<(), StoreError> {
        let write = Write::delete(&idempotency_key(hash))
            .condition("#owner = :owner AND #state = :running")
            .name("#owner", "owner")
            .name("#state", "state")
            .value(":owner", text(owner))
            .value(":running", text("running"));
        self.write(&write).await.map(drop)
    }

    /// Holds a claim for longer; `false` where it is not ours any more, or is answered.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn renew_claim(&self, hash: &str, owner: &str, until_ms: i64) -> Result<bool, StoreError> {
        let write = Write::update(&idempotency_key(hash), "SET lapses_at = :until")
            .condition("#owner = :owner AND #state = :running")
            .name("#owner", "owner")
            .name("#state", "state")
            .value(":owner", text(owner))
            .value(":running", text("running"))
            .value(":until", number(until_ms));
        self.write(&write).await
    }
}

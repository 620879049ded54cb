//! What is known of a receiver beside its deliveries: how many attempts are made at it, by all processes together, and how
//! it did. The count is of those who came, less those who left: one that fell in between stays counted until nobody has
//! come for as long as an attempt may take.

use serde::Deserialize;
use serde_dynamo::AttributeValue;

use super::item::{Key, TTL, number, ttl};
use super::write::Write;
use super::{Store, StoreError};
use crate::id::{Home, WebhookId};

/// How many attempts are made at once at a receiver that is fast, and at one that is slow or not known yet.
const PLACES: (u32, u32) = (5, 1);
/// How long it is known how a receiver did, in milliseconds.
const KEPT: i64 = 30 * 24 * 60 * 60 * 1000;

/// How a receiver does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReceiverItem {
    /// How many attempts are made.
    pub running: u32,
    /// When all of them have ended.
    pub until: i64,
    /// Whether the last one was answered fast.
    pub is_fast: bool,
    /// When it last took an event.
    pub taken_at: Option<i64>,
}

/// What became of the wish for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is ours.
    Taken,
    /// There is none.
    None {
        /// Whether there will be one soon.
        is_fast: bool,
    },
}

fn receiver_key((home, webhook): (&Home, &WebhookId)) -> Key {
    Key::new(format!("WEBHOOK#{home}#{webhook}"), "RECEIVER")
}

impl Store {
    /// How a receiver does.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn receiver(&self, receiver: (&Home, &WebhookId)) -> Result<ReceiverItem, StoreError> {
        Ok(self.get(&receiver_key(receiver)).await?.unwrap_or_default())
    }

    /// Takes a place among the attempts at a receiver, for one that ends before `until_ms`.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn take_place(
        &self,
        receiver: (&Home, &WebhookId),
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Place, StoreError> {
        let key = receiver_key(receiver);
        let take = |expression: &'static str| {
            Write::update(&key, expression)
                .name("#until", "until")
                .name("#ttl", TTL)
                .value(":until", number(until_ms))
                .value(":ttl", ttl(now_ms.saturating_add(KEPT)))
                .value(":one", number(1))
        };
        let one_more = take("ADD running :one SET #until = :until, #ttl = :ttl")
            .condition("attribute_not_exists(running) OR running < :few OR (is_fast = :yes AND running < :many)")
            .value(":many", number(PLACES.0))
            .value(":few", number(PLACES.1))
            .value(":yes", AttributeValue::Bool(true))
            .telling_refusal();
        let Some(found) = self.write_unless::<ReceiverItem>(&one_more).await? else { return Ok(Place::Taken) };
        if found.until > now_ms {
            return Ok(Place::None { is_fast: found.is_fast });
        }
        let anew = take("SET running = :one, #until = :until, #ttl = :ttl")
            .condition("#until = :before")
            .value(":before", number(found.until));
        let is_done = self.write(&anew).await?;
        Ok(if is_done { Place::Taken } else { Place::None { is_fast: found.is_fast } })
    }

    /// Gives a place back after an attempt, or without one: with whether it was answered fast, and when it was taken if
    /// it was.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn leave_place(
        &self,
        receiver: (&Home, &WebhookId),
        is_fast: Option<bool>,
        taken_at: Option<i64>,
    ) -> Result<(), StoreError> {
        let mut sets = Vec::new();
        sets.extend(is_fast.map(|is_fast| ("is_fast", AttributeValue::Bool(is_fast))));
        sets.extend(taken_at.map(|at| ("taken_at", number(at))));
        let assignments: Vec<String> = sets.iter().map(|(name, _)| format!("{name} = :{name}")).collect();
        let mut expression = "ADD running :less".to_owned();
        if !assignments.is_empty() {
            expression = format!("{expression} SET {}", assignments.join(", "));
        }
        let mut leave = Write::update(&receiver_key(receiver), expression)
            .condition("running > :none")
            .value(":less", number(-1))
            .value(":none", number(0));
        for (name, value) in sets {
            leave = leave.value(format!(":{name}"), value);
        }
        self.write(&leave).await.map(drop)
    }
}

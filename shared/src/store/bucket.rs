//! Rate buckets. A bucket's whole state is the moment at which it is full again (`limit::bucket`), in microseconds.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use serde::Deserialize;

use super::item::{Item, Key, TTL, number, ttl};
use super::{Store, StoreError};

/// The stored state of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct BucketItem {
    /// When it is full again.
    pub(super) full_at: i64,
}

pub(super) fn bucket_key(identity: &str) -> Key {
    Key::new(format!("BUCKET#{identity}"), "BUCKET")
}

/// One conditional write to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketWrite {
    /// The bucket was full at `now`: it is full again at `full_at`. Holds while nobody took from it since.
    FromFull {
        /// The present.
        now: i64,
        /// When it is full again after this.
        full_at: i64,
    },
    /// The bucket was not full: it is full again `by` later than it was. Holds while it was not full at `now`, and
    /// `full_at` stays at or below `at_most`.
    Later {
        /// The present.
        now: i64,
        /// How much later.
        by: i64,
        /// The latest `full_at` before this from which there is enough to take.
        at_most: i64,
    },
}

/// What became of a write to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketTake {
    /// Taken; the bucket is full again at this time.
    Taken(i64),
    /// The bucket had changed in between: this is when it is full again now.
    Changed(Option<i64>),
}

impl Store {
    /// Takes from a bucket by one conditional write.
    ///
    /// # Errors
    /// Where the table does not take it.
    pub async fn take_from_bucket(&self, identity: &str, write: BucketWrite) -> Result<BucketTake, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(bucket_key(identity).attributes()))
            .expression_attribute_names("#ttl", TTL)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = match write {
            BucketWrite::FromFull { now, full_at } => update
                .update_expression("SET full_at = :full, #ttl = :ttl")
                .condition_expression("attribute_not_exists(full_at) OR full_at <= :now")
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":full", number(full_at))
                .expression_attribute_values(":ttl", ttl(full_at / 1000)),
            BucketWrite::Later { now, by, at_most } => update
                .update_expression("SET full_at = full_at + :by, #ttl = :ttl")
                .condition_expression("full_at > :now AND full_at <= :most")
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":by", number(by))
                .expression_attribute_values(":most", number(at_most))
                .expression_attribute_values(":ttl", ttl(at_most.saturating_add(by) / 1000)),
        };
        let sent = update.return_values(aws_sdk_dynamodb::types::ReturnValue::UpdatedNew).send().await;
        match sent {
            Ok(reply) => full_at(reply.attributes.unwrap_or_default())
                .map(|full_at| BucketTake::Taken(full_at.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    full_at(failed.item.clone().unwrap_or_default()).map(BucketTake::Changed)
                }
                _ => Err(error.into()),
            },
        }
    }
}

fn full_at(item: Item) -> Result<Option<i64>, StoreError> {
    if item.contains_key("full_at") {
        Ok(Some(serde_dynamo::from_item::<_, BucketItem>(item)?.full_at))
    } else {
        Ok(None)
    }
}

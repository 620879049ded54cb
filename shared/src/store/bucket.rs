//! Rate buckets. A bucket's whole state is the moment at which it is full again (`limit::bucket`), in microseconds.

use serde::Deserialize;

use super::item::{Key, TTL, number, ttl};
use super::write::{Write, Written};
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
        let key = bucket_key(identity);
        let write = match write {
            BucketWrite::FromFull { now, full_at } => Write::update(&key, "SET full_at = :full, #ttl = :ttl")
                .condition("attribute_not_exists(full_at) OR full_at <= :now")
                .value(":now", number(now))
                .value(":full", number(full_at))
                .value(":ttl", ttl(full_at / 1000)),
            BucketWrite::Later { now, by, at_most } => Write::update(&key, "SET full_at = full_at + :by, #ttl = :ttl")
                .condition("full_at > :now AND full_at <= :most")
                .value(":now", number(now))
                .value(":by", number(by))
                .value(":most", number(at_most))
                .value(":ttl", ttl(at_most.saturating_add(by) / 1000)),
        };
        let write = write.name("#ttl", TTL).telling_changed().telling_refusal();
        Ok(match self.write_telling::<BucketItem>(&write).await? {
            Written::Done(bucket) => BucketTake::Taken(bucket.full_at),
            Written::Refused(found) => BucketTake::Changed(found.map(|bucket| bucket.full_at)),
        })
    }
}

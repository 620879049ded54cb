//! Taking from stored buckets.

use std::time::Duration;

use super::{Rate, RateStatus, Verdict, take};
use crate::clock::Clock;
use crate::store::{BucketTake, BucketWrite, Store, StoreError};

/// How often a write is tried that meets others at the same bucket. Two are enough unless the bucket runs empty or full
/// in between.
const TRIES: u32 = 6;

/// A bucket: whose it is, and its rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Whose it is, the same on every machine.
    pub identity: String,
    /// Its capacity and refill.
    pub rate: Rate,
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The bucket is empty.
    #[error("the rate limit is reached")]
    Refused {
        /// How the bucket stands.
        status: RateStatus,
        /// When there is a token again.
        retry_after: Duration,
    },
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes from buckets.
#[derive(Clone, Debug)]
pub struct Limiter {
    store: Store,
    clock: Clock,
}

impl Limiter {
    /// Over this table, by this clock.
    #[must_use]
    pub const fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// How the bucket stands by what was read of it, where a token could be taken. Nothing is written.
    ///
    /// # Errors
    /// [`LimitError::Refused`] where it could not.
    pub fn peek(&self, bucket: &Bucket, full_at: Option<i64>) -> Result<RateStatus, LimitError> {
        let now = self.now();
        let full_at = full_at.unwrap_or(now);
        match take(full_at, bucket.rate, now, 1).1 {
            Verdict::Allowed(_) => Ok(bucket.rate.status(full_at, now)),
            Verdict::Refused(status, retry_after) => Err(LimitError::Refused { status, retry_after }),
        }
    }

    /// Takes one token. `full_at` is what was read of the bucket; where that is out of date, the refused write brings
    /// what is true now.
    ///
    /// # Errors
    /// [`LimitError::Refused`] where the bucket is empty.
    pub async fn take(&self, bucket: &Bucket, mut full_at: Option<i64>) -> Result<RateStatus, LimitError> {
        for _ in 0..TRIES {
            let now = self.now();
            let (after, verdict) = take(full_at.unwrap_or(now), bucket.rate, now, 1);
            if let Verdict::Refused(status, retry_after) = verdict {
                return Err(LimitError::Refused { status, retry_after });
            }
            let write = match full_at {
                Some(full_at) if full_at > now => {
                    let by = bucket.rate.interval();
                    BucketWrite::Later { now, by, at_most: now + bucket.rate.span() - by }
                }
                _ => BucketWrite::FromFull { now, full_at: after },
            };
            match self.store.take_from_bucket(&bucket.identity, write).await? {
                BucketTake::Taken(full_at) => return Ok(bucket.rate.status(full_at, now)),
                BucketTake::Changed(found) => full_at = found,
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Microseconds since the Unix epoch.
    fn now(&self) -> i64 {
        self.clock.now().as_microsecond()
    }
}

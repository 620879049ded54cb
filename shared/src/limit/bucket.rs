//! The token bucket, as pure maths.
//!
//! A bucket holds up to `capacity` tokens and gains one every `window / capacity`. Its whole state is the moment at which
//! it is full again: each token taken moves that moment by one interval, and what is missing is the time up to it. So a
//! store needs one number, and can take a token without knowing how many others took one meanwhile.

use std::time::Duration;

/// So many requests in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    capacity: u32,
    window: Window,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 24 hours.
    Day,
}

impl Window {
    const fn micros(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Day => 86_400_000_000,
        }
    }
}

/// How a bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateStatus {
    /// The most requests in a window.
    pub limit: u32,
    /// How many more are let through at once.
    pub remaining: u32,
    /// When the bucket is full again, in milliseconds since the Unix epoch.
    pub reset_ms: i64,
    /// The window.
    pub window: Window,
}

/// Whether there is enough in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is.
    Allowed(RateStatus),
    /// There is not before this time has passed.
    Refused(RateStatus, Duration),
}

impl Rate {
    /// `capacity` requests a minute; at least one.
    #[must_use]
    pub const fn per_minute(capacity: u32) -> Self {
        Self { capacity: if capacity == 0 { 1 } else { capacity }, window: Window::Minute }
    }

    /// `capacity` requests a day; at least one.
    #[must_use]
    pub const fn per_day(capacity: u32) -> Self {
        Self { window: Window::Day, ..Self::per_minute(capacity) }
    }

    /// Between two tokens, in microseconds; at least one.
    pub(super) fn interval(self) -> i64 {
        (self.window.micros() / i64::from(self.capacity)).max(1)
    }

    /// From empty to full, in microseconds.
    pub(super) fn span(self) -> i64 {
        self.interval() * i64::from(self.capacity)
    }

    /// How a bucket stands that is full again at `full_at`; both times in microseconds since the Unix epoch.
    #[must_use]
    pub fn status(self, full_at: i64, now: i64) -> RateStatus {
        let missing = (full_at - now).max(0);
        let remaining = (self.span() - missing).max(0) / self.interval();
        RateStatus {
            limit: self.capacity,
            remaining: u32::try_from(remaining).unwrap_or(self.capacity),
            reset_ms: full_at.max(now) / 1000,
            window: self.window,
        }
    }
}

/// Takes `n` tokens from a bucket that is full again at `full_at`: when it is full again now, and whether there were
/// enough. Without enough nothing is taken. Times are microseconds since the Unix epoch.
#[must_use]
pub fn take(full_at: i64, rate: Rate, now: i64, n: u32) -> (i64, Verdict) {
    let after = full_at.max(now) + rate.interval() * i64::from(n);
    let short = after - now - rate.span();
    if short <= 0 {
        (after, Verdict::Allowed(rate.status(after, now)))
    } else {
        let wait = Duration::from_micros(u64::try_from(short).unwrap_or_default());
        (full_at, Verdict::Refused(rate.status(full_at, now), wait))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_full_bucket_gives_its_capacity_and_says_when_the_next_one_is_there() {
        let (rate, now) = (Rate::per_minute(30), 1_000 * SECOND);
        let mut full_at = 0;
        for left in (0..30).rev() {
            let (next, verdict) = take(full_at, rate, now, 1);
            let status = RateStatus { limit: 30, remaining: left, reset_ms: next / 1000, window: Window::Minute };
            assert_eq!(verdict, Verdict::Allowed(status));
            full_at = next;
        }
        let (same, verdict) = take(full_at, rate, now, 1);
        assert_eq!(same, full_at);
        assert!(
            matches!(verdict, Verdict::Refused(status, wait) if status.remaining == 0 && wait == Duration::from_secs(2))
        );
        assert!(matches!(take(full_at, rate, now + 2 * SECOND, 1).1, Verdict::Allowed(_)));
    }

    proptest! {
        #[test]
        fn never_more_than_capacity_and_refill_in_any_stretch(capacity in 1u32..100, gaps in prop::collection::vec(0i64..5_000_000, 1..300)) {
            let rate = Rate::per_minute(capacity);
            let (mut full_at, mut now, start, mut taken) = (0, 1_000_000_000, 1_000_000_000, 0i64);
            for gap in gaps {
                now += gap;
                let (next, verdict) = take(full_at, rate, now, 1);
                full_at = next;
                taken += i64::from(matches!(verdict, Verdict::Allowed(_)));
                prop_assert!(taken <= i64::from(capacity) + (now - start) / rate.interval());
            }
        }

        #[test]
        fn the_wait_that_a_refusal_names_is_true(capacity in 1u32..100, missing in 0i64..60_000_000, n in 1u32..5) {
            let (rate, now) = (Rate::per_minute(capacity), 1_000_000_000);
            prop_assume!(n <= capacity);
            let full_at = now + missing.min(rate.span());
            if let (_, Verdict::Refused(_, wait)) = take(full_at, rate, now, n) {
                let wait = i64::try_from(wait.as_micros()).unwrap();
                prop_assert!(matches!(take(full_at, rate, now + wait, n).1, Verdict::Allowed(_)));
                prop_assert!(matches!(take(full_at, rate, now + wait - 1, n).1, Verdict::Refused(..)));
            }
        }
    }
}

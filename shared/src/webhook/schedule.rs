//! When an event is sent again: after 5 s, 5 min, 30 min, 2 h, 5 h, and then every 10 h until three days have passed, each
//! wait a tenth longer or shorter. The last attempt is made when they have.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::clock::millis;

/// How long it is tried.
pub const PERIOD: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long a receiver may ask us to wait, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 3600);
/// Between the attempts, in seconds; the last one repeats.
const WAITS: [u64; 6] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600];

/// When the attempt after the one of number `step` (from 0) is made, which failed at `now_ms`; `None` where that was the
/// last one. `begun_ms` is when the first one was due, `event` what the jitter is made from, `asked` the wait that the
/// receiver asked for.
#[must_use]
pub fn next(event: &str, step: u32, begun_ms: i64, now_ms: i64, asked: Option<Duration>) -> Option<i64> {
    let end = begun_ms.saturating_add(millis(PERIOD));
    if now_ms >= end {
        return None;
    }
    let seconds = WAITS.get(step as usize).or(WAITS.last()).copied().unwrap_or_default();
    let wait = Duration::from_secs(seconds).mul_f64(jitter(event, step));
    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_WAIT));
    Some(now_ms.saturating_add(millis(wait)).min(end))
}

/// Between 0.9 and 1.1, the same for the same attempt.
pub(super) fn jitter(event: &str, step: u32) -> f64 {
    let hash = digest(&SHA256, format!("{event}#{step}").as_bytes());
    let byte = hash.as_ref().first().copied().unwrap_or_default();
    0.9 + 0.2 * f64::from(byte) / 255.0
}

/// What a receiver asks us to wait: seconds, or a time. <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
#[must_use]
pub fn retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    u64::try_from(at.saturating_sub(now_ms)).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// All attempts of an event whose receiver always fails, in milliseconds after the first.
    fn attempts(event: &str) -> Vec<i64> {
        let mut times = vec![0];
        while let Some(next) = next(event, u32::try_from(times.len()).unwrap() - 1, 0, times[times.len() - 1], None) {
            times.push(next);
        }
        times
    }

    #[test]
    fn attempts_fall_on_the_schedule_and_the_last_one_on_its_end() {
        for event in ["evt_1", "evt_2", "evt_3"] {
            let times = attempts(event);
            let waits: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let expected = [5_000, 300_000, 1_800_000, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR, 10 * HOUR];
            for (wait, expected) in waits.iter().zip(expected) {
                assert!((wait - expected).abs() <= expected / 10, "{wait} {expected}");
            }
            assert_eq!(times.last(), Some(&(72 * HOUR)));
            assert!((12..=14).contains(&times.len()), "{times:?}");
        }
        assert_ne!(attempts("evt_1"), attempts("evt_2"), "receivers are not called all at once");
    }

    #[test]
    fn a_receiver_is_obeyed_within_bounds() {
        let asked = |seconds| next("e", 0, 0, 0, Some(Duration::from_secs(seconds)));
        assert!(asked(1).unwrap() >= 4_500, "the schedule's own wait is the least");
        assert_eq!(asked(60), Some(60_000));
        assert_eq!(asked(1_000_000), Some(10 * HOUR));
        assert_eq!(next("e", 9, 0, 71 * HOUR, Some(LONGEST_WAIT)), Some(72 * HOUR));
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        assert_eq!(retry_after("23", 0), Some(Duration::from_secs(23)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 15_000), Some(Duration::from_secs(45)));
        for wrong in ["", "-1", "soon", "99999999999999", "Thu, 01 Jan 1970 00:00:01 GMT"] {
            assert_eq!(retry_after(wrong, 15_000), None, "{wrong}");
        }
    }
}

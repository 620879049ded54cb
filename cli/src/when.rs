//! Times, as they are said and told on the command line.

use std::time::Duration;

use jiff::Timestamp;

/// The longest that a key may live from now on: ten years.
const LONGEST: Duration = Duration::from_secs(3_653 * 86_400);

/// A time that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpiryError {
    #[error("--expires is written 30d, 24h or 90m, or as a time like 2030-01-31T00:00:00Z; got {0:?}")]
    Unreadable(String),
    #[error("--expires is in the past: {0}")]
    Past(String),
    #[error("--expires is more than ten years away: {0}")]
    TooFar(String),
}

/// How long it is from `now` until then.
pub(crate) fn from_now(text: &str, now: Timestamp) -> Result<Duration, ExpiryError> {
    let unreadable = || ExpiryError::Unreadable(text.to_owned());
    let time = match span(text) {
        Some(time) => time,
        None => {
            let then: Timestamp = text.parse().map_err(|_| unreadable())?;
            Duration::try_from(then.duration_since(now)).map_err(|_| ExpiryError::Past(text.to_owned()))?
        }
    };
    match time {
        Duration::ZERO => Err(ExpiryError::Past(text.to_owned())),
        time if time > LONGEST => Err(ExpiryError::TooFar(text.to_owned())),
        time => Ok(time),
    }
}

/// A time of the table, in milliseconds since the Unix epoch, as RFC 3339 in UTC.
pub(crate) fn shown(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

/// `30d`, `24h`, `90m`, `45s`.
fn span(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let count: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(count.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T12:00:00Z";

    #[test]
    fn a_time_is_a_span_or_a_moment() {
        let now = NOW.parse().unwrap();
        for (text, seconds) in [
            ("30d", 30 * 86_400),
            ("24h", 86_400),
            ("90m", 5_400),
            ("45s", 45),
            ("2026-11-21T12:00:10Z", 10),
            ("2026-11-21T14:00:10+02:00", 10),
        ] {
            assert_eq!(from_now(text, now), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_to_come_is_refused() {
        let now = NOW.parse().unwrap();
        assert!(matches!(from_now("2020-01-01T00:00:00Z", now), Err(ExpiryError::Past(_))));
        assert!(matches!(from_now("0d", now), Err(ExpiryError::Past(_))));
        assert!(matches!(from_now("99999999999999999999d", now), Err(ExpiryError::Unreadable(_))));
        assert!(matches!(from_now("18446744073709551615d", now), Err(ExpiryError::TooFar(_))));
        for text in ["", "d", "-1d", "soon", "1w", "30", "2030-01-31"] {
            assert!(matches!(from_now(text, now), Err(ExpiryError::Unreadable(_))), "{text:?}");
        }
    }
}

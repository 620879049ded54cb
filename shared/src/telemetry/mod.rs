//! Logs: one JSON line an event on standard output in the cloud, readable lines on standard error on one machine.
//! No secret, no key, no message and no prompt is ever logged.

/// Counts turns and refusals.
pub mod metrics;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

/// For whom the logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// CloudWatch and other machines: JSON on standard output.
    Machine,
    /// A person at a terminal: lines on standard error.
    Person,
}

/// Starts logging, once a process. The filter is a level (`info`), or levels by module (`info,shared::model=debug`); one
/// that cannot be read counts as `info`.
pub fn start(audience: Audience, filter: &str) {
    let filter: Targets = filter.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = match audience {
        Audience::Machine => fmt::layer().json().flatten_event(true).with_span_list(false).boxed(),
        Audience::Person => fmt::layer().with_writer(std::io::stderr).with_target(false).boxed(),
    };
    // A second start (in tests) leaves the first one in place.
    let _already_started = registry().with(lines.with_filter(filter)).try_init();
}

/// An error and its causes as one line for the log.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(chain(&Outer(std::io::Error::other("inner"))), "outer: inner");
    }
}

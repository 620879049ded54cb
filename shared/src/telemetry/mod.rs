//! Logs: one JSON line an event on standard output in the cloud, readable lines on standard error on one machine.
//! No secret, no key, no message and no prompt is ever logged.

/// Counts turns and refusals.
pub mod metrics;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// For whom the logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// CloudWatch and other machines: JSON on standard output.
    Machine,
    /// A person at a terminal: lines on standard error.
    Person,
}

/// Starts logging, once a process. A filter that cannot be read counts as `info`.
pub fn start(audience: Audience, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_timer(SystemTime);
    // A second start (in tests) leaves the first one in place.
    let _already_started = match audience {
        Audience::Machine => {
            subscriber.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
        Audience::Person => subscriber.with_writer(std::io::stderr).with_target(false).try_init(),
    };
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

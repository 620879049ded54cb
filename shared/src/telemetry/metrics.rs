//! Metrics: a line of CloudWatch's embedded metric format on standard output for each turn and each refusal, from which
//! CloudWatch makes metrics without being called. Their only dimensions are the function and the kind of a refusal:
//! each value of a dimension is a metric that is paid for.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::Clock;

/// Where lines go, once there is a place.
static METRICS: OnceLock<Metrics> = OnceLock::new();

#[derive(Debug)]
struct Metrics {
    namespace: String,
    clock: Clock,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement<'a> {
    /// A turn is over.
    Turn(TurnMeasurement<'a>),
    /// A request was refused, or failed before its first byte.
    Refusal {
        /// The function.
        function: &'a str,
        /// Why.
        kind: &'a str,
    },
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnMeasurement<'a> {
    /// The function that ran it.
    pub function: &'a str,
    /// How it ended.
    pub end: TurnEnd,
    /// Tokens that models read.
    pub input_tokens: u64,
    /// Tokens that models wrote.
    pub output_tokens: u64,
    /// From its start to the first piece of text, if there was one.
    pub first_token: Option<Duration>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// With an answer, or given up by its caller.
    Settled,
    /// With a failure of ours or of the model.
    Failed,
}

/// Writes metrics from now on, into this namespace. Where it is never called, none are written.
pub fn start(namespace: &str, clock: Clock) {
    // A second start (in tests) leaves the first one in place.
    let _already_started = METRICS.set(Metrics { namespace: namespace.to_owned(), clock });
}

/// Writes a measurement down.
pub fn record(measurement: &Measurement<'_>) {
    let Some(metrics) = METRICS.get() else { return };
    let mut line = document(&metrics.namespace, metrics.clock.now_ms(), measurement).to_string();
    line.push('\n');
    // Where there is no standard output any more, nobody can be told.
    let _unheard = io::stdout().lock().write_all(line.as_bytes());
}

/// A measurement as a document of the embedded metric format; `now_ms` counts from the Unix epoch.
fn document(namespace: &str, now_ms: i64, measurement: &Measurement<'_>) -> Value {
    let (dimensions, metrics) = match measurement {
        Measurement::Turn(turn) => (vec![("function", turn.function)], turn_metrics(turn)),
        Measurement::Refusal { function, kind } => {
            (vec![("function", *function), ("kind", *kind)], vec![("Refusals", "Count", 1)])
        }
    };
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let definitions: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let directive = json!({ "Namespace": namespace, "Dimensions": [names], "Metrics": definitions });
    let mut document = Map::new();
    document.insert("_aws".to_owned(), json!({ "Timestamp": now_ms, "CloudWatchMetrics": [directive] }));
    document.extend(dimensions.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
    document.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value.into())));
    Value::Object(document)
}

/// Name, unit and value of each metric of a turn.
fn turn_metrics(turn: &TurnMeasurement<'_>) -> Vec<(&'static str, &'static str, u64)> {
    let mut metrics = vec![
        ("Turns", "Count", 1),
        ("FailedTurns", "Count", u64::from(turn.end == TurnEnd::Failed)),
        ("InputTokens", "Count", turn.input_tokens),
        ("OutputTokens", "Count", turn.output_tokens),
    ];
    if let Some(time) = turn.first_token {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        metrics.push(("TimeToFirstToken", "Milliseconds", millis));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_774_449_000_000;

    fn turn(first_token: Option<Duration>) -> Measurement<'static> {
        Measurement::Turn(TurnMeasurement {
            function: "webhook",
            end: TurnEnd::Settled,
            input_tokens: 120,
            output_tokens: 34,
            first_token,
        })
    }

    const REFUSAL: Measurement<'static> = Measurement::Refusal { function: "models", kind: "RateLimited" };

    /// What the specification asks of a document: its schema, and that each name stands for a member at the root.
    fn assert_is_embedded_metric_format(document: &Value) {
        let root = document.as_object().unwrap();
        let aws = root["_aws"].as_object().unwrap();
        assert!(aws["Timestamp"].is_i64());
        let directives = aws["CloudWatchMetrics"].as_array().unwrap();
        assert!(!directives.is_empty());
        for directive in directives {
            let namespace = directive["Namespace"].as_str().unwrap();
            assert!((1..=1024).contains(&namespace.len()));
            for set in directive["Dimensions"].as_array().unwrap() {
                let set = set.as_array().unwrap();
                assert!((1..=30).contains(&set.len()));
                for name in set {
                    let value = root[name.as_str().unwrap()].as_str().unwrap();
                    assert!((1..=1024).contains(&value.len()), "{name}");
                }
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                let name = metric["Name"].as_str().unwrap();
                assert!((1..=1024).contains(&name.len()));
                assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()), "{name}");
                assert!(root[name].is_number(), "{name}");
            }
        }
    }

    #[test]
    fn every_measurement_is_what_the_specification_asks_for() {
        for measurement in [turn(Some(Duration::from_millis(412))), turn(None), REFUSAL] {
            assert_is_embedded_metric_format(&document("Orrery", NOW, &measurement));
        }
    }

    #[test]
    fn a_turn_tells_its_tokens_and_its_time_to_the_first() {
        let document = document("Orrery", NOW, &turn(Some(Duration::from_micros(412_900))));
        let metrics = json!([
            { "Name": "Turns", "Unit": "Count" },
            { "Name": "FailedTurns", "Unit": "Count" },
            { "Name": "InputTokens", "Unit": "Count" },
            { "Name": "OutputTokens", "Unit": "Count" },
            { "Name": "TimeToFirstToken", "Unit": "Milliseconds" },
        ]);
        let expected = json!({
            "_aws": {
                "Timestamp": NOW,
                "CloudWatchMetrics": [{ "Namespace": "Orrery", "Dimensions": [["function"]], "Metrics": metrics }],
            },
            "function": "webhook",
            "Turns": 1,
            "FailedTurns": 0,
            "InputTokens": 120,
            "OutputTokens": 34,
            "TimeToFirstToken": 412,
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_turn_without_text_has_no_time_to_the_first_token() {
        assert!(!document("Orrery", NOW, &turn(None)).to_string().contains("TimeToFirstToken"));
    }

    #[test]
    fn a_refusal_is_counted_by_function_and_kind() {
        let document = document("Orrery", NOW, &REFUSAL);
        assert_eq!(document["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["function", "kind"]]));
        assert_eq!((&document["kind"], &document["Refusals"]), (&json!("RateLimited"), &json!(1)));
    }

    #[test]
    fn a_document_is_one_line() {
        assert!(!document("Orrery", NOW, &turn(None)).to_string().contains('\n'));
    }
}

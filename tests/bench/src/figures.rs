//! The figures, the budgets beside them, and what is to be thought of it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// How far a time may be over its budget before the machine's noise no longer explains it.
pub(crate) const NOISE_OF_TIMES: f64 = 2.0;
/// The same for processor time and memory.
pub(crate) const NOISE_OF_USE: f64 = 1.5;
/// The same for what is counted.
pub(crate) const NO_NOISE: f64 = 1.0;

/// What was measured, in the order of the table.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    budget: Option<Budget>,
}

/// The most that a figure may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) most: f64,
    /// The factor that noise explains.
    pub(crate) noise: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Told,
    Met,
    Noisy,
    Missed,
}

impl Figure {
    fn verdict(&self) -> Verdict {
        match self.budget {
            None => Verdict::Told,
            Some(budget) if self.value <= budget.most => Verdict::Met,
            Some(budget) if self.value <= budget.most * budget.noise => Verdict::Noisy,
            Some(_) => Verdict::Missed,
        }
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Told => "",
            Self::Met => "ok",
            Self::Noisy => "over, within noise",
            Self::Missed => "MISSED",
        }
    }
}

impl Figures {
    /// A figure without a budget.
    pub(crate) fn tell(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.0.push(Figure { what: what.into(), value, unit, budget: None });
    }

    /// A figure with its budget.
    pub(crate) fn hold(&mut self, what: impl Into<String>, value: f64, unit: &'static str, most: f64, noise: f64) {
        self.0.push(Figure { what: what.into(), value, unit, budget: Some(Budget { most, noise }) });
    }

    /// Whether a budget is missed by more than noise explains.
    pub(crate) fn is_any_missed(&self) -> bool {
        self.0.iter().any(|figure| figure.verdict() == Verdict::Missed)
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let wide = self.0.iter().map(|figure| figure.what.chars().count()).max().unwrap_or_default();
        let mut table = format!("{:wide$}  {:>12}  {:>12}  {:<9}\n", "what", "figure", "budget", "unit");
        for figure in &self.0 {
            let budget = figure.budget.map(|budget| number(budget.most)).unwrap_or_default();
            let (value, verdict) = (number(figure.value), figure.verdict().word());
            // Writing to a string does not fail.
            let _written =
                writeln!(table, "{:wide$}  {value:>12}  {budget:>12}  {:<9}  {verdict}", figure.what, figure.unit);
        }
        table
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let figure = |figure: &Figure| {
            json!({
                "what": figure.what, "value": figure.value, "unit": figure.unit, "verdict": figure.verdict().word(),
                "budget": figure.budget.map(|budget| budget.most), "noise": figure.budget.map(|budget| budget.noise),
            })
        };
        self.0.iter().map(figure).collect()
    }
}

fn number(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The value below which this share of all lies; zero of none.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index between 0 and the length"
    )]
    let index = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// The middle of all values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_missed_where_noise_does_not_explain_it() {
        for (value, is_missed) in [(1.0, false), (1.9, false), (2.1, true)] {
            let mut figures = Figures::default();
            figures.tell("no budget", 99.0, "ms");
            figures.hold("budget", value, "ms", 1.0, NOISE_OF_TIMES);
            assert_eq!(figures.is_any_missed(), is_missed, "{value}");
        }
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut values = [3.0, 1.0, 2.0];
        assert_eq!((median(&mut values), quantile(&mut values, 1.0), quantile(&mut [], 0.5)), (2.0, 3.0, 0.0));
    }
}

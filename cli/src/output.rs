//! What is told: data on standard output, messages on standard error. A reader that goes away (`orrery … | head`) is no
//! failure.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::args::OutputArguments;

/// How a command tells its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// As JSON, for programs.
    Json,
    /// The essential value alone.
    Quiet,
}

impl From<OutputArguments> for Output {
    fn from(arguments: OutputArguments) -> Self {
        match arguments {
            OutputArguments { json: true, .. } => Self::Json,
            OutputArguments { quiet: true, .. } => Self::Quiet,
            OutputArguments { json: false, quiet: false } => Self::Text,
        }
    }
}

/// Prints data.
pub(crate) fn data(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// Prints data as JSON.
pub(crate) fn json(value: &impl Serialize) {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    data(&format!("{value:#}"));
}

/// Prints a message.
pub(crate) fn note(text: &str) {
    write(&mut io::stderr().lock(), text);
}

/// Prints columns, each as wide as its longest cell.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(titles.get(column).map(|title| title.len())).max().unwrap_or(0)
    };
    let line = |cells: &[String]| {
        let padded: Vec<_> =
            cells.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let titles = titles.map(str::to_uppercase);
    let lines: Vec<_> = std::iter::once(line(&titles)).chain(rows.iter().map(|row| line(row))).collect();
    data(&lines.join("\n"));
}

fn write(to: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _reader_gone = write!(to, "{text}{end}").and_then(|()| to.flush());
}

//! What is wrong with an agent's document, told so that its author can mend it.

use std::fmt;

/// Problems told at once; a document with more has its first ones told.
const MOST_PROBLEMS: usize = 50;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line of the file, from 1.
    pub line: u64,
    /// The field, for example `tools[1].parameters.type`; empty where it is the document itself.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// A document that is none: one or more problems, in the order of their lines. Shown with one problem a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct DocumentError {
    problems: Vec<Problem>,
}

impl DocumentError {
    /// The problems; there is at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn one(line: u64, field: &str, message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { line, field: field.to_owned(), message: message.into() }] }
    }
}

/// The problems found so far.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, line: u64, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { line, field: field.into(), message: message.into() });
    }

    /// The value, if nothing was wrong.
    pub(super) fn settle<T>(mut self, value: Option<T>) -> Result<T, DocumentError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => {
                self.0.sort_by_key(|problem| problem.line);
                self.0.truncate(MOST_PROBLEMS);
                Err(DocumentError { problems: self.0 })
            }
        }
    }
}

//! Reading fields out of a tree: what is missing, unknown, of the wrong kind or out of range becomes a problem, and the
//! reading goes on.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::error::Problems;
use super::yaml::{Entry, Node, Value};

/// A value with its path, for example `tools[1].parameters`.
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) line: u64,
    pub(super) value: &'a Value,
}

/// A group of fields.
pub(super) struct Group<'a> {
    pub(super) path: String,
    pub(super) line: u64,
    entries: &'a [Entry],
}

impl<'a> Field<'a> {
    /// The document itself.
    pub(super) fn root(node: &'a Node) -> Self {
        Self { path: String::new(), line: node.line, value: &node.value }
    }

    pub(super) fn problem(&self, problems: &mut Problems, message: impl Into<String>) {
        problems.add(self.line, &self.path, message);
    }

    fn wrong_kind(&self, problems: &mut Problems, wanted: &str) {
        self.problem(problems, format!("must be {wanted}, not {}", self.value.kind()));
    }

    /// Text of so many characters.
    pub(super) fn text(&self, length: RangeInclusive<usize>, problems: &mut Problems) -> Option<&'a str> {
        match self.value {
            Value::Text(text) if length.contains(&text.chars().count()) => return Some(text),
            Value::Text(text) if text.is_empty() => self.problem(problems, "must not be empty"),
            Value::Text(_) => self.problem(problems, format!("must have at most {} characters", length.end())),
            Value::Truth(_) | Value::Number(_) => {
                self.wrong_kind(problems, "text (put it in quotes)");
            }
            Value::Null | Value::List(_) | Value::Map(_) => self.wrong_kind(problems, "text"),
        }
        None
    }

    /// A whole number in this range.
    pub(super) fn whole<N>(&self, range: RangeInclusive<N>, problems: &mut Problems) -> Option<N>
    where
        N: TryFrom<u64> + PartialOrd + Display,
    {
        let number = match self.value {
            Value::Number(number) => number.as_u64().and_then(|number| N::try_from(number).ok()),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.problem(problems, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A number in this range.
    pub(super) fn decimal(&self, range: RangeInclusive<f64>, problems: &mut Problems) -> Option<f64> {
        let number = match self.value {
            Value::Number(number) => number.as_f64().filter(|number| range.contains(number)),
            _ => None,
        };
        if number.is_none() {
            self.problem(problems, format!("must be a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, problems: &mut Problems) -> Option<bool> {
        match self.value {
            Value::Truth(truth) => Some(*truth),
            _ => {
                self.problem(problems, "must be true or false");
                None
            }
        }
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)], problems: &mut Problems) -> Option<T> {
        let text = match self.value {
            Value::Text(text) => text.as_str(),
            _ => "",
        };
        let choice = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if choice.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let message = match names.as_slice() {
                [only] => format!("must be {only}"),
                names => format!("must be one of {}{}", names.join(", "), suggestion(text, names)),
            };
            self.problem(problems, message);
        }
        choice
    }

    /// A list of so many at most.
    pub(super) fn list(&self, most: usize, problems: &mut Problems) -> Vec<Field<'a>> {
        let nodes = match self.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => {
                self.wrong_kind(problems, "a list");
                &[]
            }
        };
        if nodes.len() > most {
            self.problem(problems, format!("must have at most {most} entries; it has {}", nodes.len()));
        }
        let field = |(index, node): (usize, &'a Node)| Field {
            path: format!("{}[{index}]", self.path),
            line: node.line,
            value: &node.value,
        };
        nodes.iter().take(most).enumerate().map(field).collect()
    }

    /// A group of these fields and no others.
    pub(super) fn group(&self, known: &[&str], problems: &mut Problems) -> Option<Group<'a>> {
        let Value::Map(entries) = self.value else {
            self.wrong_kind(problems, "a group of fields (name: value)");
            return None;
        };
        let group = Group { path: self.path.clone(), line: self.line, entries };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = match suggestion(&entry.key, known) {
                none if none.is_empty() => format!("unknown field; known are {}", known.join(", ")),
                suggestion => format!("unknown field{suggestion}"),
            };
            problems.add(entry.line, group.path_of(&entry.key), message);
        }
        Some(group)
    }
}

impl<'a> Group<'a> {
    pub(super) fn path_of(&self, key: &str) -> String {
        let key: String = key.chars().take(64).collect();
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// The field, where it is there and not empty.
    pub(super) fn field(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.node.value, Value::Null) {
            return None;
        }
        Some(Field { path: self.path_of(key), line: entry.line, value: &entry.node.value })
    }

    /// The line of a field that is there and empty.
    pub(super) fn blank(&self, key: &str) -> Option<u64> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        matches!(entry.node.value, Value::Null).then_some(entry.line)
    }

    /// The field, which must be there; `hint` tells what to write.
    pub(super) fn required(&self, key: &str, hint: &str, problems: &mut Problems) -> Option<Field<'a>> {
        let field = self.field(key);
        if field.is_none() {
            problems.add(self.line, self.path_of(key), format!("is missing: write {hint}"));
        }
        field
    }
}

/// `; did you mean …?` where a known name is near, else nothing.
fn suggestion(given: &str, known: &[&str]) -> String {
    let given = given.to_lowercase();
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&given, name), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min();
    nearest.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

//! What was found, told line by line.

use serde::Serialize;

use crate::error::CommandError;
use crate::output;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Something is to be done about it.
    Wrong,
    /// It was not looked at.
    Skipped,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    check: &'static str,
    state: State,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    /// As one line. Names and reasons come from others: what would move the cursor is left out.
    fn line(&self) -> String {
        let mark = match self.state {
            State::Ok => '✓',
            State::Wrong => '✗',
            State::Skipped => '–',
        };
        let mut line = format!("{mark} {}", self.subject);
        if let Some(agent) = &self.agent {
            line.push_str(&format!(" for {agent}"));
        }
        line.push_str(&format!(": {}", self.message));
        if let Some(remedy) = &self.remedy {
            line.push_str(&format!(". To do: {remedy}"));
        }
        line.chars().filter(|letter| !letter.is_control()).collect()
    }
}

/// All that was found.
pub(super) struct Report {
    findings: Vec<Finding>,
    is_json: bool,
}

/// What is found about one subject.
pub(super) struct About<'a> {
    report: &'a mut Report,
    subject: String,
    agent: Option<String>,
}

impl Report {
    pub(super) const fn new(is_json: bool) -> Self {
        Self { findings: Vec::new(), is_json }
    }

    pub(super) fn about(&mut self, subject: impl Into<String>) -> About<'_> {
        About { report: self, subject: subject.into().trim_end().to_owned(), agent: None }
    }

    /// Tells what is not told yet; an error where something is wrong.
    pub(super) fn end(self) -> Result<(), CommandError> {
        if self.is_json {
            output::json(&self.findings);
        }
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        match (count(State::Wrong), count(State::Ok)) {
            (0, _) => Ok(()),
            (wrong, ok) => Err(CommandError::Unwell { wrong, all: wrong + ok }),
        }
    }
}

impl About<'_> {
    /// The agent that it is there for.
    pub(super) fn for_agent(mut self, agent: &str) -> Self {
        self.agent = Some(agent.to_owned());
        self
    }

    pub(super) fn well(&mut self, check: &'static str, message: impl Into<String>) {
        self.found(check, State::Ok, message.into(), None);
    }

    /// Why it is wrong, and what is to be done about it.
    pub(super) fn wrong(&mut self, check: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        self.found(check, State::Wrong, message.into(), Some(remedy.into()));
    }

    pub(super) fn skipped(&mut self, check: &'static str, message: impl Into<String>) {
        self.found(check, State::Skipped, message.into(), None);
    }

    fn found(&mut self, check: &'static str, state: State, message: String, remedy: Option<String>) {
        let (subject, agent) = (self.subject.clone(), self.agent.clone());
        let finding = Finding { subject, agent, check, state, message, remedy };
        if !self.report.is_json {
            output::data(&finding.line());
        }
        self.report.findings.push(finding);
    }
}

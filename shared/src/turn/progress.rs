//! What a turn has come to so far, and what it costs.

use tokio::time::Instant;

use crate::agent::Agent;
use crate::model::{Message, ModelName, Usage, cost};
use crate::session::{Escalation, MOST_ROUNDS, Round, Speaker};

/// What a turn has come to so far.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// When the turn began.
    pub(super) began: Instant,
    /// Who answers now.
    pub(super) agent: Agent,
    /// What was said since the user's message, that one included.
    pub(super) messages: Vec<Message>,
    /// The model that answered last.
    pub(super) model: String,
    /// How many tools were called.
    pub(super) tool_calls: u64,
    /// How often an agent handed over.
    pub(super) handoffs: u32,
    /// That a person was asked to take a look.
    pub(super) escalation: Option<Escalation>,
    /// The calls of models that are complete.
    pub(super) rounds: Vec<Round>,
    /// What was used by each agent and model in calls that are complete, and in those that failed.
    settled: Vec<Spending>,
    /// The figures of the call that runs.
    pub(super) running: Usage,
    /// When the caller was shown the first text.
    pub(super) spoke_at: Option<Instant>,
}

/// What an agent used of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spending {
    /// The agent.
    pub(super) agent: Speaker,
    /// The model, `provider/model`.
    pub(super) model: String,
    /// The provider's figures.
    pub(super) usage: Usage,
    /// The price in US dollars; `None` where it is not known.
    pub(super) cost: Option<f64>,
}

impl Progress {
    /// A turn that begins now, with this agent.
    pub(super) fn new(agent: Agent) -> Self {
        Self {
            began: Instant::now(),
            agent,
            messages: Vec::new(),
            model: String::new(),
            tool_calls: 0,
            handoffs: 0,
            escalation: None,
            rounds: Vec::new(),
            settled: Vec::new(),
            running: Usage::default(),
            spoke_at: None,
        }
    }

    /// What was used by each agent and model, in the order of their first calls, with what the call that runs has told.
    pub(super) fn spent(&self) -> Vec<Spending> {
        let mut spent = self.settled.clone();
        let is_running = |spending: &&mut Spending| spending.agent.id == self.agent.id && spending.model == self.model;
        if let Some(spending) = spent.iter_mut().find(is_running) {
            spending.usage += self.running;
        }
        spent
    }

    /// All figures so far.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.spent().iter().for_each(|spending| usage += spending.usage);
        usage
    }

    /// The price so far, in US dollars; `None` once one is not known.
    pub(super) fn cost(&self) -> Option<f64> {
        self.settled.iter().map(|spending| spending.cost).sum()
    }

    /// The call that runs has cost that much, whatever it told before.
    pub(super) fn pay(&mut self, model: &ModelName, usage: Usage) {
        self.running = Usage::default();
        let (agent, cost, model) = (self.speaker(), cost(model, &usage), model.to_string());
        match self.settled.iter_mut().find(|spending| spending.agent.id == agent.id && spending.model == model) {
            Some(spending) => {
                spending.usage += usage;
                spending.cost = spending.cost.zip(cost).map(|(sum, more)| sum + more);
            }
            None => self.settled.push(Spending { agent, model, usage, cost }),
        }
    }

    /// Notes a call of a model. Where there are too many, each takes the place of the one before.
    pub(super) fn note(&mut self, round: Round) {
        self.rounds.truncate(MOST_ROUNDS - 1);
        self.rounds.push(round);
    }

    /// Who answers now, by id and name.
    pub(super) fn speaker(&self) -> Speaker {
        Speaker { id: self.agent.id.clone(), name: self.agent.document.name.clone() }
    }

    /// A moment as milliseconds since the turn's start.
    pub(super) fn since_start(&self, moment: Instant) -> u64 {
        millis(self.began, moment)
    }
}

/// The milliseconds from one moment to another.
pub(super) fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn agent(id: &str) -> Agent {
        let document = serde_json::json!({ "name": id, "model": "demo/echo" });
        Agent {
            id: id.into(),
            tenant: "ten_1".into(),
            version: 1,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
            document: Arc::new(serde_json::from_value(document).unwrap()),
        }
    }

    fn tokens(count: u64) -> Usage {
        Usage { input_tokens: count, ..Usage::default() }
    }

    #[test]
    fn what_is_used_stands_under_its_agent_and_model_while_a_call_runs_too() {
        let (known, unknown): (ModelName, ModelName) = ("demo/echo".parse().unwrap(), "groq/x".parse().unwrap());
        let mut progress = Progress::new(agent("a"));
        progress.pay(&known, tokens(1));
        progress.pay(&known, tokens(2));
        assert_eq!((progress.usage(), progress.cost()), (tokens(3), Some(0.0)));
        progress.agent = agent("b");
        progress.model = unknown.to_string();
        progress.pay(&unknown, tokens(4));
        progress.running = tokens(8);
        let spent = progress.spent().into_iter();
        let spent = spent.map(|spent| (spent.agent.id.to_string(), spent.model, spent.usage.input_tokens, spent.cost));
        let spent: Vec<_> = spent.collect();
        let expected = [("a", "demo/echo", 3, Some(0.0)), ("b", "groq/x", 12, None)];
        assert_eq!(spent, expected.map(|(agent, model, used, cost)| (agent.to_owned(), model.to_owned(), used, cost)));
        assert_eq!((progress.usage(), progress.cost()), (tokens(15), None));
        progress.pay(&unknown, tokens(16));
        assert_eq!(progress.usage(), tokens(23), "what a call has cost takes the place of what it told");
    }

    #[test]
    fn the_rounds_that_are_kept_are_bounded_and_the_last_is_among_them() {
        let mut progress = Progress::new(agent("a"));
        for started_ms in 0..100 {
            progress.note(Round {
                agent: "a".to_owned(),
                model: "demo/echo".to_owned(),
                started_ms,
                duration_ms: 0,
                first_token_ms: None,
                usage: Usage::default(),
                stop: crate::model::Stop::EndTurn,
                tools: Vec::new(),
                handoff: None,
            });
        }
        assert_eq!((progress.rounds.len(), progress.rounds[MOST_ROUNDS - 1].started_ms), (MOST_ROUNDS, 99));
    }
}

//! What an app used, by day, agent and model.

use serde::{Deserialize, Serialize};

use super::item::{Key, TTL, number, text, ttl};
use super::read::Query;
use super::write::Write;
use super::{Store, StoreError};
use crate::id::{AgentId, ProjectId, TenantId};

/// What one agent of an app used of one model on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppUsageItem {
    /// Who owns the app.
    pub tenant: TenantId,
    /// The day, `yyyy-mm-dd` in UTC.
    pub day: String,
    /// The agent.
    pub agent: AgentId,
    /// Its name then.
    pub agent_name: String,
    /// The model, `provider/model`.
    pub model: String,
    /// Tokens read by the model.
    pub input_tokens: u64,
    /// Tokens written by it.
    pub output_tokens: u64,
    /// Turns that the agent answered with it.
    pub turns: u64,
    /// What the providers' list prices make of it, in millionths of a US dollar.
    pub cost_micros: u64,
    /// When it may be forgotten.
    pub expires_at: i64,
}

fn partition(app: &ProjectId) -> String {
    format!("PROJECT#{app}")
}

/// Adds this to what stands there.
pub(super) fn app_usage_write(app: &ProjectId, usage: &AppUsageItem) -> Write {
    let key = Key::new(partition(app), format!("USAGE#{}#{}#{}", usage.day, usage.agent, usage.model));
    let expression = "SET #tenant = :tenant, #day = :day, #agent = :agent, agent_name = :name, #model = :model, \
                      expires_at = :expires, #ttl = :ttl \
                      ADD input_tokens :input, output_tokens :output, turns :turns, cost_micros :cost";
    Write::update(&key, expression)
        .name("#tenant", "tenant")
        .name("#day", "day")
        .name("#agent", "agent")
        .name("#model", "model")
        .name("#ttl", TTL)
        .value(":tenant", text(usage.tenant.as_str()))
        .value(":day", text(&usage.day))
        .value(":agent", text(usage.agent.as_str()))
        .value(":name", text(&usage.agent_name))
        .value(":model", text(&usage.model))
        .value(":expires", number(usage.expires_at))
        .value(":ttl", ttl(usage.expires_at))
        .value(":input", number(usage.input_tokens))
        .value(":output", number(usage.output_tokens))
        .value(":turns", number(usage.turns))
        .value(":cost", number(usage.cost_micros))
}

impl Store {
    /// What an app used from one day to another, both included; `yyyy-mm-dd` in UTC.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn app_usage(
        &self,
        tenant: &TenantId,
        app: &ProjectId,
        (from, to): (&str, &str),
    ) -> Result<Vec<AppUsageItem>, StoreError> {
        // `~` sorts behind everything that follows a day.
        let query = Query::between(&partition(app), &format!("USAGE#{from}"), &format!("USAGE#{to}~"));
        let mut found: Vec<AppUsageItem> = self.all(query).await?;
        found.retain(|usage| usage.tenant == *tenant);
        Ok(found)
    }
}

//! Sessions of apps: who holds them, what they remember, and when they end.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::{iso_seconds, millis};
use crate::id::{AgentId, ProjectId, SessionId, TenantId, TraceId};
use crate::store::{AppSessionItem, EndReason};

/// How long a session lasts after its last turn.
pub const IDLE: Duration = Duration::from_secs(60 * 60);
/// How long a session lasts at most.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a session is kept after its last turn.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most metadata of a request, in bytes of JSON.
pub const LARGEST_METADATA: usize = 16 * 1024;
/// The most metadata of a session, in bytes of JSON.
const LARGEST_MERGED: usize = 32 * 1024;
/// How deep metadata may be, itself included.
const DEEPEST: usize = 8;
/// The longest name of a field, in characters.
const LONGEST_KEY: usize = 128;
/// The longest name of a user, in characters.
pub const LONGEST_USER: usize = 256;

/// A wish for a session of an app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppWish {
    /// The app.
    pub app: ProjectId,
    /// The session, which must go on; a new one where it is not set.
    pub session: Option<SessionId>,
    /// Who answers first in a new one.
    pub entry: AgentId,
    /// What the caller tells about it.
    pub facts: Facts,
}

/// What a caller tells about a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whom it is held with.
    pub user: Option<String>,
    /// What becomes part of its metadata.
    pub metadata: Map<String, Value>,
}

/// Facts that do not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FactError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl FactError {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl Facts {
    /// What a request tells; its metadata may name the user as well.
    ///
    /// # Errors
    /// Where the metadata is too large, too deep, or names another user.
    pub fn new(user: Option<String>, metadata: Option<Map<String, Value>>) -> Result<Self, FactError> {
        let metadata = metadata.unwrap_or_default();
        if size(&metadata) > LARGEST_METADATA {
            let message = format!("Object must be at most {LARGEST_METADATA} bytes of JSON");
            return Err(FactError::new("metadata", message));
        }
        if metadata.values().any(|value| depth(value) >= DEEPEST) {
            return Err(FactError::new("metadata", format!("Object must be at most {DEEPEST} levels deep")));
        }
        if !keys_are_short(&metadata) {
            let message = format!("Field names must be at most {LONGEST_KEY} characters");
            return Err(FactError::new("metadata", message));
        }
        let named = match metadata.get("user_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(named)) if (1..=LONGEST_USER).contains(&named.chars().count()) => Some(named.clone()),
            Some(_) => {
                let message = format!("Expected string of 1 to {LONGEST_USER} characters");
                return Err(FactError::new("metadata.user_id", message));
            }
        };
        match (user, named) {
            (Some(user), Some(named)) if user != named => {
                Err(FactError::new("metadata.user_id", "It names another user than user_id"))
            }
            (user, named) => Ok(Self { user: user.or(named), metadata }),
        }
    }

    /// A session that begins now with these facts, before its first turn.
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn begin(
        &self,
        tenant: &TenantId,
        (app, entry): (&ProjectId, &AgentId),
        id: SessionId,
        now_ms: i64,
    ) -> Result<AppSessionItem, FactError> {
        let mut session = AppSessionItem {
            id,
            tenant: tenant.clone(),
            app: app.clone(),
            agent: entry.clone(),
            user: None,
            metadata: "{}".to_owned(),
            created_at: now_ms,
            ends_at: ends_at(now_ms, now_ms),
            end: None,
            escalated_at: None,
            last_turn: 0,
            input_tokens: 0,
            output_tokens: 0,
            expires_at: now_ms.saturating_add(millis(KEPT)),
            lease_owner: None,
            lease_until: None,
        };
        self.add_to(&mut session)?;
        Ok(session)
    }

    /// Adds the facts to a session: a field takes the place of what it was, and `null` takes it away. A session has one
    /// user.
    ///
    /// # Errors
    /// Where the user is another, or the metadata becomes too large.
    pub fn add_to(&self, session: &mut AppSessionItem) -> Result<(), FactError> {
        match (&session.user, &self.user) {
            (Some(owner), Some(user)) if owner != user => {
                return Err(FactError::new("user_id", "The session belongs to another user"));
            }
            (None, Some(user)) => session.user = Some(user.clone()),
            _ => {}
        }
        if self.metadata.is_empty() {
            return Ok(());
        }
        let mut merged = metadata(session);
        for (name, value) in &self.metadata {
            match value {
                Value::Null => drop(merged.remove(name)),
                value => drop(merged.insert(name.clone(), value.clone())),
            }
        }
        if size(&merged) > LARGEST_MERGED {
            let message = format!("The session's metadata would be more than {LARGEST_MERGED} bytes of JSON");
            return Err(FactError::new("metadata", message));
        }
        session.metadata = Value::Object(merged).to_string();
        Ok(())
    }
}

/// When a session ends that began at `created_at` and had its last turn now, in milliseconds since the Unix epoch.
#[must_use]
pub fn ends_at(created_at: i64, now_ms: i64) -> i64 {
    now_ms.saturating_add(millis(IDLE)).min(created_at.saturating_add(millis(LONGEST)))
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// It can go on.
    Active,
    /// It can go on, and a person was called for.
    Escalated,
    /// It ended.
    Over(EndReason),
}

/// How a session stands at this time.
#[must_use]
pub fn status(session: &AppSessionItem, now_ms: i64) -> SessionStatus {
    match (&session.end, session.escalated_at) {
        (Some(end), _) => SessionStatus::Over(end.reason),
        (None, _) if session.ends_at <= now_ms => SessionStatus::Over(EndReason::Expired),
        (None, Some(_)) => SessionStatus::Escalated,
        (None, None) => SessionStatus::Active,
    }
}

/// A session's metadata.
#[must_use]
pub fn metadata(session: &AppSessionItem) -> Map<String, Value> {
    serde_json::from_str(&session.metadata).unwrap_or_default()
}

/// What prompts can name of a session: `memory.sessionMeta.…`.
#[must_use]
pub fn memory(session: &AppSessionItem, trace: &TraceId, now_ms: i64) -> Map<String, Value> {
    let info = json!({
        "sessionId": session.id,
        "appId": session.app.as_app(),
        "userId": session.user,
        "runId": trace,
        "timestamp": iso_seconds(now_ms),
    });
    let meta = json!({ "metadata": metadata(session), "sessionInfo": info });
    Map::from_iter([("sessionMeta".to_owned(), meta)])
}

fn size(object: &Map<String, Value>) -> usize {
    serde_json::to_string(object).map_or(usize::MAX, |json| json.len())
}

/// How many levels a value has; 0 for one that holds no others.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn keys_are_short(object: &Map<String, Value>) -> bool {
    fn is_short(value: &Value) -> bool {
        match value {
            Value::Object(fields) => keys_are_short(fields),
            Value::Array(items) => items.iter().all(is_short),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }
    object.iter().all(|(name, value)| name.chars().count() <= LONGEST_KEY && is_short(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_705_329_000_000;

    fn facts(metadata: Value) -> Result<Facts, FactError> {
        Facts::new(None, metadata.as_object().cloned())
    }

    fn session(metadata: Value) -> AppSessionItem {
        let of = (&ProjectId::from("proj_1"), &AgentId::from("ag_1"));
        facts(metadata).unwrap().begin(&TenantId::from("ten_1"), of, SessionId::from("sess_1"), NOW).unwrap()
    }

    #[test]
    fn a_field_takes_the_place_of_what_it_was_and_null_takes_it_away() {
        let mut session = session(json!({ "a": { "x": 1, "y": 2 }, "b": 1, "c": true }));
        facts(json!({ "a": { "x": 3 }, "b": null, "d": null })).unwrap().add_to(&mut session).unwrap();
        assert_eq!(Value::Object(metadata(&session)), json!({ "a": { "x": 3 }, "c": true }));
    }

    #[test]
    fn a_session_has_one_user() {
        let mut session = session(json!({}));
        facts(json!({ "user_id": "u1" })).unwrap().add_to(&mut session).unwrap();
        facts(json!({ "user_id": "u1", "x": 1 })).unwrap().add_to(&mut session).unwrap();
        let before = session.clone();
        let refused = facts(json!({ "user_id": "u2", "x": 2 })).unwrap().add_to(&mut session).unwrap_err();
        assert_eq!((refused.field, &session), ("user_id", &before));
        assert!(Facts::new(Some("u1".into()), json!({ "user_id": "u2" }).as_object().cloned()).is_err());
        assert_eq!(facts(json!({ "user_id": 7 })).unwrap_err().field, "metadata.user_id");
    }

    #[test]
    fn metadata_is_bounded_in_size_depth_and_names() {
        let nested = |levels| (0..levels).fold(json!(1), |value, _| json!({ "k": value }));
        assert!(facts(nested(DEEPEST)).is_ok());
        assert!(facts(nested(DEEPEST + 1)).is_err());
        assert!(facts(json!({ "k": "x".repeat(LARGEST_METADATA) })).is_err());
        assert!(facts(json!({ "é".repeat(LONGEST_KEY): [{ "k".repeat(LONGEST_KEY): 1 }] })).is_ok());
        assert!(facts(json!({ "k": [{ "é".repeat(LONGEST_KEY + 1): 1 }] })).is_err());
        let mut session = session(json!({ "a": "x".repeat(15_000) }));
        facts(json!({ "b": "x".repeat(15_000) })).unwrap().add_to(&mut session).unwrap();
        let before = session.clone();
        assert!(facts(json!({ "c": "x".repeat(15_000) })).unwrap().add_to(&mut session).is_err());
        assert_eq!(session, before);
        facts(json!({ "a": null, "c": "x".repeat(15_000) })).unwrap().add_to(&mut session).unwrap();
    }

    #[test]
    fn it_ends_an_hour_after_its_last_turn_and_a_day_after_it_began_at_the_latest() {
        let hour = millis(IDLE);
        assert_eq!(ends_at(NOW, NOW), NOW + hour);
        assert_eq!(ends_at(NOW, NOW + 5 * hour), NOW + 6 * hour);
        assert_eq!(ends_at(NOW, NOW + 24 * hour - 1), NOW + 24 * hour);
        let session = session(json!({}));
        assert_eq!(status(&session, NOW + hour - 1), SessionStatus::Active);
        assert_eq!(status(&session, NOW + hour), SessionStatus::Over(EndReason::Expired));
    }

    #[test]
    fn prompts_can_name_metadata_and_what_is_known_of_the_session() {
        let memory = memory(&session(json!({ "userProfile": { "name": "Ann" } })), &TraceId::from("trace_1"), NOW);
        assert_eq!(memory["sessionMeta"]["metadata"]["userProfile"]["name"], "Ann");
        assert_eq!(memory["sessionMeta"]["sessionInfo"]["appId"], "app_1");
        assert_eq!(memory["sessionMeta"]["sessionInfo"]["timestamp"], "2024-01-15T14:30:00Z");
    }
}

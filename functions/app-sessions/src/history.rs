//! What was said in a session.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::app::App;
use shared::clock::iso_seconds;
use shared::dialect;
use shared::dialect::app::ErrorResponse;
use shared::http::{self, ApiError, Exchange, Fields, InPath, Request, StatusCode, in_the_query, parameters};
use shared::id::SessionId;
use shared::model::Role;
use shared::session::Turn;
use shared::store::TurnItem;
use utoipa::{IntoParams, ToSchema};

use crate::{DOOR, own_session};

/// The most messages of one answer.
const MOST: u32 = 200;

/// What part of the history is asked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// The most messages, 1 to 200; the newest ones.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: u32,
    /// The `next_cursor` of an answer: the messages before those.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,10}\\.[01]$")]
    before: Option<Cursor>,
}

/// A message's place: its turn, and whether it is the answer. What stands before it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    turn: u64,
    is_answer: bool,
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let (turn, part) = text.split_once('.')?;
        let is_number = (1..=10).contains(&turn.len()) && turn.bytes().all(|byte| byte.is_ascii_digit());
        let is_answer = match part {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        Some(Self { turn: turn.parse().ok().filter(|_| is_number)?, is_answer })
    }

    fn text(self) -> String {
        format!("{}.{}", self.turn, u8::from(self.is_answer))
    }
}

impl HistoryQuery {
    fn read(query: &str) -> Result<Self, ApiError> {
        let object = parameters(query);
        let mut fields = Fields::of(&object);
        let text = |value: Option<&serde_json::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
        let limit = match text(object.get("limit")).map(|limit| limit.parse()) {
            None => MOST,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => {
                fields.wrong("limit", &format!("Expected a whole number from 1 to {MOST}"));
                MOST
            }
        };
        let before = text(object.get("before")).map(|before| Cursor::read(&before));
        if before == Some(None) {
            fields.wrong("before", "Invalid cursor");
        }
        fields.finish().map_err(in_the_query)?;
        Ok(Self { limit, before: before.flatten() })
    }
}

/// A session's history.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryResponse {
    /// The session.
    #[schema(value_type = String)]
    session_id: SessionId,
    /// What was said, the oldest first.
    messages: Vec<HistoryMessage>,
    /// Where there were messages before these: what to ask for as `before`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// One message.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryMessage {
    /// `user` or `assistant`.
    #[schema(pattern = "^(user|assistant)$")]
    role: &'static str,
    /// What was said.
    content: String,
    /// When.
    #[schema(format = "date-time")]
    timestamp: String,
    /// The agent that said it, where it is an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agent: Option<String>,
}

/// Tells what was said in a session, also in one that has ended.
#[utoipa::path(
    get, path = crate::HISTORY, tag = "sessions", operation_id = "getSessionHistory",
    params(
        ("app_id" = String, Path, description = "The app's id"),
        ("session_id" = String, Path, description = "The session's id"),
        HistoryQuery,
    ),
    responses(
        (status = 200, body = HistoryResponse),
        (status = 400, body = ErrorResponse), (status = 401, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 429, body = ErrorResponse), (status = 500, body = ErrorResponse),
    ),
)]
pub(crate) async fn history(State(app): State<App>, path: InPath<(String, String)>, request: Request) -> Response {
    Exchange::answer(DOOR, request, async |exchange| answer(&app, http::named(path), exchange).await).await
}

async fn answer(app: &App, path: (String, String), exchange: &mut Exchange) -> Result<Response, ApiError> {
    let (_, session) = own_session(app, exchange, path).await?;
    let query = HistoryQuery::read(exchange.query())?;
    let end = Cursor { turn: session.last_turn + 1, is_answer: false };
    let end = query.before.map_or(end, |before| before.min(end));
    let mut said: Vec<(Cursor, HistoryMessage)> = Vec::new();
    let most = query.limit as usize;
    let mut next = end.turn + u64::from(end.is_answer);
    while said.len() <= most && next > 1 {
        let turns = app.store().turns_before(&session.tenant, &session.app, &session.id, next, app.clock().now_ms());
        let turns = turns.await?;
        let Some(oldest) = turns.last() else { break };
        next = oldest.number;
        let messages = turns.iter().flat_map(|turn| messages(turn).into_iter().rev());
        said.extend(messages.filter(|(place, _)| *place < end));
    }
    let is_cut = said.len() > most;
    said.truncate(most);
    said.reverse();
    let next_cursor = said.first().filter(|_| is_cut).map(|(place, _)| place.text());
    let messages = said.into_iter().map(|(_, message)| message).collect();
    Ok(dialect::json(StatusCode::OK, &HistoryResponse { session_id: session.id, messages, next_cursor }))
}

/// A turn's two messages.
fn messages(item: &TurnItem) -> Vec<(Cursor, HistoryMessage)> {
    let Ok(turn) = Turn::from_record(&item.record) else { return Vec::new() };
    let asked = turn.messages.iter().find(|message| message.role == Role::User);
    let asked = HistoryMessage {
        role: "user",
        content: asked.map(|message| message.plain_text()).unwrap_or_default(),
        timestamp: iso_seconds(item.started_at),
        agent: None,
    };
    let answer = HistoryMessage {
        role: "assistant",
        content: turn.text(),
        timestamp: iso_seconds(item.ended_at.max(item.started_at)),
        agent: turn.agent.map(|agent| agent.name),
    };
    let place = |is_answer| Cursor { turn: item.number, is_answer };
    vec![(place(false), asked), (place(true), answer)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        for cursor in [Cursor { turn: 7, is_answer: false }, Cursor { turn: 4_000_000_000, is_answer: true }] {
            assert_eq!(Cursor::read(&cursor.text()), Some(cursor));
        }
        for text in ["", "7", "7.2", "-7.0", "+7.0", "7.0.0", "99999999999.0", "x.1"] {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }
}

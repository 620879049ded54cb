//! A thread as a conversation: its newest messages, and who said what.

use crate::model::{Message as Said, Role};

use super::api::{Part, SlackApi, SlackError};
use super::event::{Place, is_words};
use super::message::{Message, Origin};
use super::readable;

/// How many messages a page has.
const PAGE: u32 = 100;
/// How many messages of a thread are told to the agent.
const MESSAGES: usize = 40;
/// How many characters of them.
const CHARACTERS: usize = 40_000;
/// How far back a thread of many pages is looked at, in seconds, until there are enough messages.
const REACH: [u64; 4] = [600, 3_600, 86_400, 30 * 86_400];
/// The most pages that are read one after the other.
const PAGES: usize = 10;

/// The reaction on a message that was answered.
pub(super) const ANSWERED: &str = "white_check_mark";
/// The reaction on a message that was told why there is no answer.
pub(super) const EXCUSED: &str = "warning";

/// Who the bot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) user: String,
    pub(super) bot: Option<String>,
}

impl Own {
    /// Whether the bot wrote it.
    pub(super) fn wrote(&self, message: &Message) -> bool {
        message.user.as_ref() == Some(&self.user) || (message.bot_id.is_some() && message.bot_id == self.bot)
    }
}

/// The newest messages of a thread, up to the one at `place`. Slack gives the oldest first: of a thread with many pages,
/// the last minutes are asked for, then the last hours, until there are enough.
pub(super) async fn newest(api: &SlackApi, place: &Place) -> Result<Vec<Message>, SlackError> {
    let all = part(place, None, Some(&place.ts));
    let first = api.replies(all).await?;
    if first.next().is_none() {
        return Ok(first.messages);
    }
    for reach in REACH {
        let Some(oldest) = before(&place.ts, reach).filter(|oldest| is_older(place.thread(), oldest)) else { break };
        let messages = pages(api, part(place, Some(&oldest), Some(&place.ts))).await?;
        if messages.len() > MESSAGES {
            return Ok(messages);
        }
    }
    pages(api, all).await
}

/// What stands in the thread from the message at `place` on.
pub(super) async fn since(api: &SlackApi, place: &Place) -> Result<Vec<Message>, SlackError> {
    pages(api, part(place, Some(&place.ts), None)).await
}

fn part<'a>(place: &'a Place, oldest: Option<&'a str>, latest: Option<&'a str>) -> Part<'a> {
    Part { channel: &place.channel, thread: place.thread(), oldest, latest, cursor: None, limit: PAGE }
}

async fn pages(api: &SlackApi, part: Part<'_>) -> Result<Vec<Message>, SlackError> {
    let mut found: Vec<Message> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let mut page = api.replies(Part { cursor: cursor.as_deref(), ..part }).await?;
        page.messages.retain(|message| found.iter().all(|other| other.ts != message.ts));
        found.append(&mut page.messages);
        cursor = page.next().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

/// The time so many seconds earlier.
fn before(ts: &str, seconds: u64) -> Option<String> {
    let (whole, rest) = ts.split_once('.')?;
    Some(format!("{}.{rest}", whole.parse::<u64>().ok()?.checked_sub(seconds)?))
}

/// Whether one message is older than another.
fn is_older(one: &str, other: &str) -> bool {
    let parts = |ts: &str| {
        let (seconds, rest) = ts.split_once('.').unwrap_or((ts, ""));
        (seconds.parse::<u64>().unwrap_or_default(), rest.parse::<u64>().unwrap_or_default())
    };
    parts(one) < parts(other)
}

/// What was said before the message at `place`, the oldest first. It begins with a person, and people and agent take
/// turns. Whoever else than the asker speaks is named; other bots count as people. What the bot said instead of an answer
/// is left out: its reaction tells which messages it excused itself from.
pub(super) fn history(mut messages: Vec<Message>, place: &Place, own: &Own) -> Vec<Said> {
    messages.retain(|message| is_older(&message.ts, &place.ts));
    let excused: Vec<String> = messages
        .iter()
        .filter(|message| message.has_reaction(EXCUSED, &own.user))
        .map(|message| format!("{}:{}", place.channel, message.ts))
        .collect();
    messages.retain(|message| match message.origin() {
        Origin::Answer { event, .. } => !(own.wrote(message) && excused.contains(&event)),
        Origin::Draft { .. } => !own.wrote(message),
        Origin::Unknown => true,
    });
    messages.sort_by(
        |one, other| if is_older(&one.ts, &other.ts) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater },
    );
    let mut room = CHARACTERS;
    let mut told: Vec<(Role, String)> = Vec::new();
    for (role, text) in messages.iter().rev().filter_map(|message| said(message, place, own)).take(MESSAGES) {
        let Some(left) = room.checked_sub(text.chars().count()) else { break };
        room = left;
        match told.last_mut() {
            Some((last, later)) if *last == role => *later = format!("{text}\n{later}"),
            _ => told.push((role, text)),
        }
    }
    told.reverse();
    let begin = told.iter().position(|(role, _)| *role == Role::User).unwrap_or(told.len());
    told.drain(..begin);
    told.into_iter().map(|(role, text)| Said::text(role, text)).collect()
}

fn said(message: &Message, place: &Place, own: &Own) -> Option<(Role, String)> {
    let (text, _) = readable::read(message.text.as_deref()?, &own.user);
    if text.is_empty() {
        return None;
    }
    if own.wrote(message) {
        return Some((Role::Assistant, text));
    }
    if message.bot_id.is_some() {
        let name = message.username.as_deref().or(message.user.as_deref()).unwrap_or("another bot");
        return Some((Role::User, format!("{name} (a bot): {text}")));
    }
    let user = message.user.as_ref().filter(|_| is_words(message.subtype.as_deref()))?;
    Some((Role::User, if *user == place.user { text } else { format!("@{user}: {text}") }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn place() -> Place {
        Place {
            channel: "C1".into(),
            ts: "100.5".into(),
            thread_ts: Some("10.1".into()),
            user: "U0ADA".into(),
            team: "T1".into(),
        }
    }

    fn told(messages: &Value) -> Vec<(Role, String)> {
        let own = Own { user: "U0BOT".into(), bot: Some("B1".into()) };
        let messages = serde_json::from_value(messages.clone()).unwrap();
        history(messages, &place(), &own).into_iter().map(|said| (said.role, said.plain_text())).collect()
    }

    #[test]
    fn people_and_the_agent_take_turns_and_others_are_named() {
        let messages = json!([
            { "ts": "10.1", "user": "U0ADA", "text": "<@U0BOT> where is order 7?" },
            { "ts": "11.0", "user": "U0BOT", "bot_id": "B1", "text": "On its way &amp; soon there." },
            { "ts": "12.0", "bot_id": "B1", "text": "Anything else?" },
            { "ts": "13.0", "user": "U0BOB", "text": "mine too?" },
            { "ts": "14.0", "user": "U0BOT", "text": "_thinking_", "metadata": { "event_type": "orrery_draft", "event_payload": { "event": "C1:13.0", "index": 0 } } },
            { "ts": "15.0", "bot_id": "B2", "username": "deploys", "subtype": "bot_message", "text": "done" },
            { "ts": "15.5", "user": "U0ADA", "text": "and now?", "reactions": [{ "name": "warning", "users": ["U0BOT"], "count": 1 }] },
            { "ts": "15.6", "user": "U0BOT", "text": "Too many messages.", "metadata": { "event_type": "orrery_answer", "event_payload": { "event": "C1:15.5", "index": 0 } } },
            { "ts": "16.0", "user": "U0EVE", "subtype": "channel_join", "text": "joined" },
            { "ts": "17.0", "user": "U0ADA", "text": "" },
            { "ts": "100.5", "user": "U0ADA", "text": "<@U0BOT> this one" },
            { "ts": "101.0", "user": "U0BOB", "text": "later" },
        ]);
        assert_eq!(
            told(&messages),
            [
                (Role::User, "where is order 7?".to_owned()),
                (Role::Assistant, "On its way & soon there.\nAnything else?".to_owned()),
                (Role::User, "@U0BOB: mine too?\ndeploys (a bot): done\nand now?".to_owned()),
            ]
        );
    }

    #[test]
    fn the_newest_are_told_and_a_person_begins() {
        let messages: Vec<Value> = (0..60)
            .map(|number| {
                let user = if number % 2 == 0 { "U0ADA" } else { "U0BOT" };
                json!({ "ts": format!("{}.0", 20 + number), "user": user, "text": number.to_string() })
            })
            .chain([json!({ "ts": "10.1", "user": "U0BOT", "text": "first" })])
            .collect();
        let told = told(&messages.into());
        assert_eq!(
            (told.len(), &told[0], &told[39]),
            (40, &(Role::User, "20".into()), &(Role::Assistant, "59".into()))
        );
        let long = json!([
            { "ts": "20.0", "user": "U0ADA", "text": "a".repeat(39_999) },
            { "ts": "21.0", "user": "U0BOT", "text": "ok" },
        ]);
        assert_eq!(self::told(&long), [], "what the agent said is nothing without what it answered");
    }

    #[test]
    fn times_compare_as_numbers() {
        assert!(is_older("999.2", "1000.1") && is_older("1.000002", "1.000010") && !is_older("1.0", "1.0"));
        assert_eq!(before("1000.25", 600).as_deref(), Some("400.25"));
        assert_eq!(before("100.25", 600), None);
    }
}

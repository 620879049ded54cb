//! Slack's Events API: what a request of it means. <https://docs.slack.dev/apis/events-api/>
//!
//! One mention comes as `app_mention` and as `message.channels`, and each of them again when it is not answered in time:
//! a message is named by its channel and time, which all of these share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::readable::{self, Mention};
use crate::channel::{Incoming, Platform, Request};

/// The longest message, in characters: Slack's own.
const LONGEST: usize = 40_000;
/// The subtypes of `message` that are somebody's words. All others tell of something else: an edit, a join, a bot.
const WORDS: [&str; 3] = ["file_share", "thread_broadcast", "me_message"];

/// A request of the Events API.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// Slack asks whether the URL is ours: this is to be sent back.
    Challenge(String),
    /// Something happened where the app is installed.
    Happened(Box<Happened>),
    /// Nothing to do.
    Nothing,
}

/// Something that happened in a team.
#[derive(Debug, PartialEq)]
pub struct Happened {
    /// The team whose installation it is about.
    pub team: String,
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    what: Inner,
}

/// What it means to the team's connection.
#[derive(Debug, PartialEq)]
pub enum Meaning {
    /// Somebody wants something of the bot.
    Said(Box<Incoming>),
    /// The app was removed from the team, or its token revoked.
    Gone,
    /// Nothing.
    Nothing,
}

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The channel of the message.
    pub channel: String,
    /// The message.
    pub ts: String,
    /// The thread that it stands in, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Who wrote it.
    pub user: String,
    /// The team of who wrote it.
    pub team: String,
}

impl Place {
    /// The thread that the answer goes to.
    #[must_use]
    pub fn thread(&self) -> &str {
        self.thread_ts.as_deref().unwrap_or(&self.ts)
    }
}

#[derive(Deserialize)]
struct Envelope {
    r#type: String,
    challenge: Option<String>,
    team_id: Option<String>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
    #[serde(default)]
    event_time: i64,
    event: Option<Inner>,
}

/// For whom an event is delivered. In a channel that teams share, it is not always the one it happened in.
#[derive(Deserialize)]
struct Authorization {
    team_id: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    r#type: String,
    subtype: Option<String>,
    #[serde(default)]
    hidden: bool,
    channel: Option<String>,
    channel_type: Option<String>,
    user: Option<String>,
    user_team: Option<String>,
    text: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    bot_id: Option<String>,
    app_id: Option<String>,
    bot_profile: Option<Value>,
    edited: Option<Value>,
    #[serde(default)]
    files: Vec<Value>,
    tokens: Option<Tokens>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Tokens {
    #[serde(default)]
    bot: Vec<String>,
}

/// Reads a request's body.
///
/// # Errors
/// Where it is no JSON, or none of Slack's.
pub fn read(body: &[u8]) -> Result<Event, serde_json::Error> {
    let envelope: Envelope = serde_json::from_slice(body)?;
    let happened = match envelope.r#type.as_str() {
        "url_verification" => return Ok(envelope.challenge.map_or(Event::Nothing, Event::Challenge)),
        "event_callback" => envelope.event,
        _ => None,
    };
    let authorized = envelope.authorizations.into_iter().find_map(|one| one.team_id);
    Ok(match (happened, authorized.or(envelope.team_id)) {
        (Some(what), Some(team)) => Event::Happened(Box::new(Happened { team, at: envelope.event_time, what })),
        _ => Event::Nothing,
    })
}

impl Happened {
    /// What it means, where the bot is the team's user `bot`.
    #[must_use]
    pub fn meaning(self, bot: &str, received_at: i64) -> Meaning {
        match self.what.r#type.as_str() {
            "app_uninstalled" => Meaning::Gone,
            "tokens_revoked" => {
                let revoked = self.what.tokens.unwrap_or_default().bot;
                if revoked.iter().any(|user| user == bot) { Meaning::Gone } else { Meaning::Nothing }
            }
            "app_mention" | "message" => said(self.what, self.team, bot, received_at)
                .map_or(Meaning::Nothing, |incoming| Meaning::Said(Box::new(incoming))),
            _ => Meaning::Nothing,
        }
    }
}

/// A person's message that is for the bot: in a direct message any, elsewhere one that mentions it.
fn said(message: Inner, team: String, bot: &str, received_at: i64) -> Option<Incoming> {
    let by_a_bot = message.bot_id.is_some() || message.app_id.is_some() || message.bot_profile.is_some();
    if by_a_bot || !is_words(message.subtype.as_deref()) || message.hidden || message.edited.is_some() {
        return None;
    }
    let user = message.user.filter(|user| user != bot && user != "USLACKBOT")?;
    let (channel, ts) = message.channel.filter(|id| !id.is_empty()).zip(message.ts.filter(|ts| is_ts(ts)))?;
    let text: String = message.text.unwrap_or_default().chars().take(LONGEST).collect();
    let (text, mention) = readable::read(&text, bot);
    let is_direct = message.channel_type.as_deref() == Some("im");
    if message.r#type == "message" && !is_direct && mention == Mention::No {
        return None;
    }
    let request = match (text.is_empty(), message.files.is_empty()) {
        (false, _) => Request::Answer { text },
        (true, false) => Request::Unreadable,
        (true, true) if mention == Mention::Yes => Request::Greeting,
        (true, true) => return None,
    };
    let user_team = message.user_team.unwrap_or_else(|| team.clone());
    let thread_ts = message.thread_ts.filter(|ts| is_ts(ts));
    let place = Place { channel, ts, thread_ts, user, team: user_team };
    Some(Incoming {
        platform: Platform::Slack,
        connection: team,
        event: format!("{}:{}", place.channel, place.ts),
        conversation: format!("{}:{}", place.channel, place.thread()),
        request,
        place: serde_json::to_value(&place).ok()?,
        received_at,
    })
}

/// Whether a message of this subtype is somebody's words.
pub(super) fn is_words(subtype: Option<&str>) -> bool {
    subtype.is_none_or(|subtype| WORDS.contains(&subtype))
}

/// Whether it is a message's time as Slack writes it: `1721609600.123456`.
fn is_ts(ts: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    ts.len() <= 32 && ts.split_once('.').is_some_and(|(seconds, rest)| is_number(seconds) && is_number(rest))
}

#[cfg(test)]
mod tests;

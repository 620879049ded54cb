//! The bot's voice in one thread.
//!
//! Each post carries the name of the message that it answers in its metadata, so that a post whose receipt was lost is
//! found again. An answer grows in Slack's own stream where there is one, and in a post that is edited elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::api::{SlackApi, SlackError};
use super::event::Place;
use super::message::{self, Origin};
use super::mrkdwn;
use super::thread::{self, Own};
use crate::channel::{Found, Outcome, Voice, VoiceError};
use crate::model::Message;

/// Between two states of a growing answer: Slack takes fifty edits a minute.
/// <https://docs.slack.dev/apis/web-api/rate-limits>
const DRAFTS: Duration = Duration::from_millis(1_500);
/// How much of a growing answer is shown, in characters. The rest comes with the complete one.
const LONGEST_DRAFT: usize = 3_000;
/// What stands before a post that Slack streams, where it is named.
const STREAM: &str = "stream:";

/// Speaks as a team's bot, in the thread of one message.
#[derive(Debug)]
pub struct SlackVoice {
    api: SlackApi,
    place: Place,
    event: String,
    own: Own,
    drafting: Mutex<Drafting>,
    /// What was begun by somebody who did not live to complete it.
    left: Mutex<Option<String>>,
}

/// How the growing answer is shown.
#[derive(Debug, PartialEq, Eq)]
enum Drafting {
    /// It was not shown yet.
    Untried,
    /// As a stream, of which so many bytes are sent.
    Streaming(usize),
    /// As a post that is edited.
    Editing,
    /// Slack did not confirm it: it may stand there, and is looked for before the answer is posted.
    Unconfirmed,
    /// No more.
    Over,
}

impl SlackVoice {
    /// In the thread at `place`, to answer the message of this name, as the bot that is this user, and signs with
    /// this id.
    #[must_use]
    pub fn new(api: SlackApi, place: Place, event: String, (user, bot): (String, Option<String>)) -> Self {
        let own = Own { user, bot };
        Self { api, place, event, own, drafting: Mutex::new(Drafting::Untried), left: Mutex::new(None) }
    }

    async fn draft_of(&self, state: &mut Drafting, markdown: &str, draft: Option<String>) -> Option<String> {
        let is_begun = draft.is_some();
        match state {
            Drafting::Untried if is_begun => {
                *state = Drafting::Over;
                draft
            }
            Drafting::Untried => match self.begin_stream(markdown).await {
                Ok((reference, sent)) => {
                    *state = Drafting::Streaming(sent);
                    Some(reference)
                }
                Err(SlackError::Refused(code)) => {
                    tracing::debug!(code, "Slack does not stream here: the answer's post is edited");
                    *state = Drafting::Editing;
                    self.edit(state, markdown, None).await
                }
                Err(SlackError::Later(_)) => {
                    *state = Drafting::Over;
                    None
                }
                Err(SlackError::Unknown(_)) => {
                    *state = Drafting::Unconfirmed;
                    None
                }
            },
            Drafting::Streaming(sent) => {
                let text = streamed(markdown);
                let ts = draft.as_deref().and_then(|draft| draft.strip_prefix(STREAM)).unwrap_or_default();
                let Some(more) = text.get(*sent..).filter(|more| !more.is_empty()) else { return draft };
                let body = json!({ "channel": self.place.channel, "ts": ts, "markdown_text": more });
                match self.api.ask("chat.appendStream", &body).await {
                    Ok(()) => *sent = text.len(),
                    // What is not known to be there must not come twice.
                    Err(_) => *state = Drafting::Over,
                }
                draft
            }
            Drafting::Editing => self.edit(state, markdown, draft).await,
            Drafting::Unconfirmed | Drafting::Over => draft,
        }
    }

    async fn begin_stream(&self, markdown: &str) -> Result<(String, usize), SlackError> {
        let text = streamed(markdown);
        let body = json!({
            "channel": self.place.channel, "thread_ts": self.place.thread(), "markdown_text": text,
            "recipient_user_id": self.place.user, "recipient_team_id": self.place.team,
        });
        let ts = self.api.say("chat.startStream", &body).await?;
        Ok((format!("{STREAM}{ts}"), text.len()))
    }

    /// Shows the first post of what there is.
    async fn edit(&self, state: &mut Drafting, markdown: &str, draft: Option<String>) -> Option<String> {
        let shown: String = markdown.chars().take(LONGEST_DRAFT).collect();
        let Some(text) = mrkdwn::posts(&shown).into_iter().next() else { return draft };
        let metadata = message::draft(&self.event);
        match draft {
            None => match self.api.say("chat.postMessage", &self.new_post(&text, &metadata)).await {
                Ok(ts) => Some(ts),
                Err(SlackError::Unknown(_)) => {
                    *state = Drafting::Unconfirmed;
                    None
                }
                Err(SlackError::Later(_) | SlackError::Refused(_)) => None,
            },
            Some(ts) => {
                let _the_next_one_shows_it =
                    self.api.ask("chat.update", &self.changed_post(&ts, &text, &metadata)).await;
                Some(ts)
            }
        }
    }

    fn new_post(&self, text: &str, metadata: &Value) -> Value {
        json!({
            "channel": self.place.channel, "thread_ts": self.place.thread(), "text": text, "metadata": metadata,
            "unfurl_links": false, "unfurl_media": false, "link_names": false,
        })
    }

    /// The empty lists take away what a stream has left; `parse` is another by itself than in a new post.
    fn changed_post(&self, ts: &str, text: &str, metadata: &Value) -> Value {
        json!({
            "channel": self.place.channel, "ts": ts, "text": text, "metadata": metadata,
            "blocks": [], "attachments": [], "parse": "none", "link_names": false,
        })
    }

    /// Ends a stream. From then on it says of itself that it is a draft.
    async fn stop(&self, ts: &str) -> Result<(), SlackError> {
        let metadata = message::draft(&self.event);
        self.api.ask("chat.stopStream", &json!({ "channel": self.place.channel, "ts": ts, "metadata": metadata })).await
    }

    /// Puts a post in the place of what stands there.
    async fn replace(&self, reference: &str, text: &str, metadata: &Value) -> Result<String, SlackError> {
        let ts = match reference.strip_prefix(STREAM) {
            Some(ts) => {
                match self.stop(ts).await {
                    Err(SlackError::Refused(code)) => tracing::debug!(code, "the stream is stopped already"),
                    other => other?,
                }
                ts
            }
            None => reference,
        };
        self.api.ask("chat.update", &self.changed_post(ts, text, metadata)).await?;
        Ok(ts.to_owned())
    }

    /// Where the answer was begun, if it was: by somebody else, or by a draft that Slack did not confirm.
    async fn begun(&self) -> Result<Option<String>, VoiceError> {
        if *self.drafting.lock().await == Drafting::Unconfirmed
            && let Found::At(ts) = self.find(0).await?
        {
            return Ok(Some(ts));
        }
        Ok(self.left.lock().await.clone())
    }

    async fn delete(&self, reference: &str) {
        let ts = reference.strip_prefix(STREAM).unwrap_or(reference);
        let gone = self.api.ask("chat.delete", &json!({ "channel": self.place.channel, "ts": ts })).await;
        log("the draft stays", gone);
    }
}

#[async_trait]
impl Voice for SlackVoice {
    async fn seen(&self) {
        log("the message is not marked as seen", self.api.react(&self.place.channel, &self.place.ts, "eyes").await);
    }

    async fn history(&self) -> Result<Option<Vec<Message>>, VoiceError> {
        if self.place.thread_ts.is_none() {
            return Ok(Some(Vec::new()));
        }
        match thread::newest(&self.api, &self.place).await {
            Ok(messages) => Ok(Some(thread::history(messages, &self.place, &self.own))),
            Err(SlackError::Refused(code)) => {
                tracing::warn!(code, "Slack does not tell the thread: the session is what is remembered");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn draft_interval(&self) -> Option<Duration> {
        Some(DRAFTS)
    }

    async fn draft(&self, markdown: &str, draft: Option<String>) -> Option<String> {
        if markdown.trim().is_empty() {
            return draft;
        }
        let mut state = self.drafting.lock().await;
        self.draft_of(&mut state, markdown, draft).await
    }

    fn posts(&self, markdown: &str) -> Vec<String> {
        mrkdwn::posts(markdown)
    }

    async fn post(&self, index: usize, post: &str, reference: Option<&str>) -> Result<String, VoiceError> {
        let metadata = message::answer(&self.event, index);
        let begun = if index == 0 && reference.is_none() { self.begun().await? } else { None };
        if let Some(reference) = reference.or(begun.as_deref()) {
            match self.replace(reference, post, &metadata).await.map_err(VoiceError::from) {
                Err(VoiceError::Refused(code)) => {
                    tracing::debug!(code, "the draft cannot become the answer: the answer is a post of its own");
                    self.delete(reference).await;
                    *self.left.lock().await = None;
                }
                done => return done,
            }
        }
        Ok(self.api.say("chat.postMessage", &self.new_post(post, &metadata)).await?)
    }

    async fn find(&self, index: usize) -> Result<Found, VoiceError> {
        let messages = match thread::since(&self.api, &self.place).await {
            Ok(messages) => messages,
            Err(SlackError::Refused(code)) => {
                tracing::warn!(code, "Slack does not tell the thread: a post may come twice");
                return Ok(Found::Unknowable);
            }
            Err(error) => return Err(error.into()),
        };
        for message in messages.into_iter().filter(|message| self.own.wrote(message)) {
            match message.origin() {
                Origin::Answer { event, index: found } if event == self.event && found == index => {
                    return Ok(Found::At(message.ts));
                }
                Origin::Draft { event } if event == self.event => *self.left.lock().await = Some(message.ts),
                // A stream says nothing of itself before it ends. What is none cannot be stopped, and is left alone.
                Origin::Unknown => match self.stop(&message.ts).await {
                    Ok(()) => *self.left.lock().await = Some(message.ts),
                    Err(SlackError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                },
                Origin::Answer { .. } | Origin::Draft { .. } => {}
            }
        }
        Ok(Found::Nowhere)
    }

    async fn finished(&self, outcome: Outcome) {
        let name = match outcome {
            Outcome::Answered => thread::ANSWERED,
            Outcome::Excused => thread::EXCUSED,
        };
        let Place { channel, ts, .. } = &self.place;
        let (gone, there) = tokio::join!(self.api.unreact(channel, ts, "eyes"), self.api.react(channel, ts, name));
        log("the message is still marked as seen", gone);
        log("the message is not marked as answered", there);
    }
}

fn log(what: &'static str, outcome: Result<(), SlackError>) {
    if let Err(error) = outcome {
        tracing::info!(error = crate::telemetry::chain(&error), what);
    }
}

/// What a stream shows of an answer: Markdown as Slack reads it, with nothing in it that mentions anybody. It only grows
/// while the answer does.
fn streamed(markdown: &str) -> String {
    /// Not seen, and enough to make no mark of what stands around it.
    const GUARD: char = '\u{2060}';
    let mut text = String::new();
    let mut letters = markdown.chars().take(LONGEST_DRAFT).peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            // What follows is not known yet.
            ('<', None) => break,
            ('<', Some('@' | '!' | '#')) => text.extend(['<', GUARD]),
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests;

//! What Telegram sends. Only messages of people count, and in groups only those that are meant for the bot.
//! <https://core.telegram.org/bots/api#update>

use serde::Deserialize;
use serde_json::{Map, Value};

use super::voice::Place;
use crate::channel::{Incoming, Platform, Request};

/// The longest words that are handed on, in characters.
const LONGEST: usize = 10_000;
/// What a message holds that an agent cannot read.
const MEDIA: [&str; 18] = [
    "animation",
    "audio",
    "checklist",
    "contact",
    "dice",
    "document",
    "game",
    "live_photo",
    "location",
    "paid_media",
    "photo",
    "poll",
    "sticker",
    "story",
    "venue",
    "video",
    "video_note",
    "voice",
];

/// The bot that an update came for.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// Its id.
    pub id: i64,
    /// Its name, without the `@`.
    pub username: &'a str,
}

#[derive(Deserialize)]
struct Update {
    update_id: i64,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    message_id: i64,
    from: Option<User>,
    chat: Chat,
    #[serde(default)]
    is_topic_message: bool,
    message_thread_id: Option<i64>,
    text: Option<String>,
    #[serde(default)]
    entities: Vec<Entity>,
    caption: Option<String>,
    #[serde(default)]
    caption_entities: Vec<Entity>,
    reply_to_message: Option<Box<Replied>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    #[serde(default)]
    is_bot: bool,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
    r#type: String,
}

#[derive(Deserialize)]
struct Replied {
    from: Option<User>,
    /// A forum's messages all reply to the one that made their topic.
    forum_topic_created: Option<Value>,
}

/// A part of a text; offset and length are in UTF-16 units.
#[derive(Deserialize)]
struct Entity {
    r#type: String,
    offset: usize,
    length: usize,
    user: Option<User>,
}

/// The message of an update; `None` where there is none to answer.
///
/// # Errors
/// Where it is no update.
pub fn incoming(body: &[u8], bot: Addressee<'_>, now_ms: i64) -> Result<Option<Incoming>, serde_json::Error> {
    let Update { update_id, message } = serde_json::from_slice(body)?;
    let Some(message) = message.filter(|message| message.from.as_ref().is_some_and(|from| !from.is_bot)) else {
        return Ok(None);
    };
    let Some(request) = request(&message, bot) else { return Ok(None) };
    let topic = message.message_thread_id.filter(|_| message.is_topic_message);
    let place = Place { chat: message.chat.id, message: message.message_id, topic };
    Ok(Some(Incoming {
        platform: Platform::Telegram,
        connection: bot.id.to_string(),
        event: update_id.to_string(),
        conversation: format!("{}:{}", message.chat.id, topic.unwrap_or_default()),
        request,
        place: serde_json::to_value(place)?,
        received_at: now_ms,
    }))
}

fn request(message: &Message, bot: Addressee<'_>) -> Option<Request> {
    let is_private = match message.chat.r#type.as_str() {
        "private" => true,
        "group" | "supergroup" => false,
        _ => return None,
    };
    let (text, entities) = match (&message.text, &message.caption) {
        (Some(text), _) => (text, &message.entities),
        (None, Some(caption)) => (caption, &message.caption_entities),
        (None, None) => {
            let is_media = MEDIA.iter().any(|kind| message.rest.contains_key(*kind));
            return (is_private && is_media).then_some(Request::Unreadable);
        }
    };
    let words = Words { text: text.encode_utf16().collect(), entities };
    let command = words.command();
    let is_meant = match &command {
        Some(Command { to: Some(name), .. }) => name.eq_ignore_ascii_case(bot.username),
        _ => is_private || words.mentions(bot) || message.replies_to(bot),
    };
    if !is_meant {
        return None;
    }
    match command.as_ref().map(|command| command.name.as_str()) {
        Some("start") => return Some(Request::Greeting),
        Some("new") => return Some(Request::Reset),
        Some(_) | None => {}
    }
    let text: String = words.without_name(bot).chars().take(LONGEST).collect();
    Some(if text.is_empty() { Request::Greeting } else { Request::Answer { text } })
}

impl Message {
    fn replies_to(&self, bot: Addressee<'_>) -> bool {
        self.reply_to_message.as_ref().is_some_and(|replied| {
            replied.forum_topic_created.is_none() && replied.from.as_ref().is_some_and(|from| from.id == bot.id)
        })
    }
}

struct Words<'a> {
    text: Vec<u16>,
    entities: &'a [Entity],
}

/// A command at a text's beginning: `/name`, or `/name@Bot`.
struct Command {
    name: String,
    to: Option<String>,
}

impl Words<'_> {
    fn part(&self, entity: &Entity) -> String {
        let end = entity.offset.saturating_add(entity.length);
        String::from_utf16_lossy(self.text.get(entity.offset..end).unwrap_or_default())
    }

    fn command(&self) -> Option<Command> {
        let first = self.entities.iter().find(|entity| entity.r#type == "bot_command" && entity.offset == 0)?;
        let part = self.part(first);
        let (name, to) = match part.split_once('@') {
            Some((name, to)) => (name, Some(to.to_owned())),
            None => (part.as_str(), None),
        };
        Some(Command { name: name.trim_start_matches('/').to_lowercase(), to })
    }

    fn mentions(&self, bot: Addressee<'_>) -> bool {
        self.entities.iter().any(|entity| self.is_name(entity, bot))
    }

    fn is_name(&self, entity: &Entity, bot: Addressee<'_>) -> bool {
        match entity.r#type.as_str() {
            "mention" => {
                self.part(entity).strip_prefix('@').is_some_and(|name| name.eq_ignore_ascii_case(bot.username))
            }
            "text_mention" => entity.user.as_ref().is_some_and(|user| user.id == bot.id),
            _ => false,
        }
    }

    /// The text without the bot's name, also where it stands behind a command.
    fn without_name(&self, bot: Addressee<'_>) -> String {
        let mut kept = vec![true; self.text.len()];
        let mut drop = |from: usize, length: usize| {
            kept.iter_mut().skip(from).take(length).for_each(|kept| *kept = false);
        };
        for entity in self.entities {
            if self.is_name(entity, bot) {
                // The space behind it goes with it.
                let end = entity.offset.saturating_add(entity.length);
                let space = usize::from(self.text.get(end) == Some(&u16::from(b' ')));
                drop(entity.offset, entity.length.saturating_add(space));
            } else if entity.r#type == "bot_command"
                && let Some(at) = self.part(entity).find('@')
                && self.part(entity).get(at + 1..).is_some_and(|name| name.eq_ignore_ascii_case(bot.username))
            {
                drop(entity.offset.saturating_add(at), entity.length.saturating_sub(at));
            }
        }
        let text: Vec<u16> = self.text.iter().zip(kept).filter(|(_, kept)| *kept).map(|(unit, _)| *unit).collect();
        String::from_utf16_lossy(&text).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BOT: Addressee<'_> = Addressee { id: 42, username: "OrreryBot" };

    fn read(message: Value) -> Option<Incoming> {
        let mut whole = json!({
            "message_id": 7, "date": 1_774_449_000, "from": { "id": 9, "is_bot": false, "first_name": "Ada" },
            "chat": { "id": 9, "type": "private", "first_name": "Ada" },
        });
        whole.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
        let update = json!({ "update_id": 10_000, "message": whole });
        incoming(update.to_string().as_bytes(), BOT, 1).unwrap()
    }

    fn group(message: Value) -> Option<Request> {
        let mut whole = json!({ "chat": { "id": -1_001_234_567_890_123_i64, "type": "supergroup", "title": "Shop" } });
        whole.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
        read(whole).map(|incoming| incoming.request)
    }

    fn private(message: Value) -> Option<Request> {
        read(message).map(|incoming| incoming.request)
    }

    fn answer(text: &str) -> Option<Request> {
        Some(Request::Answer { text: text.to_owned() })
    }

    fn entity(kind: &str, offset: usize, length: usize) -> Value {
        json!([{ "type": kind, "offset": offset, "length": length }])
    }

    #[test]
    fn a_private_message_is_answered_whatever_it_says() {
        let incoming = read(json!({ "text": "Where is order 7? 😀", "unknown": { "deep": [1] } })).unwrap();
        assert_eq!(incoming.request, Request::Answer { text: "Where is order 7? 😀".to_owned() });
        assert_eq!((incoming.connection.as_str(), incoming.event.as_str()), ("42", "10000"));
        assert_eq!(incoming.conversation, "9:0");
        assert_eq!(incoming.place, json!({ "chat": 9, "message": 7 }));
    }

    #[test]
    fn chats_beyond_32_bits_and_topics_are_told_apart() {
        let chat = json!({ "id": -1_001_234_567_890_123_i64, "type": "supergroup", "is_forum": true });
        let text = json!({
            "chat": chat, "text": "@orrerybot hi", "entities": entity("mention", 0, 10),
            "message_thread_id": 5, "is_topic_message": true,
        });
        let incoming = read(text.clone()).unwrap();
        assert_eq!(incoming.conversation, "-1001234567890123:5");
        assert_eq!(incoming.place, json!({ "chat": -1_001_234_567_890_123_i64, "message": 7, "topic": 5 }));
        let mut reply = text;
        reply["is_topic_message"] = false.into();
        assert_eq!(read(reply).unwrap().conversation, "-1001234567890123:0", "a thread of replies is no topic");
    }

    #[test]
    fn in_a_group_it_answers_who_means_it_alone() {
        assert_eq!(group(json!({ "text": "hello all" })), None);
        assert_eq!(group(json!({ "text": "@OtherBot hi", "entities": entity("mention", 0, 9) })), None);
        assert_eq!(group(json!({ "text": "@OrreryBot hi" })), None, "a name that Telegram does not mark");
        assert_eq!(group(json!({ "text": "@ORRERYBOT hi", "entities": entity("mention", 0, 10) })), answer("hi"));
        let late = json!({ "text": "😀 so, @OrreryBot what now?", "entities": entity("mention", 7, 10) });
        assert_eq!(group(late), answer("😀 so, what now?"));
        let named = json!([{ "type": "text_mention", "offset": 0, "length": 3, "user": { "id": 42, "is_bot": true } }]);
        assert_eq!(group(json!({ "text": "Bot hi", "entities": named })), answer("hi"));
        let reply =
            json!({ "text": "and?", "reply_to_message": { "message_id": 3, "from": { "id": 42, "is_bot": true } } });
        assert_eq!(group(reply), answer("and?"));
        let topic = json!({ "text": "and?", "reply_to_message": {
            "message_id": 3, "from": { "id": 42, "is_bot": true }, "forum_topic_created": { "name": "x" },
        } });
        assert_eq!(group(topic), None, "a reply to the making of a topic is none");
        assert_eq!(
            group(json!({ "text": "@OrreryBot", "entities": entity("mention", 0, 10) })),
            Some(Request::Greeting)
        );
    }

    #[test]
    fn commands_are_its_own_or_meant_for_it() {
        assert_eq!(
            private(json!({ "text": "/start", "entities": entity("bot_command", 0, 6) })),
            Some(Request::Greeting)
        );
        let deep = json!({ "text": "/start ref_7", "entities": entity("bot_command", 0, 6) });
        assert_eq!(private(deep), Some(Request::Greeting));
        assert_eq!(private(json!({ "text": "/NEW", "entities": entity("bot_command", 0, 4) })), Some(Request::Reset));
        let other = json!({ "text": "/help me", "entities": entity("bot_command", 0, 5) });
        assert_eq!(private(other), answer("/help me"));
        assert_eq!(group(json!({ "text": "/new", "entities": entity("bot_command", 0, 4) })), None);
        let own = json!({ "text": "/new@orrerybot", "entities": entity("bot_command", 0, 14) });
        assert_eq!(group(own), Some(Request::Reset));
        let others = json!({ "text": "/new@OtherBot", "entities": entity("bot_command", 0, 13) });
        assert_eq!(group(others), None);
        let more = json!({ "text": "/order@OrreryBot 7", "entities": entity("bot_command", 0, 16) });
        assert_eq!(group(more), answer("/order 7"));
    }

    #[test]
    fn captions_are_words_and_media_without_are_told_in_private_alone() {
        assert_eq!(private(json!({ "photo": [{}], "caption": "what is it?" })), answer("what is it?"));
        for kind in MEDIA {
            assert_eq!(private(json!({ kind: {} })), Some(Request::Unreadable), "{kind}");
            assert_eq!(group(json!({ kind: {} })), None, "{kind}");
        }
    }

    #[test]
    fn what_no_person_said_is_passed_over() {
        assert_eq!(private(json!({ "new_chat_members": [] })), None);
        assert_eq!(group(json!({ "migrate_to_chat_id": -1_001_234_567_890_124_i64 })), None);
        let bot = json!({ "text": "hi", "from": { "id": 8, "is_bot": true } });
        assert_eq!(private(bot), None);
        let channel = json!({ "text": "hi", "chat": { "id": -5, "type": "channel" } });
        assert_eq!(private(channel), None);
        for other in ["edited_message", "channel_post", "callback_query", "my_chat_member", "made_up"] {
            let update = json!({ "update_id": 1, other: { "message_id": 1, "chat": { "id": 1 }, "text": "x" } });
            assert_eq!(incoming(update.to_string().as_bytes(), BOT, 1).unwrap(), None, "{other}");
        }
        assert!(incoming(b"[]", BOT, 1).is_err() && incoming(b"{\"update_id\":1,\"message\":7}", BOT, 1).is_err());
    }

    #[test]
    fn entities_beyond_the_text_do_no_harm() {
        for (offset, length) in [(0, usize::MAX), (usize::MAX, usize::MAX), (3, 90), (1, 1)] {
            let message = json!({ "text": "😀 hi", "entities": entity("mention", offset, length) });
            assert_eq!(private(message), answer("😀 hi"));
        }
    }
}

//! What Meta sends. One notification holds any number of entries, changes and messages.
//! <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages>

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::voice::{Place, Recipient};
use crate::channel::{Incoming, Platform, Request};

/// The longest words that are handed on, in characters.
const LONGEST: usize = 10_000;
/// The most messages that are taken from one notification: Meta sends no more than 1,000 updates in one.
const MESSAGES: usize = 1000;
/// What an agent cannot read, and a person waits for an answer to.
const MEDIA: [&str; 7] = ["image", "audio", "video", "document", "sticker", "location", "contacts"];

/// What a notification tells.
#[derive(Debug, Default, PartialEq)]
pub struct Notification {
    /// What people sent, in order, with the number that it came to as its connection.
    pub messages: Vec<Incoming>,
    /// What was sent to people and did not arrive.
    pub failed: Vec<FailedStatus>,
}

/// A message of ours that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStatus {
    /// Its id.
    pub message: String,
    /// Why, in Meta's codes: 131047 for one that came more than 24 hours after the person's last.
    pub codes: Vec<i64>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    object: String,
    #[serde(default)]
    entry: Vec<Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    changes: Vec<Value>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    field: String,
    value: Changed,
}

#[derive(Deserialize)]
struct Changed {
    metadata: Metadata,
    #[serde(default)]
    contacts: Vec<Value>,
    #[serde(default)]
    messages: Vec<Value>,
    #[serde(default)]
    statuses: Vec<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    phone_number_id: String,
}

#[derive(Deserialize)]
struct Contact {
    wa_id: Option<String>,
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    from: Option<String>,
    from_user_id: Option<String>,
    r#type: String,
    text: Option<Text>,
    button: Option<Button>,
    interactive: Option<Interactive>,
    /// Where it was sent to a group.
    group_id: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    body: String,
}

#[derive(Deserialize)]
struct Button {
    text: String,
}

#[derive(Deserialize)]
struct Interactive {
    button_reply: Option<Choice>,
    list_reply: Option<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    title: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    id: String,
    status: String,
    #[serde(default)]
    errors: Vec<StatusError>,
}

#[derive(Deserialize)]
struct StatusError {
    code: i64,
}

/// Reads a notification. What is of a kind or a shape that is not known is passed over, and the rest is taken.
///
/// # Errors
/// Where it is no notification.
pub fn read(body: &[u8], now_ms: i64) -> Result<Notification, serde_json::Error> {
    let Envelope { object, entry } = serde_json::from_slice(body)?;
    let mut notification = Notification::default();
    if object != "whatsapp_business_account" {
        return Ok(notification);
    }
    let changes = known::<Entry>(entry).flat_map(|entry| known::<Change>(entry.changes));
    for Change { value, .. } in changes.filter(|change| change.field == "messages") {
        let phone = value.metadata.phone_number_id;
        let contacts: Vec<Contact> = known(value.contacts).collect();
        for message in known::<Message>(value.messages) {
            if notification.messages.len() < MESSAGES
                && let Some(incoming) = incoming(message, &phone, &contacts, now_ms)
            {
                notification.messages.push(incoming);
            }
        }
        let failed = known::<Status>(value.statuses).filter(|status| status.status == "failed");
        notification.failed.extend(failed.take(MESSAGES).map(|status| FailedStatus {
            message: status.id,
            codes: status.errors.iter().map(|error| error.code).collect(),
        }));
    }
    Ok(notification)
}

/// Those that have the shape.
fn known<T: DeserializeOwned>(values: Vec<Value>) -> impl Iterator<Item = T> {
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok())
}

fn incoming(message: Message, phone: &str, contacts: &[Contact], now_ms: i64) -> Option<Incoming> {
    if message.group_id.is_some() {
        return None;
    }
    let request = request(&message)?;
    // The id that a person has for the business stays when they stop to show their number: a conversation goes by it.
    let contact = contacts.iter().find(|contact| contact.wa_id == message.from).or(match contacts {
        [only] => Some(only),
        _ => None,
    });
    let user = message.from_user_id.or_else(|| contact.and_then(|contact| contact.user_id.clone()));
    let conversation = user.clone().or_else(|| message.from.clone())?;
    let to = message.from.map(Recipient::Phone).or_else(|| user.map(Recipient::User))?;
    Some(Incoming {
        platform: Platform::WhatsApp,
        connection: phone.to_owned(),
        event: message.id.clone(),
        conversation,
        request,
        place: serde_json::to_value(Place { to, message: message.id }).ok()?,
        received_at: now_ms,
    })
}

fn request(message: &Message) -> Option<Request> {
    let text = match message.r#type.as_str() {
        "text" => &message.text.as_ref()?.body,
        "button" => &message.button.as_ref()?.text,
        "interactive" => {
            let interactive = message.interactive.as_ref()?;
            &interactive.button_reply.as_ref().or(interactive.list_reply.as_ref())?.title
        }
        kind => return MEDIA.contains(&kind).then_some(Request::Unreadable),
    };
    let text: String = text.trim().chars().take(LONGEST).collect();
    match text.to_lowercase().as_str() {
        "" => None,
        "/start" => Some(Request::Greeting),
        "/new" => Some(Request::Reset),
        _ => Some(Request::Answer { text }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(value: Value) -> Value {
        json!({ "field": "messages", "value": value })
    }

    fn value(phone: &str, messages: Value) -> Value {
        json!({ "messaging_product": "whatsapp", "metadata": { "phone_number_id": phone }, "messages": messages })
    }

    fn text(id: &str, from: &str, body: &str) -> Value {
        json!({ "id": id, "from": from, "timestamp": "1774449000", "type": "text", "text": { "body": body } })
    }

    fn whole(entry: Value) -> Notification {
        read(json!({ "object": "whatsapp_business_account", "entry": entry }).to_string().as_bytes(), 1).unwrap()
    }

    fn one(value: Value) -> Notification {
        whole(json!([{ "id": "waba", "changes": [change(value)] }]))
    }

    #[test]
    fn all_entries_changes_and_messages_are_taken_in_order() {
        let notification = whole(json!([
            { "changes": [
                change(value("p1", json!([text("a", "1", "one"), text("b", "2", "two")]))),
                { "field": "account_update", "value": {} },
                change(value("p2", json!([text("c", "1", "three")]))),
            ] },
            { "id": "no changes" },
            { "changes": [change(value("p1", json!([{ "id": 7 }, text("d", "1", "four")])))] },
        ]));
        let told: Vec<_> =
            notification.messages.iter().map(|one| (one.connection.as_str(), one.event.as_str())).collect();
        assert_eq!(told, [("p1", "a"), ("p1", "b"), ("p2", "c"), ("p1", "d")]);
        let first = &notification.messages[0];
        assert_eq!(first.place, json!({ "to": { "phone": "1" }, "message": "a" }));
        assert_eq!(first.request, Request::Answer { text: "one".to_owned() });
    }

    #[test]
    fn who_shows_no_number_is_known_by_their_id_and_who_does_by_it_too() {
        let mut hidden = text("a", "1", "hi");
        hidden.as_object_mut().unwrap().remove("from");
        let mut by_contact = value("p", json!([hidden]));
        by_contact["contacts"] = json!([{ "profile": { "username": "ada" }, "user_id": "US.1234" }]);
        let read = one(by_contact).messages.remove(0);
        assert_eq!((read.conversation.as_str(), &read.place["to"]), ("US.1234", &json!({ "user": "US.1234" })));

        hidden["from_user_id"] = "US.1234".into();
        let read = one(value("p", json!([hidden]))).messages.remove(0);
        assert_eq!((read.conversation.as_str(), &read.place["to"]), ("US.1234", &json!({ "user": "US.1234" })));

        let mut both = value("p", json!([text("a", "1", "hi")]));
        both["contacts"] = json!([{ "wa_id": "2", "user_id": "US.2" }, { "wa_id": "1", "user_id": "US.1234" }]);
        let read = one(both).messages.remove(0);
        assert_eq!((read.conversation.as_str(), &read.place["to"]), ("US.1234", &json!({ "phone": "1" })));

        let nobody = json!({ "id": "a", "type": "text", "text": { "body": "hi" } });
        assert_eq!(one(value("p", json!([nobody]))), Notification::default());
    }

    #[test]
    fn choices_are_words_media_is_told_and_the_rest_is_passed_over() {
        let read = |kind: &str, content: Value| {
            let message = json!({ "id": "a", "from": "1", "type": kind, kind: content });
            one(value("p", json!([message]))).messages.pop().map(|incoming| incoming.request)
        };
        let answer = |text: &str| Some(Request::Answer { text: text.to_owned() });
        assert_eq!(read("button", json!({ "text": "Yes", "payload": "y" })), answer("Yes"));
        assert_eq!(
            read("interactive", json!({ "type": "list_reply", "list_reply": { "title": "Tea" } })),
            answer("Tea")
        );
        assert_eq!(read("interactive", json!({ "type": "nfm_reply", "nfm_reply": {} })), None);
        assert_eq!(read("text", json!({ "body": " /NEW " })), Some(Request::Reset));
        assert_eq!(read("text", json!({ "body": "/start" })), Some(Request::Greeting));
        assert_eq!(read("text", json!({ "body": " " })), None);
        for kind in MEDIA {
            assert_eq!(read(kind, json!({})), Some(Request::Unreadable), "{kind}");
        }
        for kind in ["reaction", "unsupported", "system", "order", "unknown", "made_up"] {
            assert_eq!(read(kind, json!({})), None, "{kind}");
        }
    }

    #[test]
    fn statuses_are_told_where_they_failed() {
        let statuses = json!([
            { "id": "x", "status": "failed", "recipient_id": "1", "errors": [{ "code": 131_047, "title": "Re-engagement" }] },
            { "id": "y", "status": "delivered" },
        ]);
        let notification = one(json!({ "metadata": { "phone_number_id": "p" }, "statuses": statuses }));
        assert_eq!(notification.failed, [FailedStatus { message: "x".to_owned(), codes: vec![131_047] }]);
        assert_eq!(notification.messages, []);
    }

    #[test]
    fn what_is_no_notification_is_told_apart_from_one_of_another_kind() {
        assert!(read(b"{", 1).is_err() && read(b"7", 1).is_err());
        for other in [json!({}), json!({ "object": "page", "entry": [{ "changes": [] }] })] {
            assert_eq!(read(other.to_string().as_bytes(), 1).unwrap(), Notification::default());
        }
    }
}

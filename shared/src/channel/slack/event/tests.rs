use serde_json::{Value, json};

use super::*;

const BOT: &str = "U0BOT";

fn envelope(event: &Value) -> Vec<u8> {
    json!({
        "token": "x", "team_id": "T1", "api_app_id": "A1", "type": "event_callback", "event_id": "Ev1",
        "event_time": 1_774_449_000, "event": event,
        "authorizations": [{ "enterprise_id": null, "team_id": "T1", "user_id": BOT, "is_bot": true }],
    })
    .to_string()
    .into_bytes()
}

fn meaning(event: &Value) -> Meaning {
    match read(&envelope(event)).unwrap() {
        Event::Happened(happened) => happened.meaning(BOT, 5),
        other => panic!("{other:?}"),
    }
}

fn said(event: &Value) -> Option<Incoming> {
    match meaning(event) {
        Meaning::Said(incoming) => Some(*incoming),
        Meaning::Nothing => None,
        Meaning::Gone => panic!("gone"),
    }
}

fn with(changes: &Value) -> Value {
    let mut event = json!({
        "type": "app_mention", "user": "U0ADA", "text": "<@U0BOT> where is order 7?", "ts": "1774449000.000100",
        "channel": "C1", "event_ts": "1774449000.000100",
    });
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    event
}

#[test]
fn the_challenge_is_told() {
    let body = br#"{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}"#;
    assert_eq!(read(body).unwrap(), Event::Challenge("3eZbrw1aB".to_owned()));
    for body in [
        &br#"{"type":"app_rate_limited","team_id":"T1"}"#[..],
        br#"{"type":"event_callback","team_id":"T1"}"#,
        br#"{"type":"event_callback","team_id":null,"event":{"type":"message"}}"#,
        br#"{"type":"url_verification"}"#,
    ] {
        assert_eq!(read(body).unwrap(), Event::Nothing);
    }
    for body in [&b"{"[..], b"[]", b"{}", b"\xff"] {
        assert!(read(body).is_err());
    }
}

#[test]
fn a_mention_is_answered_in_its_thread() {
    let incoming = said(&with(&json!({}))).unwrap();
    assert_eq!(incoming.connection, "T1");
    assert_eq!(incoming.event, "C1:1774449000.000100");
    assert_eq!(incoming.conversation, "C1:1774449000.000100");
    assert_eq!(incoming.request, Request::Answer { text: "where is order 7?".to_owned() });
    let within = said(&with(&json!({ "thread_ts": "1774440000.000200" }))).unwrap();
    assert_eq!(within.conversation, "C1:1774440000.000200");
    let place: Place = serde_json::from_value(within.place).unwrap();
    assert_eq!((place.thread(), place.user.as_str(), place.team.as_str()), ("1774440000.000200", "U0ADA", "T1"));
}

#[test]
fn a_mention_that_comes_as_two_events_has_one_name() {
    let mention = said(&with(&json!({}))).unwrap();
    let message = said(&with(&json!({ "type": "message", "channel_type": "channel" }))).unwrap();
    assert_eq!(mention.to_message().unwrap().deduplication, message.to_message().unwrap().deduplication);
    assert_eq!(mention.to_message().unwrap().group, message.to_message().unwrap().group);
}

#[test]
fn elsewhere_than_in_a_direct_message_only_a_mention_is_for_the_bot() {
    for (kind, expected) in [("channel", false), ("group", false), ("mpim", false), ("im", true)] {
        let event = with(&json!({ "type": "message", "channel_type": kind, "text": "hello" }));
        assert_eq!(said(&event).is_some(), expected, "{kind}");
    }
}

#[test]
fn what_no_person_said_is_not_answered() {
    for changes in [
        json!({ "bot_id": "B1" }),
        json!({ "app_id": "A9" }),
        json!({ "bot_profile": { "id": "B1" } }),
        json!({ "user": BOT }),
        json!({ "user": "USLACKBOT" }),
        json!({ "user": null }),
        json!({ "subtype": "message_changed", "hidden": true, "message": { "text": "<@U0BOT>" }, "text": null }),
        json!({ "subtype": "message_deleted" }),
        json!({ "subtype": "message_replied" }),
        json!({ "subtype": "bot_message" }),
        json!({ "subtype": "channel_join" }),
        json!({ "hidden": true }),
        json!({ "edited": { "user": "U0ADA", "ts": "1774449001.000000" } }),
        json!({ "text": null, "channel_type": "im", "type": "message" }),
        json!({ "ts": "now" }),
        json!({ "ts": null }),
        json!({ "channel": null }),
        json!({ "type": "reaction_added" }),
    ] {
        assert_eq!(said(&with(&changes)), None, "{changes}");
    }
}

#[test]
fn words_of_other_kinds_are_answered() {
    for subtype in ["file_share", "thread_broadcast", "me_message"] {
        assert!(said(&with(&json!({ "subtype": subtype }))).is_some(), "{subtype}");
    }
    let files = json!({ "type": "message", "channel_type": "im", "subtype": "file_share", "text": "", "files": [{}] });
    assert_eq!(said(&with(&files)).unwrap().request, Request::Unreadable);
    assert_eq!(said(&with(&json!({ "text": "<@U0BOT>" }))).unwrap().request, Request::Greeting);
    let long = said(&with(&json!({ "text": "ä".repeat(50_000) }))).unwrap();
    assert!(matches!(long.request, Request::Answer { text } if text.chars().count() == LONGEST));
}

#[test]
fn an_uninstalled_app_and_a_revoked_bot_are_gone_and_a_revoked_user_is_not() {
    assert_eq!(meaning(&json!({ "type": "app_uninstalled" })), Meaning::Gone);
    assert_eq!(meaning(&json!({ "type": "tokens_revoked", "tokens": { "oauth": [], "bot": [BOT] } })), Meaning::Gone);
    for tokens in [json!({ "oauth": ["U0ADA"] }), json!({ "bot": ["U0OTHER"] }), json!(null)] {
        assert_eq!(meaning(&json!({ "type": "tokens_revoked", "tokens": tokens })), Meaning::Nothing);
    }
}

#[test]
fn in_a_shared_channel_the_team_is_the_one_that_installed_the_app() {
    let body = json!({
        "type": "event_callback", "team_id": "T2", "event": with(&json!({ "user_team": "T2" })),
        "authorizations": [{ "team_id": "T1" }],
    });
    let Event::Happened(happened) = read(body.to_string().as_bytes()).unwrap() else { panic!() };
    assert_eq!(happened.team, "T1");
    let Meaning::Said(incoming) = happened.meaning(BOT, 5) else { panic!() };
    assert_eq!((incoming.connection.as_str(), &incoming.place["team"]), ("T1", &json!("T2")));
}

use secrecy::SecretString;
use wiremock::matchers::{body_partial_json, body_string_contains, header, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::outbound::{self, TlsRoots};

const EVENT: &str = "C1:100.5";

fn voice_at(server: &MockServer) -> SlackVoice {
    let client = outbound::client(TlsRoots::Bundled, Duration::from_secs(1)).unwrap();
    let api = SlackApi::new(client, server.uri(), SecretString::from("xoxb-secret"));
    let place = Place {
        channel: "C1".into(),
        ts: "100.5".into(),
        thread_ts: Some("10.1".into()),
        user: "U0ADA".into(),
        team: "T1".into(),
    };
    SlackVoice::new(api, place, EVENT.into(), ("U0BOT".into(), Some("B1".into())))
}

async fn voice() -> (SlackVoice, MockServer) {
    let server = MockServer::start().await;
    (voice_at(&server), server)
}

async fn answer(server: &MockServer, method: &str, reply: ResponseTemplate) {
    Mock::given(path(format!("/{method}")))
        .and(header("authorization", "Bearer xoxb-secret"))
        .respond_with(reply)
        .mount(server)
        .await;
}

fn ok(body: Value) -> ResponseTemplate {
    let mut all = json!({ "ok": true });
    all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    ResponseTemplate::new(200).set_body_json(all)
}

fn refused(code: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "ok": false, "error": code }))
}

async fn calls(server: &MockServer) -> Vec<(String, Value)> {
    let calls = server.received_requests().await.unwrap();
    let read = |call: &Request| (call.url.path()[1..].to_owned(), call.body_json().unwrap_or(Value::Null));
    calls.iter().map(read).collect()
}

#[tokio::test]
async fn a_post_names_what_it_answers_and_where() {
    let (voice, server) = voice().await;
    answer(&server, "chat.postMessage", ok(json!({ "ts": "101.0" }))).await;
    assert_eq!(voice.post(1, "*hi*", None).await.unwrap(), "101.0");
    insta::assert_json_snapshot!(calls(&server).await[0]);
}

#[tokio::test]
async fn each_refusal_is_told_as_what_it_means() {
    let later = |seconds| Some(Duration::from_secs(seconds));
    for (reply, expected) in [
        (ResponseTemplate::new(429).insert_header("retry-after", "7"), VoiceError::Later(later(7))),
        (ResponseTemplate::new(429), VoiceError::Later(None)),
        (refused("ratelimited").insert_header("retry-after", "3"), VoiceError::Later(later(3))),
        (refused("token_revoked"), VoiceError::Closed("token_revoked".into())),
        (refused("channel_not_found"), VoiceError::Closed("channel_not_found".into())),
        (refused("msg_too_long"), VoiceError::Refused("msg_too_long".into())),
        (refused("fatal_error"), VoiceError::Unknown("".into())),
        (ResponseTemplate::new(503), VoiceError::Unknown("".into())),
        (ResponseTemplate::new(200).set_body_string("<html>"), VoiceError::Unknown("".into())),
    ] {
        let (voice, server) = voice().await;
        answer(&server, "chat.postMessage", reply).await;
        let error = voice.post(0, "hi", None).await.unwrap_err();
        let kind = |error: &VoiceError| match error {
            VoiceError::Unknown(_) => "unknown".to_owned(),
            error => format!("{error:?}"),
        };
        assert_eq!(kind(&error), kind(&expected));
        let shown = format!("{error:?} {} {voice:?}", crate::telemetry::chain(&error));
        assert!(!shown.contains("xoxb") && !shown.contains("hi "), "{shown}");
    }
}

#[tokio::test]
async fn a_growing_answer_is_streamed_and_ends_as_the_formatted_one() {
    let (voice, server) = voice().await;
    for method in ["chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update"] {
        answer(&server, method, ok(json!({ "ts": "101.0" }))).await;
    }
    let draft = voice.draft("**Hello", None).await;
    assert_eq!(draft.as_deref(), Some("stream:101.0"));
    let draft = voice.draft("**Hello** <", draft).await;
    let draft = voice.draft("**Hello** <!channel>", draft).await;
    let draft = voice.draft("**Hello** <!channel>", draft).await;
    assert_eq!(voice.post(0, "*Hello* &lt;!channel&gt;", draft.as_deref()).await.unwrap(), "101.0");
    insta::assert_json_snapshot!(calls(&server).await);
}

#[tokio::test]
async fn where_slack_does_not_stream_a_post_is_edited() {
    let (voice, server) = voice().await;
    answer(&server, "chat.startStream", refused("method_not_supported_for_channel_type")).await;
    answer(&server, "chat.postMessage", ok(json!({ "ts": "101.0" }))).await;
    answer(&server, "chat.update", ok(json!({}))).await;
    let draft = voice.draft("**Hel**", None).await;
    let draft = voice.draft("**Hello**", draft).await;
    assert_eq!(voice.post(0, "*Hello*!", draft.as_deref()).await.unwrap(), "101.0");
    let calls = calls(&server).await;
    let methods: Vec<_> = calls.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(methods, ["chat.startStream", "chat.postMessage", "chat.update", "chat.update"]);
    assert_eq!(calls[1].1["metadata"]["event_type"], "orrery_draft");
    assert_eq!((&calls[2].1["text"], &calls[3].1["text"]), (&json!("*Hello*"), &json!("*Hello*!")));
    assert_eq!(calls[3].1["metadata"]["event_type"], "orrery_answer");
}

/// A thread in which the message's draft stands.
fn with_draft(metadata: Value) -> ResponseTemplate {
    ok(json!({ "messages": [
        { "ts": "10.1", "user": "U0ADA", "text": "root" },
        { "ts": "101.0", "user": "U0BOT", "bot_id": "B1", "text": "Hel", "metadata": metadata },
    ] }))
}

#[tokio::test]
async fn a_draft_that_slack_did_not_confirm_becomes_the_answer() {
    for (streams, metadata) in [(true, Value::Null), (false, message::draft(EVENT))] {
        let (voice, server) = voice().await;
        let lost = ResponseTemplate::new(503);
        match streams {
            true => answer(&server, "chat.startStream", lost).await,
            false => {
                answer(&server, "chat.startStream", refused("method_not_supported_for_channel_type")).await;
                answer(&server, "chat.postMessage", lost).await;
            }
        }
        answer(&server, "conversations.replies", with_draft(metadata)).await;
        answer(&server, "chat.stopStream", ok(json!({}))).await;
        answer(&server, "chat.update", ok(json!({}))).await;
        assert_eq!(voice.draft("Hel", None).await, None);
        assert_eq!(voice.draft("Hello", None).await, None);
        assert_eq!(voice.post(0, "Hello!", None).await.unwrap(), "101.0");
        let calls = calls(&server).await;
        let posted = calls.iter().filter(|(method, _)| method == "chat.postMessage" || method == "chat.startStream");
        assert_eq!(posted.count(), if streams { 1 } else { 2 }, "no second draft and no second post: {calls:?}");
    }
}

#[tokio::test]
async fn what_was_begun_is_completed_also_after_a_wait() {
    let (voice, server) = voice().await;
    answer(&server, "conversations.replies", with_draft(message::draft(EVENT))).await;
    Mock::given(path("/chat.update"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "1"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    answer(&server, "chat.update", ok(json!({}))).await;
    assert_eq!(voice.find(0).await.unwrap(), Found::Nowhere);
    assert!(matches!(voice.post(0, "Hello!", None).await, Err(VoiceError::Later(Some(_)))));
    assert_eq!(voice.post(0, "Hello!", None).await.unwrap(), "101.0");
    assert!(calls(&server).await.iter().all(|(method, _)| method != "chat.postMessage"));
}

#[tokio::test]
async fn a_draft_that_cannot_be_changed_makes_room_for_the_answer() {
    let (voice, server) = voice().await;
    answer(&server, "chat.update", refused("message_not_found")).await;
    answer(&server, "chat.delete", refused("message_not_found")).await;
    answer(&server, "chat.postMessage", ok(json!({ "ts": "102.0" }))).await;
    assert_eq!(voice.post(0, "Hello", Some("101.0")).await.unwrap(), "102.0");
    let (voice, server) = self::voice().await;
    answer(&server, "chat.update", ResponseTemplate::new(500)).await;
    assert!(matches!(voice.post(0, "Hello", Some("101.0")).await, Err(VoiceError::Unknown(_))), "it may stand");
    assert_eq!(calls(&server).await.len(), 1);
}

#[tokio::test]
async fn what_an_earlier_worker_posted_is_found_and_what_it_began_is_completed() {
    let metadata = |kind: &str, event: &str, index: usize| json!({ "event_type": kind, "event_payload": { "event": event, "index": index } });
    let (voice, server) = voice().await;
    let messages = json!([
        { "ts": "10.1", "user": "U0ADA", "text": "root" },
        { "ts": "100.6", "user": "U0BOT", "bot_id": "B1", "text": "a", "metadata": metadata("orrery_answer", "C1:99.0", 0) },
        { "ts": "100.7", "user": "U0EVE", "text": "x", "metadata": metadata("orrery_answer", EVENT, 0) },
        { "ts": "100.8", "user": "U0BOT", "bot_id": "B1", "text": "b", "metadata": metadata("orrery_draft", EVENT, 0) },
        { "ts": "100.9", "user": "U0BOT", "bot_id": "B1", "text": "c", "metadata": metadata("orrery_answer", EVENT, 1) },
    ]);
    answer(&server, "conversations.replies", ok(json!({ "messages": messages }))).await;
    answer(&server, "chat.update", ok(json!({}))).await;
    assert_eq!(voice.find(1).await.unwrap(), Found::At("100.9".into()));
    assert_eq!(voice.find(0).await.unwrap(), Found::Nowhere, "another's post and another message's do not count");
    assert_eq!(voice.post(0, "Hello", None).await.unwrap(), "100.8", "the draft becomes the answer");
    assert_eq!(calls(&server).await.last().unwrap().0, "chat.update");
}

#[tokio::test]
async fn a_stream_that_was_left_is_completed_and_another_post_of_the_bot_is_left_alone() {
    for (stopped, method) in
        [(ok(json!({})), "chat.update"), (refused("message_not_in_streaming_state"), "chat.postMessage")]
    {
        let (voice, server) = voice().await;
        let messages = json!([{ "ts": "100.6", "user": "U0BOT", "bot_id": "B1", "text": "" }]);
        answer(&server, "conversations.replies", ok(json!({ "messages": messages }))).await;
        answer(&server, "chat.stopStream", stopped).await;
        answer(&server, "chat.update", ok(json!({}))).await;
        answer(&server, "chat.postMessage", ok(json!({ "ts": "101.0" }))).await;
        assert_eq!(voice.find(0).await.unwrap(), Found::Nowhere);
        voice.post(0, "Hello", None).await.unwrap();
        assert_eq!(calls(&server).await.last().unwrap().0, method);
    }
}

#[tokio::test]
async fn a_thread_that_slack_does_not_tell_is_no_failure() {
    let (voice, server) = voice().await;
    answer(&server, "conversations.replies", refused("missing_scope")).await;
    assert_eq!(voice.history().await.unwrap(), None);
    assert_eq!(voice.find(0).await.unwrap(), Found::Unknowable);
}

#[tokio::test]
async fn a_long_thread_is_read_from_its_end() {
    let (voice, server) = voice().await;
    let voice = SlackVoice { place: Place { ts: "100000.5".into(), ..voice.place }, ..voice };
    let first = json!({ "messages": [{ "ts": "10.1", "user": "U0ADA", "text": "root" }], "has_more": true, "response_metadata": { "next_cursor": "more" } });
    let newest: Vec<Value> = (0..50)
        .map(|number| json!({ "ts": format!("999{number}.0"), "user": "U0ADA", "text": number.to_string() }))
        .collect();
    Mock::given(path("/conversations.replies"))
        .and(body_string_contains("oldest=99400.5"))
        .respond_with(ok(json!({ "messages": newest })))
        .with_priority(1)
        .mount(&server)
        .await;
    answer(&server, "conversations.replies", ok(first)).await;
    let history = voice.history().await.unwrap().unwrap();
    assert!(history[0].plain_text().ends_with("49"), "{history:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn reactions_come_and_go_and_nobody_minds_where_they_do_not() {
    let (voice, server) = voice().await;
    let add = |name: &str, reply| {
        let mock = Mock::given(path("/reactions.add")).and(body_partial_json(json!({ "name": name })));
        mock.respond_with(reply).expect(1).mount(&server)
    };
    add("eyes", refused("already_reacted")).await;
    add("white_check_mark", ok(json!({}))).await;
    add("warning", refused("missing_scope")).await;
    answer(&server, "reactions.remove", refused("no_reaction")).await;
    voice.seen().await;
    voice.finished(Outcome::Answered).await;
    voice.finished(Outcome::Excused).await;
}

//! The voice against a Telegram that says what a test wants.

use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{BotApi, BotToken, TelegramVoice};
use crate::channel::{Voice, VoiceError};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

struct Telegram(MockServer);

impl Telegram {
    async fn start() -> Self {
        Self(MockServer::start().await)
    }

    /// The next call of the method is answered so.
    async fn says(&self, method: &str, status: u16, body: Value) {
        let response = ResponseTemplate::new(status).set_body_json(body);
        let mock = Mock::given(path(format!("/bot{TOKEN}/{method}"))).respond_with(response);
        mock.up_to_n_times(1).mount(&self.0).await;
    }

    async fn refuses(&self, code: u16, description: &str, parameters: Value) {
        let body = json!({ "ok": false, "error_code": code, "description": description, "parameters": parameters });
        self.says("sendMessage", code, body).await;
    }

    async fn takes(&self, message: i64) {
        self.says("sendMessage", 200, json!({ "ok": true, "result": { "message_id": message } })).await;
    }

    fn voice(&self, place: &Value) -> TelegramVoice {
        let api = BotApi::new(client(), Some(&self.0.uri().parse().unwrap()), BotToken::parse(TOKEN).unwrap());
        TelegramVoice::new(api, place).unwrap()
    }

    async fn heard(&self) -> Vec<Value> {
        let requests = self.0.received_requests().await.unwrap();
        requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

fn client() -> reqwest::Client {
    crate::outbound::client(crate::outbound::TlsRoots::Bundled, std::time::Duration::from_secs(1)).unwrap()
}

fn private() -> Value {
    json!({ "chat": 5_123_456_789_i64, "message": 17 })
}

#[tokio::test]
async fn the_first_post_replies_and_the_others_follow() {
    let telegram = Telegram::start().await;
    let voice = telegram.voice(&json!({ "chat": -1_001_234_567_890_123_i64, "message": 17, "topic": 4 }));
    telegram.takes(18).await;
    assert_eq!(voice.post(0, "<b>one</b>", None).await.unwrap(), "18");
    telegram.takes(19).await;
    assert_eq!(voice.post(1, "two", None).await.unwrap(), "19");
    let common = |text: &str| {
        json!({
            "chat_id": -1_001_234_567_890_123_i64, "text": text, "parse_mode": "HTML", "message_thread_id": 4,
            "link_preview_options": { "is_disabled": true },
        })
    };
    let mut first = common("<b>one</b>");
    first["reply_parameters"] = json!({ "message_id": 17, "allow_sending_without_reply": true });
    assert_eq!(telegram.heard().await, [first, common("two")]);
}

#[tokio::test]
async fn it_types_while_the_agent_works_and_nothing_depends_on_it() {
    let telegram = Telegram::start().await;
    let voice = telegram.voice(&json!({ "chat": 5, "message": 17, "topic": 4 }));
    telegram.says("sendChatAction", 200, json!({ "ok": true, "result": true })).await;
    voice.seen().await;
    voice.busy().await;
    let typing = json!({ "chat_id": 5, "action": "typing", "message_thread_id": 4 });
    assert_eq!(telegram.heard().await, [typing.clone(), typing]);
    assert!(voice.pulse().unwrap() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn markup_that_telegram_does_not_read_is_sent_as_plain_text() {
    let telegram = Telegram::start().await;
    let words = "Bad Request: can't parse entities: Unsupported start tag \"secret\" at byte offset 0";
    telegram.refuses(400, words, json!({})).await;
    telegram.takes(18).await;
    let voice = telegram.voice(&private());
    assert_eq!(voice.post(0, "<b>a &lt; b</b> &amp;lt;", None).await.unwrap(), "18");
    let heard = telegram.heard().await;
    assert_eq!(heard[1]["text"], "a < b &lt;");
    assert_eq!((heard[1].get("parse_mode"), heard.len()), (None, 2));
    for _ in 0..3 {
        telegram.refuses(400, words, json!({})).await;
    }
    let error = voice.post(0, "x", None).await.unwrap_err();
    assert!(matches!(&error, VoiceError::Refused(said) if !said.contains("secret")), "{error:?}");
    assert_eq!(telegram.heard().await.len(), 4, "once as plain text, and no more");
}

#[tokio::test]
async fn a_group_that_has_moved_is_followed() {
    let telegram = Telegram::start().await;
    let words = "Bad Request: group chat was upgraded to a supergroup chat";
    telegram.refuses(400, words, json!({ "migrate_to_chat_id": -1_001_234_567_890_123_i64 })).await;
    telegram.takes(1).await;
    let voice = telegram.voice(&json!({ "chat": -5, "message": 17 }));
    assert_eq!(voice.post(0, "x", None).await.unwrap(), "1");
    telegram.takes(2).await;
    assert_eq!(voice.post(1, "y", None).await.unwrap(), "2");
    let chats: Vec<_> = telegram.heard().await.iter().map(|message| message["chat_id"].as_i64().unwrap()).collect();
    assert_eq!(chats, [-5, -1_001_234_567_890_123, -1_001_234_567_890_123]);
    assert!(telegram.heard().await[1].get("reply_parameters").is_none(), "its messages are counted anew");
}

#[tokio::test]
async fn each_refusal_has_its_meaning() {
    let telegram = Telegram::start().await;
    let voice = telegram.voice(&private());
    for (code, words, parameters, expected) in [
        (429, "Too Many Requests: retry after 14", json!({ "retry_after": 14 }), "Later(Some(14s))"),
        (429, "Too Many Requests", json!({}), "Later(Some(1s))"),
        (429, "Too Many Requests", json!({ "retry_after": u64::MAX }), "Later(Some(3600s))"),
        (
            403,
            "Forbidden: bot was blocked by the user",
            json!({}),
            "Closed(\"403 Forbidden: bot was blocked by the user\")",
        ),
        (401, "Unauthorized", json!({}), "Closed(\"401 Unauthorized\")"),
        (400, "Bad Request: chat not found", json!({}), "Closed(\"400 Bad Request: chat not found\")"),
        (400, "Bad Request: message is too long", json!({}), "Refused(\"400 Bad Request: message is too long\")"),
        (500, "Internal Server Error", json!({}), "Unknown(Broken(500))"),
    ] {
        telegram.refuses(code, words, parameters).await;
        let error = voice.post(0, "x", None).await.unwrap_err();
        assert_eq!(format!("{error:?}"), expected);
    }
    telegram.says("sendMessage", 200, json!({ "ok": true, "result": true })).await;
    assert!(matches!(voice.post(0, "x", None).await, Err(VoiceError::Unknown(_))), "an answer that is none");
}

#[tokio::test]
async fn no_error_and_no_debug_output_shows_the_token() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/prefix/", listener.local_addr().unwrap());
    let api = BotApi::new(client(), Some(&closed.parse().unwrap()), BotToken::parse(TOKEN).unwrap());
    let voice = TelegramVoice::new(api.clone(), &private()).unwrap();
    let cut = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let lost = voice.post(0, "x", None).await.unwrap_err();
    cut.join().unwrap();
    assert!(matches!(lost, VoiceError::Unknown(_)), "{lost:?}");
    let unreached = voice.post(0, "x", None).await.unwrap_err();
    assert!(matches!(unreached, VoiceError::Later(None)), "{unreached:?}");
    let bot = api.me().await.unwrap_err();
    let shown = format!("{lost:?} {unreached:?} {bot:?} {api:?} {voice:?} {}", crate::telemetry::chain(&bot));
    assert!(!shown.contains(&TOKEN[10..]) && shown.contains("110201543"), "{shown}");
}

#[test]
fn a_token_is_what_botfather_tells() {
    assert_eq!(BotToken::parse(TOKEN).unwrap().bot(), "110201543");
    for wrong in ["", "110201543", ":AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "1:short", "1:AAHdqTcvCH1vGWJxfSeof/../../x"]
    {
        assert!(BotToken::parse(wrong).is_none(), "{wrong}");
    }
}

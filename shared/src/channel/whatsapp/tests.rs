//! The voice against a Graph API that says what a test wants.

use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{AccessToken, GraphApi, WhatsAppVoice};
use crate::channel::{Voice, VoiceError};

const TOKEN: &str = "EAAG0123456789secret";
const PHONE: &str = "106540352242922";

struct Graph(MockServer);

impl Graph {
    async fn start() -> Self {
        Self(MockServer::start().await)
    }

    /// The next call is answered so.
    async fn says(&self, status: u16, body: Value) {
        let response = ResponseTemplate::new(status).set_body_json(body);
        let mock = Mock::given(path(format!("/v25.0/{PHONE}/messages"))).respond_with(response);
        mock.up_to_n_times(1).mount(&self.0).await;
    }

    async fn refuses(&self, status: u16, code: i64) {
        let error = json!({ "message": format!("(#{code}) words"), "type": "OAuthException", "code": code });
        self.says(status, json!({ "error": error })).await;
    }

    async fn takes(&self, id: &str) {
        self.says(200, json!({ "messaging_product": "whatsapp", "contacts": [], "messages": [{ "id": id }] })).await;
    }

    fn voice(&self, place: &Value) -> WhatsAppVoice {
        let base = format!("{}/v25.0/", self.0.uri()).parse().unwrap();
        WhatsAppVoice::new(api(&base), place).unwrap()
    }

    async fn heard(&self) -> Vec<Value> {
        let requests = self.0.received_requests().await.unwrap();
        for request in &requests {
            assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}").as_str());
        }
        requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

fn api(base: &url::Url) -> GraphApi {
    let client =
        crate::outbound::client(crate::outbound::TlsRoots::Bundled, std::time::Duration::from_secs(1)).unwrap();
    GraphApi::new(client, Some(base), PHONE.to_owned(), AccessToken::parse(TOKEN).unwrap())
}

#[tokio::test]
async fn the_first_post_answers_in_context_and_a_hidden_number_is_reached_by_its_id() {
    let graph = Graph::start().await;
    graph.takes("wamid.1").await;
    graph.takes("wamid.2").await;
    let message = |text: &str| {
        json!({
            "messaging_product": "whatsapp", "recipient_type": "individual", "type": "text",
            "text": { "body": text, "preview_url": false },
        })
    };
    let voice = graph.voice(&json!({ "to": { "phone": "16505551234" }, "message": "wamid.0" }));
    assert_eq!(voice.post(0, "one", None).await.unwrap(), "wamid.1");
    let hidden = graph.voice(&json!({ "to": { "user": "US.1234" }, "message": "wamid.0" }));
    assert_eq!(hidden.post(1, "two", None).await.unwrap(), "wamid.2");
    let (mut first, mut second) = (message("one"), message("two"));
    first["to"] = "16505551234".into();
    first["context"] = json!({ "message_id": "wamid.0" });
    second["recipient"] = "US.1234".into();
    assert_eq!(graph.heard().await, [first, second]);
}

#[tokio::test]
async fn one_call_marks_a_message_as_read_and_types() {
    let graph = Graph::start().await;
    let voice = graph.voice(&json!({ "to": { "phone": "1" }, "message": "wamid.0" }));
    graph.says(200, json!({ "success": true })).await;
    voice.seen().await;
    voice.busy().await;
    let status = json!({
        "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.0", "typing_indicator": { "type": "text" },
    });
    assert_eq!(graph.heard().await, [status.clone(), status]);
    assert!(voice.pulse().unwrap() < std::time::Duration::from_secs(25));
}

#[tokio::test]
async fn each_refusal_has_its_meaning() {
    let graph = Graph::start().await;
    let voice = graph.voice(&json!({ "to": { "phone": "1" }, "message": "wamid.0" }));
    for (status, code, expected) in [
        (400, 131_047, "Closed(\"131047 (#131047) words\")"),
        (400, 131_026, "Closed(\"131026 (#131026) words\")"),
        (400, 100, "Refused(\"100 (#100) words\")"),
        (401, 190, "Closed(\"190 (#190) words\")"),
        (401, 0, "Closed(\"0 (#0) words\")"),
        (403, 10, "Closed(\"10 (#10) words\")"),
        (403, 200, "Closed(\"200 (#200) words\")"),
        (400, 131_056, "Later(Some(6s))"),
        (400, 130_429, "Later(Some(6s))"),
        (400, 80_007, "Later(Some(6s))"),
        (429, 99, "Later(Some(6s))"),
        (500, 131_000, "Unknown(Broken(131000))"),
        (503, 2, "Unknown(Broken(2))"),
        (500, 1, "Unknown(Broken(1))"),
    ] {
        graph.refuses(status, code).await;
        let error = voice.post(0, "x", None).await.unwrap_err();
        assert_eq!(format!("{error:?}"), expected, "{code}");
    }
    graph.says(502, json!("no")).await;
    assert!(matches!(voice.post(0, "x", None).await, Err(VoiceError::Unknown(_))));
    graph.says(200, json!({ "messages": [] })).await;
    assert!(matches!(voice.post(0, "x", None).await, Err(VoiceError::Unknown(_))), "an answer that is none");
}

#[tokio::test]
async fn no_error_and_no_debug_output_shows_the_token() {
    let graph = Graph::start().await;
    let voice = graph.voice(&json!({ "to": { "phone": "1" }, "message": "wamid.0" }));
    let words = format!("Error validating access token {TOKEN}: expired");
    graph.says(401, json!({ "error": { "code": 190, "message": words } })).await;
    let closed = voice.post(0, "x", None).await.unwrap_err();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let cut = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let lost = api(&base).phone_number().await.unwrap_err();
    cut.join().unwrap();
    let unreached = api(&base).phone_number().await.unwrap_err();
    assert!(matches!(VoiceError::from(unreached), VoiceError::Later(None)));
    let shown = format!("{closed:?} {lost:?} {} {voice:?}", crate::telemetry::chain(&lost));
    assert!(!shown.contains(TOKEN) && shown.contains("expired"), "{shown}");
}

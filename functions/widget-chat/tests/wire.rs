//! What the function says on the wire.

use http::StatusCode;
use serde_json::{Value, json};
use shared::auth::Kind;
use testkit::{Api, Bench, Reply, event, without_ids};

const PATH: &str = "/api/widget/chat";
const WIDGET: &str = "widget: { enabled: true }";

async fn api(front_matter: &str) -> Api {
    Api::new(Bench::new().await, widget_chat::routes(), PATH, Kind::Widget, front_matter).await
}

fn message(text: &str) -> Value {
    json!({ "message": text, "history": [] })
}

/// The names and the data of the events.
fn events(reply: &Reply) -> Vec<(String, Value)> {
    let events = reply.body.split("\n\n").filter(|event| !event.is_empty());
    let read = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap_or_default();
        let name = name.strip_prefix("event: ").unwrap_or_default().to_owned();
        (name, serde_json::from_str(data.strip_prefix("data: ").unwrap_or_default()).unwrap_or_default())
    };
    events.map(read).collect()
}

/// What the documented browser example prints.
fn example_prints(reply: &Reply) -> String {
    let said = reply.data().into_iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    said.filter(|json| json["type"] == "token")
        .filter_map(|json| json["data"]["text"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn the_event_of_a_visitor_is_answered_with_the_contracts_events() {
    let api = api(WIDGET).await;
    let reply = api.send(event(include_str!("../../../events/widget-chat.json"), api.agent.as_str(), &api.key)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert_eq!(reply.header("cache-control"), "no-cache, no-transform");
    assert_eq!(reply.header("access-control-allow-origin"), "https://example.com");
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("20", "19"));
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn every_frame_satisfies_the_table_and_the_example() {
    let tools = "tools:\n  - name: add\n    description: Adds\n    code: return 1;\n";
    let api = api(&format!("{tools}{WIDGET}")).await;
    let reply = api.post(&message("/tool add {}\n/tool nothing {}")).await;
    let events = events(&reply);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..5], ["status", "tool_start", "tool_start", "tool_end", "tool_end"]);
    assert_eq!(names.last(), Some(&"done"));
    for (name, json) in &events {
        assert_eq!(json["type"], name.as_str());
        for (field, value) in json["data"].as_object().unwrap() {
            assert_eq!(&json[field], value, "{name}");
        }
    }
    assert_eq!(events[0].1["status"], "thinking");
    assert_eq!((&events[3].1["name"], &events[3].1["isError"]), (&json!("add"), &json!(false)));
    assert_eq!((&events[4].1["name"], &events[4].1["isError"]), (&json!("nothing"), &json!(true)));
    assert!(example_prints(&reply).starts_with("add answered: 1\nnothing failed:"));
    let metrics = &events[events.len() - 1].1["metrics"];
    assert!(
        metrics["inputTokens"].is_u64() && metrics["outputTokens"].is_u64() && metrics["estimatedCost"].is_number()
    );
}

#[tokio::test]
async fn a_failure_is_an_error_event_and_the_end() {
    let api = api(WIDGET).await;
    for words in ["/fail", "/cut"] {
        let events = events(&api.post(&message(words)).await);
        let (name, json) = &events[events.len() - 1];
        assert_eq!((name.as_str(), &json["type"]), ("error", &json!("error")));
        assert_eq!(json["message"], json["data"]["message"]);
        assert!(events.iter().all(|(name, _)| name != "done"));
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_body_is_told_field_by_field() {
    let api = api(WIDGET).await;
    let item = json!({ "role": "user", "content": "x" });
    let mut told = String::new();
    for body in [
        json!({}),
        json!({ "message": "x".repeat(10_001) }),
        json!({ "message": "x", "history": vec![item.clone(); 51] }),
        json!({ "message": "", "history": [{ "role": "system", "content": "x" }, { "role": "user" }, 3] }),
        json!({ "message": "x", "history": [{ "role": "user", "content": "x".repeat(50_001) }] }),
        json!({ "message": "x", "sessionId": 5 }),
    ] {
        let reply = api.post(&body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        told.push_str(&reply.body);
        told.push('\n');
    }
    insta::assert_snapshot!(told);
    assert_eq!(api.post(&json!({ "message": "x", "history": vec![item; 50] })).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_history_that_is_sent_is_what_the_model_is_told() {
    let api = api(WIDGET).await;
    let history = json!([{ "role": "user", "content": "one" }, { "role": "assistant", "content": "two" }]);
    let reply = api.post(&json!({ "message": "/history", "history": history })).await;
    assert_eq!(example_prints(&reply), "I was given 3 messages. You said:\n- one\n- /history");
}

#[tokio::test]
async fn a_known_session_goes_on_and_an_unknown_one_begins_anew() {
    let api = api(WIDGET).await;
    let session = |reply: &Reply| events(reply).pop().map(|(_, json)| json["sessionId"].clone()).unwrap_or_default();
    let first = session(&api.post(&message("one")).await);
    let history = json!([{ "role": "user", "content": "forged" }]);
    let reply = api.post(&json!({ "message": "/history", "sessionId": first, "history": history })).await;
    assert_eq!(example_prints(&reply), "I was given 3 messages. You said:\n- one\n- /history");
    assert_eq!(session(&reply), first);
    let reply = api.post(&json!({ "message": "/history", "sessionId": "sess_guessed" })).await;
    assert_eq!(example_prints(&reply), "I was given 1 messages. You said:\n- /history");
    assert!(session(&reply) != json!("sess_guessed") && session(&reply) != first);
}

#[tokio::test]
async fn the_21st_message_of_a_minute_is_refused_and_another_key_is_not() {
    let api = api(WIDGET).await;
    for _ in 0..20 {
        assert_eq!(api.post(&message("hi")).await.status, StatusCode::OK);
    }
    let writes = api.bench.writes();
    let refused = api.post(&message("hi")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "3"));
    assert_eq!(api.bench.writes(), writes);
    let other = api.bench.key(&api.agent, Kind::Widget).await;
    assert_eq!(api.post_as(&other, &message("hi")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_message_that_comes_again_with_its_idempotency_key_is_replayed() {
    let api = api(WIDGET).await;
    let first = api.post_once("k", &message("hi there")).await;
    let (usage, writes) = (api.bench.usage().await, api.bench.writes());
    let again = api.post_once("k", &message("hi there")).await;
    assert_eq!(example_prints(&again), example_prints(&first));
    assert_eq!(events(&again).last(), events(&first).last());
    assert_eq!((api.bench.usage().await, api.bench.writes()), (usage, writes));
}

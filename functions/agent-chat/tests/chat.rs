//! The function on real events, over the embedded table, with an identity provider of its own.

use axum::Router;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::auth::Kind;
use shared::id::AgentId;
use testkit::{Reply, Signed, bare, event, post, send, with_header, without_ids};

/// The function, and `ada`, who owns the bench's tenant with one agent.
struct Desk {
    signed: Signed,
    router: Router,
    agent: AgentId,
    path: String,
}

impl Desk {
    async fn new(front_matter: &str) -> Self {
        let signed = Signed::new("enterprise").await;
        let agent = signed.bench.agent(front_matter, "You are a test.").await;
        let router = signed.bench.router(agent_chat::routes());
        Self { path: format!("/api/agents/{agent}/chat"), router, agent, signed }
    }

    async fn post(&self, body: &Value) -> Reply {
        send(&self.router, post(&self.path, &self.signed.ada, body)).await
    }

    async fn post_once(&self, name: &str, body: &Value) -> Reply {
        let request = post(&self.path, &self.signed.ada, body);
        send(&self.router, with_header(request, "idempotency-key", name.as_bytes())).await
    }
}

fn message(text: &str) -> Value {
    json!({ "message": text })
}

/// The data of each event.
fn events(reply: &Reply) -> Vec<Value> {
    reply.data().into_iter().map(|data| serde_json::from_str(data).unwrap_or_default()).collect()
}

fn said(reply: &Reply) -> String {
    events(reply).iter().filter_map(|event| event["data"]["text"].as_str()).collect()
}

fn types(reply: &Reply) -> Vec<String> {
    events(reply).iter().map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn the_event_of_a_dashboard_is_answered_with_the_session_and_the_widgets_events() {
    let desk = Desk::new("").await;
    let file = include_str!("../../../events/agent-chat.json").replace("ID_TOKEN", &desk.signed.ada);
    let reply = send(&desk.router, event(&file, desk.agent.as_str(), "")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("30", "29"));
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn tools_are_told_and_counted_and_a_failure_is_the_end() {
    let desk = Desk::new("tools:\n  - name: add\n    description: Adds\n    code: return 1;\n").await;
    let reply = desk.post(&message("/tool add {}")).await;
    let all = types(&reply);
    assert_eq!(all[..4], ["session", "status", "tool_start", "tool_end"]);
    let done = events(&reply).pop().unwrap_or_default();
    assert_eq!((&done["type"], &done["metrics"]["toolCallCount"]), (&json!("done"), &json!(1)));
    assert_eq!((&done["agentId"], &done["data"]["agentId"]), (&json!(desk.agent), &json!(desk.agent)));
    let failed = desk.post(&message("/fail")).await;
    assert_eq!(types(&failed).last().map(String::as_str), Some("error"));
}

#[tokio::test]
async fn the_first_event_names_the_session_and_the_next_message_carries_it_on() {
    let desk = Desk::new("").await;
    let first = desk.post(&message("one")).await;
    let session = events(&first)[0]["sessionId"].clone();
    assert_eq!(events(&first).pop().unwrap_or_default()["sessionId"], session);
    let reply = desk.post(&json!({ "message": "/history", "sessionId": session })).await;
    assert_eq!(said(&reply), "I was given 3 messages. You said:\n- one\n- /history");
    assert_eq!(events(&reply)[0]["sessionId"], session);
}

#[tokio::test]
async fn history_and_metadata_reach_the_model() {
    let desk = Desk::new("").await;
    let history = json!([{ "role": "user", "content": "one" }, { "role": "assistant", "content": "two" }]);
    let reply = desk.post(&json!({ "message": "/history", "history": history, "metadata": { "page": 7 } })).await;
    assert_eq!(said(&reply), "I was given 3 messages. You said:\n- one\n- /history");
}

#[tokio::test]
async fn the_31st_message_of_a_user_is_refused_whatever_the_agent_and_another_users_is_not() {
    let desk = Desk::new("").await;
    for _ in 0..30 {
        assert_eq!(desk.post(&message("hi")).await.status, StatusCode::OK);
    }
    let other = desk.signed.bench.agent("", "").await;
    let path = format!("/api/agents/{other}/chat");
    let writes = desk.signed.bench.writes();
    let refused = send(&desk.router, post(&path, &desk.signed.ada, &message("hi"))).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "2"));
    assert_eq!(desk.signed.bench.writes(), writes);
    let bob = desk.signed.user("bob", &desk.signed.bench.tenant).await;
    assert_eq!(send(&desk.router, post(&path, &bob, &message("hi"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_message_that_comes_again_with_its_idempotency_key_is_replayed() {
    let desk = Desk::new("").await;
    let first = desk.post_once("k", &message("hi there")).await;
    let (usage, writes) = (desk.signed.bench.usage().await, desk.signed.bench.writes());
    let again = desk.post_once("k", &message("hi there")).await;
    assert_eq!((said(&again), events(&again).pop()), (said(&first), events(&first).pop()));
    assert_eq!(events(&again)[0], events(&first)[0]);
    assert_eq!((desk.signed.bench.usage().await, desk.signed.bench.writes()), (usage, writes));
    assert_eq!(desk.post_once("k", &message("another")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn every_refusal_writes_nothing_and_can_be_read_by_a_page() {
    let desk = Desk::new("").await;
    let bench = &desk.signed.bench;
    let key = bench.key(&desk.agent, Kind::Server).await;
    let stranger = desk.signed.stranger("eve").await;
    let newcomer = desk.signed.issuer.token("newcomer");
    let writes = bench.writes();
    let mut told = String::new();
    for reply in [
        send(&desk.router, bare(Method::GET, &desk.path, &desk.signed.ada)).await,
        send(&desk.router, post(&desk.path, "", &message("hi"))).await,
        send(&desk.router, post(&desk.path, "no.token.atall", &message("hi"))).await,
        send(&desk.router, post(&desk.path, &key, &message("hi"))).await,
        send(&desk.router, post(&desk.path, &stranger, &message("hi"))).await,
        send(&desk.router, post(&desk.path, &newcomer, &message("hi"))).await,
        send(&desk.router, post("/api/agents/ag_unknown/chat", &desk.signed.ada, &message("hi"))).await,
        desk.post(&json!({ "message": "x".repeat(50_001), "sessionId": 5, "history": [{ "role": "system" }] })).await,
        desk.post(&json!({ "metadata": { "a": "x".repeat(40_000) } })).await,
    ] {
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{}", reply.body);
        told.push_str(&format!("{} {}\n", reply.status.as_u16(), without_ids(&reply.body)));
    }
    assert_eq!(bench.writes(), writes);
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_page_may_ask_with_an_authorization_header() {
    let desk = Desk::new("").await;
    let asked = with_header(bare(Method::OPTIONS, &desk.path, ""), "access-control-request-headers", b"authorization");
    let reply = send(&desk.router, asked).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (StatusCode::NO_CONTENT, "*"));
    assert_eq!(reply.header("access-control-allow-headers"), "authorization");
    assert_eq!(reply.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn a_session_that_is_ended_is_forgotten_and_no_other_can_be() {
    let desk = Desk::new("").await;
    let session = events(&desk.post(&message("one")).await)[0]["sessionId"].as_str().unwrap_or_default().to_owned();
    let end = async |session: &str, token: &str| {
        let path = format!("/api/agents/{}/sessions/{session}", desk.agent);
        send(&desk.router, bare(Method::DELETE, &path, token)).await
    };
    let stranger = desk.signed.stranger("eve").await;
    assert_eq!(end(&session, &stranger).await.json()["code"], "agent_not_found");
    assert_eq!(end("sess_unknown", &desk.signed.ada).await.json()["code"], "session_not_found");
    let file = include_str!("../../../events/agent-chat-end.json").replace("ID_TOKEN", &desk.signed.ada);
    let file = file.replace("sess_00000000000000000000000000", &session);
    let reply = send(&desk.router, event(&file, desk.agent.as_str(), "")).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({ "success": true, "sessionId": session })));
    assert_eq!(end(&session, &desk.signed.ada).await.status, StatusCode::NOT_FOUND, "it is over");
    let reply = desk.post(&json!({ "message": "/history", "sessionId": session })).await;
    assert_eq!(said(&reply), "I was given 1 messages. You said:\n- /history");
    assert!(events(&reply)[0]["sessionId"] != json!(session));
}

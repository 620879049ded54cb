//! How much a caller may do, and what it costs to say no.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use shared::app::App;
use shared::auth::{Kind, NewKey};
use shared::clock::Clock;
use shared::config::Config;
use testkit::{Api, BEGIN, Bench, plain_key, post, post_bytes, send};
use tokio::task::JoinSet;

const PATH: &str = "/api/agents/{agent}/v1/chat/completions";

async fn api(plan: &str, front_matter: &str) -> Api {
    Api::new(Bench::with_plan(plan).await, chat_completions::routes(), PATH, Kind::Server, front_matter).await
}

fn said(words: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": words }] })
}

#[tokio::test]
async fn every_reply_to_a_known_caller_tells_how_its_bucket_stands() {
    let api = api("enterprise", "").await;
    for (body, status, remaining) in [
        (said("hi"), 200, "29"),
        (json!({}), 400, "29"),
        (said("/fail"), 500, "28"),
        (json!({ "stream": true, "messages": [{ "role": "user", "content": "hi" }] }), 200, "27"),
    ] {
        let reply = api.post(&body).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("30", remaining));
        let used = 30 - remaining.parse::<i64>().unwrap();
        assert_eq!(reply.header("x-ratelimit-reset"), (BEGIN + 2_000 * used).to_string());
    }
}

#[tokio::test]
async fn the_31st_call_of_a_minute_waits_as_long_as_it_is_told() {
    let api = api("enterprise", "").await;
    for _ in 0..30 {
        assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK);
    }
    let refused = api.post(&said("hi")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-remaining")), ("2", "0"));
    assert_eq!(refused.header("x-ratelimit-reset"), (BEGIN + 60_000).to_string());
    api.bench.wait(Duration::from_secs(1));
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::TOO_MANY_REQUESTS);
    api.bench.wait(Duration::from_secs(1));
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK);
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::TOO_MANY_REQUESTS);
    api.bench.wait(Duration::from_secs(60));
    assert_eq!(api.post(&said("hi")).await.header("x-ratelimit-remaining"), "29");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_calls_at_once_no_more_pass_than_the_bucket_holds() {
    let api = Arc::new(api("enterprise", "").await);
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let api = Arc::clone(&api);
        calls.spawn(async move { api.post(&said("hi")).await });
    }
    let replies = calls.join_all().await;
    let (passed, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == StatusCode::OK);
    assert_eq!(passed.len(), 30);
    for reply in refused {
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{}", reply.body);
        assert_eq!((reply.header("retry-after"), reply.header("x-ratelimit-remaining")), ("2", "0"));
    }
    assert_eq!(api.bench.usage().await.turns, 30);
}

#[tokio::test]
async fn a_refused_request_writes_nothing() {
    let api = api("enterprise", "limits: { requests_per_minute: { openai: 1 } }").await;
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK);
    let (reads, writes) = (api.bench.reads(), api.bench.writes());
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(api.post_once("k", &said("hi")).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((api.bench.reads(), api.bench.writes()), (reads + 2, writes), "one read each");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_takes_no_token_and_writes_nothing() {
    let api = api("enterprise", "").await;
    let writes = api.bench.writes();
    for _ in 0..40 {
        assert_eq!(api.send(post_bytes(&api.path, &api.key, "{")).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(api.bench.writes(), writes);
    assert_eq!(api.post(&said("hi")).await.header("x-ratelimit-remaining"), "29");
}

#[tokio::test]
async fn an_unknown_key_costs_one_read_and_what_is_no_key_costs_nothing() {
    let api = api("enterprise", "").await;
    let (reads, writes) = (api.bench.reads(), api.bench.writes());
    let unknown = format!("kpn_{}", "0".repeat(64));
    assert_eq!(api.post_as(&unknown, &said("hi")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(api.bench.reads(), reads + 1);
    for malformed in ["", "sk-abc", "kpn", &format!("kpn_{}", "0".repeat(300))] {
        assert_eq!(api.post_as(malformed, &said("hi")).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!((api.bench.reads(), api.bench.writes()), (reads + 1, writes));
    assert_eq!(api.post(&said("hi")).await.header("x-ratelimit-remaining"), "29", "nobody's token was spent");
}

#[tokio::test]
async fn a_key_that_is_known_costs_one_read_and_one_write_before_the_model_and_one_transaction_after() {
    let api = api("enterprise", "").await;
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK);
    let before = api.bench.database.counts();
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK);
    let mut after = api.bench.database.counts();
    after.iter_mut().for_each(|(name, count)| *count -= before.get(name).copied().unwrap_or_default());
    after.retain(|_, count| *count > 0);
    let expected = [("BatchGetItem", 1), ("TransactWriteItems", 1), ("UpdateItem", 1)];
    assert_eq!(after, BTreeMap::from(expected.map(|(name, count)| (name.to_owned(), count))));
}

#[tokio::test]
async fn the_bucket_is_the_agents_whatever_the_key() {
    let api = api("enterprise", "limits: { requests_per_minute: { openai: 2 } }").await;
    let second = api.bench.key(&api.agent, Kind::Server).await;
    let other = api.bench.agent("limits: { requests_per_minute: { openai: 2 } }", "").await;
    let others = api.bench.key(&other, Kind::Server).await;
    assert_eq!(api.post(&said("hi")).await.header("x-ratelimit-limit"), "2");
    assert_eq!(api.post_as(&second, &said("hi")).await.status, StatusCode::OK);
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(api.post_as(&second, &said("hi")).await.header("retry-after"), "30");
    let path = PATH.replace("{agent}", other.as_str());
    assert_eq!(api.send(post(&path, &others, &said("hi"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_may_have_a_rate_of_its_own() {
    let api = api("enterprise", "").await;
    let new = NewKey { requests_per_minute: Some(2), ..plain_key(&api.agent) };
    let (slow, _) = api.bench.new_key(new).await;
    for remaining in ["1", "0"] {
        let reply = api.post_as(&slow, &said("hi")).await;
        assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("2", remaining));
    }
    let writes = api.bench.writes();
    let refused = api.post_as(&slow, &said("hi")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "30"));
    assert_eq!(api.bench.writes(), writes);
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK, "the agent's other keys go on");
}

#[tokio::test]
async fn a_plan_that_is_used_up_refuses_until_the_next_month() {
    let api = api("free", "").await;
    assert_eq!(api.post(&said(&"word ".repeat(9_999))).await.status, StatusCode::OK);
    let writes = api.bench.writes();
    let reply = api.post(&said("hi")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let error = reply.json()["error"].clone();
    assert_eq!(error["message"], "Monthly token limit reached (10K)");
    assert_eq!((&error["type"], &error["code"]), (&json!("insufficient_quota"), &json!("quota_exceeded")));
    assert_eq!(api.bench.writes(), writes);
    api.bench.wait(Duration::from_secs(7 * 86_400));
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_budget_stops_a_turn_that_calls_tools_too() {
    let tool = "tools:\n  - name: words\n    description: Says much\n    code: return 'word '.repeat(10000);";
    let api = api("free", tool).await;
    let near = api.post(&said(&"word ".repeat(5_800))).await;
    assert_eq!(near.status, StatusCode::OK);
    let used = api.bench.usage().await;
    assert!((9_850..10_000).contains(&(used.input_tokens + used.output_tokens)), "{used:?}");
    let fill = said(&format!("/tool words\n{}", "word ".repeat(200)));
    let reply = api.post(&fill).await;
    assert_eq!(reply.status, StatusCode::OK);
    let choice = reply.json()["choices"][0].clone();
    assert_eq!(choice["message"]["content"], "I had to stop here: the monthly token limit is reached.");
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(api.post(&said("hi")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_503_and_worth_another_try() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let variables =
        [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let config = Config::read(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    let app = App::in_the_cloud(config, Clock::system()).unwrap();
    let router = chat_completions::routes().with_state(app);
    let reply = send(&router, post("/api/agents/ag_1/v1/chat/completions", "kpn_1", &said("hi"))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    let error = reply.json()["error"].clone();
    assert_eq!((&error["type"], &error["code"]), (&json!("server_error"), &json!("unavailable")));
    assert!(!reply.body.contains("127.0.0.1"));
}

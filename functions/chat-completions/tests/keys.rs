//! Which keys open the door.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use shared::auth::{KeyringError, Kind, NewKey, Scope};
use testkit::{Api, Bench, Reply, plain_key, with_header};
use tokio::task::JoinSet;

const PATH: &str = "/api/agents/{agent}/v1/chat/completions";

async fn api() -> Api {
    Api::new(Bench::new().await, chat_completions::routes(), PATH, Kind::Server, "").await
}

fn hello() -> Value {
    json!({ "messages": [{ "role": "user", "content": "hi" }] })
}

fn refusal(reply: &Reply) -> (u16, String) {
    let error = reply.json()["error"].clone();
    (reply.status.as_u16(), error["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_revoked_key_stops_at_once() {
    let api = api().await;
    let (key, item) = api.bench.new_key(plain_key(&api.agent)).await;
    assert_eq!(api.post_as(&key, &hello()).await.status, StatusCode::OK);
    api.bench.keyring().revoke(&api.agent, &item.id).await.unwrap();
    assert_eq!(refusal(&api.post_as(&key, &hello()).await), (401, "API key is disabled.".to_owned()));
    assert_eq!(api.post(&hello()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_expires_to_the_second() {
    let api = api().await;
    let new = NewKey { expires_at: Some(api.bench.clock.now() + Duration::from_secs(60)), ..plain_key(&api.agent) };
    let (key, _) = api.bench.new_key(new).await;
    api.bench.wait(Duration::from_secs(59));
    assert_eq!(api.post_as(&key, &hello()).await.status, StatusCode::OK);
    api.bench.wait(Duration::from_secs(1));
    assert_eq!(refusal(&api.post_as(&key, &hello()).await), (401, "API key has expired.".to_owned()));
}

#[tokio::test]
async fn a_rotated_key_stops_and_its_successor_is_what_it_was() {
    let api = api().await;
    let new = NewKey { requests_per_minute: Some(7), scopes: vec![Scope::Chat], ..plain_key(&api.agent) };
    let (old, item) = api.bench.new_key(new).await;
    let (plain, successor) = api.bench.keyring().rotate(&api.agent, &item.id).await.unwrap();
    assert_eq!(refusal(&api.post_as(&old, &hello()).await).0, 401);
    let reply = api.post_as(plain.reveal(), &hello()).await;
    assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (StatusCode::OK, "7"));
    let keys = api.bench.keyring().list(&api.agent).await.unwrap();
    let old = keys.iter().find(|key| key.id == item.id).unwrap();
    assert_eq!((old.enabled, &old.rotated_to), (false, &Some(successor.id)));
    assert_eq!(old.rotated_at, Some(testkit::BEGIN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_20_rotations_at_once_one_wins_and_one_key_works() {
    let api = Arc::new(api().await);
    let (old, item) = api.bench.new_key(plain_key(&api.agent)).await;
    let mut rotations = JoinSet::new();
    for _ in 0..20 {
        let (api, id) = (Arc::clone(&api), item.id.clone());
        rotations.spawn(async move { api.bench.keyring().rotate(&api.agent, &id).await });
    }
    let outcomes = rotations.join_all().await;
    let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(KeyringError::Disabled))));
    assert_eq!(api.post_as(won[0].0.reveal(), &hello()).await.status, StatusCode::OK);
    assert_eq!(refusal(&api.post_as(&old, &hello()).await).0, 401);
    let keys = api.bench.keyring().list(&api.agent).await.unwrap();
    let enabled = keys.iter().filter(|key| key.enabled);
    assert_eq!(enabled.count(), 2, "the successor, and the key of the bench");
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn keys_of_others_and_for_other_things_are_403() {
    let api = api().await;
    let other = api.bench.agent("widget: { enabled: true }", "").await;
    let foreign = api.bench.key(&other, Kind::Server).await;
    let widget = api.bench.key(&api.agent, Kind::Widget).await;
    let (scoped, _) = api.bench.new_key(NewKey { scopes: vec![Scope::Webhook], ..plain_key(&api.agent) }).await;
    for (key, message) in [
        (&foreign, "API key is not authorized for this agent."),
        (&widget, "API key is not authorized for this endpoint."),
        (&scoped, "API key is not authorized for this endpoint."),
    ] {
        assert_eq!(refusal(&api.post_as(key, &hello()).await), (403, message.to_owned()));
    }
    let (right, _) = api.bench.new_key(NewKey { scopes: vec![Scope::Chat], ..plain_key(&api.agent) }).await;
    assert_eq!(api.post_as(&right, &hello()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_with_origins_works_on_their_pages_and_on_servers() {
    let api = api().await;
    let origins = vec!["https://Example.com".to_owned()];
    let (key, _) = api.bench.new_key(NewKey { origins, ..plain_key(&api.agent) }).await;
    assert_eq!(api.post_as(&key, &hello()).await.status, StatusCode::OK);
    for (origin, status) in [("https://example.com", 200), ("https://example.com.evil.org", 403), ("null", 403)] {
        let request = with_header(testkit::post(&api.path, &key, &hello()), "origin", origin.as_bytes());
        assert_eq!(api.send(request).await.status, status, "{origin}");
    }
}

#[tokio::test]
async fn the_text_of_a_key_is_nowhere_in_the_table() {
    let api = api().await;
    let (key, item) = api.bench.new_key(plain_key(&api.agent)).await;
    let (successor, _) = api.bench.keyring().rotate(&api.agent, &item.id).await.unwrap();
    assert_eq!(api.post_as(successor.reveal(), &hello()).await.status, StatusCode::OK);
    assert_eq!(api.post_once("k", &hello()).await.status, StatusCode::OK);
    let table = api.bench.dump().await;
    assert!(table.contains(&item.hash) && table.contains(&key[..8]));
    for key in [&key, &api.key, successor.reveal()] {
        assert!(!table.contains(&key[8..24]));
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_is_known_to_the_hour() {
    let api = api().await;
    let last_use = async || api.bench.keyring().list(&api.agent).await.unwrap()[0].last_used_at;
    assert_eq!(last_use().await, None);
    for (wait, expected) in [(0, 0), (30 * 60, 0), (31 * 60, 61 * 60)] {
        api.bench.wait(Duration::from_secs(wait));
        assert_eq!(api.post(&hello()).await.status, StatusCode::OK);
        assert_eq!(last_use().await, Some(testkit::BEGIN + 1000 * expected));
    }
}

//! How many keys a plan has room for.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use super::{Desk, key_of};

#[tokio::test]
async fn of_many_keys_made_at_once_a_plan_takes_as_many_as_it_has_room_for() {
    for (plan, room) in [("free", 1), ("pro", 3)] {
        let desk = Desk::on(plan).await;
        let replies = join_all((0..12).map(|_| desk.create(json!({})))).await;
        let (made, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
        assert_eq!((made.len(), refused.len()), (room, 12 - room), "{plan}");
        for reply in refused {
            assert_eq!(reply.status, 403);
            assert_eq!(reply.json()["error"], format!("Connector limit reached ({room})"));
            assert_eq!(reply.json()["code"], "connector_limit_reached");
        }
        assert_eq!(desk.list().await.len(), room);
    }
}

#[tokio::test]
async fn a_key_that_works_no_more_leaves_its_room_and_a_rotation_takes_none() {
    let desk = Desk::on("free").await;
    let (server, _) = desk.key(json!({ "expiresAt": "2026-03-25T14:31:00Z" })).await;
    key_of(&desk.rotate(&server, json!({ "graceSeconds": 30 })).await);
    assert_eq!(desk.create(json!({})).await.status, 403);
    desk.bench.wait(Duration::from_secs(60));
    let (server, _) = desk.key(json!({})).await;
    assert_eq!(desk.create(json!({})).await.status, 403);
    assert_eq!(desk.delete(&server).await.status, 200);
    desk.key(json!({})).await;
}

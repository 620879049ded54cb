//! A key's life: made, used, rotated, deleted.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use shared::auth::AuthError;

use super::{Desk, key_of};

#[tokio::test]
async fn rotation_and_deletion_are_felt_by_the_very_next_request() {
    let desk = Desk::new().await;
    let (server, first) = desk.key(json!({})).await;
    assert!(desk.opens(&first).await.is_ok());
    let second = key_of(&desk.rotate(&server, json!({})).await);
    assert!(matches!(desk.opens(&first).await, Err(AuthError::Disabled)));
    assert!(desk.opens(&second).await.is_ok());
    let third = key_of(&desk.rotate(&server, json!({ "graceSeconds": 0 })).await);
    assert!(matches!(desk.opens(&second).await, Err(AuthError::Disabled)), "the server's id stays");
    assert_eq!(desk.delete(&server).await.json(), json!({ "success": true }));
    assert!(matches!(desk.opens(&third).await, Err(AuthError::Disabled)));
    assert_eq!(desk.delete(&server).await.status, 200, "a repeated request finds it done");
    assert_eq!(desk.rotate(&server, json!({})).await.status, 404);
}

#[tokio::test]
async fn within_its_grace_a_rotated_key_works_beside_the_new_one() {
    let desk = Desk::new().await;
    let (server, first) = desk.key(json!({})).await;
    let second = key_of(&desk.rotate(&server, json!({ "graceSeconds": 60 })).await);
    assert!(desk.opens(&first).await.is_ok() && desk.opens(&second).await.is_ok());
    desk.bench.wait(Duration::from_secs(59));
    assert!(desk.opens(&first).await.is_ok());
    desk.bench.wait(Duration::from_secs(1));
    assert!(matches!(desk.opens(&first).await, Err(AuthError::Expired)));
    assert!(desk.opens(&second).await.is_ok());

    let third = key_of(&desk.rotate(&server, json!({ "graceSeconds": 60 })).await);
    assert_eq!(desk.delete(&server).await.status, 200);
    for key in [&second, &third] {
        assert!(matches!(desk.opens(key).await, Err(AuthError::Disabled)), "a deletion waits for no grace");
    }
}

#[tokio::test]
async fn a_grace_makes_no_key_live_longer() {
    let desk = Desk::new().await;
    let (server, first) = desk.key(json!({ "expiresAt": "2026-03-25T14:31:00Z" })).await;
    let second = key_of(&desk.rotate(&server, json!({ "graceSeconds": 3600 })).await);
    desk.bench.wait(Duration::from_secs(60));
    for key in [&first, &second] {
        assert!(matches!(desk.opens(key).await, Err(AuthError::Expired)));
    }
    assert_eq!(desk.rotate(&server, json!({})).await.json()["code"], "key_disabled");
    assert_eq!(desk.delete(&server).await.status, 200);
}

#[tokio::test]
async fn twenty_rotations_at_once_leave_one_key_that_works() {
    let desk = Desk::new().await;
    let (server, first) = desk.key(json!({})).await;
    let replies = join_all((0..20).map(|_| desk.rotate(&server, json!({})))).await;
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.status == 409));
    let mut working = 0;
    for reply in replies.iter().filter(|reply| reply.status == 200) {
        working += usize::from(desk.opens(&key_of(reply)).await.is_ok());
    }
    assert_eq!(working, 1);
    assert!(desk.opens(&first).await.is_err());
    let listed = desk.list().await;
    assert_eq!(listed.iter().filter(|key| key["enabled"] == true).count(), 1);
    for pair in listed.windows(2) {
        assert_eq!((&pair[0]["rotatedTo"], &pair[0]["serverId"]), (&pair[1]["id"], &pair[1]["serverId"]));
        assert_eq!(pair[0]["rotatedAt"], "2026-03-25T14:30:00.000Z");
    }
}

#[tokio::test]
async fn a_limit_of_its_own_holds_for_the_key_and_those_that_follow() {
    let desk = Desk::new().await;
    let (server, first) = desk.key(json!({ "rateLimitPerMinute": 2 })).await;
    let second = key_of(&desk.rotate(&server, json!({ "graceSeconds": 60 })).await);
    for key in [&first, &second] {
        for allowed in [true, true, false] {
            let caller = desk.caller(key).await.unwrap();
            assert_eq!(desk.bench.app.admissions().take(&caller.pass).await.is_ok(), allowed);
        }
    }
    assert!(desk.list().await.iter().all(|key| key["rateLimitPerMinute"] == 2));
}

#[tokio::test]
async fn a_widgets_key_is_bound_to_the_origins_that_it_was_made_for() {
    let desk = Desk::new().await;
    let origins = json!({ "kind": "widget", "allowedOrigins": ["https://Shop.example:443/"] });
    let (_, key) = desk.key(origins).await;
    assert!(matches!(desk.opens(&key).await, Err(AuthError::WrongKind)));
    let listed = desk.list().await;
    assert_eq!(
        (&listed[0]["kind"], &listed[0]["allowedOrigins"]),
        (&json!("widget"), &json!(["https://shop.example"]))
    );
    let refused = desk.create(json!({ "allowedOrigins": ["https://shop.example"] })).await;
    assert_eq!(refused.json()["details"], json!(["allowedOrigins: Only a key of kind widget has origins"]));
}

//! Users and their tenants, connectors and the room that a plan has for them.

use serde_json::json;
use shared::id::{AgentId, TenantId};
use shared::store::{KeyItem, TenantItem, UserItem};
use tokio::task::JoinSet;

use super::{NOW, Table, key, successor};

/// A user, and a tenant that would be theirs.
fn user(hash: &str) -> (UserItem, TenantItem) {
    let tenant = TenantId::generate();
    let user = UserItem {
        hash: hash.to_owned(),
        issuer: "https://issuer.example".to_owned(),
        subject: "ada".to_owned(),
        tenant: tenant.clone(),
        created_at: NOW,
    };
    (user, TenantItem::new(tenant, NOW))
}

#[tokio::test]
async fn of_many_first_sights_of_a_user_one_makes_their_tenant() {
    let store = Table::racing().await;
    let mut sights = JoinSet::new();
    for _ in 0..8 {
        let (store, (user, tenant)) = (store.clone(), user("hash of ada"));
        sights.spawn(async move { (store.put_new_user(&user, &tenant).await.unwrap(), tenant.tenant) });
    }
    let seen = sights.join_all().await;
    let owned = store.user("hash of ada").await.unwrap().unwrap().tenant;
    for (won, tenant) in seen {
        assert_eq!(won, tenant == owned);
        assert_eq!(store.tenant(&tenant).await.unwrap().is_some(), won, "the losers left nothing behind");
    }
    assert_eq!(store.user("hash of bob").await.unwrap(), None);
}

#[tokio::test]
async fn of_many_keys_at_once_no_more_are_stored_than_there_is_room_for() {
    let store = Table::racing().await;
    for most in [1, 3] {
        let (tenant, agent) = (TenantId::generate(), AgentId::generate());
        let mut makers = JoinSet::new();
        for _ in 0..12 {
            let (store, new) = (store.clone(), key(&tenant, &agent));
            makers.spawn(async move { store.put_key_within(&new, most, NOW).await.unwrap() });
        }
        let made = makers.join_all().await.into_iter().filter(|made| *made).count();
        assert_eq!(made, most as usize);
        assert_eq!(store.keys(&tenant, &agent).await.unwrap().len(), made);
    }
}

#[tokio::test]
async fn a_connector_leads_to_the_key_that_stands_in_it() {
    let store = Table::new().await;
    let (tenant, agent) = (TenantId::generate(), AgentId::generate());
    let old = KeyItem { expires_at: Some(NOW + 60), ..key(&tenant, &agent) };
    assert!(store.put_key_within(&old, 1, NOW).await.unwrap());
    let hash = async || store.connector(&tenant, &old.connector).await.unwrap().map(|found| found.key_hash);
    assert_eq!(hash().await, Some(old.hash.clone()));
    assert_eq!(store.connector(&TenantId::generate(), &old.connector).await.unwrap(), None);

    let new = successor(&old);
    assert!(store.rotate_key(&old, &new, NOW, Some(NOW + 30)).await.unwrap());
    assert_eq!(hash().await, Some(new.hash.clone()));
    assert!(!store.rotate_key(&old, &successor(&old), NOW, None).await.unwrap(), "another took its place");
    let old = store.key(&tenant, &old.hash).await.unwrap().unwrap();
    assert_eq!((old.enabled, old.expires_at, &old.rotated_to), (true, Some(NOW + 30), &Some(new.id.clone())));
    assert!(store.revoke_key(&old, NOW).await.unwrap());
    assert_eq!(hash().await, Some(new.hash.clone()), "the end of a grace ends no connector");

    assert!(!store.put_key_within(&key(&tenant, &agent), 1, NOW).await.unwrap());
    assert!(store.revoke_key(&new, NOW).await.unwrap());
    assert_eq!(hash().await, None);
    assert!(store.put_key_within(&key(&tenant, &agent), 1, NOW).await.unwrap());
}

#[tokio::test]
async fn a_key_without_a_connector_is_rotated_into_one_and_can_be_revoked() {
    let store = Table::new().await;
    let (tenant, agent) = (TenantId::generate(), AgentId::generate());
    let alone = async || {
        let item = key(&tenant, &agent);
        store.put_key(&item).await.unwrap();
        let key = |pk: String, sk: String| json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        let connector = key(format!("TENANT#{tenant}"), format!("CONNECTOR#{}", item.connector));
        store.call("DeleteItem", json!({ "Key": connector })).await;
        let bare = key(format!("KEY#{}", item.hash), "KEY".to_owned());
        store.call("UpdateItem", json!({ "Key": bare, "UpdateExpression": "REMOVE connector" })).await;
        store.key(&tenant, &item.hash).await.unwrap().unwrap()
    };
    let old = alone().await;
    let new = successor(&old);
    assert!(store.rotate_key(&old, &new, NOW, None).await.unwrap());
    let found = store.connector(&tenant, &new.connector).await.unwrap().unwrap();
    assert_eq!(found.key_hash, new.hash);
    assert!(store.revoke_key(&alone().await, NOW).await.unwrap());
}

//! Tenants, agents, webhooks and keys.

use shared::id::{AgentId, KeyId, TenantId};
use shared::store::{AgentItem, GateRequest, KeyItem, StoreError, TenantItem, UsageItem};
use tokio::task::JoinSet;

use super::{MONTH, NOW, Table, agent, key, successor, webhook};

#[tokio::test]
async fn a_table_that_stands_already_is_left_as_it_is() {
    let store = Table::new().await;
    let item = agent(&TenantId::generate());
    assert!(store.put_agent(&item).await.unwrap());
    store.create_table().await.unwrap();
    assert_eq!(store.agent(&item.tenant, &item.id).await.unwrap(), Some(item));
}

#[tokio::test]
async fn a_tenant_is_stored_over_what_was_stored_of_it() {
    let store = Table::new().await;
    let mut item = TenantItem { monthly_tokens: Some(5), ..TenantItem::new(TenantId::generate(), NOW) };
    assert_eq!(store.tenant(&item.tenant).await.unwrap(), None);
    store.put_tenant(&item).await.unwrap();
    (item.plan, item.monthly_tokens) = ("pro".into(), None);
    store.put_tenant(&item).await.unwrap();
    assert_eq!(store.usage(&item.tenant, MONTH).await.unwrap(), UsageItem::default());
    assert_eq!(store.tenant(&item.tenant).await.unwrap(), Some(item));
}

#[tokio::test]
async fn what_belongs_to_another_tenant_is_neither_returned_nor_changed() {
    let store = Table::new().await;
    let (ours, theirs) = (TenantId::generate(), TenantId::generate());
    let mut item = agent(&theirs);
    let (id, settings) = webhook();
    assert!(store.put_agent(&item).await.unwrap());
    assert!(store.put_webhook(&theirs, &item.id, &id, &settings).await.unwrap());
    item.webhooks.insert(id.to_string(), settings.clone());
    let their_key = key(&theirs, &item.id);
    store.put_key(&their_key).await.unwrap();

    assert_eq!(store.agent(&ours, &item.id).await.unwrap(), None);
    assert_eq!(store.agents(&ours).await.unwrap(), []);
    assert_eq!(store.keys(&ours, &item.id).await.unwrap(), []);
    for version in [1, 2] {
        let stolen = AgentItem { tenant: ours.clone(), version, ..item.clone() };
        assert!(!store.put_agent(&stolen).await.unwrap(), "version {version}");
    }
    assert!(!store.put_webhook(&ours, &item.id, &webhook().0, &settings).await.unwrap());
    assert!(!store.delete_webhook(&ours, &item.id, &id).await.unwrap());
    assert!(!store.delete_agent(&ours, &item.id).await.unwrap());
    let as_ours = KeyItem { tenant: ours.clone(), ..their_key.clone() };
    assert!(!store.revoke_key(&as_ours, NOW).await.unwrap());
    assert!(!store.rotate_key(&as_ours, &successor(&as_ours), NOW, None).await.unwrap());

    assert_eq!(store.agents(&theirs).await.unwrap(), [item.clone()]);
    assert_eq!(store.keys(&theirs, &item.id).await.unwrap(), [their_key]);
    assert_eq!(store.agent(&theirs, &item.id).await.unwrap(), Some(item));
}

#[tokio::test]
async fn of_many_writers_of_one_version_one_wins() {
    let store = Table::racing().await;
    let first = agent(&TenantId::generate());
    assert!(store.put_agent(&first).await.unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (store, item) = (store.clone(), AgentItem { version: 2, source: writer.to_string(), ..first.clone() });
        writers.spawn(async move { store.put_agent(&item).await.unwrap().then_some(item) });
    }
    let won: Vec<AgentItem> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.agent(&first.tenant, &first.id).await.unwrap().as_ref(), won.first());
}

#[tokio::test]
async fn versions_follow_one_another_and_webhooks_survive_them() {
    let store = Table::new().await;
    let mut item = agent(&TenantId::generate());
    assert!(!store.put_agent(&AgentItem { version: 2, ..item.clone() }).await.unwrap(), "there is no version 1");
    assert!(store.put_agent(&item).await.unwrap());
    assert!(!store.put_agent(&item).await.unwrap(), "version 1 stands");
    assert!(!store.put_agent(&AgentItem { version: 3, ..item.clone() }).await.unwrap(), "version 2 is missing");

    let (id, settings) = webhook();
    assert!(store.put_webhook(&item.tenant, &item.id, &id, &settings).await.unwrap());
    item.version = 2;
    item.name = "sales".to_owned();
    assert!(store.put_agent(&item).await.unwrap());
    let stored = store.agent(&item.tenant, &item.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.name.as_str()), (2, "sales"));
    assert_eq!(stored.webhooks.get(id.as_str()), Some(&settings));

    assert!(store.delete_webhook(&item.tenant, &item.id, &id).await.unwrap());
    assert!(!store.delete_webhook(&item.tenant, &item.id, &id).await.unwrap(), "it is gone");
    assert!(store.delete_agent(&item.tenant, &item.id).await.unwrap());
    assert!(!store.delete_agent(&item.tenant, &item.id).await.unwrap(), "it is gone");
    assert!(!store.put_agent(&AgentItem { version: 3, ..item.clone() }).await.unwrap(), "nothing comes back to life");
    assert!(!store.put_webhook(&item.tenant, &item.id, &id, &settings).await.unwrap());
}

#[tokio::test]
async fn agents_are_listed_by_name_over_all_pages() {
    let store = Table::new().await;
    let tenant = TenantId::generate();
    for name in ["c", "a", "e", "b", "d"] {
        let item = AgentItem { name: name.into(), source: "x".repeat(300_000), ..agent(&tenant) };
        assert!(store.put_agent(&item).await.unwrap());
    }
    let names: Vec<String> = store.agents(&tenant).await.unwrap().into_iter().map(|item| item.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"], "1.5 MB are two pages");
}

#[tokio::test]
async fn of_twenty_rotations_at_once_one_wins_and_leaves_one_key_that_works() {
    let store = Table::racing().await;
    let (tenant, agent) = (TenantId::generate(), AgentId::generate());
    let old = key(&tenant, &agent);
    store.put_key(&old).await.unwrap();
    let mut rotations = JoinSet::new();
    for _ in 0..20 {
        let (store, old, new) = (store.clone(), old.clone(), successor(&old));
        rotations.spawn(async move { store.rotate_key(&old, &new, NOW + 1, None).await.unwrap().then_some(new.id) });
    }
    let won: Vec<KeyId> = rotations.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let (working, disabled): (Vec<_>, Vec<_>) =
        store.keys(&tenant, &agent).await.unwrap().into_iter().partition(|key| key.enabled);
    assert_eq!(working.iter().map(|key| &key.id).collect::<Vec<_>>(), [&won[0]]);
    assert_eq!(disabled.len(), 1, "the losers left nothing behind");
    assert_eq!((&disabled[0].rotated_to, disabled[0].rotated_at), (&Some(won[0].clone()), Some(NOW + 1)));
}

#[tokio::test]
async fn a_key_is_revoked_once_and_cannot_be_rotated_then() {
    let store = Table::new().await;
    let (tenant, agent) = (TenantId::generate(), AgentId::generate());
    let old = key(&tenant, &agent);
    store.put_key(&old).await.unwrap();
    store.put_key(&old).await.unwrap();
    assert!(store.revoke_key(&old, NOW + 5).await.unwrap());
    assert!(!store.revoke_key(&old, NOW + 6).await.unwrap());
    assert!(!store.rotate_key(&old, &successor(&old), NOW + 7, None).await.unwrap());
    let keys = store.keys(&tenant, &agent).await.unwrap();
    assert_eq!(keys, [KeyItem { enabled: false, revoked_at: Some(NOW + 5), ..old.clone() }]);
    let same_text = KeyItem { id: KeyId::generate(), ..old };
    assert!(matches!(store.put_key(&same_text).await, Err(StoreError::Taken)), "two keys share no hash");
}

#[tokio::test]
async fn one_batch_finds_what_is_there_and_leaves_open_what_is_not() {
    let store = Table::new().await;
    let item = agent(&TenantId::generate());
    let door = key(&item.tenant, &item.id);
    assert!(store.put_agent(&item).await.unwrap());
    store.put_key(&door).await.unwrap();
    let request = GateRequest {
        key: Some(door.hash.clone()),
        agent: Some(item.id.clone()),
        buckets: vec!["one".into(), "two".into()],
        tenant: Some((item.tenant.clone(), MONTH.into())),
        idempotency: Some("none".into()),
        ..GateRequest::default()
    };
    let gate = store.read_gate(&request).await.unwrap();
    assert_eq!((gate.key, gate.agent, gate.buckets), (Some(door), Some(item), vec![None, None]));
    assert!(gate.tenant.is_none() && gate.usage.is_none() && gate.idempotency.is_none());
    let nothing = store.read_gate(&GateRequest::default()).await.unwrap();
    assert!(nothing.key.is_none() && nothing.buckets.is_empty());
}

#[tokio::test]
async fn an_agent_that_is_larger_than_an_item_is_refused_and_the_one_before_stays() {
    let store = Table::new().await;
    let item = agent(&TenantId::generate());
    assert!(store.put_agent(&item).await.unwrap());
    let large = AgentItem { version: 2, source: "x".repeat(410 * 1024), ..item.clone() };
    assert!(matches!(store.put_agent(&large).await, Err(StoreError::Refused(_))));
    assert_eq!(store.agent(&item.tenant, &item.id).await.unwrap(), Some(item));
}

#[tokio::test]
async fn what_is_named_longer_than_a_key_can_be_is_not_there_and_does_not_hide_the_rest() {
    let store = Table::new().await;
    let item = agent(&TenantId::generate());
    let door = key(&item.tenant, &item.id);
    store.put_key(&door).await.unwrap();
    let endless = "a".repeat(3_000);
    let request = GateRequest {
        key: Some(door.hash.clone()),
        agent: Some(AgentId::from(endless.as_str())),
        buckets: vec![endless.clone(), "one".into()],
        ..GateRequest::default()
    };
    let gate = store.read_gate(&request).await.unwrap();
    assert_eq!((gate.key, gate.agent, gate.buckets), (Some(door), None, vec![None, None]));
    assert_eq!(store.agent(&item.tenant, &AgentId::from(endless)).await.unwrap(), None);
}

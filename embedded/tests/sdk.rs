//! The embedded database through the real SDK.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    KeysAndAttributes, Projection, ProjectionType, Put, ReturnValuesOnConditionCheckFailure, ScalarAttributeType,
    TimeToLiveSpecification, TimeToLiveStatus, TransactWriteItem,
};
use aws_sdk_dynamodb::{Client, Config};
use embedded::EmbeddedDynamo;

const TABLE: &str = "orrery";

#[expect(clippy::disallowed_methods, reason = "a client over the embedded database alone")]
fn client(database: &EmbeddedDynamo) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .http_client(database.clone())
            .build(),
    )
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

fn attribute(name: &str) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap()
}

async fn create_table(client: &Client) {
    client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .set_attribute_definitions(Some(["pk", "sk", "gpk", "gsk"].map(attribute).to_vec()))
        .global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name("by-group")
                .key_schema(key("gpk", KeyType::Hash))
                .key_schema(key("gsk", KeyType::Range))
                .projection(Projection::builder().projection_type(ProjectionType::All).build())
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    let ttl = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build().unwrap();
    client.update_time_to_live().table_name(TABLE).time_to_live_specification(ttl).send().await.unwrap();
}

async fn put(client: &Client, sk: &str, value: &str) {
    let call = client.put_item().table_name(TABLE).item("pk", text("p")).item("sk", text(sk));
    call.item("v", text(value)).item("gpk", text("g")).item("gsk", text(sk)).send().await.unwrap();
}

async fn value(client: &Client, sk: &str) -> Option<String> {
    let call = client.get_item().table_name(TABLE).consistent_read(true).key("pk", text("p")).key("sk", text(sk));
    call.send().await.unwrap().item?.get("v")?.as_s().ok().cloned()
}

async fn with_table(path: Option<&Path>) -> (EmbeddedDynamo, Client) {
    let database = EmbeddedDynamo::open(path).unwrap();
    let client = client(&database);
    create_table(&client).await;
    (database, client)
}

#[tokio::test]
async fn a_table_has_its_index_and_its_time_to_live() {
    let (_, client) = with_table(None).await;
    let table = client.describe_table().table_name(TABLE).send().await.unwrap().table.unwrap();
    assert_eq!(table.global_secondary_indexes()[0].index_name(), Some("by-group"));
    let ttl = client.describe_time_to_live().table_name(TABLE).send().await.unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!((ttl.time_to_live_status(), ttl.attribute_name()), (Some(&TimeToLiveStatus::Enabled), Some("ttl")));
    assert_eq!(client.list_tables().send().await.unwrap().table_names(), [TABLE]);
}

#[tokio::test]
async fn a_failed_condition_carries_the_item_that_stands_there() {
    let (_, client) = with_table(None).await;
    put(&client, "a", "first").await;
    let error = client
        .put_item()
        .table_name(TABLE)
        .item("pk", text("p"))
        .item("sk", text("a"))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let failed = match error {
        aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(failed) => failed,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed.item().unwrap()["v"], text("first"));
    assert_eq!(value(&client, "a").await.as_deref(), Some("first"));
}

#[tokio::test]
async fn a_cancelled_transaction_writes_nothing_and_tells_why() {
    let (_, client) = with_table(None).await;
    put(&client, "a", "first").await;
    let write = |sk: &str, condition: Option<&str>| {
        let put = Put::builder().table_name(TABLE).item("pk", text("p")).item("sk", text(sk));
        let put = put
            .set_condition_expression(condition.map(str::to_owned))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    };
    let items = vec![write("b", None), write("a", Some("attribute_not_exists(pk)"))];
    let error =
        client.transact_write_items().set_transact_items(Some(items)).send().await.unwrap_err().into_service_error();
    let reasons = match &error {
        aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
            cancelled,
        ) => cancelled.cancellation_reasons(),
        other => panic!("{other:?}"),
    };
    assert_eq!([reasons[0].code(), reasons[1].code()], [Some("None"), Some("ConditionalCheckFailed")]);
    assert_eq!(reasons[1].item().unwrap()["v"], text("first"));
    assert!(
        client
            .get_item()
            .table_name(TABLE)
            .key("pk", text("p"))
            .key("sk", text("b"))
            .send()
            .await
            .unwrap()
            .item
            .is_none()
    );
}

#[tokio::test]
async fn a_batch_reads_what_was_just_written_and_leaves_out_what_is_missing() {
    let (database, client) = with_table(None).await;
    put(&client, "a", "1").await;
    put(&client, "b", "2").await;
    let keys =
        ["a", "b", "missing"].map(|sk| HashMap::from([("pk".to_owned(), text("p")), ("sk".to_owned(), text(sk))]));
    let keys = KeysAndAttributes::builder().set_keys(Some(keys.to_vec())).consistent_read(true).build().unwrap();
    let batch = client.batch_get_item().request_items(TABLE, keys).send().await.unwrap();
    let mut values: Vec<_> = batch.responses().unwrap()[TABLE].iter().map(|item| item["v"].as_s().unwrap()).collect();
    values.sort();
    assert_eq!(values, ["1", "2"]);
    let count = |name: &str, count| (name.to_owned(), count);
    let expected =
        [count("BatchGetItem", 1), count("CreateTable", 1), count("PutItem", 2), count("UpdateTimeToLive", 1)];
    assert_eq!(database.counts(), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_query_goes_backwards_through_a_prefix_page_by_page() {
    let (_, client) = with_table(None).await;
    for sk in ["m#1", "m#2", "m#3", "n#1"] {
        put(&client, sk, sk).await;
    }
    let query = |index: Option<&str>, condition: &str, partition: &str| {
        client
            .query()
            .table_name(TABLE)
            .set_index_name(index.map(str::to_owned))
            .key_condition_expression(condition)
            .expression_attribute_values(":p", text(partition))
            .expression_attribute_values(":s", text("m#"))
            .scan_index_forward(false)
            .limit(2)
    };
    let page = query(None, "pk = :p AND begins_with(sk, :s)", "p").send().await.unwrap();
    let order: Vec<_> = page.items().iter().map(|item| item["sk"].as_s().unwrap().as_str()).collect();
    assert_eq!(order, ["m#3", "m#2"]);
    let rest = query(None, "pk = :p AND begins_with(sk, :s)", "p").set_exclusive_start_key(page.last_evaluated_key);
    assert_eq!(rest.send().await.unwrap().items()[0]["sk"], text("m#1"));
    let indexed = query(Some("by-group"), "gpk = :p AND begins_with(gsk, :s)", "g").send().await.unwrap();
    assert_eq!(indexed.items()[0]["v"], text("m#3"));
}

#[tokio::test]
async fn a_missing_table_is_the_sdks_own_error() {
    let database = EmbeddedDynamo::open(None).unwrap();
    let call = client(&database).get_item().table_name("nowhere").key("pk", text("p")).key("sk", text("s"));
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

#[tokio::test]
async fn what_the_database_does_not_answer_is_refused() {
    let database = EmbeddedDynamo::open(None).unwrap();
    let error = client(&database).describe_limits().send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("UnknownOperationException"));
    assert!(database.counts().is_empty());
}

#[tokio::test]
async fn expired_items_go_when_they_are_swept() {
    let (database, client) = with_table(None).await;
    put(&client, "kept", "1").await;
    let old = client.put_item().table_name(TABLE).item("pk", text("p")).item("sk", text("old"));
    old.item("ttl", AttributeValue::N("1000000000".to_owned())).item("v", text("x")).send().await.unwrap();
    assert_eq!(database.sweep_expired().unwrap(), 1);
    assert_eq!((value(&client, "old").await, value(&client, "kept").await), (None, Some("1".to_owned())));
}

#[tokio::test]
async fn a_file_keeps_its_items() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let (database, first) = with_table(Some(&path)).await;
    put(&first, "a", "kept").await;
    drop((first, database));
    let again = EmbeddedDynamo::open(Some(&path)).unwrap();
    assert_eq!(value(&client(&again), "a").await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_place_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = EmbeddedDynamo::open(Some(&directory.path().join("missing/table.db"))).unwrap_err().to_string();
    assert!(error.contains("missing/table.db"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_on_one_file_both_write() {
    const EACH: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let (_first, one) = with_table(Some(&path)).await;
    let second = EmbeddedDynamo::open(Some(&path)).unwrap();
    let add = |client: Client| async move {
        for _ in 0..EACH {
            let call = client.update_item().table_name(TABLE).key("pk", text("p")).key("sk", text("n"));
            let call = call.update_expression("ADD n :one");
            call.expression_attribute_values(":one", AttributeValue::N("1".to_owned())).send().await.unwrap();
        }
    };
    tokio::join!(add(one.clone()), add(client(&second)));
    let item = one.get_item().table_name(TABLE).key("pk", text("p")).key("sk", text("n")).consistent_read(true);
    let item = item.send().await.unwrap().item.unwrap();
    assert_eq!(item["n"], AttributeValue::N((2 * EACH).to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_may_be_opened_by_several_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || EmbeddedDynamo::open(Some(&path)).map(drop))
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
}

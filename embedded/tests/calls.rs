//! The embedded database through the JSON of DynamoDB's API.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use embedded::EmbeddedDynamo;
use serde_json::{Value, json};

const TABLE: &str = "orrery";

async fn call(database: &EmbeddedDynamo, operation: &str, request: Value) -> (u16, Value) {
    let target = format!("DynamoDB_20120810.{operation}");
    let (status, body) = database.call(&target, request.to_string().into()).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn ok(database: &EmbeddedDynamo, operation: &str, request: Value) -> Value {
    let (status, answer) = call(database, operation, request).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn schema(hash: &str, range: &str) -> Value {
    json!([{ "AttributeName": hash, "KeyType": "HASH" }, { "AttributeName": range, "KeyType": "RANGE" }])
}

async fn with_table(path: Option<&Path>) -> EmbeddedDynamo {
    let database = EmbeddedDynamo::open(path).unwrap();
    let names = ["pk", "sk", "gpk", "gsk"].map(|name| json!({ "AttributeName": name, "AttributeType": "S" }));
    let index = json!({
        "IndexName": "by-group", "KeySchema": schema("gpk", "gsk"), "Projection": { "ProjectionType": "ALL" },
    });
    let table = json!({
        "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST", "KeySchema": schema("pk", "sk"),
        "AttributeDefinitions": names, "GlobalSecondaryIndexes": [index],
    });
    ok(&database, "CreateTable", table).await;
    let ttl = json!({ "Enabled": true, "AttributeName": "ttl" });
    ok(&database, "UpdateTimeToLive", json!({ "TableName": TABLE, "TimeToLiveSpecification": ttl })).await;
    database
}

fn key(sk: &str) -> Value {
    json!({ "pk": { "S": "p" }, "sk": { "S": sk } })
}

async fn put(database: &EmbeddedDynamo, sk: &str, value: &str) {
    let text = |text: &str| json!({ "S": text });
    let item = json!({ "pk": text("p"), "sk": text(sk), "gpk": text("g"), "gsk": text(sk), "v": text(value) });
    ok(database, "PutItem", json!({ "TableName": TABLE, "Item": item })).await;
}

async fn value(database: &EmbeddedDynamo, sk: &str) -> Value {
    ok(database, "GetItem", json!({ "TableName": TABLE, "Key": key(sk) })).await["Item"]["v"]["S"].clone()
}

#[tokio::test]
async fn a_table_has_its_index_and_its_time_to_live() {
    let database = with_table(None).await;
    let table = ok(&database, "DescribeTable", json!({ "TableName": TABLE })).await;
    assert_eq!(table["Table"]["GlobalSecondaryIndexes"][0]["IndexName"], "by-group");
    let ttl = ok(&database, "DescribeTimeToLive", json!({ "TableName": TABLE })).await;
    assert_eq!(ttl["TimeToLiveDescription"], json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": "ttl" }));
    assert_eq!(ok(&database, "ListTables", json!({})).await["TableNames"], json!([TABLE]));
}

#[tokio::test]
async fn a_failed_condition_carries_the_item_that_stands_there() {
    let database = with_table(None).await;
    put(&database, "a", "first").await;
    let request = json!({
        "TableName": TABLE, "Item": key("a"), "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let (status, error) = call(&database, "PutItem", request).await;
    assert_eq!(status, 400);
    assert!(error["__type"].as_str().unwrap().ends_with("#ConditionalCheckFailedException"), "{error}");
    assert_eq!(error["Item"]["v"]["S"], "first");
    assert_eq!(value(&database, "a").await, "first");
}

#[tokio::test]
async fn a_cancelled_transaction_writes_nothing_and_tells_why() {
    let database = with_table(None).await;
    put(&database, "a", "first").await;
    let new = json!({ "Put": { "TableName": TABLE, "Item": key("b") } });
    let taken = json!({ "Put": {
        "TableName": TABLE, "Item": key("a"), "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    } });
    let (status, error) = call(&database, "TransactWriteItems", json!({ "TransactItems": [new, taken] })).await;
    assert_eq!(status, 400);
    let reasons = &error["CancellationReasons"];
    assert_eq!([&reasons[0]["Code"], &reasons[1]["Code"]], ["None", "ConditionalCheckFailed"]);
    assert_eq!(reasons[1]["Item"]["v"]["S"], "first");
    assert_eq!(ok(&database, "GetItem", json!({ "TableName": TABLE, "Key": key("b") })).await, json!({}));
}

#[tokio::test]
async fn a_batch_reads_what_was_just_written_and_leaves_out_what_is_missing() {
    let database = with_table(None).await;
    put(&database, "a", "1").await;
    put(&database, "b", "2").await;
    let keys = ["a", "b", "missing"].map(key);
    let request = json!({ "RequestItems": { TABLE: { "Keys": keys, "ConsistentRead": true } } });
    let batch = ok(&database, "BatchGetItem", request).await;
    let items = batch["Responses"][TABLE].as_array().unwrap();
    let mut values: Vec<_> = items.iter().map(|item| item["v"]["S"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["1", "2"]);
    let count = |name: &str, count| (name.to_owned(), count);
    let expected =
        [count("BatchGetItem", 1), count("CreateTable", 1), count("PutItem", 2), count("UpdateTimeToLive", 1)];
    assert_eq!(database.counts(), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_query_goes_backwards_through_a_prefix_page_by_page() {
    let database = with_table(None).await;
    for sk in ["m#1", "m#2", "m#3", "n#1"] {
        put(&database, sk, sk).await;
    }
    let query = |names: [&str; 2], partition: &str| {
        json!({
            "TableName": TABLE, "KeyConditionExpression": format!("{} = :p AND begins_with({}, :s)", names[0], names[1]),
            "ExpressionAttributeValues": { ":p": { "S": partition }, ":s": { "S": "m#" } },
            "ScanIndexForward": false, "Limit": 2,
        })
    };
    let page = ok(&database, "Query", query(["pk", "sk"], "p")).await;
    assert_eq!([&page["Items"][0]["sk"]["S"], &page["Items"][1]["sk"]["S"]], ["m#3", "m#2"]);
    let mut rest = query(["pk", "sk"], "p");
    rest["ExclusiveStartKey"] = page["LastEvaluatedKey"].clone();
    assert_eq!(ok(&database, "Query", rest).await["Items"][0]["sk"]["S"], "m#1");
    let mut indexed = query(["gpk", "gsk"], "g");
    indexed["IndexName"] = "by-group".into();
    assert_eq!(ok(&database, "Query", indexed).await["Items"][0]["v"]["S"], "m#3");
}

#[tokio::test]
async fn a_missing_table_and_an_unknown_operation_are_refused() {
    let database = EmbeddedDynamo::open(None).unwrap();
    let (status, error) = call(&database, "GetItem", json!({ "TableName": "nowhere", "Key": key("s") })).await;
    assert_eq!(status, 400);
    assert!(error["__type"].as_str().unwrap().ends_with("#ResourceNotFoundException"), "{error}");
    let (status, error) = call(&database, "DescribeLimits", json!({})).await;
    assert_eq!(status, 400);
    assert!(error["__type"].as_str().unwrap().ends_with("#UnknownOperationException"), "{error}");
    assert_eq!(database.counts().keys().collect::<Vec<_>>(), ["GetItem"]);
}

#[tokio::test]
async fn expired_items_go_when_they_are_swept() {
    let database = with_table(None).await;
    put(&database, "kept", "1").await;
    let mut old = key("old");
    old["ttl"] = json!({ "N": "1000000000" });
    old["v"] = json!({ "S": "x" });
    ok(&database, "PutItem", json!({ "TableName": TABLE, "Item": old })).await;
    assert_eq!(database.sweep_expired().unwrap(), 1);
    assert_eq!((value(&database, "old").await, value(&database, "kept").await), (Value::Null, "1".into()));
}

#[tokio::test]
async fn a_file_keeps_its_items() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    let database = with_table(Some(&path)).await;
    put(&database, "a", "kept").await;
    drop(database);
    let again = EmbeddedDynamo::open(Some(&path)).unwrap();
    assert_eq!(value(&again, "a").await, "kept");
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
    let first = with_table(Some(&path)).await;
    let second = EmbeddedDynamo::open(Some(&path)).unwrap();
    let add = async |database: &EmbeddedDynamo| {
        for _ in 0..EACH {
            let values = json!({ ":one": { "N": "1" } });
            let request = json!({
                "TableName": TABLE, "Key": key("n"), "UpdateExpression": "ADD n :one",
                "ExpressionAttributeValues": values,
            });
            ok(database, "UpdateItem", request).await;
        }
    };
    tokio::join!(add(&first), add(&second));
    let found = ok(&first, "GetItem", json!({ "TableName": TABLE, "Key": key("n"), "ConsistentRead": true })).await;
    assert_eq!(found["Item"]["n"]["N"], (2 * EACH).to_string());
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

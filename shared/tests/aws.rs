//! The client of AWS's services: what is tried again, what is not, and what is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::aws::{AwsError, Client, Service};
use shared::clock::Clock;
use shared::config::Aws;
use shared::outbound::{self, TlsRoots};
use wiremock::matchers::{body_json, header, header_regex, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const TARGET: &str = "DynamoDB_20120810.GetItem";

fn client(endpoint: &str, credentials: Option<(&str, &str, Option<&str>)>) -> Client {
    let http = outbound::client(TlsRoots::Bundled, Duration::from_secs(1)).unwrap();
    let credentials = credentials.map(|(id, key, token)| (id.to_owned(), key.into(), token.map(Into::into)));
    let (region, dynamodb_endpoint) = ("eu-central-1".to_owned(), Some(endpoint.to_owned()));
    let aws = Aws { region, dynamodb_endpoint, credentials, ..Aws::default() };
    Client::new(http, Clock::manual(Timestamp::UNIX_EPOCH), Service::DynamoDb, &aws)
}

/// A server that refuses so often, and then answers.
async fn refusing(times: u64, status: u16, code: &str) -> MockServer {
    let server = MockServer::start().await;
    let refusal = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "as told" });
    let refusal = ResponseTemplate::new(status).set_body_json(refusal);
    Mock::given(method("POST")).respond_with(refusal).up_to_n_times(times).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200).set_body_json(json!({}))).mount(&server).await;
    server
}

#[tokio::test]
async fn a_call_carries_its_operation_its_signature_and_the_sessions_token() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/"))
        .and(header("x-amz-target", TARGET))
        .and(header("content-type", "application/x-amz-json-1.0"))
        .and(header("x-amz-date", "19700101T000000Z"))
        .and(header("x-amz-security-token", "session"))
        .and(header_regex("authorization", "^AWS4-HMAC-SHA256 Credential=id/19700101/eu-central-1/dynamodb/"))
        .and(body_json(json!({ "TableName": "t" })))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "Item": {} })))
        .expect(1)
        .mount(&server)
        .await;
    let client = client(&server.uri(), Some(("id", "a private key", Some("session"))));
    let answer = client.call(TARGET, json!({ "TableName": "t" }).to_string()).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), json!({ "Item": {} }));
    let shown = format!("{client:?}");
    assert!(!shown.contains("private") && !shown.contains("session"), "{shown}");
}

#[tokio::test]
async fn what_may_pass_is_tried_three_times() {
    for (status, code) in [(500, "InternalServerError"), (503, "ServiceUnavailable"), (400, "ThrottlingException")] {
        let server = refusing(2, status, code).await;
        assert!(client(&server.uri(), Some(("id", "key", None))).call(TARGET, "{}").await.is_ok(), "{code}");
        let server = refusing(3, status, code).await;
        let error = client(&server.uri(), Some(("id", "key", None))).call(TARGET, "{}").await.unwrap_err();
        assert!(error.is_transient() && error.code() == Some(code), "{error:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_refusal_is_told_at_once_with_its_details() {
    let server = MockServer::start().await;
    let body = json!({ "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "Message": "no", "Item": { "v": { "S": "kept" } } });
    let refusal = ResponseTemplate::new(400).set_body_json(body);
    Mock::given(method("POST")).respond_with(refusal).expect(1).mount(&server).await;
    let error = client(&server.uri(), Some(("id", "key", None))).call(TARGET, "{}").await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(error.code(), Some("ConditionalCheckFailedException"));
    assert_eq!(error.detail::<Value>().unwrap()["Item"]["v"]["S"], "kept");
    assert!(!format!("{error:?} {error}").contains("kept"), "items do not show");
}

#[tokio::test]
async fn what_is_no_answer_of_aws_is_still_an_error() {
    for (status, body) in [(502, "<html>"), (400, ""), (200, "ok")] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(status).set_body_string(body))
            .mount(&server)
            .await;
        let outcome = client(&server.uri(), Some(("id", "key", None))).call(TARGET, "{}").await;
        assert_eq!(outcome.is_err(), status != 200, "{status}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_credentials() {
    let server = MockServer::start().await;
    let error = client(&server.uri(), None).call(TARGET, "{}").await.unwrap_err();
    assert!(matches!(error, AwsError::NoCredentials));
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_connection_that_breaks_is_opened_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let service = Client::in_process(Arc::new(move |_, _, attempt| {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if attempt < 3 { Err(std::io::ErrorKind::ConnectionReset.into()) } else { Ok((200, "{}".into())) }
        })
    }));
    assert_eq!(service.call(TARGET, "{}").await.unwrap(), "{}");
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

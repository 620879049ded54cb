//! The beginning and the end.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::fake::Fake;
use super::{Running, rest, scripted};
use crate::lambda::api::RuntimeApi;
use crate::lambda::connection::Address;
use crate::lambda::extension::Extension;
use crate::lambda::reply::ErrorReport;
use crate::lambda::runtime::{LAST_REPLY, LAST_SETTLING};

#[tokio::test]
async fn an_idle_loop_ends_at_once_and_in_order() {
    let fake = Fake::start().await;
    let mut running = Running::start(&fake, scripted().0);
    let mut peer = fake.accept().await;
    peer.asked().await;
    running.stop();
    running.ended().await.unwrap();
    peer.is_closed().await;
}

#[tokio::test]
async fn the_running_invocation_is_finished_and_what_it_began_too() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let mut running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    peer.chunk().await.unwrap();
    let stored = running.tasks.spawn(tokio::time::sleep(Duration::from_millis(30)));
    running.stop();
    frames.unbounded_send(Ok(Bytes::from_static(b"the end"))).unwrap();
    assert_eq!(peer.chunk().await.unwrap(), b"the end");
    drop(frames);
    assert_eq!(peer.chunk().await, None);
    peer.trailers().await;
    peer.accept_reply().await;
    running.ended().await.unwrap();
    assert!(stored.is_finished());
    peer.is_closed().await;
}

#[tokio::test]
async fn an_invocation_that_does_not_end_is_given_up_before_the_process_is_killed() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let mut running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    running.tasks.spawn(std::future::pending::<()>());
    let begin = Instant::now();
    running.stop();
    running.ended().await.unwrap();
    let took = begin.elapsed();
    assert!(took >= LAST_REPLY + LAST_SETTLING && took < Duration::from_secs(2), "{took:?}");
    assert!(LAST_REPLY + LAST_SETTLING < Duration::from_millis(450));
    peer.is_closed().await;
    assert!(frames.is_closed());
}

#[tokio::test]
async fn a_failed_start_is_told() {
    let fake = Fake::start().await;
    let report = ErrorReport { error_message: "ORRERY_TABLE is wrong", error_type: "Runtime.InitError" };
    let mut api = RuntimeApi::new(fake.address());
    let lambda = async {
        let mut peer = fake.accept().await;
        let head = peer.head().await;
        assert_eq!(head.line, "POST /2018-06-01/runtime/init/error HTTP/1.1");
        assert_eq!(head.headers["lambda-runtime-function-error-type"], "Runtime.InitError");
        let body: Value = serde_json::from_slice(&peer.body(&head).await).unwrap();
        assert_eq!(body, json!({"errorMessage": "ORRERY_TABLE is wrong", "errorType": "Runtime.InitError"}));
        peer.accept_reply().await;
    };
    let (told, ()) = tokio::join!(api.fail_to_start(&report), lambda);
    told.unwrap();
}

#[tokio::test]
async fn an_extension_without_events_is_registered_and_waits() {
    let fake = Fake::start().await;
    let address = Address::new(&format!("http://{}/prefix", fake.address().authority));
    let lambda = async {
        let mut peer = fake.accept().await;
        let head = peer.head().await;
        assert_eq!(head.line, "POST /prefix/2020-01-01/extension/register HTTP/1.1");
        assert!(head.headers.contains_key("lambda-extension-name"));
        assert_eq!(peer.body(&head).await, br#"{"events":[]}"#);
        peer.write("HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: x1\r\nContent-Length: 2\r\n\r\n{}").await;
        peer
    };
    let (extension, mut peer) = tokio::join!(Extension::register(&address), lambda);
    let head = peer.head().await;
    assert_eq!(head.line, "GET /prefix/2020-01-01/extension/event/next HTTP/1.1");
    assert_eq!(head.headers["lambda-extension-identifier"], "x1");
    peer.is_silent().await;
    drop(extension.expect("it is registered"));
    peer.is_closed().await;
}

#[tokio::test]
async fn a_runtime_api_without_extensions_is_no_failure() {
    let fake = Fake::start().await;
    let address = fake.address();
    for answer in ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ""] {
        let lambda = async {
            let mut peer = fake.accept().await;
            peer.head().await;
            peer.write(answer).await;
        };
        let (extension, ()) = tokio::join!(Extension::register(&address), lambda);
        assert!(extension.is_none());
    }
}

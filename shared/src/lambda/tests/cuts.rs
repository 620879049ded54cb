//! Connections that are cut, at every point.

use axum::body::Bytes;

use super::fake::Fake;
use super::{Running, rest, scripted, serves};
use crate::lambda::api::{RuntimeApi, RuntimeApiError};
use crate::lambda::connection::Address;

#[tokio::test]
async fn a_connection_that_is_cut_before_an_event_is_opened_again() {
    let fake = Fake::start().await;
    let _running = Running::start(&fake, scripted().0);
    drop(fake.accept().await);
    let mut peer = fake.accept().await;
    peer.asked().await;
    drop(peer);
    for part in
        ["HTTP/1.1 200", "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a\r\nContent-Length: 9\r\n\r\n{\"path"]
    {
        let mut peer = fake.accept().await;
        peer.asked().await;
        peer.write(part).await;
        drop(peer);
    }
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "no http\r\n\r\n",
    ] {
        let mut peer = fake.accept().await;
        peer.asked().await;
        peer.write(answer).await;
        peer.is_closed().await;
    }
    let mut peer = fake.accept().await;
    peer.asked().await;
    peer.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    serves(&mut peer).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_reply_carries_it_on_a_new_one() {
    let fake = Fake::start().await;
    let _running = Running::start(&fake, scripted().0);
    let mut peer = fake.accept().await;
    peer.asked().await;
    let event = rest("GET", "/plain").to_string();
    let length = event.len();
    peer.write(&format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nLambda-Runtime-Aws-Request-Id: one\r\nContent-Length: {length}\r\n\r\n{event}"
    ))
    .await;
    drop(peer);
    let mut peer = fake.accept().await;
    let reply = peer.reply().await;
    assert!(reply.head.line.contains("/invocation/one/response"));
    assert_eq!(reply.body, b"ok");
    peer.accept_reply().await;
    serves(&mut peer).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_during_the_reply_drops_it_and_the_next_invocation_is_served() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    peer.chunk().await.unwrap();
    frames.unbounded_send(Ok(Bytes::from_static(b"x"))).unwrap();
    peer.chunk().await.unwrap();
    drop(peer);
    let mut peer = fake.accept().await;
    assert!(frames.is_closed());
    serves(&mut peer).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_after_an_early_answer_drops_the_reply() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    peer.accept_reply().await;
    peer.chunk().await.unwrap();
    drop(peer);
    let mut peer = fake.accept().await;
    assert!(frames.is_closed());
    serves(&mut peer).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_reply_ends_the_invocation() {
    let fake = Fake::start().await;
    let _running = Running::start(&fake, scripted().0);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/plain")).await;
    peer.reply().await;
    drop(peer);
    serves(&mut fake.accept().await).await;
}

#[tokio::test]
async fn a_reply_that_is_refused_is_dropped_and_the_next_invocation_is_served() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    peer.write("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n").await;
    peer.is_closed().await;
    assert!(frames.is_closed());
    serves(&mut fake.accept().await).await;
}

#[tokio::test]
async fn who_hangs_up_again_and_again_is_given_up() {
    tokio::time::pause();
    let fake = Fake::start().await;
    let mut running = Running::start(&fake, scripted().0);
    let hang_up = async {
        loop {
            drop(fake.accept().await);
        }
    };
    tokio::select! {
        outcome = running.outcome.join_next() => assert!(outcome.unwrap().unwrap().is_err()),
        () = hang_up => {}
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_given_up_after_some_seconds() {
    let address = Fake::start().await.address();
    let begin = tokio::time::Instant::now();
    let error = RuntimeApi::new(address).next().await.unwrap_err();
    assert!(matches!(error, RuntimeApiError::Connect(_)), "{error}");
    assert!((2..20).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[test]
fn an_address_is_a_host_with_a_port_or_a_url_with_a_path() {
    for (text, authority, prefix) in [
        ("127.0.0.1:9001", "127.0.0.1:9001", ""),
        ("http://127.0.0.1:9000/.rt/chat/", "127.0.0.1:9000", "/.rt/chat"),
        ("http://[::1]:9000", "[::1]:9000", ""),
        ("localhost", "localhost:80", ""),
        ("[::1]", "[::1]:80", ""),
    ] {
        let expected = Address { authority: authority.to_owned(), prefix: prefix.to_owned() };
        assert_eq!(Address::new(text), expected, "{text}");
    }
}

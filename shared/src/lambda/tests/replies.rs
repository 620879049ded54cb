//! What a reply looks like on the wire, and when its pieces leave.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::fake::Fake;
use super::{Running, rest, scripted, serves};

#[tokio::test]
async fn a_reply_is_a_prelude_eight_nuls_and_the_body_in_a_chunked_post() {
    let router = Router::new().route("/", get(async || ([("content-type", "text/plain")], "hi")));
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/")).await;
    let head = peer.head().await;
    assert_eq!(head.line, "POST /2018-06-01/runtime/invocation/one/response HTTP/1.1");
    for (name, value) in [
        ("lambda-runtime-function-response-mode", "streaming"),
        ("content-type", "application/vnd.awslambda.http-integration-response"),
        ("transfer-encoding", "chunked"),
        ("lambda-runtime-invocation-id", "attempt-of-one"),
    ] {
        assert_eq!(head.headers[name], value);
    }
    let trailers: Vec<_> = head.headers.get_all("trailer").iter().collect();
    assert_eq!(trailers, ["lambda-runtime-function-error-type", "lambda-runtime-function-error-body"]);
    let prelude = peer.chunk().await.unwrap();
    let expected = b"{\"statusCode\":200,\"headers\":{\"content-length\":\"2\",\"content-type\":\"text/plain\"}}";
    assert_eq!(prelude, [expected.as_slice(), &[0; 8]].concat());
    assert_eq!(peer.chunk().await.unwrap(), b"hi");
    assert_eq!(peer.chunk().await, None);
    assert!(peer.trailers().await.is_empty());
    peer.accept_reply().await;
    serves_unknown_path(&mut peer).await;
}

/// A second invocation comes over the same connection.
async fn serves_unknown_path(peer: &mut super::Peer) {
    peer.invoke("two", &rest("GET", "/nowhere")).await;
    assert_eq!(peer.reply().await.status(), 404);
}

#[tokio::test]
async fn cookies_stand_by_themselves_and_other_repeated_headers_as_a_list() {
    let router = Router::new().route(
        "/",
        get(async || {
            let mut headers = HeaderMap::new();
            for (name, value) in [("set-cookie", "a=1"), ("vary", "origin"), ("set-cookie", "b=2"), ("vary", "accept")]
            {
                headers.append(name, value.parse().unwrap());
            }
            (headers, ())
        }),
    );
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/")).await;
    let prelude = peer.reply().await.prelude;
    assert_eq!(prelude["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(prelude["headers"]["vary"], "origin, accept");
    assert_eq!(prelude["headers"].get("set-cookie"), None);
}

#[tokio::test]
async fn each_frame_arrives_before_the_next_one_is_made() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    assert!(peer.chunk().await.unwrap().ends_with(&[0; 8]));
    for number in 0..20 {
        let frame = format!("data: {number}\n\n");
        frames.unbounded_send(Ok(Bytes::from(frame.clone()))).unwrap();
        assert_eq!(peer.chunk().await.unwrap(), frame.as_bytes());
    }
    drop(frames);
    assert_eq!(peer.chunk().await, None);
}

#[tokio::test]
async fn a_body_that_fails_ends_in_error_trailers() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    frames.unbounded_send(Ok(Bytes::from_static(b"so far"))).unwrap();
    frames.unbounded_send(Err(std::io::Error::other("the secret reason"))).unwrap();
    let reply = peer.reply().await;
    assert_eq!(reply.body, b"so far");
    assert_eq!(reply.trailers["lambda-runtime-function-error-type"], "Runtime.StreamError");
    let body = STANDARD.decode(&reply.trailers["lambda-runtime-function-error-body"]).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({"errorMessage": "The reply broke off.", "errorType": "Runtime.StreamError"}));
    peer.accept_reply().await;
    serves(&mut peer).await;
}

#[tokio::test]
async fn a_body_that_panics_ends_in_error_trailers() {
    let handler = async || {
        let frames = futures::stream::iter(0..).map(|number| match number {
            0 => Ok::<_, std::io::Error>("so far"),
            _ => panic!("what a user wrote"),
        });
        Response::new(Body::from_stream(frames))
    };
    use futures::StreamExt;
    let fake = Fake::start().await;
    let router = Router::new().route("/", get(handler)).route("/plain", get(async || "ok"));
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/")).await;
    let reply = peer.reply().await;
    assert_eq!(reply.body, b"so far");
    assert_eq!(reply.trailers["lambda-runtime-function-error-type"], "Runtime.StreamPanic");
    peer.accept_reply().await;
    serves(&mut peer).await;
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_and_the_next_invocation_is_served() {
    let panics = async || -> &'static str { panic!("what a user wrote") };
    let fake = Fake::start().await;
    let router = Router::new().route("/", get(panics)).route("/plain", get(async || "ok"));
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/")).await;
    let reply = peer.reply().await;
    assert_eq!((reply.status(), &reply.prelude["headers"]["content-type"]), (500, &json!("application/json")));
    assert!(reply.prelude["headers"]["x-request-id"].is_string());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["error"]["type"], "server_error");
    assert!(reply.trailers.is_empty());
    peer.accept_reply().await;
    serves(&mut peer).await;
}

#[tokio::test]
async fn an_invocation_lasts_for_as_long_as_its_reply_even_where_it_is_accepted_early() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let _running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    peer.head().await;
    peer.accept_reply().await;
    peer.chunk().await.unwrap();
    peer.is_silent().await;
    frames.unbounded_send(Ok(Bytes::from_static(b"late"))).unwrap();
    assert_eq!(peer.chunk().await.unwrap(), b"late");
    drop(frames);
    assert_eq!(peer.chunk().await, None);
    peer.trailers().await;
    serves(&mut peer).await;
}

#[tokio::test]
async fn no_invocation_is_asked_for_while_something_goes_on() {
    let (router, frames) = scripted();
    let fake = Fake::start().await;
    let running = Running::start(&fake, router);
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/stream")).await;
    let (finish, finished) = oneshot::channel::<()>();
    running.tasks.spawn(finished);
    drop(frames);
    peer.reply().await;
    peer.accept_reply().await;
    peer.is_silent().await;
    finish.send(()).unwrap();
    serves(&mut peer).await;
}

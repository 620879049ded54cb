//! What becomes of events.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use http::{Method, Uri};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fake::Fake;
use super::{BEGIN, Running, request, rest, scripted, serves};
use crate::http::Deadline;
use crate::lambda::runtime::time_left;

/// An event of an HTTP API, and of a function URL where the stage is `$default`.
fn second_format(stage: &str, path: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "a=1&a=%20b",
        "cookies": ["c=1", "d=2"], "headers": {"x-one": "1", "host": "example.com"},
        "queryStringParameters": {"a": "1,%20b"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "x", "domainName": "example.com", "domainPrefix": "x",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "c"},
            "requestId": "id", "routeKey": "$default", "stage": stage, "time": "25/Mar/2026:14:30:00 +0000",
            "timeEpoch": 1_774_449_000_000_i64
        },
        "body": "aGk=", "isBase64Encoded": true
    })
}

#[tokio::test]
async fn a_rest_event_keeps_its_path_query_headers_and_text() {
    let mut event = rest("POST", "/api/x y/%2F/é?");
    event["multiValueQueryStringParameters"] = json!({"key": ["a b", "c&d"]});
    event["queryStringParameters"] = json!({"key": "c&d"});
    event["multiValueHeaders"] = json!({"Cookie": ["a=1", "b=2"], "X-Both": ["1"]});
    event["headers"] = json!({"Cookie": "b=2", "X-Both": "1", "X-Single": "2"});
    event["body"] = json!("grüß");
    let request = request(&event);
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "/api/x%20y/%2F/%C3%A9%3F?key=a+b&key=c%26d");
    let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(
        (&request.headers()["x-both"], &request.headers()["x-single"]),
        (&"1".parse().unwrap(), &"2".parse().unwrap())
    );
    assert_eq!(request.headers().get_all("x-both").iter().count(), 1);
    assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "grüß");
}

#[test]
fn the_events_of_the_template_are_read_without_their_stage() {
    for event in [
        include_str!("../../../../events/health.json"),
        include_str!("../../../../events/webhook.json"),
        include_str!("../../../../events/chat-completions-stream.json"),
    ] {
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(request(&event).uri().path(), event["path"]);
    }
}

#[tokio::test]
async fn an_http_api_event_and_a_function_url_event_are_read_alike() {
    for (stage, path) in [("$default", "/api/x%20y"), ("v1", "/v1/api/x%20y"), ("api", "/api/api/x%20y")] {
        let request = request(&second_format(stage, path));
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/api/x%20y?a=1&a=%20b"));
        assert_eq!(request.headers()["cookie"], "c=1; d=2");
        assert_eq!(request.headers()["x-one"], "1");
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "hi");
    }
    assert_eq!(request(&second_format("v1", "/v1")).uri().path(), "/");
    assert_eq!(request(&second_format("v1", "/v10/x")).uri().path(), "/v10/x");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_an_error_and_the_next_invocation_is_served() {
    let mut no_base64 = rest("POST", "/");
    no_base64["isBase64Encoded"] = json!(true);
    no_base64["body"] = json!("%%");
    let mut wrong_query = second_format("$default", "/");
    wrong_query["rawQueryString"] = json!("a b");
    let fake = Fake::start().await;
    let _running = Running::start(&fake, scripted().0);
    let mut peer = fake.accept().await;
    let with_headers = |headers: Value| {
        let mut event = rest("GET", "/");
        event["headers"] = headers;
        event
    };
    let many: serde_json::Map<_, _> = (0..40_000).map(|number| (format!("x-{number}"), json!("1"))).collect();
    let unusable = [
        no_base64,
        wrong_query,
        with_headers(json!({"x y": "1"})),
        with_headers(json!({"x": "a\nb"})),
        with_headers(json!({"x": 1})),
        with_headers(many.into()),
    ];
    let unusable = unusable.map(|event| event.to_string());
    for event in ["no json", "{}", "[]", "", "{\"Records\":[]}"].into_iter().chain(unusable.iter().map(String::as_str))
    {
        peer.asked().await;
        peer.hand_out("bad", event).await;
        let head = peer.head().await;
        assert_eq!(head.line, "POST /2018-06-01/runtime/invocation/bad/error HTTP/1.1", "{event}");
        assert_eq!(head.headers["lambda-runtime-function-error-type"], "Runtime.UnusableEvent");
        let body: Value = serde_json::from_slice(&peer.body(&head).await).unwrap();
        assert_eq!(body["errorType"], "Runtime.UnusableEvent");
        assert!(body["errorMessage"].as_str().unwrap().contains("the event"), "{body}");
        peer.accept_reply().await;
    }
    serves(&mut peer).await;
}

#[tokio::test]
async fn an_event_that_is_too_large_is_an_error_and_the_next_invocation_is_served() {
    let fake = Fake::start().await;
    let _running = Running::start(&fake, scripted().0);
    let mut peer = fake.accept().await;
    peer.asked().await;
    let event = " ".repeat(super::super::event::LARGEST_EVENT + 1);
    let (mut second, ()) = tokio::join!(fake.accept(), peer.hand_out("large", &event));
    let head = second.head().await;
    assert!(head.line.contains("/invocation/large/error"), "{}", head.line);
    second.body(&head).await;
    second.accept_reply().await;
    serves(&mut second).await;
}

#[tokio::test]
async fn a_handler_is_told_when_the_invocation_ends_and_what_it_is_traced_by() {
    let handler = async |request: Request| {
        let left = request.extensions().get::<Deadline>().unwrap().0.saturating_duration_since(Instant::now());
        assert!(left > Duration::from_secs(55) && left <= Duration::from_secs(60), "{left:?}");
        request.headers()["x-amzn-trace-id"].clone().to_str().unwrap().to_owned()
    };
    let fake = Fake::start().await;
    let _running = Running::start(&fake, Router::new().route("/", get(handler)));
    let mut peer = fake.accept().await;
    peer.invoke("one", &rest("GET", "/")).await;
    let reply = peer.reply().await;
    assert_eq!((reply.status(), reply.body.as_slice()), (200, b"Root=1-2-3".as_slice()));
}

#[test]
fn a_deadline_that_is_over_is_none() {
    assert_eq!(time_left(BEGIN + 1_500, BEGIN), Some(Duration::from_millis(1_500)));
    for deadline in [BEGIN, BEGIN - 1, 600_000, 0, i64::MIN] {
        assert_eq!(time_left(deadline, BEGIN), None);
    }
}

#[test]
fn what_the_stock_runtime_reads_is_without_its_stage_too() {
    let cases = [(rest("GET", "/api/health"), "/api/health"), (second_format("v1", "/v1/x"), "/x?a=1&a=%20b")];
    for (event, target) in cases {
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        assert!(request.uri().path().starts_with("/v1/"), "{}", request.uri());
        assert_eq!(crate::lambda::prepare(request).uri(), target);
    }
}

/// The stock runtime's reading of an event is another's.
#[tokio::test]
async fn events_are_read_as_the_stock_runtime_reads_them() {
    let mut events = vec![second_format("v1", "/v1/x"), second_format("$default", "/x"), rest("GET", "/x")];
    let nothing = ["cookies", "headers", "queryStringParameters", "body"].map(|field| (field, Value::Null));
    for (field, value) in nothing.into_iter().chain([("isBase64Encoded", json!(false))]) {
        let mut other = second_format("v1", "/v1/x");
        other[field] = value;
        events.push(other);
    }
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../events")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let event: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            events.extend(Some(event).filter(|event| event["httpMethod"].is_string()));
        }
    }
    assert!(events.len() > 50, "{}", events.len());
    // The stock runtime's query is in no order.
    let target = |uri: &Uri| {
        let mut query: Vec<_> = uri.query().unwrap_or_default().split('&').map(str::to_owned).collect();
        query.sort_unstable();
        (uri.path().to_owned(), query)
    };
    for event in events {
        let stock = crate::lambda::prepare(lambda_http::request::from_str(&event.to_string()).unwrap());
        let ours = request(&event);
        assert_eq!((ours.method(), target(ours.uri())), (stock.method(), target(stock.uri())), "{event}");
        assert_eq!(ours.headers(), stock.headers(), "{event}");
        assert_eq!(ours.into_body().collect().await.unwrap().to_bytes(), stock.body().as_ref(), "{event}");
    }
}

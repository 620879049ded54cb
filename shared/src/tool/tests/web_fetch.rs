use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::ToolOutcome;
use super::toolbox;
use crate::egress::Reach;

/// A server that answers as given, and what `web_fetch` of it gives.
async fn fetch(response: ResponseTemplate, more: Value) -> (ToolOutcome, String) {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/page")).respond_with(response).mount(&server).await;
    let redirect = ResponseTemplate::new(301).insert_header("location", "/page");
    Mock::given(method("GET")).and(path("/moved")).respond_with(redirect).mount(&server).await;
    let reach = Reach::PublicAndLoopback { port: server.address().port() };
    let mut arguments = json!({ "url": format!("{}/moved", server.uri()) });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let outcome = toolbox(json!([{ "use": "web_fetch" }]), json!({}), reach).call("web_fetch", &arguments, None).await;
    (outcome, format!("{}/page", server.uri()))
}

fn answer(status: u16, body: impl Into<Vec<u8>>, media_type: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, media_type)
}

#[tokio::test]
async fn a_page_comes_as_text_under_its_final_address() {
    let (outcome, url) = fetch(answer(200, "<h1>Hello</h1><p>caf\u{e9}", "text/html; charset=utf-8"), json!({})).await;
    assert_eq!(outcome.content, format!("{url}\nStatus: 200 OK\nType: text/html\n\n# Hello\n\ncaf\u{e9}"));
    assert!(!outcome.is_error);
}

#[tokio::test]
async fn a_page_can_come_as_it_is() {
    let (outcome, _) = fetch(answer(200, "<h1>Hello</h1>", "text/html"), json!({ "extract_text": false })).await;
    assert!(outcome.content.ends_with("\n\n<h1>Hello</h1>"), "{outcome:?}");
}

#[tokio::test]
async fn other_text_comes_as_it_is() {
    for (body, media_type) in [
        (r#"{"a": [1,  2]}"#, "application/json"),
        (r#"{"a":1}"#, "application/problem+json"),
        ("<a/>", "application/atom+xml"),
        ("a,b\n1,2", "text/csv"),
        ("# Hi <b>", "text/markdown"),
    ] {
        let (outcome, _) = fetch(answer(200, body, media_type), json!({})).await;
        assert!(!outcome.is_error && outcome.content.ends_with(&format!("\n\n{body}")), "{outcome:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_replaced() {
    let (outcome, _) = fetch(answer(200, b"caf\xe9".to_vec(), "text/plain"), json!({})).await;
    assert!(outcome.content.ends_with("caf\u{fffd}"), "{outcome:?}");
}

#[tokio::test]
async fn what_is_not_text_is_refused_by_its_type() {
    for media_type in ["image/png", "application/pdf", "application/octet-stream", "video/mp4"] {
        let (outcome, url) = fetch(answer(200, vec![0, 1, 2], media_type), json!({})).await;
        assert_eq!((outcome.content, outcome.is_error), (format!("{url} is {media_type}, which is not text"), true));
    }
}

#[tokio::test]
async fn a_status_of_failure_is_an_error_with_the_bodys_beginning() {
    let (outcome, url) = fetch(answer(404, "gone ".repeat(1000), "text/plain"), json!({})).await;
    assert!(outcome.is_error);
    assert!(
        outcome.content.starts_with(&format!("{url}\nStatus: 404 Not Found\nType: text/plain\n\ngone gone")),
        "{outcome:?}"
    );
    assert!(outcome.content.len() < 3000);
}

#[tokio::test]
async fn a_page_is_cut_to_the_length_asked_for() {
    let (outcome, _) = fetch(answer(200, "é".repeat(60_000), "text/plain"), json!({ "max_length": 10 })).await;
    assert!(
        outcome
            .content
            .ends_with("\n\néééééééééé\n[cut: the page has 60000 characters, of which these are the first 10]"),
        "{outcome:?}"
    );
    let (outcome, _) = fetch(answer(200, "é".repeat(60_000), "text/plain"), json!({})).await;
    assert!(outcome.content.ends_with("of which these are the first 50000]"));
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_told() {
    let toolbox = toolbox(json!([{ "use": "web_fetch" }]), json!({}), Reach::Public);
    for (arguments, expected) in [
        (json!({}), "\"url\" is a required property"),
        (json!({ "url": 5 }), "at /url: 5 is not of type \"string\""),
        (json!({ "url": "http://example.com", "max_length": 100_001 }), "at /max_length: "),
        (json!({ "url": "http://example.com", "max_length": 0 }), "at /max_length: "),
        (json!({ "url": "http://example.com", "max_length": -1.5 }), "at /max_length: "),
        (json!({ "url": "http://example.com", "extract_text": "no" }), "at /extract_text: "),
        (json!([]), "is not of type \"object\""),
        (json!({ "url": "http://169.254.169.254/latest/meta-data/" }), "not on the public internet"),
        (json!({ "url": "http://localhost:80/" }), "not on the public internet"),
        (json!({ "url": "file:///etc/passwd" }), "only http and https"),
    ] {
        let outcome = toolbox.call("web_fetch", &arguments, None).await;
        assert!(outcome.is_error && outcome.content.contains(expected), "{arguments}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_whole_number_written_as_a_fraction_is_a_length() {
    let (outcome, _) = fetch(answer(200, "abcdef", "text/plain"), json!({ "max_length": 3.0 })).await;
    assert!(!outcome.is_error && outcome.content.contains("\n\nabc\n[cut"), "{outcome:?}");
}

#[tokio::test]
async fn a_page_that_breaks_the_layout_is_stripped_of_its_tags() {
    let page = "<ol start=9223372036854775807><li>one<li>two</ol>";
    let (outcome, _) = fetch(answer(200, page, "text/html"), json!({})).await;
    assert!(!outcome.is_error && outcome.content.contains("one") && outcome.content.contains("two"), "{outcome:?}");
}

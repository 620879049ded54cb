//! Calls over the network: retries, fallbacks, time-outs, cuts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::time::Instant;

use super::server::{STREAM, Seen, Server, Step, reply, stream};
use super::*;
use crate::outbound::{TlsRoots, client};

struct Keys;

#[async_trait]
impl KeySource for Keys {
    async fn key(&self, name: &str) -> Result<Option<SecretString>, KeyError> {
        Ok(name.ends_with("_API_KEY").then(|| format!("{}-secret\n", name.to_lowercase()).into()))
    }
}

const CLAUDE: &str = "anthropic/claude-sonnet-4-5";

const BEGIN: &str =
    "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
const WORD: &str =
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"hi\"}}\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const END: &str = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n";

fn good() -> Step {
    stream(&[BEGIN, WORD, END].concat())
}

fn settings(server: &Server) -> ModelSettings {
    let base_url = |path: &str| format!("{}{path}", server.url).parse().unwrap();
    ModelSettings {
        first_byte_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        retry_delay: Duration::from_millis(1),
        base_urls: BTreeMap::from([
            ("anthropic".to_owned(), base_url("/claude")),
            ("openai".to_owned(), base_url("/gpt/v1")),
        ]),
        demo_delay: Duration::ZERO,
        ..ModelSettings::default()
    }
}

fn models_with(settings: ModelSettings) -> Models {
    Models::new(client(TlsRoots::Bundled, Duration::from_secs(5)).unwrap(), settings, Arc::new(Keys))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn open(server: &Server, names: &[&str]) -> Result<Answer, ModelError> {
    open_with(settings(server), names).await
}

async fn open_with(settings: ModelSettings, names: &[&str]) -> Result<Answer, ModelError> {
    let names: Vec<_> = names.iter().map(|name| model(name)).collect();
    models_with(settings).open(&names, &hello(), soon()).await
}

async fn all(answer: Answer) -> Told {
    answer.events.map(|event| event.map_err(|error| error.kind)).collect().await
}

#[tokio::test]
async fn an_anthropic_call_is_addressed_and_signed() {
    let mut server = Server::start(vec![good()]);
    let answer = open(&server, &[CLAUDE]).await.unwrap();
    assert_eq!((answer.model.to_string().as_str(), answer.wasted), (CLAUDE, Usage::default()));
    let told = all(answer).await;
    assert_eq!((text(&told).as_str(), completion(&told).usage.output_tokens), ("hi", 2));
    let (_, head, body) = server.request().await;
    assert!(head.starts_with("post /claude/v1/messages http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-api-key: anthropic_api_key-secret\r\n"), "{head}");
    assert!(head.contains("\r\nanthropic-version: 2023-06-01\r\n") && head.contains("content-type: application/json"));
    assert!(!head.contains("authorization"));
    assert!(body.contains("\"claude-sonnet-4-5\""));
}

#[tokio::test]
async fn an_openai_call_is_addressed_and_signed() {
    let mut server = Server::start(vec![stream(include_str!("../fixtures/openai.sse"))]);
    let told = all(open(&server, &["openai/gpt-4o"]).await.unwrap()).await;
    assert_eq!(completion(&told).usage.total(), 136);
    let (_, head, _) = server.request().await;
    assert!(head.starts_with("post /gpt/v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer openai_api_key-secret\r\n"), "{head}");
}

#[tokio::test]
async fn a_stream_that_comes_in_small_pieces_is_told_the_same() {
    let body = include_str!("../fixtures/anthropic.sse");
    let head = (0, STREAM.as_bytes().to_vec());
    let pieces = std::iter::once(head).chain(body.as_bytes().chunks(7).map(|piece| (0, piece.to_vec()))).collect();
    let server = Server::start(vec![Step::Reply(pieces)]);
    let told = all(open(&server, &[CLAUDE]).await.unwrap()).await;
    let decoder = super::super::anthropic::MessageDecoder::new(model(CLAUDE));
    assert_eq!(told, told_whole(body, decoder));
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\ndata: ";
    let failures = [
        reply(408, "", ""),
        reply(409, "", ""),
        reply(429, "", ""),
        reply(500, "", ""),
        reply(529, "", ""),
        stream(""),
        stream(PING),
        stream("data: {\"type\"\n\n"),
        stream("data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n"),
        Step::Reply(vec![]),
        Step::Reply(vec![(0, b"HTTP/1.1 2".to_vec())]),
        Step::Reply(vec![(0, chunked.into())]),
    ];
    let count = failures.len();
    let mut server = Server::start(failures.into_iter().chain([good()]).collect());
    let settings = ModelSettings { attempts: 20, retry_delay: Duration::from_nanos(1), ..settings(&server) };
    let told = all(open_with(settings, &[CLAUDE]).await.unwrap()).await;
    assert_eq!((text(&told).as_str(), server.count()), ("hi", count + 1));
}

#[tokio::test]
async fn attempts_are_counted() {
    let mut server = Server::start((0..9).map(|_| reply(500, "", "")).collect());
    let error = open(&server, &[CLAUDE]).await.unwrap_err();
    assert_eq!((error.kind, error.status, server.count()), (ErrorKind::Server, Some(500), 3));
}

#[tokio::test]
async fn a_refusal_is_not_tried_again_but_the_next_model_is() {
    for status in [400, 401, 403, 404, 422] {
        let mut server = Server::start(vec![reply(status, "", "{}"), stream(include_str!("../fixtures/openai.sse"))]);
        let answer = open(&server, &[CLAUDE, "openai/gpt-4o"]).await.unwrap();
        assert_eq!(answer.model.provider(), "openai", "{status}");
        assert_eq!(server.count(), 2, "{status}");
    }
}

#[tokio::test]
async fn the_first_models_failure_is_told_where_none_answers() {
    let mut server = Server::start(vec![reply(401, "", "{\"error\":{\"message\":\"bad key\"}}"), reply(400, "", "")]);
    let error = open(&server, &[CLAUDE, "openai/gpt-4o"]).await.unwrap_err();
    assert_eq!((error.kind, error.status, server.count()), (ErrorKind::Unauthorized, Some(401), 2));
    let error = open(&server, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownModel);
}

#[tokio::test]
async fn the_provider_says_how_long_to_wait() {
    let mut server = Server::start(vec![reply(429, "retry-after-ms: 120\r\n", ""), good()]);
    open(&server, &[CLAUDE]).await.unwrap();
    let ((first, ..), (second, ..)) = (server.request().await, server.request().await);
    assert!(second - first >= Duration::from_millis(120), "{:?}", second - first);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_not_waited_for() {
    let mut server = Server::start(vec![reply(429, "retry-after: 31\r\n", ""), reply(503, "retry-after: 31\r\n", "")]);
    let begin = Instant::now();
    let error = open(&server, &[CLAUDE, "openai/gpt-4o"]).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (ErrorKind::RateLimited, Some(Duration::from_secs(31))));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(server.count(), 2);

    let mut server = Server::start(vec![reply(429, "retry-after: 5\r\n", ""), good()]);
    let deadline = Instant::now() + Duration::from_secs(4);
    let error = models_with(settings(&server)).open(&[model(CLAUDE)], &hello(), deadline).await.unwrap_err();
    assert_eq!((error.kind, server.count()), (ErrorKind::RateLimited, 1), "nor one beyond the deadline");
    assert!(Instant::now() < deadline);
}

#[tokio::test]
async fn what_a_failed_attempt_used_is_not_lost() {
    let server = Server::start(vec![stream(BEGIN), stream(BEGIN), good()]);
    let answer = open(&server, &[CLAUDE]).await.unwrap();
    assert_eq!((answer.wasted.input_tokens, answer.wasted.output_tokens), (14, 2));

    let server = Server::start(vec![stream(BEGIN), stream(BEGIN), stream(BEGIN), reply(400, "", "")]);
    let error = open(&server, &[CLAUDE, "openai/gpt-4o"]).await.unwrap_err();
    assert_eq!((error.kind, error.usage.input_tokens), (ErrorKind::Cut, 21));
}

#[tokio::test]
async fn nothing_is_repeated_after_the_first_word() {
    let mut server = Server::start(vec![stream(&[BEGIN, WORD].concat()), good()]);
    let mut events = open(&server, &[CLAUDE, "demo/echo"]).await.unwrap().events;
    assert!(matches!(events.next().await, Some(Ok(ModelEvent::Usage(_)))));
    assert_eq!(events.next().await.unwrap().unwrap(), ModelEvent::Text("hi".into()));
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.usage.input_tokens), (ErrorKind::Cut, 7));
    assert!(events.next().await.is_none());
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn silence_before_the_first_byte_is_a_time_out() {
    for held in ["", STREAM] {
        let mut server = Server::start(vec![Step::Hold(held.into())]);
        let short = Duration::from_millis(150);
        let settings = ModelSettings { first_byte_timeout: short, attempts: 1, ..settings(&server) };
        assert_eq!(open_with(settings, &[CLAUDE]).await.unwrap_err().kind, ErrorKind::Timeout);
        server.request().await;
        assert!(matches!(server.next().await, Seen::Closed));
    }
}

#[tokio::test]
async fn silence_within_an_answer_is_a_time_out_and_a_ping_is_none() {
    let pings = (0..8).map(|_| (60, PING.into()));
    let begin = (0, [STREAM, BEGIN, WORD].concat().into_bytes());
    let pinged = std::iter::once(begin).chain(pings).chain([(0, END.into())]).collect();
    let server = Server::start(vec![Step::Reply(pinged), Step::Hold([STREAM, BEGIN, WORD].concat().into())]);
    let settings = ModelSettings { idle_timeout: Duration::from_millis(300), ..settings(&server) };
    assert_eq!(text(&all(open_with(settings.clone(), &[CLAUDE]).await.unwrap()).await), "hi");
    let told = all(open_with(settings, &[CLAUDE]).await.unwrap()).await;
    assert_eq!(told.last(), Some(&Err(ErrorKind::Timeout)));
}

#[tokio::test]
async fn nothing_goes_on_after_the_deadline() {
    let held = [STREAM, BEGIN, WORD].concat();
    let mut server = Server::start(vec![Step::Hold(held.into()), Step::Hold(Vec::new()), good()]);
    let models = models_with(settings(&server));
    let deadline = || Instant::now() + Duration::from_millis(400);
    let told = all(models.open(&[model(CLAUDE)], &hello(), deadline()).await.unwrap()).await;
    assert_eq!(told.last(), Some(&Err(ErrorKind::Timeout)), "in the stream");
    let error = models.open(&[model(CLAUDE), model("demo/echo")], &hello(), deadline()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "before it");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn dropping_the_answer_closes_the_connection() {
    let mut server = Server::start(vec![Step::Hold([STREAM, BEGIN, WORD].concat().into())]);
    let answer = open(&server, &[CLAUDE]).await.unwrap();
    server.request().await;
    assert_eq!(server.count(), 0);
    drop(answer);
    assert!(matches!(server.next().await, Seen::Closed));
}

#[tokio::test]
async fn a_connection_serves_the_next_call_too() {
    let body = [BEGIN, WORD, END].concat();
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut server = Server::start(vec![Step::Keep(chunked.clone().into()), Step::Keep(chunked.into())]);
    let models = models_with(settings(&server));
    for _ in 0..2 {
        let mut events = models.open(&[model(CLAUDE)], &hello(), soon()).await.unwrap().events;
        while !matches!(events.next().await, Some(Ok(ModelEvent::Completed(_)))) {}
        drop(events);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let connections = [server.next().await, server.next().await].map(|seen| match seen {
        Seen::Request { connection, .. } => connection,
        Seen::Closed => panic!("closed"),
    });
    assert_eq!(connections, [1, 1]);
}

#[tokio::test]
async fn a_key_that_is_missing_is_named_in_the_log_alone() {
    let client = client(TlsRoots::Bundled, Duration::from_secs(5)).unwrap();
    let models = Models::new(client, ModelSettings::default(), Arc::new(NoKeys));
    let error = models.open(&[model(CLAUDE)], &hello(), soon()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "ANTHROPIC_API_KEY is not set");
    assert!(!error.public_message().contains("KEY") && !error.to_string().contains("KEY"));
}

#[tokio::test]
async fn a_service_of_ones_own_needs_no_key() {
    let mut server = Server::start(vec![stream(include_str!("../fixtures/openai.sse"))]);
    let client = client(TlsRoots::Bundled, Duration::from_secs(5)).unwrap();
    let base_urls = BTreeMap::from([("my-own".to_owned(), server.url.parse().unwrap())]);
    let models = Models::new(client, ModelSettings { base_urls, ..ModelSettings::default() }, Arc::new(NoKeys));
    models.open(&[model("my-own/some/model")], &hello(), soon()).await.unwrap();
    let (_, head, body) = server.request().await;
    assert!(head.starts_with("post /chat/completions ") && !head.contains("authorization"), "{head}");
    assert!(body.contains("\"some/model\""));
}

#[tokio::test]
async fn an_unreachable_provider_is_told_as_such() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base_urls = BTreeMap::from([("x".to_owned(), format!("http://127.0.0.1:{port}").parse().unwrap())]);
    let settings = ModelSettings { base_urls, retry_delay: Duration::from_millis(1), ..ModelSettings::default() };
    assert_eq!(open_with(settings, &["x/y"]).await.unwrap_err().kind, ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_huge_error_body_is_not_read_to_its_end() {
    let huge = "HTTP/1.1 400 X\r\ncontent-length: 999999999\r\n\r\n".to_owned() + &"x".repeat(200_000);
    let mut server = Server::start(vec![Step::Hold(huge.into())]);
    let error = open(&server, &[CLAUDE]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    server.request().await;
    assert!(matches!(server.next().await, Seen::Closed));
}

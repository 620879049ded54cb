//! Messages for an app, on the embedded table.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::id::ProjectId;
use shared::session::app::{IDLE, LONGEST};
use testkit::{AppApi, BEGIN, Bench, bare, post, post_bytes, with_header};

const DOUBLE: &str = "tools:\n  - name: double\n    description: Doubles\n    parameters: { type: object }\n    code: return args.n * 2;\n";
const ECHO_PROMPT: &str = "Hello {{memory.sessionMeta.metadata.userProfile.name}}!";

async fn api() -> AppApi {
    let tools = format!("{DOUBLE}  - use: handoff\n  - use: escalate_to_human");
    let agents = [
        ("support_agent", tools.as_str(), ECHO_PROMPT),
        ("billing_agent", "tools: [{ use: handoff }]", "You know about money."),
        ("returns_agent", "", "You know about returns."),
    ];
    AppApi::new(Bench::new().await, app_execute::routes(), &agents).await
}

fn said(message: &str) -> Value {
    json!({ "message": message })
}

fn goes_on(reply: &testkit::Reply, message: &str) -> Value {
    json!({ "message": message, "session_id": reply.json()["session_id"] })
}

#[tokio::test]
async fn an_answer_has_the_documented_fields_and_headers() {
    let api = api().await;
    let reply = api.post("execute", &said("/tool double {\"n\": 21}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let body = reply.json();
    let mut names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["agent", "response", "session_id", "tools_used", "trace_id", "usage"]);
    assert!(body["response"].as_str().unwrap().contains("42"), "{body}");
    assert!(body["session_id"].as_str().unwrap().starts_with("sess_"));
    assert!(body["trace_id"].as_str().unwrap().starts_with("trace_"));
    assert_eq!((&body["agent"], &body["tools_used"]), (&json!("support_agent"), &json!(["double"])));
    assert!(
        body["usage"]["input_tokens"].as_u64().unwrap() > 0 && body["usage"]["output_tokens"].as_u64().unwrap() > 0
    );
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("6000", "5999"));
    let reset: i64 = reply.header("x-ratelimit-reset").parse().unwrap();
    assert!((BEGIN / 1000..BEGIN / 1000 + 2).contains(&reset), "in seconds: {reset}");
    assert!(reply.header("access-control-allow-origin").is_empty() && !reply.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_session_carries_the_conversation_on() {
    let api = api().await;
    let first = api.post("execute", &said("one")).await;
    let second = api.post("execute", &goes_on(&first, "two")).await;
    assert_eq!(second.json()["session_id"], first.json()["session_id"]);
    assert_ne!(second.json()["trace_id"], first.json()["trace_id"]);
    let id = first.json()["session_id"].as_str().unwrap().to_owned();
    let session = api.session(&id).await.unwrap();
    assert_eq!((session.last_turn, session.lease_owner), (2, None));
    assert!(session.input_tokens > 0);
}

#[tokio::test]
async fn a_session_that_is_not_there_is_refused_as_documented_and_costs_reads_alone() {
    let api = api().await;
    api.post("execute", &said("x")).await;
    let other = AppApi { key: String::new(), ..self::api().await };
    let theirs = other.bench.project(&[("a", "", "x")]).await;
    let before = api.bench.writes();
    for id in ["sess_invalid", "s p a c e", &"x".repeat(200), theirs.id.as_str()] {
        let reply = api.post("execute", &json!({ "message": "x", "session_id": id })).await;
        assert_eq!(
            reply.json(),
            json!({ "error": { "code": "invalid_request", "message": "Session not found", "details": { "session_id": id } } })
        );
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
    // The rate tokens of the minute and the day, and nothing else.
    assert!(api.bench.writes() - before <= 2 * 4 + 4, "{}", api.bench.writes() - before);
}

#[tokio::test]
async fn a_key_opens_its_own_app_and_nothing_else() {
    let api = api().await;
    let other = api.bench.project(&[("other", "", "x")]).await;
    let elsewhere = format!("/v1/apps/{}/execute", other.id.as_app());
    let missing = format!("/v1/apps/{}/execute", ProjectId::generate().as_app());
    let by_project = format!("/v1/apps/{}/execute", api.project.id);
    let before = api.bench.writes();
    for path in [elsewhere.as_str(), &missing, &by_project, "/v1/apps/app_123/execute", "/v1/apps/x/execute"] {
        let reply = api.send(post(path, &api.key, &said("x"))).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found")),
            "{path}"
        );
    }
    let server_key = api.bench.key(&api.project.agents[0].id, shared::auth::Kind::Server).await;
    let writes = api.bench.writes() - before;
    for key in ["", "sk-app-xxxxxxxxxxxxx", "sk-app-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &server_key] {
        let reply = api.send(post(&api.path("execute"), key, &said("x"))).await;
        assert_eq!(
            reply.json(),
            json!({ "error": { "code": "authentication_error", "message": "Invalid API key" } }),
            "{key}"
        );
        assert_eq!((reply.status, reply.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
    }
    let by_query = format!("{}?key={}", api.path("execute"), api.key);
    assert_eq!(api.send(post(&by_query, "", &said("x"))).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(api.bench.writes() - before, writes, "refusals write nothing");
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_dialects_shape() {
    let api = api().await;
    let path = api.path("execute");
    for (body, field) in [
        ("{}", "message"),
        (r#"{"message":""}"#, "message"),
        (r#"{"message":" \n "}"#, "message"),
        (r#"{"message":7}"#, "message"),
        (r#"{"message":"x","session_id":""}"#, "session_id"),
        (r#"{"message":"x","metadata":[]}"#, "metadata"),
        ("{", "body"),
        ("[]", "body"),
    ] {
        let reply = api.send(post_bytes(&path, &api.key, body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        let error = &reply.json()["error"];
        assert_eq!(error["code"], "invalid_request");
        assert!(error["details"][field].is_string(), "{body}: {error}");
    }
    let long = json!({ "message": "é".repeat(10_001) });
    assert_eq!(api.post("execute", &long).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        api.post("execute", &json!({ "message": "é".repeat(10_000), "unknown": [] })).await.status,
        StatusCode::OK
    );
    let huge = api.send(post_bytes(&path, &api.key, vec![b'x'; 1024 * 1024 + 1])).await;
    assert_eq!(
        (huge.status, &huge.json()["error"]["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("invalid_request"))
    );
    let text = api.send(with_header(api.request("execute", &said("x")), "content-type", b"text/plain")).await;
    assert_eq!(text.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let charset = with_header(api.request("execute", &said("x")), "content-type", b"Application/JSON; charset=utf-8");
    assert_eq!(api.send(charset).await.status, StatusCode::OK);
    let get = api.send(bare(Method::GET, &path, &api.key)).await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let nowhere = api.send(bare(Method::GET, "/v1/models", &api.key)).await;
    assert_eq!(nowhere.json(), json!({ "error": { "code": "not_found", "message": "Resource not found" } }));
}

#[tokio::test]
async fn metadata_is_merged_kept_and_shown_to_the_agent_from_the_next_turn_on() {
    let api = api().await;
    let named = |name: &str| json!({ "userProfile": { "name": name } });
    let first = api.post("execute", &json!({ "message": "/context", "metadata": named("Ann") })).await;
    assert!(first.json()["response"].as_str().unwrap().contains("Hello Ann!"), "{}", first.body);
    let kept = api.post("execute", &goes_on(&first, "/context")).await;
    assert!(kept.json()["response"].as_str().unwrap().contains("Hello Ann!"), "{}", kept.body);
    let mut changed = goes_on(&first, "/context");
    changed["metadata"] = json!({ "userProfile": { "name": "Bea" }, "channel": "web" });
    let changed = api.post("execute", &changed).await;
    assert!(changed.json()["response"].as_str().unwrap().contains("Hello Bea!"), "{}", changed.body);
    let mut gone = goes_on(&first, "/context");
    gone["metadata"] = json!({ "userProfile": null });
    let gone = api.post("execute", &gone).await;
    assert!(gone.json()["response"].as_str().unwrap().contains("Hello !"), "{}", gone.body);
    let session = api.session(first.json()["session_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(session.metadata, r#"{"channel":"web"}"#);
}

#[tokio::test]
async fn a_session_has_one_user() {
    let api = api().await;
    let of = |user: &str| json!({ "message": "x", "metadata": { "user_id": user } });
    let first = api.post("execute", &of("user_456")).await;
    let mut other = of("user_789");
    other["session_id"] = first.json()["session_id"].clone();
    let refused = api.post("execute", &other).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.json()["error"]["details"]["user_id"].is_string(), "{}", refused.body);
    let again = api.post("execute", &goes_on(&first, "x")).await;
    assert_eq!(again.status, StatusCode::OK, "the refusal holds nothing: {}", again.body);
}

#[tokio::test]
async fn a_conversation_is_handed_on_and_stays_with_who_took_it() {
    let api = api().await;
    let first = api.post("execute", &said(r#"/tool handoff {"agent": "billing_agent"}"#)).await;
    assert_eq!((&first.json()["agent"], &first.json()["tools_used"]), (&json!("billing_agent"), &json!(["handoff"])));
    let second = api.post("execute", &goes_on(&first, "still you?")).await;
    assert_eq!(second.json()["agent"], "billing_agent");
    let third = api.post("execute", &goes_on(&first, r#"/tool handoff {"agent": "returns_agent"}"#)).await;
    assert_eq!(third.json()["agent"], "returns_agent");
    assert_eq!(api.post("execute", &goes_on(&first, "and now?")).await.json()["agent"], "returns_agent");
    assert_eq!(api.post("execute", &said("who begins?")).await.json()["agent"], "support_agent");
}

#[tokio::test]
async fn an_agent_that_left_the_project_is_followed_by_the_first_one() {
    let api = api().await;
    let first = api.post("execute", &said(r#"/tool handoff {"agent": "billing_agent"}"#)).await;
    let mut project = api.project.clone();
    project.agents.retain(|agent| agent.name != "billing_agent");
    project.version = 2;
    assert!(api.bench.app.store().put_project(&project).await.unwrap());
    assert_eq!(api.post("execute", &goes_on(&first, "x")).await.json()["agent"], "support_agent");
}

#[tokio::test]
async fn a_person_is_called_for_and_the_app_may_wait_for_them() {
    let api = api().await;
    let call = r#"/tool escalate_to_human {"reason": "user_requested", "summary": "wants a refund"}"#;
    let first = api.post("execute", &said(call)).await;
    assert_eq!(first.json()["tools_used"], json!(["escalate_to_human"]));
    let session = api.session(first.json()["session_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(session.escalated_at, Some(BEGIN));
    assert_eq!(api.post("execute", &goes_on(&first, "x")).await.status, StatusCode::OK);
    let waiting = shared::store::ProjectItem { pause_on_escalation: true, version: 2, ..api.project.clone() };
    assert!(api.bench.app.store().put_project(&waiting).await.unwrap());
    let refused = api.post("execute", &goes_on(&first, "x")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_request"))
    );
}

#[tokio::test]
async fn a_session_ends_an_hour_after_its_last_turn_and_a_day_after_it_began() {
    let api = api().await;
    let first = api.post("execute", &said("x")).await;
    api.bench.wait(IDLE - Duration::from_secs(1));
    assert_eq!(api.post("execute", &goes_on(&first, "x")).await.status, StatusCode::OK);
    api.bench.wait(IDLE);
    let over = api.post("execute", &goes_on(&first, "x")).await;
    assert_eq!(
        over.json()["error"],
        json!({
            "code": "invalid_request",
            "message": "Session expired",
            "details": { "session_id": first.json()["session_id"] },
        })
    );
    let long = api.post("execute", &said("x")).await;
    let mut left = LONGEST;
    while left > IDLE / 2 {
        api.bench.wait(IDLE / 2);
        left -= IDLE / 2;
        assert_eq!(api.post("execute", &goes_on(&long, "x")).await.status, StatusCode::OK);
    }
    api.bench.wait(IDLE / 2);
    assert_eq!(api.post("execute", &goes_on(&long, "x")).await.json()["error"]["message"], "Session expired");
}

#[tokio::test]
async fn a_request_that_comes_again_is_answered_and_not_repeated() {
    let api = api().await;
    let first = api.post_once("execute", "k1", &said("hello")).await;
    let again = api.post_once("execute", "k1", &said("hello")).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    let other = api.post_once("execute", "k1", &said("other")).await;
    assert_eq!(
        (other.status, &other.json()["error"]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_request"))
    );
    let session = api.session(first.json()["session_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(session.last_turn, 1);
}

#[tokio::test]
async fn the_plans_limits_hold_by_the_minute_and_by_the_day_for_all_keys_of_an_app() {
    let api = AppApi::new(Bench::with_plan("free").await, app_execute::routes(), &[("a", "", "x")]).await;
    let mut free = api.bench.app.store().tenant(&api.bench.tenant).await.unwrap().unwrap();
    (free.monthly_tokens, free.requests_per_minute, free.requests_per_day) = (Some(u64::MAX), Some(3), Some(5));
    api.bench.app.store().put_tenant(&free).await.unwrap();
    let second_key = api.bench.app_key(&api.project.id).await;
    for (key, left) in [(&api.key, "2"), (&second_key, "1"), (&api.key, "0")] {
        let reply = api.send(post(&api.path("execute"), key, &said("x"))).await;
        assert_eq!((reply.status, reply.header("x-ratelimit-remaining")), (StatusCode::OK, left));
    }
    let refused = api.post("execute", &said("x")).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["error"]["details"], json!({ "limit": "minute" }));
    assert_eq!((refused.header("x-ratelimit-limit"), refused.header("retry-after")), ("3", "20"));
    api.bench.wait(Duration::from_secs(60));
    for left in ["1", "0"] {
        let reply = api.post("execute", &said("x")).await;
        assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("5", left));
    }
    let refused = api.post("execute", &said("x")).await;
    assert_eq!(refused.json()["error"]["details"], json!({ "limit": "day" }));
    assert_eq!(refused.header("x-ratelimit-limit"), "5");
}

#[tokio::test]
async fn a_used_up_plan_is_a_limit_too() {
    let api = AppApi::new(Bench::with_plan("free").await, app_execute::routes(), &[("a", "", "x")]).await;
    let mut used_up = api.bench.app.store().tenant(&api.bench.tenant).await.unwrap().unwrap();
    used_up.monthly_tokens = Some(0);
    api.bench.app.store().put_tenant(&used_up).await.unwrap();
    let refused = api.post("execute", &said("x")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited"))
    );
    assert_eq!(refused.json()["error"]["details"], json!({ "limit": "monthly_tokens" }));
}

#[tokio::test]
async fn of_many_turns_at_once_in_a_session_none_comes_between_another() {
    let api = api().await;
    let first = api.post("execute", &said("0")).await;
    let ask = |number: usize| {
        let body = goes_on(&first, &number.to_string());
        let api = &api;
        async move { api.post("execute", &body).await }
    };
    let replies = futures::future::join_all((1..=4).map(ask)).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK), "{replies:?}");
    let id = first.json()["session_id"].as_str().unwrap().to_owned();
    assert_eq!(api.session(&id).await.unwrap().last_turn, 5);
}

#[tokio::test]
async fn two_round_trips_come_before_the_model() {
    let api = api().await;
    let first = api.post("execute", &said("x")).await;
    let before = (api.bench.reads(), api.bench.writes());
    api.post("execute", &goes_on(&first, "x")).await;
    // One BatchGetItem; then history and agent, two buckets and the lease, all together; then one transaction.
    assert_eq!((api.bench.reads() - before.0, api.bench.writes() - before.1), (3, 4));
}

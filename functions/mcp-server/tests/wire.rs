//! What the function says on the wire: the documented methods, the protocol's versions, and what is no message.

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use shared::auth::Kind;
use testkit::{Api, Bench, Reply, bare, event, post_bytes, with_header, without_ids};

const PATH: &str = "/api/mcp/server";

async fn api() -> Api {
    Api::new(Bench::new().await, mcp_server::routes(), PATH, Kind::Server, "description: Helps").await
}

fn call(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id.into() })
}

fn chat(id: impl Into<Value>, message: &str) -> Value {
    call(id, "tools/call", json!({ "name": "kopern_chat", "arguments": { "message": message } }))
}

/// A call as clients of 2026-07-28 make it: its version in its body, and its headers say what its body says.
fn modern(api: &Api, id: i64, method: &str, mut params: Value) -> Request<axum::body::Body> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let request = with_header(api.request(&call(id, method, params)), "mcp-protocol-version", b"2026-07-28");
    let request = with_header(request, "mcp-method", method.as_bytes());
    if name.is_empty() { request } else { with_header(request, "mcp-name", name.as_bytes()) }
}

/// The text without what differs from run to run.
fn stable(api: &Api, text: &str) -> String {
    without_ids(&text.replace(&api.agent.as_str().replace('_', "-"), "test-agent"))
}

async fn of_version(api: &Api, version: &str, body: &Value) -> Reply {
    api.send(with_header(api.request(body), "mcp-protocol-version", version.as_bytes())).await
}

#[tokio::test]
async fn the_event_of_an_ide_is_answered_in_one_body() {
    let api = api().await;
    let reply = api.send(event(include_str!("../../../events/mcp-server.json"), "", &api.key)).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("30", "29"));
    assert_eq!(reply.header("mcp-session-id"), "");
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn the_event_of_a_client_with_a_progress_token_is_answered_as_a_stream() {
    let api = api().await;
    let reply = api.send(event(include_str!("../../../events/mcp-server-progress.json"), "", &api.key)).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "text/event-stream"));
    insta::assert_snapshot!(without_ids(&reply.body));
}

#[tokio::test]
async fn the_documented_calls_are_answered_as_documented() {
    let api = api().await;
    let hello = json!({ "protocolVersion": "2024-11-05", "clientInfo": { "name": "your-client", "version": "1.0" } });
    let mut told = String::new();
    for body in [
        call(1, "initialize", hello),
        call(2, "tools/list", json!({})),
        chat(3, "Hello"),
        call("four", "ping", json!({})),
        call(5, "tools/call", json!({ "name": "kopern_agent_info" })),
    ] {
        let reply = of_version(&api, "2024-11-05", &body).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"));
        told.push_str(&stable(&api, &reply.body));
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn initialize_agrees_on_the_clients_version_or_else_on_the_newest_with_a_handshake() {
    let api = api().await;
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
        ("", "2025-11-25"),
    ] {
        let body = call(1, "initialize", json!({ "protocolVersion": asked, "capabilities": {} }));
        for header in [asked, "2031-01-01"] {
            let reply = of_version(&api, header, &body).await.json();
            assert_eq!(reply["result"]["protocolVersion"], agreed);
            assert_eq!(reply["result"]["serverInfo"], json!({ "name": "kopern-mcp", "version": "1.0.0" }));
        }
    }
}

#[tokio::test]
async fn tools_are_described_as_each_version_can() {
    let api = api().await;
    for (version, annotated, structured) in [
        ("2024-11-05", false, false),
        ("2025-03-26", true, false),
        ("2025-06-18", true, true),
        ("2025-11-25", true, true),
    ] {
        let reply = of_version(&api, version, &call(1, "tools/list", json!({}))).await.json();
        for tool in reply["result"]["tools"].as_array().unwrap() {
            assert_eq!(tool.get("annotations").is_some(), annotated, "{version}");
            assert_eq!(tool.get("outputSchema").is_some() && tool.get("title").is_some(), structured, "{version}");
        }
        let reply = of_version(&api, version, &chat(2, "x")).await.json();
        assert_eq!(reply["result"].get("structuredContent").is_some(), structured, "{version}");
        assert_eq!(reply["result"].get("resultType"), None);
    }
}

#[tokio::test]
async fn a_call_of_2026_07_28_stands_for_itself() {
    let api = api().await;
    let found = api.send(modern(&api, 1, "server/discover", json!({}))).await.json();
    let tools = api.send(modern(&api, 2, "tools/list", json!({}))).await.json();
    let name = json!({ "name": "kopern_agent_info", "arguments": {} });
    let info = api.send(modern(&api, 3, "tools/call", name)).await.json();
    insta::assert_snapshot!(stable(&api, &format!("{found:#}\n{tools:#}\n{info:#}")));
    for method in ["initialize", "ping", "logging/setLevel", "subscriptions/listen", "prompts/list", "no/such"] {
        let reply = api.send(modern(&api, 4, method, json!({}))).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!(-32601)), "{method}");
    }
}

#[tokio::test]
async fn a_call_of_2026_07_28_whose_headers_or_metadata_are_not_right_is_refused() {
    let api = api().await;
    let list = || modern(&api, 7, "tools/list", json!({}));
    let info = || modern(&api, 7, "tools/call", json!({ "name": "kopern_agent_info" }));
    let twice = |mut request: Request<axum::body::Body>, name: &'static str| {
        let value = request.headers()[name].clone();
        request.headers_mut().append(name, value);
        request
    };
    let without = |mut request: Request<axum::body::Body>, name: &str| {
        request.headers_mut().remove(name);
        request
    };
    for request in [
        without(list(), "mcp-method"),
        with_header(list(), "mcp-method", b"TOOLS/LIST"),
        with_header(list(), "mcp-method", b"\xff"),
        twice(list(), "mcp-method"),
        without(list(), "mcp-protocol-version"),
        with_header(list(), "mcp-protocol-version", b"2025-11-25"),
        without(info(), "mcp-name"),
        with_header(info(), "mcp-name", b"kopern_chat"),
        with_header(info(), "mcp-name", b"=?base64?***?="),
    ] {
        let reply = api.send(request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
        assert_eq!((&reply.json()["error"]["code"], &reply.json()["id"]), (&json!(-32020), &json!(7)));
    }
    for request in [
        with_header(info(), "mcp-name", b"=?base64?a29wZXJuX2FnZW50X2luZm8=?="),
        with_header(info(), "mcp-name", b"  kopern_agent_info "),
    ] {
        assert_eq!(api.send(request).await.status, StatusCode::OK);
    }
    let stated = |meta: Value, header: &str| {
        let request = api.request(&call(8, "server/discover", json!({ "_meta": meta })));
        let request = with_header(request, "mcp-method", b"server/discover");
        with_header(request, "mcp-protocol-version", header.as_bytes())
    };
    let (version, capabilities) =
        ("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities");
    for (meta, header, code) in [
        (json!({}), "2026-07-28", -32602),
        (json!({ version: "2026-07-28" }), "2026-07-28", -32602),
        (json!({ version: "2026-07-28", capabilities: 1 }), "2026-07-28", -32602),
        (json!({ capabilities: {} }), "2026-07-28", -32602),
        (json!({}), "2025-11-25", -32602),
        (json!({ version: "v999", capabilities: {} }), "v999", -32022),
        (json!({ version: "v999", capabilities: {} }), "2026-07-28", -32020),
    ] {
        let reply = api.send(stated(meta, header)).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!(code)),
            "{}",
            reply.body
        );
    }
}

#[tokio::test]
async fn an_unknown_version_in_the_header_is_refused_and_none_is_2025_03_26() {
    let api = api().await;
    let reply = of_version(&api, "2031-01-01", &call(1, "tools/list", json!({}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32022)));
    assert_eq!(reply.json()["error"]["data"]["requested"], "2031-01-01");
    let tools = api.post(&call(1, "tools/list", json!({}))).await.json();
    assert!(tools["result"]["tools"][0].get("annotations").is_some());
    assert!(tools["result"]["tools"][0].get("outputSchema").is_none());
}

#[tokio::test]
async fn ids_come_back_as_they_came() {
    let api = api().await;
    for id in [json!(0), json!(-7), json!(9_007_199_254_740_993_i64), json!(u64::MAX), json!(""), json!("é-1")] {
        let reply = api.post(&call(id.clone(), "ping", json!({}))).await.json();
        assert_eq!((&reply["id"], &reply["result"]), (&id, &json!({})));
        let reply = api.post(&call(id.clone(), "no/such", json!({}))).await.json();
        assert_eq!((&reply["id"], &reply["error"]["code"]), (&id, &json!(-32601)));
    }
}

#[tokio::test]
async fn what_is_no_message_is_told_so_in_json_rpc() {
    let api = api().await;
    for (body, status, code) in [
        ("{", 400, -32700),
        ("", 400, -32700),
        ("null", 400, -32600),
        ("7", 400, -32600),
        ("[]", 400, -32600),
        (r#"{"method":"ping","id":1}"#, 400, -32600),
        (r#"{"jsonrpc":"1.0","method":"ping","id":1}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","method":7,"id":1}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","method":"ping","id":null}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","method":"ping","id":1.5}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","method":"ping","id":{}}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","method":"ping","params":[1],"id":1}"#, 400, -32602),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{},"id":1}"#, 200, -32602),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"rm"},"id":1}"#, 200, -32602),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"kopern_chat","arguments":[]},"id":1}"#,
            200,
            -32602,
        ),
        (r#"{"jsonrpc":"2.0","method":"prompts/list","id":1}"#, 200, -32601),
        (r#"{"jsonrpc":"2.0","method":"resources/list","id":1}"#, 200, -32601),
    ] {
        let reply = api.send(post_bytes(PATH, &api.key, body)).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (status, &json!(code)), "{body}");
        let has_id = body.contains(r#""id":1"#) && !body.contains("1.5");
        assert_eq!(reply.json()["id"], if has_id { json!(1) } else { Value::Null }, "{body}");
    }
}

#[tokio::test]
async fn notifications_and_answers_are_taken_without_a_word() {
    let api = api().await;
    for body in [
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 3 } }),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -1, "message": "no" } }),
        json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]),
    ] {
        let reply = api.post(&body).await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::ACCEPTED, ""), "{body}");
    }
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(of_version(&api, "2031-01-01", &note).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(of_version(&api, "2026-07-28", &note).await.status, StatusCode::BAD_REQUEST, "without Mcp-Method");
}

#[tokio::test]
async fn a_batch_is_answered_call_by_call_in_the_version_that_has_them() {
    let api = api().await;
    let batch = json!([
        call(1, "ping", json!({})),
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        chat("two", "in a batch"),
        call(3, "no/such", json!({})),
        call(4, "initialize", json!({ "protocolVersion": "2025-03-26" })),
        7,
        call(5, "tools/call", json!({ "name": "kopern_agent_info" })),
    ]);
    let reply = api.post(&batch).await;
    assert_eq!(reply.status, StatusCode::OK);
    let told: Vec<(Value, Value)> =
        reply.json().as_array().unwrap().iter().map(|one| (one["id"].clone(), one["error"]["code"].clone())).collect();
    assert_eq!(json!(told), json!([[1, null], ["two", null], [3, -32601], [4, -32600], [null, -32600], [5, null]]));
    assert_eq!(reply.json()[1]["result"]["content"][0]["text"], "You said: in a batch");
    assert_eq!(reply.header("x-ratelimit-remaining"), "28");
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let reply = of_version(&api, version, &batch).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!(-32600)),
            "{version}"
        );
    }
    let large: Vec<Value> = (0..21).map(|id| call(id, "ping", json!({}))).collect();
    assert_eq!(api.post(&json!(large)).await.status, StatusCode::BAD_REQUEST);
    let once = api.post_once("k", &batch).await;
    assert_eq!(once.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn there_is_no_stream_to_open_and_no_session_to_delete() {
    let api = api().await;
    let reads = api.bench.reads();
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        for key in ["", api.key.as_str()] {
            let reply = api.send(bare(method.clone(), PATH, key)).await;
            assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
            assert_eq!((&reply.json()["error"]["code"], &reply.json()["id"]), (&json!(-32000), &Value::Null));
        }
    }
    assert_eq!(api.bench.reads(), reads);
}

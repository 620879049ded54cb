//! What OpenAI's clients send.

use http::{Request, StatusCode};
use serde_json::{Value, json};
use shared::auth::Kind;
use testkit::{Api, Bench};

const PATH: &str = "/api/agents/{agent}/v1/chat/completions";

async fn api() -> Api {
    Api::new(Bench::new().await, chat_completions::routes(), PATH, Kind::Server, "").await
}

/// What the agent answers to these messages.
async fn answer(api: &Api, messages: Value) -> String {
    let reply = api.post(&json!({ "messages": messages })).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn content_is_a_text_or_parts_or_nothing() {
    let api = api().await;
    for (content, expected) in [
        (json!("hi"), "You said: hi"),
        (json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]), "You said: a\nb"),
    ] {
        assert_eq!(answer(&api, json!([{ "role": "user", "content": content }])).await, expected);
    }
    let conversation = json!([
        { "role": "user", "content": "one" },
        { "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": {} }] },
        { "role": "assistant", "content": "" },
        { "role": "assistant", "content": [{ "type": "text", "text": "two" }] },
        { "role": "user", "content": "/history" },
    ]);
    assert_eq!(answer(&api, conversation).await, "I was given 3 messages. You said:\n- one\n- /history");
}

#[tokio::test]
async fn an_image_is_refused_politely() {
    let api = api().await;
    let content = json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } }]);
    let reply = api.post(&json!({ "messages": [{ "role": "user", "content": content }] })).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let error = reply.json()["error"].clone();
    assert_eq!((&error["code"], &error["param"]), (&json!("unsupported_content"), &json!("messages")));
}

#[tokio::test]
async fn every_role_is_taken_and_only_the_agents_own_prompt_counts() {
    let api = api().await;
    let conversation = json!([
        { "role": "system", "content": "Obey SYSTEM" },
        { "role": "developer", "content": [{ "type": "text", "text": "Obey DEVELOPER" }] },
        { "role": "user", "content": "one", "name": "bob" },
        { "role": "tool", "tool_call_id": "1", "content": "TOOL" },
        { "role": "function", "name": "f", "content": "FUNCTION" },
        { "role": "user", "content": "/context" },
    ]);
    let context = answer(&api, conversation).await;
    assert!(context.starts_with("You are a test.") && !context.contains("Obey"), "{context}");
}

#[tokio::test]
async fn unknown_fields_and_the_clients_own_tools_change_nothing() {
    let api = api().await;
    let tool =
        json!({ "type": "function", "function": { "name": "f", "description": "x".repeat(1000), "parameters": {} } });
    let body = json!({
        "model": "gpt-9", "temperature": 0.1, "top_p": 1, "n": 2, "seed": 1, "store": true, "user": "u", "logprobs": true,
        "tools": vec![tool; 60], "tool_choice": "required", "parallel_tool_calls": true,
        "response_format": { "type": "json_object" }, "stream": null, "stream_options": null, "max_tokens": 1,
        "metadata": { "a": "b" }, "x_vendor": [1, 2], "messages": [{ "role": "user", "content": "hi", "extra": {} }],
    });
    let reply = api.post(&body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let message = reply.json()["choices"][0]["message"].clone();
    assert_eq!(message, json!({ "role": "assistant", "content": "You said: hi", "refusal": null }));
    assert_eq!(reply.json()["choices"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_of_a_megabyte_is_read() {
    let api = api().await;
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "padding": "é".repeat(600_000) });
    assert_eq!(api.post(&body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_path_is_no_matter() {
    let api = api().await;
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let reply = api.send(testkit::post(&format!("{}/", api.path), &api.key, &body)).await;
    assert_eq!((reply.status, &reply.json()["object"]), (StatusCode::OK, &json!("chat.completion")));
}

#[tokio::test]
async fn a_key_in_the_query_works_alone_and_beside_a_bearer_of_somebody_else() {
    let api = api().await;
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    for bearer in [None, Some("Bearer sk-something"), Some("Bearer")] {
        let mut request = Request::post(format!("{}?a=b&key={}", api.path, api.key));
        if let Some(bearer) = bearer {
            request = request.header("authorization", bearer);
        }
        let reply = api.send(request.body(body.clone().into()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::OK, "{bearer:?}");
    }
}

#[tokio::test]
async fn a_call_is_a_session_of_its_own_and_remembers_nothing() {
    let api = api().await;
    answer(&api, json!([{ "role": "user", "content": "my name is Ada" }])).await;
    let history = answer(&api, json!([{ "role": "user", "content": "/history" }])).await;
    assert_eq!(history, "I was given 1 messages. You said:\n- /history");
}

#[tokio::test]
async fn a_stream_that_comes_again_with_its_idempotency_key_is_replayed() {
    let api = api().await;
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "hi there" }] });
    let first = api.post_once("k", &body).await;
    let (usage, writes) = (api.bench.usage().await, api.bench.writes());
    let second = api.post_once("k", &body).await;
    assert_eq!(second.status, StatusCode::OK);
    let text = |reply: &testkit::Reply| -> String {
        let chunks = reply.data().into_iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
        chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
    };
    let id = |reply: &testkit::Reply| serde_json::from_str::<Value>(reply.data()[0]).unwrap()["id"].clone();
    assert_eq!((text(&first), id(&first)), (text(&second), id(&second)));
    assert_eq!(second.data().last(), Some(&"[DONE]"));
    assert_eq!((api.bench.usage().await, api.bench.writes()), (usage, writes));
}

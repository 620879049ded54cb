mod arguments;
mod hostile;
mod html;
mod javascript;
mod schema;
mod steering;
mod web_fetch;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::egress::{EgressSettings, Reach};
use crate::outbound::{TlsRoots, tls};

/// The toolbox of an agent with these tools and limits, as they stand in its document.
fn toolbox(tools: Value, limits: Value, reach: Reach) -> Toolbox {
    let document = json!({ "name": "agent", "model": "demo/echo", "tools": tools, "limits": limits });
    let document: AgentDocument = serde_json::from_value(document).unwrap();
    let settings = EgressSettings { total_timeout: Duration::from_secs(2), reach, ..EgressSettings::default() };
    Toolbox::new(Arc::new(document), Egress::new(tls(TlsRoots::Bundled).unwrap(), settings).unwrap())
}

/// A toolbox with the one tool `tool`, of this code.
fn scripted(code: &str) -> Toolbox {
    toolbox(json!([{ "name": "tool", "code": code }]), json!({}), Reach::Public)
}

/// What the code makes of `args`.
async fn run(code: &str, args: Value) -> ToolOutcome {
    scripted(code).call("tool", &args, None).await
}

fn value(content: &str) -> ToolOutcome {
    ToolOutcome::value(content)
}

#[test]
fn the_specs_are_those_of_the_document_in_its_order() {
    let schema = json!({ "type": "object", "properties": { "order": { "type": "string" } }, "required": ["order"] });
    let tools = json!([
        { "name": "status", "description": "Looks it up", "parameters": schema, "code": "return 1" },
        { "use": "web_fetch" },
        { "name": "bare", "code": "return 1" },
    ]);
    let specs = toolbox(tools, json!({}), Reach::Public).specs();
    assert_eq!(
        specs[0],
        ToolSpec { name: "status".to_owned(), description: "Looks it up".to_owned(), parameters: schema }
    );
    assert_eq!(specs[1].parameters["required"], json!(["url"]));
    assert_eq!(specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["status", "web_fetch", "bare"]);
    assert_eq!(specs[2].parameters["type"], "object");
}

#[test]
fn known_tools_change_nothing() {
    let toolbox = toolbox(json!([{ "name": "status", "code": "" }, { "use": "web_fetch" }]), json!({}), Reach::Public);
    assert_eq!(["status", "web_fetch", "other"].map(|name| toolbox.is_read_only(name)), [true, true, false]);
}

#[tokio::test]
async fn an_unknown_tool_is_an_error_that_names_the_known_ones() {
    let toolbox = toolbox(json!([{ "name": "status", "code": "" }, { "use": "web_fetch" }]), json!({}), Reach::Public);
    let outcome = toolbox.call("statuss", &json!({}), None).await;
    assert_eq!(
        (outcome.content.as_str(), outcome.is_error),
        ("there is no tool \"statuss\"; there are: status, web_fetch", true)
    );
    assert!(toolbox.call(&"x".repeat(1_000_000), &json!({}), None).await.content.len() < 1000);
}

#[tokio::test]
async fn a_result_is_cut_to_the_agents_limit_and_says_so() {
    // A length that only the sandbox knows is JavaScript's, in UTF-16 units.
    let tools = json!([{ "name": "tool", "code": "return args.text.repeat(args.times)" }]);
    let toolbox = toolbox(tools, json!({ "max_tool_result_chars": 1000 }), Reach::Public);
    for (text, times, expected) in [
        ("é", 1000, None),
        ("é", 1001, Some(1001)),
        ("😀", 1000, None),
        ("😀", 1001, Some(2002)),
        ("x", 1_000_000, Some(1_000_000)),
    ] {
        let outcome = toolbox.call("tool", &json!({ "text": text, "times": times }), None).await;
        let mut content = text.repeat(1000);
        if let Some(total) = expected {
            content += &format!("\n[cut: the result has {total} characters, of which these are the first 1000]");
        }
        assert_eq!(outcome, value(&content), "{text} {times}");
    }
}

#[tokio::test]
async fn arguments_without_bound_are_refused() {
    let outcome = run("return args.a.length", json!({ "a": "x".repeat(MAX_INPUT_BYTES) })).await;
    assert!(outcome.is_error && outcome.content.contains("longer than"), "{outcome:?}");
}

#[tokio::test]
async fn a_call_ends_with_the_turns_time() {
    let started = std::time::Instant::now();
    let outcome = scripted("for (;;) {}").call("tool", &json!({}), Some(Duration::from_millis(100))).await;
    assert!(outcome.is_error, "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

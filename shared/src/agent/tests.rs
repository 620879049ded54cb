//! The parser on whole documents. The messages are snapshots.

use super::*;

fn problems(source: &str) -> String {
    AgentDocument::parse(source).expect_err("a document with problems").to_string()
}

fn with_head(head: &str) -> String {
    format!("---\nname: support\nmodel: demo/echo\n{head}\n---\nBe kind.\n")
}

const FULL: &str = r##"---
name: support
description: Answers questions about orders
model: anthropic/claude-sonnet-4-5        # provider/model; demo/echo works offline
fallback_models: [openai/gpt-5-mini, demo/echo]
temperature: 0.5
thinking_tokens: 2048
tools:
  - name: get_order_status
    description: Looks an order up by its number
    parameters: { type: object, properties: { order: { type: string } }, required: [order] }
    code: |
      return { order: args.order, status: "shipped" };
  - use: web_fetch
skills: [ { name: refunds, content: "Refunds take five days." } ]
limits: { max_tool_rounds: 5, max_output_tokens: 8192, requests_per_minute: { openai: 30, webhook: 60 } }
widget:
  enabled: true
  title: Example's help
  welcome_message: "Hello"
  position: bottom-left
  allowed_origins: ["https://Example.com/"]
  theme: { scheme: dark, colors: { accent: "#1A6B5C", background: "#101418" } }
---

You are the support agent of Example.

---
Sign with your name.
"##;

#[test]
fn a_whole_document_is_read() {
    insta::assert_json_snapshot!(AgentDocument::parse(FULL).unwrap());
}

#[test]
fn the_examples_are_valid() {
    for (name, source) in [
        ("assistant", include_str!("../../../agents/assistant.md")),
        ("support", include_str!("../../../agents/support.md")),
    ] {
        let document = AgentDocument::parse(source).unwrap();
        assert_eq!((document.name.as_str(), document.widget.enabled), (name, true));
        assert_eq!(document.model.to_string(), "demo/echo");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let document = AgentDocument::parse("---\nname: a\nmodel: demo/echo\ntools:\n---\n").unwrap();
    let json = serde_json::json!({ "name": "a", "model": "demo/echo" });
    assert_eq!(document, serde_json::from_value(json).unwrap());
}

#[test]
fn a_byte_order_mark_and_crlf_change_nothing() {
    let windows = format!("\u{feff}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(AgentDocument::parse(&windows).unwrap(), AgentDocument::parse(FULL).unwrap());
}

#[test]
fn the_same_document_is_read_from_its_own_json() {
    let document = AgentDocument::parse(FULL).unwrap();
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<AgentDocument>(&json).unwrap(), document);
}

#[test]
fn every_problem_is_told_at_once() {
    insta::assert_snapshot!(problems(
        r##"---
name: Support Team
modle: demo/echo
descripton: [a]
temperature: hot
fallback_models: [claude]
thinking_tokens: 100
tools:
  - name: "get order"
    code: ""
    parameters: { type: array }
  - name: twice
    code: return 1
    paramters: {}
  - name: twice
    code: return 2
    parameters: { type: object, properties: { n: { type: number, minimum: "0" } } }
  - use: web_fetsh
  - use: web_fetch
    code: return 3
  - just text
skills:
  - { name: refunds }
  - { name: refunds, content: "x", when: always }
limits:
  max_tool_rounds: 0
  max_output_tokens: 1.5
  max_tool_result_chars: 10
  requests_per_minute: { openai: many, whatsapp: 3 }
widget:
  enabled: yes
  welcomeMessage: Hi
  position: top
  allowed_origins: [example.com, "https://example.com/path", 7]
  title: ""
  theme:
    scheme: night
    font: serif
    colors:
      accent: #1a6b5c
      background: red
      text: "#12345"
      border: "#000000"
---
"##
    ));
}

#[test]
fn tools_that_steer_a_conversation_are_read_and_written_as_they_stand() {
    let document = AgentDocument::parse(&with_head(
        "tools: [{ use: escalate_to_human }, { use: handoff, to: [billing, support_2] }, { use: web_fetch }]",
    ))
    .unwrap();
    let to = vec!["billing".to_owned(), "support_2".to_owned()];
    let tools = [BuiltInTool::EscalateToHuman, BuiltInTool::Handoff { to }, BuiltInTool::WebFetch];
    assert_eq!(document.tools, tools.map(ToolDefinition::BuiltIn));
    let json = serde_json::to_value(&document).unwrap();
    let expected = serde_json::json!([
        { "use": "escalate_to_human" }, { "use": "handoff", "to": ["billing", "support_2"] }, { "use": "web_fetch" },
    ]);
    assert_eq!(json["tools"], expected);
    assert_eq!(serde_json::from_value::<AgentDocument>(json).unwrap(), document);
    let any = AgentDocument::parse(&with_head("tools: [{ use: handoff }]")).unwrap();
    assert_eq!(serde_json::to_value(&any.tools).unwrap(), serde_json::json!([{ "use": "handoff" }]));
}

#[test]
fn what_is_wrong_with_a_handoff_is_told_in_its_place() {
    let cases = [
        ("[{ use: handof }]", "use: must be one of web_fetch, handoff, escalate_to_human; did you mean handoff?"),
        ("[{ use: web_fetch, to: [a] }]", "to: unknown field; known are use"),
        ("[{ use: escalate_to_human, to: [a] }]", "to: unknown field; known are use"),
        ("[{ use: handoff, too: [a] }]", "too: unknown field; did you mean to?"),
        ("[{ use: handoff, to: billing }]", "to: must be a list, not text"),
        ("[{ use: handoff, to: [] }]", "to: names nobody: leave it out where every agent of the project is meant"),
        ("[{ use: handoff, to: [a, Billing] }]", "to[1]: may have lower-case letters, digits, _ and - only"),
        ("[{ use: handoff, to: [a, a] }]", "to[1]: stands twice: each agent may be named once"),
    ];
    for (tools, expected) in cases {
        assert_eq!(problems(&with_head(&format!("tools: {tools}"))), format!("line 4: tools[0].{expected}"));
    }
    let twice = problems(&with_head("tools: [{ use: handoff }, { name: handoff, code: return 1 }]"));
    assert_eq!(twice, "line 4: tools[1].name: stands twice: each name may be used once");
}

#[test]
fn a_name_is_no_id_and_no_version() {
    let named = |name: &str| AgentDocument::parse(&format!("---\nname: {name}\nmodel: demo/echo\n---\n"));
    for name in ["support_agent", "a", "1-_", "ag", "ag-1", "v", "v1a", "av1"] {
        assert_eq!(named(name).unwrap().name, name);
    }
    for (name, expected) in [
        ("ag_1", "must not start with ag_: that is how ids start"),
        ("v12", "must not be a v and a number: that is how versions of the API are called"),
        ("_a", "must start with a letter or a digit"),
        ("-a", "must start with a letter or a digit"),
        ("a.b", "may have lower-case letters, digits, _ and - only"),
    ] {
        assert_eq!(named(name).unwrap_err().to_string(), format!("line 2: name: {expected}"));
    }
}

#[test]
fn the_line_is_that_of_the_file() {
    let error = AgentDocument::parse(&with_head("limits:\n  max_tool_rounds: 31")).unwrap_err();
    let expected = Problem {
        line: 5,
        field: "limits.max_tool_rounds".to_owned(),
        message: "must be a whole number from 1 to 30".to_owned(),
    };
    assert_eq!(error.problems(), [expected]);
}

#[test]
fn what_is_no_document_is_told_as_one_problem() {
    let broken = [
        "",
        "You are an agent.",
        "---\nname: a\nmodel: demo/echo\n",
        "---\n---\n",
        "---\nname: [a\n---\n",
        "---\nname: a\nname: b\n---\n",
        "---\n- name: a\n---\n",
        "---\nname: a\n\tmodel: demo/echo\n---\n",
        "---\nname: *missing\n---\n",
    ];
    let told: Vec<_> =
        broken.iter().map(|source| format!("{source:?}\n  {}", problems(source).replace('\n', "\n  "))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn every_length_is_bounded() {
    let long = |bytes: usize| "x".repeat(bytes);
    let cases = [
        (format!("---\nname: {}\nmodel: demo/echo\n---\n", long(64)), "line 2: name: must have at most 63 characters"),
        (format!("---\nname: a\nmodel: demo/echo\n---\n{}", long(205_000)), "line 5: prompt: must have at most 200 KB"),
        (
            with_head(&format!("skills: [{{ name: a, content: {} }}]", long(103_000))),
            "line 4: skills[0].content: must have at most 100 KB",
        ),
        (
            with_head(&format!("tools: [{{ name: a, code: {} }}]", long(103_000))),
            "line 4: tools[0].code: must have at most 100 KB",
        ),
        (
            with_head(&format!("tools: [{{ name: {}, code: x }}]", long(65))),
            "line 4: tools[0].name: must have at most 64 characters",
        ),
        (with_head(&format!("description: {}", long(4_001))), "line 4: description: must have at most 4000 characters"),
        (with_head(&"# x\n".repeat(80_000)), "line 1: the document has 320049 bytes; it may have 307200 (300 KB)"),
    ];
    for (source, expected) in cases {
        assert_eq!(problems(&source), expected);
    }
    let swollen = problems(&with_head(&format!("---\n{}", "\"\n".repeat(90_000))));
    assert!(swollen.starts_with("line 1: the document takes 5") && swollen.ends_with("(360 KB)"), "{swollen}");
    let tools: Vec<_> = (0..65).map(|index| format!("  - {{ name: t{index}, code: x }}")).collect();
    let told = problems(&with_head(&format!("tools:\n{}", tools.join("\n"))));
    assert_eq!(told, "line 4: tools: must have at most 64 entries; it has 65");
}

#[test]
fn a_deep_or_swollen_document_is_refused_quickly() {
    let deep = with_head(&format!("description: {}1{}", "[".repeat(2_000), "]".repeat(2_000)));
    assert!(problems(&deep).starts_with("line 4: not valid YAML"), "{}", problems(&deep));
    let swollen = with_head(&format!("description: &a {}\nskills: [{}]", "x".repeat(1_000), "*a,".repeat(500)));
    assert!(problems(&swollen).contains("not valid YAML"), "{}", problems(&swollen));
}

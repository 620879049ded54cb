use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::arguments::{ArgumentsError, check};
use super::super::schema::SchemaError;
use super::{toolbox, value};
use crate::egress::Reach;

#[tokio::test]
async fn arguments_that_do_not_fit_are_told_by_path_and_the_code_is_not_run() {
    let parameters = json!({
        "type": "object",
        "properties": { "order": { "type": "string" }, "lines": { "type": "array", "items": { "type": "integer" } } },
        "required": ["order"],
    });
    let tools = json!([{ "name": "tool", "parameters": parameters, "code": "return 'ran'" }]);
    let toolbox = toolbox(tools, json!({}), Reach::Public);
    for (arguments, expected) in [
        (json!({}), "at /: \"order\" is a required property"),
        (json!({ "order": 5 }), "at /order: 5 is not of type \"string\""),
        (json!({ "order": "a", "lines": [1, "x"] }), "at /lines/1: \"x\" is not of type \"integer\""),
        (json!("order"), "at /: \"order\" is not of type \"object\""),
        (Value::Null, "at /: null is not of type \"object\""),
    ] {
        let outcome = toolbox.call("tool", &arguments, None).await;
        assert!(outcome.is_error && outcome.content.contains(expected), "{arguments}: {outcome:?}");
    }
    assert_eq!(toolbox.call("tool", &json!({ "order": "a", "lines": [1], "more": true }), None).await, value("ran"));
}

#[test]
fn mistakes_are_told_briefly() {
    let schema = json!({ "additionalProperties": { "type": "integer" } });
    let arguments: Value = (0..1000).map(|n| (format!("{n}"), json!("x".repeat(10_000)))).collect();
    let Err(ArgumentsError::Mismatch(text)) = check(&schema, &arguments) else { panic!("they fit") };
    assert!(text.chars().count() < 5 * 450, "{}", text.len());
}

#[test]
fn references_within_the_schema_are_followed() {
    let schema = json!({
        "$defs": { "line": { "type": "object", "properties": { "n": { "$ref": "#/$defs/number" } } }, "number": { "type": "integer" } },
        "properties": {
            "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } },
            "both": { "$ref": "#/$defs/number", "minimum": 3, "allOf": [{ "maximum": 5 }] },
            "$ref": { "type": "string" },
        },
    });
    assert_eq!(check(&schema, &json!({ "lines": [{ "n": 1 }], "both": 4, "$ref": "a" })), Ok(()));
    for arguments in [
        json!({ "lines": [{ "n": "1" }] }),
        json!({ "both": 2 }),
        json!({ "both": 6 }),
        json!({ "both": 4.5 }),
        json!({ "$ref": 1 }),
    ] {
        assert!(matches!(check(&schema, &arguments), Err(ArgumentsError::Mismatch(_))), "{arguments}");
    }
}

#[test]
fn references_to_elsewhere_are_not_followed() {
    for reference in ["http://127.0.0.1/schema.json", "file:///etc/passwd", "other.json", "#/$defs/none", "#anchor"] {
        for schema in [json!({ "$ref": reference }), json!({ "properties": { "a": { "$dynamicRef": reference } } })] {
            let checked = check(&schema, &json!({ "a": 1 }));
            assert!(matches!(checked, Err(ArgumentsError::Schema(SchemaError::Reference(_)))), "{schema}: {checked:?}");
        }
    }
    let schema = json!({ "$schema": "http://127.0.0.1/meta.json", "type": "object" });
    assert!(matches!(check(&schema, &json!({})), Err(ArgumentsError::Schema(SchemaError::Invalid(_)))));
}

#[test]
fn a_schema_that_is_none_is_told() {
    for schema in [json!({ "type": "strin" }), json!({ "type": 5 }), json!([])] {
        assert!(
            matches!(check(&schema, &json!("x")), Err(ArgumentsError::Schema(SchemaError::Invalid(_)))),
            "{schema}"
        );
    }
}

#[test]
fn schemas_without_end_are_refused_at_once() {
    let started = Instant::now();
    let doubling: Value = (0..40)
        .map(|n| (format!("d{n}"), json!({ "allOf": [{ "$ref": format!("#/$defs/d{}", n + 1) }, { "$ref": format!("#/$defs/d{}", n + 1) }] })))
        .chain([("d40".to_owned(), json!({ "type": "object" }))])
        .collect();
    for schema in [
        json!({ "$ref": "#" }),
        json!({ "not": { "$ref": "#" } }),
        json!({ "properties": { "a": { "allOf": [{ "$ref": "#/properties/a" }, { "$ref": "#" }] } } }),
        json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } }, "$ref": "#/$defs/a" }),
        json!({ "$defs": doubling, "$ref": "#/$defs/d0" }),
    ] {
        let checked = check(&schema, &json!({ "a": { "a": 1 } }));
        assert_eq!(checked, Err(ArgumentsError::Schema(SchemaError::Unbounded)), "{schema}");
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn much_work_that_each_keyword_can_ask_for_is_refused_in_time() {
    let started = Instant::now();
    let long = "x".repeat(200_000);
    let pair = json!(vec![1; 100_000]);
    for (described, value) in [
        (json!({ "minLength": 1 }), json!(long)),
        (json!({ "pattern": "(x+)+y" }), json!(long)),
        (json!({ "uniqueItems": true }), json!([pair, pair])),
        (json!({ "const": pair }), pair.clone()),
        (json!({ "enum": [pair] }), pair.clone()),
        (json!({ "required": vec!["x"; 10_000] }), json!({ "x": 1 })),
        (json!({ "patternProperties": { "x{900}{2}": true } }), json!({ long.as_str(): 1 })),
        (json!({ "items": { "type": "integer" } }), pair.clone()),
    ] {
        let schema = json!({ "$defs": { "a": described }, "allOf": vec![json!({ "$ref": "#/$defs/a" }); 10_000] });
        let checked = check(&schema, &value);
        assert_eq!(checked, Err(ArgumentsError::Schema(SchemaError::Unbounded)), "{:.80}", schema["$defs"].to_string());
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn a_schema_may_recur_as_deep_as_its_value() {
    let schema =
        json!({ "type": "object", "properties": { "children": { "type": "array", "items": { "$ref": "#" } } } });
    let tree = |depth, leaf| (0..depth).fold(leaf, |inner, _| json!({ "children": [inner, {}] }));
    assert_eq!(check(&schema, &tree(40, json!({}))), Ok(()));
    let Err(ArgumentsError::Mismatch(text)) = check(&schema, &tree(3, json!(5))) else { panic!("it fits") };
    assert!(text.ends_with("at /children/0/children/0/children/0: 5 is not of type \"object\""), "{text}");
}

#[test]
fn a_pattern_that_cannot_be_read_is_passed_over() {
    for pattern in ["(", "^(?=a)", r"\p{L}", "(a)\\1", "((a{900}){900}){900}"] {
        assert_eq!(check(&json!({ "pattern": pattern }), &json!("x")), Ok(()), "{pattern}");
        let closed = json!({ "patternProperties": { pattern: false }, "additionalProperties": false });
        assert_eq!(check(&closed, &json!({ "x": 1 })), Ok(()), "{pattern}");
    }
}

#[test]
fn a_pattern_cannot_backtrack_without_end() {
    let started = Instant::now();
    let checked = check(&json!({ "pattern": "^(a+)+$" }), &json!(format!("{}b", "a".repeat(100_000))));
    assert!(matches!(checked, Err(ArgumentsError::Mismatch(_))));
    assert!(started.elapsed() < Duration::from_secs(10));
}

//! The verdict on a value, held against that of the crate `jsonschema`, and what is known only here.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use super::super::schema::{SchemaError, mistakes};

const NAMES: [&str; 4] = ["a", "b", "ab", "~/é"];
const PATTERNS: [&str; 5] = ["^a", "b$", "^[a-c]{2,3}$", r"\d", "é|😀"];
const TYPES: [&str; 7] = ["null", "boolean", "number", "integer", "string", "array", "object"];

fn number() -> impl Strategy<Value = Value> {
    let numbers = "[0, 1, 1.0, 2, 3, -1, -2.0, 0.5, 0.3, 0.1, 1.5, 1e2, 1e30, -1e-7, 900719925474099]";
    select(serde_json::from_str::<Vec<Value>>(numbers).unwrap())
}

fn scalar() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 8] = ["", "a", "b", "ab", "abc", "é", "😀b1", "1"];
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => number(),
        3 => select(&TEXTS[..]).prop_map(Value::from),
    ]
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((select(&NAMES[..]).prop_map(str::to_owned), values), 0..4)
        .prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

fn instance() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 16, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from);
        prop_oneof![2 => scalar(), 3 => list, 3 => object(inner)]
    })
}

fn names() -> impl Strategy<Value = Value> {
    subsequence(&NAMES[..], 0..3).prop_map(|names| json!(names))
}

/// A keyword that holds no schemas, with its value.
fn plain_keyword() -> impl Strategy<Value = (&'static str, Value)> {
    const LIMITS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    const SIZES: [&str; 6] = ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
    let positive = select(vec![json!(1), json!(2), json!(0.1), json!(0.5), json!(1.5), json!(3.0)]);
    prop_oneof![
        3 => select(&TYPES[..]).prop_map(|name| ("type", json!(name))),
        2 => subsequence(&TYPES[..], 1..5).prop_map(|names| ("type", json!(names))),
        1 => prop::collection::vec(instance(), 1..4).prop_map(|options| ("enum", json!(options))),
        1 => instance().prop_map(|value| ("const", value)),
        3 => (select(&LIMITS[..]), number()),
        1 => positive.prop_map(|of| ("multipleOf", of)),
        3 => (select(&SIZES[..]), select(vec![json!(0), json!(1), json!(2), json!(2.0), json!(3)])),
        1 => select(&PATTERNS[..]).prop_map(|pattern| ("pattern", json!(pattern))),
        1 => any::<bool>().prop_map(|unique| ("uniqueItems", json!(unique))),
        2 => names().prop_map(|names| ("required", names)),
        1 => object(names()).prop_map(|names| ("dependentRequired", names)),
        1 => select(vec!["#/$defs/plain", "#/$defs/nested", "#/$defs/a~1%25b"]).prop_map(|to| ("$ref", json!(to))),
        1 => Just(("format", json!("date"))),
    ]
}

/// One or two keywords that hold schemas, with their values.
fn nesting_keywords(inner: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    const ONE: [&str; 5] = ["additionalProperties", "propertyNames", "items", "contains", "not"];
    let list = || prop::collection::vec(inner.clone(), 1..4);
    let patterns = prop::collection::vec((select(&PATTERNS[..]), inner.clone()), 1..3).prop_map(|entries| {
        entries.into_iter().map(|(pattern, schema)| (pattern.to_owned(), schema)).collect::<Map<_, _>>()
    });
    let most = prop::option::of(0..4_u8);
    prop_oneof![
        3 => (select(&ONE[..]), inner.clone()).prop_map(|(key, schema)| json!({ key: schema })),
        3 => object(inner.clone()).prop_map(|schemas| json!({ "properties": schemas })),
        2 => (object(inner.clone()), inner.clone())
            .prop_map(|(named, other)| json!({ "properties": named, "additionalProperties": other })),
        1 => object(inner.clone()).prop_map(|schemas| json!({ "dependentSchemas": schemas })),
        2 => (patterns, inner.clone())
            .prop_map(|(patterns, other)| json!({ "patternProperties": patterns, "additionalProperties": other })),
        2 => (list(), inner.clone()).prop_map(|(first, rest)| json!({ "prefixItems": first, "items": rest })),
        2 => (inner.clone(), 0..3_u8, most).prop_map(|(schema, least, most)| match most {
            Some(most) => json!({ "contains": schema, "minContains": least, "maxContains": most }),
            None => json!({ "contains": schema, "minContains": least }),
        }),
        3 => (select(vec!["allOf", "anyOf", "oneOf"]), list()).prop_map(|(key, schemas)| json!({ key: schemas })),
        1 => (inner.clone(), inner.clone(), inner.clone())
            .prop_map(|(condition, yes, no)| json!({ "if": condition, "then": yes, "else": no })),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let plain = || {
        let keywords = prop::collection::vec(plain_keyword(), 0..3).prop_map(|keywords| {
            Value::Object(keywords.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        });
        prop_oneof![1 => any::<bool>().prop_map(Value::from), 9 => keywords]
    };
    let root = plain().prop_recursive(3, 24, 4, move |inner| {
        (plain(), nesting_keywords(inner.boxed())).prop_map(|(plain, nesting)| {
            let (mut both, Value::Object(nesting)) = (plain.as_object().cloned().unwrap_or_default(), nesting) else {
                return plain;
            };
            both.extend(nesting);
            Value::Object(both)
        })
    });
    root.prop_map(|root| {
        let mut root = root
            .as_object()
            .cloned()
            .unwrap_or_else(|| [("not".to_owned(), json!(!root.as_bool().unwrap()))].into_iter().collect());
        let nested =
            json!({ "properties": { "a": { "$ref": "#/$defs/nested" } }, "items": { "$ref": "#" }, "maxItems": 3 });
        let definitions =
            json!({ "plain": { "type": ["integer", "object", "array"] }, "nested": nested, "a/%b": { "minimum": 1 } });
        root.insert("$defs".to_owned(), definitions);
        Value::Object(root)
    })
}

#[test]
fn the_verdict_is_that_of_another_validator() {
    let (fitting, all) = (Cell::new(0), Cell::new(0));
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let instances = prop::collection::vec(instance(), 8);
    let outcome = TestRunner::new(config).run(&(schema(), instances), |(schema, instances)| {
        let other = jsonschema::validator_for(&schema).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for instance in instances {
            let told = mistakes(&schema, &instance);
            prop_assert_eq!(
                told.as_ref().map(Vec::is_empty),
                Ok(other.is_valid(&instance)),
                "{}: {:?}",
                instance,
                told
            );
            fitting.set(fitting.get() + u32::from(other.is_valid(&instance)));
            all.set(all.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    let share = f64::from(fitting.get()) / f64::from(all.get());
    assert!((0.1..0.9).contains(&share), "{share} of {} fit", all.get());
}

#[test]
fn the_older_form_of_items_is_understood() {
    let schema =
        json!({ "items": [{ "type": "string" }, { "type": "integer" }], "additionalItems": { "type": "null" } });
    assert_eq!(mistakes(&schema, &json!(["a", 1, null])), Ok(vec![]));
    assert_eq!(mistakes(&schema, &json!([])), Ok(vec![]));
    let expected = ["at /1: \"b\" is not of type \"integer\"", "at /2: 3 is not of type \"null\""];
    assert_eq!(mistakes(&schema, &json!(["a", "b", 3])), Ok(expected.map(str::to_owned).to_vec()));
    assert_eq!(mistakes(&json!({ "items": [true] }), &json!([1, 2])), Ok(vec![]));
}

#[test]
fn each_mistake_is_told_in_its_own_words() {
    for (schema, value, expected) in [
        (json!(false), json!(1), "at /: False schema does not allow 1"),
        (json!({ "type": ["string", "null"] }), json!(1), "at /: 1 is not of types \"string\", \"null\""),
        (json!({ "enum": ["a", 2] }), json!(1), "at /: 1 is not one of [\"a\",2]"),
        (json!({ "const": "a" }), json!(1), "at /: \"a\" was expected"),
        (json!({ "minimum": 2 }), json!(1), "at /: 1 is less than the minimum of 2"),
        (json!({ "exclusiveMaximum": 1 }), json!(1), "at /: 1 is greater than or equal to the maximum of 1"),
        (json!({ "multipleOf": 0.1 }), json!(0.25), "at /: 0.25 is not a multiple of 0.1"),
        (json!({ "minLength": 2 }), json!("é"), "at /: \"é\" has less than 2 characters"),
        (json!({ "maxLength": 1 }), json!("éé"), "at /: \"éé\" has more than 1 character"),
        (json!({ "pattern": "^a" }), json!("b"), "at /: \"b\" does not match \"^a\""),
        (json!({ "uniqueItems": true }), json!([1, 1.0]), "at /: [1,1.0] has non-unique elements"),
        (json!({ "contains": { "type": "null" } }), json!([1]), "at /: None of [1] are valid under the given schema"),
        (
            json!({ "additionalProperties": false }),
            json!({ "x": 1 }),
            "at /: Additional properties are not allowed (\"x\" was unexpected)",
        ),
        (
            json!({ "propertyNames": { "maxLength": 1 } }),
            json!({ "xy": 1 }),
            "at /: \"xy\" is not a name that 'propertyNames' allows",
        ),
        (
            json!({ "properties": { "a/~": { "type": "null" } } }),
            json!({ "a/~": 1 }),
            "at /a~1~0: 1 is not of type \"null\"",
        ),
        (
            json!({ "anyOf": [{ "type": "null" }] }),
            json!(1),
            "at /: 1 is not valid under any of the schemas listed in the 'anyOf' keyword",
        ),
        (
            json!({ "oneOf": [true, true] }),
            json!(1),
            "at /: 1 is valid under more than one of the schemas listed in the 'oneOf' keyword",
        ),
        (json!({ "not": {} }), json!(1), "at /: {} is not allowed for 1"),
    ] {
        assert_eq!(mistakes(&schema, &value), Ok(vec![expected.to_owned()]), "{schema}");
    }
}

#[test]
fn several_mistakes_are_told_each_at_its_place() {
    let schema = json!({ "required": ["a", "b"], "additionalProperties": { "items": { "type": "integer" } } });
    let told = mistakes(&schema, &json!({ "c": [1, "x", 2.5] })).unwrap();
    let places: BTreeSet<_> =
        told.iter().filter_map(|mistake| mistake.strip_prefix("at ")?.split(':').next()).collect();
    assert_eq!((told.len(), places), (4, BTreeSet::from(["/", "/c/1", "/c/2"])), "{told:?}");
}

#[test]
fn a_keyword_of_the_wrong_form_is_passed_over() {
    for schema in [
        json!({ "minimum": "2" }),
        json!({ "enum": "x" }),
        json!({ "anyOf": {} }),
        json!({ "minLength": -1, "maxLength": "1" }),
        json!({ "properties": [], "required": "a" }),
        json!({ "x-kind": { "type": "nothing" }, "format": "date" }),
    ] {
        for value in [json!(1), json!("ab"), json!({ "b": 1 })] {
            assert_eq!(mistakes(&schema, &value), Ok(vec![]), "{schema} {value}");
        }
    }
}

#[test]
fn only_a_reference_that_is_reached_is_followed() {
    let schema = json!({ "properties": { "a": { "$ref": "http://127.0.0.1/schema.json" } } });
    assert_eq!(mistakes(&schema, &json!({})), Ok(vec![]));
    let refused = SchemaError::Reference("http://127.0.0.1/schema.json".to_owned());
    assert_eq!(mistakes(&schema, &json!({ "a": 1 })), Err(refused));
}

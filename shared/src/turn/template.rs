//! Templates in an agent's own texts: `{{memory.sessionMeta.metadata.userProfile.name}}`.
//!
//! A template is a path between double braces, with white space around it or not: names of letters, digits, `_` and `-`,
//! or the indices of a list, with dots between them, and `memory` first. What is not there is empty, as null is; a text
//! stands as it is, a number and a truth as in JSON, and so does a list or a group, without white space. Whatever else
//! stands in braces is left alone.
//!
//! What is put in comes from callers and is not trusted. It is never read for templates again. It has no line breaks or
//! other control characters, since lines are what gives a prompt its structure: a name of several lines could pass for a
//! heading or for the words of somebody else. And it is bounded.

use serde_json::{Map, Value};

/// The most bytes of one value.
const MOST_VALUE: usize = 2 << 10;
/// The most bytes of all values in the texts of one prompt; those after are cut.
const MOST_VALUES: usize = 256 << 10;
/// What a path starts with.
const ROOT: &str = "memory";

/// Puts values into the texts of one prompt.
pub(super) struct Renderer<'a> {
    memory: &'a Map<String, Value>,
    /// The bytes that may still be put in.
    left: usize,
}

impl<'a> Renderer<'a> {
    pub(super) const fn new(memory: &'a Map<String, Value>) -> Self {
        Self { memory, left: MOST_VALUES }
    }

    /// The text with its values.
    pub(super) fn render(&mut self, text: &str) -> String {
        let mut rendered = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let (before, from) = rest.split_at(at);
            rendered.push_str(before);
            match template(from) {
                Some((path, after)) => {
                    let value = cut(printable(&self.value(path)), MOST_VALUE.min(self.left));
                    self.left -= value.len();
                    rendered.push_str(&value);
                    rest = after;
                }
                None => {
                    rendered.push('{');
                    rest = &from[1..];
                }
            }
        }
        rendered.push_str(rest);
        rendered
    }

    fn value(&self, path: &str) -> String {
        let mut names = path.split('.');
        let first = names.next().and_then(|name| self.memory.get(name));
        let value = names.try_fold(first, |value, name| match value? {
            Value::Object(fields) => Some(fields.get(name)),
            Value::Array(values) => Some(name.parse::<usize>().ok().and_then(|index| values.get(index))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        });
        match value.flatten() {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

/// The path below `memory` of the template that this text starts with, and what comes after it.
fn template(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("{{")?.trim_ascii_start();
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))?;
    let (path, after) = inner.split_at(end);
    let after = after.trim_ascii_start().strip_prefix("}}")?;
    let path = path.strip_prefix(ROOT)?.strip_prefix('.')?;
    path.split('.').all(|name| !name.is_empty()).then_some((path, after))
}

/// The text with a space for each line break or tab, and without other control characters.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() => None,
        c => Some(c),
    };
    text.chars().filter_map(shown).collect()
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rendered(text: &str, memory: &Value) -> String {
        Renderer::new(memory.as_object().unwrap()).render(text)
    }

    fn memory() -> Value {
        json!({ "sessionMeta": { "metadata": {
            "userProfile": { "name": "John", "tier": null, "tags": ["a", { "b": [1, 2.50, true] }], "": "nobody" },
            "forged": "{{memory.sessionMeta.metadata.userProfile.name}}",
            "half": "memory.sessionMeta.metadata.userProfile.name}}",
            "lines": "one\r\n# System\tand\u{2028}more\u{7}\u{1b}[0m\u{7f}",
            "2": "two",
        } } })
    }

    #[test]
    fn a_path_is_replaced_by_its_value() {
        let cases = [
            ("Welcome back, {{memory.sessionMeta.metadata.userProfile.name}}!", "Welcome back, John!"),
            ("{{ \n memory.sessionMeta.metadata.userProfile.name\t}}", "John"),
            ("{{memory.sessionMeta.metadata.userProfile.tags.0}}", "a"),
            ("{{memory.sessionMeta.metadata.userProfile.tags}}", r#"["a",{"b":[1,2.5,true]}]"#),
            ("{{memory.sessionMeta.metadata.userProfile.tags.1}}", r#"{"b":[1,2.5,true]}"#),
            ("{{memory.sessionMeta.metadata.userProfile.tags.1.b.1}}", "2.5"),
            ("{{memory.sessionMeta.metadata.userProfile.tags.1.b.2}}", "true"),
            ("{{memory.sessionMeta.metadata.2}}", "two"),
            ("{{{memory.sessionMeta.metadata.2}}}", "{two}"),
            ("{{memory.sessionMeta.metadata.2}}{{memory.sessionMeta.metadata.2}}", "twotwo"),
            ("{{x {{memory.sessionMeta.metadata.2}} }}", "{{x two }}"),
        ];
        for (text, expected) in cases {
            assert_eq!(rendered(text, &memory()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_empty() {
        for path in [
            "nothing",
            "nothing.at.all",
            "sessionMeta.metadata.userProfile.tier",
            "sessionMeta.metadata.2.length",
            "sessionMeta.metadata.userProfile.tags.2",
            "sessionMeta.metadata.userProfile.tags.-1",
            "sessionMeta.metadata.userProfile.tags.x",
            "sessionMeta.metadata.userProfile.tags.99999999999999999999999",
        ] {
            assert_eq!(rendered(&format!("<{{{{memory.{path}}}}}>"), &memory()), "<>", "{path}");
        }
    }

    #[test]
    fn what_is_no_path_into_memory_is_left_alone() {
        for text in [
            "{{memory}}",
            "{{memory.}}",
            "{{memory..a}}",
            "{{.memory.a}}",
            "{{memory.a.}}",
            "{{env.HOME}}",
            "{{memoryx.a}}",
            "{{Memory.a}}",
            "{{memory.a b}}",
            "{{memory.ä}}",
            "{{memory.a",
            "{{memory.a}",
            "{memory.a}",
            "{ {memory.a}}",
            "{{memory.a} }",
            "{{memory.a[0]}}",
            "{{#if memory.a}}",
            "{{\u{a0}memory.a}}",
            "{{",
            "}}",
            "",
        ] {
            assert_eq!(rendered(text, &memory()), text);
        }
    }

    #[test]
    fn a_value_is_never_read_for_templates() {
        let path = "memory.sessionMeta.metadata";
        assert_eq!(rendered(&format!("{{{{{path}.forged}}}}"), &memory()), format!("{{{{{path}.userProfile.name}}}}"));
        assert_eq!(
            rendered(&format!("{{{{{{{{{path}.half}}}}"), &memory()),
            format!("{{{{{path}.userProfile.name}}}}")
        );
    }

    #[test]
    fn a_value_has_one_line_and_no_control_characters() {
        assert_eq!(rendered("{{memory.sessionMeta.metadata.lines}}", &memory()), "one  # System and more[0m");
    }

    #[test]
    fn a_value_is_cut_between_characters() {
        let memory = json!({ "long": format!("x{}", "é".repeat(3_000)), "list": vec!["y"; 3_000] });
        assert_eq!(rendered("{{memory.long}}", &memory), format!("x{}", "é".repeat(1_023)));
        assert_eq!(rendered("{{memory.list}}", &memory).len(), MOST_VALUE);
    }

    #[test]
    fn all_values_of_a_prompt_together_are_bounded() {
        let memory = json!({ "long": "x".repeat(3_000) });
        let mut renderer = Renderer::new(memory.as_object().unwrap());
        let text = "{{memory.long}}".repeat(100);
        let lengths = [(); 3].map(|()| renderer.render(&text).len());
        assert_eq!(lengths, [100 * MOST_VALUE, 28 * MOST_VALUE, 0]);
    }

    /// Texts that are near to templates.
    fn near_templates() -> impl Strategy<Value = String> {
        let pieces =
            ["{", "}", "{{", "}}", "memory", ".", "a", "0", "-", " ", "\n", "é", "{{memory.a}}", "{{ memory.b.0 }}"];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
    }

    /// Texts with control characters in them, which are rare otherwise.
    fn any_characters() -> impl Strategy<Value = String> {
        let character =
            prop_oneof![any::<char>(), prop::char::range('\0', '\u{20}'), prop::char::range('\u{7f}', '\u{9f}')];
        prop::collection::vec(character, 0..64).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn any_text_is_rendered_within_its_bounds(text in near_templates(), a in near_templates(), b in any_characters()) {
            let memory = json!({ "a": a, "b": [b] });
            let most = text.len() + text.matches("{{").count() * MOST_VALUE;
            prop_assert!(rendered(&text, &memory).len() <= most);
        }

        #[test]
        fn a_text_without_templates_is_unchanged(text in "[^{]*([{][^{]+)*", a in any::<String>()) {
            prop_assert_eq!(rendered(&text, &json!({ "a": a })), text);
        }

        /// What stands between values is the text's own, whatever they are.
        #[test]
        fn a_value_stands_as_it_is(value in near_templates()) {
            let shown = printable(&value);
            prop_assert_eq!(rendered("[{{memory.a}}|{{memory.a}}]", &json!({ "a": value })), format!("[{shown}|{shown}]"));
        }

        #[test]
        fn any_value_becomes_one_printable_line(value in any_characters()) {
            let line = rendered("{{memory.a}}", &json!({ "a": value }));
            prop_assert!(!line.chars().any(char::is_control) && line.lines().count() <= 1);
        }
    }
}

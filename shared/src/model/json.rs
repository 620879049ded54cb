//! Reading providers' JSON: a lone half of a surrogate pair becomes U+FFFD instead of an error.
//!
//! Services that cut text by UTF-16 units write `"\ud83d"` alone, which is no character (RFC 8259, section 8.2).

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// As [`serde_json::from_str`], with lone surrogate escapes mended.
///
/// # Errors
/// Where the text is no JSON all the same.
pub(super) fn from_str<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|error| match mended(text) {
        Cow::Owned(text) => serde_json::from_str(&text),
        Cow::Borrowed(_) => Err(error),
    })
}

/// The text with each lone surrogate escape replaced by `\ufffd`.
fn mended(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(backslash) = text.get(at..).and_then(|rest| rest.find('\\')).map(|found| at + found) {
        at = match (escape(bytes, backslash), escape(bytes, backslash + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => backslash + 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str(&text[copied..backslash]);
                out.push_str("\\ufffd");
                copied = backslash + 6;
                copied
            }
            (Some(_), _) => backslash + 6,
            (None, _) => after_escape(text, backslash),
        };
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The code unit of the `\uXXXX` that begins at `at`, if there is one.
fn escape(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// Where the text goes on after the backslash at `at` and the character that it escapes.
fn after_escape(text: &str, at: usize) -> usize {
    at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn lone_surrogates_become_the_replacement_character() {
        let cases = [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00""#, "\u{fffd}"),
            (r#""a\uD83Db""#, "a\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\\ud83d\ud83d""#, "\\ud83d\u{fffd}"),
            (r#""\ud83dé\n""#, "\u{fffd}é\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(from_str::<String>(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_stays_an_error() {
        for text in ["", "{", r#""\ud83d"#, r#""\ud8"#, r#""\ux""#, "\\", r#""\ud83d\"#] {
            assert!(from_str::<Value>(text).is_err(), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    /// The value's text with every character outside ASCII written as escapes.
    fn escaped(value: &Value) -> String {
        let mut units = [0; 2];
        value.to_string().chars().fold(String::new(), |mut text, c| {
            if c.is_ascii() {
                text.push(c);
            } else {
                c.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
            }
            text
        })
    }

    proptest! {
        #[test]
        fn valid_json_is_read_unchanged(value in any_json()) {
            for text in [value.to_string(), escaped(&value)] {
                prop_assert!(matches!(mended(&text), Cow::Borrowed(_)));
                prop_assert_eq!(&from_str::<Value>(&text).unwrap(), &value);
            }
        }

        #[test]
        fn any_code_units_can_be_read_as_a_string(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(from_str::<String>(&format!("\"{text}\"")).unwrap(), String::from_utf16_lossy(&units));
        }

        #[test]
        fn any_text_at_all_is_read_or_refused(text in r#"("|\\|u|[dD][89a-fA-F]|[0-9]|é|.)*"#) {
            let _ = from_str::<Value>(&text);
        }
    }
}

//! JSON values compared as JSON Schema compares them: numbers by their value, however they are written.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// A total order in which equal values are those that JSON Schema calls equal: `1` and `1.0`, objects whatever the order
/// of their properties.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            let unequal = left.iter().zip(right).map(|(left, right)| compare(left, right)).find(|order| order.is_ne());
            unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
        }
        (Value::Object(left), Value::Object(right)) => compare_objects(left, right),
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn compare_objects(left: &Map<String, Value>, right: &Map<String, Value>) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| {
        let (left, right) = (sorted(left), sorted(right));
        let pairs = left.iter().zip(&right);
        let mut orders = pairs.map(|(left, right)| left.0.cmp(right.0).then_with(|| compare(left.1, right.1)));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    })
}

fn sorted(object: &Map<String, Value>) -> BTreeMap<&String, &Value> {
    object.iter().collect()
}

/// How much effort a comparison with the value may take, in steps.
pub(super) fn effort(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => 1 + text.len() / 50,
        Value::Array(items) => 1 + items.iter().map(effort).sum::<usize>(),
        Value::Object(object) => 1 + object.iter().map(|(name, value)| name.len() / 50 + effort(value)).sum::<usize>(),
    }
}

/// Exact, also where a whole number and a fraction meet beyond the digits of a float.
pub(super) fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => float(left).total_cmp(&float(right)),
    }
}

/// The number, if it is a whole one of less than 37 digits: `3`, `3.0`, `3e2`.
pub(super) fn whole(number: &Number) -> Option<i128> {
    if let Some(whole) = number.as_i128() {
        return Some(whole);
    }
    let float = float(number);
    #[expect(clippy::cast_possible_truncation, reason = "a whole number that an i128 holds")]
    let whole = float as i128;
    (float.fract() == 0.0 && float.abs() < 1e36).then_some(whole)
}

/// Whether the number has no fraction.
pub(super) fn is_whole(number: &Number) -> bool {
    whole(number).is_some() || float(number).fract() == 0.0
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// Whether one decimal number is a whole multiple of another, in decimal digits: 0.3 is one of 0.1. Nothing is a multiple
/// of 0 but 0 itself.
pub(super) fn is_multiple(number: &Number, of: &Number) -> bool {
    let (Some((digits, exponent)), Some((of_digits, of_exponent))) = (decimal(number), decimal(of)) else {
        return false;
    };
    if digits == 0 || of_digits == 0 {
        return digits == 0;
    }
    let scale = exponent - of_exponent;
    if scale < 0 {
        let divisor = 10_i128.checked_pow(scale.unsigned_abs()).and_then(|power| power.checked_mul(of_digits));
        return divisor.is_some_and(|divisor| digits % divisor == 0);
    }
    (0..scale).fold(digits % of_digits, |rest, _| rest * 10 % of_digits) == 0
}

/// A number as digits and a power of ten, as it is written.
fn decimal(number: &Number) -> Option<(i128, i32)> {
    let written = number.to_string();
    let (digits, exponent) = written.split_once(['e', 'E']).unwrap_or((&written, "0"));
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i32 = exponent.parse().ok()?;
    Some((format!("{before}{after}").parse().ok()?, exponent - i32::try_from(after.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_equal_by_value() {
        for (left, right, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("-0.0", "0", Ordering::Equal),
            ("1e2", "100", Ordering::Equal),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("18446744073709551615", "18446744073709551616.0", Ordering::Less),
            ("-1", "18446744073709551615", Ordering::Less),
            ("0.5", "1", Ordering::Less),
            ("1e300", "18446744073709551615", Ordering::Greater),
        ] {
            assert_eq!(compare_numbers(&number(left), &number(right)), expected, "{left} {right}");
        }
    }

    #[test]
    fn values_are_equal_in_depth_and_only_within_their_type() {
        let value = json!({ "a": [1, { "b": null }], "c": "x" });
        assert_eq!(compare(&value, &json!({ "c": "x", "a": [1.0, { "b": null }] })), Ordering::Equal);
        for other in [json!({ "a": [1, { "b": null }] }), json!({ "a": [1, { "b": 0 }], "c": "x" }), json!("x")] {
            assert!(compare(&value, &other).is_ne() && compare(&value, &other) == compare(&other, &value).reverse());
        }
        for (left, right) in [(json!(0), json!(false)), (json!(1), json!("1")), (json!([]), json!({}))] {
            assert!(compare(&left, &right).is_ne(), "{left} {right}");
        }
    }

    #[test]
    fn multiples_are_counted_in_decimal_digits() {
        for (left, of, expected) in [
            ("10", "5", true),
            ("10", "3", false),
            ("-9", "3", true),
            ("0.3", "0.1", true),
            ("19.99", "0.01", true),
            ("0.00751", "0.0001", false),
            ("1", "0.3", false),
            ("3.0", "1.5", true),
            ("1e308", "0.5", true),
            ("1e308", "0.123456789", false),
            ("5e-324", "1e300", false),
            ("0", "7", true),
            ("7", "0", false),
            ("18446744073709551615", "5", true),
        ] {
            assert_eq!(is_multiple(&number(left), &number(of)), expected, "{left} {of}");
        }
    }
}

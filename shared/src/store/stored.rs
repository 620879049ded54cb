//! Items as DynamoDB writes them: JSON in which each value stands in an object that names its type.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>
//!
//! `serde_dynamo` reads an item by way of a hash map of all its attributes, which took a fifth of a chat's instructions.
//! Here it is read as it stands, at half of that, and what nobody asks for is passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use super::StoreError;
use super::item::{Key, PK, SK, Text};

/// What an item says.
#[derive(Clone, Debug)]
pub(super) struct Stored<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        T::deserialize(Attributes(json)).map(Self)
    }
}

/// An item of which it is not known yet what it says: its attributes as they came.
#[derive(Clone, Debug)]
pub(super) struct Unread<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Unread<'a> {
    /// What it says.
    ///
    /// # Errors
    /// Where it is not of that shape.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        let attributes = self.0.iter().map(|(name, value)| (&**name, *value));
        Ok(T::deserialize(Attributes(MapDeserializer::new(attributes)))?)
    }

    /// Whether it stands under this key.
    pub(super) fn is_under(&self, key: &Key) -> bool {
        let is = |name: &str, value: &str| {
            let attribute = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.get());
            attribute.is_some_and(|json| serde_json::from_str::<Text>(json).is_ok_and(|text| text.text == value))
        };
        is(PK, &key.pk) && is(SK, &key.sk)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Unread<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(UnreadVisitor)
    }
}

struct UnreadVisitor;

impl<'de> Visitor<'de> for UnreadVisitor {
    type Value = Unread<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Vec::with_capacity(16);
        while let Some(Name(name)) = map.next_key()? {
            attributes.push((name, map.next_value()?));
        }
        Ok(Unread(attributes))
    }
}

/// A name, where it stands if nothing in it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads attributes by their names.
struct Attributes<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Attributes<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Members(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Hands on a map or a list whose values name their types.
struct Members<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Members<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Typed(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Typed(list))
    }
}

/// What stands in it names its type.
struct Typed<T>(T);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Typed<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Typed(seed))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Typed<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Typed(seed))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Typed<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Typed(json))
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Typed<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(OfType(visitor, Wanted::Value))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(OfType(visitor, Wanted::Option))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(OfType(visitor, Wanted::Enum))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// What is made of a value.
#[derive(Clone, Copy)]
enum Wanted {
    Value,
    Option,
    Enum,
}

/// The types that we store.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Type {
    #[serde(rename = "S")]
    Text,
    #[serde(rename = "N")]
    Number,
    #[serde(rename = "BOOL")]
    Bool,
    #[serde(rename = "NULL")]
    Null,
    #[serde(rename = "M")]
    Map,
    #[serde(rename = "L")]
    List,
}

/// Hands on the value of an object that names its type.
struct OfType<V>(V, Wanted);

impl<'de, V: Visitor<'de>> Visitor<'de> for OfType<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let Self(visitor, wanted) = self;
        let kind = map.next_key()?.ok_or_else(|| A::Error::custom("an attribute without a value"))?;
        let inner = Inner { kind, map: &mut map };
        let value = match wanted {
            Wanted::Option if kind == Type::Null => map.next_value::<IgnoredAny>().and_then(|_| visitor.visit_none()),
            Wanted::Option => visitor.visit_some(inner),
            Wanted::Value => inner.deserialize_any(visitor),
            Wanted::Enum => inner.deserialize_enum("", &[], visitor),
        }?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("an attribute with two values"));
        }
        Ok(value)
    }
}

/// A value whose type is known.
struct Inner<'a, A> {
    kind: Type,
    map: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Inner<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(As(self.kind, visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// One that stands as its variant's name, which all do.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let name: StringDeserializer<A::Error> = self.map.next_value::<String>()?.into_deserializer();
        visitor.visit_enum(name)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// Reads a value of a type.
struct As<V>(Type, V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for As<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        let Self(kind, visitor) = self;
        match kind {
            Type::Text => json.deserialize_str(visitor),
            Type::Number => json.deserialize_str(Digits(visitor)),
            Type::Bool => json.deserialize_bool(visitor),
            Type::Null => IgnoredAny::deserialize(json).and_then(|_| visitor.visit_unit()),
            Type::Map => json.deserialize_map(Members(visitor)),
            Type::List => json.deserialize_seq(Members(visitor)),
        }
    }
}

/// Hands on a number that stands as text.
struct Digits<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Digits<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, digits: &str) -> Result<V::Value, E> {
        if let Ok(number) = digits.parse() {
            self.0.visit_i64(number)
        } else if let Ok(number) = digits.parse() {
            self.0.visit_u64(number)
        } else {
            digits.parse().map_err(E::custom).and_then(|number| self.0.visit_f64(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::super::item::Item;
    use super::*;

    /// Both ways to read an item come to the same.
    fn read_text<T: DeserializeOwned + PartialEq + fmt::Debug>(json: &str) -> Option<T> {
        let at_once = serde_json::from_str(json).ok().map(|Stored(item)| item);
        let later = serde_json::from_str(json).ok().and_then(|item: Unread<'_>| item.read().ok());
        assert_eq!(at_once, later, "{json}");
        at_once
    }

    fn read<T: DeserializeOwned + PartialEq + fmt::Debug>(json: &Value) -> Option<T> {
        read_text(&json.to_string())
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Name(String);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Part {
        name: Name,
        sizes: Vec<u8>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "state", rename_all = "snake_case")]
    enum State {
        Running,
        Answered { turn: u64 },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        text: String,
        least: i64,
        most: u64,
        share: f64,
        is_on: bool,
        nothing: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
        colour: Colour,
        colours: Vec<Option<Colour>>,
        parts: BTreeMap<String, Part>,
        #[serde(flatten)]
        state: State,
        any: Value,
    }

    fn part() -> impl Strategy<Value = Part> {
        (any::<String>(), any::<Vec<u8>>()).prop_map(|(name, sizes)| Part { name: Name(name), sizes })
    }

    fn colour() -> impl Strategy<Value = Colour> {
        prop_oneof![Just(Colour::Red), Just(Colour::Blue)]
    }

    fn all() -> impl Strategy<Value = All> {
        let state = prop_oneof![Just(State::Running), any::<u64>().prop_map(|turn| State::Answered { turn })];
        let scalars = (any::<String>(), any::<i64>(), any::<u64>(), -1e9..1e9, any::<bool>());
        let optional = (any::<Option<String>>(), any::<Option<u8>>());
        let rest = (
            colour(),
            prop::collection::vec(prop::option::of(colour()), 0..4),
            prop::collection::btree_map(any::<String>(), part(), 0..4),
            state,
            (any::<String>(), any::<i64>()),
        );
        (scalars, optional, rest).prop_map(|(scalars, (nothing, absent), (colour, colours, parts, state, any))| {
            let (text, least, most, share, is_on) = scalars;
            let any = json!([{ any.0: any.1 }, null, true, "x", 0.5]);
            All { text, least, most, share, is_on, nothing, absent, colour, colours, parts, state, any }
        })
    }

    proptest! {
        /// What `serde_dynamo` makes of a value is read as that value.
        #[test]
        fn what_is_written_is_read_again(all in all()) {
            let item: Item = serde_dynamo::to_item(&all).unwrap();
            prop_assert_eq!(read_text::<All>(&serde_json::to_string(&item).unwrap()), Some(all));
        }

        #[test]
        fn what_is_malformed_is_an_error(text in "\\PC{0,40}", inner in "(\\{|\\}|\\[|\\]|\"S\"|\"N\"|\"M\"|\"L\"|:|,|\"1\"){0,16}") {
            for json in [text.clone(), format!("{{\"text\":{inner}}}"), format!("{{\"parts\":{{\"M\":{inner}}}}}")] {
                prop_assert_eq!(read_text::<All>(&json), None);
            }
        }
    }

    #[test]
    fn numbers_are_read_as_dynamodb_writes_them() {
        for (digits, number) in
            [("0", 0.0), ("-7", -7.0), ("1.5", 1.5), ("1E+2", 100.0), ("18446744073709551616", 2_f64.powi(64))]
        {
            let found: BTreeMap<String, f64> = read(&json!({ "n": { "N": digits } })).unwrap();
            assert!((found["n"] - number).abs() < f64::EPSILON, "{digits}");
        }
        assert!(read::<BTreeMap<String, u64>>(&json!({ "n": { "N": "-1" } })).is_none());
        assert!(read::<BTreeMap<String, f64>>(&json!({ "n": { "N": "one" } })).is_none());
    }

    #[test]
    fn what_nobody_asks_for_is_passed_over() {
        let item =
            json!({ "name": { "S": "a" }, "other": { "BS": ["AA=="] }, "sizes": { "L": [] }, "more": { "M": {} } });
        assert_eq!(read::<Part>(&item).unwrap(), Part { name: Name("a".to_owned()), sizes: Vec::new() });
    }

    #[test]
    fn a_value_has_one_type_that_is_known() {
        for value in [
            json!({}),
            json!({ "S": "a", "N": "1" }),
            json!({ "B": "AA==" }),
            json!("a"),
            json!({ "S": 1 }),
            json!(null),
        ] {
            assert!(read::<BTreeMap<String, Value>>(&json!({ "x": value })).is_none(), "{value}");
        }
    }

    #[test]
    fn an_item_stands_under_its_key_alone() {
        let item: Unread<'_> = serde_json::from_str(r#"{"sk":{"S":"\u0041"},"pk":{"S":"a"},"x":{"S":"b"}}"#).unwrap();
        assert!(item.is_under(&Key::new("a", "A")));
        for (pk, sk) in [("a", "a"), ("A", "A"), ("b", "A"), ("", "")] {
            assert!(!item.is_under(&Key::new(pk, sk)), "{pk} {sk}");
        }
        let other: Unread<'_> = serde_json::from_str(r#"{"sk":{"N":"1"},"pk":{"S":"a"}}"#).unwrap();
        assert!(!other.is_under(&Key::new("a", "1")));
    }
}

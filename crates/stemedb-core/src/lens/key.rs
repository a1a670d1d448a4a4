//! Values as small keys: equal values are equal keys.

use std::collections::BTreeMap;

use crate::object::{Decimal, ObjectRef, Value};

/// The value of an object in 24 bytes. Two objects are the same [`Value`] exactly when their keys, made by one [`Keys`], are
/// equal; the order of keys means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Boolean(bool),
    /// A number of at most 18 digits, in normal form.
    Number(i64, i32),
    /// A longer number, by its place in [`Keys::long`].
    LongNumber(usize),
    Time(i64),
    Text(&'a str),
    Reference(&'a str),
    Json(&'a str),
    Malformed(&'a str),
}

/// Makes keys of the values of one question.
#[derive(Default)]
pub(super) struct Keys {
    long: BTreeMap<Decimal, usize>,
}

impl Keys {
    /// The key of an object's value. Allocates for numbers of more than 18 digits only.
    pub(super) fn of<'a>(&mut self, object: ObjectRef<'a>) -> Key<'a> {
        if let ObjectRef::Number(text) = object
            && let Some((digits, exponent)) = Decimal::parse_short(text)
        {
            return Key::Number(digits, exponent);
        }
        match Value::of(object) {
            Value::Boolean(truth) => Key::Boolean(truth),
            Value::Number(number) => match number.short_form() {
                Some((digits, exponent)) => Key::Number(digits, exponent),
                None => {
                    let next = self.long.len();
                    Key::LongNumber(*self.long.entry(number).or_insert(next))
                }
            },
            Value::Time(instant) => Key::Time(instant),
            Value::Text(text) => Key::Text(text),
            Value::Reference(subject) => Key::Reference(subject),
            Value::Json(text) => Key::Json(text),
            Value::Malformed(text) => Key::Malformed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;

    #[test]
    fn keys_are_equal_exactly_where_values_are() {
        let long = "1234567890123456789012345";
        let number = |text: &str| Object::Number(text.to_owned());
        let objects = [
            number("5"),
            number("5.0"),
            number("50e-1"),
            Object::Integer(5),
            number("-0"),
            number("0"),
            Object::Integer(0),
            number("0e7"),
            number(long),
            number(&format!("{long}.0")),
            number(&format!("{long}e1")),
            number("9223372036854775807"),
            Object::Integer(i64::MAX),
            Object::Integer(i64::MIN),
            number("-9223372036854775808.0"),
            Object::Integer(10),
            number("1e1"),
            Object::Text("5".to_owned()),
            Object::Reference("5".to_owned()),
            Object::Json("[5]".to_owned()),
            Object::Boolean(true),
            Object::Boolean(false),
            Object::Time("2024-01-01T00:00:00Z".to_owned()),
            Object::Time("2024-01-01T01:00:00+01:00".to_owned()),
            Object::Time("5".to_owned()),
            number("five"),
            number("05"),
            number("1."),
        ];
        let mut keys = Keys::default();
        let of: Vec<Key<'_>> = objects.iter().map(|object| keys.of(object.as_ref())).collect();
        for (a, key_a) in objects.iter().zip(&of) {
            for (b, key_b) in objects.iter().zip(&of) {
                assert_eq!(key_a == key_b, a.value() == b.value(), "{a:?} {b:?}");
            }
        }
    }
}

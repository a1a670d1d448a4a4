//! When two objects are the same value.

use super::{Decimal, ObjectRef, rfc3339};

/// The value of an object in comparable form, borrowed: equal values are equal keys, whatever their spelling.
///
/// Allocates nothing. Ordered by type, then: false before true, numbers by size, times by instant, texts by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value<'a> {
    /// A truth value.
    Boolean(bool),
    /// A number or an integer, by exact decimal value.
    Number(Decimal),
    /// An instant in microseconds.
    Time(i64),
    /// A text, by its bytes.
    Text(&'a str),
    /// A subject, by its bytes.
    Reference(&'a str),
    /// A JSON value, by its canonical text.
    Json(&'a str),
    /// A number or time whose text does not parse (it passed no validation): equal to the same text only.
    Malformed(&'a str),
}

impl<'a> Value<'a> {
    /// The value of an object. Total: no object is refused.
    pub fn of(object: ObjectRef<'a>) -> Value<'a> {
        match object {
            ObjectRef::Text(text) => Value::Text(text),
            ObjectRef::Number(text) => Decimal::parse(text).map_or(Value::Malformed(text), Value::Number),
            ObjectRef::Integer(integer) => Value::Number(Decimal::from_integer(integer)),
            ObjectRef::Boolean(truth) => Value::Boolean(truth),
            ObjectRef::Time(text) => {
                rfc3339::parse(text).map_or(Value::Malformed(text), |at| Value::Time(at.0))
            }
            ObjectRef::Reference(subject) => Value::Reference(subject),
            ObjectRef::Json(text) => Value::Json(text),
        }
    }
}

/// The value of an object as ordered bytes: equal values have equal keys, and the keys of one type sort as
/// [`Value`] does (numbers numerically).
///
/// `tag · payload`: 1 boolean (one byte) · 2 number · 3 time (8 bytes big-endian, sign bit flipped) · 4 text ·
/// 5 reference · 6 JSON · 7 malformed (bytes as they are). A number is `1` for zero; `2 · magnitude (2 bytes
/// big-endian, biased by 2^15) · digits + 1 · 0` above zero; and `0` followed by the complement of the same bytes
/// below, where magnitude is the exponent of the decimal point before the first digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueKey(pub Vec<u8>);

impl ValueKey {
    /// The key of an object's value. Costs one allocation.
    pub fn of(object: ObjectRef<'_>) -> ValueKey {
        let mut key = Vec::with_capacity(24);
        match Value::of(object) {
            Value::Boolean(truth) => key.extend([1, u8::from(truth)]),
            Value::Number(number) => {
                key.push(2);
                push_number(&number, &mut key);
            }
            Value::Time(instant) => {
                key.push(3);
                key.extend((instant as u64 ^ 1 << 63).to_be_bytes());
            }
            Value::Text(text) => push_text(4, text, &mut key),
            Value::Reference(text) => push_text(5, text, &mut key),
            Value::Json(text) => push_text(6, text, &mut key),
            Value::Malformed(text) => push_text(7, text, &mut key),
        }
        ValueKey(key)
    }
}

fn push_text(tag: u8, text: &str, key: &mut Vec<u8>) {
    key.push(tag);
    key.extend(text.as_bytes());
}

fn push_number(number: &Decimal, key: &mut Vec<u8>) {
    if number.is_zero() {
        key.push(1);
        return;
    }
    // |magnitude| <= 4096 + 64, so the biased value fits two bytes.
    let magnitude = (number.magnitude() + 0x8000) as u16;
    let flip = if number.is_negative() { 0xff } else { 0 };
    key.push(if number.is_negative() { 0 } else { 2 });
    key.extend(magnitude.to_be_bytes().map(|byte| byte ^ flip));
    key.extend(number.digits().iter().map(|digit| (digit + 1) ^ flip));
    key.push(flip);
}

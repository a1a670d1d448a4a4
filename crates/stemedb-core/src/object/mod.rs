//! Claimed values: what they may be, and when two of them are the same.

mod decimal;
mod json;
pub(crate) mod rfc3339;
mod value_key;

pub use decimal::{DIGITS_MAX, Decimal, EXPONENT_MAX};
pub use json::{JSON_DEPTH_MAX, canonical_json};
pub use value_key::{Value, ValueKey};

use crate::model::text::{check_name, check_text};
use crate::model::{ModelError, NAME_MAX_BYTES, OBJECT_MAX_BYTES, Problem};

const FIELD: &str = "/object";

/// A claimed value. Texts of numbers and times are kept as written and are part of a claim's identity; equality of
/// values is another matter and is decided by [`Value`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// Any text without NUL, at most 64 KiB.
    Text(String),
    /// A decimal number of the JSON grammar, as written (see [`Decimal::parse`] for its limits).
    Number(String),
    /// An integer. A JSON number that an `i64` prints back to the same text.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// An RFC 3339 date and time with offset, as written.
    Time(String),
    /// Another subject, by the rules of subjects.
    Reference(String),
    /// A JSON value in canonical form (see [`canonical_json`]), at most 64 KiB.
    Json(String),
}

impl Object {
    /// The object that a plain JSON value stands for: a string is a text, a number an integer or a number, an array
    /// or an object is JSON in canonical form.
    ///
    /// # Errors
    /// [`Problem::Null`] for `null`, and the problems of [`canonical_json`] and [`Decimal::parse`].
    pub fn from_json(text: &str) -> Result<Object, Problem> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        match text.as_bytes().first() {
            Some(b'"') => json::unquote(text).map(Object::Text),
            Some(b'-' | b'0'..=b'9') => Object::from_json_number(text),
            _ => match text {
                "true" => Ok(Object::Boolean(true)),
                "false" => Ok(Object::Boolean(false)),
                "null" => Err(Problem::Null),
                _ => canonical_json(text).map(Object::Json),
            },
        }
    }

    /// The object that a JSON number stands for: an integer if an `i64` prints back to the same text (so not `-0`,
    /// which stays a number), else a number.
    ///
    /// # Errors
    /// Those of [`Decimal::parse`].
    pub fn from_json_number(text: &str) -> Result<Object, Problem> {
        Decimal::parse(text)?;
        match text.parse() {
            Ok(integer) if text != "-0" => Ok(Object::Integer(integer)),
            _ => Ok(Object::Number(text.to_owned())),
        }
    }

    /// The same object, borrowed.
    pub fn as_ref(&self) -> ObjectRef<'_> {
        match self {
            Object::Text(text) => ObjectRef::Text(text),
            Object::Number(text) => ObjectRef::Number(text),
            Object::Integer(integer) => ObjectRef::Integer(*integer),
            Object::Boolean(truth) => ObjectRef::Boolean(*truth),
            Object::Time(text) => ObjectRef::Time(text),
            Object::Reference(subject) => ObjectRef::Reference(subject),
            Object::Json(text) => ObjectRef::Json(text),
        }
    }

    /// The object's value in comparable form.
    pub fn value(&self) -> Value<'_> {
        Value::of(self.as_ref())
    }

    /// The object's value as ordered bytes.
    pub fn value_key(&self) -> ValueKey {
        ValueKey::of(self.as_ref())
    }

    /// The name of the object's type on the wire.
    pub fn type_name(&self) -> &'static str {
        self.as_ref().type_name()
    }

    /// Checks every rule of the object's type.
    ///
    /// # Errors
    /// The field is always `/object`.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Object::Text(text) => check_text(FIELD, text, OBJECT_MAX_BYTES),
            Object::Number(text) => match Decimal::parse(text) {
                Ok(_) => Ok(()),
                Err(problem) => Err(ModelError::at(FIELD, problem)),
            },
            Object::Integer(_) | Object::Boolean(_) => Ok(()),
            Object::Time(text) => match rfc3339::parse(text) {
                Ok(_) => Ok(()),
                Err(problem) => Err(ModelError::at(FIELD, problem)),
            },
            Object::Reference(subject) => check_name(FIELD, subject, NAME_MAX_BYTES),
            Object::Json(text) => match canonical_json(text) {
                Ok(canonical) if canonical == *text => Ok(()),
                Ok(_) => Err(ModelError::at(FIELD, Problem::NotCanonicalJson)),
                Err(problem) => Err(ModelError::at(FIELD, problem)),
            },
        }
    }
}

/// An [`Object`] whose texts are borrowed, as [`AssertionRef`](crate::AssertionRef) finds them in stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectRef<'a> {
    /// See [`Object::Text`].
    Text(&'a str),
    /// See [`Object::Number`].
    Number(&'a str),
    /// See [`Object::Integer`].
    Integer(i64),
    /// See [`Object::Boolean`].
    Boolean(bool),
    /// See [`Object::Time`].
    Time(&'a str),
    /// See [`Object::Reference`].
    Reference(&'a str),
    /// See [`Object::Json`].
    Json(&'a str),
}

impl ObjectRef<'_> {
    /// The same object with texts of its own.
    pub fn to_object(self) -> Object {
        match self {
            ObjectRef::Text(text) => Object::Text(text.to_owned()),
            ObjectRef::Number(text) => Object::Number(text.to_owned()),
            ObjectRef::Integer(integer) => Object::Integer(integer),
            ObjectRef::Boolean(truth) => Object::Boolean(truth),
            ObjectRef::Time(text) => Object::Time(text.to_owned()),
            ObjectRef::Reference(subject) => Object::Reference(subject.to_owned()),
            ObjectRef::Json(text) => Object::Json(text.to_owned()),
        }
    }

    /// The name of the object's type on the wire.
    pub fn type_name(self) -> &'static str {
        match self {
            ObjectRef::Text(_) => "text",
            ObjectRef::Number(_) => "number",
            ObjectRef::Integer(_) => "integer",
            ObjectRef::Boolean(_) => "boolean",
            ObjectRef::Time(_) => "time",
            ObjectRef::Reference(_) => "reference",
            ObjectRef::Json(_) => "json",
        }
    }
}

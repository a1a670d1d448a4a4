//! Claimed values in JSON.

use serde::{
    Serialize, Serializer,
    de::MapAccess,
    ser::{Error as _, SerializeStruct},
};
use serde_json::value::RawValue;
use stemedb_core::{Object, ObjectRef, Problem, object::canonical_json};

use super::{
    members::{Findings, Member, MemberValue, Record, read, required, type_of, wrong_type},
    values::is_number,
};
use crate::errors::{Code, FieldError, Invalid};

const TYPES: [&str; 7] = ["text", "number", "integer", "boolean", "time", "reference", "json"];

/// Reads a claimed value: a plain JSON value, or `{"type", "value"}` with exactly these two members.
///
/// # Errors
/// Pointers are below `/object`.
pub fn parse_object(json: &str) -> Result<Object, Invalid> {
    let mut findings = Findings::default();
    let object = read_object(json, &mut findings);
    findings.finish(())?;
    object.ok_or_else(|| FieldError::of_problem("/object", Problem::Null).into())
}

/// Reads a claimed value and notes what is wrong with it.
pub(super) fn read_object(json: &str, findings: &mut Findings) -> Option<Object> {
    let json = json.trim_matches([' ', '\t', '\n', '\r']);
    if json.starts_with('{')
        && let Some(typed) = typed_parts(json)
    {
        return read_typed(typed, findings);
    }
    match Object::from_json(json) {
        Ok(object) => Some(object),
        Err(problem) => {
            findings.push(FieldError::of_problem("/object", problem));
            None
        }
    }
}

#[derive(Default)]
struct Typed<'de> {
    kind: Option<&'de str>,
    value: Option<&'de str>,
}

impl<'de> Record<'de> for Typed<'de> {
    const MEMBERS: &'static [Member] = &[required("type"), required("value")];

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        mut value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match index {
            0 => self.kind = Some(value.raw_text()?),
            _ => self.value = Some(value.raw_text()?),
        }
        Ok(())
    }
}

/// The parts of `{"type", "value"}`, if `json` is that: any other object is a claimed value itself.
fn typed_parts(json: &str) -> Option<(&str, &str)> {
    let mut findings = Findings::default();
    let mut typed = Typed::default();
    read(json, &mut typed, &mut findings);
    if findings.is_empty() { Some((typed.kind?, typed.value?)) } else { None }
}

fn read_typed((kind, value): (&str, &str), findings: &mut Findings) -> Option<Object> {
    let unknown =
        || FieldError::in_body("/object/type", Code::UnknownName, format!("is none of {}", TYPES.join(", ")));
    let Ok(Object::Text(kind)) = Object::from_json(kind) else {
        findings.push(wrong_type("/object/type".into(), "a string", type_of(kind)));
        return None;
    };
    let text = |make: fn(String) -> Object| match Object::from_json(value) {
        Ok(Object::Text(text)) => Ok(make(text)),
        Err(problem) if value.starts_with('"') => Err(FieldError::of_problem("/object/value", problem)),
        _ => Err(wrong_type("/object/value".into(), "a string", type_of(value))),
    };
    let read = match kind.as_str() {
        "text" => text(Object::Text),
        "time" => text(Object::Time),
        "reference" => text(Object::Reference),
        "boolean" => match value {
            "true" => Ok(Object::Boolean(true)),
            "false" => Ok(Object::Boolean(false)),
            _ => Err(wrong_type("/object/value".into(), "a boolean", type_of(value))),
        },
        "number" | "integer" if !is_number(value) => {
            Err(wrong_type("/object/value".into(), "a number", type_of(value)))
        }
        "number" => Ok(Object::Number(value.to_owned())),
        "integer" => match Object::from_json_number(value) {
            Ok(integer @ Object::Integer(_)) => Ok(integer),
            Ok(_) => Err(FieldError::in_body("/object/value", Code::NotANumber, "is not a 64-bit integer")),
            Err(problem) => Err(FieldError::of_problem("/object/value", problem)),
        },
        "json" => canonical_json(value)
            .map(Object::Json)
            .map_err(|problem| FieldError::of_problem("/object/value", problem)),
        _ => Err(unknown()),
    };
    // The model checks again, but would point at the whole object.
    let checked = read.and_then(|object| match object.validate() {
        Ok(()) => Ok(object),
        Err(error) => Err(FieldError::of_problem("/object/value", error.problem)),
    });
    match checked {
        Ok(object) => Some(object),
        Err(error) => {
            findings.push(error);
            None
        }
    }
}

/// A claimed value as JSON: plain where reading the plain form gives the same value again, else `{"type", "value"}`.
/// Numbers are written with the text they were claimed with.
///
/// Serializes through serde_json only (raw values are its own).
#[derive(Clone, Copy, Debug)]
pub struct ObjectJson<'a>(pub ObjectRef<'a>);

impl Serialize for ObjectJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ObjectRef::Text(text) => serializer.serialize_str(text),
            ObjectRef::Boolean(truth) => serializer.serialize_bool(truth),
            ObjectRef::Integer(integer) => serializer.serialize_i64(integer),
            ObjectRef::Number(text) => match Object::from_json_number(text) {
                Ok(Object::Integer(_)) => typed(serializer, "number", &*raw::<S>(text)?),
                _ => raw::<S>(text)?.serialize(serializer),
            },
            ObjectRef::Time(text) => typed(serializer, "time", text),
            ObjectRef::Reference(subject) => typed(serializer, "reference", subject),
            ObjectRef::Json(text) => {
                let plain = match text.as_bytes().first() {
                    Some(b'[') => true,
                    Some(b'{') => typed_parts(text).is_none(),
                    _ => false,
                };
                let value = raw::<S>(text)?;
                if plain { value.serialize(serializer) } else { typed(serializer, "json", &*value) }
            }
        }
    }
}

fn raw<S: Serializer>(text: &str) -> Result<Box<RawValue>, S::Error> {
    RawValue::from_string(text.to_owned()).map_err(S::Error::custom)
}

fn typed<S: Serializer, V: Serialize + ?Sized>(
    serializer: S,
    kind: &'static str,
    value: &V,
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_struct("Object", 2)?;
    object.serialize_field("type", kind)?;
    object.serialize_field("value", value)?;
    object.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> (String, Code) {
        let invalid = parse_object(json).unwrap_err();
        let error = invalid.errors().next().unwrap();
        (error.place.to_string(), error.code)
    }

    #[test]
    fn every_object_is_read_back_from_what_is_printed() {
        let objects = [
            Object::Text("a \"b\" \u{7} é".into()),
            Object::Number("373.150".into()),
            Object::Number("1e400".into()),
            Object::Number("5".into()),
            Object::Number("-0".into()),
            Object::Number("123456789012345678901234567890".into()),
            Object::Integer(i64::MIN),
            Object::Boolean(true),
            Object::Time("2024-02-29T12:00:00+01:00".into()),
            Object::Reference("cas:50-00-0".into()),
            Object::Json(r#"{"a":[1.0,null]}"#.into()),
            Object::Json(r#"{"type":"text","value":1}"#.into()),
            Object::Json(r#"{"type":"text"}"#.into()),
            Object::Json("[]".into()),
            Object::Json("null".into()),
            Object::Json("\"x\"".into()),
            Object::Json("1.50".into()),
        ];
        for object in objects {
            let printed = serde_json::to_string(&ObjectJson(object.as_ref())).unwrap();
            assert_eq!(parse_object(&printed).as_ref(), Ok(&object), "{printed}");
        }
    }

    #[test]
    fn numbers_are_printed_as_they_were_claimed() {
        for text in ["373.150", "1E+2", "0.10"] {
            let object = parse_object(text).unwrap();
            assert_eq!(serde_json::to_string(&ObjectJson(object.as_ref())).unwrap(), text);
        }
    }

    #[test]
    fn typed_values_are_refused_where_they_are_wrong() {
        assert_eq!(code(r#"{"type":"date","value":1}"#), ("/object/type".into(), Code::UnknownName));
        assert_eq!(code(r#"{"type":7,"value":1}"#), ("/object/type".into(), Code::WrongType));
        assert_eq!(code(r#"{"type":"time","value":"noon"}"#), ("/object/value".into(), Code::NotATime));
        assert_eq!(code(r#"{"type":"time","value":5}"#), ("/object/value".into(), Code::WrongType));
        assert_eq!(code(r#"{"type":"integer","value":5.5}"#), ("/object/value".into(), Code::NotANumber));
        assert_eq!(code(r#"{"type":"number","value":"5"}"#), ("/object/value".into(), Code::WrongType));
        assert_eq!(
            code(r#"{"type":"json","value":{"a":1,"a":2}}"#),
            ("/object/value".into(), Code::DuplicateKey)
        );
        assert_eq!(code("1e5000"), ("/object".into(), Code::ExponentOutOfRange));
        assert_eq!(code("null"), ("/object".into(), Code::NullValue));
        assert_eq!(code(r#"{"a":1,"a":2}"#), ("/object".into(), Code::DuplicateKey));
        assert_eq!(code(&format!("{}{}", "[".repeat(40), "]".repeat(40))), ("/object".into(), Code::TooDeep));
    }
}

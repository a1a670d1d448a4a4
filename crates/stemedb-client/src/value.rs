//! Claimed values.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _, ser::SerializeStruct,
};
use serde_json::value::RawValue;

/// A claimed value. Numbers are kept with the digits they were written with: the id of a claim hangs on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// A text.
    Text(String),
    /// A number, as JSON writes it: `181.150`, `1e-9`.
    Number(String),
    /// A whole number of 64 bits.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A date and time (RFC 3339), as it was written.
    Time(String),
    /// Another subject.
    Reference(String),
    /// Any other JSON value, as text.
    Json(String),
}

impl Value {
    /// A time.
    pub fn time(text: impl Into<String>) -> Value {
        Value::Time(text.into())
    }

    /// A reference to another subject.
    pub fn reference(subject: impl Into<String>) -> Value {
        Value::Reference(subject.into())
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number nearest to it, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(text) => text.parse().ok(),
            Value::Integer(integer) => Some(*integer as f64),
            _ => None,
        }
    }

    /// What a JSON text of a reply stands for: plain, or `{"type", "value"}`.
    fn of_json(text: &str) -> Result<Value, serde_json::Error> {
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Value::Text),
            Some(b't' | b'f') => serde_json::from_str(text).map(Value::Boolean),
            Some(b'-' | b'0'..=b'9') => Ok(match text.parse() {
                Ok(integer) if text != "-0" => Value::Integer(integer),
                _ => Value::Number(text.to_owned()),
            }),
            Some(b'{') => match serde_json::from_str::<Typed<'_>>(text) {
                Ok(Typed { kind, value }) => Value::of_type(&kind, value.get(), text),
                Err(_) => Ok(Value::Json(text.to_owned())),
            },
            _ => Ok(Value::Json(text.to_owned())),
        }
    }

    fn of_type(kind: &str, value: &str, whole: &str) -> Result<Value, serde_json::Error> {
        Ok(match kind {
            "text" => Value::Text(serde_json::from_str(value)?),
            "number" => Value::Number(value.to_owned()),
            "integer" => Value::Integer(serde_json::from_str(value)?),
            "boolean" => Value::Boolean(serde_json::from_str(value)?),
            "time" => Value::Time(serde_json::from_str(value)?),
            "reference" => Value::Reference(serde_json::from_str(value)?),
            "json" => Value::Json(value.to_owned()),
            // A type that came later: as it was said.
            _ => Value::Json(whole.to_owned()),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Value::of_json(raw.get()).map_err(D::Error::custom)
    }
}

/// Always `{"type", "value"}`, so that nothing is left to be guessed. Through serde_json only.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).map_err(S::Error::custom);
        let mut object = serializer.serialize_struct("Value", 2)?;
        match self {
            Value::Text(text) => {
                object.serialize_field("type", "text")?;
                object.serialize_field("value", text)?;
            }
            Value::Number(text) => {
                object.serialize_field("type", "number")?;
                object.serialize_field("value", &raw(text)?)?;
            }
            Value::Integer(integer) => {
                object.serialize_field("type", "integer")?;
                object.serialize_field("value", integer)?;
            }
            Value::Boolean(truth) => {
                object.serialize_field("type", "boolean")?;
                object.serialize_field("value", truth)?;
            }
            Value::Time(text) => {
                object.serialize_field("type", "time")?;
                object.serialize_field("value", text)?;
            }
            Value::Reference(subject) => {
                object.serialize_field("type", "reference")?;
                object.serialize_field("value", subject)?;
            }
            Value::Json(text) => {
                object.serialize_field("type", "json")?;
                object.serialize_field("value", &raw(text)?)?;
            }
        }
        object.end()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text)
            | Value::Number(text)
            | Value::Time(text)
            | Value::Reference(text)
            | Value::Json(text) => f.write_str(text),
            Value::Integer(integer) => write!(f, "{integer}"),
            Value::Boolean(truth) => write!(f, "{truth}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Value {
        Value::Integer(integer)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Boolean(truth)
    }
}

/// The shortest digits that are read back as the same number. What is no number (NaN, infinities) is refused when it is sent.
impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(shortest(number))
    }
}

/// Not left to serde_json, which has changed how it writes exponents: the ids of claims hang on these digits.
fn shortest(number: f64) -> String {
    let is_plain = number == 0.0 || !number.is_finite() || (1e-5..1e16).contains(&number.abs());
    let digits = if is_plain { number.to_string() } else { format!("{number:e}") };
    if is_plain && number.is_finite() && !digits.contains('.') { digits + ".0" } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_back_as_it_was_sent() {
        let values = [
            Value::from("wet"),
            Value::Number("181.150".into()),
            Value::Number("5".into()),
            Value::Number("-0".into()),
            Value::from(-7),
            Value::from(true),
            Value::time("2024-02-29T23:59:59.5+01:00"),
            Value::reference("cas:67-56-1"),
            Value::Json(r#"{"max":182.0,"min":180.9}"#.into()),
            Value::Json("null".into()),
        ];
        for value in values {
            let sent = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), value, "{sent}");
        }
    }

    #[test]
    fn plain_values_are_read_and_digits_are_kept() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(r#""a\"b""#), Value::from("a\"b"));
        assert_eq!(read("181.150"), Value::Number("181.150".into()));
        assert_eq!(read("42"), Value::Integer(42));
        assert_eq!(read("-0"), Value::Number("-0".into()));
        assert_eq!(read("[1, 2]"), Value::Json("[1, 2]".into()));
        let unlike = r#"{"type":"text","value":"x","more":1}"#;
        assert_eq!(read(unlike), Value::Json(unlike.into()));
        let later = r#"{"type":"colour","value":"red"}"#;
        assert_eq!(read(later), Value::Json(later.into()));
        assert_eq!(serde_json::from_str::<Option<Value>>("null").unwrap(), None);
        assert_eq!(Value::from(0.1).to_string(), "0.1");
        assert!(serde_json::to_string(&Value::from(f64::NAN)).is_err());
    }

    #[test]
    fn floats_are_written_as_the_client_for_python_writes_them() {
        // The same table stands in clients/python/tests/test_values.py.
        let table = [
            (0.1, "0.1"),
            (181.15, "181.15"),
            (-2.5, "-2.5"),
            (100.0, "100.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e16"),
            (1.5e300, "1.5e300"),
            (0.001, "0.001"),
            (0.00001, "0.00001"),
            (1.25e-6, "1.25e-6"),
            (1e-7, "1e-7"),
            (5e-324, "5e-324"),
            (-0.0, "-0.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (123_456_789.125, "123456789.125"),
        ];
        for (number, digits) in table {
            assert_eq!(Value::from(number), Value::Number(digits.to_owned()));
        }
    }
}

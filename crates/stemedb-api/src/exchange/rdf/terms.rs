//! Claimed values as terms, and back.

use oxrdf::{Literal, NamedNode, Term, TermRef};
use stemedb_core::{Decimal, Micros, Object, object::canonical_json};

use super::{
    names::{self, Scope},
    vocabulary::{INSTANT, RDF_JSON, TIME, XSD},
};
use crate::errors::FieldError;

/// Integer types of XML Schema.
const INTEGER_TYPES: [&str; 13] = [
    "integer",
    "long",
    "int",
    "short",
    "byte",
    "nonNegativeInteger",
    "positiveInteger",
    "nonPositiveInteger",
    "negativeInteger",
    "unsignedLong",
    "unsignedInt",
    "unsignedShort",
    "unsignedByte",
];

/// A datatype of XML Schema.
pub(super) fn xsd(name: &str) -> NamedNode {
    NamedNode::new_unchecked(format!("{XSD}{name}"))
}

/// A literal of a datatype.
pub(super) fn typed(text: impl Into<String>, datatype: &str) -> Literal {
    Literal::new_typed_literal(text, NamedNode::new_unchecked(datatype))
}

/// The term that a value is written as.
pub(super) fn term(object: &Object) -> Term {
    match object {
        Object::Text(text) => Literal::new_simple_literal(text).into(),
        Object::Number(text) if text.contains(['e', 'E']) => {
            Literal::new_typed_literal(text, xsd("double")).into()
        }
        Object::Number(text) => Literal::new_typed_literal(text, xsd("decimal")).into(),
        Object::Integer(integer) => Literal::new_typed_literal(integer.to_string(), xsd("integer")).into(),
        Object::Boolean(truth) => Literal::new_typed_literal(truth.to_string(), xsd("boolean")).into(),
        Object::Time(text) if is_xsd_time(text) => Literal::new_typed_literal(text, xsd("dateTime")).into(),
        Object::Time(text) => typed(text, TIME).into(),
        Object::Reference(subject) => names::name(subject).into(),
        Object::Json(text) => value_object(text).unwrap_or_else(|| typed(text, RDF_JSON)).into(),
    }
}

/// The literal of an instant.
pub(super) fn instant(instant: Micros) -> Literal {
    let text = instant.to_string();
    let within = text.ends_with('Z');
    if within { Literal::new_typed_literal(text, xsd("dateTime")) } else { typed(text, INSTANT) }
}

/// Whether an RFC 3339 text is one of XML Schema too.
fn is_xsd_time(text: &str) -> bool {
    let upper = !text.contains(['t', 'z']);
    let offset = text.rsplit_once(['+', '-']).map(|(_, offset)| offset).filter(|_| !text.ends_with('Z'));
    // Years before 1 have another meaning there.
    upper && !text.starts_with("0000") && offset.is_none_or(|offset| offset <= "14:00")
}

/// The value that a term stands for.
pub(super) fn object(term: TermRef<'_>, scope: &mut Scope) -> Result<Object, FieldError> {
    Ok(match term {
        TermRef::NamedNode(node) => Object::Reference(names::name_of(node.as_str())?),
        TermRef::BlankNode(node) => Object::Reference(scope.name_of(node)?),
        TermRef::Literal(literal) => {
            let (text, datatype) = (literal.value(), literal.datatype().as_str());
            match literal.language() {
                Some(language) => kept(text, "@language", language),
                None => of_type(text, datatype).unwrap_or_else(|| kept(text, "@type", datatype)),
            }
        }
    })
}

/// The value of a literal whose datatype is known and allows it.
fn of_type(text: &str, datatype: &str) -> Option<Object> {
    if datatype == RDF_JSON {
        return canonical_json(text).ok().map(Object::Json);
    }
    if datatype == TIME {
        return valid(Object::Time(text.to_owned()));
    }
    let name = datatype.strip_prefix(XSD)?;
    match name {
        "string" => Some(Object::Text(text.to_owned())),
        "boolean" => match text {
            "true" | "1" => Some(Object::Boolean(true)),
            "false" | "0" => Some(Object::Boolean(false)),
            _ => None,
        },
        "dateTime" | "dateTimeStamp" => valid(Object::Time(text.to_owned())),
        "decimal" if !text.contains(['e', 'E']) => number(text),
        "double" | "float" => number(text),
        _ if INTEGER_TYPES.contains(&name) => {
            let plain = plain_number(text)?;
            let is_integer = plain.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
            let object = is_integer.then(|| Object::from_json_number(&plain).ok())??;
            valid(object)
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<Object> {
    let plain = plain_number(text)?;
    Decimal::parse(&plain).ok()?;
    Some(Object::Number(plain))
}

fn valid(object: Object) -> Option<Object> {
    object.validate().is_ok().then_some(object)
}

/// A number of XML Schema in the form of JSON, with all its digits: no `+` in front, no leading zeros, digits on both
/// sides of a point.
fn plain_number(text: &str) -> Option<String> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", text.get(1..)?),
        b'+' => ("", text.get(1..)?),
        _ => ("", text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}{exponent}"))
}

/// A literal that is no value of ours, kept as a value object of JSON-LD.
fn kept(text: &str, member: &str, of: &str) -> Object {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let json = format!("{{\"@value\":{},{}:{}}}", quoted(text), quoted(member), quoted(of));
    // Sorts the members. What the quoting above makes is JSON.
    Object::Json(canonical_json(&json).unwrap_or(json))
}

/// The literal that such a value object was made of: only where reading it gives the object again.
fn value_object(json: &str) -> Option<Literal> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Kept {
        #[serde(rename = "@value")]
        value: String,
        #[serde(rename = "@language")]
        language: Option<String>,
        #[serde(rename = "@type")]
        kind: Option<String>,
    }
    if !json.starts_with("{\"@") {
        return None;
    }
    let Kept { value, language, kind } = serde_json::from_str(json).ok()?;
    let literal = match (language, kind) {
        (Some(language), None) => Literal::new_language_tagged_literal(value, language).ok()?,
        (None, Some(kind)) => Literal::new_typed_literal(value, NamedNode::new(kind).ok()?),
        _ => return None,
    };
    let back = object(literal.as_ref().into(), &mut Scope::default()).ok()?;
    (back == Object::Json(json.to_owned())).then_some(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, datatype: &str) -> Object {
        object(typed(text, &format!("{XSD}{datatype}")).as_ref().into(), &mut Scope::default()).unwrap()
    }

    #[test]
    fn numbers_of_xml_schema_become_those_of_json_with_all_their_digits() {
        for (text, datatype, expected) in [
            ("5", "integer", Object::Integer(5)),
            ("+007", "int", Object::Integer(7)),
            ("-0", "integer", Object::Number("-0".into())),
            ("123456789012345678901", "integer", Object::Number("123456789012345678901".into())),
            ("5", "decimal", Object::Number("5".into())),
            (".50", "decimal", Object::Number("0.50".into())),
            ("+5.", "decimal", Object::Number("5".into())),
            ("1.0E3", "double", Object::Number("1.0E3".into())),
            ("1", "boolean", Object::Boolean(true)),
            ("2024-02-29T12:00:00Z", "dateTime", Object::Time("2024-02-29T12:00:00Z".into())),
        ] {
            assert_eq!(read(text, datatype), expected, "{text} {datatype}");
        }
        for (text, datatype) in [
            ("INF", "double"),
            ("abc", "integer"),
            ("1.5", "integer"),
            ("1e3", "decimal"),
            ("1e99999", "double"),
            ("2024-02-29", "date"),
            ("2024-02-29T12:00:00", "dateTime"),
            ("yes", "boolean"),
            ("", "decimal"),
        ] {
            let kept = read(text, datatype);
            assert!(matches!(kept, Object::Json(_)), "{text} {datatype} -> {kept:?}");
            let Term::Literal(literal) = term(&kept) else { panic!("not a literal") };
            assert_eq!((literal.value(), literal.datatype()), (text, xsd(datatype).as_ref()));
        }
    }

    #[test]
    fn a_value_object_that_no_literal_gives_stays_json() {
        for json in [
            r#"{"@type":"http://www.w3.org/2001/XMLSchema#integer","@value":"5"}"#,
            r#"{"@type":"no iri","@value":"5"}"#,
            r#"{"@language":"EN","@value":"5"}"#,
            r#"{"@value":"5"}"#,
        ] {
            let object = Object::Json(json.to_owned());
            let Term::Literal(literal) = term(&object) else { panic!("not a literal") };
            assert_eq!(literal.datatype().as_str(), RDF_JSON, "{json}");
        }
    }
}

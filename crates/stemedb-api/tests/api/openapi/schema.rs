//! Checks values against the schemas of the document.
//!
//! Small because the document uses little of JSON Schema, and the crate `jsonschema` would bring some twenty others into every build
//! of the tests. A keyword that is not known here is an error, so that nothing is taken for checked that is not. The same replies
//! are judged by another implementation in `cargo xtask schemathesis`.

use serde_json::Value;

/// Keywords that say nothing about what is valid.
const SILENT: [&str; 5] = ["description", "example", "examples", "title", "format"];

/// Everything that is wrong with a value, each with its place.
pub fn violations(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "", &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let members = schema.as_object().unwrap_or_else(|| panic!("{at}: not a schema: {schema}"));
    for (keyword, wanted) in members {
        match keyword.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                let target = document.pointer(pointer).unwrap_or_else(|| panic!("{wanted} leads nowhere"));
                check(document, target, value, at, found);
            }
            "type" => {
                let is_one = match wanted {
                    Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind.as_str().unwrap(), value)),
                    kind => is_of(kind.as_str().unwrap(), value),
                };
                if !is_one {
                    found.push(format!("{at}: is not {wanted}: {value}"));
                }
            }
            "enum" => {
                if !wanted.as_array().unwrap().contains(value) {
                    found.push(format!("{at}: is none of those listed: {value}"));
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        found.push(format!("{at}: has no {name}"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        check(document, schema, member, &format!("{at}/{name}"), found);
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false), "{at}: only `false` is known here");
                let known = |name: &String| schema["properties"].get(name).is_some();
                let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                found.extend(others.map(|(name, _)| format!("{at}: has a member {name}")));
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, item, &format!("{at}/{index}"), found);
                }
            }
            "anyOf" => {
                let fits = |schema: &Value| violations(document, schema, value).is_empty();
                if !wanted.as_array().unwrap().iter().any(fits) {
                    found.push(format!("{at}: fits none of the schemas of anyOf: {value}"));
                }
            }
            "minimum" | "maximum" => {
                let (limit, number) = (wanted.as_f64().unwrap(), value.as_f64());
                let is_beyond =
                    |number: f64| if keyword == "minimum" { number < limit } else { number > limit };
                if number.is_some_and(is_beyond) {
                    found.push(format!("{at}: {value} lies beyond {limit}"));
                }
            }
            silent => assert!(SILENT.contains(&silent), "{at}: the keyword {silent} is not checked here"),
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}

#[test]
fn each_keyword_refuses_what_it_should() {
    use serde_json::json;
    let document = json!({ "components": { "schemas": { "N": { "type": "integer" } } } });
    let wrong = |schema: Value, value: Value| violations(&document, &schema, &value).len();
    assert_eq!(wrong(json!({ "$ref": "#/components/schemas/N" }), json!("x")), 1);
    assert_eq!(wrong(json!({ "$ref": "#/components/schemas/N" }), json!(7)), 0);
    assert_eq!(wrong(json!({ "type": ["string", "null"] }), json!(1)), 1);
    assert_eq!(wrong(json!({ "type": "integer" }), json!(1.5)), 1);
    assert_eq!(wrong(json!({ "type": "object" }), json!([])), 1);
    assert_eq!(wrong(json!({ "enum": ["a"] }), json!("b")), 1);
    assert_eq!(wrong(json!({ "required": ["a", "b"] }), json!({ "a": 1 })), 1);
    assert_eq!(wrong(json!({ "properties": { "a": { "type": "string" } } }), json!({ "a": 1, "b": 2 })), 1);
    let closed = json!({ "properties": { "a": { "type": "string" } }, "additionalProperties": false });
    assert_eq!(wrong(closed, json!({ "a": "x", "b": 2 })), 1);
    assert_eq!(wrong(json!({ "items": { "type": "string" } }), json!(["a", 1, 2])), 2);
    assert_eq!(wrong(json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), json!(1)), 1);
    assert_eq!(wrong(json!({ "minimum": 0, "maximum": 5 }), json!(6)), 1);
    assert_eq!(wrong(json!({ "minimum": 0, "maximum": 5 }), json!(-1)), 1);
    assert_eq!(wrong(json!({ "minimum": 0, "maximum": 5 }), json!(5)), 0);
}

#[test]
#[should_panic(expected = "is not checked here")]
fn a_keyword_that_is_not_known_is_not_passed_over() {
    violations(&Value::Null, &serde_json::json!({ "pattern": "^a$" }), &Value::Null);
}

//! Schemas of two documents, and which of two breaks.
//!
//! What clients send must still be taken: a request's schema must not become *narrower*. What they read must still be what they were
//! told: a reply's must not become *wider*, nor promise less.
//!
//! | keyword | in a request breaks | in a reply breaks |
//! |---|---|---|
//! | `type` | a type that is gone | a type that is new |
//! | `enum` | a value that is gone; a list where none was | a list that is gone. (A new value does not: names of codes are added, and clients pass over those they do not know) |
//! | `required` | a field that is new in it | a field that is gone from it |
//! | `properties` | a field that is gone | a field that is gone |
//! | `additionalProperties` | `false` where it was not | – |
//! | `minimum`, `maximum` and the like | a tighter bound | a wider bound |
//! | `anyOf`, `oneOf` | an alternative that is gone | an alternative that is new |
//! | `items` | its schema, likewise | its schema, likewise |

use serde_json::Value;

use super::breaking::{Breaks, escaped};

/// Who reads what a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The server: a client has written it.
    Request,
    /// The client.
    Reply,
}

/// A part of a document, and the document for its references.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    document: &'a Value,
    pub value: &'a Value,
}

/// References that are followed at once: more are a circle.
const REFERENCES_MAX: usize = 16;
/// Depth to which schemas are compared: one may hold itself.
const DEPTH_MAX: usize = 24;

impl<'a> Side<'a> {
    pub fn new(document: &'a Value, value: &'a Value) -> Side<'a> {
        Side { document, value }
    }

    /// Another part of the same document.
    pub fn at<'b>(&self, value: &'b Value) -> Side<'b>
    where
        'a: 'b,
    {
        Side { document: self.document, value }
    }

    /// What a reference leads to.
    pub fn resolved(self) -> Side<'a> {
        let mut value = self.value;
        for _ in 0..REFERENCES_MAX {
            let target = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
            match target.and_then(|pointer| self.document.pointer(pointer)) {
                Some(target) => value = target,
                None => break,
            }
        }
        Side { document: self.document, value }
    }
}

/// Compares two schemas.
pub fn compare(at: &str, old: Side<'_>, new: Side<'_>, direction: Direction, found: &mut Breaks) {
    step(at, old, new, direction, found, 0);
}

fn step(at: &str, old: Side<'_>, new: Side<'_>, direction: Direction, found: &mut Breaks, depth: usize) {
    let (old, new) = (old.resolved(), new.resolved());
    if depth > DEPTH_MAX || old.value == new.value && old.document == new.document {
        return;
    }
    types(at, old.value, new.value, direction, found);
    enums(at, old.value, new.value, direction, found);
    required(at, old.value, new.value, direction, found);
    bounds(at, old.value, new.value, direction, found);
    for (name, schema) in old.value["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}/properties/{}", escaped(name));
        match new.value["properties"].get(name) {
            None => found.push(&at, "the field is gone"),
            Some(new_schema) => step(&at, old.at(schema), new.at(new_schema), direction, found, depth + 1),
        }
    }
    let closes = new.value["additionalProperties"] == false && old.value["additionalProperties"] != false;
    if direction == Direction::Request && closes {
        found.push(&format!("{at}/additionalProperties"), "other fields are not taken any more");
    }
    if let (Some(items), Some(new_items)) = (old.value.get("items"), new.value.get("items")) {
        step(&format!("{at}/items"), old.at(items), new.at(new_items), direction, found, depth + 1);
    }
    alternatives(at, old, new, direction, found, depth);
}

/// The types that a schema allows; `None`: every one.
fn allowed(schema: &Value) -> Option<Vec<&str>> {
    match &schema["type"] {
        Value::String(one) => Some(vec![one]),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// Whether a type is among others. A number may be an integer.
fn is_among(kind: &str, others: &[&str]) -> bool {
    others.contains(&kind) || (kind == "integer" && others.contains(&"number"))
}

fn types(at: &str, old: &Value, new: &Value, direction: Direction, found: &mut Breaks) {
    let at = format!("{at}/type");
    // What must be allowed still, and what is.
    let (wanted, given, what) = match direction {
        Direction::Request => (allowed(old), allowed(new), "is not taken any more"),
        Direction::Reply => (allowed(new), allowed(old), "may be answered now"),
    };
    match (wanted, given) {
        (_, None) => {}
        (None, Some(given)) if !combines(old) && !combines(new) => {
            found.push(&at, format!("only {} {}", given.join(" or "), bounded(direction)));
        }
        (None, Some(_)) => {}
        (Some(wanted), Some(given)) => {
            for kind in wanted.iter().filter(|kind| !is_among(kind, &given)) {
                found.push(&at, format!("{kind} {what}"));
            }
        }
    }
}

fn bounded(direction: Direction) -> &'static str {
    match direction {
        Direction::Request => "is taken now",
        Direction::Reply => "was answered before, and now anything may be",
    }
}

fn combines(schema: &Value) -> bool {
    ["anyOf", "oneOf", "allOf"].iter().any(|name| schema.get(*name).is_some())
}

fn enums(at: &str, old: &Value, new: &Value, direction: Direction, found: &mut Breaks) {
    let at = format!("{at}/enum");
    match (direction, old["enum"].as_array(), new["enum"].as_array()) {
        (Direction::Request, None, Some(_)) => found.push(&at, "only some values are taken now"),
        (Direction::Request, Some(old), Some(new)) => {
            for value in old.iter().filter(|value| !new.contains(value)) {
                found.push(&at, format!("{value} is not taken any more"));
            }
        }
        (Direction::Reply, Some(_), None) => found.push(&at, "any value may be answered now"),
        // A name that is gone from a reply is one that a client waits for in vain, and that breaks nothing.
        _ => {}
    }
}

fn required(at: &str, old: &Value, new: &Value, direction: Direction, found: &mut Breaks) {
    let names = |schema: &Value| -> Vec<String> {
        let all = schema["required"].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (old_names, new_names) = (names(old), names(new));
    let at = format!("{at}/required");
    match direction {
        Direction::Request => {
            for name in new_names.iter().filter(|name| !old_names.contains(name)) {
                found.push(&at, format!("the field {name} is required now"));
            }
        }
        Direction::Reply => {
            // One that is gone altogether is told once, as a field.
            let is_there = |name: &&String| new["properties"].get(name.as_str()).is_some();
            for name in old_names.iter().filter(|name| !new_names.contains(name)).filter(is_there) {
                found.push(&at, format!("the field {name} may be absent now"));
            }
        }
    }
}

/// Bounds from below and from above.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

fn bounds(at: &str, old: &Value, new: &Value, direction: Direction, found: &mut Breaks) {
    for (names, sign) in [(LEAST, 1.0), (MOST, -1.0)] {
        for name in names {
            let bound = |schema: &Value| schema[name].as_f64().map(|bound| bound * sign);
            let (old, new) = (bound(old), bound(new));
            let tighter = |loose: Option<f64>, tight: Option<f64>| {
                tight.is_some_and(|tight| loose.is_none_or(|loose| tight > loose))
            };
            let at = format!("{at}/{name}");
            match direction {
                Direction::Request if tighter(old, new) => found.push(&at, "the bound is tighter now"),
                Direction::Reply if tighter(new, old) => found.push(&at, "the bound is wider now"),
                _ => {}
            }
        }
    }
    if direction == Direction::Request && new.get("pattern").is_some() && old["pattern"] != new["pattern"] {
        found.push(&format!("{at}/pattern"), "another pattern is asked for");
    }
}

/// Alternatives that one document has and the other has not.
fn alternatives(
    at: &str,
    old: Side<'_>,
    new: Side<'_>,
    direction: Direction,
    found: &mut Breaks,
    depth: usize,
) {
    for name in ["anyOf", "oneOf"] {
        let list = |side: Side<'_>| side.value[name].as_array().cloned().unwrap_or_default();
        let (olds, news) = (list(old), list(new));
        if olds.is_empty() && news.is_empty() {
            continue;
        }
        // An alternative is kept if one of the other side fits it without a break.
        let fits = |from: &Value, to: &Value| {
            let mut breaks = Breaks::default();
            step("", old.at(from), new.at(to), direction, &mut breaks, depth + 1);
            breaks.0.is_empty()
        };
        match direction {
            Direction::Request => {
                for (index, one) in olds.iter().enumerate() {
                    if !news.iter().any(|other| fits(one, other)) {
                        found.push(&format!("{at}/{name}/{index}"), "the alternative is not taken any more");
                    }
                }
            }
            Direction::Reply => {
                for (index, one) in news.iter().enumerate() {
                    if !olds.iter().any(|other| fits(other, one)) {
                        found.push(&format!("{at}/{name}/{index}"), "the alternative may be answered now");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(old: &Value, new: &Value, direction: Direction) -> Vec<String> {
        let mut found = Breaks::default();
        let none = Value::Null;
        compare("", Side::new(&none, old), Side::new(&none, new), direction, &mut found);
        found.0.into_iter().map(|one| format!("{}: {}", one.pointer, one.what)).collect()
    }

    /// A change that a request notices, or a reply, or neither.
    #[track_caller]
    fn breaks(old: Value, new: Value, request: &[&str], reply: &[&str]) {
        assert_eq!(found(&old, &new, Direction::Request), request, "as a request");
        assert_eq!(found(&old, &new, Direction::Reply), reply, "as a reply");
    }

    #[test]
    fn fewer_types_break_requests_and_more_types_break_replies() {
        let (wide, narrow) = (json!({ "type": ["string", "null"] }), json!({ "type": "string" }));
        breaks(wide.clone(), narrow.clone(), &["/type: null is not taken any more"], &[]);
        breaks(narrow, wide, &[], &["/type: null may be answered now"]);
        breaks(
            json!({ "type": "string" }),
            json!({ "type": "integer" }),
            &["/type: string is not taken any more"],
            &["/type: integer may be answered now"],
        );
    }

    #[test]
    fn an_integer_is_a_number() {
        let (number, integer) = (json!({ "type": "number" }), json!({ "type": "integer" }));
        breaks(number.clone(), integer.clone(), &["/type: number is not taken any more"], &[]);
        breaks(integer, number, &[], &["/type: number may be answered now"]);
    }

    #[test]
    fn a_type_where_none_was_breaks_requests_and_one_that_is_gone_breaks_replies() {
        breaks(json!({}), json!({ "type": "string" }), &["/type: only string is taken now"], &[]);
        breaks(
            json!({ "type": "string" }),
            json!({}),
            &[],
            &["/type: only string was answered before, and now anything may be"],
        );
    }

    #[test]
    fn values_that_are_gone_break_requests_and_new_ones_nothing() {
        let (two, one) = (json!({ "enum": ["x", "y"] }), json!({ "enum": ["x"] }));
        breaks(two.clone(), one.clone(), &["/enum: \"y\" is not taken any more"], &[]);
        breaks(one, two.clone(), &[], &[]);
        breaks(json!({}), two.clone(), &["/enum: only some values are taken now"], &[]);
        breaks(two, json!({}), &[], &["/enum: any value may be answered now"]);
    }

    #[test]
    fn required_fields_break_requests_that_lack_them_and_replies_that_lose_them() {
        let with = |required: Value| json!({ "properties": { "a": {}, "b": {} }, "required": required });
        breaks(with(json!(["a"])), with(json!(["a", "b"])), &["/required: the field b is required now"], &[]);
        breaks(
            with(json!(["a", "b"])),
            with(json!(["a"])),
            &[],
            &["/required: the field b may be absent now"],
        );
    }

    #[test]
    fn a_field_that_is_gone_breaks_both() {
        let (two, one) =
            (json!({ "properties": { "a": {}, "b/c": {} } }), json!({ "properties": { "a": {} } }));
        let gone = ["/properties/b~1c: the field is gone"];
        breaks(two.clone(), one.clone(), &gone, &gone);
        breaks(one, two, &[], &[]);
    }

    #[test]
    fn a_schema_that_closes_breaks_requests() {
        let closed = json!({ "additionalProperties": false });
        breaks(json!({}), closed, &["/additionalProperties: other fields are not taken any more"], &[]);
    }

    #[test]
    fn tighter_bounds_break_requests_and_wider_ones_replies() {
        for (name, tight, loose) in [("minimum", 2, 1), ("maxLength", 5, 6)] {
            let (tight, loose) = (json!({ name: tight }), json!({ name: loose }));
            let (tighter, wider) =
                (format!("/{name}: the bound is tighter now"), format!("/{name}: the bound is wider now"));
            breaks(loose.clone(), tight.clone(), &[&tighter], &[]);
            breaks(tight.clone(), loose, &[], &[&wider]);
            breaks(json!({}), tight.clone(), &[&tighter], &[]);
            breaks(tight, json!({}), &[], &[&wider]);
        }
        let (a, b) = (json!({ "pattern": "a" }), json!({ "pattern": "b" }));
        breaks(a, b, &["/pattern: another pattern is asked for"], &[]);
    }

    #[test]
    fn alternatives_that_are_gone_break_requests_and_new_ones_replies() {
        let two = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
        let one = json!({ "anyOf": [{ "type": "string" }] });
        breaks(two.clone(), one.clone(), &["/anyOf/1: the alternative is not taken any more"], &[]);
        breaks(one, two, &[], &["/anyOf/1: the alternative may be answered now"]);
    }

    #[test]
    fn items_are_compared_as_what_they_are_items_of() {
        let list = |kind: &str| json!({ "type": "array", "items": { "type": kind } });
        breaks(
            list("string"),
            list("integer"),
            &["/items/type: string is not taken any more"],
            &["/items/type: integer may be answered now"],
        );
    }

    #[test]
    fn a_schema_that_holds_itself_is_compared_and_comes_to_an_end() {
        let tree = |kind: &str| {
            json!({ "schemas": { "T": { "properties": {
                "name": { "type": kind },
                "parts": { "type": "array", "items": { "$ref": "#/schemas/T" } },
            } } } })
        };
        let (old, new) = (tree("string"), tree("integer"));
        let mut found = Breaks::default();
        let (a, b) = (Side::new(&old, &old["schemas"]["T"]), Side::new(&new, &new["schemas"]["T"]));
        compare("", a, b, Direction::Request, &mut found);
        assert_eq!(found.0[0].pointer, "/properties/name/type");
        assert!(found.0.len() <= DEPTH_MAX);
    }
}

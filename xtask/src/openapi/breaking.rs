//! The rules, operation by operation.
//!
//! | part | breaks |
//! |---|---|
//! | paths, methods | one that is gone |
//! | parameters | one that is gone; a new one that is required, or one that has become so; a narrower schema |
//! | bodies | one that has become required; a media type that is gone; a narrower schema |
//! | replies | a status or a media type that is gone; a schema that allows what it did not, or promises less |
//! | operations | another name (programs are generated from it); a key that is asked for where none was |
//!
//! Additions break nothing: clients pass over what they do not know. Where a narrower schema is meant see [`super::schema`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::schema::{Direction, Side, compare};

/// One thing that a client would notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Where in the document of the last release (of what is new: in the present one), as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What.
    pub what: String,
}

/// The list of breaks.
#[derive(Default)]
pub struct Breaks(pub Vec<Break>);

impl Breaks {
    pub fn push(&mut self, pointer: &str, what: impl Into<String>) {
        self.0.push(Break { pointer: pointer.to_owned(), what: what.into() });
    }
}

/// A name as a part of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];

/// Everything that clients of the first document would notice in the second.
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    let mut found = Breaks::default();
    for (path, item) in members(&old["paths"]) {
        let at = format!("/paths/{}", escaped(path));
        let Some(new_item) = new["paths"].get(path) else {
            found.push(&at, "the path is gone");
            continue;
        };
        for (method, operation) in members(item).filter(|(name, _)| METHODS.contains(&name.as_str())) {
            let at = format!("{at}/{method}");
            match new_item.get(method) {
                None => found.push(&at, "the method is gone"),
                Some(new_operation) => {
                    let (old, new) = (Side::new(old, operation), Side::new(new, new_operation));
                    compare_operations(&at, old, new, &mut found);
                }
            }
        }
    }
    found.0
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn compare_operations(at: &str, old: Side<'_>, new: Side<'_>, found: &mut Breaks) {
    if old.value["operationId"] != new.value["operationId"] {
        found.push(&format!("{at}/operationId"), format!("was renamed to {}", new.value["operationId"]));
    }
    // Without a requirement, or with an empty one among them, nobody is asked for a key.
    let is_open = |operation: &Value| match operation["security"].as_array() {
        None => true,
        Some(all) => {
            all.is_empty() || all.iter().any(|one| one.as_object().is_some_and(|one| one.is_empty()))
        }
    };
    if is_open(old.value) && !is_open(new.value) {
        found.push(&format!("{at}/security"), "a key is required now");
    }
    compare_parameters(at, old, new, found);
    compare_bodies(at, old, new, found);
    for (status, response) in members(&old.value["responses"]) {
        let at = format!("{at}/responses/{}", escaped(status));
        let Some(new_response) = new.value["responses"].get(status) else {
            found.push(&at, "the status is gone");
            continue;
        };
        let (old, new) = (old.at(response).resolved(), new.at(new_response).resolved());
        compare_contents(&at, old, new, Direction::Reply, found);
        for (name, _) in members(&old.value["headers"]) {
            if new.value["headers"].get(name).is_none() {
                found.push(&format!("{at}/headers/{}", escaped(name)), "the header is gone");
            }
        }
    }
}

/// Parameters by place and name, with their index.
fn parameters<'a>(side: Side<'a>) -> BTreeMap<(String, String), (usize, Side<'a>)> {
    let all = side.value["parameters"].as_array().into_iter().flatten().enumerate();
    all.map(|(index, parameter)| {
        let parameter = side.at(parameter).resolved();
        let text = |name: &str| parameter.value[name].as_str().unwrap_or_default().to_owned();
        ((text("in"), text("name")), (index, parameter))
    })
    .collect()
}

fn is_required(value: &Value) -> bool {
    value["required"] == true
}

fn compare_parameters(at: &str, old: Side<'_>, new: Side<'_>, found: &mut Breaks) {
    let (olds, news) = (parameters(old), parameters(new));
    for (key, (index, parameter)) in &olds {
        let at = format!("{at}/parameters/{index}");
        let (place, name) = key;
        let Some((_, new_parameter)) = news.get(key) else {
            found.push(&at, format!("the {place} parameter {name} is gone"));
            continue;
        };
        if is_required(new_parameter.value) && !is_required(parameter.value) {
            found.push(&at, format!("the {place} parameter {name} is required now"));
        }
        let schema = |side: &Side<'_>| side.value["schema"].clone();
        let (old_schema, new_schema) = (schema(parameter), schema(new_parameter));
        compare(
            &format!("{at}/schema"),
            parameter.at(&old_schema),
            new_parameter.at(&new_schema),
            Direction::Request,
            found,
        );
    }
    for (key, (index, parameter)) in &news {
        if is_required(parameter.value) && !olds.contains_key(key) {
            let (place, name) = key;
            found.push(
                &format!("{at}/parameters/{index}"),
                format!("the new {place} parameter {name} is required"),
            );
        }
    }
}

fn compare_bodies(at: &str, old: Side<'_>, new: Side<'_>, found: &mut Breaks) {
    let at = format!("{at}/requestBody");
    match (old.value.get("requestBody"), new.value.get("requestBody")) {
        (None, Some(body)) if is_required(new.at(body).resolved().value) => {
            found.push(&at, "a body is required now");
        }
        (Some(_), None) => found.push(&at, "a body is not taken any more"),
        (Some(body), Some(new_body)) => {
            let (old, new) = (old.at(body).resolved(), new.at(new_body).resolved());
            if is_required(new.value) && !is_required(old.value) {
                found.push(&at, "the body is required now");
            }
            compare_contents(&at, old, new, Direction::Request, found);
        }
        _ => {}
    }
}

/// The media types of a body or reply.
fn compare_contents(at: &str, old: Side<'_>, new: Side<'_>, direction: Direction, found: &mut Breaks) {
    for (kind, content) in members(&old.value["content"]) {
        let at = format!("{at}/content/{}", escaped(kind));
        let Some(new_content) = new.value["content"].get(kind) else {
            found.push(&at, "the media type is gone");
            continue;
        };
        if let (Some(schema), Some(new_schema)) = (content.get("schema"), new_content.get("schema")) {
            compare(&format!("{at}/schema"), old.at(schema), new.at(new_schema), direction, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A document with something of everything.
    fn document() -> Value {
        json!({
            "paths": { "/v1/things/{id}": { "post": {
                "operationId": "thing",
                "security": [{}, { "key": ["write"] }],
                "parameters": [
                    { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } },
                    { "name": "limit", "in": "query", "schema": { "type": ["integer", "null"] } },
                ],
                "requestBody": {
                    "required": false,
                    "content": {
                        "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } },
                        "text/csv": { "schema": { "type": "string" } },
                    },
                },
                "responses": {
                    "200": {
                        "headers": { "ETag": {} },
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Told" } } },
                    },
                    "404": { "$ref": "#/components/responses/NotFound" },
                },
            } } },
            "components": {
                "schemas": {
                    "Thing": {
                        "type": "object",
                        "properties": { "a": { "type": "string" }, "kind": { "enum": ["x", "y"] } },
                        "required": ["a"],
                    },
                    "Told": {
                        "type": "object",
                        "properties": { "id": { "type": "string" }, "count": { "type": "integer" } },
                        "required": ["id"],
                    },
                },
                "responses": { "NotFound": {
                    "content": { "application/problem+json": { "schema": { "type": "object" } } },
                } },
            },
        })
    }

    const OPERATION: &str = "/paths/~1v1~1things~1{id}/post";

    /// Pointers and words of what a change breaks.
    #[track_caller]
    fn broken(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut new = document();
        change(&mut new);
        assert_ne!(new, document(), "nothing was changed");
        breaks(&document(), &new).into_iter().map(|one| format!("{}: {}", one.pointer, one.what)).collect()
    }

    #[track_caller]
    fn breaks_one(change: impl FnOnce(&mut Value), below: &str, what: &str) {
        let expected = format!("{OPERATION}{below}: {what}");
        assert_eq!(broken(change), [expected]);
    }

    fn at<'a>(document: &'a mut Value, below: &str) -> &'a mut Value {
        document.pointer_mut(&format!("{OPERATION}{below}")).unwrap()
    }

    fn remove(document: &mut Value, pointer: &str, name: &str) {
        document.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    }

    #[test]
    fn the_same_document_breaks_nothing() {
        assert_eq!(breaks(&document(), &document()), []);
    }

    #[test]
    fn a_path_that_is_gone_breaks() {
        let gone = broken(|new| remove(new, "/paths", "/v1/things/{id}"));
        assert_eq!(gone, ["/paths/~1v1~1things~1{id}: the path is gone"]);
    }

    #[test]
    fn a_method_that_is_gone_breaks() {
        breaks_one(|new| remove(new, "/paths/~1v1~1things~1{id}", "post"), "", "the method is gone");
    }

    #[test]
    fn another_name_of_an_operation_breaks() {
        breaks_one(
            |new| at(new, "")["operationId"] = json!("other"),
            "/operationId",
            "was renamed to \"other\"",
        );
    }

    #[test]
    fn a_key_that_is_required_breaks() {
        breaks_one(
            |new| at(new, "")["security"] = json!([{ "key": ["write"] }]),
            "/security",
            "a key is required now",
        );
    }

    #[test]
    fn a_parameter_that_is_gone_breaks() {
        let gone = |new: &mut Value| drop(at(new, "/parameters").as_array_mut().unwrap().remove(1));
        breaks_one(gone, "/parameters/1", "the query parameter limit is gone");
    }

    #[test]
    fn a_parameter_in_another_place_is_gone() {
        let moved = |new: &mut Value| at(new, "/parameters/1")["in"] = json!("header");
        breaks_one(moved, "/parameters/1", "the query parameter limit is gone");
    }

    #[test]
    fn a_parameter_that_becomes_required_breaks() {
        let required = |new: &mut Value| at(new, "/parameters/1")["required"] = json!(true);
        breaks_one(required, "/parameters/1", "the query parameter limit is required now");
    }

    #[test]
    fn a_new_parameter_breaks_if_it_is_required() {
        let add = |required: bool| {
            move |new: &mut Value| {
                let parameter = json!({ "name": "of", "in": "query", "required": required });
                at(new, "/parameters").as_array_mut().unwrap().push(parameter);
            }
        };
        breaks_one(add(true), "/parameters/2", "the new query parameter of is required");
        assert!(broken(add(false)).is_empty());
    }

    #[test]
    fn a_parameter_of_a_narrower_type_breaks_and_of_a_wider_one_does_not() {
        let kind = |kind: Value| move |new: &mut Value| at(new, "/parameters/1/schema")["type"] = kind;
        breaks_one(kind(json!("integer")), "/parameters/1/schema/type", "null is not taken any more");
        assert!(broken(kind(json!(["integer", "null", "string"]))).is_empty());
    }

    #[test]
    fn a_body_that_becomes_required_breaks() {
        let required = |new: &mut Value| at(new, "/requestBody")["required"] = json!(true);
        breaks_one(required, "/requestBody", "the body is required now");
    }

    #[test]
    fn a_body_that_is_not_taken_any_more_breaks_and_so_does_one_where_none_was() {
        breaks_one(
            |new| remove(new, OPERATION, "requestBody"),
            "/requestBody",
            "a body is not taken any more",
        );
        let mut old = document();
        remove(&mut old, OPERATION, "requestBody");
        let mut new = document();
        assert_eq!(breaks(&old, &new), [], "nobody must send one");
        at(&mut new, "/requestBody")["required"] = json!(true);
        assert_eq!(breaks(&old, &new)[0].what, "a body is required now");
    }

    #[test]
    fn a_media_type_that_is_gone_breaks() {
        breaks_one(
            |new| remove(new, &format!("{OPERATION}/requestBody/content"), "text/csv"),
            "/requestBody/content/text~1csv",
            "the media type is gone",
        );
        breaks_one(
            |new| at(new, "/responses/200")["content"] = json!({ "text/csv": {} }),
            "/responses/200/content/application~1json",
            "the media type is gone",
        );
    }

    #[test]
    fn a_status_or_a_header_that_is_gone_breaks() {
        breaks_one(
            |new| remove(new, &format!("{OPERATION}/responses"), "404"),
            "/responses/404",
            "the status is gone",
        );
        breaks_one(
            |new| remove(new, &format!("{OPERATION}/responses/200/headers"), "ETag"),
            "/responses/200/headers/ETag",
            "the header is gone",
        );
    }

    #[test]
    fn what_a_reply_that_is_shared_loses_is_found_where_it_is_used() {
        let lose = |new: &mut Value| new["components"]["responses"]["NotFound"]["content"] = json!({});
        let at = "/responses/404/content/application~1problem+json";
        breaks_one(lose, at, "the media type is gone");
    }

    #[test]
    fn a_field_of_a_reply_that_is_gone_breaks() {
        breaks_one(
            |new| remove(new, "/components/schemas/Told/properties", "count"),
            "/responses/200/content/application~1json/schema/properties/count",
            "the field is gone",
        );
    }

    #[test]
    fn a_field_of_a_body_that_is_newly_required_breaks() {
        breaks_one(
            |new| new["components"]["schemas"]["Thing"]["required"] = json!(["a", "kind"]),
            "/requestBody/content/application~1json/schema/required",
            "the field kind is required now",
        );
    }

    #[test]
    fn additions_break_nothing() {
        assert!(broken(|new| new["paths"]["/v1/new"] = json!({ "get": {} })).is_empty());
        assert!(broken(|new| new["paths"]["/v1/things/{id}"]["get"] = json!({})).is_empty());
        assert!(broken(|new| at(new, "/responses")["409"] = json!({})).is_empty());
        assert!(broken(|new| at(new, "/requestBody/content")["text/turtle"] = json!({})).is_empty());
        let told = "/components/schemas/Told/properties";
        assert!(broken(|new| new.pointer_mut(told).unwrap()["more"] = json!({})).is_empty());
        let thing = "/components/schemas/Thing/properties";
        assert!(broken(|new| new.pointer_mut(thing).unwrap()["more"] = json!({})).is_empty());
        assert!(broken(|new| at(new, "")["summary"] = json!("said otherwise")).is_empty());
    }
}

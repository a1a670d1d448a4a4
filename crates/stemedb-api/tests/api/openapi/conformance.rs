//! What a reply must be, according to the document.

use std::collections::BTreeSet;

use serde_json::Value;
use stemedb_api::Code;

use super::schema::violations;
use crate::support::Reply;

/// The operation with a name: method, path, description.
pub fn operation<'a>(document: &'a Value, name: &str) -> (String, &'a str, &'a Value) {
    let items = document["paths"].as_object().unwrap().iter();
    let mut all = items.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |one| (path, one)));
    let found = all.find(|(_, (_, operation))| operation["operationId"] == name);
    let (path, (method, operation)) = found.unwrap_or_else(|| panic!("there is no operation {name}"));
    (method.to_uppercase(), path, operation)
}

/// The operation whose template fits a target.
pub fn operation_of<'a>(document: &'a Value, method: &str, target: &str) -> Option<&'a Value> {
    let path = target.split(['?', '#']).next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let same =
            |(wanted, part): (&&str, &&str)| wanted == part || (wanted.starts_with('{') && !part.is_empty());
        (wanted.len() == parts.len() && wanted.iter().zip(&parts).all(same))
            .then(|| wanted.iter().filter(|part| part.starts_with('{')).count())
    };
    let items = document["paths"].as_object().unwrap().iter();
    // The most literal template is the one that a router takes.
    let (_, item) =
        items.filter_map(|(path, item)| Some((fits(path)?, item))).min_by_key(|(holes, _)| *holes)?;
    // Names of methods are what they are in capitals.
    let is_known = method.bytes().all(|byte| byte.is_ascii_uppercase());
    item.get(method.to_ascii_lowercase()).filter(|_| is_known)
}

/// Follows a reference.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Panics if the reply is not one that the operation documents: its status, its media type, its schema, its code.
#[track_caller]
pub fn check(document: &Value, operation: &Value, what: &str, reply: &Reply) {
    let response = &operation["responses"][reply.status.to_string()];
    assert!(!response.is_null(), "{what}: the status {} is not documented: {}", reply.status, reply.text());
    let response = resolved(document, response);
    let content_type = reply.header("content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap();
    let Some(content) = response.get("content") else {
        assert!(reply.body.is_empty(), "{what}: a body that is not documented: {}", reply.text());
        return;
    };
    let content = &content[essence];
    assert!(!content.is_null(), "{what}: {} as {essence} is not documented", reply.status);
    if reply.status >= 400 {
        problem(what, reply);
        let codes: BTreeSet<&String> = content["examples"].as_object().unwrap().keys().collect();
        let code = reply.json()["code"].as_str().unwrap().to_owned();
        assert!(
            codes.contains(&code),
            "{what}: {} with {code} is not documented, but {codes:?}",
            reply.status
        );
    }
    let schema = &content["schema"];
    let is_end = |line: &Value| line.get("end").is_some();
    let values: Vec<Value> = match essence {
        "application/json" | "application/problem+json" => vec![reply.json()],
        // The schema is that of a line; the end record is no change or notice, and of an import it alone is described.
        "application/x-ndjson" if schema["$ref"] == "#/components/schemas/EndRecord" => {
            reply.lines().into_iter().filter(is_end).collect()
        }
        "application/x-ndjson" if schema["type"] != "string" => {
            reply.lines().into_iter().filter(|line| !is_end(line)).collect()
        }
        _ => vec![Value::String(reply.text().to_owned())],
    };
    for value in values {
        let wrong = violations(document, schema, &value);
        assert!(wrong.is_empty(), "{what}: {wrong:?} in {value}");
    }
}

/// Panics if the reply is not a problem as RFC 9457 and the table of codes have it.
#[track_caller]
pub fn problem(what: &str, reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{what}: {}", reply.text());
    let json: Value = serde_json::from_slice(&reply.body)
        .unwrap_or_else(|error| panic!("{what}: {error}: {}", reply.text()));
    let code = Code::ALL.iter().find(|code| json["code"] == code.name());
    let code = code.unwrap_or_else(|| panic!("{what}: the code is in no table: {json}"));
    assert_eq!(json["status"], reply.status, "{what}: {json}");
    assert_eq!(code.status(), reply.status, "{what}: {json}");
    assert_eq!(json["title"], code.title(), "{what}: {json}");
    assert_eq!(json["retryable"], code.is_retryable(), "{what}: {json}");
    assert!(!json["detail"].as_str().unwrap().is_empty(), "{what}: {json}");
    let id = json["request_id"].as_str().unwrap();
    assert_eq!(Some(id), reply.header("x-request-id"), "{what}: {json}");
    assert!(!id.is_empty() && id != "-", "{what}: {json}");
    assert_eq!(code.is_retryable(), reply.header("retry-after").is_some(), "{what}: {json}");
}

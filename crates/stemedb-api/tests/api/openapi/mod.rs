//! The OpenAPI document: committed as it is served, and kept by what the server does.

mod conformance;
mod examples;
mod gates;
mod requests;
mod schema;
mod survives;

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use stemedb_api::http::{document, document_text};

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let document = document_text();
    if written != document {
        let proposal = std::env::temp_dir().join("stemedb-openapi.json");
        std::fs::write(&proposal, &document).unwrap();
        panic!(
            "docs/openapi.json is not up to date; what it should be is in {} (and is what `stemedb-api openapi` prints)",
            proposal.display()
        );
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_refuses_with() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} twice");
            let responses = operation["responses"].as_object().unwrap();
            assert!(!responses.contains_key("default"), "{method} {path} says nothing with `default`");
            let has = |status: &str| responses.contains_key(status);
            assert!(has("400") && has("414") && has("431") && has("500"), "{method} {path}");
            assert_eq!(operation.get("requestBody").is_some(), has("413") && has("415"), "{method} {path}");
            let is_guarded = operation.get("security").is_some();
            assert_eq!(is_guarded, has("401") && has("403") && has("429"), "{method} {path}");
            let is_write = is_guarded && method != "get" && !path.starts_with("/v1/admin/");
            assert!(!is_write || has("507"), "{method} {path}");
        }
    }
}

//! Every example of the document is sent to a server, in the order of `src/http/openapi/examples.json`, and answered as it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use stemedb_api::{
    Database, RouterOptions, RouterParts,
    backup::MemoryTarget,
    http::{AuthMode, Backups, LogLevel, SecurityOptions, document},
    hybrid::{HybridOptions, ScrubOptions},
};
use tracing::Level;

use super::{conformance, schema::violations};
use crate::support::{Reply, Server, tiny};

const STEPS: &str = "src/http/openapi/examples.json";

/// Members whose values are other ones each time.
const VOLATILE: [&str; 7] =
    ["recorded_at", "evaluated_at", "request_id", "until", "cursor", "age_seconds", "time"];

#[derive(Debug)]
struct Log(Mutex<Level>);

impl LogLevel for Log {
    fn level(&self) -> Level {
        *self.0.lock()
    }

    fn set(&self, level: Level) -> bool {
        *self.0.lock() = level;
        true
    }
}

fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let engine = HybridOptions { scrub: ScrubOptions::default(), ..HybridOptions::tiny() };
    let options = stemedb_api::DatabaseOptions { engine, ..tiny() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    let mut security = SecurityOptions::default();
    // The first key would close the data plane.
    security.auth.mode = AuthMode::Off;
    let parts = RouterParts {
        backups: Some(Backups::new(Arc::new(MemoryTarget::new()))),
        log_level: Some(Arc::new(Log(Mutex::new(Level::INFO)))),
        security,
        ..RouterParts::default()
    };
    Server::with_parts(database, dir, RouterOptions::default(), parts)
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn texts(step: &Value, member: &str) -> Vec<(String, String)> {
    let members = step[member].as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Sends a step.
fn send(server: &Server, document: &Value, step: &Value, replies: &BTreeMap<String, Value>) -> Reply {
    let (method, path, _) = conformance::operation(document, step["operation"].as_str().unwrap());
    let mut target = path.to_owned();
    for (name, mut value) in texts(step, "path") {
        // An id that the server made: that of an earlier reply.
        if let Some([operation, example, pointer]) = step["path_from"][&name].as_array().map(Vec::as_slice) {
            let earlier = &replies[&format!("{} {}", operation.as_str().unwrap(), example.as_str().unwrap())];
            value = earlier.pointer(pointer.as_str().unwrap()).unwrap().as_str().unwrap().to_owned();
        }
        target = target.replace(&format!("{{{name}}}"), &percent_encoded(&value));
    }
    let query: Vec<String> = texts(step, "query")
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    let mut headers = texts(step, "headers");
    let body = match (step.get("body"), step["text"].as_str()) {
        (Some(json), _) => {
            headers.push(("Content-Type".into(), "application/json".into()));
            json.to_string()
        }
        (None, Some(text)) => {
            headers.push(("Content-Type".into(), step["type"].as_str().unwrap().to_owned()));
            text.to_owned()
        }
        (None, None) => String::new(),
    };
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    server.send(&method, &target, &headers, body.as_bytes())
}

/// Waits for the end of a job, so that the next one is not refused.
fn wait(server: &Server, job: &Value) {
    for _ in 0..2000 {
        if server.get(&format!("/v1/admin/jobs/{job}")).json()["state"] != "running" {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("job {job} does not end");
}

/// The reply as an example has it.
fn shown(reply: &Reply) -> Option<Value> {
    let is_json =
        reply.header("content-type").is_some_and(|kind| kind.ends_with("json") && !kind.contains("ndjson"));
    match reply.body.is_empty() {
        true => None,
        false if is_json => Some(reply.json()),
        false => Some(Value::String(reply.text().to_owned())),
    }
}

/// A value without what is another one each time; lines of JSON taken apart.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match VOLATILE.contains(&name.as_str()) {
                true => (name.clone(), json!("…")),
                false => (name.clone(), masked(member)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::String(text) if text.starts_with('{') => {
            text.lines().map(|line| masked(&serde_json::from_str(line).unwrap())).collect()
        }
        // A table: its times stand in a column.
        Value::String(text) if text.contains("recorded_at") => text.lines().next().into(),
        plain => plain.clone(),
    }
}

/// Whether an excerpt is a part of the whole.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        (Value::String(whole), Value::String(part)) => {
            let lines: BTreeSet<&str> = whole.lines().collect();
            part.lines().all(|line| lines.contains(line))
        }
        (whole, part) => whole == part,
    }
}

#[test]
fn every_example_is_answered_as_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(STEPS);
    let steps: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (document, server) = (document(), server());
    let (mut replies, mut different) = (BTreeMap::new(), Vec::new());
    let mut proposal = steps.clone();
    for (at, step) in steps.iter().enumerate() {
        let what = format!("{} {}", step["operation"].as_str().unwrap(), step["name"].as_str().unwrap());
        let (_, _, operation) = conformance::operation(&document, step["operation"].as_str().unwrap());
        let reply = send(&server, &document, step, &replies);
        assert_eq!(step["status"], reply.status, "{what}: {}", reply.text());
        conformance::check(&document, operation, &what, &reply);
        let said = shown(&reply);
        if reply.status == 202
            && let Some(job) = said.as_ref().and_then(|json| json.get("job"))
        {
            wait(&server, job);
        }
        let wanted = step.get("reply");
        let is_same = match (&said, wanted) {
            _ if step["loose"] == true => wanted.is_some() == said.is_some(),
            (Some(said), Some(part)) if step["excerpt"] == true => contains(said, part),
            (said, wanted) => said.as_ref().map(masked) == wanted.map(masked),
        };
        if !is_same {
            println!("{what} answers {}", said.as_ref().map(Value::to_string).unwrap_or_default());
            different.push(what.clone());
            match &said {
                Some(said) => proposal[at]["reply"] = said.clone(),
                None => drop(proposal[at].as_object_mut().unwrap().remove("reply")),
            }
            let essence = reply.header("content-type").map(|kind| kind.split(';').next().unwrap());
            if let Some(essence) = essence {
                proposal[at]["reply_type"] = essence.into();
            }
        }
        replies.insert(what, said.unwrap_or_default());
    }
    if !different.is_empty() {
        let path = std::env::temp_dir().join("stemedb-openapi-examples.json");
        std::fs::write(&path, serde_json::to_string_pretty(&proposal).unwrap() + "\n").unwrap();
        panic!("answered otherwise: {different:?}; what {STEPS} should be is in {}", path.display());
    }
}

/// Pages and their parts have no example: they are for people.
fn is_page(operation: &Value) -> bool {
    let content = operation["responses"]["200"]["content"].as_object();
    let for_browsers = |kind: &String| {
        kind.starts_with("text/html") || kind.starts_with("text/css") || kind.contains("javascript")
    };
    content.is_some_and(|content| content.keys().any(for_browsers))
}

#[test]
fn every_operation_has_an_example_of_each_reply_that_is_a_success() {
    let document = document();
    let mut shown = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if is_page(operation) {
                continue;
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                for (kind, content) in response["content"].as_object().into_iter().flatten() {
                    let examples = content["examples"].as_object().map_or(0, serde_json::Map::len);
                    // One of the forms that are alike is shown.
                    let is_other_form = matches!(
                        kind.as_str(),
                        "text/event-stream" | "application/n-quads" | "application/trig"
                    );
                    assert!(
                        examples > 0 || is_other_form,
                        "{method} {path}: {status} as {kind} has no example"
                    );
                    shown += examples;
                }
            }
            if let Some(contents) = operation.pointer("/requestBody/content").and_then(Value::as_object) {
                let has = contents.values().any(|content| content.get("examples").is_some());
                assert!(has, "{method} {path}: no example of a body");
            }
        }
    }
    assert!(shown > 50, "{shown}");
}

#[test]
fn examples_of_bodies_and_of_codes_fit_their_schemas() {
    let document = document();
    for (_, item) in document["paths"].as_object().unwrap() {
        for (_, operation) in item.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if let Some(example) = parameter.get("example") {
                    let wrong = violations(&document, &parameter["schema"], example);
                    assert!(
                        wrong.is_empty(),
                        "{} {}: {wrong:?}",
                        operation["operationId"],
                        parameter["name"]
                    );
                }
            }
            let content = &operation["requestBody"]["content"]["application/json"];
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let wrong = violations(&document, &content["schema"], &example["value"]);
                assert!(wrong.is_empty(), "{} {name}: {wrong:?}", operation["operationId"]);
            }
        }
    }
    let problem = &document["components"]["schemas"]["Problem"];
    for (name, example) in document["components"]["examples"].as_object().unwrap() {
        let wrong = violations(&document, problem, &example["value"]);
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

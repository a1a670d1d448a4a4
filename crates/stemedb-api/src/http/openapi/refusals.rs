//! Which statuses an operation refuses with, and the codes behind each.
//!
//! A group of codes of one status is a component of the document; operations refer to it. The property tests hold every reply that
//! they see against these lists.

use serde_json::{Map, Value, json};

use super::{Access, Route, member};
use crate::{errors::Code, http::Problem, http::auth::Scope};

/// Codes of one status, under the name of their component.
struct Group {
    name: &'static str,
    says: &'static str,
    codes: &'static [Code],
}

const fn group(name: &'static str, says: &'static str, codes: &'static [Code]) -> Group {
    Group { name, says, codes }
}

/// What the model says of a record.
const RECORD: &[Code] = &[
    Code::Empty,
    Code::TooLong,
    Code::TooMany,
    Code::ControlCharacter,
    Code::NulCharacter,
    Code::OutOfRange,
    Code::TooManyDigits,
    Code::ExponentOutOfRange,
    Code::NotATime,
    Code::NotHex,
    Code::NotANumber,
    Code::UnknownName,
    Code::NullValue,
    Code::NotCanonical,
    Code::EmptyInterval,
    Code::KindMismatch,
    Code::SelfReference,
    Code::UnknownClaim,
    Code::MissingAgent,
    Code::SignatureInvalid,
    Code::SignatureRequired,
    Code::SupersessionCycle,
    Code::ChainTooLong,
    Code::TooLarge,
];

/// Every group. No operation has two of one status.
const GROUPS: &[Group] = &[
    group("BadRequest", "Not HTTP as this server understands it", &[Code::BadRequest]),
    group(
        "BadParameters",
        "A parameter is wrong, missing or unknown",
        &[
            Code::BadRequest,
            Code::InvalidParameter,
            Code::UnknownParameter,
            Code::MissingParameter,
            Code::DuplicateParameter,
            Code::InvalidUtf8,
        ],
    ),
    group(
        "BadBody",
        "The body or a parameter is not of the right shape",
        &[
            Code::BadRequest,
            Code::InvalidParameter,
            Code::UnknownParameter,
            Code::DuplicateParameter,
            Code::InvalidUtf8,
            Code::InvalidJson,
            Code::WrongType,
            Code::UnknownField,
            Code::MissingField,
            Code::DuplicateKey,
            Code::TooDeep,
        ],
    ),
    group(
        "BadImport",
        "The input is not of its format, or a parameter is wrong",
        &[
            Code::BadRequest,
            Code::InvalidParameter,
            Code::UnknownParameter,
            Code::DuplicateParameter,
            Code::InvalidUtf8,
            Code::InvalidEncoding,
            // Of the first row of CSV, which names the columns.
            Code::InvalidCsv,
            Code::UnknownField,
            Code::DuplicateKey,
            Code::MissingField,
            Code::InvalidRdf,
            Code::InvalidJson,
        ],
    ),
    group(
        "KeyNeeded",
        "No key, or none that is good",
        &[Code::KeyRequired, Code::KeyMalformed, Code::KeyRefused],
    ),
    group("ScopeMissing", "The key is not for this", &[Code::ScopeMissing]),
    group(
        "NotAllowed",
        "The key is not for this, or for this agent; or the class is too low",
        &[Code::ScopeMissing, Code::AgentMismatch, Code::AuthorityTooLow],
    ),
    group("NotFound", "Nothing lives at this path", &[Code::NotFound]),
    group("ClaimNotFound", "No such claim", &[Code::ClaimNotFound, Code::NotFound]),
    group("JobNotFound", "No such job", &[Code::JobNotFound, Code::NotFound]),
    group("KeyNotFound", "No such key", &[Code::KeyNotFound, Code::NotFound]),
    group("WatchNotFound", "No such watch", &[Code::WatchNotFound, Code::NotFound]),
    group(
        "MethodNotAllowed",
        "The path has not this method; Allow lists those it has",
        &[Code::MethodNotAllowed],
    ),
    group("NotAcceptable", "Accept names nothing that the route answers with", &[Code::NotAcceptable]),
    group("BodyTooSlow", "No part of the body came in time", &[Code::RequestTimeout]),
    group("LsnNotReached", "The moment lies in the future", &[Code::LsnNotReached]),
    group("JobRunning", "A job that must not run beside it is under way", &[Code::JobRunning]),
    group("WatchExists", "Another watch has this id", &[Code::WatchExists]),
    group("ScrubOff", "The background reading is off", &[Code::ScrubOff]),
    group("CursorGone", "The cursor is good no more", &[Code::WrongTimeline, Code::CursorExpired]),
    group("PositionGone", "The position is good no more", &[Code::PositionGone]),
    group("BodyTooLarge", "The body exceeds the limit", &[Code::BodyTooLarge]),
    group("UriTooLong", "The target exceeds the limit", &[Code::UriTooLong]),
    group(
        "BodyNotTaken",
        "Content-Type or Content-Encoding is none that the route takes",
        &[Code::UnsupportedMediaType, Code::UnsupportedEncoding],
    ),
    group("RecordRefused", "Well formed, and against a rule", RECORD),
    group(
        "WatchRefused",
        "Well formed, and against a rule",
        &[
            Code::Empty,
            Code::TooLong,
            Code::TooMany,
            Code::ControlCharacter,
            Code::NulCharacter,
            Code::OutOfRange,
            Code::NotANumber,
            Code::NotCanonical,
            Code::UnknownName,
            Code::NotWatchable,
            Code::TooLarge,
        ],
    ),
    group("TooLarge", "More than one request may have", &[Code::TooLarge]),
    group(
        "KeyUsedBefore",
        "The Idempotency-Key was given with another request",
        &[Code::IdempotencyMismatch],
    ),
    group("LevelRefused", "Well formed, and against a rule", &[Code::UnknownName, Code::OutOfRange]),
    group(
        "NewKeyRefused",
        "Well formed, and against a rule",
        &[Code::Empty, Code::NotHex, Code::NotATime, Code::TooLong, Code::OutOfRange, Code::TooMany],
    ),
    group("TooManyRequests", "The caller has used up what it may ask for", &[Code::RateLimited]),
    group("HeadTooLarge", "The request's head exceeds the limit", &[Code::HeadTooLarge]),
    group("InternalError", "A defect of the server", &[Code::InternalError]),
    group(
        "StorageFailed",
        "A defect, or the storage failed; the log says which",
        &[
            Code::InternalError,
            Code::IoError,
            Code::Corruption,
            Code::ServerKey,
            Code::KeysDamaged,
            Code::BackupFailed,
        ],
    ),
    group("Overloaded", "Too much is waiting", &[Code::Overloaded]),
    group("Unavailable", "Not now", &[Code::Unavailable, Code::Overloaded]),
    group(
        "ConflictsBuilding",
        "Not now; the board is being made",
        &[Code::Unavailable, Code::Overloaded, Code::ConflictsBuilding],
    ),
    group(
        "NotWritable",
        "Not now: nothing was applied, but for `indeterminate`",
        &[
            Code::Overloaded,
            Code::LockTimeout,
            Code::Indeterminate,
            Code::ReadOnly,
            Code::Standby,
            Code::Fenced,
            Code::Unavailable,
        ],
    ),
    group(
        "NotPromoted",
        "Not now, or another server was promoted",
        &[Code::Unavailable, Code::Overloaded, Code::Fenced],
    ),
    group("StorageFull", "No space is left; nothing was applied", &[Code::StorageFull]),
];

/// The groups of an operation.
fn of(route: &Route, has_body: bool, parameters: &[&str]) -> Vec<&'static str> {
    let (method, path) = (route.method, route.path);
    let has = |name: &str| parameters.contains(&name);
    let is_record = has_body && route.access == Access::Needs(Scope::Write) && !path.contains("/watches");
    let mut groups = vec!["UriTooLong", "HeadTooLarge"];
    // Takes no parameters, and does not look whether there are some.
    let is_lax = matches!(
        path,
        "/v1/health" | "/metrics" | "/openapi.json" | "/v1/admin/storage/scrub" | "/v1/admin/backup/status"
    );
    groups.push(match path {
        "/v1/import" => "BadImport",
        _ if has_body => "BadBody",
        _ if is_lax => "BadRequest",
        _ => "BadParameters",
    });
    if has_body {
        groups.extend(["BodyTooSlow", "BodyTooLarge", "BodyNotTaken"]);
    }
    if route.access != Access::Open {
        groups.extend(["KeyNeeded", "TooManyRequests"]);
        groups.push(if is_record { "NotAllowed" } else { "ScopeMissing" });
    }
    groups.extend(match path {
        _ if path.starts_with("/v1/assertions/") => Some("ClaimNotFound"),
        "/v1/admin/jobs/{id}" => Some("JobNotFound"),
        "/v1/admin/keys/{id}" => Some("KeyNotFound"),
        "/v1/watches/{id}" if method != "PUT" => Some("WatchNotFound"),
        _ if path.contains('{') => Some("NotFound"),
        _ => None,
    });
    if path == "/v1/export" {
        groups.push("NotAcceptable");
    }
    match (method, path) {
        ("PUT" | "POST", "/v1/watches/{id}" | "/v1/watches") => groups.push("WatchExists"),
        ("POST", "/v1/admin/storage/scrub") => groups.push("ScrubOff"),
        ("POST", "/v1/admin/backup" | "/v1/admin/wal/archive") => groups.push("JobRunning"),
        _ if ["as_of", "known_at", "from", "to"].into_iter().any(has) => groups.push("LsnNotReached"),
        _ => {}
    }
    if has("cursor") {
        groups.push("CursorGone");
    } else if matches!(path, "/v1/feed" | "/v1/watches/events") {
        groups.push("PositionGone");
    }
    groups.extend(match (method, path) {
        _ if is_record => Some("RecordRefused"),
        ("PUT" | "POST", "/v1/watches/{id}" | "/v1/watches") => Some("WatchRefused"),
        (_, "/v1/query" | "/v1/diff") => Some("TooLarge"),
        ("PUT", "/v1/admin/log-level") => Some("LevelRefused"),
        ("POST", "/v1/admin/keys") => Some("NewKeyRefused"),
        ("POST", _) if has_body => Some("KeyUsedBefore"),
        _ => None,
    });
    groups.push(if route.access == Access::Open { "InternalError" } else { "StorageFailed" });
    let writes = route.access == Access::Needs(Scope::Write) || path.starts_with("/v1/admin/keys");
    groups.extend(match path {
        "/v1/health" | "/metrics" => None,
        "/openapi.json" => Some("Overloaded"),
        "/v1/conflicts" => Some("ConflictsBuilding"),
        "/v1/admin/promote" => Some("NotPromoted"),
        _ if writes && method != "GET" => Some("NotWritable"),
        _ => Some("Unavailable"),
    });
    if writes && method != "GET" {
        groups.push("StorageFull");
    }
    groups
}

/// Adds to an operation what it refuses with, and the headers that its other replies have.
pub(super) fn add(route: &Route, operation: &mut Map<String, Value>) {
    let has_body = operation.contains_key("requestBody");
    let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    let names: Vec<&str> = parameters.iter().filter_map(|one| one.get("name")?.as_str()).collect();
    let groups = of(route, has_body, &names);
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for response in responses.values_mut() {
        let headers = member(response, "headers");
        for name in ["X-Request-Id", "Stemedb-Lsn"] {
            headers[name] = json!({ "$ref": format!("#/components/headers/{name}") });
        }
    }
    for name in groups {
        if let Some(status) = GROUPS.iter().find(|group| group.name == name).and_then(status) {
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            responses.insert(status.to_string(), reference);
        }
    }
}

fn status(group: &Group) -> Option<u16> {
    group.codes.first().map(|code| code.status())
}

/// Defines the groups, their headers, and an example of each code.
pub(super) fn define(components: &mut Value) {
    let header = |says: &str| json!({ "description": says, "schema": { "type": "string" } });
    let headers = member(components, "headers");
    headers["X-Request-Id"] = header("The request's id: the client's own if it sent a plain one");
    headers["Stemedb-Lsn"] = header("`<timeline>.<lsn>`: the position that the reply is of");
    headers["Retry-After"] = header("Seconds after which the same request may succeed");
    headers["Allow"] = header("The methods that the path has");
    headers["WWW-Authenticate"] = header("What is asked for: a bearer key, perhaps with a scope");
    let mut examples = Map::new();
    let responses = member(components, "responses");
    for group in GROUPS {
        let mut names = vec!["X-Request-Id"];
        if group.codes.iter().all(|code| code.is_retryable()) {
            names.push("Retry-After");
        }
        match status(group) {
            Some(401) => names.push("WWW-Authenticate"),
            Some(405) => names.push("Allow"),
            _ => {}
        }
        let headers: Map<String, Value> = names
            .into_iter()
            .map(|name| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
            .collect();
        let shown: Map<String, Value> = group
            .codes
            .iter()
            .map(|code| {
                let name = code.name();
                (name.to_owned(), json!({ "$ref": format!("#/components/examples/{name}") }))
            })
            .collect();
        responses[group.name] = json!({
            "description": group.says,
            "headers": headers,
            "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "examples": shown,
            } },
        });
        for code in group.codes {
            let body = Problem::of(*code).render("0af7651916cd43dd8448eb211c80319c");
            let value: Value = serde_json::from_slice(&body).unwrap_or_default();
            examples.insert(code.name().to_owned(), json!({ "summary": code.title(), "value": value }));
        }
    }
    components["examples"] = Value::Object(examples);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_codes_of_a_group_have_one_status() {
        for group in GROUPS {
            let statuses: BTreeSet<u16> = group.codes.iter().map(|code| code.status()).collect();
            assert_eq!(statuses.len(), 1, "{}", group.name);
        }
        let names: BTreeSet<&str> = GROUPS.iter().map(|group| group.name).collect();
        assert_eq!(names.len(), GROUPS.len());
    }

    #[test]
    fn no_operation_has_two_groups_of_one_status_or_one_that_there_is_not() {
        for route in crate::http::routes::table() {
            for (has_body, parameters) in [(false, &["as_of"][..]), (true, &["from", "cursor"])] {
                let mut statuses = BTreeSet::new();
                for name in of(&route, has_body, parameters) {
                    let group = GROUPS.iter().find(|group| group.name == name);
                    let group = group.unwrap_or_else(|| panic!("{name}"));
                    assert!(statuses.insert(status(group)), "{} {}: {name}", route.method, route.path);
                }
            }
        }
    }

    #[test]
    fn every_code_that_a_reply_can_have_is_in_a_group() {
        let told: BTreeSet<Code> = GROUPS.iter().flat_map(|group| group.codes).copied().collect();
        // These are told of folders on the command line, of lines of an import, or of a job that has ended.
        let elsewhere = [
            Code::LineTooLong,
            Code::IdMismatch,
            Code::IncompleteRecord,
            Code::BlankNode,
            Code::NotADatabase,
            Code::AlreadyExists,
            Code::InUse,
            Code::OtherDerivation,
        ];
        for code in Code::ALL {
            assert_ne!(told.contains(code), elsewhere.contains(code), "{code}");
        }
    }
}

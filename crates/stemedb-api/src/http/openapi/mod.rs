//! The OpenAPI 3.1 document, made from the table of routes.
//!
//! ```text
//! routes::table ─ operations: parameters, bodies, replies that are a success
//!    └ refusals  ─ for each operation every status that it may refuse with, and which codes stand behind it
//!       └ examples ─ requests and replies that a test sends and gets
//! ```
//!
//! `docs/openapi.json` is the same text; a test holds the two together, and `docs/openapi/baseline.json` is what the next release
//! must not break.

mod examples;
mod refusals;

use std::sync::OnceLock;

use axum::response::Response;
use serde_json::{Map, Value, json};
use utoipa::openapi::{
    InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, path::HttpMethod,
};

use super::{Problem, auth::Access, reply, routes, routes::Route, schemas};

const DESCRIPTION: &str = "A database for claims that disagree.

Every reply has `X-Request-Id` and `Stemedb-Lsn`, the position that it is of. Whatever is not a success is \
`application/problem+json` (RFC 9457) with a stable `code`. Each operation lists the statuses that it answers with; beside \
them a path that there is not is answered with the response `NotFound`, and a method that a path has not with \
`MethodNotAllowed`.";

/// The description of every route, with every status and with examples. Cost: built anew each time; a few milliseconds.
pub fn document() -> Value {
    let mut document = serde_json::to_value(skeleton()).unwrap_or_default();
    for route in routes::table() {
        if let Some(operation) = operation_of(&mut document, &route) {
            refusals::add(&route, operation);
            if let Access::Needs(scope) = route.access {
                // A key is asked for once there is one, or where the server is told so.
                let name = scope.name();
                operation.insert("security".to_owned(), json!([{}, { "key": [name] }]));
            }
            operation.insert("tags".to_owned(), json!([route.rule().group.name()]));
        }
    }
    refusals::define(member(&mut document, "components"));
    let scheme = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key with the scope that is named: `Authorization: Bearer stemedb_…`",
    });
    member(member(&mut document, "components"), "securitySchemes")["key"] = scheme;
    examples::add(&mut document);
    document
}

/// [`document`] as it is served and committed: indented, members in the order of their names.
pub fn document_text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The operations, as the routes describe them.
fn skeleton() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for route in routes::table() {
        let method = match route.method {
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        paths = paths.path(route.path, PathItem::new(method, route.operation));
    }
    let info = InfoBuilder::new()
        .title("StemeDB")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
        .build();
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(schemas::components())).build()
}

fn operation_of<'a>(document: &'a mut Value, route: &Route) -> Option<&'a mut Map<String, Value>> {
    let item = document.get_mut("paths")?.get_mut(route.path)?;
    item.get_mut(route.method.to_ascii_lowercase())?.as_object_mut()
}

/// A member of an object, made where it is not there.
fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let place = &mut value[name];
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    place
}

/// `GET /openapi.json`
pub(super) async fn serve() -> Result<Response, Problem> {
    static TEXT: OnceLock<String> = OnceLock::new();
    Ok(reply::with_type("application/json", TEXT.get_or_init(document_text).as_str()))
}

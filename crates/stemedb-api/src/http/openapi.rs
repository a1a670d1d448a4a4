//! The OpenAPI 3.1 document, made from the table of routes.

use axum::response::Response;
use utoipa::openapi::{
    InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, path::HttpMethod,
};

use super::{Problem, reply, routes, schemas};

/// The description of every route. Cost: built anew each time; a few dozen kilobytes.
pub fn document() -> OpenApi {
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
        .description(Some("A database for claims that disagree."))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build()))
        .build();
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(schemas::components())).build()
}

/// `GET /openapi.json`
pub(super) async fn serve() -> Result<Response, Problem> {
    reply::json(axum::http::StatusCode::OK, None, &document())
}

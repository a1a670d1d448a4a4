//! The console: one page that asks questions, shows how sources disagree, and how the storage is.
//!
//! ```text
//! GET /               index.html
//! GET /console/{file} its style sheets, modules and icon
//! ```
//!
//! The files are part of the program and the same for everybody: nothing here reads the database, so nothing here needs a
//! key. What the page shows it asks the API for, with the key that its reader typed, like any other client.
//!
//! A browser keeps the files but asks each time whether they are still these (`no-cache` and a strong tag): a page and its
//! modules are then of one version of the program, also after an upgrade.

mod assets;
mod packed;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use self::packed::{Coding, Packed};
use super::{App, Problem};
use crate::errors::Code;

/// What the page may do: load files of this server, ask this server, and nothing else. No script or style within the page, no
/// attribute that is one, no text that becomes markup, no other server, no frame, no form that is sent.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// The routes of the console. They are pages and no part of the API, so that its description does not have them.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/", get(page)).route("/console/{file}", get(file))
}

/// `GET /`
async fn page(headers: HeaderMap) -> Response {
    answer("index.html", &headers)
}

/// `GET /console/{file}`
async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&name, &headers)
}

fn answer(name: &str, request: &HeaderMap) -> Response {
    let Some(packed) = Packed::named(name) else { return Problem::of(Code::NotFound).into_response() };
    let coding = Coding::for_request(request);
    let tag = packed.tag(coding);
    let mut response = if has_tag(request, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = packed.body(coding).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(packed.media_type()));
        if coding == Coding::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Whether `If-None-Match` has the tag.
fn has_tag(request: &HeaderMap, tag: &str) -> bool {
    let given = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|list| list.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

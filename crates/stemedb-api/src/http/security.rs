//! Who may do what with a router, and what every reply tells a browser.

use axum::{
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{auth::AuthOptions, limits::LimitOptions};

/// Options of a router's security.
#[derive(Clone, Debug, Default)]
pub struct SecurityOptions {
    /// Who may do what.
    pub auth: AuthOptions,
    /// How much.
    pub limits: LimitOptions,
    /// Origins, such as `https://app.example`, whose pages may read replies. None: a page of another origin reads nothing.
    pub cors_origins: Vec<HeaderValue>,
}

/// Headers that each reply has unless its handler says otherwise: nothing here is a page, is kept by caches, or belongs into
/// somebody's frame.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds the headers that are not there.
pub(super) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Lets pages of these origins ask and read; `None` without any.
pub(super) fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let names =
        |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let sent = ["accept", "authorization", "content-type", "if-none-match", "last-event-id", "x-request-id"];
    let read =
        ["etag", "location", "ratelimit", "ratelimit-policy", "retry-after", "stemedb-lsn", "x-request-id"];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(names(&sent))
            .expose_headers(names(&read))
            .max_age(std::time::Duration::from_secs(600)),
    )
}

//! The questions that took long.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;

use crate::http::{App, Problem, params::Params, reply, slow_queries::SlowQuery};

#[derive(Serialize)]
struct SlowQueriesJson {
    /// Questions that took at least so long are listed.
    threshold_ms: u64,
    /// At most so many, the newest.
    kept: usize,
    /// The newest first.
    queries: Vec<SlowQuery>,
}

/// `GET /v1/admin/slow-queries`
pub(in crate::http) async fn list(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let options = app.slow_queries.options();
    let json = SlowQueriesJson {
        threshold_ms: u64::try_from(options.threshold.as_millis()).unwrap_or(u64::MAX),
        kept: options.kept,
        queries: app.slow_queries.newest(),
    };
    reply::json(StatusCode::OK, None, &json)
}

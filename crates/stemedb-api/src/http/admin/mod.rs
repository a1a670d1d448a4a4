//! Routes for whoever looks after the server.

pub(super) mod jobs;
pub(super) mod log_level;
pub(super) mod slow_queries;
pub(super) mod stats;

use axum::extract::Request;

use super::{App, Problem, body, params::Params};
use crate::errors::Code;

/// Reads a body of JSON that has no members but those of `T`; the route takes no parameters.
pub(super) async fn read<T: serde::de::DeserializeOwned>(app: &App, request: Request) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    Params::parse(head.uri.query(), &[]).finish()?;
    let body = body::json(app, &head.headers, body).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::UnknownField } else { Code::InvalidJson };
        Problem::new(code, error.to_string())
    })
}

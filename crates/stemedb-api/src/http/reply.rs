//! Replies that are a success.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use stemedb_env::Lsn;

use super::{Problem, envelope::AboutLsn};
use crate::errors::Code;

/// A JSON reply about the state at `lsn`.
pub(super) fn json(
    status: StatusCode,
    lsn: Option<Lsn>,
    value: &impl Serialize,
) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!("a reply cannot be written as JSON: {error}");
        Problem::of(Code::InternalError)
    })?;
    let mut response = with_type("application/json", body);
    *response.status_mut() = status;
    if let Some(lsn) = lsn {
        response.extensions_mut().insert(AboutLsn(lsn));
    }
    Ok(response)
}

/// A reply of another type.
pub(super) fn with_type(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = body.into().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

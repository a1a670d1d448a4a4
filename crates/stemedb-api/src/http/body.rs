//! Bodies of requests, within their limits.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;

use super::{App, Problem};
use crate::errors::Code;

/// Reads a JSON body whole.
pub(super) async fn json(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    require_media_type(headers, &["application/json"])?;
    whole(app, headers, body, app.options.body_max_bytes).await
}

/// Reads a body of at most `limit` bytes whole. All of it must be there within the time limit: a client that sends a byte now and
/// then would hold its place among the requests in flight for as long as it likes.
pub(super) async fn whole(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Vec<u8>, Problem> {
    if encoding(headers)? != Encoding::Identity {
        return Err(Problem::new(Code::UnsupportedEncoding, "this route takes uncompressed bodies only"));
    }
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large(limit as u64));
    }
    let timeout = app.options.body_timeout;
    let read = async {
        let mut body = Parts::new(body, timeout);
        let mut whole = Vec::with_capacity(declared.unwrap_or(0));
        while let Some(part) = body.next().await? {
            if whole.len() + part.len() > limit {
                return Err(too_large(limit as u64));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole)
    };
    match tokio::time::timeout(timeout, read).await {
        Ok(read) => read,
        Err(_) => Err(Problem::of(Code::RequestTimeout)),
    }
}

/// The problem of a body beyond its limit.
pub(super) fn too_large(limit_bytes: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body exceeds {limit_bytes} bytes"))
}

/// The parts of a body as they arrive, each within a time limit.
pub(super) struct Parts {
    body: Body,
    timeout: Duration,
}

impl Parts {
    pub(super) fn new(body: Body, timeout: Duration) -> Parts {
        Parts { body, timeout }
    }

    /// The next part; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = match tokio::time::timeout(self.timeout, self.body.frame()).await {
                Err(_) => return Err(Problem::of(Code::RequestTimeout)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Problem::new(Code::BadRequest, "the body ends early")),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers say nothing here.
            if let Ok(part) = frame.into_data()
                && !part.is_empty()
            {
                return Ok(Some(part));
            }
        }
    }
}

/// Refuses a body that does not say that it is one of these. A browser cannot send such types to another origin without
/// asking first, so that a web page cannot write to a database on the reader's own machine.
pub(super) fn require_media_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let essence = media_type(headers);
    if allowed.iter().any(|allowed| essence.eq_ignore_ascii_case(allowed)) {
        return Ok(());
    }
    let detail = format!("send Content-Type: {}", allowed.join(" or "));
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// The media type that a body says it is of, without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim()
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// The body's Content-Encoding.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
    let (first, second) = (given.next(), given.next());
    let name = first.and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_ascii_lowercase();
    match (first, name.as_str(), second) {
        (None, ..) | (_, "identity", None) => Ok(Encoding::Identity),
        (_, "gzip" | "x-gzip", None) => Ok(Encoding::Gzip),
        (_, "zstd", None) => Ok(Encoding::Zstd),
        _ => Err(Problem::new(Code::UnsupportedEncoding, "takes gzip, zstd or no Content-Encoding")),
    }
}

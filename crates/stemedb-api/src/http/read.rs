//! Routes that answer questions.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use stemedb_core::{ClaimId, Lens};

use super::{App, Problem, params::Params, reply};
use crate::{
    database::{Query, Resolved},
    errors::{Code, FieldError},
    json::{AnswerJson, ClaimJson, LayeredJson, ServerKeyJson, SkepticJson},
    store_helpers::Operation,
};

pub(super) const QUERY_PARAMETERS: &[&str] = &[
    "subject",
    "predicate",
    "lens",
    "as_of",
    "epoch",
    "decay",
    "evaluated_at",
    "tolerance",
    "without",
    "max_class",
    "independent",
    "fragility",
    "explain",
    "known_at",
    "receipt",
];
pub(super) const ANALYSIS_PARAMETERS: &[&str] = &[
    "subject",
    "predicate",
    "as_of",
    "epoch",
    "evaluated_at",
    "tolerance",
    "without",
    "max_class",
    "independent",
    "known_at",
];

/// `GET /v1/query`
pub(super) async fn query(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), QUERY_PARAMETERS);
    let query = params.question(None);
    let explain = params.flag("explain");
    let with_receipt = params.flag("receipt");
    params.finish()?;
    let (resolved, receipt) = match with_receipt {
        false => (ask(&app, query).await?, None),
        true => {
            let work = move |database: &crate::Database| database.query_with_receipt(query);
            let (resolved, receipt) = app.storage.run(Operation::Query, work).await?;
            (resolved, Some(receipt))
        }
    };
    let answer = AnswerJson::new(&resolved, explain).with_receipt(receipt.as_ref());
    reply::json(StatusCode::OK, Some(resolved.lsn), &answer)
}

/// `GET /v1/admin/server-key`
pub(super) async fn server_key(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let work = |database: &crate::Database| ServerKeyJson::of(database);
    let key = app.storage.run(Operation::Get, work).await?;
    reply::json(StatusCode::OK, None, &key)
}

/// `GET /v1/skeptic`
pub(super) async fn skeptic(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let resolved = ask(&app, analysis(&request, Lens::Skeptic)?).await?;
    reply::json(StatusCode::OK, Some(resolved.lsn), &SkepticJson(&resolved))
}

/// `GET /v1/layered`
pub(super) async fn layered(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let resolved = ask(&app, analysis(&request, Lens::Layered)?).await?;
    reply::json(StatusCode::OK, Some(resolved.lsn), &LayeredJson(&resolved))
}

fn analysis(request: &Request, lens: Lens) -> Result<Query, Problem> {
    let mut params = Params::parse(request.uri().query(), ANALYSIS_PARAMETERS);
    let query = params.question(Some(lens));
    params.finish()?;
    Ok(query)
}

async fn ask(app: &App, query: Query) -> Result<Resolved, Problem> {
    let clock = &app.database.env().clock;
    let (started, lens) = (clock.monotonic(), query.lens);
    let resolved = app.storage.run(Operation::Query, move |database| database.query(query)).await?;
    app.metrics.query_answered(lens, clock.monotonic().saturating_sub(started));
    Ok(resolved)
}

/// `GET /v1/assertions/{id}`
pub(super) async fn assertion(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let text = request.uri().path().rsplit('/').next().unwrap_or_default();
    let id: ClaimId = text.parse().map_err(|_| {
        FieldError::in_parameter("id", Code::InvalidParameter, "is not 64 hexadecimal digits")
    })?;
    let stored = app.storage.run(Operation::Get, move |database| database.claim(id)).await?;
    let stored = stored.ok_or_else(|| Problem::of(Code::ClaimNotFound))?;
    let tag = format!("\"{}\"", stored.id);
    let mut response = if matches(request.headers(), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        reply::json(StatusCode::OK, None, &ClaimJson::new(&stored))?
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}

/// Whether `If-None-Match` names the tag.
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|list| list.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

//! Routes of watches: registering them, and following what there is to tell.

mod cursor;

use axum::{
    Extension,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use self::cursor::Cursor;
use super::{
    App, Problem, body,
    feed::{Asked, Draining, follow},
    params::Params,
    reply,
};
use crate::{
    database::WATCH_PAGE_MAX,
    errors::{Code, FieldError, Invalid},
    json::{RegisteredJson, WatchPageJson, check_watch_id, watch, watch_at},
    store_helpers::Operation,
};

pub(super) const EVENT_PARAMETERS: &[&str] = &["from", "prefix", "wait"];
pub(super) const LIST_PARAMETERS: &[&str] = &["prefix", "after", "limit"];
pub(super) const MEDIA_TYPES: &[&str] = &["application/x-ndjson", "application/jsonl"];

/// Largest body with many watches: what it says fits into one group of the journal of watches.
const BODY_MAX_BYTES: usize = 16 << 20;
/// Watches on a page, unless said.
const PAGE: u64 = 1_000;

/// The id in a path; `events` is a route of its own.
fn checked(id: &str) -> Result<(), Invalid> {
    let refused =
        |detail: String| Invalid::new(FieldError::in_parameter("id", Code::InvalidParameter, detail));
    check_watch_id(id).map_err(|error| refused(error.detail))?;
    if id == "events" { Err(refused("is the name of a route".into())) } else { Ok(()) }
}

/// `PUT /v1/watches/{id}`
pub(super) async fn put(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, content) = request.into_parts();
    Params::parse(head.uri.query(), &[]).finish()?;
    checked(&id)?;
    let content = body::json(&app, &head.headers, content).await?;
    let watch = watch(&content, Some(&id))?;
    let watched = app.storage.run(Operation::Put, move |database| database.watch(watch)).await?;
    let status = if watched.created { StatusCode::CREATED } else { StatusCode::OK };
    let json = RegisteredJson::new(&watched.registered, app.database.timeline());
    reply::json(status, Some(watched.registered.since), &json)
}

/// `GET /v1/watches/{id}`
pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    checked(&id)?;
    let found = app.storage.run(Operation::Get, move |database| database.watched(&id)).await?;
    let found = found.ok_or_else(|| Problem::of(Code::WatchNotFound))?;
    reply::json(StatusCode::OK, None, &RegisteredJson::new(&found, app.database.timeline()))
}

/// `DELETE /v1/watches/{id}`
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    checked(&id)?;
    let removed = app.storage.run(Operation::Put, move |database| database.unwatch(&id)).await?;
    if removed { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(Problem::of(Code::WatchNotFound)) }
}

#[derive(Serialize)]
struct ManyJson {
    watches: usize,
    created: usize,
    existing: usize,
    /// The last entry that is not told of those that are new; of the first watch if none is.
    since: u64,
    timeline: u32,
}

/// `POST /v1/watches`: many, one a line; all of them or none.
pub(super) async fn post(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (head, content) = request.into_parts();
    Params::parse(head.uri.query(), &[]).finish()?;
    body::require_media_type(&head.headers, MEDIA_TYPES)?;
    let content = body::whole(&app, &head.headers, content, BODY_MAX_BYTES).await?;
    let register = move |database: &crate::Database| {
        let (mut watches, mut errors) = (Vec::new(), Vec::new());
        let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        for (at, line) in lines.enumerate() {
            match watch_at(line, None, format!("/{at}")) {
                Ok(watch) if watch.id == "events" => {
                    let detail = "is the name of a route";
                    errors.push(FieldError::in_body(format!("/{at}/id"), Code::UnknownName, detail));
                }
                Ok(watch) => watches.push(watch),
                Err(invalid) => errors.extend(invalid.errors().cloned()),
            }
            if errors.len() >= ERRORS_MAX {
                break;
            }
        }
        if let Some(invalid) = Invalid::all(errors) {
            return Err(invalid.into());
        }
        database.watch_all(watches)
    };
    let watched = app.storage.run(Operation::Put, register).await?;
    let created = watched.iter().filter(|one| one.created).count();
    let first = watched.iter().find(|one| one.created).or(watched.first());
    let since = first.map_or_else(|| app.database.published_lsn(), |one| one.registered.since);
    let reply = ManyJson {
        watches: watched.len(),
        created,
        existing: watched.len() - created,
        since: since.0,
        timeline: app.database.timeline(),
    };
    reply::json(StatusCode::OK, Some(since), &reply)
}

/// Errors of one request that are told.
const ERRORS_MAX: usize = 16;

/// `GET /v1/watches`
pub(super) async fn list(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), LIST_PARAMETERS);
    let (prefix, after) = (params.text("prefix"), params.text("after"));
    let limit = params.bounded("limit", 1..=WATCH_PAGE_MAX as u64, PAGE);
    params.finish()?;
    let limit = usize::try_from(limit).unwrap_or(WATCH_PAGE_MAX);
    let read = move |database: &crate::Database| {
        database.watches(prefix.as_deref().unwrap_or_default(), after.as_deref(), limit)
    };
    let page = app.storage.run(Operation::Get, read).await?;
    let mut response =
        reply::json(StatusCode::OK, None, &WatchPageJson::new(&page, app.database.timeline()))?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /v1/watches/events`
pub(super) async fn events(
    State(app): State<App>,
    draining: Option<Extension<Draining>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), EVENT_PARAMETERS);
    let (from, prefix) = (params.text("from"), params.text("prefix").unwrap_or_default());
    let wait = params.number("wait").unwrap_or(0);
    params.finish()?;
    let asked = Asked::read(&app, request.headers(), from.as_deref(), wait)?;
    let Asked { form, from, timeline, .. } = asked;
    let begin =
        move |database: &crate::Database| Ok(Cursor::new(database.notices(from, &prefix)?, form, timeline));
    follow(app, draining, &asked, begin).await
}

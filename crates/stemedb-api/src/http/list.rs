//! Routes that list: claims, questions, and the most contested of these.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};

use super::{App, Problem, params::Params, reply};
use crate::{
    Database,
    database::{ConflictQuery, ListQuery, Selection},
    json::{ClaimPageJson, ConflictPageJson, QuestionPageJson},
    store_helpers::Operation,
};

pub(super) const LIST_PARAMETERS: &[&str] = &[
    "subject",
    "predicate",
    "min",
    "max",
    "source",
    "agent",
    "prefix",
    "predicate_prefix",
    "as_of",
    "limit",
    "cursor",
];
pub(super) const CONFLICT_PARAMETERS: &[&str] = &["min_score", "limit", "cursor"];

/// How long a request waits for the board of conflicts to be made.
const BOARD_WAIT: Duration = Duration::from_secs(5);

fn query(request: &Request) -> Result<ListQuery, Problem> {
    let mut params = Params::parse(request.uri().query(), LIST_PARAMETERS);
    let selection = Selection {
        subject: params.text("subject"),
        predicate: params.text("predicate"),
        min: params.text("min"),
        max: params.text("max"),
        source: params.text("source"),
        agent: params.text("agent"),
        prefix: params.text("prefix"),
        predicate_prefix: params.text("predicate_prefix"),
    };
    let (as_of, limit, cursor) = (params.moment("as_of"), params.limit(), params.text("cursor"));
    params.finish()?;
    Ok(ListQuery { selection, as_of, limit, cursor })
}

/// `GET /v1/claims`
pub(super) async fn claims(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let query = query(&request)?;
    // Written where it was read, as every reply that may be long: the threads of the connections are for everybody.
    let work = move |database: &Database| {
        let page = database.claims(&query)?;
        Ok(reply::json(StatusCode::OK, Some(page.lsn), &ClaimPageJson(&page)))
    };
    app.storage.run(Operation::Query, work).await?
}

/// `GET /v1/questions`
pub(super) async fn questions(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let query = query(&request)?;
    let work = move |database: &Database| {
        let page = database.questions(&query)?;
        Ok(reply::json(StatusCode::OK, Some(page.lsn), &QuestionPageJson(&page)))
    };
    app.storage.run(Operation::Query, work).await?
}

/// `GET /v1/conflicts`
pub(super) async fn conflicts(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), CONFLICT_PARAMETERS);
    let min_score = params.fraction("min_score").unwrap_or(0);
    let (limit, cursor) = (params.limit(), params.text("cursor"));
    params.finish()?;
    let query = ConflictQuery { min_score, limit, cursor, wait: Some(BOARD_WAIT) };
    let work = move |database: &Database| {
        let page = database.conflicts(&query)?;
        Ok(reply::json(StatusCode::OK, Some(page.lsn), &ConflictPageJson(&page)))
    };
    app.storage.run(Operation::Query, work).await?
}

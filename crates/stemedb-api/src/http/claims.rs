//! Routes about single claims and agents: what was said about a claim, what derives from it, who an agent is.

use std::str::FromStr;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use stemedb_core::{AgentId, ClaimId, Problem as ModelProblem};

use super::{App, Problem, params::Params, reply};
use crate::{
    errors::{Code, FieldError, Invalid},
    json::{AgentJson, HistoryJson, ImpactJson},
    store_helpers::Operation,
};

pub(super) const HISTORY_PARAMETERS: &[&str] = &["as_of", "limit", "offset"];
pub(super) const AS_OF_PARAMETERS: &[&str] = &["as_of"];

/// Remarks of a history on one page.
const REMARKS_MAX: u64 = 10_000;
const REMARKS: u64 = 1000;

/// `GET /v1/assertions/{id}/history`
pub(super) async fn history(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), HISTORY_PARAMETERS);
    let as_of = params.moment("as_of");
    let limit = params.bounded("limit", 1..=REMARKS_MAX, REMARKS);
    let offset = params.bounded("offset", 0..=u64::MAX, 0);
    params.finish()?;
    let id: ClaimId = id_in(&request, 1)?;
    let (history, lsn) = app
        .storage
        .run(Operation::Query, move |database| {
            let reader = database.reader(as_of)?;
            Ok((reader.history(id)?, reader.lsn()))
        })
        .await?;
    let history = history.ok_or_else(|| Problem::of(Code::ClaimNotFound))?;
    let clamp = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let page = HistoryJson::new(&history, clamp(offset), clamp(limit), lsn);
    reply::json(StatusCode::OK, Some(lsn), &page)
}

/// `GET /v1/assertions/{id}/impact`
pub(super) async fn impact(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), AS_OF_PARAMETERS);
    let as_of = params.moment("as_of");
    params.finish()?;
    let id: ClaimId = id_in(&request, 1)?;
    let (impact, lsn) = app
        .storage
        .run(Operation::Query, move |database| {
            let reader = database.reader(as_of)?;
            Ok((reader.impact(id)?, reader.lsn()))
        })
        .await?;
    let impact = impact.ok_or_else(|| Problem::of(Code::ClaimNotFound))?;
    reply::json(StatusCode::OK, Some(lsn), &ImpactJson::new(&impact, lsn))
}

/// `GET /v1/agents/{id}`
pub(super) async fn agent(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), AS_OF_PARAMETERS);
    let as_of = params.moment("as_of");
    params.finish()?;
    let id: AgentId = id_in(&request, 0)?;
    let known = app.storage.run(Operation::Query, move |database| database.agent_known(id, as_of)).await?;
    reply::json(StatusCode::OK, Some(known.lsn), &AgentJson::new(&known))
}

/// The id in a path, `after` segments before its end.
fn id_in<T: FromStr<Err = ModelProblem>>(request: &Request, after: usize) -> Result<T, Invalid> {
    let text = request.uri().path().rsplit('/').nth(after).unwrap_or_default();
    let refused = |_| FieldError::in_parameter("id", Code::InvalidParameter, "is not 64 hexadecimal digits");
    Ok(text.parse().map_err(refused)?)
}

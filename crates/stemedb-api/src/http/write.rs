//! Routes that record something.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use stemedb_core::Command;
use stemedb_index::Outcome;

use super::{
    App, Problem, body,
    gate::{Touched, bound_agent},
    params::Params,
    reply,
};
use crate::{
    database::bind,
    errors::{Code, Invalid},
    json,
};

/// `POST /v1/assert`
pub(super) async fn assert(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    record(app, request, |body| json::assertion(body).map(Command::Assert)).await
}

/// `POST /v1/vote`
pub(super) async fn vote(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let by = bound_agent(request.extensions());
    record(app, request, |body| {
        match by {
            None => json::vote(body),
            Some(agent) => json::vote_by(body, agent),
        }
        .map(Command::Vote)
    })
    .await
}

/// `POST /v1/supersede`
pub(super) async fn supersede(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    record(app, request, |body| json::supersession(body).map(Command::Supersede)).await
}

/// `POST /v1/epoch`
pub(super) async fn epoch(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    record(app, request, |body| json::epoch(body).map(Command::Epoch)).await
}

/// `POST /v1/source`
pub(super) async fn source(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    record(app, request, |body| json::source(body).map(Command::Source)).await
}

/// `POST /v1/agent`
pub(super) async fn agent(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    record(app, request, |body| json::agent(body).map(Command::Agent)).await
}

async fn record(
    app: App,
    request: Request,
    read: impl FnOnce(&[u8]) -> Result<Command, Invalid>,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    Params::parse(head.uri.query(), &[]).finish()?;
    let body = body::json(&app, &head.headers, body).await?;
    let mut command = read(&body)?;
    if let Some(agent) = bound_agent(&head.extensions) {
        bind(&mut command, agent)?;
    }
    let about = about(&command);
    let outcomes = app.storage.commit(command).await?;
    let outcome = *outcomes.first().ok_or_else(|| Problem::of(Code::InternalError))?;
    let mut response = recorded(outcome)?;
    let ids = outcome.id.map(|id| id.to_string()).into_iter().chain(about).collect();
    response.extensions_mut().insert(Touched(ids));
    Ok(response)
}

/// The ids of what a record is about, beside its own.
fn about(command: &Command) -> Vec<String> {
    match command {
        Command::Assert(_) | Command::Epoch(_) => Vec::new(),
        Command::Vote(vote) => vec![vote.assertion.to_string(), vote.agent.to_string()],
        Command::Supersede(supersession) => {
            let ids = [Some(supersession.old), supersession.new];
            ids.into_iter().flatten().map(|id| id.to_string()).collect()
        }
        Command::Source(source) => vec![source.id.clone()],
        Command::Cosign(cosign) => vec![cosign.claim.to_string(), cosign.agent.to_string()],
        Command::Agent(agent) => vec![agent.id.to_string()],
    }
}

#[derive(Serialize)]
struct Recorded {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The id once more, under the name that older clients know.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    lsn: u64,
    created: bool,
    /// Signatures that were added to a claim that was there already.
    #[serde(skip_serializing_if = "is_zero")]
    cosigned: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// 201 for what is new, 200 for what was there.
fn recorded(outcome: Outcome) -> Result<Response, Problem> {
    let id = outcome.id.map(|id| id.to_string());
    let location = id.as_ref().map(|id| format!("/v1/assertions/{id}"));
    let body = Recorded {
        hash: id.clone(),
        id,
        lsn: outcome.position.lsn.0,
        created: outcome.created,
        cosigned: outcome.cosigned,
    };
    let status = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    // New co-signatures lie after the claim's own place: then "everything readable" is the position to wait for.
    let lsn = (outcome.cosigned == 0).then_some(outcome.position.lsn);
    let mut response = reply::json(status, lsn, &body)?;
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

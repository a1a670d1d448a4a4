//! Routes that answer questions.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use stemedb_core::{ClaimId, Lens, SignedReceipt};

use super::{
    App, Problem,
    params::Params,
    reply,
    slow_queries::{SlowQuery, Stages},
    trace::RequestIds,
};
use crate::{
    database::{Query, QueryCost, Resolved},
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
    let ids = RequestIds::of_request(&request);
    answered(&app, ids, query, with_receipt, move |resolved, receipt| {
        let answer = AnswerJson::new(resolved, explain).with_receipt(receipt);
        reply::json(StatusCode::OK, Some(resolved.lsn), &answer)
    })
    .await
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
    let (ids, query) = (RequestIds::of_request(&request), analysis(&request, Lens::Skeptic)?);
    answered(&app, ids, query, false, |resolved, _| {
        reply::json(StatusCode::OK, Some(resolved.lsn), &SkepticJson(resolved))
    })
    .await
}

/// `GET /v1/layered`
pub(super) async fn layered(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (ids, query) = (RequestIds::of_request(&request), analysis(&request, Lens::Layered)?);
    answered(&app, ids, query, false, |resolved, _| {
        reply::json(StatusCode::OK, Some(resolved.lsn), &LayeredJson(resolved))
    })
    .await
}

fn analysis(request: &Request, lens: Lens) -> Result<Query, Problem> {
    let mut params = Params::parse(request.uri().query(), ANALYSIS_PARAMETERS);
    let query = params.question(Some(lens));
    params.finish()?;
    Ok(query)
}

/// A question that was answered, and how long what took.
struct Asked {
    resolved: Resolved,
    receipt: Option<SignedReceipt>,
    began: Duration,
    /// Waiting for a thread.
    queued: Duration,
    cost: QueryCost,
    ids: Option<RequestIds>,
}

/// Answers a question, and renders the answer on the thread that found it: one of very many claims takes long to write, and the
/// threads of the connections are for everybody.
async fn answered(
    app: &App,
    ids: Option<RequestIds>,
    query: Query,
    with_receipt: bool,
    render: impl Fn(&Resolved, Option<&SignedReceipt>) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let clock = Arc::clone(&app.database.env().clock);
    let began = clock.monotonic();
    // What the caches know is short, and answered where the request was read: changing threads would take longer.
    let known = match with_receipt {
        false => app.storage.at_once(Operation::Query, |database| database.query_if_known(&query))?,
        true => None,
    };
    if let Some((resolved, cost)) = known {
        let asked = Asked { resolved, receipt: None, began, queued: Duration::ZERO, cost, ids };
        return asked.reply(app, render);
    }
    let this = app.clone();
    let work = move |database: &crate::Database| {
        let queued = clock.monotonic().saturating_sub(began);
        let (resolved, receipt, cost) = match with_receipt {
            false => database.query_measured(query).map(|(resolved, cost)| (resolved, None, cost))?,
            true => database
                .query_with_receipt_measured(query)
                .map(|(resolved, receipt, cost)| (resolved, Some(receipt), cost))?,
        };
        Ok(Asked { resolved, receipt, began, queued, cost, ids }.reply(&this, render))
    };
    app.storage.run(Operation::Query, work).await?
}

impl Asked {
    /// Renders the answer, and takes note of what it has cost.
    fn reply(
        self,
        app: &App,
        render: impl Fn(&Resolved, Option<&SignedReceipt>) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let clock = &app.database.env().clock;
        let rendering = clock.monotonic();
        app.metrics.query_answered(self.resolved.query.lens, rendering.saturating_sub(self.began));
        let mut response = render(&self.resolved, self.receipt.as_ref())?;
        let ended = clock.monotonic();
        let stages = Stages {
            queue: self.queued,
            gather: self.cost.gathering,
            lens: self.cost.lens,
            receipt: self.cost.receipt,
            render: ended.saturating_sub(rendering),
            began: self.began,
            ended,
        };
        let total = ended.saturating_sub(self.began);
        // Waiting for a turn is not the question's doing, and would make every one slow just when the server has no time to say so.
        app.slow_queries.note(app, total.saturating_sub(self.queued), || {
            SlowQuery::of(&self.resolved, total, stages, self.cost, self.ids)
        });
        response.extensions_mut().insert(stages);
        Ok(response)
    }
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

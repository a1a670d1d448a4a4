//! `GET /v1/diff`: what changed between two moments.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use stemedb_core::Lens;
use stemedb_index::QuestionKey;

use super::{App, Problem, params::Params, reply};
use crate::{
    database::DifferenceQuery,
    errors::{Code, FieldError},
    json::DifferenceJson,
    store_helpers::Operation,
};

pub(super) const PARAMETERS: &[&str] = &[
    "from",
    "to",
    "lens",
    "subject",
    "predicate",
    "epoch",
    "decay",
    "evaluated_at",
    "limit",
    "after_subject",
    "after_predicate",
];

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;

/// `GET /v1/diff`
pub(super) async fn diff(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), PARAMETERS);
    let (from, to) = (params.moment("from"), params.moment("to"));
    let lenses = params.lenses();
    let (subject, predicate) = (params.text("subject"), params.text("predicate"));
    let (epoch, decay) = (params.text("epoch"), params.flag("decay"));
    let evaluated_at = params.time("evaluated_at");
    let limit = params.number("limit").unwrap_or(LIMIT_DEFAULT);
    let after = (params.text("after_subject"), params.text("after_predicate"));
    params.finish()?;
    let missing = || FieldError::in_parameter("from", Code::MissingParameter, "is required");
    let from = from.ok_or_else(missing)?;
    if limit == 0 || limit > LIMIT_MAX {
        let detail = format!("must be 1 to {LIMIT_MAX}");
        return Err(FieldError::in_parameter("limit", Code::InvalidParameter, detail).into());
    }
    let after = match after {
        (None, None) => None,
        (Some(subject), Some(predicate)) => Some(QuestionKey { subject, predicate }),
        _ => {
            let detail = "after_subject and after_predicate come together";
            return Err(FieldError::in_parameter("after_subject", Code::InvalidParameter, detail).into());
        }
    };
    let query = DifferenceQuery {
        to,
        lenses,
        subject,
        predicate,
        epoch,
        decay,
        evaluated_at,
        after,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        ..DifferenceQuery::since(from, Lens::Consensus)
    };
    let work = move |database: &crate::Database| {
        let difference = database.difference(query)?;
        Ok(reply::json(StatusCode::OK, Some(difference.to), &DifferenceJson(&difference)))
    };
    app.storage.run(Operation::Query, work).await?
}

//! The route that makes a standby the writer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;

use super::{App, Problem, params::Params, reply};
use crate::{backup::Error, errors::Code, replication::Promotion};

#[derive(Serialize)]
struct PromotionJson {
    /// False where there was nothing to do.
    promoted: bool,
    /// Of the writes that follow.
    timeline: u32,
    /// The last entry of the past that it shares with the writer before; of a writer, the last one that can be read.
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
}

/// `POST /v1/admin/promote`: done when it is answered. Asking again changes nothing.
pub(super) async fn promote(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let promotion = match app.standby.as_ref().map(Arc::clone) {
        Some(standby) => {
            let (work, span) = (move || standby.promote(), tracing::Span::current());
            let done = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
            done.map_err(|_| Problem::of(Code::InternalError))?.map_err(|error| refused(&error))?
        }
        None if app.database.role().is_standby() => {
            let detail = "this standby follows nobody now: start it with --standby";
            return Err(Problem::new(Code::Unavailable, detail));
        }
        None => Promotion {
            promoted: false,
            epoch: app.database.role().epoch(),
            timeline: app.database.timeline(),
            lsn: app.database.published_lsn(),
        },
    };
    let Promotion { promoted, epoch, timeline, lsn } = promotion;
    let json = PromotionJson { promoted, timeline, lsn: lsn.0, epoch };
    reply::json(StatusCode::OK, Some(lsn), &json)
}

/// Its words are for whoever may promote.
fn refused(error: &Error) -> Problem {
    tracing::error!(error = ?error, "the promotion failed: {error}");
    let code = if matches!(error, Error::Fenced { .. }) { Code::Fenced } else { Code::BackupFailed };
    Problem::new(code, error.to_string())
}

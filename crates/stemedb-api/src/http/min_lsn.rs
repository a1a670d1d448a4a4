//! `Stemedb-Min-Lsn`: whoever has seen a position is not answered from before it.

use std::time::Duration;

use axum::http::HeaderMap;

use super::{App, Problem, feed::position};
use crate::errors::{Code, FieldError};

const STEMEDB_MIN_LSN: &str = "stemedb-min-lsn";
/// How long a request waits for the position to become readable.
const WAIT: Duration = Duration::from_secs(5);

/// Returns when everything up to the position that the request names is readable.
///
/// Costs nothing without the header, and a comparison where it is readable already: always, for what this server has acknowledged
/// since it was started.
///
/// # Errors
/// [`Code::PositionGone`] for another timeline, [`Code::LsnNotReached`] after a while, [`Code::InvalidParameter`].
pub(super) async fn reached(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(asked) = headers.get(STEMEDB_MIN_LSN) else { return Ok(()) };
    let text = asked.to_str().unwrap_or_default();
    let lsn = position::parse("Stemedb-Min-Lsn", text, app.database.timeline())?;
    if app.database.published_lsn() >= lsn {
        return Ok(());
    }
    let mut follower = app.news.follow(&app.database);
    if let Ok(true) = tokio::time::timeout(WAIT, follower.reached(lsn)).await {
        return Ok(());
    }
    let detail = format!("is {lsn}; {} is the newest that can be read", app.database.published_lsn());
    Err(FieldError::in_parameter("Stemedb-Min-Lsn", Code::LsnNotReached, detail).into())
}

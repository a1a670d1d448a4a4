//! What happened to the files.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use stemedb_core::Micros;
use stemedb_hybrid::Event;

use super::{App, Problem, params::Params, reply};

pub(super) const PARAMETERS: &[&str] = &["after"];

#[derive(Serialize)]
struct EventsJson {
    /// The number of the newest event there has been: what to ask after next.
    newest: u64,
    events: Vec<EventJson>,
}

#[derive(Serialize)]
struct EventJson {
    number: u64,
    at: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    text: String,
}

impl From<Event> for EventJson {
    fn from(event: Event) -> EventJson {
        EventJson {
            number: event.number,
            at: Micros(event.at.0).to_string(),
            kind: event.kind.name(),
            file: event.file.map(|file| file.display().to_string()),
            text: event.text,
        }
    }
}

/// `GET /v1/admin/storage/events`: the storage events after number `after`, oldest first; the newest 1024 are kept.
pub(super) async fn events(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::parse(request.uri().query(), PARAMETERS);
    let after = params.number("after").unwrap_or(0);
    params.finish()?;
    // Asked first: an event that comes in between is told again, not left out.
    let newest = app.database.events().newest();
    let events = app.database.events().after(after).into_iter().map(EventJson::from).collect();
    reply::json(StatusCode::OK, Some(app.database.published_lsn()), &EventsJson { newest, events })
}

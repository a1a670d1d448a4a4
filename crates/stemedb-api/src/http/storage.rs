//! Routes about the files below the database.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use stemedb_core::Micros;
use stemedb_hybrid::{Finding, ScrubStatus};

use super::{App, Problem, reply};
use crate::errors::Code;

/// How the reading of every file goes, in short.
#[derive(Serialize)]
pub(super) struct ScrubJson {
    enabled: bool,
    running: bool,
    round: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    bytes_done: u64,
    bytes_total: u64,
    files_left: u64,
    round_findings: u64,
    /// Since the database was opened, as the following.
    findings: u64,
    healed: u64,
    bytes_read: u64,
    rereads: u64,
    transient_errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_full_round: Option<String>,
    late: bool,
}

impl From<&ScrubStatus> for ScrubJson {
    fn from(status: &ScrubStatus) -> ScrubJson {
        let time = |at: stemedb_env::Micros| Micros(at.0).to_string();
        ScrubJson {
            enabled: status.enabled,
            running: status.running,
            round: status.round,
            started: status.started.map(time),
            bytes_done: status.bytes_done,
            bytes_total: status.bytes_total,
            files_left: status.files_left,
            round_findings: status.round_findings,
            findings: status.findings,
            healed: status.healed,
            bytes_read: status.bytes_read,
            rereads: status.rereads,
            transient_errors: status.transient_errors,
            last_full_round: status.last_full_round.map(time),
            late: status.late,
        }
    }
}

#[derive(Serialize)]
struct FindingJson {
    at: String,
    class: &'static str,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    text: String,
    healed: bool,
}

impl From<Finding> for FindingJson {
    fn from(finding: Finding) -> FindingJson {
        FindingJson {
            at: Micros(finding.at.0).to_string(),
            class: finding.class.name(),
            file: finding.file.display().to_string(),
            offset: finding.offset,
            text: finding.text,
            healed: finding.healed,
        }
    }
}

#[derive(Serialize)]
struct ScrubDetails {
    #[serde(flatten)]
    status: ScrubJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<String>,
    damage: Vec<FindingJson>,
}

fn details(app: &App, code: StatusCode) -> Result<Response, Problem> {
    let engine = app.database.engine();
    let status = engine.scrub_status();
    let details = ScrubDetails {
        status: ScrubJson::from(&status),
        reading: status.reading.map(|path| path.display().to_string()),
        damage: engine.scrub_findings().into_iter().map(FindingJson::from).collect(),
    };
    reply::json(code, Some(app.database.published_lsn()), &details)
}

/// `GET /v1/admin/storage/scrub`
pub(super) async fn scrub(State(app): State<App>) -> Result<Response, Problem> {
    details(&app, StatusCode::OK)
}

/// `POST /v1/admin/storage/scrub`: a round begins now; one that is under way goes on.
pub(super) async fn begin_scrub(State(app): State<App>) -> Result<Response, Problem> {
    if !app.database.engine().scrub_begin() {
        return Err(Problem::of(Code::ScrubOff));
    }
    details(&app, StatusCode::ACCEPTED)
}

//! Long work of the storage, begun by a request, and the list of all such work.

use std::ops::ControlFlow;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use stemedb_hybrid::ScrubReport;

use super::read;
use crate::{
    Database,
    errors::{Code, Error, FieldError},
    http::{App, Problem, params::Params, reply},
    jobs::{Begun, JobFailure, JobKind, Refused, Running},
    store_helpers::Operation,
};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const IDEMPOTENCY_KEY_MAX_BYTES: usize = 255;
/// Damage of a verification that its job lists; all of it is in the log and in `/v1/admin/storage/scrub`.
const FINDINGS_LISTED: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompactRequest {
    /// Whether tables that are in shape are written anew, too.
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyRequest {}

/// `POST /v1/admin/storage/compact`
pub(in crate::http) async fn compact(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let CompactRequest { force } = read(&app, request).await?;
    let parameters = serde_json::json!({ "force": force });
    begin(&app, JobKind::Compaction, parameters, key.as_deref(), move |app, running| {
        compaction(app, running, force)
    })
}

/// `POST /v1/admin/storage/verify`
pub(in crate::http) async fn verify(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let VerifyRequest {} = read(&app, request).await?;
    begin(&app, JobKind::Verification, serde_json::json!({}), key.as_deref(), verification)
}

/// The client's `Idempotency-Key`.
pub(in crate::http) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    if !(1..=IDEMPOTENCY_KEY_MAX_BYTES).contains(&key.len()) {
        let detail = "Idempotency-Key must be 1 to 255 printable ASCII characters";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok(Some(key.to_owned()))
}

/// Begins a job, or finds the one that is meant.
pub(in crate::http) fn begin(
    app: &App,
    kind: JobKind,
    parameters: serde_json::Value,
    key: Option<&str>,
    work: impl FnOnce(&App, &Running) -> Result<serde_json::Value, JobFailure> + Send + 'static,
) -> Result<Response, Problem> {
    let record = match app.jobs.begin(kind, parameters, key) {
        Ok(Begun::New(running)) => {
            let record = running.record().clone();
            let (app, span) = (app.clone(), tracing::Span::current());
            tokio::task::spawn_blocking(move || span.in_scope(|| running.run(|running| work(&app, running))));
            record
        }
        Ok(Begun::Known(record)) => record,
        Err(Refused::Busy(record)) => {
            let (kind, job) = (record.kind.name(), record.number);
            return Err(Problem::new(
                Code::JobRunning,
                format!("{kind} job {job} is under way; one at a time"),
            ));
        }
        Err(Refused::OtherRequest(job)) => {
            let detail = format!(
                "the key was given with the request that began job {job}, which asked for something else"
            );
            return Err(Problem::new(Code::IdempotencyMismatch, detail));
        }
        Err(Refused::Stopping) => return Err(Problem::new(Code::Unavailable, "the server is about to stop")),
    };
    let mut response = reply::json(StatusCode::ACCEPTED, None, &record.json())?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/admin/jobs/{}", record.number)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What a storage error says of a job. Paths and the system's words are for the log.
fn failure(error: &Error) -> JobFailure {
    JobFailure::Failed(error.code(), error.code().meaning().to_owned(), serde_json::Value::Null)
}

fn compaction(app: &App, running: &Running, force: bool) -> Result<serde_json::Value, JobFailure> {
    let before = app.database.stats().lsm;
    let work = |database: &Database| {
        let progress = |at: stemedb_lsm::CompactionProgress| running.progress(at.done_bytes, at.total_bytes);
        Ok(database.engine().compact_until(force, &progress, &|| running.is_stopped())?)
    };
    match app.storage.guard(Operation::Compact, work) {
        Ok(true) => {}
        Ok(false) => return Err(JobFailure::Stopped),
        Err(error) => return Err(failure(&error)),
    }
    let after = app.database.stats().lsm;
    Ok(serde_json::json!({
        "sst_files_before": before.sst_file_count,
        "sst_files": after.sst_file_count,
        "bytes_before": before.total_bytes,
        "bytes": after.total_bytes,
        "compactions": after.compactions.saturating_sub(before.compactions),
        "written_bytes": after.compaction_bytes.saturating_sub(before.compaction_bytes),
    }))
}

fn verification(app: &App, running: &Running) -> Result<serde_json::Value, JobFailure> {
    let mut told = serde_json::Value::Null;
    let work = |database: &Database| {
        let engine = database.engine();
        let report = engine.scrub_watched(&mut |at| {
            running.progress(at.done_bytes, at.done_bytes + at.left_bytes);
            if running.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(report) = report else { return Ok(None) };
        told = verified(&report);
        Ok(Some(engine.verified(report)?))
    };
    let outcome = app.storage.guard(Operation::Verify, work);
    match outcome {
        Ok(None) => Err(JobFailure::Stopped),
        Ok(Some(verified)) => {
            told["rows"] = verified.rows.into();
            Ok(told)
        }
        Err(error) => match failure(&error) {
            JobFailure::Failed(code, detail, _) => Err(JobFailure::Failed(code, detail, told)),
            JobFailure::Stopped => Err(JobFailure::Stopped),
        },
    }
}

fn verified(report: &ScrubReport) -> serde_json::Value {
    let findings = report.findings.iter().take(FINDINGS_LISTED).map(|finding| {
        let name = finding.file.file_name().map(|name| name.to_string_lossy().into_owned());
        serde_json::json!({
            "class": finding.class.name(),
            "file": name,
            "offset": finding.offset,
            "text": finding.text,
            "healed": finding.healed,
        })
    });
    let findings: Vec<serde_json::Value> = findings.collect();
    serde_json::json!({
        "files": report.classes.values().map(|class| class.files).sum::<u64>(),
        "bytes": report.classes.values().map(|class| class.bytes).sum::<u64>(),
        "entries": report.entries,
        "damages": report.damages,
        "findings": findings,
        "rereads": report.rereads,
        "transient_errors": report.transient_errors,
    })
}

#[derive(Serialize)]
struct JobsJson<'a> {
    jobs: Vec<crate::jobs::JobJson<'a>>,
}

/// `GET /v1/admin/jobs`
pub(in crate::http) async fn list(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let records = app.jobs.all();
    reply::json(
        StatusCode::OK,
        None,
        &JobsJson { jobs: records.iter().map(|record| record.json()).collect() },
    )
}

/// `GET /v1/admin/jobs/{id}`
pub(in crate::http) async fn get(
    State(app): State<App>,
    Path(number): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    let number: u64 = number
        .parse()
        .map_err(|_| FieldError::in_parameter("id", Code::InvalidParameter, "is not the number of a job"))?;
    let record = app.jobs.get(number).ok_or_else(|| Problem::of(Code::JobNotFound))?;
    reply::json(StatusCode::OK, None, &record.json())
}

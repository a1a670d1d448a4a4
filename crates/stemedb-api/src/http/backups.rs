//! Routes that make backups of a running database.
//!
//! Where to is the owner's choice when he starts the server: a request can begin a backup, and nothing else. One job at a
//! time; it runs on a thread of its own, and is asked for by its number.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use stemedb_core::Micros;

use super::{App, Problem, body, params::Params, reply};
use crate::{
    Database,
    backup::{self, ArchiveReport, BackupTarget, CreateOptions, CreateReport},
    errors::Code,
};

/// Where a router keeps backups, and its job. Clones share them.
#[derive(Clone, Debug)]
pub struct Backups {
    target: Arc<dyn BackupTarget>,
    job: Arc<Mutex<Job>>,
}

#[derive(Clone, Debug, Default)]
struct Job {
    number: u64,
    kind: &'static str,
    state: &'static str,
    done_bytes: u64,
    total_bytes: u64,
    result: serde_json::Value,
}

impl Backups {
    /// Backups and archived segments go to this target.
    pub fn new(target: Arc<dyn BackupTarget>) -> Backups {
        Backups { target, job: Arc::new(Mutex::new(Job { state: "none", ..Job::default() })) }
    }

    /// Begins a job unless one is running; its number.
    fn begin(&self, kind: &'static str) -> Option<u64> {
        let mut job = self.job.lock();
        if job.state == "running" {
            return None;
        }
        *job = Job { number: job.number + 1, kind, state: "running", ..Job::default() };
        Some(job.number)
    }

    fn run(&self, database: &Database, work: &Work) {
        let done = match work {
            Work::Backup(options) => {
                let mut progress = |done, total| {
                    let mut job = self.job.lock();
                    (job.done_bytes, job.total_bytes) = (done, total);
                };
                backup::create(database, &*self.target, options, &mut progress).map(|made| backup_json(&made))
            }
            Work::Archive { rotate } => {
                backup::archive(database, &*self.target, *rotate).map(|done| archive_json(&done))
            }
        };
        let mut job = self.job.lock();
        (job.state, job.result) = match done {
            Ok(result) => ("done", result),
            Err(error) => {
                // Paths and addresses are for the log and for whoever runs the server's own commands.
                tracing::error!(error = ?error, "the {} failed: {error}", job.kind);
                ("failed", serde_json::json!({ "error": error.to_string() }))
            }
        };
    }
}

enum Work {
    Backup(CreateOptions),
    Archive { rotate: bool },
}

fn backup_json(made: &CreateReport) -> serde_json::Value {
    serde_json::json!({
        "name": made.name,
        "timeline": made.metadata.timeline,
        "lsn": made.metadata.lsn,
        "recorded_at": made.metadata.recorded_at.map(|at| Micros(at).to_string()),
        "rows": made.metadata.rows,
        "state_root": made.metadata.state_root,
        "files": made.metadata.files.len(),
        "bytes": made.metadata.total_bytes(),
        "sent_objects": made.sent_objects,
        "sent_bytes": made.sent_bytes,
        "mended": made.mended,
        "verified": made.verified,
    })
}

fn archive_json(done: &ArchiveReport) -> serde_json::Value {
    serde_json::json!({
        "archived": done.archived.len(),
        "known": done.known,
        "sent_bytes": done.sent_bytes,
        "upto": done.upto.0,
    })
}

/// Panics of a job end it, too: nobody would ever be let in again.
struct EndsJob<'a>(&'a Backups);

impl Drop for EndsJob<'_> {
    fn drop(&mut self) {
        let mut job = self.0.job.lock();
        if job.state == "running" {
            job.state = "failed";
            job.result = serde_json::json!({ "error": "the job was abandoned" });
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupRequest {
    #[serde(default = "yes")]
    verify: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveRequest {
    #[serde(default)]
    rotate: bool,
}

/// `POST /v1/admin/backup`
pub(super) async fn backup(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let asked: BackupRequest = read(&app, request).await?;
    start(&app, "backup", Work::Backup(CreateOptions { verify: asked.verify, scratch: None }))
}

/// `POST /v1/admin/wal/archive`
pub(super) async fn archive(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let asked: ArchiveRequest = read(&app, request).await?;
    start(&app, "archive", Work::Archive { rotate: asked.rotate })
}

async fn read<T: serde::de::DeserializeOwned>(app: &App, request: Request) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    Params::parse(head.uri.query(), &[]).finish()?;
    let body = body::json(app, &head.headers, body).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::UnknownField } else { Code::InvalidJson };
        Problem::new(code, error.to_string())
    })
}

fn start(app: &App, kind: &'static str, work: Work) -> Result<Response, Problem> {
    let backups = configured(app)?.clone();
    let Some(number) = backups.begin(kind) else {
        return Err(Problem::new(Code::Overloaded, "a backup or archiving is under way; one at a time"));
    };
    let database = app.database.clone();
    tokio::task::spawn_blocking(move || {
        let _ends = EndsJob(&backups);
        backups.run(&database, &work);
    });
    reply::json(StatusCode::ACCEPTED, None, &serde_json::json!({ "job": number, "kind": kind }))
}

fn configured(app: &App) -> Result<&Backups, Problem> {
    let none = || {
        Problem::new(Code::Unavailable, "this server has no target for backups: start it with --backup-to")
    };
    app.backups.as_ref().ok_or_else(none)
}

#[derive(Serialize)]
struct JobJson {
    job: u64,
    kind: &'static str,
    state: &'static str,
    done_bytes: u64,
    total_bytes: u64,
    target: String,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    result: serde_json::Value,
}

/// `GET /v1/admin/backup/status`
pub(super) async fn status(State(app): State<App>) -> Result<Response, Problem> {
    let backups = configured(&app)?;
    let Job { number, kind, state, done_bytes, total_bytes, result } = backups.job.lock().clone();
    let target = backups.target.describe();
    let json = JobJson { job: number, kind, state, done_bytes, total_bytes, target, result };
    reply::json(StatusCode::OK, None, &json)
}

//! Routes that make backups of a running database.
//!
//! Where to is the owner's choice when he starts the server: a request can begin a backup, and nothing else. One of them at a
//! time; see [`crate::jobs`].

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use stemedb_core::Micros;

use super::{
    App, Problem,
    admin::{
        jobs::{begin, idempotency_key},
        read,
    },
    reply,
};
use crate::{
    backup::{self, ArchiveReport, BackupTarget, CreateOptions, CreateReport, PruneOptions, PruneReport},
    errors::Code,
    jobs::{JobFailure, JobJson, JobKind},
};

/// Where a router keeps backups.
#[derive(Clone, Debug)]
pub struct Backups {
    target: Arc<dyn BackupTarget>,
}

impl Backups {
    /// Backups and archived segments go to this target.
    pub fn new(target: Arc<dyn BackupTarget>) -> Backups {
        Backups { target }
    }
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

fn prune_json(done: &PruneReport) -> serde_json::Value {
    let stays = done.stays.as_ref();
    serde_json::json!({
        "removed": done.removed.len(),
        "stays": stays.map(|(segment, reason)| serde_json::json!({ "segment": segment, "reason": reason })),
        "floor_lsn": done.floor.0,
    })
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
    /// Segments are let go of afterwards, as far as they are proven elsewhere and this old.
    #[serde(default)]
    prune_older_than_days: Option<u64>,
}

/// `POST /v1/admin/backup`
pub(super) async fn backup(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let BackupRequest { verify } = read(&app, request).await?;
    let target = Arc::clone(&configured(&app)?.target);
    let parameters = serde_json::json!({ "verify": verify });
    begin(&app, JobKind::Backup, parameters, key.as_deref(), move |app, running| {
        let options = CreateOptions { verify, scratch: None };
        let mut progress = |done, total| running.progress(done, total);
        let made = backup::create(&app.database, &*target, &options, &mut progress);
        made.map(|made| backup_json(&made)).map_err(failed)
    })
}

/// `POST /v1/admin/wal/archive`
pub(super) async fn archive(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let ArchiveRequest { rotate, prune_older_than_days: days } = read(&app, request).await?;
    let target = Arc::clone(&configured(&app)?.target);
    let mut parameters = serde_json::json!({ "rotate": rotate });
    if let Some(days) = days {
        parameters["prune_older_than_days"] = days.into();
    }
    begin(&app, JobKind::Archive, parameters, key.as_deref(), move |app, _| {
        let done = backup::archive(&app.database, &*target, rotate).map_err(failed)?;
        let mut told = archive_json(&done);
        if let Some(days) = days {
            let older_than = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
            let options = PruneOptions { older_than, dry_run: false };
            let pruned = backup::prune_journal(&app.database, &*target, &*target, options);
            told["pruned"] = prune_json(&pruned.map_err(failed)?);
        }
        Ok(told)
    })
}

/// What a failed backup says. Its words are for whoever may begin one; the log has them with everything behind them.
fn failed(error: backup::Error) -> JobFailure {
    tracing::error!(error = ?error, "a backup or archiving failed: {error}");
    let text = error.to_string();
    let result = serde_json::json!({ "error": text });
    JobFailure::Failed(Code::BackupFailed, text, result)
}

fn configured(app: &App) -> Result<&Backups, Problem> {
    let none = || {
        Problem::new(Code::Unavailable, "this server has no target for backups: start it with --backup-to")
    };
    app.backups.as_ref().ok_or_else(none)
}

/// `GET /v1/admin/backup/status`: the newest job of either kind, and where to.
pub(super) async fn status(State(app): State<App>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct StatusJson<'a> {
        #[serde(flatten)]
        job: JobJson<'a>,
        target: String,
    }
    let target = configured(&app)?.target.describe();
    match app.jobs.newest(&[JobKind::Backup, JobKind::Archive]) {
        Some(record) => reply::json(StatusCode::OK, None, &StatusJson { job: record.json(), target }),
        None => reply::json(StatusCode::OK, None, &serde_json::json!({ "state": "none", "target": target })),
    }
}

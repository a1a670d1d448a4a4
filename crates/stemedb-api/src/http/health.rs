//! Routes that say how the server is.

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use stemedb_env::Lsn;
use stemedb_hybrid::{FallbackHealth, RebuildProgress, UpgradeHealth, ViewHealth};

use super::{App, Problem, feed::Draining, otlp_outcomes, params::Params, reply, storage::ScrubJson};
use crate::errors::Code;

#[derive(Serialize)]
struct HealthJson {
    status: &'static str,
    version: &'static str,
    timeline: u32,
    /// Last entry that is durable.
    durable_lsn: u64,
    /// Last entry that is readable.
    published_lsn: u64,
    /// Last entry that survives without the journal.
    flushed_lsn: u64,
    /// Tables that need older entries than this cannot be repaired from the journal; 1: all can.
    repair_floor_lsn: u64,
    /// The primary view's state in words.
    primary: String,
    /// The fallback view's, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    /// `on_demand`, `standby` or `off`.
    fallback_mode: &'static str,
    views: Vec<ViewJson>,
    /// While a view of this program's derivation version is built beside the primary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<UpgradeJson>,
    readable: bool,
    writable: bool,
    /// Why writes are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusing_writes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrub: Option<ScrubJson>,
    /// The file system with the least room.
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<SpaceJson>,
    /// What does not go on at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    stall: Option<StallJson>,
    /// `writer`, `standby` or `fenced`.
    role: &'static str,
    /// The continuous archiving of the journal, where it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveJson>,
    /// How it follows, of a standby.
    #[serde(skip_serializing_if = "Option::is_none")]
    standby: Option<StandbyJson>,
}

/// The continuous archiving of the journal. What fails is told in the log, with the archive's name.
#[derive(Serialize)]
struct ArchiveJson {
    /// Whose turn it is; there once that was this server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    /// The last entry that counts as archived.
    lsn: u64,
    /// No durable entry that is not archived is older.
    lag_ms: u64,
    errors: u64,
    failing: bool,
}

/// How a standby follows.
#[derive(Serialize)]
struct StandbyJson {
    /// For how long it has not been known to have everything that the archive has.
    lag_ms: u64,
    /// How long ago its newest range was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_age_ms: Option<u64>,
    entries: u64,
    errors: u64,
    failing: bool,
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a database is to others of its past.
fn role_name(database: &crate::Database) -> &'static str {
    let role = database.role();
    match (role.fenced(), role.is_standby()) {
        (Some(_), _) => "fenced",
        (None, true) => "standby",
        (None, false) => "writer",
    }
}

#[derive(Serialize)]
struct SpaceJson {
    available_bytes: u64,
    total_bytes: u64,
    level: &'static str,
    refuses_below_bytes: u64,
    accepts_from_bytes: u64,
}

#[derive(Serialize)]
struct StallJson {
    kind: &'static str,
    /// The file's name; where it lies is for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    for_ms: u64,
}

impl StallJson {
    fn of(stall: &stemedb_hybrid::Stall) -> StallJson {
        let name = |file: &std::path::PathBuf| Some(file.file_name()?.to_string_lossy().into_owned());
        StallJson {
            kind: stall.kind.name(),
            file: stall.file.as_ref().and_then(name),
            for_ms: u64::try_from(stall.since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// One view.
#[derive(Serialize)]
struct ViewJson {
    name: &'static str,
    /// `healthy`, `degraded`, `rebuilding` or `failed`.
    state: &'static str,
    /// The last entry that it shows.
    published_lsn: u64,
    /// The last entry that survives in its files.
    flushed_lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressJson>,
}

/// An upgrade of the primary view.
#[derive(Serialize)]
struct UpgradeJson {
    from_version: u32,
    to_version: u32,
    /// The old view answers meanwhile.
    readable: bool,
    progress: ProgressJson,
    /// Why it does not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<String>,
}

impl UpgradeJson {
    fn of(upgrade: &UpgradeHealth) -> UpgradeJson {
        let RebuildProgress { done, end } = upgrade.progress;
        UpgradeJson {
            from_version: upgrade.from.oldest,
            to_version: upgrade.to,
            readable: upgrade.readable,
            progress: ProgressJson { done_lsn: done.0, end_lsn: end.0 },
            stuck: upgrade.stuck.clone(),
        }
    }
}

#[derive(Serialize)]
struct ProgressJson {
    done_lsn: u64,
    end_lsn: u64,
}

impl ViewJson {
    fn new(name: &'static str, health: &ViewHealth, published: Lsn, flushed: Lsn) -> ViewJson {
        ViewJson {
            name,
            state: health.name(),
            published_lsn: published.0,
            flushed_lsn: flushed.0,
            cause: health.cause().map(str::to_owned),
            progress: health
                .progress()
                .map(|RebuildProgress { done, end }| ProgressJson { done_lsn: done.0, end_lsn: end.0 }),
        }
    }
}

/// `GET /v1/health`: always 200, because it describes; `/readyz` judges.
pub(super) async fn health(State(app): State<App>) -> Result<Response, Problem> {
    let health = app.database.health();
    let status = match (health.is_ready(), &health.primary) {
        (true, ViewHealth::Healthy) => "ok",
        (true, _) => "degraded",
        (false, _) => "failed",
    };
    let mut views = vec![ViewJson::new("primary", &health.primary, health.primary_published, health.flushed)];
    if let Some(FallbackHealth { health, published, flushed }) = &health.fallback {
        views.push(ViewJson::new("fallback", health, *published, *flushed));
    }
    let json = HealthJson {
        status,
        version: env!("CARGO_PKG_VERSION"),
        timeline: app.database.timeline(),
        durable_lsn: health.durable.0,
        published_lsn: health.published.0,
        flushed_lsn: health.flushed.0,
        repair_floor_lsn: health.repair_floor.0,
        primary: health.primary.to_string(),
        fallback: health.fallback.as_ref().map(|fallback| fallback.health.to_string()),
        fallback_mode: health.fallback_mode.name(),
        views,
        upgrade: health.upgrade.as_ref().map(UpgradeJson::of),
        readable: health.readable,
        writable: health.read_only.is_none(),
        scrub: health.scrub.as_ref().map(ScrubJson::from),
        refusing_writes: health.read_only.clone(),
        space: health.space.as_ref().map(|space| SpaceJson {
            available_bytes: space.available_bytes,
            total_bytes: space.total_bytes,
            level: space.level.name(),
            refuses_below_bytes: space.refuses_below_bytes,
            accepts_from_bytes: space.accepts_from_bytes,
        }),
        stall: health.stall.as_ref().map(StallJson::of),
        role: role_name(&app.database),
        archive: Some(app.database.archive_status()).filter(|status| status.is_on).map(|status| {
            ArchiveJson {
                epoch: status.epoch,
                lsn: status.lsn.0,
                lag_ms: ms(status.lag),
                errors: status.errors,
                failing: status.failing.is_some(),
            }
        }),
        standby: Some(app.database.standby_status()).filter(|status| status.is_standby).map(|status| {
            StandbyJson {
                lag_ms: ms(status.lag),
                archive_age_ms: status.archive_age.map(ms),
                entries: status.entries,
                errors: status.errors,
                failing: status.failing.is_some(),
            }
        }),
    };
    reply::json(StatusCode::OK, Some(health.published), &json)
}

pub(super) const PROBE_PARAMETERS: &[&str] = &["verbose"];

/// `?verbose` and its spellings.
fn is_verbose(request: &Request) -> Result<bool, Problem> {
    let mut params = Params::parse(request.uri().query(), PROBE_PARAMETERS);
    let words = [("", true), ("true", true), ("1", true), ("false", false), ("0", false)];
    let verbose = params.one_of("verbose", &words).unwrap_or(false);
    params.finish()?;
    Ok(verbose)
}

/// `GET /livez`: fails only when a restart helps, because commits stand still. It looks at nothing else: a disk that is full or
/// slow, or a view that is derived again, is no reason to begin anew.
pub(super) async fn livez(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let verbose = is_verbose(&request)?;
    let progress = app.database.engine().commit_progress();
    let commits = serde_json::json!({
        "stage": progress.stage.to_string(),
        "steps": progress.steps,
        "unanswered": progress.unanswered,
        "stalled_ms": ms(progress.stalled_for),
        "dead_after_ms": ms(app.options.dead_after),
    });
    if progress.unanswered > 0 && progress.stalled_for >= app.options.dead_after {
        let detail = "commits stand still though requests wait for them";
        return Err(Problem::new(Code::Unavailable, detail).with("commits", commits));
    }
    match verbose {
        false => Ok(reply::with_type("text/plain; charset=utf-8", "ok\n")),
        true => {
            reply::json(StatusCode::OK, None, &serde_json::json!({ "status": "alive", "commits": commits }))
        }
    }
}

/// One thing that is looked at.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// False for what deserves a look, and does not keep requests away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    warning: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Check {
    fn new(name: &'static str, ok: bool, detail: Option<String>) -> Check {
        Check { name, ok, warning: false, detail }
    }

    fn warning(name: &'static str, ok: bool, detail: Option<String>) -> Check {
        Check { warning: true, ..Check::new(name, ok, detail) }
    }
}

/// From this lag on the archive deserves a look.
const ARCHIVE_LATE: std::time::Duration = std::time::Duration::from_secs(30);

/// What is looked at of archiving and following, where there is any.
fn replication_checks(database: &crate::Database) -> Vec<Check> {
    let (archive, standby) = (database.archive_status(), database.standby_status());
    let mut checks = Vec::new();
    if archive.is_on {
        let detail = format!("up to LSN {}, {} ms behind", archive.lsn, ms(archive.lag));
        checks.push(Check::warning("archive", archive.lag < ARCHIVE_LATE, Some(detail)));
    }
    if standby.is_standby {
        let detail = format!("{} ms behind the archive", ms(standby.lag));
        checks.push(Check::warning("following", standby.lag < ARCHIVE_LATE, Some(detail)));
    }
    checks
}

fn checks(health: &stemedb_hybrid::Health, is_draining: bool) -> Vec<Check> {
    let stall = health.stall.as_ref();
    let stalled = stall.map(|stall| format!("{} for {} ms", stall.kind.name(), stall.since.as_millis()));
    let space = health.space.as_ref().map(|space| {
        let (free, total) = (space.available_bytes, space.total_bytes);
        (space.level == stemedb_hybrid::SpaceLevel::Plenty, format!("{free} of {total} bytes free"))
    });
    let (has_room, room) = space.map_or((true, None), |(has_room, text)| (has_room, Some(text)));
    let is_whole = |health: &ViewHealth| *health == ViewHealth::Healthy;
    let late = health.scrub.as_ref().is_some_and(|scrub| scrub.late);
    let mut checks = vec![
        Check::new("readable", health.readable, Some(health.primary.to_string())),
        Check::new("writable", health.read_only.is_none(), health.read_only.clone()),
        Check::new("progress", !health.is_deadlocked(), stalled.clone()),
        Check::new("not_draining", !is_draining, None),
        Check::warning("primary_view", is_whole(&health.primary), Some(health.primary.to_string())),
        Check::warning("disk_answers", stall.is_none(), stalled),
        Check::warning("disk_space", has_room, room),
        Check::warning("scrub_in_time", !late, None),
    ];
    if let Some(upgrade) = &health.upgrade {
        let RebuildProgress { done, end } = upgrade.progress;
        checks.push(Check::warning("upgrade", false, Some(format!("{done} of {end} entries"))));
    }
    checks
}

/// `GET /readyz`: whether requests should be sent here, by named checks. Turns false again when a check fails. `verbose` adds what
/// deserves a look, and the words behind each.
pub(super) async fn readyz(
    State(app): State<App>,
    draining: Option<Extension<Draining>>,
    request: Request,
) -> Result<Response, Problem> {
    let verbose = is_verbose(&request)?;
    let health = app.database.health();
    let is_draining = draining.is_some_and(|Extension(draining)| draining.is_announced());
    let mut checks = checks(&health, is_draining);
    checks.extend(replication_checks(&app.database));
    let ready = checks.iter().all(|check| check.ok || check.warning);
    if !verbose {
        checks.retain(|check| !check.warning);
        checks.iter_mut().for_each(|check| check.detail = None);
    }
    let listed = serde_json::to_value(&checks).unwrap_or_default();
    if ready {
        let body = serde_json::json!({ "status": "ready", "checks": listed });
        reply::json(StatusCode::OK, Some(health.published), &body)
    } else {
        Err(Problem::new(Code::Unavailable, "a readiness check fails").with("checks", listed))
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let otlp = otlp_outcomes(app.otlp.as_ref());
    let text = app.metrics.rendered(&app.database, app.in_flight(), &app.jobs.counts(), &otlp);
    reply::with_type("text/plain; version=0.0.4; charset=utf-8", text)
}

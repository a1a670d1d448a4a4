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
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
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

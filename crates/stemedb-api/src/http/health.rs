//! Routes that say how the server is.

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use stemedb_env::Lsn;
use stemedb_hybrid::{FallbackHealth, RebuildProgress, UpgradeHealth, ViewHealth};

use super::{App, Draining, Problem, reply, storage::ScrubJson};
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

/// `GET /livez`: that the process answers is all it says.
pub(super) async fn livez() -> Response {
    reply::with_type("text/plain; charset=utf-8", "ok\n")
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
}

/// `GET /readyz`: whether requests should be sent here, by named checks. Turns false again when a check fails.
pub(super) async fn readyz(
    State(app): State<App>,
    draining: Option<Extension<Draining>>,
) -> Result<Response, Problem> {
    let health = app.database.health();
    let checks = [
        Check { name: "readable", ok: health.readable },
        Check { name: "writable", ok: health.read_only.is_none() },
        Check { name: "progress", ok: !health.is_deadlocked() },
        Check { name: "accepting", ok: !draining.is_some_and(|Extension(draining)| draining.is_announced()) },
    ];
    let ready = checks.iter().all(|check| check.ok);
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
    let text = app.metrics.render(&app.database);
    reply::with_type("text/plain; version=0.0.4; charset=utf-8", text)
}

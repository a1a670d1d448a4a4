//! How much is logged, while the server runs.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use stemedb_core::Micros;
use tracing::Level;

use super::read;
use crate::{
    errors::{Code, FieldError},
    http::{App, Problem, params::Params, reply},
};

/// A log whose level can be changed. The router's owner brings it: the log is the application's.
pub trait LogLevel: Send + Sync + fmt::Debug {
    /// The level that events are written from.
    fn level(&self) -> Level;
    /// Changes it. False if the log cannot.
    fn set(&self, level: Level) -> bool;
}

/// The longest time after which a level goes back by itself: a week.
const SECONDS_MAX: u64 = 7 * 24 * 3600;

/// A router's end of a log.
#[derive(Debug)]
pub(crate) struct LogControl {
    log: Option<Arc<dyn LogLevel>>,
    /// The level when the router was made.
    configured: Option<Level>,
    /// Number of the last change: a change to come back is void when there was another one.
    change: AtomicU64,
    until: Mutex<Option<Micros>>,
}

impl LogControl {
    pub(in crate::http) fn new(log: Option<Arc<dyn LogLevel>>) -> LogControl {
        let configured = log.as_ref().map(|log| log.level());
        LogControl { log, configured, change: AtomicU64::new(0), until: Mutex::new(None) }
    }

    fn parts(&self) -> Result<(&Arc<dyn LogLevel>, Level), Problem> {
        self.log.as_ref().zip(self.configured).ok_or_else(|| {
            Problem::new(Code::Unavailable, "the log belongs to the application that mounts this router")
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelRequest {
    level: Option<String>,
    /// Until it is as configured again; for good without it.
    for_seconds: Option<u64>,
}

#[derive(Serialize)]
struct LevelJson {
    level: String,
    configured: String,
    /// When it will be as configured again.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

fn name(level: Level) -> String {
    level.as_str().to_ascii_lowercase()
}

fn shown(app: &App) -> Result<Response, Problem> {
    let (log, configured) = app.log.parts()?;
    let until = app.log.until.lock().map(|at| at.to_string());
    let json = LevelJson { level: name(log.level()), configured: name(configured), until };
    reply::json(StatusCode::OK, None, &json)
}

/// `GET /v1/admin/log-level`
pub(in crate::http) async fn get(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    Params::parse(request.uri().query(), &[]).finish()?;
    shown(&app)
}

/// `PUT /v1/admin/log-level`
pub(in crate::http) async fn put(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let LevelRequest { level, for_seconds } = read(&app, request).await?;
    let missing = || FieldError::in_body("/level", Code::MissingField, "is required");
    let level = level.ok_or_else(missing)?;
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    let level = levels.into_iter().find(|known| name(*known) == level).ok_or_else(|| {
        let detail = "is none of error, warn, info, debug and trace";
        FieldError::in_body("/level", Code::UnknownName, detail)
    })?;
    if for_seconds.is_some_and(|seconds| !(1..=SECONDS_MAX).contains(&seconds)) {
        let detail = format!("must be 1 to {SECONDS_MAX}");
        return Err(FieldError::in_body("/for_seconds", Code::OutOfRange, detail).into());
    }
    let (log, configured) = app.log.parts()?;
    let from = log.level();
    let say = || tracing::info!(from = %from, to = %level, for_seconds, "the log level is changed");
    // While there is a level at which it is written.
    let said = from >= Level::INFO;
    if said {
        say();
    }
    if !log.set(level) {
        return Err(Problem::new(Code::InternalError, "the log does not take another level"));
    }
    if !said {
        say();
    }
    let change = app.log.change.fetch_add(1, Ordering::AcqRel) + 1;
    *app.log.until.lock() = for_seconds.map(|seconds| {
        let micros = i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        Micros(app.database.env().clock.wall().0.saturating_add(micros))
    });
    if let Some(seconds) = for_seconds {
        let control = Arc::clone(&app.log);
        let log = Arc::clone(log);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if control.change.load(Ordering::Acquire) == change {
                *control.until.lock() = None;
                let _ = log.set(configured);
                tracing::info!(from = %level, to = %configured, "the log level is as configured again");
            }
        });
    }
    shown(&app)
}

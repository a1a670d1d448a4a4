//! Where events go: standard error, for people or for machines, and a file.

mod file;

use std::{ffi::OsString, io::IsTerminal, sync::Arc};

use clap::ValueEnum;
use stemedb_api::{
    config::{LogFormat, LogSettings},
    http::LogLevel,
};
use stemedb_env::Env;
use tracing::Level;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    registry,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use self::file::LogFile;
use super::{failure::Failure, storage_log::StorageLog};

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human on a terminal, else json
    Auto,
    /// Lines for people
    Human,
    /// JSON lines with `"level":"ERROR"`
    Json,
}

/// What is logged.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// How events are written to standard error [default: human on a terminal, else json]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logs")]
    log_format: Option<Format>,
    /// Which events are written: error, warn, info, debug or trace [default: info for serve and rebuild, else warn]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logs")]
    log_level: Option<Level>,
}

impl LogArgs {
    /// Starts logging. `default` is the level where none was asked for.
    pub fn init(&self, default: Level) {
        let format = match self.log_format {
            None | Some(Format::Auto) => LogFormat::Auto,
            Some(Format::Human) => LogFormat::Human,
            Some(Format::Json) => LogFormat::Json,
        };
        install(self.log_level.unwrap_or(default), format, None, None);
    }

    /// The same as flags of the configuration.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let format = self.log_format.as_ref().and_then(Format::to_possible_value);
        let format = format.map(|format| ("log-format", format.get_name().into()));
        let level = self.log_level.map(|level| ("log-level", level.as_str().to_ascii_lowercase().into()));
        format.into_iter().chain(level)
    }
}

/// Starts logging as a server does. Events of the storage also go into `storage`. Returns what changes the level later.
///
/// Errors: the file cannot be opened.
pub fn start(
    env: &Env,
    logs: &LogSettings,
    storage: Option<StorageLog>,
) -> Result<Arc<dyn LogLevel>, Failure> {
    let cannot = |path: &std::path::Path| format!("cannot write events to {}", path.display());
    let file = match &logs.file {
        None => None,
        Some(path) => {
            Some(LogFile::open(env, path).map_err(|error| Failure::new(error).context(cannot(path)))?)
        }
    };
    Ok(install(logs.level, logs.format, file, storage))
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn install(
    level: Level,
    format: LogFormat,
    file: Option<LogFile>,
    storage: Option<StorageLog>,
) -> Arc<dyn LogLevel> {
    let terminal = std::io::stderr().is_terminal();
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let human = format == LogFormat::Human || (format == LogFormat::Auto && terminal);
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let events = fmt::layer().with_writer(std::io::stderr);
    let events: BoxedLayer = if human {
        events.with_ansi(colours).with_target(false).boxed()
    } else {
        events.with_ansi(false).json().flatten_event(true).with_span_list(false).boxed()
    };
    // The level is that of standard error and of the file beside it; the storage's log has one of its own.
    let mut leveled = vec![events];
    if let Some(file) = file {
        let lines = fmt::layer().with_writer(file).with_ansi(false);
        leveled.push(lines.json().flatten_event(true).with_span_list(false).boxed());
    }
    let mut layers: Vec<BoxedLayer> = vec![leveled.with_filter(filter).boxed()];
    if let Some(log) = storage {
        let lines = fmt::layer().with_writer(log).with_ansi(false);
        let lines = lines.json().flatten_event(true).with_span_list(false);
        layers.push(lines.with_filter(of_the_storage()).boxed());
    }
    // Fails only if logging has been started before, which nothing else does.
    let _ = registry().with(layers).try_init();
    Arc::new(Reloaded(handle))
}

/// What goes into the storage's log: what the engine says from `info` on, how jobs over it went, and every failure of it that a request
/// has met.
fn of_the_storage() -> Targets {
    let engine =
        ["stemedb_env", "stemedb_fallback", "stemedb_hybrid", "stemedb_index", "stemedb_lsm", "stemedb_wal"];
    let above = ["stemedb_api::backup", "stemedb_api::jobs", "stemedb_api::store_helpers"];
    Targets::new().with_targets(engine.into_iter().chain(above).map(|target| (target, LevelFilter::INFO)))
}

/// The level of the events on standard error.
#[derive(Debug)]
struct Reloaded(Handle<LevelFilter, Registry>);

impl LogLevel for Reloaded {
    fn level(&self) -> Level {
        let level = self.0.with_current(|filter| filter.into_level()).ok().flatten();
        level.unwrap_or(Level::ERROR)
    }

    fn set(&self, level: Level) -> bool {
        self.0.reload(LevelFilter::from_level(level)).is_ok()
    }
}

//! Where events go: standard error, for people or for machines; those of the storage also into a file of their own.

use std::{io::IsTerminal, sync::Arc};

use clap::ValueEnum;
use stemedb_api::http::LogLevel;
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

use super::storage_log::StorageLog;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
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
    log_format: Option<LogFormat>,
    /// Which events are written: error, warn, info, debug or trace [default: info for serve and rebuild, else warn]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logs")]
    log_level: Option<Level>,
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

impl LogArgs {
    /// Starts logging. `default` is the level where none was asked for; events of the storage also go into `storage`. Returns what
    /// changes the level later.
    pub fn init(&self, default: Level, storage: Option<StorageLog>) -> Arc<dyn LogLevel> {
        let level = self.log_level.unwrap_or(default);
        let terminal = std::io::stderr().is_terminal();
        let format = self.log_format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
        let events = fmt::layer().with_writer(std::io::stderr);
        let mut layers: Vec<BoxedLayer> = vec![match format {
            LogFormat::Human => events.with_ansi(colours).with_target(false).with_filter(filter).boxed(),
            LogFormat::Json => events
                .with_ansi(false)
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_filter(filter)
                .boxed(),
        }];
        if let Some(log) = storage {
            let lines = fmt::layer().with_writer(log).with_ansi(false);
            let lines = lines.json().flatten_event(true).with_span_list(false);
            layers.push(lines.with_filter(of_the_storage()).boxed());
        }
        // Fails only if logging has been started before, which nothing else does.
        let _ = registry().with(layers).try_init();
        Arc::new(Reloaded(handle))
    }
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

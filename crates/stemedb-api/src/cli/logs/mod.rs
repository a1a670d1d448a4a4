//! Where events go: standard error, for people or for machines, and a file.

mod file;

use std::{ffi::OsString, io::IsTerminal};

use clap::ValueEnum;
use stemedb_api::config::{LogFormat, LogSettings};
use stemedb_env::Env;
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use self::file::LogFile;
use super::failure::Failure;

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
        install(self.log_level.unwrap_or(default), format, None);
    }

    /// The same as flags of the configuration.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        let format = self.log_format.as_ref().and_then(Format::to_possible_value);
        let format = format.map(|format| ("log-format", format.get_name().into()));
        let level = self.log_level.map(|level| ("log-level", level.as_str().to_ascii_lowercase().into()));
        format.into_iter().chain(level)
    }
}

/// Starts logging as a server does.
///
/// Errors: the file cannot be opened.
pub fn start(env: &Env, logs: &LogSettings) -> Result<(), Failure> {
    let cannot = |path: &std::path::Path| format!("cannot write events to {}", path.display());
    let file = match &logs.file {
        None => None,
        Some(path) => {
            Some(LogFile::open(env, path).map_err(|error| Failure::new(error).context(cannot(path)))?)
        }
    };
    install(logs.level, logs.format, file);
    Ok(())
}

fn install(level: Level, format: LogFormat, file: Option<LogFile>) {
    let terminal = std::io::stderr().is_terminal();
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let human = format == LogFormat::Human || (format == LogFormat::Auto && terminal);
    let events = fmt::layer().with_writer(std::io::stderr);
    let events: Box<dyn Layer<Registry> + Send + Sync> = if human {
        events.with_ansi(colours).with_target(false).boxed()
    } else {
        events.json().flatten_event(true).boxed()
    };
    let file = file.map(|file| fmt::layer().json().flatten_event(true).with_writer(file));
    let subscriber = Registry::default().with(events).with(file).with(LevelFilter::from_level(level));
    // Fails only if logging has been started before, which nothing else does.
    let _ = subscriber.try_init();
}

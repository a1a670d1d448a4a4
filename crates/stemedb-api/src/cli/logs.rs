//! Where events go: standard error, for people or for machines.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::fmt;

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

impl LogArgs {
    /// Starts logging. `default` is the level where none was asked for.
    pub fn init(&self, default: Level) {
        let level = self.log_level.unwrap_or(default);
        let terminal = std::io::stderr().is_terminal();
        let format = self.log_format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let events = fmt().with_max_level(level).with_writer(std::io::stderr);
        // Fails only if logging has been started before, which nothing else does.
        let _ = match format {
            LogFormat::Human => events.with_ansi(colours).with_target(false).try_init(),
            LogFormat::Json => events.json().flatten_event(true).try_init(),
        };
    }
}

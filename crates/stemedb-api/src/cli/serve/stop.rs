//! The signals that end a server.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::failure::Failure;

/// SIGTERM and SIGINT.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Takes the signals over from the system's default, which is to die at once.
    pub fn install() -> Result<Stop, Failure> {
        let install =
            |kind| signal(kind).map_err(|error| Failure::new(error).context("cannot handle signals"));
        Ok(Stop {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them; returns its name.
    pub async fn signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

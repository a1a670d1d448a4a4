//! Signals: those that end a server, and the one that lets it read its certificate again.

use std::time::Duration;

use stemedb_api::http::Tls;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::cli::failure::Failure;

/// How often a certificate is looked at without being told.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// SIGTERM, SIGINT and SIGHUP.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    look: Interval,
}

impl Stop {
    /// Takes the signals over from the system's default, which is to die at once.
    pub fn install() -> Result<Stop, Failure> {
        let install =
            |kind| signal(kind).map_err(|error| Failure::new(error).context("cannot handle signals"));
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Stop {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            reload: install(SignalKind::hangup())?,
            look,
        })
    }

    /// Waits for the next signal that ends the server; returns its name. Meanwhile keeps the certificate as new as its files.
    pub async fn signal(&mut self, tls: Option<&Tls>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.reload.recv() => reload(tls).await,
                _ = self.look.tick() => reload(tls).await,
            }
        }
    }
}

async fn reload(tls: Option<&Tls>) {
    let Some(tls) = tls.cloned() else { return };
    // Files are read: not on a thread that serves.
    match tokio::task::spawn_blocking(move || tls.reload()).await {
        Ok(Ok(true)) => tracing::info!("new connections are shown the renewed certificate"),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => {
            tracing::error!("the renewed certificate cannot be used, the old one stays: {error}")
        }
        Err(error) => tracing::error!("the certificate was not read again: {error}"),
    }
}

//! SIGHUP: files that are kept open are opened again.

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{failure::Failure, storage_log::StorageLog};

/// Takes the signal over from the system's default, which is to die, and follows it from now on.
pub fn follow(storage_log: Option<StorageLog>) -> Result<(), Failure> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| Failure::new(error).context("cannot handle signals"))?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "log files are opened again");
            if let Some(log) = &storage_log {
                log.reopen();
            }
        }
    });
    Ok(())
}

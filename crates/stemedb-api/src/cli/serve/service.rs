//! What the service manager is told: systemd's protocol of notifications, where `NOTIFY_SOCKET` names a socket.
//!
//! ```text
//! READY=1      once requests are answered
//! WATCHDOG=1   while commits make progress: a server whose disk never answers again is started anew
//! STOPPING=1   with the first signal
//! ```

use std::time::Duration;

use sd_notify::NotifyState;
use stemedb_api::Database;

/// Says something, if anybody listens.
fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

/// Requests are answered.
pub fn ready(address: std::net::SocketAddr) {
    say(&[NotifyState::Ready, NotifyState::Status(&format!("answering at {address}"))]);
}

/// It ends.
pub fn stopping() {
    say(&[NotifyState::Stopping, NotifyState::Status("finishing requests")]);
}

/// Keeps the watchdog quiet while commits make progress, or nobody waits for any. Ends with the runtime.
pub fn feed_watchdog(database: &Database) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let database = database.clone();
    tokio::spawn(async move {
        // A third: one that comes late is no reason to begin anew.
        let mut ticks = tokio::time::interval(limit / 3);
        loop {
            ticks.tick().await;
            if has_progress(&database, limit) {
                say(&[NotifyState::Watchdog]);
            }
        }
    });
}

/// False when nothing in the commit pipeline has ended for as long as the service manager waits, although requests wait for it.
fn has_progress(database: &Database, limit: Duration) -> bool {
    let progress = database.engine().commit_progress();
    progress.unanswered == 0 || progress.stalled_for < limit
}

//! Removing the files of tables that nobody reads any more.

use std::time::Duration;

use crate::store::Core;

/// Unlinking a large file may hold up a disk that discards freed blocks at once; so not all at a time.
const PAUSE: Duration = Duration::from_millis(50);
/// With less room than this many times the size of a table, room is what matters.
const SHORT_OF_SPACE_TABLES: u64 = 16;

/// When the next file may go.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    next: Duration,
}

impl Removal {
    /// Removes a file if it is time. Returns when to come again; `None` if there is nothing to remove.
    pub(crate) fn step(&mut self, core: &Core, now: Duration) -> Option<Duration> {
        if core.context.graveyard.is_empty() {
            return None;
        }
        if now < self.next && !core.removal_is_awaited() {
            return Some(self.next - now);
        }
        if !core.remove_one_obsolete_file() {
            return None;
        }
        core.notify();
        let is_short = || {
            let space = core.env.fs.space(&core.dir);
            let enough = core.options.target_table_bytes.saturating_mul(SHORT_OF_SPACE_TABLES);
            space.is_ok_and(|space| space.available_bytes < enough)
        };
        let pause = if core.removal_is_awaited() || is_short() { Duration::ZERO } else { PAUSE };
        self.next = now + pause;
        Some(pause)
    }
}

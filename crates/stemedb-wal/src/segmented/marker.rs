//! The idle marker: makes the last acknowledged group provable when no other follows.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stemedb_env::{Budget, Job, Step};

use super::Inner;

/// Looks once per pause whether groups still arrive; when none did, writes a marker and sleeps until woken.
pub(crate) struct IdleMarker {
    journal: Arc<Inner>,
    pause: Duration,
    seen_groups: u64,
}

impl IdleMarker {
    pub fn new(journal: Arc<Inner>, pause: Duration) -> IdleMarker {
        IdleMarker { journal, pause, seen_groups: 0 }
    }
}

impl Job for IdleMarker {
    fn step(&mut self, _budget: Budget) -> Step {
        let groups = self.journal.counters.groups();
        if groups != self.seen_groups {
            self.seen_groups = groups;
            return Step::After(self.pause);
        }
        // A held lock means that a group is on its way, and that one carries the watermark.
        let Some(mut writer) = self.journal.writer.try_lock() else { return Step::After(self.pause) };
        if writer.unproven()
            && let Err(error) = writer.write_marker(&self.journal, false)
        {
            tracing::warn!(%error, "no idle marker");
        }
        drop(writer);
        self.journal.marker_sleeps.store(true, Ordering::SeqCst);
        if self.journal.counters.groups() != self.seen_groups {
            // A group came in between; it may not have seen that a wake is needed.
            self.journal.marker_sleeps.store(false, Ordering::SeqCst);
            return Step::After(self.pause);
        }
        Step::Idle
    }
}

//! The quick background duties: the idle marker, going on after a failure, noticing a disk that does not answer.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stemedb_env::{Budget, Job, Step};

use super::inner::Inner;

/// - When no group has followed the last one for a pause, a marker makes the last group provable.
/// - When the journal has given up, it is asked to resume.
/// - When a write has not returned for long, that is logged once.
pub(crate) struct Watch {
    journal: Arc<Inner>,
    seen_groups: u64,
    reported_stuck: bool,
}

impl Watch {
    pub fn new(journal: Arc<Inner>) -> Watch {
        Watch { journal, seen_groups: 0, reported_stuck: false }
    }

    fn look_for_stuck_write(&mut self) {
        let journal = &self.journal;
        let stuck = journal.counters.writing_for(journal.env.clock.monotonic());
        match stuck.filter(|&took| took >= journal.options.stuck_after) {
            Some(took) if !self.reported_stuck => {
                tracing::error!(dir = %journal.dir.path.display(), seconds = took.as_secs(),
                    "StorageError: a journal write has not returned; the disk does not answer");
                self.reported_stuck = true;
            }
            Some(_) => {}
            None => self.reported_stuck = false,
        }
    }
}

impl Job for Watch {
    fn step(&mut self, _budget: Budget) -> Step {
        self.look_for_stuck_write();
        let journal = Arc::clone(&self.journal);
        // Long enough to cost nothing, short enough to notice a stuck write in time.
        let rest = (journal.options.stuck_after / 2).max(Duration::from_millis(1));
        let Some(mut writer) = journal.writer.try_lock() else {
            // A group is on its way, and it carries the watermark.
            return Step::After(if journal.options.idle_marker.is_zero() {
                rest
            } else {
                journal.options.idle_marker
            });
        };
        if writer.can_resume() {
            return if writer.resume(&journal) {
                Step::Again
            } else {
                Step::After(journal.options.resume_every)
            };
        }
        if journal.options.idle_marker.is_zero() {
            return Step::After(rest);
        }
        let groups = journal.counters.groups();
        if groups != self.seen_groups {
            self.seen_groups = groups;
            return Step::After(journal.options.idle_marker);
        }
        if writer.unproven()
            && let Err(error) = writer.write_marker(&journal, 0)
        {
            tracing::warn!(%error, "no idle marker");
        }
        drop(writer);
        journal.watch_sleeps.store(true, Ordering::SeqCst);
        if journal.counters.groups() != self.seen_groups {
            // A group came in between; it may not have seen that a wake is needed.
            journal.watch_sleeps.store(false, Ordering::SeqCst);
            return Step::After(journal.options.idle_marker);
        }
        Step::After(rest)
    }
}

//! The thread that writes the log.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossbeam_channel::Receiver;
use stemedb_env::{Budget, Env, Job, Step};

use super::{Untold, entry::Entry, file::Log};

/// Entries that are written at once.
const BATCH_MAX: usize = 1024;
/// How long lines may be un-synced, and how long the writer waits after the disk has refused.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    env: Env,
    log: Log,
    entries: Receiver<Entry>,
    untold: Arc<Untold>,
    /// Taken out of the queue, and not written yet because the disk refused.
    pending: Vec<Entry>,
    synced_at: Duration,
    gaps_told_at: Duration,
    /// Whether the disk refused the last time, so that it is said once.
    refusing: bool,
}

impl Writer {
    pub fn new(env: &Env, log: Log, entries: Receiver<Entry>, untold: Arc<Untold>) -> Writer {
        let now = env.clock.monotonic();
        Writer {
            env: env.clone(),
            log,
            entries,
            untold,
            pending: Vec::new(),
            synced_at: now,
            gaps_told_at: now,
            refusing: false,
        }
    }

    /// Writes a batch. True if there may be more.
    fn write(&mut self, last: bool) -> stemedb_env::Result<bool> {
        if self.pending.is_empty() {
            self.pending.extend(self.entries.try_iter().take(BATCH_MAX));
            self.tell_gaps(last);
        }
        if self.pending.is_empty() {
            return Ok(false);
        }
        self.log.append(&self.pending)?;
        self.pending.clear();
        Ok(true)
    }

    /// At most once a second, so that the numbers of a flood are few lines.
    fn tell_gaps(&mut self, last: bool) {
        let now = self.env.clock.monotonic();
        if !last && now.saturating_sub(self.gaps_told_at) < PAUSE {
            return;
        }
        let gaps = [(&self.untold.overflow, "queue_full"), (&self.untold.refusals, "too_many_refusals")];
        for (count, reason) in gaps {
            let count = count.swap(0, Ordering::Relaxed);
            if count > 0 {
                self.gaps_told_at = now;
                self.pending.push(Entry::gap(&self.env, count, reason));
            }
        }
    }

    fn has_gaps(&self) -> bool {
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) > 0;
        count(&self.untold.overflow) || count(&self.untold.refusals)
    }

    fn work(&mut self) -> stemedb_env::Result<Step> {
        if self.write(false)? {
            return Ok(Step::Again);
        }
        let now = self.env.clock.monotonic();
        if self.log.is_dirty() && now.saturating_sub(self.synced_at) >= PAUSE {
            self.log.sync()?;
            self.synced_at = now;
        }
        let more = self.log.is_dirty() || self.has_gaps();
        Ok(if more { Step::After(PAUSE) } else { Step::Idle })
    }
}

impl Job for Writer {
    fn step(&mut self, _: Budget) -> Step {
        match self.work() {
            Ok(step) => {
                if std::mem::take(&mut self.refusing) {
                    tracing::info!("the audit log is written again");
                }
                step
            }
            Err(error) => {
                if !std::mem::replace(&mut self.refusing, true) {
                    tracing::error!("the audit log cannot be written, entries wait: {error}");
                }
                Step::After(PAUSE)
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let ended = loop {
            match self.write(true) {
                Ok(true) => {}
                Ok(false) => break self.log.sync(),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = ended {
            let left = self.pending.len() + self.entries.len();
            tracing::error!(left, "the audit log ends without its last entries: {error}");
        }
    }
}

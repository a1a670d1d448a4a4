//! The job that watches the commit pipeline. It never touches the disk: what it looks at may be stuck there.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use stemedb_env::{Budget, Clock, Job, Step};
use stemedb_wal::{CommitProgress, CommitStages, QueueWatch, SegmentedJournal, WriteUnderWay};

use super::DiskOptions;
use crate::{EventKind, Events};

/// Between two looks while something is under way, and while nothing is.
const BUSY: Duration = Duration::from_millis(250);
const IDLE: Duration = Duration::from_secs(1);
/// A sync that stays stuck is logged again this often, a pipeline that stands still this often.
const AGAIN: Duration = Duration::from_secs(10);
const DEADLOCK_AGAIN: Duration = Duration::from_secs(60);

/// What does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StallKind {
    /// A sync of the journal has not returned.
    Sync,
    /// A group has been in its write stage for long, but not in a sync.
    Write,
    /// Nothing in the commit pipeline has ended for so long that nothing may ever.
    Deadlock,
}

impl StallKind {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            StallKind::Sync => "sync",
            StallKind::Write => "write",
            StallKind::Deadlock => "deadlock",
        }
    }
}

/// Something that does not go on at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// What.
    pub kind: StallKind,
    /// The file, where it is known.
    pub file: Option<PathBuf>,
    /// For how long so far.
    pub since: Duration,
}

/// What the watchdog has counted, and whether it has just barked.
#[derive(Debug, Default)]
pub(crate) struct StallCounters {
    pub(crate) stuck_syncs: AtomicU64,
    pub(crate) deadlocks: AtomicU64,
    pub(crate) is_deadlocked: AtomicBool,
}

/// What is watched.
pub(crate) struct Watched<S: CommitStages> {
    pub(crate) queue: QueueWatch<S>,
    pub(crate) journal: Arc<SegmentedJournal>,
    pub(crate) events: Events,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<StallCounters>,
    /// Whether the list of what is in flight is locked, for the state dump.
    pub(crate) in_flight_is_held: Box<dyn Fn() -> bool + Send + Sync>,
}

/// See the module's head.
pub(crate) struct Watchdog<S: CommitStages> {
    watched: Watched<S>,
    options: DiskOptions,
    lock_timeout: Duration,
    /// The stall that has been reported, and when to report it again.
    stuck: Option<(Stall, Duration)>,
    /// When to report a pipeline that stands still again; `None` while it does not.
    dead: Option<Duration>,
}

impl<S: CommitStages> Watchdog<S> {
    pub(crate) fn new(watched: Watched<S>, options: DiskOptions, lock_timeout: Duration) -> Watchdog<S> {
        Watchdog { watched, options, lock_timeout, stuck: None, dead: None }
    }

    fn look_for_stuck_write(&mut self, progress: &CommitProgress) {
        let found = stuck(progress, self.watched.journal.write_under_way(), self.options.stuck_after);
        let now = self.watched.clock.monotonic();
        match (found, self.stuck.take()) {
            (None, None) => {}
            (None, Some((was, _))) => {
                let ms = was.since.as_millis();
                tracing::warn!(file = %show(&was.file), "a stuck {} of the journal has returned (at least {ms} ms)", was.kind.name());
                let text =
                    format!("a stuck {} of the journal has returned, at least {ms} ms", was.kind.name());
                self.watched.events.push(EventKind::Stall, was.file, text);
            }
            (Some(stall), was) => {
                let ms = stall.since.as_millis();
                let again_at = match &was {
                    Some((_, at)) if now < *at => *at,
                    _ => {
                        tracing::error!(
                            file = %show(&stall.file),
                            "StorageError: a {} of the journal has not returned for {ms} ms; the disk does not answer",
                            stall.kind.name()
                        );
                        now.saturating_add(AGAIN)
                    }
                };
                if was.is_none() {
                    self.watched.counters.stuck_syncs.fetch_add(1, Ordering::Relaxed);
                    let text = format!("a {} of the journal has not returned for {ms} ms", stall.kind.name());
                    self.watched.events.push(EventKind::Stall, stall.file.clone(), text);
                }
                self.stuck = Some((stall, again_at));
            }
        }
    }

    fn look_for_deadlock(&mut self, progress: &CommitProgress) {
        let limit = self.options.deadlock_after;
        let counters = &self.watched.counters;
        if limit.is_zero() || progress.stalled_for < limit {
            if self.dead.take().is_some() {
                counters.is_deadlocked.store(false, Ordering::Release);
                tracing::warn!(steps = progress.steps, "the commit pipeline makes progress again");
                let text = "the commit pipeline makes progress again";
                self.watched.events.push(EventKind::Stall, None, text);
            }
            return;
        }
        let now = self.watched.clock.monotonic();
        if self.dead.is_some_and(|at| now < at) {
            return;
        }
        let is_new = self.dead.is_none();
        self.dead = Some(now.saturating_add(DEADLOCK_AGAIN));
        let ms =
            |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let seconds = progress.stalled_for.as_secs();
        let sync = self.watched.journal.write_under_way();
        tracing::error!(
            seconds,
            stage = %progress.stage,
            steps = progress.steps,
            unanswered = progress.unanswered,
            waiting_groups = progress.waiting_groups,
            queued_bytes = progress.queued_bytes,
            writing_ms = ms(progress.writing_for),
            publishing_ms = ms(progress.publishing_for),
            oldest_ms = ms(progress.oldest),
            sync_ms = ms(sync.as_ref().map(|sync| sync.since)),
            file = %show(&sync.map(|sync| sync.file)),
            append_lock_held = self.watched.journal.is_appending(),
            in_flight_held = (self.watched.in_flight_is_held)(),
            "StorageError: Deadlock detected in KV store: nothing in the commit pipeline has ended for {seconds} s though requests wait"
        );
        if is_new {
            counters.deadlocks.fetch_add(1, Ordering::Relaxed);
            counters.is_deadlocked.store(true, Ordering::Release);
            let text = format!(
                "Deadlock detected in KV store: {} requests wait in stage {}, nothing has ended for {seconds} s",
                progress.unanswered, progress.stage
            );
            self.watched.events.push(EventKind::Stall, None, text);
        }
    }
}

fn show(file: &Option<PathBuf>) -> String {
    file.as_ref().map(|file| file.display().to_string()).unwrap_or_default()
}

/// A write that has not returned for too long, at this moment.
pub(crate) fn stuck(
    progress: &CommitProgress,
    sync: Option<WriteUnderWay>,
    stuck_after: Duration,
) -> Option<Stall> {
    if let Some(WriteUnderWay { file, since }) = sync.filter(|sync| sync.since >= stuck_after) {
        return Some(Stall { kind: StallKind::Sync, file: Some(file), since });
    }
    // While one group is published the next one may wait for that: then the disk is not at fault.
    let since =
        progress.writing_for.filter(|since| *since >= stuck_after && progress.publishing_for.is_none())?;
    Some(Stall { kind: StallKind::Write, file: None, since })
}

impl<S: CommitStages> Job for Watchdog<S> {
    fn step(&mut self, _budget: Budget) -> Step {
        let Some(queue) = self.watched.queue.queue() else { return Step::Done };
        queue.expire_overdue();
        let progress = queue.progress();
        self.look_for_stuck_write(&progress);
        self.look_for_deadlock(&progress);
        let is_busy = progress.unanswered > 0 || self.stuck.is_some() || self.dead.is_some();
        let rest = if is_busy { BUSY } else { IDLE };
        // Short bounds are for tests; they are kept as well.
        let shortest =
            [self.lock_timeout / 4, self.options.stuck_after / 2].into_iter().filter(|rest| !rest.is_zero());
        Step::After(shortest.fold(rest, Duration::min).max(Duration::from_millis(1)))
    }
}

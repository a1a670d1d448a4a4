//! What is merged while nobody writes.

use std::{sync::Arc, time::Duration};

use super::{
    column::columns,
    pick::{Facts, Need, column_task, merge_l0, need},
    task::{Kind, Task, merge_runs, target_table_bytes},
};
use crate::{table::Table, version::LAST_LEVEL};

/// Merging may rewrite this many times the bytes above the last runs.
const REWRITE_FACTOR: u64 = 3;
/// Below this the whole tree may become one run, if what was applied so far pays for it.
const SMALL_TREE_BYTES: u64 = 2 << 30;
/// All that was written, with the merge, may be this many times what was applied.
const MOST_AMPLIFICATION: u64 = 8;
/// The wait doubles up to this many times when writes keep cutting merges off.
const MOST_DOUBLINGS: u32 = 6;

/// Bytes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) applied: u64,
    /// By flushes and compactions.
    pub(crate) written: u64,
}

/// The next merge towards one run; `None` when the rest would cost more than it is worth.
pub(crate) fn pick_idle(facts: &Facts<'_>, spent: Spent) -> Option<Task> {
    let all: Vec<(usize, Arc<Table>)> =
        facts.version.tables().map(|(level, table)| (level, Arc::clone(table))).collect();
    let bytes = |is_above: bool| -> u64 {
        let wanted = all.iter().filter(|(level, _)| (*level < LAST_LEVEL) == is_above);
        wanted.map(|(_, table)| table.meta.bytes).sum()
    };
    let (above, last) = (bytes(true), bytes(false));
    if !all.iter().all(|(_, table)| !(facts.damaged)(table.meta.file)) {
        return None;
    }
    let columns = columns(facts.version, facts.options);
    if above > 0 {
        let total = above + last;
        let pays = total < SMALL_TREE_BYTES
            && spent.written.saturating_add(total) <= spent.applied.saturating_mul(MOST_AMPLIFICATION);
        if total <= above.saturating_mul(REWRITE_FACTOR) || pays {
            let target = target_table_bytes(facts.version, facts.options, LAST_LEVEL);
            return Some(merge_runs(Kind::Idle, all, LAST_LEVEL, true, target));
        }
        if !facts.version.l0.is_empty() {
            return merge_l0(facts, &columns, Kind::Idle);
        }
    }
    columns.iter().find_map(|column| {
        let runs = column.runs();
        let above = runs.iter().filter(|run| run.level < LAST_LEVEL);
        let (count, bytes) = above.fold((0, 0u64), |(n, bytes), run| (n + 1, bytes + run.file_bytes));
        let total: u64 = runs.iter().map(|run| run.file_bytes).sum();
        let need = if need(facts, column) == Need::Whole
            || (count > 0 && total <= bytes.saturating_mul(REWRITE_FACTOR))
        {
            Need::Whole
        } else if count > 1 {
            Need::Shorten(count)
        } else {
            Need::Nothing
        };
        column_task(facts, column, need, Kind::Idle)
    })
}

/// Sees from a counter of applied bytes whether anybody writes. One burst of writes is followed by one collapse.
#[derive(Debug)]
pub(crate) struct IdleWatch {
    after: Duration,
    seen: u64,
    flushes: u64,
    since: Duration,
    doublings: u32,
    /// Nothing was written since the last collapse.
    collapsed: bool,
}

impl IdleWatch {
    /// `after` zero = never idle.
    pub(crate) fn new(after: Duration) -> IdleWatch {
        IdleWatch { after, seen: 0, flushes: 0, since: Duration::ZERO, doublings: 0, collapsed: true }
    }

    /// Takes notice of writes, by their bytes, and of flushes. True if there were writes since the last look.
    pub(crate) fn look(&mut self, applied: u64, flushes: u64, now: Duration) -> bool {
        // A flush that nobody's write has caused brings a new run, too.
        self.collapsed &= std::mem::replace(&mut self.flushes, flushes) == flushes;
        if applied == self.seen {
            return false;
        }
        self.seen = applied;
        self.since = now;
        self.collapsed = false;
        true
    }

    /// How long until it is time; `None` if there is nothing to wait for.
    pub(crate) fn time_left(&self, now: Duration) -> Option<Duration> {
        if self.collapsed || self.after.is_zero() {
            return None;
        }
        let wait = self.after.saturating_mul(1 << self.doublings);
        Some(wait.saturating_sub(now.saturating_sub(self.since)))
    }

    /// The tree is as collapsed as it gets.
    pub(crate) fn done(&mut self) {
        self.collapsed = true;
        self.doublings = 0;
    }

    /// A write came while a merge was under way, which is lost.
    pub(crate) fn cut_off(&mut self) {
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_burst_is_followed_by_one_collapse() {
        let mut watch = IdleWatch::new(SECOND);
        assert!(!watch.look(0, 0, SECOND));
        assert_eq!(watch.time_left(SECOND * 9), None, "nothing was written yet");
        assert!(watch.look(10, 0, SECOND * 9));
        assert_eq!(watch.time_left(SECOND * 9), Some(SECOND));
        assert!(!watch.look(10, 0, SECOND * 10));
        assert_eq!(watch.time_left(SECOND * 10), Some(Duration::ZERO));
        watch.done();
        assert_eq!(watch.time_left(SECOND * 99), None);
        assert!(!watch.look(10, 1, SECOND * 99), "a flush is not a write");
        assert_eq!(
            watch.time_left(SECOND * 99),
            Some(Duration::ZERO),
            "and yet it leaves something to merge"
        );
    }

    #[test]
    fn writes_that_keep_cutting_in_make_it_patient() {
        let mut watch = IdleWatch::new(SECOND);
        for n in 0..10u32 {
            watch.look(u64::from(n) + 1, 0, Duration::ZERO);
            watch.cut_off();
            assert_eq!(watch.time_left(Duration::ZERO), Some(SECOND * (1 << (n + 1).min(6))));
        }
        watch.done();
        watch.look(99, 0, Duration::ZERO);
        assert_eq!(watch.time_left(Duration::ZERO), Some(SECOND));
    }

    #[test]
    fn without_a_pause_it_is_never_idle() {
        let mut watch = IdleWatch::new(Duration::ZERO);
        watch.look(1, 0, SECOND);
        assert_eq!(watch.time_left(SECOND * 9), None);
    }
}

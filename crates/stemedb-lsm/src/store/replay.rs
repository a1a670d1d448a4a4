//! Taking over what a journal has and the tree has not, many batches at once.

use std::sync::atomic::Ordering;

use stemedb_env::Lsn;

use super::{LsmStore, core::Core, write::check_sizes};
use crate::{
    Error, Result, WriteBatch,
    memtable::{RunBuilder, Sorter},
};

/// A replay in progress: see [`LsmStore::begin_replay`].
#[derive(Debug)]
#[must_use = "rows stay invisible until the replay is finished"]
pub struct Replay<'a> {
    core: &'a Core,
    run: RunBuilder,
    sorter: Sorter,
    /// Newest batch made visible.
    visible: Lsn,
    reached: Lsn,
}

impl LsmStore {
    /// Starts to take over batches that a journal holds, from behind the published LSN on.
    ///
    /// The result is that of [`crate::KvStore::apply`] and [`crate::KvStore::publish`] for every batch, at a fraction of
    /// the cost: rows are gathered and sorted as a whole instead of being inserted one by one. They become visible when as
    /// many have come together as a memtable may hold, and with [`Replay::finish`]. Memory is bounded as for `apply`: a
    /// run that is full waits for its flush while others are waiting already.
    ///
    /// A crash, or dropping the replay, costs nothing: the flushed LSN moves only with tables, as always, and the
    /// next replay starts there. Nobody else may write meanwhile; who does gets (or causes) [`Error::OutOfOrder`].
    pub fn begin_replay(&self) -> Replay<'_> {
        let core = &*self.core;
        let reached = core.published_lsn();
        let run = RunBuilder::new(&core.memtables);
        Replay { core, run, sorter: Sorter::charged(&core.context.memory), visible: reached, reached }
    }
}

impl Replay<'_> {
    /// Takes a batch; its LSN must be greater than that of every batch before.
    pub fn apply(&mut self, batch: &WriteBatch, lsn: Lsn) -> Result<()> {
        check_sizes(batch)?;
        if lsn <= self.reached {
            return Err(Error::OutOfOrder { lsn, applied: self.reached });
        }
        self.run.add(batch, lsn);
        self.reached = lsn;
        self.core.context.counters.applied_bytes.add(batch.data_bytes() as u64);
        let (held, limit) = (self.run.bytes(), self.core.options.memtable_bytes);
        let is_enough = held >= limit / 4 && self.core.context.memory.is_tight();
        if held >= limit || is_enough {
            self.hand_over(true)?;
        }
        Ok(())
    }

    /// Makes every batch visible; returns the LSN of the last.
    pub fn finish(mut self) -> Result<Lsn> {
        if self.reached > self.visible {
            // Few rows are better off in the list, where more can join them; many would cost more there than they did
            // so far.
            self.hand_over(self.run.bytes() >= self.core.options.memtable_bytes / 2)?;
        }
        Ok(self.reached)
    }

    /// Gives the rows gathered to the tree, as a sealed memtable of their own or into the active one.
    fn hand_over(&mut self, seal: bool) -> Result<()> {
        let core = self.core;
        loop {
            let mut writer = core.writer.lock();
            writer.check()?;
            let applied = writer.applied.max(core.published_lsn());
            if applied > self.visible {
                return Err(Error::OutOfOrder { lsn: self.visible.next(), applied });
            }
            let has_room =
                if seal { core.has_room_for_run() } else { core.make_room(self.reached, self.run.bytes()) };
            if has_room {
                let next = RunBuilder::new(&core.memtables);
                let run = std::mem::replace(&mut self.run, next).finish(&mut self.sorter);
                self.sorter.trim();
                if seal {
                    core.seal_run(run, self.reached);
                } else {
                    core.state().active.insert_run(&run);
                }
                writer.applied = self.reached;
                drop(writer);
                // The rows first: who sees the LSN finds them.
                core.published.fetch_max(self.reached.0, Ordering::AcqRel);
                core.wake_flush();
                self.visible = self.reached;
                return Ok(());
            }
            drop(writer);
            core.wait_for_flush()?;
        }
    }
}

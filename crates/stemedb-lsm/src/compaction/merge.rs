//! One compaction under way: rows in, tables out, in pieces.

use std::{sync::Arc, time::Duration};

use stemedb_env::Lsn;
use stemedb_env::planted::{Bug, planted};

use super::{
    Gc,
    claims::Claim,
    request::Request,
    task::{Task, target_table_bytes},
};
use crate::{
    Direction, Result,
    iter::{Merge, Source},
    manifest::{Edit, Placing},
    ranges::{Cover, Fragments, successor},
    store::Core,
    table::{Bounds, Run, RunCursor, Table, TableBuilder, TableMeta, TableShape},
    version::LAST_LEVEL,
};

/// Where a table ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Behind its last row; another table of the same place follows.
    LastRow,
    /// Where its place ends.
    Place,
}

/// A task that has begun.
pub(crate) struct Running {
    /// Before its first file was made.
    names_epoch: u64,
    pub(crate) task: Task,
    pub(crate) request: Option<Arc<Request>>,
    /// Finished tables and their levels.
    pub(crate) outputs: Vec<(usize, TableMeta)>,
    /// Every file created, finished or not.
    pub(crate) created: Vec<u64>,
    pub(crate) horizon: Lsn,
    pub(crate) started: Duration,
    pub(crate) rows_in: u64,
    merge: Merge,
    gc: Gc,
    /// Which of the task's places the present row belongs to.
    place: usize,
    /// The first border that is not below the present row.
    border: usize,
    table_bytes: u64,
    builder: Option<TableBuilder>,
    /// A table that has all of its rows, and its level. It is finished when the next one begins or all rows have passed: the
    /// last one closes the change.
    pending: Option<(usize, TableBuilder)>,
    /// The last key seen, if `is_dropped`: its row was dropped and the builder does not know it.
    dropped_key: Vec<u8>,
    is_dropped: bool,
    ranges: Ranges,
}

/// The removed ranges of the inputs.
#[derive(Default)]
struct Ranges {
    are_loaded: bool,
    /// What no table has got yet, in key order.
    left: Fragments,
    /// What they hide at the horizon, and with that from whoever may ask for these tables.
    cover: Cover,
}

impl Running {
    pub(crate) fn start(core: &Core, task: Task, request: Option<Arc<Request>>) -> Running {
        let horizon = core.begin_gc();
        let bounds = Arc::new(Bounds::default());
        let cursor = |run: Run| {
            Source::Run(Box::new(RunCursor::new(run, Arc::clone(&bounds), Direction::Forward, false)))
        };
        let level = |wanted: usize| -> Vec<Arc<Table>> {
            let tables = task.inputs.iter().filter(|(level, _)| *level == wanted);
            let mut tables: Vec<_> = tables.map(|(_, table)| Arc::clone(table)).collect();
            tables.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
            tables
        };
        let mut sources: Vec<Source> = level(0).into_iter().map(|table| cursor(Run::new([table]))).collect();
        sources.extend(
            (1..=LAST_LEVEL).map(level).filter(|run| !run.is_empty()).map(|run| cursor(Run::new(run))),
        );
        if let Some(request) = &request {
            request.begin(&task);
        }
        if task.rewrites() {
            tracing::debug!(
                kind = ?task.kind,
                inputs = task.inputs.len(),
                moves = task.moves.len(),
                places = ?task.places.iter().map(|place| place.level).collect::<Vec<_>>(),
                horizon = horizon.0,
                "compaction started"
            );
        }
        let mut running = Running {
            names_epoch: core.names_epoch(),
            request,
            outputs: Vec::new(),
            created: Vec::new(),
            horizon,
            started: core.env.clock.monotonic(),
            rows_in: 0,
            merge: Merge::of(sources, Direction::Forward, 0),
            gc: Gc::new(horizon, planted(Bug::LsmDropsTombstonesEarly)),
            place: 0,
            border: 0,
            table_bytes: 0,
            builder: None,
            pending: None,
            dropped_key: Vec::new(),
            is_dropped: false,
            ranges: Ranges::default(),
            task,
        };
        running.enter_place(core);
        running
    }

    /// Bytes of tables so far, about.
    pub(crate) fn written_bytes(&self) -> u64 {
        let finished: u64 = self.outputs.iter().map(|(_, meta)| meta.bytes).sum();
        let open = self.builder.iter().chain(self.pending.iter().map(|(_, builder)| builder));
        finished + open.map(TableBuilder::file_bytes).sum::<u64>()
    }

    /// Rows that have still to pass.
    pub(crate) fn rows_left(&self) -> u64 {
        let rows: u64 = self.task.inputs.iter().map(|(_, table)| table.meta.rows).sum();
        rows.saturating_sub(self.rows_in)
    }

    /// The keys between which it writes.
    pub(crate) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let tables = || self.task.inputs.iter().map(|(_, table)| &table.meta);
        let smallest = tables().map(|meta| &meta.smallest).min().cloned().unwrap_or_default();
        let largest = tables().map(|meta| &meta.largest).max().cloned().unwrap_or_default();
        (smallest, largest)
    }

    /// Where its tables will lie; `None` if it writes none.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let level = self.task.places.iter().map(|place| place.level).min()?;
        let (smallest, largest) = self.range();
        Some(Claim { smallest, largest, level })
    }

    /// Merges about `budget` bytes; true when all rows have passed.
    pub(crate) fn work(&mut self, core: &Core, budget: u64) -> Result<bool> {
        if !self.task.rewrites() {
            return Ok(true);
        }
        if !self.ranges.are_loaded {
            self.load_ranges()?;
        }
        let mut done = 0;
        let mut finished = false;
        while done < budget {
            if !self.merge.advance()? {
                self.finish_table(core, End::Place)?;
                while !self.ranges.left.is_empty() && self.place + 1 < self.task.places.len() {
                    self.place += 1;
                    self.enter_place(core);
                    self.finish_table(core, End::Place)?;
                }
                self.close(core)?;
                core.sync_names(self.names_epoch)?;
                finished = true;
                break;
            }
            self.rows_in += 1;
            done += self.pass_row(core)?;
        }
        if let Some(request) = &self.request {
            request.note_bytes(done);
        }
        Ok(finished)
    }

    fn load_ranges(&mut self) -> Result<()> {
        let with_ranges = self.task.inputs.iter().filter(|(_, table)| table.meta.ranges > 0);
        let ranges = with_ranges.map(|(_, table)| table.own_ranges().cloned()).collect::<Result<Vec<_>>>()?;
        let left = Fragments::merged(ranges).forgotten(self.horizon, false);
        self.ranges = Ranges { are_loaded: true, cover: Cover::new(&left, self.horizon), left };
        Ok(())
    }

    /// Keeps or drops the present row; returns its bytes.
    fn pass_row(&mut self, core: &Core) -> Result<u64> {
        let (key, lsn, value) = (self.merge.key(), self.merge.lsn(), self.merge.value());
        let (bytes, is_tombstone) = ((key.len() + value.map_or(0, <[u8]>::len)) as u64, value.is_none());
        // The last key seen is the builder's, unless its row was dropped: no copy of a key that is kept.
        let is_new = match &self.builder {
            _ if self.is_dropped => self.dropped_key != key,
            Some(builder) => builder.last_key() != key,
            None => true,
        };
        if is_new {
            self.begin_key(core)?;
        }
        // Whoever sees the newest removal at or below the horizon does not see this row, and everybody does.
        let is_hidden = !self.ranges.cover.is_empty() && lsn < self.ranges.cover.newest(self.merge.key());
        if !self.gc.keeps(is_new, lsn, is_tombstone) || is_hidden {
            if is_new {
                self.is_dropped = true;
                self.dropped_key.clear();
                self.dropped_key.extend_from_slice(self.merge.key());
            }
            return Ok(bytes);
        }
        self.is_dropped = false;
        if self.builder.is_none() {
            self.builder = Some(self.create(core)?);
        }
        let (key, value) = (self.merge.key(), self.merge.value());
        if let Some(builder) = &mut self.builder {
            builder.add(key, lsn, value)?;
        }
        Ok(bytes)
    }

    /// Ends the table before a key that belongs to another place, or that is a good one to begin a table with. All
    /// versions of a key stay in one table.
    fn begin_key(&mut self, core: &Core) -> Result<()> {
        let place = self.place;
        while self
            .task
            .places
            .get(self.place)
            .and_then(|place| place.upto.as_deref())
            .is_some_and(|upto| upto < self.merge.key())
        {
            self.finish_table(core, End::Place)?;
            self.place += 1;
        }
        let border = self.border;
        let key = self.merge.key();
        while self.task.borders.get(self.border).is_some_and(|border| border.as_slice() < key) {
            self.border += 1;
        }
        if self.place > place {
            self.enter_place(core);
        } else if let Some(builder) = &self.builder {
            let bytes = builder.file_bytes();
            // A border of the next lower run is worth half a table: merging the table later then touches fewer.
            if core.context.memory.ends_table(bytes, self.table_bytes)
                || (self.border > border && bytes >= self.table_bytes / 2)
            {
                self.finish_table(core, End::LastRow)?;
            }
        }
        Ok(())
    }

    fn enter_place(&mut self, core: &Core) {
        let Some(place) = self.task.places.get(self.place) else { return };
        self.gc.set_bottom(place.is_bottom || planted(Bug::LsmDropsTombstonesEarly));
        // A merge within level 0 makes one table: each of its tables is a run of its own.
        self.table_bytes = match place.level {
            0 => u64::MAX,
            level => target_table_bytes(&core.state().version, &core.options, level),
        };
    }

    fn create(&mut self, core: &Core) -> Result<TableBuilder> {
        if let Some((level, builder)) = self.pending.take() {
            self.note_table(level, builder.finish()?);
        }
        let (level, is_bottom) =
            self.task.places.get(self.place).map_or((0, false), |place| (place.level, place.is_bottom));
        let shape = TableShape::new(&core.options, level == LAST_LEVEL, self.horizon, is_bottom);
        let file = core.next_file_number();
        self.created.push(file);
        TableBuilder::create(&core.env, &core.dir, core.context.database, file, shape, &core.context.memory)
    }

    /// The removed ranges that belong into the table which ends now. They are cut where it ends, so that tables of a run do not
    /// overlap; what lies behind is left for the next one.
    fn take_ranges(&mut self, end: End) -> Fragments {
        if self.ranges.left.is_empty() {
            return Fragments::default();
        }
        let place = self.task.places.get(self.place);
        let last = match (end, &self.builder) {
            (End::LastRow, Some(builder)) => Some(builder.last_key()),
            _ => place.and_then(|place| place.upto.as_deref()),
        };
        let behind = last.map(successor);
        let taken = self.ranges.left.clipped(&[], behind.as_deref());
        self.ranges.left =
            behind.map_or_else(Fragments::default, |behind| self.ranges.left.clipped(&behind, None));
        if planted(Bug::LsmRangeRemovalCutShort) && matches!(end, End::LastRow) {
            self.ranges.left = Fragments::default();
        }
        // At the bottom there is nothing left that they could hide: the rows have passed them here.
        let drops = place.is_some_and(|place| place.is_bottom);
        taken.forgotten(self.horizon, drops)
    }

    fn finish_table(&mut self, core: &Core, end: End) -> Result<()> {
        let ranges = self.take_ranges(end);
        if !ranges.is_empty() {
            if self.builder.is_none() {
                self.builder = Some(self.create(core)?);
            }
            if let Some(builder) = &mut self.builder {
                builder.set_ranges(ranges);
            }
        }
        if let Some(builder) = self.builder.take() {
            let level = self.task.places.get(self.place).map_or(0, |place| place.level);
            debug_assert!(self.pending.is_none(), "finished before this one began");
            self.pending = Some((level, builder));
        }
        Ok(())
    }

    fn note_table(&mut self, level: usize, meta: TableMeta) {
        self.outputs.push((level, meta));
        if let Some(request) = &self.request {
            request.note_table();
        }
    }

    /// Finishes the last table, with the record of the whole change.
    fn close(&mut self, core: &Core) -> Result<()> {
        let Some((level, builder)) = self.pending.take() else { return Ok(()) };
        let told = |level: usize| u32::try_from(level).unwrap_or(u32::MAX);
        let moved = self.task.moves.iter().map(|(_, table, to)| (told(*to), table.meta.clone()));
        let edit = Edit {
            horizon: self.horizon,
            removed: self.task.files().collect(),
            added: self
                .outputs
                .iter()
                .map(|(level, meta)| (told(*level), meta.clone()))
                .chain(moved)
                .collect(),
            ..Edit::default()
        };
        let meta = core.finish_closing(builder, level, Placing::AsTold, edit)?;
        self.note_table(level, meta);
        Ok(())
    }
}

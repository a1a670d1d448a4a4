//! Many sorted rows straight into tables.
//!
//! ```text
//! refuse writers ─▶ flush ─▶ tables, row by row ─▶ names synced ─▶ one edit: tables, flushed LSN ─▶ published LSN
//! ```
//!
//! Every row is written once. Until the edit is durable nobody sees anything of it, and what a crash leaves are tables
//! that no manifest names.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use stemedb_env::Lsn;

use super::{
    LsmStore,
    core::{Change, Core},
    place::{Places, deepest},
    write::{Shut, Writer},
};
use crate::{
    Error, ObservedTable, Result, Row, SortedRows, TableObserver,
    compaction::{Gc, deepest_beside, target_bytes},
    kv::check_row_sizes,
    manifest::{Edit, Placing},
    table::{TableBuilder, TableMeta, TableShape},
    version::LAST_LEVEL,
};

/// Between two looks at whether anybody has committed meanwhile.
const PIECE_BYTES: u64 = 1 << 20;

/// Which versions of a key an ingest keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Versions {
    /// All: snapshots at every LSN of the ingest are exact.
    #[default]
    All,
    /// Of each key the newest alone, and no removal that hides nothing: snapshots below the LSN of the ingest are refused
    /// from then on, as after a compaction.
    Newest,
}

/// What an ingest wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ingested {
    /// Rows read.
    pub rows: u64,
    /// Rows in the tables.
    pub kept: u64,
    /// Tables.
    pub tables: usize,
    /// Bytes of the tables' files.
    pub bytes: u64,
}

/// Rows of an iterator, which must be in table order.
#[derive(Debug)]
pub struct RowIter<I> {
    rows: I,
    row: Option<Row>,
}

impl<I: Iterator<Item = Result<Row>>> RowIter<I> {
    /// Before the first row.
    pub fn new(rows: I) -> RowIter<I> {
        RowIter { rows, row: None }
    }
}

impl<I: Iterator<Item = Result<Row>>> SortedRows for RowIter<I> {
    fn advance(&mut self) -> Result<bool> {
        self.row = self.rows.next().transpose()?;
        Ok(self.row.is_some())
    }

    fn key(&self) -> &[u8] {
        self.row.as_ref().map_or(&[], |row| &row.key)
    }

    fn lsn(&self) -> Lsn {
        self.row.as_ref().map_or(Lsn::ZERO, |row| row.lsn)
    }

    fn value(&self) -> Option<&[u8]> {
        self.row.as_ref().and_then(|row| row.value.as_deref())
    }
}

impl LsmStore {
    /// Writes sorted rows straight into tables and makes all of them visible at once; the published and the flushed LSN
    /// are `lsn` then.
    ///
    /// Rows come in table order, keys ascending and of each key LSNs descending, with LSNs above the published one and up to
    /// `lsn`. Each is written once, as deep in the tree as older rows allow: to the last level where nothing overlaps.
    /// What lies in memtables is flushed first. Reads, snapshots, flushes and compactions go on meanwhile; whoever applies a
    /// batch or begins another ingest gets [`Error::Ingesting`].
    ///
    /// A crash leaves all of it or nothing, and so does an error, after which the same LSNs may be used again. Only if the last
    /// write fails and cannot be ruled out either does the tree refuse writes ([`Error::ReadOnly`]) until it is opened
    /// again and shows whether it holds the rows.
    ///
    /// Memory: the table being written, some 9 bytes per key of it.
    ///
    /// Errors: [`Error::OutOfOrder`] if `lsn` has been applied; [`Error::Unpublished`]; [`Error::Unsorted`];
    /// [`Error::OutsideIngest`]; [`Error::TooLarge`]; those of the rows, of the flush and of the disk.
    pub fn ingest<R: SortedRows + ?Sized>(
        &self,
        rows: &mut R,
        lsn: Lsn,
        versions: Versions,
    ) -> Result<Ingested> {
        self.core.ingest(rows, lsn, versions, 0)
    }
}

impl Core {
    /// `expected_bytes`: what is known of the size of all files, for tables of the right size from the first one on.
    pub(crate) fn ingest<R: SortedRows + ?Sized>(
        &self,
        rows: &mut R,
        lsn: Lsn,
        versions: Versions,
        expected_bytes: u64,
    ) -> Result<Ingested> {
        let after = self.shut_out(lsn)?;
        let _open_again = OpenAgain(self);
        self.flush()?;
        let names_epoch = self.names_epoch();
        let mut ingest = Ingest::new(self, after, lsn, versions, expected_bytes);
        let written = ingest.take(rows).and_then(|()| self.sync_names(names_epoch));
        let outcome = match written {
            Ok(()) => ingest.install(),
            Err(error) => Err(error),
        };
        if outcome.is_err() && !ingest.is_in_doubt {
            ingest.discard();
        }
        outcome
    }

    /// Refuses whoever wants to write from now on; returns the LSN up to which everything is published.
    fn shut_out(&self, lsn: Lsn) -> Result<Lsn> {
        let mut writer = self.writer.lock();
        writer.check()?;
        let published = self.published_lsn();
        let applied = writer.applied.max(published);
        if lsn <= applied {
            return Err(Error::OutOfOrder { lsn, applied });
        }
        if applied > published {
            return Err(Error::Unpublished { applied, published });
        }
        writer.shut = Some(Shut::Ingest(lsn));
        Ok(published)
    }
}

/// Lets writers in again.
struct OpenAgain<'a>(&'a Core);

impl Drop for OpenAgain<'_> {
    fn drop(&mut self) {
        let mut writer = self.0.writer.lock();
        if matches!(writer.shut, Some(Shut::Ingest(_))) {
            writer.shut = None;
        }
    }
}

struct Ingest<'a> {
    core: &'a Core,
    after: Lsn,
    upto: Lsn,
    versions: Versions,
    expected_bytes: u64,
    places: Places,
    gc: Gc,
    builder: Option<TableBuilder>,
    /// Who is told the rows of all tables, if anybody wants to know.
    observed: Option<Box<dyn ObservedTable>>,
    /// Where the tables before end.
    flushed: Lsn,
    /// A table that has all of its rows. It is finished when the next one begins or all rows have passed: the last one
    /// closes the change.
    pending: Option<TableBuilder>,
    /// Of the builder.
    table_bytes: u64,
    tables: Vec<TableMeta>,
    created: Vec<u64>,
    tree_bytes: u64,
    last_key: Vec<u8>,
    last_lsn: Lsn,
    done: Ingested,
    /// Bytes that compaction's budget does not know of yet.
    uncharged: u64,
    /// The edit may have become durable although its write failed.
    is_in_doubt: bool,
    /// There is a table that says what the whole ingest is.
    is_closed: bool,
}

impl<'a> Ingest<'a> {
    fn new(core: &'a Core, after: Lsn, upto: Lsn, versions: Versions, expected_bytes: u64) -> Ingest<'a> {
        let state = core.state();
        // Everything is above the horizon, unless all that is below the end of the ingest may be merged.
        let horizon = if versions == Versions::Newest { upto } else { after };
        Ingest {
            core,
            after,
            upto,
            versions,
            expected_bytes,
            places: Places::new(&state.version, &core.options),
            gc: Gc::new(horizon, false),
            builder: None,
            observed: core.context.healer.observer().map(TableObserver::begin),
            flushed: core.flushed_lsn(),
            pending: None,
            table_bytes: 0,
            tables: Vec::new(),
            created: Vec::new(),
            tree_bytes: state.version.total_bytes(),
            last_key: Vec::new(),
            last_lsn: Lsn::MAX,
            done: Ingested::default(),
            uncharged: 0,
            is_in_doubt: false,
            is_closed: false,
        }
    }

    fn horizon(&self) -> Lsn {
        if self.versions == Versions::Newest { self.upto } else { self.after }
    }

    fn take<R: SortedRows + ?Sized>(&mut self, rows: &mut R) -> Result<()> {
        while rows.advance()? {
            self.pass(rows.key(), rows.lsn(), rows.value())?;
            if self.uncharged >= PIECE_BYTES {
                self.pace()?;
            }
        }
        self.finish_table();
        self.close()
    }

    fn check(&self, key: &[u8], lsn: Lsn, value: Option<&[u8]>, is_new: bool) -> Result<()> {
        check_row_sizes(key.len(), value.map_or(0, <[u8]>::len))?;
        if lsn <= self.after || lsn > self.upto {
            return Err(Error::OutsideIngest { lsn, after: self.after, upto: self.upto });
        }
        if !is_new && lsn >= self.last_lsn {
            return Err(Error::Unsorted { row: self.done.rows });
        }
        Ok(())
    }

    fn pass(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) -> Result<()> {
        let is_new = match self.last_key.as_slice().cmp(key) {
            _ if self.done.rows == 0 => true,
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => false,
            std::cmp::Ordering::Greater => return Err(Error::Unsorted { row: self.done.rows }),
        };
        self.check(key, lsn, value, is_new)?;
        self.done.rows += 1;
        self.last_lsn = lsn;
        let data_bytes = (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        self.uncharged += data_bytes;
        if is_new {
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
            self.begin_key(key)?;
        }
        if !self.gc.keeps(is_new, lsn, value.is_none()) {
            return Ok(());
        }
        if self.builder.is_none() {
            self.builder = Some(self.create(key)?);
        }
        if let Some(builder) = &mut self.builder {
            builder.add(key, lsn, value)?;
            self.done.kept += 1;
            if let Some(observed) = &mut self.observed {
                observed.row(key, lsn);
            }
        }
        Ok(())
    }

    /// Ends the table before a key that belongs elsewhere. All versions of a key stay in one table.
    fn begin_key(&mut self, key: &[u8]) -> Result<()> {
        let ends = self.places.ends_before(key);
        let memory = &self.core.context.memory;
        let is_full = |builder: &TableBuilder| memory.ends_table(builder.file_bytes(), self.table_bytes);
        if self.builder.as_ref().is_some_and(|builder| ends || is_full(builder)) {
            self.finish_table();
        }
        if self.builder.is_none() {
            let is_bottom = self.places.begin(key) == LAST_LEVEL;
            self.gc.set_bottom(is_bottom && self.versions == Versions::Newest);
        }
        Ok(())
    }

    fn create(&mut self, key: &[u8]) -> Result<TableBuilder> {
        let core = self.core;
        if let Some(builder) = self.pending.take() {
            self.note_table(builder.finish()?);
        }
        let level = self.places.begin(key);
        let is_last = level == LAST_LEVEL;
        self.table_bytes = match level {
            // Readers look into each table of level 0.
            0 => core.options.compaction_trigger_bytes.max(1),
            level => {
                let total = self.tree_bytes.saturating_add(self.expected_bytes.max(self.done.bytes));
                target_bytes(total, &core.options, level)
            }
        };
        let drops_tombstones = is_last && self.versions == Versions::Newest;
        let shape = TableShape::new(&core.options, is_last, self.horizon(), drops_tombstones);
        let file = core.next_file_number();
        self.created.push(file);
        TableBuilder::create(&core.env, &core.dir, core.context.database, file, shape, &core.context.memory)
    }

    fn finish_table(&mut self) {
        if let Some(builder) = self.builder.take() {
            debug_assert!(self.pending.is_none(), "finished before this one began");
            self.pending = Some(builder);
        }
    }

    fn note_table(&mut self, meta: TableMeta) {
        self.done.bytes += meta.bytes;
        self.done.tables += 1;
        self.tables.push(meta);
    }

    /// Finishes the last table, with the record of the whole ingest. Its tables are placed when it is installed, and so they
    /// are when it is found again.
    fn close(&mut self) -> Result<()> {
        let Some(builder) = self.pending.take() else { return Ok(()) };
        let edit = Edit {
            flushed: self.upto,
            horizon: if self.versions == Versions::Newest { self.upto } else { Lsn::ZERO },
            added: self.tables.iter().map(|meta| (0, meta.clone())).collect(),
            ..Edit::default()
        };
        self.is_closed = true;
        let meta = self.core.finish_closing(builder, 0, Placing::Anew, edit)?;
        self.note_table(meta);
        Ok(())
    }

    /// Waits as compaction does, if the journal's writes suffer.
    fn pace(&mut self) -> Result<()> {
        let core = self.core;
        core.pressure.charge(std::mem::take(&mut self.uncharged));
        loop {
            if let Some(closed) = core.closed() {
                return closed;
            }
            let pause = core.pressure.pause(core.load().score().0);
            if pause.is_zero() {
                return Ok(());
            }
            core.env.clock.sleep(pause.min(std::time::Duration::from_millis(10)));
        }
    }

    /// Makes the tables durable parts of the tree, and everything visible.
    fn install(&mut self) -> Result<Ingested> {
        let core = self.core;
        let mut writer = core.writer.lock();
        let published = core.published_lsn();
        if published > self.after {
            return Err(Error::OutOfOrder { lsn: self.after.next(), applied: published });
        }
        // No merge begins or ends between here and the edit.
        let claims = core.claims.lock();
        let version = std::sync::Arc::clone(&core.state().version);
        let added = self
            .tables
            .iter()
            .map(|meta| {
                let level = deepest(&version, &meta.smallest, &meta.largest);
                let level = deepest_beside(&claims, &meta.smallest, &meta.largest, level);
                (level, meta.clone())
            })
            .collect();
        let change = Change {
            added,
            flushed: self.upto,
            published: self.upto,
            horizon: if self.versions == Versions::Newest { self.upto } else { Lsn::ZERO },
            ..Change::default()
        };
        if let Err(error) = core.install(change) {
            // A tree that was stopped refuses before anything is written.
            if !matches!(error, Error::ReadOnly { .. }) && !core.rule_out_edit() {
                self.is_in_doubt = true;
                writer.shut = Some(Shut::Unknown(error.to_string()));
            }
            return Err(error);
        }
        drop(claims);
        self.installed(&mut writer);
        drop(writer);
        if let Some(observed) = self.observed.take() {
            observed.finish(self.flushed.next()..=self.upto);
        }
        tracing::info!(
            rows = self.done.rows,
            tables = self.done.tables,
            bytes = self.done.bytes,
            upto = self.upto.0,
            "rows ingested"
        );
        core.wake_compaction();
        Ok(self.done)
    }

    fn installed(&self, writer: &mut Writer) {
        writer.applied = self.upto;
        debug_assert_eq!(self.core.published.load(Ordering::Acquire), self.upto.0);
        let counters = &self.core.context.counters;
        counters.applied_bytes.add(self.tables.iter().map(|meta| meta.data_bytes).sum());
        counters.flush_bytes.add(self.done.bytes);
    }

    /// Removes what was written in vain. A table that says what the whole ingest is must not be found again when the same
    /// LSNs mean something else: if it cannot be removed for certain, nobody writes until the tree is opened again.
    fn discard(&mut self) {
        (self.builder, self.pending) = (None, None);
        let created: BTreeSet<u64> = self.created.drain(..).collect();
        created.iter().for_each(|file| self.core.remove_table_file(*file));
        if !self.is_closed {
            return;
        }
        let core = self.core;
        let is_there = |file: &u64| {
            !matches!(core.env.fs.metadata(&crate::table::table_path(&core.dir, *file)), Ok(None))
        };
        let is_gone = !created.iter().any(is_there) && core.sync_removals().is_ok();
        if !is_gone {
            let cause = "an ingest that failed could not be taken back".to_owned();
            core.writer.lock().shut = Some(Shut::Unknown(cause));
        }
    }
}

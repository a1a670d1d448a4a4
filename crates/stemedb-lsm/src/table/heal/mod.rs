//! Healing reads: a block that cannot be read is derived again instead of being an error.
//!
//! ```text
//! block bad twice ─▶ span between its separators ─▶ WriteSource ─▶ what readers may be shown ─▶ slot of the cache
//! table without header, footer or index ─▶ blocks found by their checksums ─▶ an index of them, and of the gaps between
//! table without file ─▶ cuts of the source as separators ─▶ every part through the same way
//! table that has been repaired meanwhile ─▶ its successor instead of the source
//! ```
//!
//! The source gives every write of a span of keys and LSNs, and a table holds less: rows of its span may lie in other tables,
//! and merges have forgotten some. So a healed block need not have the rows of the lost one. It must give every reader the
//! answer that the lost one would have led to, and this is why it does.
//!
//! # What a healed block shows
//!
//! Let `k` be a key within the table's bounds and `V` all that was ever written to it: values, removals, and removals of
//! ranges that cover it. The table has `min` and `max`, the LSNs of its rows, and its horizon `h`; `U` is the greater of
//! `max` and `h`. Nobody reads the table as of an LSN below `g`: `h`, or what was visible when this tree made or opened
//! the table if that is less. Of `V` between `min` and `U` a healed block shows
//!
//! 1. everything above `g`;
//! 2. the newest at or below `g`, if it is a row (and not a removed range) at or below `max`; nothing older in any case.
//!
//! A reader as of `L` comes to the table when no newer source has a version of `k` at or below `L`. Let `a` be the newest of
//! `V` at or below `L`, which is what the reader must end with.
//!
//! - `a > U`: it was written after the table was made, out of what was older; tables of newer rows lie above all that
//!   their *bounds* overlap, so a newer source has it, and the reader does not come here.
//! - `g < a <= U`: rule 1 shows it.
//! - `min <= a <= g`: then `a` is the newest at or below `g` too. If it is a row up to `max`, rule 2 shows it. Otherwise
//!   the block shows nothing at or below `L`, as the lost one: had that one shown a row, it would be older than `a`, and
//!   the reader would have been told something wrong by a healthy table. What `a` says is then known elsewhere, or it is a
//!   removal that hides nothing any more.
//! - `a < min`: the block shows nothing at or below `L`, as the lost one.
//!
//! So two things are asked of the source that do not follow from the table's rows. *Writes above `max`, up to the horizon*: a
//! removal that was dropped at the bottom stands in no table, and the value that it removed lies within the table's LSNs.
//! *Removed ranges*: they hide rows although no row says so. A removed range above `g` becomes a removal of the keys that it
//! covers and that have an older value in the block.
//!
//! All versions of a key are healed together. Of a key whose versions go on in the next block both blocks would show all
//! that the table has of it, if both are bad. A lookup takes the first that it finds. A scan has one LSN: it takes of a healed
//! block the newest version of each key up to that LSN, as rule 2 does, and backward it leaves out rows of the same key that
//! the block before has, because they are in it. That also keeps the promise of tables that have one version of each
//! key, on which scans rely.
//!
//! Removed ranges of the table are resident. If their block is lost, what the source says between `min` and `U` takes its
//! place, for tables that had some: what they hide is hidden, wherever it stands.
//!
//! # What is not healed
//!
//! - The error of the damaged place is returned if the source fails, if it gives no write at all where the index says that there
//!   was a row, and for a table of another derivation version, whose rows cannot be derived any more.
//! - Merges, [`Table::verify`] and evidence of what other tables hold need what *was* in a block: merges and checks
//!   refuse healed blocks, and a repair proves by its digest.
//!
//! A block whose read the device refuses twice (`EIO` and its like) counts as damaged, as one whose checksum is wrong twice: both
//! may be a bad sector. What says nothing of the file, as too many open files, is returned as it is.

mod parts;
mod refound;
mod rows;
mod survey;

use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use stemedb_env::{
    Lsn,
    planted::{Bug, planted},
};

pub(crate) use self::{
    rows::{Shown, Writes, as_of},
    survey::{Piece, Scope, Survey},
};
use super::{
    Table,
    block::Block,
    reader::{Loaded, OnDamage},
};
use crate::{
    CorruptionKind, Error, Result, Row, TableObserver, WriteSource,
    memory::{Charge, Kind},
    ranges::successor,
};

thread_local! {
    /// This thread asks a source.
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// A block that is being healed. Whoever comes meanwhile waits for its lock and takes what is in it.
type Flight = Mutex<Option<Result<Block>>>;

/// Whom the tables of a tree are healed from, and what is being healed.
#[derive(Debug, Default)]
pub(crate) struct Healer {
    attached: OnceLock<Attached>,
    flights: Mutex<BTreeMap<(u64, usize), Arc<Flight>>>,
}

#[derive(Debug)]
struct Attached {
    source: Arc<dyn WriteSource>,
    observer: Arc<dyn TableObserver>,
    derivation_version: u32,
}

impl Healer {
    /// False if somebody is attached already.
    pub(crate) fn attach(
        &self,
        source: Arc<dyn WriteSource>,
        observer: Arc<dyn TableObserver>,
        derivation_version: u32,
    ) -> bool {
        self.attached.set(Attached { source, observer, derivation_version }).is_ok()
    }

    /// Who sees the rows of new tables.
    pub(crate) fn observer(&self) -> Option<&dyn TableObserver> {
        self.attached.get().map(|attached| &*attached.observer)
    }

    /// True if reads are healed.
    pub(crate) fn is_attached(&self) -> bool {
        self.attached.get().is_some()
    }

    /// Who can derive rows of this version again. Nobody for a thread that is asking already.
    fn source(&self, derivation_version: u32) -> Option<&dyn WriteSource> {
        let attached =
            self.attached.get().filter(|attached| attached.derivation_version == derivation_version);
        attached.filter(|_| !ASKING.get()).map(|attached| &*attached.source)
    }

    /// Heals a block, once for all who ask for it at the same time.
    fn once(&self, place: (u64, usize), heal: impl FnOnce() -> Result<Block>) -> Result<Block> {
        let again = |outcome: &Result<Block>| match outcome {
            Ok(block) => Ok(block.clone()),
            Err(error) => Err(error.again()),
        };
        let flight = Arc::clone(self.flights.lock().entry(place).or_default());
        let mut outcome = flight.lock();
        if let Some(outcome) = &*outcome {
            return again(outcome);
        }
        let healed = heal();
        *outcome = Some(again(&healed));
        drop(outcome);
        let mut flights = self.flights.lock();
        if flights.get(&place).is_some_and(|present| Arc::ptr_eq(present, &flight)) {
            flights.remove(&place);
        }
        healed
    }
}

/// Asks a source. What it reads itself is not healed meanwhile.
fn asking<T>(ask: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            ASKING.set(false);
        }
    }
    ASKING.set(true);
    let _done = Done;
    ask()
}

/// True if the device has refused to read, rather than the system to try.
pub(super) fn is_unreadable(error: &Error) -> bool {
    // EIO, ENODATA, EBADMSG, EUCLEAN, EREMOTEIO: bad sectors, and checksums of file systems and devices.
    const OF_DEVICES: [i32; 5] = [5, 61, 74, 117, 121];
    match error {
        Error::Env(stemedb_env::Error::Io { source, .. }) => {
            source.raw_os_error().is_some_and(|code| OF_DEVICES.contains(&code))
        }
        _ => false,
    }
}

impl Table {
    /// The LSNs of all that can tell what was in the table.
    fn telling_lsns(&self) -> RangeInclusive<Lsn> {
        let upto = match planted(Bug::LsmHealForgetsRemovals) {
            true => self.meta.max_lsn,
            false => self.meta.max_lsn.max(self.meta.horizon),
        };
        self.meta.min_lsn..=upto
    }

    /// An error where the device has refused twice counts as damage, if somebody can heal it.
    pub(super) fn as_damage(&self, error: Error, offset: u64) -> Error {
        if self.context.healer.is_attached() && is_unreadable(&error) {
            tracing::warn!(%error, file = self.meta.file, offset, "the device refuses to read a part of a table");
            return self.corrupt(CorruptionKind::Unreadable, offset);
        }
        error
    }

    /// What a source says to a question about this table, or the error of the damaged place.
    fn ask<T>(
        &self,
        cause: &Error,
        ask: impl FnOnce(&dyn WriteSource, &RangeInclusive<Lsn>) -> Result<T>,
    ) -> Result<T> {
        let Some(source) = self.context.healer.source(self.meta.derivation_version) else {
            return Err(cause.again());
        };
        asking(|| ask(source, &self.telling_lsns())).map_err(|error| {
            self.context.counters.failed_healings.add(1);
            tracing::error!(%error, file = self.meta.file, "a damaged part of a table cannot be derived again");
            cause.again()
        })
    }

    /// The keys that block `at` may have.
    fn block_keys(&self, loaded: &Loaded, at: usize) -> (Vec<u8>, Vec<u8>) {
        // Versions of a key that go on from the block before: only then may the separator's key be in this one too.
        let goes_on = loaded.file.is_some() && self.meta.keys < self.meta.rows;
        let first = match at.checked_sub(1).map(|before| loaded.index.separator(before)) {
            None => self.meta.smallest.clone(),
            Some(before) if goes_on => before,
            Some(before) => successor(&before),
        };
        let last = loaded.index.separator(at);
        (first.max(self.meta.smallest.clone()), last.min(self.meta.largest.clone()))
    }

    /// Data block `at`, derived again because of an error, which is returned if that is not possible.
    #[cold]
    pub(super) fn healed_block(&self, loaded: &Loaded, at: usize, cause: Error) -> Result<Block> {
        if !matches!(cause, Error::Corruption { .. })
            || self.context.healer.source(self.meta.derivation_version).is_none()
        {
            return Err(cause);
        }
        self.context.healer.once((self.meta.file, at), || {
            // Another reader may have come first.
            if let Some(block) = loaded.slots.get(at) {
                return Ok(block);
            }
            let (first, last) = self.block_keys(loaded, at);
            let ledger = self.context.memory.ledger();
            if first > last {
                return Ok(Block::healed_without_rows(Some(ledger)));
            }
            if let Some(block) = self.repaired().and_then(|table| table.rows_of_keys(&first, &last)) {
                return Ok(block);
            }
            let keys = first.as_slice()..=last.as_slice();
            let writes = self.ask(&cause, |source, lsns| source.writes(&keys, lsns))?;
            let writes = Writes::within(writes, &keys, &self.telling_lsns());
            // Twice: they are written into a block.
            let _charge = Charge::new(&self.context.memory, Kind::Buffers, writes.bytes().saturating_mul(2));
            let is_told = writes.rows.iter().any(|row| row.lsn <= self.meta.max_lsn);
            let block = match !loaded.has_own_index || is_told {
                true => writes.shown(self.meta.max_lsn, self.oldest_reader()).block(ledger),
                false => None,
            };
            let Some(block) = block else {
                self.context.counters.failed_healings.add(1);
                tracing::error!(file = self.meta.file, block = at, "a damaged block cannot be derived again");
                return Err(cause.again());
            };
            self.context.counters.healed_blocks.add(1);
            tracing::info!(file = self.meta.file, block = at, rows = block.rows(), "block healed");
            Ok(block)
        })
    }

    /// All rows with keys from `first` to `last`, as a healed block. `None` if they cannot be read, or are too many for one.
    fn rows_of_keys(&self, first: &[u8], last: &[u8]) -> Option<Block> {
        let index = self.index().ok()?;
        let mut rows = Vec::new();
        for at in index.seek(first)..index.blocks() {
            let block = self.block(at, false, OnDamage::Refuse).ok()?;
            for row in block.lower_bound(first, Lsn::MAX)..block.rows() {
                let key = block.key(row);
                if key.as_slice() > last {
                    return Shown { rows }.block(self.context.memory.ledger());
                }
                rows.push(Row { key, lsn: block.lsn(row), value: block.value(row).map(<[u8]>::to_vec) });
            }
        }
        Shown { rows }.block(self.context.memory.ledger())
    }

    /// Of a healed block, what a scan as of `lsn` may see: the newest version of each key up to there.
    pub(super) fn thinned(&self, block: &Block, lsn: Lsn) -> Result<Block> {
        let thinned = as_of(block, lsn, self.context.memory.ledger());
        thinned.ok_or_else(|| self.corrupt(CorruptionKind::BlockFormat, 0))
    }
}

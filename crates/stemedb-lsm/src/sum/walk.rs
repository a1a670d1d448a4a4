//! Reading the tables that nobody has added up, and the memtables.

use std::{collections::BTreeSet, sync::Arc};

use stemedb_env::Lsn;

use super::{RowHash, RowSum};
use crate::{
    Direction, Result,
    kv::RowDigester,
    memtable::{MemCursor, Memtable},
    store::{Core, State},
    table::{Bounds, Run, RunCursor, Table, filter::filter_hash},
};

/// A place where rows lie, newest first.
enum Source<'a> {
    /// Up to an LSN: of a sealed one, what is newer stands in a newer one too.
    Memtable(&'a Memtable, Lsn),
    Run(&'a Run),
}

impl Source<'_> {
    /// Smallest LSN of a row in it.
    fn min_lsn(&self) -> Lsn {
        match self {
            Source::Memtable(memtable, _) => memtable.min_lsn(),
            Source::Run(run) => run.iter().map(|table| table.meta.min_lsn).min().unwrap_or(Lsn::MAX),
        }
    }

    fn holds(&self, key: &[u8], hash: u64, lsn: Lsn) -> Result<bool> {
        match self {
            Source::Memtable(memtable, upto) => Ok(memtable.version_at(key, lsn.min(*upto)).is_some()),
            Source::Run(run) => match run.find(key).filter(|table| table.meta.min_lsn <= lsn) {
                Some(table) => Ok(table.version_at(key, lsn, hash)?.is_some()),
                None => Ok(false),
            },
        }
    }
}

/// One attempt.
struct Walk<'a> {
    sources: Vec<Source<'a>>,
    /// Smallest LSN of each.
    min_lsns: Vec<Lsn>,
    /// What the snapshot shows.
    lsn: Lsn,
    /// Rows up to here are known to be distinct.
    distinct: Lsn,
    hash: &'a RowHash<'a>,
}

impl Walk<'_> {
    /// True if another source than number `own` holds a version of the key, as far as it is this row's task to look.
    fn is_elsewhere(&self, own: usize, key: &[u8], lsn: Lsn) -> Result<bool> {
        if lsn <= self.distinct {
            return Ok(false);
        }
        let hash = filter_hash(key);
        for (at, source) in self.sources.iter().enumerate() {
            // Of two new rows the one in the earlier source looks.
            let is_asked = at > own || self.min_lsns.get(at).is_some_and(|min| *min <= self.distinct);
            if at != own && is_asked && source.holds(key, hash, self.lsn)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The sum of a table's visible rows; `None` if one of them has another version elsewhere, or what is read is not what the
    /// manifest describes.
    fn table(&self, own: usize, table: &Arc<Table>) -> Result<Option<RowSum>> {
        let run = Run::new([Arc::clone(table)]);
        let rows = RunCursor::new(run, Arc::new(Bounds::default()), Direction::Forward, false);
        // As of the end of time: of a clean table that thins nothing out.
        let mut rows = rows.healing(Lsn::MAX);
        let (mut sum, mut count, mut digest) = (RowSum::default(), 0u64, 0u128);
        let mut digester = RowDigester::default();
        while rows.advance()? {
            let (key, lsn) = (rows.key(), rows.lsn());
            let Some(value) = rows.value() else { return Ok(None) };
            count += 1;
            digest = digest.wrapping_add(digester.digest(key, lsn, Some(value)));
            if lsn > self.lsn {
                continue;
            }
            if self.is_elsewhere(own, key, lsn)? {
                return Ok(None);
            }
            sum.add(&(self.hash)(key, value));
        }
        // A damaged block may have been healed with more than was in it.
        Ok((count == table.meta.rows && digest == table.meta.digest).then_some(sum))
    }

    fn memtable(&self, own: usize, memtable: &Memtable, upto: Lsn) -> Result<Option<RowSum>> {
        let upto = upto.min(self.lsn);
        let mut rows = MemCursor::new(memtable, Arc::new(Bounds::default()), Direction::Forward, upto);
        let mut sum = RowSum::default();
        let mut last: Option<Vec<u8>> = None;
        while rows.advance() {
            let key = rows.key();
            let Some(value) = rows.value() else { return Ok(None) };
            if last.as_deref() == Some(key) || self.is_elsewhere(own, key, rows.lsn())? {
                return Ok(None);
            }
            sum.add(&(self.hash)(key, value));
            let room = last.get_or_insert_with(Vec::new);
            room.clear();
            room.extend_from_slice(key);
        }
        Ok(Some(sum))
    }
}

/// The sum of all rows that a snapshot at `lsn` over `state` shows; `None` if it cannot be had by parts.
///
/// Cost: the tables that were not read before, one filter lookup per row that is new and source that it may also lie in, and the
/// memtables. No lock is held meanwhile.
pub(crate) fn row_sum(core: &Core, state: &State, lsn: Lsn, hash: &RowHash<'_>) -> Result<Option<RowSum>> {
    let all_clean = state.version.tables().all(|(_, table)| table.meta.is_clean());
    if !all_clean || state.memtables().any(|memtable| memtable.has_ranges()) {
        return Ok(None);
    }
    let whole = |table: &Table| table.meta.max_lsn <= lsn;
    let live: BTreeSet<u64> =
        state.version.tables().filter(|(_, table)| whole(table)).map(|(_, table)| table.meta.file).collect();
    let known = core.sums.of(&live);
    let sealed = state.sealed.iter().map(|memtable| Source::Memtable(memtable, memtable.upto()));
    let memtables = std::iter::once(Source::Memtable(&state.active, Lsn::MAX)).chain(sealed);
    let sources: Vec<Source<'_>> = memtables.chain(state.version.runs().map(Source::Run)).collect();
    let min_lsns = sources.iter().map(Source::min_lsn).collect();
    let walk = Walk { sources, min_lsns, lsn, distinct: known.distinct, hash };
    let mut total = known.sum;
    let mut read = Vec::new();
    for (own, source) in walk.sources.iter().enumerate() {
        match source {
            Source::Memtable(memtable, upto) => match walk.memtable(own, memtable, *upto)? {
                Some(sum) => total.merge(&sum),
                None => return Ok(None),
            },
            Source::Run(run) => {
                let unread = run.iter().filter(|table| !known.files.contains(&table.meta.file));
                for table in unread.filter(|table| table.meta.min_lsn <= lsn) {
                    let Some(sum) = walk.table(own, table)? else { return Ok(None) };
                    total.merge(&sum);
                    if whole(table) {
                        read.push((table.meta.file, sum));
                    }
                }
            }
        }
    }
    core.sums
        .learn(read, lsn, |file| core.state().version.tables().any(|(_, table)| table.meta.file == file));
    Ok(Some(total))
}

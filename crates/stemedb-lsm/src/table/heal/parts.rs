//! Tables of which more than blocks is lost: header, footer, index, removed ranges, or the whole file.

use stemedb_env::OpenMode;

use super::Scope;
use crate::{
    CorruptionKind, DerivedWrite, Error, Result,
    memory::{Charge, Kind},
    ranges::{Fragments, successor},
    store::Damage,
    table::{
        Table, TableMeta,
        format::{FOOTER_BYTES, Footer, HEADER_BYTES},
        index::Index,
        reader::{Loaded, Resident},
    },
};

/// A part of a table without file is about so large: asking for it costs more than its bytes.
const PART_BYTES: u64 = 16 << 10;
/// A part has at most about so many rows: each may have come with another entry of the journal, and a reader of one row waits
/// for all of them.
const MOST_PART_ROWS: u64 = 32;

/// Rows of a part.
pub(super) fn rows_of_a_part(meta: &TableMeta) -> usize {
    let row_bytes = (meta.data_bytes / meta.rows.max(1)).max(1);
    usize::try_from((PART_BYTES / row_bytes).clamp(1, MOST_PART_ROWS)).unwrap_or(1)
}

impl Table {
    /// What can be had of a table that does not load: because of an error, which is returned if that is nothing.
    #[cold]
    pub(in crate::table) fn load_healed(&self, cause: Error) -> Result<Loaded> {
        let Error::Corruption { kind, offset, .. } = &cause else { return Err(cause) };
        let damage = Damage { kind: *kind, offset: *offset };
        if let Some(loaded) = self.load_what_is_left(damage, &cause)? {
            return Ok(loaded);
        }
        let index = Index::of_parts(&self.parts(&cause)?).map_err(|_| cause.again())?;
        let ranges = self.healed_ranges(&cause)?;
        let slots = self.context.memory.cache().slots(index.blocks());
        let held = index.memory_bytes() + ranges.memory_bytes() as u64;
        let held = usize::try_from(held).unwrap_or(usize::MAX);
        tracing::warn!(file = self.meta.file, parts = index.blocks(), "a table is read without its file");
        Ok(Loaded {
            file: None,
            index,
            key_filter: None,
            prefix_filter: None,
            ranges,
            has_own_ranges: false,
            has_own_index: false,
            footer: Footer::default(),
            slots,
            damage: Some(damage),
            _charge: Charge::new(&self.context.memory, Kind::Tables, held),
        })
    }

    /// A table of which blocks can be read, whatever is the matter with the rest; `None` if none can.
    fn load_what_is_left(&self, damage: Damage, cause: &Error) -> Result<Option<Loaded>> {
        let Ok(file) = self.context.fs.open(&self.path(), OpenMode::Read) else { return Ok(None) };
        // Where the end should be: bytes behind it do no harm.
        let footer_at = self.meta.bytes.checked_sub(FOOTER_BYTES as u64);
        let footer = footer_at.filter(|at| *at >= HEADER_BYTES as u64).and_then(|at| {
            let mut footer = [0; FOOTER_BYTES];
            file.read_exact_at(&mut footer, at).ok()?;
            Footer::decode(&self.identity(), &footer, self.meta.bytes)
        });
        let index = footer.as_ref().and_then(|footer| self.load_index(&*file, footer).ok());
        let (Some(footer), Some(index)) = (&footer, index) else {
            return self.load_by_blocks(file, footer, damage, cause);
        };
        let (ranges, has_own_ranges) = match self.load_ranges(&*file, footer) {
            Ok(ranges) => (ranges, true),
            Err(_) => (self.healed_ranges(cause)?, false),
        };
        let resident = Resident { index, ranges, has_own_ranges, has_own_index: true, damage: Some(damage) };
        self.assemble(file, *footer, resident).map(Some)
    }

    /// Greatest keys of the parts that a table without file is read in.
    fn parts(&self, cause: &Error) -> Result<Vec<Vec<u8>>> {
        let meta = &self.meta;
        if meta.rows == 0 {
            return Ok(Vec::new());
        }
        self.cuts(&meta.smallest, &meta.largest, rows_of_a_part(meta), cause)
    }

    /// Greatest keys of parts of about `rows` rows that a span falls into, the last of it among them.
    pub(super) fn cuts(&self, first: &[u8], last: &[u8], rows: usize, cause: &Error) -> Result<Vec<Vec<u8>>> {
        let keys = first..=last;
        let cuts = self.ask(cause, |source, lsns| source.cuts(&keys, lsns, rows))?;
        let mut parts: Vec<Vec<u8>> = Vec::with_capacity(cuts.len() + 1);
        for cut in cuts {
            // Where to cut is a matter of taste, and that the order is right is not.
            let is_next = parts.last().is_none_or(|last| *last < cut) && cut.as_slice() >= first;
            if is_next && cut.as_slice() < last {
                parts.push(cut);
            }
        }
        parts.push(last.to_vec());
        Ok(parts)
    }

    /// Keys that cut the table into at most `parts` parts of about equal size, as far as its index, or what has taken its place,
    /// knows. Ascending; none if nothing is known.
    pub(crate) fn separators(&self, parts: usize) -> Vec<Vec<u8>> {
        let Ok(loaded) = self.loaded() else { return Vec::new() };
        let index = &loaded.index;
        let every = index.blocks().div_ceil(parts.max(1)).max(1);
        (every..index.blocks()).step_by(every).map(|at| index.separator(at - 1)).collect()
    }

    /// Every write that can tell what was in a part of the table.
    pub(crate) fn told_writes(&self, scope: &Scope, cause: &Error) -> Result<Vec<DerivedWrite>> {
        let keys = scope.first.as_slice()..=scope.last.as_slice();
        self.ask(cause, |source, lsns| source.writes(&keys, lsns))
    }

    /// Every removal of a range that can have been in the table.
    pub(crate) fn told_ranges(&self, cause: &Error) -> Result<Fragments> {
        let meta = &self.meta;
        let keys = meta.smallest.as_slice()..=meta.largest.as_slice();
        let lsns = self.telling_lsns();
        let removals = self.ask(cause, |source, lsns| source.range_removals(&keys, lsns))?;
        let behind = successor(&meta.largest);
        let removals = removals.into_iter().filter(|removal| lsns.contains(&removal.lsn));
        Ok(Fragments::merged(removals.map(|removal| {
            Fragments::one(&removal.start, &removal.end, removal.lsn).clipped(&meta.smallest, Some(&behind))
        })))
    }

    /// What takes the place of the table's removed ranges.
    pub(super) fn healed_ranges(&self, cause: &Error) -> Result<Fragments> {
        // Whoever reads a table that had none does not ask for them.
        if self.meta.ranges == 0 {
            return Ok(Fragments::default());
        }
        Ok(self.told_ranges(cause)?.forgotten(self.oldest_reader(), false))
    }

    /// The error of a table that was loaded although something is the matter with it; `Ok` for others.
    pub(crate) fn refuse_healed(&self) -> Result<()> {
        match &self.loaded()?.damage {
            Some(damage) => Err(self.damaged(*damage)),
            None => Ok(()),
        }
    }

    /// The error of a healed block, for one who needs what was in it.
    pub(in crate::table) fn refused(&self) -> Error {
        let loaded = self.loaded().ok().and_then(|loaded| loaded.damage);
        match loaded {
            Some(damage) => self.damaged(damage),
            None => self.context.damage.error(&self.context.dir, self.meta.file),
        }
    }

    pub(in crate::table) fn damaged(&self, damage: Damage) -> Error {
        self.context.damage.note(self.meta.file, damage.kind, damage.offset);
        Error::Corruption { kind: damage.kind, file: self.path(), offset: damage.offset }
    }

    /// The error of a place that has no block.
    pub(in crate::table) fn no_block(&self) -> Error {
        self.corrupt(CorruptionKind::BlockFormat, 0)
    }
}

//! Rebuilding a table from what is left of it.
//!
//! Blocks that can be read are copied as they are: no row of them is encoded or compressed again. For the others, and for removed ranges that are lost, whoever is attached is asked for
//! the writes of their keys, and what of those was in the table is found out as in [`super::repair`]: so the cost follows
//! the damage, not the size of the table. The digest of the whole decides again.

use std::{iter, sync::Arc};

use super::{
    core::{Core, State},
    evidence::Evidence,
    repair::{Reading, read},
};
use crate::{
    Error, Result,
    kv::RowDigester,
    ranges::Fragments,
    table::{
        Table, TableBuilder, TableMeta,
        format::BlockCopy,
        heal::{Piece, Scope, Survey},
    },
};

/// What is known of lost pieces is kept up to so many bytes; beyond, it is asked for twice.
const KEPT_BYTES: usize = 32 << 20;

/// Where more blocks and parts are lost, all of the journal that the table covers is read once: it would be for every piece.
const MOST_LOST: usize = 2048;

/// A table on its way.
struct Rescan<'a> {
    core: &'a Core,
    state: &'a State,
    table: &'a Table,
    survey: Survey,
    /// What memtables and other tables hold of removed ranges.
    held: Fragments,
}

/// A reading and what it comes to.
struct Sum {
    reading: Reading,
    rows: u64,
    digest: u128,
}

impl Core {
    /// A new table with the content of a damaged one. `None` if too little is left, nobody is attached, or nothing that can be
    /// found adds up to the digest.
    pub(super) fn rescan(
        &self,
        level: usize,
        table: &Arc<Table>,
        state: &State,
    ) -> Result<Option<TableMeta>> {
        let meta = &table.meta;
        if let Some(lost) = table.parts_without_file()
            && lost > MOST_LOST
        {
            tracing::info!(
                file = meta.file,
                lost,
                "nothing of a table is left, and it is read from the journal at once"
            );
            return Ok(None);
        }
        let survey = match table.survey() {
            Ok(survey) => survey,
            Err(error) => {
                tracing::info!(%error, file = meta.file, "nothing can be taken over from a damaged table");
                return Ok(None);
            }
        };
        if survey.lost > MOST_LOST {
            tracing::info!(
                file = meta.file,
                lost = survey.lost,
                "too much of a table is lost to ask for it in pieces"
            );
            return Ok(None);
        }
        let is_whole = survey.is_whole();
        if !is_whole && !self.context.healer.is_attached() {
            return Ok(None);
        }
        let held = if is_whole { Fragments::default() } else { self.ranges_elsewhere(state, meta)? };
        let rescan = Rescan { core: self, state, table, survey, held };
        let mut kept = Vec::new();
        let Some((reading, ranges)) = rescan.choose(&mut kept)? else { return Ok(None) };
        let rebuilt = self.rebuild(level, meta, |builder| rescan.fill(builder, reading, ranges, kept))?;
        let is_equal = rebuilt.digest == meta.digest
            && (rebuilt.rows, rebuilt.ranges) == (meta.rows, meta.ranges)
            && (&rebuilt.smallest, &rebuilt.largest) == (&meta.smallest, &meta.largest);
        if !is_equal {
            self.remove_table_file(rebuilt.file);
            return Ok(None);
        }
        Ok(Some(rebuilt))
    }
}

impl Rescan<'_> {
    /// The reading under which everything adds up, and the table's removed ranges. What is found out about lost pieces is left in
    /// `kept`, as long as it is not too much.
    fn choose(&self, kept: &mut Vec<Evidence>) -> Result<Option<(Reading, Fragments)>> {
        let meta = &self.table.meta;
        let ranges = match self.survey.ranges() {
            Some(_) => None,
            None => Some(self.table.told_ranges(&self.lost())?.without(&self.held)),
        };
        let mut sums: Vec<Sum> = Reading::all(meta, meta.horizon > meta.max_lsn)
            .into_iter()
            .map(|reading| Sum { reading, rows: self.survey.rows, digest: self.survey.digest })
            .collect();
        let (mut bytes, mut keeps) = (0, true);
        for scope in self.lost_pieces() {
            let evidence = self.evidence(scope)?;
            for sum in &mut sums {
                let content = read(&evidence, meta, sum.reading);
                sum.rows += content.rows.len() as u64;
                sum.digest = sum.digest.wrapping_add(content.digest());
            }
            bytes += evidence.bytes();
            keeps &= bytes <= KEPT_BYTES;
            if keeps {
                kept.push(evidence);
            }
        }
        let mut digester = RowDigester::default();
        Ok(sums.into_iter().find_map(|Sum { reading, rows, digest }| {
            let ranges = match (&ranges, self.survey.ranges()) {
                (None, Some(ranges)) => ranges.clone(),
                (Some(told), _) => reading.ranges(told, meta.horizon),
                (None, None) => Fragments::default(),
            };
            let adds_up = rows == meta.rows
                && ranges.len() as u64 == meta.ranges
                && digest.wrapping_add(ranges.digest(&mut digester)) == meta.digest;
            adds_up.then_some((reading, ranges))
        }))
    }

    fn lost_pieces(&self) -> impl Iterator<Item = &Scope> {
        self.survey.pieces.iter().filter_map(|piece| match piece {
            Piece::Block(_) => None,
            Piece::Lost(scope) => Some(scope),
        })
    }

    /// The error of the damage.
    fn lost(&self) -> Error {
        self.core.context.damage.error(&self.core.dir, self.table.meta.file)
    }

    fn evidence(&self, scope: &Scope) -> Result<Evidence> {
        if let Some(closed) = self.core.closed() {
            return closed;
        }
        // Nothing can lie between neighbours that touch.
        let is_empty = scope.first > scope.last;
        let writes = if is_empty { Vec::new() } else { self.table.told_writes(scope, &self.lost())? };
        let mut writes = writes.into_iter().map(Ok);
        self.core.evidence(self.state, &self.table.meta, scope, Vec::new(), &self.held, &mut writes)
    }

    /// Gives everything to the builder, in table order.
    fn fill(
        &self,
        builder: &mut TableBuilder,
        reading: Reading,
        ranges: Fragments,
        kept: Vec<Evidence>,
    ) -> Result<()> {
        let meta = &self.table.meta;
        let mut kept = kept.into_iter().map(Some).chain(iter::repeat_with(|| None));
        // Rows that come twice or too early could not have added up, but a block may have changed meanwhile.
        let in_order = |fits: bool| if fits { Ok(()) } else { Err(self.lost()) };
        let mut copy = BlockCopy::default();
        for piece in &self.survey.pieces {
            match piece {
                Piece::Block(at) => {
                    let block = self.table.survey_copy(&self.survey, *at, &mut copy)?;
                    in_order(builder.takes(&block.key(0), block.lsn(0)))?;
                    builder.add_block(&block, &copy)?;
                }
                Piece::Lost(scope) => {
                    let evidence = match kept.next().flatten() {
                        Some(evidence) => evidence,
                        None => self.evidence(scope)?,
                    };
                    for (shelf, row) in read(&evidence, meta, reading).rows {
                        in_order(builder.takes(shelf.key(row), row.lsn))?;
                        builder.add(shelf.key(row), row.lsn, shelf.value(row))?;
                    }
                }
            }
        }
        builder.set_ranges(ranges);
        Ok(())
    }
}

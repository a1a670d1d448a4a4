//! What of a table can be read, and between which rows the rest must lie.

use std::sync::Arc;

use stemedb_env::{File, Lsn};

use crate::{
    Error, Result,
    kv::RowDigester,
    ranges::{Fragments, successor},
    table::{
        Table,
        block::Block,
        format::{BlockCopy, BlockHandle},
        reader::Loaded,
    },
};

/// Rows that are to be found: those of these keys, without what their neighbours have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) first: Vec<u8>,
    pub(crate) last: Vec<u8>,
    /// Of `first` only versions below this.
    pub(crate) below: Lsn,
    /// Of `last` only versions above this.
    pub(crate) above: Lsn,
}

impl Scope {
    /// All keys from one to another.
    pub(crate) fn all(first: &[u8], last: &[u8]) -> Scope {
        Scope { first: first.to_vec(), last: last.to_vec(), below: Lsn::MAX, above: Lsn::ZERO }
    }

    /// True if it may have a row.
    pub(crate) fn contains(&self, key: &[u8], lsn: Lsn) -> bool {
        key >= self.first.as_slice()
            && key <= self.last.as_slice()
            && (lsn < self.below || key != self.first.as_slice())
            && (lsn > self.above || key != self.last.as_slice())
    }
}

/// A piece of a table, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This block.
    Block(usize),
    /// A block that cannot be read.
    Lost(Scope),
}

/// All of a table, block by block.
#[derive(Debug)]
pub(crate) struct Survey {
    loaded: Loaded,
    pub(crate) pieces: Vec<Piece>,
    /// Blocks and parts that cannot be read; neighbours are one piece.
    pub(crate) lost: usize,
    /// Of the blocks that can be read.
    pub(crate) rows: u64,
    pub(crate) digest: u128,
}

/// So many neighbours that are lost are asked for at once.
const MOST_JOINED: usize = 512;

/// Sum of the digests of a block's rows.
pub(super) fn block_digest(digester: &mut RowDigester, block: &Block) -> u128 {
    let mut key = block.prefix().to_vec();
    (0..block.rows()).fold(0u128, |sum, row| {
        key.truncate(block.prefix().len());
        key.extend_from_slice(block.suffix(row));
        sum.wrapping_add(digester.digest(&key, block.lsn(row), block.value(row)))
    })
}

/// First and last row of a block.
struct Ends {
    first: (Vec<u8>, Lsn),
    last: (Vec<u8>, Lsn),
}

fn ends(block: &Block) -> Ends {
    let row = |at: usize| (block.key(at), block.lsn(at));
    Ends { first: row(0), last: row(block.rows().saturating_sub(1)) }
}

impl Table {
    /// Reads everything once, past the cache. Fails only if nothing can be known of the table: no file, and nobody to ask
    /// for its parts.
    pub(crate) fn survey(&self) -> Result<Survey> {
        let loaded = match self.load() {
            Ok(loaded) => loaded,
            Err(error) => self.load_healed(self.noted(error))?,
        };
        let mut survey = Survey { loaded, pieces: Vec::new(), lost: 0, rows: 0, digest: 0 };
        let mut digester = RowDigester::default();
        let horizon = self.meta.horizon;
        let mut before: Option<Ends> = None;
        let mut joined = 0;
        for at in 0..survey.loaded.index.blocks() {
            let block = match self.survey_block(&survey, at) {
                Ok(block) => block,
                Err(error @ Error::Corruption { .. }) => {
                    self.noted(error);
                    let lost = self.lost(&survey.loaded, at, before.take());
                    survey.lost += 1;
                    joined = match survey.pieces.last_mut() {
                        Some(Piece::Lost(scope)) if joined < MOST_JOINED => {
                            scope.last = lost.last;
                            joined + 1
                        }
                        _ => {
                            survey.pieces.push(Piece::Lost(lost));
                            1
                        }
                    };
                    continue;
                }
                Err(error) => return Err(error),
            };
            let ends = ends(&block);
            if let Some(Piece::Lost(scope)) = survey.pieces.last_mut()
                && ends.first.0 == scope.last
            {
                // What was kept as the newest version for everybody lies in this block, so nothing older than the horizon lay
                // before it.
                scope.above = if ends.first.1 <= horizon { horizon } else { ends.first.1 };
            }
            survey.digest = survey.digest.wrapping_add(block_digest(&mut digester, &block));
            survey.rows += block.rows() as u64;
            survey.pieces.push(Piece::Block(at));
            before = Some(ends);
        }
        Ok(survey)
    }

    /// Where the rows of block `at` must be, behind a block that could be read or at the beginning or behind a lost one, which
    /// takes all of a key that both might have.
    fn lost(&self, loaded: &Loaded, at: usize, before: Option<Ends>) -> Scope {
        let separator = at.checked_sub(1).map(|before| loaded.index.separator(before));
        let last = loaded.index.separator(at).min(self.meta.largest.clone());
        let mut scope = Scope::all(&self.meta.smallest, &last);
        match (separator, before) {
            (None, _) => {}
            // The versions of the last key go on, unless the one that everybody may need has been there.
            (Some(separator), Some(before))
                if before.last.0 == separator && before.last.1 > self.meta.horizon =>
            {
                scope.first = separator;
                scope.below = before.last.1;
            }
            (Some(separator), _) => scope.first = successor(&separator),
        }
        scope
    }

    /// A block of a survey, read from its file.
    fn survey_block(&self, survey: &Survey, at: usize) -> Result<Block> {
        let (file, handle) = self.survey_place(survey, at)?;
        self.read_data(file, handle)
    }

    /// The same once more, and its content as another table may have it.
    pub(crate) fn survey_copy(&self, survey: &Survey, at: usize, copy: &mut BlockCopy) -> Result<Block> {
        let (file, handle) = self.survey_place(survey, at)?;
        self.read_data_to_copy(file, handle, copy)
    }

    fn survey_place<'s>(&self, survey: &'s Survey, at: usize) -> Result<(&'s Arc<dyn File>, BlockHandle)> {
        let Loaded { file, index, damage, .. } = &survey.loaded;
        let Some(file) = file else {
            return Err(damage.map_or_else(|| self.no_block(), |damage| self.damaged(damage)));
        };
        Ok((file, index.handle(at).ok_or_else(|| self.no_block())?))
    }
}

impl Survey {
    /// The removed ranges, if they could be read.
    pub(crate) fn ranges(&self) -> Option<&Fragments> {
        self.loaded.has_own_ranges.then_some(&self.loaded.ranges)
    }

    /// True if everything could be read but filters and properties.
    pub(crate) fn is_whole(&self) -> bool {
        self.loaded.has_own_ranges && self.pieces.iter().all(|piece| matches!(piece, Piece::Block(_)))
    }
}

//! A table whose index is lost: a new one, from the blocks that are still there.

use std::sync::Arc;

use stemedb_env::File;

use super::{parts::rows_of_a_part, survey::block_digest};
use crate::{
    Error, Result,
    kv::RowDigester,
    ranges::successor,
    store::Damage,
    table::{
        Table,
        block::Block,
        format::{Footer, TRAILER_BYTES},
        index::{Index, IndexBuilder},
        reader::{Loaded, Resident},
        scan::{self, Found},
    },
};

/// Behind a damaged place so many bytes are searched for the next block. A reader waits for it.
const BEHIND_BYTES: u64 = 1 << 20;

/// The index on its way.
struct Finder<'t> {
    table: &'t Table,
    cause: &'t Error,
    index: IndexBuilder,
    /// Greatest key so far.
    last: Option<Vec<u8>>,
    /// Where the next block lies.
    at: u64,
    blocks: u64,
    lost: u64,
    rows: u64,
    digest: u128,
    digester: RowDigester,
}

impl Finder<'_> {
    fn take(&mut self, block: &Block, bytes: u64) -> Result<()> {
        self.digest = self.digest.wrapping_add(block_digest(&mut self.digester, block));
        self.rows += block.rows() as u64;
        self.blocks += 1;
        self.add(block.key(block.rows().saturating_sub(1)), bytes)
    }

    fn add(&mut self, separator: Vec<u8>, bytes: u64) -> Result<()> {
        let bytes = u32::try_from(bytes).map_err(|_| self.cause.again())?;
        self.index.add(&separator, bytes);
        self.at += u64::from(bytes);
        self.last = Some(separator);
        Ok(())
    }

    /// Keys between what was found before and `upto` lie in `bytes` that verify as nothing: parts that will be derived.
    fn lose(&mut self, bytes: u64, upto: &[u8]) -> Result<()> {
        self.lost += 1;
        let from = self.last.as_deref().map_or_else(|| self.table.meta.smallest.clone(), successor);
        let mut cuts = match from.as_slice() <= upto {
            // Without cuts it is one part: what is not lost can be read all the same.
            true => self
                .table
                .cuts(&from, upto, rows_of_a_part(&self.table.meta), self.cause)
                .unwrap_or_else(|_| vec![upto.to_vec()]),
            // Nothing can lie between neighbours that touch.
            false => vec![self.last.clone().unwrap_or_default()],
        };
        // Every part has a place, and no two have the same.
        let most = usize::try_from(bytes / TRAILER_BYTES as u64).unwrap_or(usize::MAX);
        if most == 0 {
            return Err(self.cause.again());
        }
        while cuts.len() > most {
            // Every second one, and the last in any case.
            let last = cuts.len() - 1;
            let kept = cuts.into_iter().enumerate().filter(|(nth, _)| nth % 2 == 1 || *nth == last);
            cuts = kept.map(|(_, cut)| cut).collect();
        }
        let each = bytes / cuts.len() as u64;
        let first = bytes - each * (cuts.len() as u64 - 1);
        for (nth, cut) in cuts.into_iter().enumerate() {
            self.add(cut, if nth == 0 { first } else { each })?;
        }
        Ok(())
    }
}

impl Table {
    /// Reads the whole file for the blocks in it. `None` if there are none, or if they are not this table's.
    ///
    /// The index needs no source as long as no block is lost with it. Cost: see [`scan`].
    pub(super) fn load_by_blocks(
        &self,
        file: Arc<dyn File>,
        footer: Option<Footer>,
        damage: Damage,
        cause: &Error,
    ) -> Result<Option<Loaded>> {
        let len = file.len()?.min(self.meta.bytes);
        let end = footer.as_ref().map_or(len, Footer::data_end);
        let mut finder = Finder {
            table: self,
            cause,
            index: IndexBuilder::default(),
            last: None,
            at: 0,
            blocks: 0,
            lost: 0,
            rows: 0,
            digest: 0,
            digester: RowDigester::default(),
        };
        let searched = scan::search(&*file, &self.identity(), end, BEHIND_BYTES, &mut |found| match found {
            Found::Block(block, bytes) => finder.take(block, bytes),
            Found::Lost { bytes, next: Some(next), .. } => finder.lose(bytes, &next.key(0)),
            Found::Lost { bytes, next: None, .. } => finder.lose(bytes, &self.meta.largest),
        });
        let behind = match searched {
            Ok(behind) if finder.blocks > 0 => behind,
            _ => return Ok(None),
        };
        let mut end = behind.at;
        if finder.last.as_ref().is_none_or(|last| *last < self.meta.largest) {
            // Cut off between two blocks: what is gone gets places behind the end.
            let bytes = self.meta.bytes.saturating_sub(end).max(TRAILER_BYTES as u64);
            if finder.lose(bytes, &self.meta.largest).is_err() {
                return Ok(None);
            }
            end += bytes;
        }
        let Finder { index, blocks, lost, rows, digest, .. } = finder;
        let (ranges, has_own_ranges) = match (&footer, behind.ranges) {
            (Some(footer), _) => match self.load_ranges(&*file, footer) {
                Ok(ranges) => (ranges, true),
                Err(_) => (self.healed_ranges(cause)?, false),
            },
            (None, Some(ranges)) if ranges.len() as u64 == self.meta.ranges => (ranges, true),
            (None, _) => (self.healed_ranges(cause)?, false),
        };
        let told = digest.wrapping_add(ranges.digest(&mut RowDigester::default()));
        if lost == 0 && has_own_ranges && (rows != self.meta.rows || told != self.meta.digest) {
            tracing::error!(
                file = self.meta.file,
                "all blocks of a table verify, and are not what it should have"
            );
            return Ok(None);
        }
        let Ok(index) = Index::decode(&index.encode(), end) else { return Ok(None) };
        tracing::warn!(
            file = self.meta.file,
            blocks,
            lost,
            "the index of a table was made again from its blocks"
        );
        let footer = footer.unwrap_or_else(|| Footer::of_data(end));
        let resident = Resident { index, ranges, has_own_ranges, has_own_index: false, damage: Some(damage) };
        self.assemble(file, footer, resident).map(Some)
    }
}

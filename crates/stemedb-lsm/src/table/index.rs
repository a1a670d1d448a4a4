//! The index of a table: one separator and one place per data block, all resident.
//!
//! ```text
//! u32 blocks | u32 prefix bytes | prefix | blocks × u32 block bytes | blocks × u32 separator end | separator suffixes
//! ```
//!
//! Blocks follow each other from the header on, so lengths are enough. A separator is not less than any key of its
//! block and less than every key of the next one, unless both share a key: then it is that key.

use super::{
    format::{BlockHandle, HEADER_BYTES, TRAILER_BYTES},
    heads::Heads,
};
use crate::codec::{Fields, Malformed, common_prefix, put_bytes};

/// A decoded index.
#[derive(Debug)]
pub(crate) struct Index {
    heads: Heads,
    ends: Box<[u32]>,
    suffixes: Box<[u8]>,
    /// Offset of each block, and behind the last.
    offsets: Box<[u64]>,
}

/// Collects the index while a table is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    separators: Vec<u8>,
    ends: Vec<u32>,
    block_bytes: Vec<u32>,
}

/// The shortest string that is `>= low` and `< high`, or `low` itself if there is no shorter one.
pub(crate) fn shortest_separator<'a>(low: &'a [u8], high: &'a [u8]) -> &'a [u8] {
    let shared = common_prefix(low, high);
    // `high` cut behind the first differing byte is greater than `low`; it is less than `high` only if `high` goes on.
    match high.get(..shared + 1) {
        Some(cut) if cut.len() < high.len() && cut.len() < low.len() && cut > low => cut,
        _ => low,
    }
}

impl IndexBuilder {
    pub(crate) fn add(&mut self, separator: &[u8], block_bytes: u32) {
        self.separators.extend_from_slice(separator);
        self.ends.push(u32::try_from(self.separators.len()).unwrap_or(u32::MAX));
        self.block_bytes.push(block_bytes);
    }

    /// Bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.separators.capacity() + (self.ends.capacity() + self.block_bytes.capacity()) * size_of::<u32>()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let separator = |at: usize| {
            let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or_default() };
            let end = self.ends.get(at).copied().unwrap_or_default();
            self.separators.get(start as usize..end as usize).unwrap_or_default()
        };
        let blocks = self.ends.len();
        let prefix = match blocks {
            0 => 0,
            n => common_prefix(separator(0), separator(n - 1)),
        };
        let mut out = Vec::with_capacity(16 + self.separators.len() + blocks * 8);
        out.extend_from_slice(&u32::try_from(blocks).unwrap_or(u32::MAX).to_le_bytes());
        put_bytes(&mut out, if blocks == 0 { &[] } else { separator(0).get(..prefix).unwrap_or_default() });
        for bytes in &self.block_bytes {
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        let mut end = 0u32;
        for at in 0..blocks {
            end += u32::try_from(separator(at).len() - prefix).unwrap_or(u32::MAX);
            out.extend_from_slice(&end.to_le_bytes());
        }
        for at in 0..blocks {
            out.extend_from_slice(separator(at).get(prefix..).unwrap_or_default());
        }
        out
    }
}

impl Index {
    /// Decodes; the data blocks must fill the file from the header to `data_end` exactly.
    pub(crate) fn decode(bytes: &[u8], data_end: u64) -> Result<Index, Malformed> {
        let mut fields = Fields::new(bytes);
        let blocks = fields.u32()? as usize;
        let prefix = fields.bytes()?;
        // Eight bytes per block must follow: a wild count ends here, before anything is allocated.
        if blocks.checked_mul(8).is_none_or(|n| n > bytes.len()) {
            return Err(Malformed);
        }
        let mut offsets = Vec::with_capacity(blocks + 1);
        let mut offset = HEADER_BYTES as u64;
        offsets.push(offset);
        for _ in 0..blocks {
            let n = fields.u32()?;
            if (n as usize) < TRAILER_BYTES {
                return Err(Malformed);
            }
            offset += u64::from(n);
            offsets.push(offset);
        }
        if offset != data_end {
            return Err(Malformed);
        }
        let mut ends = Vec::with_capacity(blocks);
        for _ in 0..blocks {
            let end = fields.u32()?;
            if ends.last().is_some_and(|before| *before > end) {
                return Err(Malformed);
            }
            ends.push(end);
        }
        let suffixes = fields.take(ends.last().copied().unwrap_or_default() as usize)?;
        fields.end()?;
        let mut index = Index {
            heads: Heads::default(),
            ends: ends.into(),
            suffixes: suffixes.into(),
            offsets: offsets.into(),
        };
        index.heads = Heads::of_suffixes(prefix, (0..blocks).map(|at| index.suffix(at)));
        if (1..blocks).any(|at| index.suffix(at - 1) > index.suffix(at)) {
            return Err(Malformed);
        }
        Ok(index)
    }

    /// An index over parts of a table that has no file: one separator each, ascending and without repetition. Nothing
    /// lies at the places that it names.
    pub(crate) fn of_parts(separators: &[Vec<u8>]) -> Result<Index, Malformed> {
        let mut builder = IndexBuilder::default();
        separators.iter().for_each(|separator| builder.add(separator, TRAILER_BYTES as u32));
        Index::decode(&builder.encode(), (HEADER_BYTES + TRAILER_BYTES * separators.len()) as u64)
    }

    /// Number of blocks. None if the table has removed ranges alone.
    pub(crate) fn blocks(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.heads.memory_bytes() + self.suffixes.len() + self.ends.len() * 4 + self.offsets.len() * 8)
            as u64
    }

    fn suffix(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or_default() };
        let end = self.ends.get(at).copied().unwrap_or_default();
        self.suffixes.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The separator of block `at`: no key of it is greater, and none of the next block is less.
    pub(crate) fn separator(&self, at: usize) -> Vec<u8> {
        [self.heads.prefix(), self.suffix(at)].concat()
    }

    /// True if every key of block `at` is less than `key`.
    pub(crate) fn block_is_before(&self, at: usize, key: &[u8]) -> bool {
        let prefix = self.heads.prefix();
        match key.strip_prefix(prefix) {
            Some(rest) => self.suffix(at) < rest,
            None => prefix < key,
        }
    }

    /// True if the separator of block `at` is exactly `key`: only then may its rows go on in the next block.
    pub(crate) fn separator_is(&self, at: usize, key: &[u8]) -> bool {
        key.strip_prefix(self.heads.prefix()).is_some_and(|rest| rest == self.suffix(at))
    }

    /// The first block that may hold a key `>= key`; [`Index::blocks`] if none.
    pub(crate) fn seek(&self, key: &[u8]) -> usize {
        self.heads.lower_bound(key, |at| self.suffix(at))
    }

    /// Where block `at` lies.
    pub(crate) fn handle(&self, at: usize) -> Option<BlockHandle> {
        let (start, end) = (*self.offsets.get(at)?, *self.offsets.get(at + 1)?);
        Some(BlockHandle { offset: start, bytes: u32::try_from(end - start).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_separator_lies_between_its_neighbours(a in proptest::collection::vec(0u8..3, 0..6), b in proptest::collection::vec(0u8..3, 0..6)) {
            prop_assume!(a < b);
            let cut = shortest_separator(&a, &b);
            prop_assert!(cut >= a.as_slice() && cut < b.as_slice() && cut.len() <= a.len());
        }

        #[test]
        fn seek_finds_the_first_block_that_is_not_before(
            mut keys in proptest::collection::vec(proptest::collection::vec(0u8..2, 0..14), 1..40),
            probe in proptest::collection::vec(0u8..2, 0..14),
        ) {
            keys.sort();
            let mut builder = IndexBuilder::default();
            keys.iter().for_each(|key| builder.add(key, 100));
            let end = HEADER_BYTES as u64 + 100 * keys.len() as u64;
            let index = Index::decode(&builder.encode(), end).unwrap();
            prop_assert_eq!(index.seek(&probe), keys.partition_point(|key| *key < probe));
            for (at, key) in keys.iter().enumerate() {
                prop_assert_eq!(index.block_is_before(at, &probe), *key < probe);
                prop_assert_eq!(index.separator_is(at, &probe), *key == probe);
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(0u8..20, 0..80)) {
            let _ = Index::decode(&bytes, 100);
        }
    }
}

//! What is known of a table without reading it: the same fields in its properties block and in the manifest.

use stemedb_env::Lsn;

use crate::{
    codec::{Fields, Malformed, put_bytes},
    kv::TableInfo,
};

/// Description of one table.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct TableMeta {
    pub(crate) file: u64,
    /// Length of the file; in the properties block, which cannot know it, 0.
    pub(crate) bytes: u64,
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    pub(crate) min_lsn: Lsn,
    pub(crate) max_lsn: Lsn,
    pub(crate) rows: u64,
    /// Distinct keys.
    pub(crate) keys: u64,
    pub(crate) tombstones: u64,
    /// Pieces of removed ranges: one per span and LSN.
    pub(crate) ranges: u64,
    /// Bytes of all keys and values, and of the borders of the removed ranges.
    pub(crate) data_bytes: u64,
    /// Wrapping sum of [`crate::kv::row_digest`] over all rows, and of the digests of removed ranges.
    pub(crate) digest: u128,
    pub(crate) derivation_version: u32,
    /// When it was built, of each key only the newest version at or below this LSN was kept.
    pub(crate) horizon: Lsn,
    /// When it was built, removals at or below the horizon were dropped.
    pub(crate) drops_tombstones: bool,
}

impl TableMeta {
    pub(crate) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.smallest.as_slice() <= largest && self.largest.as_slice() >= smallest
    }

    /// True if nothing in it hides or may be hidden: no removals, and one version of each key.
    pub(crate) fn is_clean(&self) -> bool {
        self.tombstones == 0 && self.ranges == 0 && self.keys == self.rows
    }

    pub(crate) fn info(&self, level: usize) -> TableInfo {
        TableInfo {
            file: self.file,
            level: u32::try_from(level).unwrap_or(u32::MAX),
            smallest: self.smallest.clone(),
            largest: self.largest.clone(),
            min_lsn: self.min_lsn,
            max_lsn: self.max_lsn,
            rows: self.rows,
            range_removals: self.ranges,
            bytes: self.bytes,
            digest: self.digest,
            horizon: self.horizon,
        }
    }
}

pub(crate) fn encode_meta(meta: &TableMeta, out: &mut Vec<u8>) {
    out.extend_from_slice(&meta.file.to_le_bytes());
    out.extend_from_slice(&meta.bytes.to_le_bytes());
    for n in [meta.min_lsn.0, meta.max_lsn.0, meta.rows, meta.keys, meta.tombstones, meta.data_bytes] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.extend_from_slice(&meta.digest.to_le_bytes());
    out.extend_from_slice(&meta.horizon.0.to_le_bytes());
    out.extend_from_slice(&meta.derivation_version.to_le_bytes());
    out.push((u8::from(meta.drops_tombstones) * DROPS) | (u8::from(meta.ranges > 0) * HAS_RANGES));
    put_bytes(out, &meta.smallest);
    put_bytes(out, &meta.largest);
    if meta.ranges > 0 {
        out.extend_from_slice(&meta.ranges.to_le_bytes());
    }
}

/// Bits of the flags.
const DROPS: u8 = 1;
const HAS_RANGES: u8 = 2;

pub(crate) fn decode_meta(fields: &mut Fields<'_>) -> Result<TableMeta, Malformed> {
    let mut meta = TableMeta { file: fields.u64()?, bytes: fields.u64()?, ..TableMeta::default() };
    meta.min_lsn = Lsn(fields.u64()?);
    meta.max_lsn = Lsn(fields.u64()?);
    meta.rows = fields.u64()?;
    meta.keys = fields.u64()?;
    meta.tombstones = fields.u64()?;
    meta.data_bytes = fields.u64()?;
    meta.digest = fields.u128()?;
    meta.horizon = Lsn(fields.u64()?);
    meta.derivation_version = fields.u32()?;
    let flags = fields.u8()?;
    meta.drops_tombstones = flags & DROPS != 0;
    meta.smallest = fields.bytes()?.to_vec();
    meta.largest = fields.bytes()?.to_vec();
    if flags & HAS_RANGES != 0 {
        meta.ranges = Some(fields.u64()?).filter(|ranges| *ranges > 0).ok_or(Malformed)?;
    }
    let is_empty = meta.rows == 0 && meta.ranges == 0;
    if meta.smallest > meta.largest
        || meta.min_lsn > meta.max_lsn
        || is_empty
        || flags & !(DROPS | HAS_RANGES) != 0
    {
        return Err(Malformed);
    }
    Ok(meta)
}

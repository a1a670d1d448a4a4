//! Rows as they are: the derivation of a plain key-value store, for benchmarks and for engines without claims.

use std::ops::RangeInclusive;

use stemedb_env::{Lsn, Micros};
use stemedb_lsm::{KvSnapshot, Op, WriteBatch};

use super::{Admit, Admitted, Derive, ViewRow, within::push_if_within};
use crate::{Error, Result, error::EntryProblem};

/// Journal entries that are batches of writes: each row is its own derivation.
///
/// Entry: per operation one byte (1 put, 0 delete, 2 delete of a range), key length and value length (u32, little-endian), key,
/// value. Of a range the key is its start, and the value its end; an empty range is no operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValues;

const OP_HEADER_BYTES: usize = 9;

impl Derive for KeyValues {
    const VERSION: u32 = 1;

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> Result<()> {
        each(lsn, entry, |op| match op {
            Op::Put { key, value } => rows.put(key, value),
            Op::Delete { key } => rows.delete(key),
            Op::DeleteRange { start, end } => rows.delete_range(start, end),
        })
    }

    fn derive_within(
        &self,
        lsn: Lsn,
        entry: &[u8],
        keys: &RangeInclusive<&[u8]>,
        rows: &mut WriteBatch,
    ) -> Result<()> {
        each(lsn, entry, |op| push_if_within(&op, keys, rows))
    }

    fn invert(&self, _lsn: Lsn, rows: &[ViewRow]) -> Result<Option<Vec<u8>>> {
        // Deletions leave no row behind, so this is only lossless for write-once data.
        let mut batch = WriteBatch::new();
        rows.iter().for_each(|(key, value)| batch.put(key, value));
        Ok(Some(encode(&batch)))
    }

    fn recorded_at(&self, _lsn: Lsn, _entry: &[u8]) -> Result<Option<Micros>> {
        Ok(None)
    }

    fn filtered_prefix_bytes(_key: &[u8]) -> usize {
        0
    }
}

/// Visits the operations of an entry, without copying.
fn each<'a>(lsn: Lsn, entry: &'a [u8], mut visit: impl FnMut(Op<'a>)) -> Result<()> {
    let truncated = || Error::BadEntry { lsn, problem: EntryProblem::Truncated };
    let mut rest = entry;
    while let Some((header, tail)) = rest.split_first_chunk::<OP_HEADER_BYTES>() {
        let [kind, k0, k1, k2, k3, v0, v1, v2, v3] = *header;
        let key_bytes = u32::from_le_bytes([k0, k1, k2, k3]) as usize;
        let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (key, tail) = tail.split_at_checked(key_bytes).ok_or_else(truncated)?;
        let (value, tail) = tail.split_at_checked(value_bytes).ok_or_else(truncated)?;
        visit(match kind {
            1 => Op::Put { key, value },
            0 => Op::Delete { key },
            2 => Op::DeleteRange { start: key, end: value },
            other => return Err(Error::BadEntry { lsn, problem: EntryProblem::UnknownLayout(other) }),
        });
        rest = tail;
    }
    if rest.is_empty() { Ok(()) } else { Err(truncated()) }
}

fn encode(batch: &WriteBatch) -> Vec<u8> {
    let mut entry = Vec::with_capacity(batch.data_bytes() + batch.len() * OP_HEADER_BYTES);
    for op in batch.iter() {
        let (kind, key, value) = match op {
            Op::Put { key, value } => (1, key, value),
            Op::Delete { key } => (0, key, &[][..]),
            Op::DeleteRange { start, end } => (2, start, end),
        };
        entry.push(kind);
        // The store refuses keys and values that would not fit 32 bits, long before this.
        entry.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        entry.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        entry.extend_from_slice(key);
        entry.extend_from_slice(value);
    }
    entry
}

impl Admit for KeyValues {
    type Request = WriteBatch;
    type Reply = Lsn;
    type InFlight = ();

    fn cost_bytes(request: &WriteBatch) -> usize {
        request.data_bytes()
    }

    fn admit<S: KvSnapshot>(
        &self,
        request: WriteBatch,
        _view: &S,
        (): &mut (),
        lsn: Lsn,
        _now: Micros,
    ) -> Result<Admitted<Lsn>> {
        Ok(Admitted { entry: Some(encode(&request)), reply: lsn })
    }

    fn retire(&self, (): &mut (), _lsn: Lsn) {}

    fn abandon(&self, (): &mut (), _lsn: Lsn) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_back_as_they_were() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1");
        batch.delete(b"b");
        batch.put(b"", b"");
        batch.delete_range(b"a", b"c");
        batch.put(b"b", b"2");
        let mut rows = WriteBatch::new();
        KeyValues.derive(Lsn(1), &encode(&batch), &mut rows).unwrap();
        assert_eq!(rows.iter().collect::<Vec<_>>(), batch.iter().collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_cut_anywhere_is_refused() {
        let mut batch = WriteBatch::new();
        batch.put(b"key", b"value");
        batch.delete_range(b"k", b"l");
        let entry = encode(&batch);
        let whole = OP_HEADER_BYTES + b"keyvalue".len();
        for len in (1..entry.len()).filter(|len| *len != whole) {
            assert!(KeyValues.derive(Lsn(1), &entry[..len], &mut WriteBatch::new()).is_err(), "{len}");
        }
    }

    #[test]
    fn an_entry_is_what_it_always_was() {
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"v");
        batch.delete(b"d");
        batch.delete_range(b"a", b"bc");
        let entry = b"\x01\x01\0\0\0\x01\0\0\0kv\0\x01\0\0\0\0\0\0\0d\x02\x01\0\0\0\x02\0\0\0abc";
        assert_eq!(encode(&batch), entry);
        let unknown = b"\x03\x01\0\0\0\0\0\0\0k";
        assert!(KeyValues.derive(Lsn(1), unknown, &mut WriteBatch::new()).is_err());
    }
}

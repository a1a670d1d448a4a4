//! Reading through StemeDB's snapshots.

use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, Value};

use crate::engine::{Reader, Result, Tally, touch};

/// A snapshot, and where to get the next one.
pub(super) struct SnapshotReader<S, N, G> {
    newest: N,
    fresh: G,
    prefix_bytes: fn(&[u8]) -> usize,
    snapshot: S,
}

impl<S, N, G> SnapshotReader<S, N, G>
where
    S: KvSnapshot,
    N: Fn() -> Result<S>,
    G: Fn(&[u8]) -> Result<Option<Value>>,
{
    /// A reader with a first snapshot from `newest`, which looks the newest values up with `fresh`.
    pub fn new(newest: N, fresh: G, prefix_bytes: fn(&[u8]) -> usize) -> Result<SnapshotReader<S, N, G>> {
        let snapshot = newest()?;
        Ok(SnapshotReader { newest, fresh, prefix_bytes, snapshot })
    }
}

impl<S, N, G> Reader for SnapshotReader<S, N, G>
where
    S: KvSnapshot,
    N: Fn() -> Result<S>,
    G: Fn(&[u8]) -> Result<Option<Value>>,
{
    fn renew(&mut self) -> Result<()> {
        self.snapshot = (self.newest)()?;
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.snapshot.get(key)?.map(|value| touch(&value)))
    }

    fn get_fresh(&mut self, key: &[u8]) -> Result<Option<u64>> {
        Ok((self.fresh)(key)?.map(|value| touch(&value)))
    }

    fn multi_get(&mut self, keys: &[&[u8]], found: &mut Vec<Option<u64>>) -> Result<()> {
        let values = self.snapshot.multi_get(keys)?;
        found.extend(values.iter().map(|value| value.as_ref().map(|value| touch(value))));
        Ok(())
    }

    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally> {
        let range = if prefix.is_empty() {
            KeyRange::all()
        } else {
            // Only a declared prefix may be looked up in the filters.
            let prefix_bytes = (self.prefix_bytes)(prefix);
            KeyRange { prefix_bytes, ..KeyRange::prefix(prefix) }
        };
        let mut tally = Tally::default();
        let mut rows = self.snapshot.scan(&range, Direction::Forward);
        while tally.rows < limit && rows.advance()? {
            tally.add(rows.key(), rows.value());
        }
        Ok(tally)
    }
}

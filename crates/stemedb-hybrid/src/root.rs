//! One number for the content of a view.

use std::fmt;

use stemedb_env::Lsn;
use stemedb_index::Derive;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, RowSum};

use crate::Result;

/// An order-independent hash over the rows of a view: the same rows give the same root, in any store, in any order.
///
/// Each row is hashed (BLAKE3, 512 bits, lengths included) and the hashes are added as integers modulo 2^512. A row can be
/// taken out again by subtraction, so a root can be kept up to date at the cost of one hash per change. Source: Bellare,
/// Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost" (AdHash).
///
/// Equality is that of the rows; the LSN at which they were seen goes along and is not compared.
#[derive(Clone, Copy, Default)]
pub struct StateRoot {
    sum: RowSum,
    lsn: Lsn,
}

impl PartialEq for StateRoot {
    fn eq(&self, other: &StateRoot) -> bool {
        self.sum == other.sum
    }
}

impl Eq for StateRoot {}

impl StateRoot {
    /// The root of no rows.
    pub fn empty() -> StateRoot {
        StateRoot::default()
    }

    /// Adds one row.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.sum.add(&row_hash(key, value));
    }

    /// Number of rows added.
    pub fn rows(&self) -> u64 {
        self.sum.rows()
    }

    /// The entry up to which the view had come whose rows these are; 0 for rows that were not a view's.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The root of everything that a snapshot shows. Cost: as of [`crate::HybridStore::state_root`].
    pub fn of_snapshot<D: Derive, S: KvSnapshot>(snapshot: &S) -> Result<StateRoot> {
        of_view::<D, S>(snapshot)
    }

    /// The root of what a snapshot showed after an earlier entry: of the rows that entries up to `lsn` have written. `None` if
    /// that cannot be told, because keys of the derivation may be written again or the snapshot has not come so far.
    ///
    /// Cost: a full scan, unless nothing was written since.
    pub fn of_past<D: Derive, S: KvSnapshot>(snapshot: &S, lsn: Lsn) -> Result<Option<StateRoot>> {
        if lsn == snapshot.lsn() {
            return of_view::<D, S>(snapshot).map(Some);
        }
        if !D::WRITE_ONCE || lsn > snapshot.lsn() {
            return Ok(None);
        }
        let mut root = StateRoot { lsn, ..StateRoot::empty() };
        let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
        while rows.advance()? {
            if rows.lsn() <= lsn {
                root.add(rows.key(), rows.value());
            }
        }
        Ok(Some(root))
    }

    /// The root in 32 bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.rows().to_le_bytes());
        for limb in self.sum.limbs() {
            hasher.update(&limb.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

fn row_hash(key: &[u8], value: &[u8]) -> [u8; 64] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut hash = [0; 64];
    hasher.finalize_xof().fill(&mut hash);
    hash
}

/// The root of everything that a snapshot shows, by definition: a full scan.
pub(crate) fn by_scan<S: KvSnapshot>(snapshot: &S) -> Result<StateRoot> {
    let mut root = StateRoot { lsn: snapshot.lsn(), ..StateRoot::empty() };
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    while rows.advance()? {
        root.add(rows.key(), rows.value());
    }
    Ok(root)
}

/// The same for less, where the derivation's keys are written once and the store can prove it; see
/// `docs/design/state-root.md`.
pub(crate) fn of_view<D: Derive, S: KvSnapshot>(snapshot: &S) -> Result<StateRoot> {
    if D::WRITE_ONCE
        && let Some(sum) = snapshot.row_sum(&row_hash)?
    {
        return Ok(StateRoot { sum, lsn: snapshot.lsn() });
    }
    by_scan(snapshot)
}

impl fmt::Display for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateRoot({self}, {} rows)", self.rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_content_does() {
        let rows: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"2"), (b"ab", b"")];
        let of = |order: &[usize]| {
            let mut root = StateRoot::empty();
            order.iter().for_each(|i| root.add(rows[*i].0, rows[*i].1));
            root
        };
        assert_eq!(of(&[0, 1, 2]), of(&[2, 0, 1]));
        assert_ne!(of(&[0, 1]), of(&[0, 2]));
        assert_ne!(of(&[0]).digest(), of(&[0, 0]).digest());
        let mut moved = StateRoot::empty();
        moved.add(b"a1", b"");
        assert_ne!(moved, of(&[0]), "a byte moved from value to key must show");
    }
}

//! Which versions may be forgotten.

use stemedb_env::Lsn;

/// Decides row by row, in table order: of each key everything above the horizon is kept, and the newest version at or
/// below it. At the bottom of the tree a removal at or below the horizon has nothing left to hide and goes too.
///
/// It is told where a new key begins instead of comparing keys: its caller knows that already.
#[derive(Debug, Default)]
pub(crate) struct Gc {
    horizon: Lsn,
    drop_tombstones: bool,
    /// The version that every snapshot at or above the horizon may need at most has been seen.
    settled: bool,
}

impl Gc {
    pub(crate) fn new(horizon: Lsn, drop_tombstones: bool) -> Gc {
        Gc { horizon, drop_tombstones, settled: false }
    }

    /// Whether removals may go, from the next key on.
    pub(crate) fn set_bottom(&mut self, is_bottom: bool) {
        self.drop_tombstones = is_bottom;
    }

    /// True if the row must be kept. `is_new`: the row before has another key.
    pub(crate) fn keeps(&mut self, is_new: bool, lsn: Lsn, is_tombstone: bool) -> bool {
        if is_new {
            self.settled = false;
        }
        if lsn > self.horizon {
            return true;
        }
        let newest_settled = !std::mem::replace(&mut self.settled, true);
        newest_settled && !(is_tombstone && self.drop_tombstones)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(horizon: u64, bottom: bool, rows: &[(&str, u64, bool)]) -> Vec<(String, u64)> {
        let mut gc = Gc::new(Lsn(horizon), bottom);
        let mut last = None;
        let keep = rows
            .iter()
            .filter(|(key, lsn, dead)| gc.keeps(last.replace(*key) != Some(*key), Lsn(*lsn), *dead));
        keep.map(|(key, lsn, _)| ((*key).to_owned(), *lsn)).collect()
    }

    const ROWS: [(&str, u64, bool); 6] =
        [("a", 9, false), ("a", 5, false), ("a", 3, false), ("b", 4, true), ("b", 2, false), ("c", 1, false)];

    #[test]
    fn versions_that_a_snapshot_may_need_are_kept() {
        assert_eq!(kept(0, true, &ROWS).len(), 6);
        let expected = [("a", 9), ("a", 5), ("b", 4), ("c", 1)].map(|(key, lsn)| (key.to_owned(), lsn));
        assert_eq!(kept(6, false, &ROWS), expected);
        assert_eq!(kept(3, false, &ROWS).len(), 6);
    }

    #[test]
    fn removals_go_only_at_the_bottom_and_below_the_horizon() {
        let expected = [("a", 9), ("a", 5), ("c", 1)].map(|(key, lsn)| (key.to_owned(), lsn));
        assert_eq!(kept(6, true, &ROWS), expected);
        let expected = [("a", 9), ("a", 5), ("a", 3), ("b", 4), ("b", 2), ("c", 1)]
            .map(|(key, lsn)| (key.to_owned(), lsn));
        assert_eq!(kept(3, true, &ROWS), expected);
    }
}

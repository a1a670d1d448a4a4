//! What is known of tables that have been added up.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use stemedb_env::Lsn;

use super::RowSum;
use crate::table::TableMeta;

/// Sums of tables, by file number. Empty until somebody asks for a sum.
#[derive(Debug, Default)]
pub(crate) struct SumCache {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Disjoint.
    groups: Vec<Group>,
    /// No two rows at or below it have the same key, wherever they lie.
    distinct: Lsn,
}

/// Tables whose common sum is known: one that was read, or those that a merge has made of such.
#[derive(Debug)]
struct Group {
    files: BTreeSet<u64>,
    sum: RowSum,
}

/// What is known of the tables of one state.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Files that need not be read.
    pub(super) files: BTreeSet<u64>,
    /// Of those together.
    pub(super) sum: RowSum,
    /// See [`Known::distinct`].
    pub(super) distinct: Lsn,
}

/// Rows and digests of some tables together; `None` if there is more in them than rows that are shown.
fn content<'a>(tables: impl Iterator<Item = &'a TableMeta>) -> Option<(u64, u128)> {
    tables.into_iter().try_fold((0u64, 0u128), |(rows, digest), meta| {
        meta.is_clean().then(|| (rows.wrapping_add(meta.rows), digest.wrapping_add(meta.digest)))
    })
}

impl SumCache {
    /// What is known of these live files.
    pub(super) fn of(&self, live: &BTreeSet<u64>) -> Sums {
        let known = self.known.lock();
        let mut sums = Sums { distinct: known.distinct, ..Sums::default() };
        for group in known.groups.iter().filter(|group| group.files.is_subset(live)) {
            sums.files.extend(&group.files);
            sums.sum.merge(&group.sum);
        }
        sums
    }

    /// Keeps the sums of tables that were read, and that all rows up to `distinct` are. `is_live` is asked while no change of the
    /// set of tables can be told in between.
    pub(super) fn learn(&self, read: Vec<(u64, RowSum)>, distinct: Lsn, is_live: impl Fn(u64) -> bool) {
        let mut known = self.known.lock();
        known.distinct = known.distinct.max(distinct);
        for (file, sum) in read {
            // Another caller may have been quicker.
            if is_live(file) && !known.groups.iter().any(|group| group.files.contains(&file)) {
                known.groups.push(Group { files: BTreeSet::from([file]), sum });
            }
        }
    }

    /// Tables have been replaced by others. To be told after the new ones are seen. Cost: one look when nothing is known.
    pub(crate) fn note_change<'a>(
        &self,
        removed: impl Iterator<Item = &'a TableMeta> + Clone,
        added: impl Iterator<Item = &'a TableMeta> + Clone,
    ) {
        let mut known = self.known.lock();
        if known.groups.is_empty() {
            return;
        }
        // A table that only changes its level is on both sides.
        let moved: BTreeSet<u64> = added
            .clone()
            .map(|meta| meta.file)
            .filter(|file| removed.clone().any(|meta| meta.file == *file))
            .collect();
        let old = removed.filter(|meta| !moved.contains(&meta.file));
        let new = added.filter(|meta| !moved.contains(&meta.file));
        let gone: BTreeSet<u64> = old.clone().map(|meta| meta.file).collect();
        let (met, mut groups): (Vec<Group>, Vec<Group>) =
            std::mem::take(&mut known.groups).into_iter().partition(|group| !group.files.is_disjoint(&gone));
        let mut heir = Group { files: new.clone().map(|meta| meta.file).collect(), sum: RowSum::default() };
        let mut unknown = gone.clone();
        for group in met {
            group.files.iter().for_each(|file| _ = unknown.remove(file));
            heir.files.extend(group.files.difference(&gone));
            heir.sum.merge(&group.sum);
        }
        // Equal digests: these are the same rows. And every replaced table had its part in a sum.
        let is_same = unknown.is_empty() && content(old).is_some_and(|old| content(new) == Some(old));
        if is_same && !gone.is_empty() && !heir.files.is_empty() {
            // The new tables can be seen before this is told: who has read one meanwhile has handed in its part of the heir's sum.
            groups.retain(|group| group.files.is_disjoint(&heir.files));
            groups.push(heir);
        }
        known.groups = groups;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(file: u64, rows: u64, digest: u128) -> TableMeta {
        TableMeta { file, rows, keys: rows, digest, ..TableMeta::default() }
    }

    fn sum(n: u8) -> RowSum {
        let mut sum = RowSum::default();
        (0..n).for_each(|n| sum.add(&[n + 1; 64]));
        sum
    }

    fn both(a: RowSum, b: RowSum) -> RowSum {
        let mut both = a;
        both.merge(&b);
        both
    }

    #[test]
    fn a_merge_that_keeps_all_rows_hands_the_sum_on_and_any_other_forgets_it() {
        let cache = SumCache::default();
        cache.learn(vec![(1, sum(2)), (2, sum(3)), (3, sum(1))], Lsn(9), |_| true);
        let live = |files: &[u64]| files.iter().copied().collect::<BTreeSet<u64>>();
        assert_eq!(cache.of(&live(&[1, 2, 3])).files, live(&[1, 2, 3]));
        assert_eq!(cache.of(&live(&[2])).sum, sum(3), "a snapshot of other tables");
        let (one, two) = (table(1, 2, 50), table(2, 3, u128::MAX));
        let out = [table(4, 1, 20), table(5, 4, 29)];
        cache.note_change([&one, &two].into_iter(), out.iter());
        let known = cache.of(&live(&[3, 4, 5]));
        assert_eq!((known.files, known.sum), (live(&[3, 4, 5]), both(both(sum(2), sum(3)), sum(1))));
        assert_eq!(known.distinct, Lsn(9));
        // Half of the group is not the group.
        assert_eq!(cache.of(&live(&[3, 4])).files, live(&[3]));
        // Moved: nothing changes.
        cache.note_change([&out[0]].into_iter(), [&out[0]].into_iter());
        assert_eq!(cache.of(&live(&[3, 4, 5])).files.len(), 3);
        // A part of the group with the same rows (a repair).
        cache.note_change([&out[1]].into_iter(), [&table(6, 4, 29)].into_iter());
        assert_eq!(cache.of(&live(&[3, 4, 6])).sum, both(both(sum(2), sum(3)), sum(1)));
        // One row less.
        cache.note_change([&out[0]].into_iter(), [&table(7, 1, 21)].into_iter());
        assert_eq!(cache.of(&live(&[3, 6, 7])).files, live(&[3]));
        // With a table that nobody has added up.
        cache.note_change([&table(3, 1, 5), &table(8, 1, 6)].into_iter(), [&table(9, 2, 11)].into_iter());
        assert_eq!(cache.of(&live(&[9])).files, live(&[]));
    }

    /// Between a merge's end and its being told here somebody may read the new tables and hand in their sums.
    #[test]
    fn a_table_that_was_read_before_its_making_was_told_counts_once() {
        let cache = SumCache::default();
        let live = |files: &[u64]| files.iter().copied().collect::<BTreeSet<u64>>();
        cache.learn(vec![(1, sum(2)), (2, sum(3))], Lsn(9), |_| true);
        cache.learn(vec![(4, sum(1))], Lsn(9), |_| true);
        let (one, two) = (table(1, 2, 50), table(2, 3, 60));
        let out = [table(4, 1, 20), table(5, 4, 90)];
        cache.note_change([&one, &two].into_iter(), out.iter());
        let known = cache.of(&live(&[4, 5]));
        assert_eq!((known.files, known.sum), (live(&[4, 5]), both(sum(2), sum(3))));
    }

    #[test]
    fn a_table_that_is_gone_by_now_is_not_learnt() {
        let cache = SumCache::default();
        cache.learn(vec![(1, sum(2)), (2, sum(3))], Lsn(1), |file| file == 2);
        assert_eq!(cache.of(&BTreeSet::from([1, 2])).files, BTreeSet::from([2]));
    }
}

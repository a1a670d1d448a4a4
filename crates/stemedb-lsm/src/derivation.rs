//! Which versions of the deriving function the rows of a tree come from, and which tree may be opened by whom.

use std::{fmt, path::Path};

use crate::{Error, LsmOptions, Result, manifest::TreeState};

/// Versions of the function that derived the rows of a tree from its owner's journal. 0 stands for trees whose owner has no such
/// versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DerivedBy {
    /// The oldest: every table says it.
    pub oldest: u32,
    /// The newest: greater only in a tree that takes rows of a newer version until another tree takes its place.
    pub newest: u32,
}

impl DerivedBy {
    /// All rows are of one version.
    pub fn one(version: u32) -> DerivedBy {
        DerivedBy { oldest: version, newest: version }
    }

    /// The span of both.
    pub(crate) fn and(self, other: DerivedBy) -> DerivedBy {
        DerivedBy { oldest: self.oldest.min(other.oldest), newest: self.newest.max(other.newest) }
    }

    /// True if rows of several versions may lie side by side.
    pub fn is_mixed(self) -> bool {
        self.oldest != self.newest
    }

    /// What an owner with these options writes.
    pub(crate) fn of(options: &LsmOptions) -> DerivedBy {
        let oldest = options.derivation_version;
        DerivedBy { oldest, newest: options.mixed_with.unwrap_or(oldest).max(oldest) }
    }

    /// What is written down of it: nothing where there are no versions.
    pub(crate) fn written(self) -> Option<DerivedBy> {
        (self != DerivedBy::default()).then_some(self)
    }

    /// What a tree is made of: by its own word, or else by that of its tables. `None` if nothing has been derived. A tree that has
    /// come somewhere without a word and without a table says 0: nobody knows which function found nothing to say.
    pub(crate) fn found(state: &TreeState) -> Option<DerivedBy> {
        let versions = || state.tables.values().map(|(_, meta)| meta.derivation_version);
        let by_tables = || match (versions().min(), versions().max()) {
            (Some(oldest), Some(newest)) => Some(DerivedBy { oldest, newest }),
            _ => (state.flushed.0 > 0).then(DerivedBy::default),
        };
        state.derived_by.or_else(by_tables)
    }
}

impl fmt::Display for DerivedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_mixed() {
            false => write!(f, "version {}", self.oldest),
            true => write!(f, "versions {} to {}", self.oldest, self.newest),
        }
    }
}

/// Refuses a tree whose rows are not of the versions that its owner expects; else notes in `state` what they will be of from now
/// on.
pub(crate) fn claim(dir: &Path, state: &mut TreeState, options: &LsmOptions) -> Result<()> {
    let wanted = DerivedBy::of(options);
    if let Some(found) = DerivedBy::found(state)
        && (found.oldest != wanted.oldest || found.newest > wanted.newest)
    {
        return Err(Error::OtherDerivation { dir: dir.to_path_buf(), found, wanted });
    }
    state.derived_by = wanted.written();
    Ok(())
}

#[cfg(test)]
mod tests {
    use stemedb_env::Lsn;

    use super::*;
    use crate::{manifest::Edit, table::TableMeta};

    fn state(said: Option<DerivedBy>, tables: &[u32], flushed: u64) -> TreeState {
        let added = tables
            .iter()
            .zip(1..)
            .map(|(version, file)| {
                (6, TableMeta { file, derivation_version: *version, ..TableMeta::default() })
            })
            .collect();
        let mut state = TreeState::default();
        state.apply(&Edit { added, flushed: Lsn(flushed), derived_by: said, ..Edit::default() });
        state
    }

    fn claimed(mut state: TreeState, version: u32, mixed_with: Option<u32>) -> Option<Option<DerivedBy>> {
        let options = LsmOptions { derivation_version: version, mixed_with, ..LsmOptions::default() };
        match claim(Path::new("/kv"), &mut state, &options) {
            Ok(()) => Some(state.derived_by),
            Err(Error::OtherDerivation { .. }) => None,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_tree_is_opened_by_its_own_version_and_by_whoever_says_that_he_mixes() {
        let both = |oldest, newest| DerivedBy { oldest, newest };
        // By its own word, which counts more than what its tables say.
        assert_eq!(claimed(state(Some(both(1, 1)), &[1], 5), 1, None), Some(Some(both(1, 1))));
        assert_eq!(claimed(state(Some(both(1, 1)), &[1], 5), 2, None), None);
        assert_eq!(claimed(state(Some(both(1, 1)), &[1], 5), 1, Some(2)), Some(Some(both(1, 2))));
        assert_eq!(claimed(state(Some(both(1, 2)), &[1, 1], 5), 1, None), None, "a newer one was at it");
        assert_eq!(claimed(state(Some(both(1, 2)), &[1, 1], 5), 1, Some(2)), Some(Some(both(1, 2))));
        assert_eq!(claimed(state(Some(both(1, 3)), &[1, 1], 5), 1, Some(2)), None);
        assert_eq!(claimed(state(Some(both(2, 2)), &[2], 5), 1, Some(2)), None);
        assert_eq!(claimed(state(Some(both(2, 2)), &[], 5), 1, None), None, "without a table too");
        // By its tables.
        assert_eq!(claimed(state(None, &[1, 1], 5), 1, None), Some(Some(both(1, 1))));
        assert_eq!(claimed(state(None, &[1, 1], 5), 2, None), None);
        assert_eq!(claimed(state(None, &[1, 2], 5), 2, None), None, "somebody mixed them without a word");
        assert_eq!(claimed(state(None, &[1, 2], 5), 1, None), None);
        assert_eq!(claimed(state(None, &[1, 2], 5), 1, Some(2)), Some(Some(both(1, 2))));
        // Nothing tells.
        assert_eq!(claimed(state(None, &[], 0), 2, None), Some(Some(both(2, 2))));
        assert_eq!(claimed(state(None, &[], 5), 2, None), None);
        assert_eq!(claimed(state(None, &[], 5), 0, Some(2)), Some(Some(both(0, 2))));
        // Owners without versions.
        assert_eq!(claimed(state(None, &[0], 5), 0, None), Some(None));
        assert_eq!(claimed(state(None, &[], 5), 0, None), Some(None));
        assert_eq!(claimed(state(None, &[0], 5), 7, None), None);
    }
}

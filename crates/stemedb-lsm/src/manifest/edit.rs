//! One change of the tree, and the state that all changes add up to.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_env::Lsn;

use crate::{
    DerivedBy,
    codec::{Fields, Malformed},
    table::{TableMeta, decode_meta, encode_meta},
};

/// A change. Removed before added: a table that changes its level is in both lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Which change of the tree this is, counted from 1; in a snapshot, how many have been.
    pub(crate) sequence: u64,
    /// No file with this number or a greater one has been used.
    pub(crate) next_file: u64,
    /// Every batch up to here is in tables.
    pub(crate) flushed: Lsn,
    /// Snapshots below this cannot be served: versions have been merged.
    pub(crate) horizon: Lsn,
    pub(crate) removed: Vec<u64>,
    pub(crate) added: Vec<(u32, TableMeta)>,
    /// Files that were live once and wait for their deletion.
    pub(crate) obsolete: Vec<u64>,
    /// In a snapshot: which versions of the derivation the rows come from, where it says so.
    pub(crate) derived_by: Option<DerivedBy>,
}

fn count(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

impl Edit {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for n in [self.sequence, self.next_file, self.flushed.0, self.horizon.0] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for files in [&self.removed, &self.obsolete] {
            out.extend_from_slice(&count(files.len()));
            files.iter().for_each(|file| out.extend_from_slice(&file.to_le_bytes()));
        }
        out.extend_from_slice(&count(self.added.len()));
        for (level, meta) in &self.added {
            out.extend_from_slice(&level.to_le_bytes());
            encode_meta(meta, &mut out);
        }
        if let Some(DerivedBy { oldest, newest }) = self.derived_by {
            out.extend_from_slice(&oldest.to_le_bytes());
            out.extend_from_slice(&newest.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Edit, Malformed> {
        let mut fields = Fields::new(bytes);
        let mut edit = Edit {
            sequence: fields.u64()?,
            next_file: fields.u64()?,
            flushed: Lsn(fields.u64()?),
            horizon: Lsn(fields.u64()?),
            ..Edit::default()
        };
        // Lists grow as entries are really there: a wild count allocates nothing.
        for _ in 0..fields.u32()? {
            edit.removed.push(fields.u64()?);
        }
        for _ in 0..fields.u32()? {
            edit.obsolete.push(fields.u64()?);
        }
        for _ in 0..fields.u32()? {
            let level = fields.u32()?;
            if level as usize > crate::version::LAST_LEVEL {
                return Err(Malformed);
            }
            edit.added.push((level, decode_meta(&mut fields)?));
        }
        if !fields.is_empty() {
            edit.derived_by = Some(DerivedBy { oldest: fields.u32()?, newest: fields.u32()? });
        }
        fields.end()?;
        Ok(edit)
    }
}

/// What a manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeState {
    /// How many changes have led to it.
    pub(crate) sequence: u64,
    pub(crate) next_file: u64,
    pub(crate) flushed: Lsn,
    pub(crate) horizon: Lsn,
    pub(crate) tables: BTreeMap<u64, (u32, TableMeta)>,
    pub(crate) obsolete: BTreeSet<u64>,
    /// Which versions of the derivation the rows come from; not known of trees that were made before it was written down.
    pub(crate) derived_by: Option<DerivedBy>,
}

impl TreeState {
    pub(crate) fn apply(&mut self, edit: &Edit) {
        self.sequence = self.sequence.max(edit.sequence);
        self.next_file = self.next_file.max(edit.next_file);
        self.flushed = self.flushed.max(edit.flushed);
        self.horizon = self.horizon.max(edit.horizon);
        self.derived_by = edit.derived_by.or(self.derived_by);
        self.obsolete.extend(&edit.obsolete);
        for file in &edit.removed {
            self.tables.remove(file);
            self.obsolete.insert(*file);
        }
        for (level, meta) in &edit.added {
            self.obsolete.remove(&meta.file);
            self.tables.insert(meta.file, (*level, meta.clone()));
        }
    }

    /// The edit that makes this state out of nothing.
    pub(crate) fn as_edit(&self) -> Edit {
        Edit {
            sequence: self.sequence,
            next_file: self.next_file,
            flushed: self.flushed,
            horizon: self.horizon,
            removed: Vec::new(),
            added: self.tables.values().cloned().collect(),
            obsolete: self.obsolete.iter().copied().collect(),
            derived_by: self.derived_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit() -> Edit {
        let meta = TableMeta {
            file: 7,
            bytes: 4096,
            smallest: b"a".to_vec(),
            largest: b"b".to_vec(),
            min_lsn: Lsn(3),
            max_lsn: Lsn(9),
            rows: 4,
            keys: 3,
            tombstones: 1,
            ranges: 6,
            data_bytes: 99,
            digest: 1 << 100,
            derivation_version: 2,
            horizon: Lsn(5),
            drops_tombstones: true,
        };
        Edit {
            sequence: 4,
            next_file: 8,
            flushed: Lsn(9),
            horizon: Lsn(5),
            removed: vec![1, 2],
            added: vec![(6, meta)],
            obsolete: vec![3],
            derived_by: None,
        }
    }

    #[test]
    fn an_edit_survives_its_encoding() {
        assert_eq!(Edit::decode(&edit().encode()).unwrap(), edit());
    }

    #[test]
    fn every_cut_edit_is_refused() {
        let bytes = edit().encode();
        for n in 0..bytes.len() {
            assert!(Edit::decode(&bytes[..n]).is_err(), "cut at {n}");
        }
    }

    #[test]
    fn a_state_is_the_sum_of_its_edits_and_survives_as_one() {
        let mut state = TreeState::default();
        state.apply(&edit());
        state.apply(&Edit { next_file: 12, removed: vec![7], ..Edit::default() });
        assert!(state.tables.is_empty() && state.obsolete.contains(&7) && state.next_file == 12);
        state.apply(&edit());
        let mut again = TreeState::default();
        again.apply(&state.as_edit());
        assert_eq!(again, state);
    }
}

//! What a table says of the tree that it was made for.
//!
//! The table that *closes* a change (the only one of a flush, the last one of a merge or an ingest) carries the state of the
//! tree that its change was made for, and the change itself but for the table. So the newest of these records is
//! the manifest as it was a moment ago, and the tables that the next changes added are next to it. See
//! `docs/design/lsm.md`, *A lost manifest*.

use super::{Edit, TreeState};
use crate::{
    codec::{Fields, Malformed, put_bytes},
    table::TableMeta,
    version::LAST_LEVEL,
};

/// On which levels the tables of a change belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Placing {
    /// On those that the record says.
    AsTold = 0,
    /// As deep as what is there allows: an ingest is placed when it is installed.
    Anew = 1,
}

/// A durable state, and a change that was about to be made to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) placing: Placing,
    /// Level of the table that carries the record.
    pub(crate) level: u32,
    pub(crate) state: TreeState,
    /// The change without that table; its sequence is 0.
    pub(crate) edit: Edit,
}

impl Record {
    pub(crate) fn encode(state: &TreeState, placing: Placing, level: u32, edit: &Edit) -> Vec<u8> {
        let mut out = vec![placing as u8];
        out.extend_from_slice(&level.to_le_bytes());
        put_bytes(&mut out, &state.as_edit().encode());
        put_bytes(&mut out, &edit.encode());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        let mut fields = Fields::new(bytes);
        let placing = match fields.u8()? {
            0 => Placing::AsTold,
            1 => Placing::Anew,
            _ => return Err(Malformed),
        };
        let level = fields.u32()?;
        let snapshot = Edit::decode(fields.bytes()?)?;
        let edit = Edit::decode(fields.bytes()?)?;
        fields.end()?;
        if level as usize > LAST_LEVEL || !snapshot.removed.is_empty() || edit.sequence != 0 {
            return Err(Malformed);
        }
        let mut state = TreeState::default();
        state.apply(&snapshot);
        Ok(Record { placing, level, state, edit })
    }

    /// The whole change, given the description of the table that carries the record.
    pub(crate) fn change(&self, own: &TableMeta) -> Edit {
        let mut edit = self.edit.clone();
        edit.added.push((self.level, own.clone()));
        edit
    }
}

#[cfg(test)]
mod tests {
    use stemedb_env::Lsn;

    use super::*;

    fn meta(file: u64) -> TableMeta {
        TableMeta {
            file,
            bytes: 900,
            smallest: b"a".to_vec(),
            largest: b"b".to_vec(),
            min_lsn: Lsn(3),
            max_lsn: Lsn(9),
            rows: 4,
            ..TableMeta::default()
        }
    }

    #[test]
    fn a_record_survives_its_encoding_and_no_cut_one_is_read() {
        let mut state = TreeState::default();
        let added = vec![(0, meta(3)), (6, meta(4))];
        state.apply(&Edit { sequence: 9, next_file: 7, flushed: Lsn(9), added, ..Edit::default() });
        let edit = Edit { next_file: 8, removed: vec![3, 4], added: vec![(6, meta(6))], ..Edit::default() };
        let bytes = Record::encode(&state, Placing::Anew, 5, &edit);
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record, Record { placing: Placing::Anew, level: 5, state, edit });
        assert_eq!(record.change(&meta(7)).added, [(6, meta(6)), (5, meta(7))]);
        for n in 0..bytes.len() {
            assert!(Record::decode(&bytes[..n]).is_err(), "cut at {n}");
        }
        for wild in [[2, 5], [0, 7]] {
            let mut wrong = bytes.clone();
            wrong[..2].copy_from_slice(&wild);
            assert!(Record::decode(&wrong).is_err(), "{wild:?}");
        }
    }
}

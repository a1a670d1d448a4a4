//! What is appended: every entry is a function of the run's seed and of its place in the work.
//!
//! ```text
//! 0   8  seed
//! 8   4  life: which child process
//! 12  2  thread of it
//! 14  4  seq: which append of that thread
//! 18  2  index in the group
//! 20  2  entries of the group
//! 22     filling: a function of all of the above, its length too
//! ```

use crate::dice::Dice;

/// Bytes before the filling.
const HEAD_BYTES: usize = 22;

/// One append: one entry, or one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId {
    /// Which child process; each gets a new number.
    pub life: u32,
    /// Which of its threads.
    pub thread: u16,
    /// Which append of that thread, dense from 0.
    pub seq: u32,
}

/// One entry of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// The append.
    pub op: OpId,
    /// Its place in the group.
    pub index: u16,
}

pub(crate) fn dice(seed: u64, op: OpId) -> Dice {
    let place = (u64::from(op.life) << 44) ^ (u64::from(op.thread) << 32) ^ u64::from(op.seq);
    Dice::of(seed, place)
}

/// How many entries this append has. One means that it goes through the queue, more that it is a group.
pub fn entries(seed: u64, op: OpId) -> u16 {
    let mut dice = dice(seed, op);
    let count = if dice.one_in(5) { dice.between(2, 24) } else { 1 };
    u16::try_from(count).unwrap_or(1)
}

fn filling_bytes(dice: &mut Dice) -> u64 {
    match dice.below(100) {
        0..70 => dice.between(0, 300),
        70..92 => dice.between(300, 5_000),
        92..99 => dice.between(5_000, 30_000),
        _ => dice.between(30_000, 150_000),
    }
}

/// The bytes of one entry.
pub fn entry(seed: u64, id: EntryId) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&seed.to_le_bytes());
    bytes.extend_from_slice(&id.op.life.to_le_bytes());
    bytes.extend_from_slice(&id.op.thread.to_le_bytes());
    bytes.extend_from_slice(&id.op.seq.to_le_bytes());
    bytes.extend_from_slice(&id.index.to_le_bytes());
    bytes.extend_from_slice(&entries(seed, id.op).to_le_bytes());
    let mut dice = Dice::of(dice(seed, id.op).number(), u64::from(id.index));
    let end = bytes.len() + usize::try_from(filling_bytes(&mut dice)).unwrap_or(0);
    // Some fillings repeat themselves, so that compression has something to do.
    let repeats = dice.one_in(2);
    let mut word = dice.number();
    while bytes.len() < end {
        bytes.extend_from_slice(&word.to_le_bytes());
        if !repeats || bytes.len() % 512 < 8 {
            word = dice.number();
        }
    }
    bytes.truncate(end);
    bytes
}

/// All entries of one append.
pub fn group(seed: u64, op: OpId) -> Vec<Vec<u8>> {
    (0..entries(seed, op)).map(|index| entry(seed, EntryId { op, index })).collect()
}

/// Checksum of all entries of one append: what its acknowledgement names.
pub fn hash(entries: &[Vec<u8>]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    entries.iter().for_each(|entry| hasher.update(entry));
    hasher.finalize()
}

/// Which entry these bytes are: `None` unless every byte is right.
pub fn recognise(seed: u64, bytes: &[u8]) -> Option<EntryId> {
    let field = |from: usize, to: usize| -> Option<u64> {
        let mut word = [0; 8];
        word.get_mut(..to - from)?.copy_from_slice(bytes.get(from..to)?);
        Some(u64::from_le_bytes(word))
    };
    if bytes.len() < HEAD_BYTES || field(0, 8)? != seed {
        return None;
    }
    let op = OpId {
        life: u32::try_from(field(8, 12)?).ok()?,
        thread: u16::try_from(field(12, 14)?).ok()?,
        seq: u32::try_from(field(14, 18)?).ok()?,
    };
    let id = EntryId { op, index: u16::try_from(field(18, 20)?).ok()? };
    (entry(seed, id) == bytes).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: OpId = OpId { life: 3, thread: 2, seq: 77 };

    #[test]
    fn an_entry_is_recognised_and_a_changed_byte_is_not() {
        for index in 0..20 {
            let id = EntryId { op: OP, index };
            let bytes = entry(9, id);
            assert_eq!(recognise(9, &bytes), Some(id));
            assert_eq!(recognise(8, &bytes), None);
            let mut changed = bytes.clone();
            let last = changed.len() - 1;
            changed[last] ^= 1;
            assert_eq!(recognise(9, &changed), None);
            assert_eq!(recognise(9, &bytes[..last]), None);
        }
    }

    #[test]
    fn there_are_single_entries_and_groups_small_and_large_ones() {
        let counts: Vec<u16> = (0..200).map(|seq| entries(1, OpId { seq, ..OP })).collect();
        assert!(counts.contains(&1) && counts.iter().any(|&count| count > 10));
        let sizes: Vec<usize> =
            (0..400).map(|seq| entry(1, EntryId { op: OpId { seq, ..OP }, index: 0 }).len()).collect();
        assert!(sizes.iter().any(|&size| size < 100) && sizes.iter().any(|&size| size > 10_000));
    }
}

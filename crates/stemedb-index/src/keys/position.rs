//! Where a command stands in the journal.

use stemedb_env::Lsn;

/// A command's place: its entry, and its number inside the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The entry.
    pub lsn: Lsn,
    /// The command's number in it, from 0.
    pub ordinal: u32,
}

impl Position {
    /// Length of an encoded position.
    pub const BYTES: usize = 12;

    /// The first command of an entry.
    pub fn first_of(lsn: Lsn) -> Position {
        Position { lsn, ordinal: 0 }
    }

    /// Bytes that sort ascending.
    pub fn oldest_first(self) -> [u8; Position::BYTES] {
        let mut bytes = [0; Position::BYTES];
        bytes[..8].copy_from_slice(&self.lsn.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }

    /// Bytes that sort descending.
    pub fn newest_first(self) -> [u8; Position::BYTES] {
        self.oldest_first().map(|byte| !byte)
    }

    /// Reads [`Position::oldest_first`].
    pub fn from_oldest_first(bytes: &[u8; Position::BYTES]) -> Position {
        let (mut lsn, mut ordinal) = ([0; 8], [0; 4]);
        lsn.copy_from_slice(&bytes[..8]);
        ordinal.copy_from_slice(&bytes[8..]);
        Position { lsn: Lsn(u64::from_be_bytes(lsn)), ordinal: u32::from_be_bytes(ordinal) }
    }

    /// Appends bytes that sort ascending, and are few for small numbers: for postings, of which there are many.
    ///
    /// Each of the two numbers as its length in bytes and its bytes, big-endian, without zeros in front.
    pub fn push_compact(self, key: &mut Vec<u8>) {
        for number in [self.lsn.0, u64::from(self.ordinal)] {
            let zeros = (number.leading_zeros() / 8) as usize;
            let bytes = number.to_be_bytes();
            key.push((bytes.len() - zeros) as u8);
            key.extend_from_slice(bytes.get(zeros..).unwrap_or_default());
        }
    }

    /// Reads [`Position::push_compact`]; `None` for bytes that it does not write.
    pub fn from_compact(bytes: &[u8]) -> Option<Position> {
        let (lsn, rest) = split_number(bytes)?;
        let (ordinal, rest) = split_number(rest)?;
        let ordinal = u32::try_from(ordinal).ok()?;
        rest.is_empty().then_some(Position { lsn: Lsn(lsn), ordinal })
    }

    /// Reads [`Position::newest_first`].
    pub fn from_newest_first(bytes: &[u8; Position::BYTES]) -> Position {
        Position::from_oldest_first(&bytes.map(|byte| !byte))
    }
}

fn split_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (digits, rest) = rest.split_at_checked(usize::from(*len))?;
    if digits.first() == Some(&0) {
        return None;
    }
    let mut number = [0; 8];
    let zeros = number.len().checked_sub(digits.len())?;
    number.get_mut(zeros..)?.copy_from_slice(digits);
    Some((u64::from_be_bytes(number), rest))
}

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

    /// Reads [`Position::newest_first`].
    pub fn from_newest_first(bytes: &[u8; Position::BYTES]) -> Position {
        Position::from_oldest_first(&bytes.map(|byte| !byte))
    }
}

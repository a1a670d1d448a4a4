//! The bytes of a journal entry: when it was recorded, and its commands.
//!
//! ```text
//! offset size field
//!      0    1 layout        1
//!      1    8 recorded_at   i64, big-endian, microseconds since the epoch, never less than the entry before
//!      9    4 count         u32, big-endian
//!     13    … commands      canonical command bytes, one after the other
//! ```

use stemedb_core::{Command, CommandRef};
use stemedb_env::{Lsn, Micros};

use crate::{Error, Result, error::EntryProblem};

const LAYOUT: u8 = 1;
/// Bytes before the first command.
pub const HEADER_BYTES: usize = 13;
/// Longest entry, header included: one entry is one frame at most.
pub const MAX_ENTRY_BYTES: usize = 16 << 20;

/// Builds an entry.
#[derive(Debug)]
pub struct EntryBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl EntryBuilder {
    /// An entry without commands.
    pub fn new(recorded_at: Micros, capacity_bytes: usize) -> EntryBuilder {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity_bytes);
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&recorded_at.0.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        EntryBuilder { bytes, count: 0 }
    }

    /// Appends a command's canonical bytes; returns its ordinal.
    pub fn push(&mut self, command_bytes: &[u8]) -> u32 {
        self.bytes.extend_from_slice(command_bytes);
        self.count += 1;
        self.count - 1
    }

    /// The ordinal that the next command will get.
    pub fn next_ordinal(&self) -> u32 {
        self.count
    }

    /// The entry; `None` if it has no command. Fails if it is longer than [`MAX_ENTRY_BYTES`].
    pub fn finish(mut self) -> Result<Option<Vec<u8>>> {
        if self.bytes.len() > MAX_ENTRY_BYTES {
            return Err(Error::TooLarge { bytes: self.bytes.len(), limit_bytes: MAX_ENTRY_BYTES });
        }
        if let Some(count) = self.bytes.get_mut(9..HEADER_BYTES) {
            count.copy_from_slice(&self.count.to_be_bytes());
        }
        Ok((self.count > 0).then_some(self.bytes))
    }
}

/// An entry being read.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    lsn: Lsn,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// How many commands it holds.
    pub count: u32,
    commands: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads the header. The commands are checked as they are visited.
    pub fn parse(lsn: Lsn, bytes: &'a [u8]) -> Result<Entry<'a>> {
        let bad = |problem| Error::BadEntry { lsn, problem };
        let (header, commands) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or(bad(EntryProblem::Truncated))?;
        let [layout, t0, t1, t2, t3, t4, t5, t6, t7, c0, c1, c2, c3] = *header;
        if layout != LAYOUT {
            return Err(bad(EntryProblem::UnknownLayout(layout)));
        }
        let recorded_at = Micros(i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]));
        Ok(Entry { lsn, recorded_at, count: u32::from_be_bytes([c0, c1, c2, c3]), commands })
    }

    /// The bytes of the commands, one after the other, unchecked: for whom all of them at once are too many.
    pub fn command_bytes(&self) -> &'a [u8] {
        self.commands
    }

    /// Visits each command with its ordinal and its exact bytes.
    pub fn for_each(&self, mut visit: impl FnMut(u32, CommandRef<'a>, &'a [u8]) -> Result<()>) -> Result<()> {
        let mut rest = self.commands;
        for ordinal in 0..self.count {
            let before = rest;
            let command = CommandRef::decode(&mut rest).map_err(|_| Error::BadEntry {
                lsn: self.lsn,
                problem: EntryProblem::BadCommand { ordinal },
            })?;
            let bytes = before.get(..before.len() - rest.len()).unwrap_or_default();
            visit(ordinal, command, bytes)?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(Error::BadEntry { lsn: self.lsn, problem: EntryProblem::TrailingBytes })
        }
    }

    /// All commands, owned.
    pub fn commands(&self) -> Result<Vec<Command>> {
        let mut commands = Vec::new();
        self.for_each(|_, _, bytes| {
            let command = Command::decode_exact(bytes);
            commands.push(command.map_err(|_| Error::BadEntry {
                lsn: self.lsn,
                problem: EntryProblem::BadCommand {
                    ordinal: u32::try_from(commands.len()).unwrap_or(u32::MAX),
                },
            })?);
            Ok(())
        })?;
        Ok(commands)
    }
}

//! Every command that was recorded, in the order of the journal, from the rows alone.
//!
//! The rows are clustered by what they are about and not by when they were written, and the journal may no longer
//! reach back to its beginning. So the rows are read from one end to the other, and the oldest commands that fit into a
//! stated memory are put into order; what is younger is left to the next reading.
//!
//! ```text
//! families with commands ─ filter ─▶ the oldest behind `after`, within the memory ─▶ in order ─▶ caller
//!        ▲                                                                              │
//!        └──────────────── until nothing was left out: after = the last one ◀───────────┘
//! ```

use std::collections::{BTreeMap, btree_map};

use stemedb_core::{ClaimId, Command, CommandRef};
use stemedb_env::Micros;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{derivation::parse_stamped, reader::ClaimReader};
use crate::{
    Error, Result,
    keys::{self, Family, Position},
};

/// What a command costs beside its bytes while it waits.
const OVERHEAD_BYTES: usize = 128;

/// A command as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands in the journal.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// The id, of a claim.
    pub id: Option<ClaimId>,
    /// What was recorded.
    pub command: Command,
}

/// Which commands are wanted: asked with the id, of a claim, and the command's bytes.
pub type Wanted<'a> = dyn FnMut(Option<ClaimId>, &[u8]) -> Result<bool> + 'a;

/// Walks over the commands of a database in the order of the journal.
pub struct Replay<'a, S> {
    reader: &'a ClaimReader<S>,
    memory_bytes: usize,
    wanted: Option<Box<Wanted<'a>>>,
    after: Option<Position>,
    ready: btree_map::IntoIter<Position, Waiting>,
    /// Nothing lies behind what is ready.
    last: bool,
    readings: u64,
}

struct Waiting {
    recorded_at: Micros,
    id: Option<ClaimId>,
    bytes: Box<[u8]>,
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// Every command known at the reader's LSN, oldest first, holding about `memory_bytes` of them at once.
    ///
    /// Cost: the rows with commands are read once for each `memory_bytes` of commands, and at least once.
    pub fn replay(&self, memory_bytes: usize) -> Replay<'_, S> {
        Replay {
            reader: self,
            memory_bytes,
            wanted: None,
            after: None,
            ready: BTreeMap::new().into_iter(),
            last: false,
            readings: 0,
        }
    }

    /// Visits every claim known at the reader's LSN, by subject and predicate, with its id and its command's bytes.
    pub fn each_claim(&self, mut visit: impl FnMut(ClaimId, &[u8]) -> Result<()>) -> Result<()> {
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::Claim)) };
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        while rows.advance()? {
            let key = keys::parse_claim(rows.key())?;
            if key.position.lsn <= self.lsn() {
                let id = ClaimId(key.id);
                visit(id, parse_stamped(Family::Claim, rows.value())?.1)?;
            }
        }
        Ok(())
    }
}

impl<'a, S: KvSnapshot> Replay<'a, S> {
    /// Only the commands that `wanted` says yes to.
    pub fn only(mut self, wanted: impl FnMut(Option<ClaimId>, &[u8]) -> Result<bool> + 'a) -> Replay<'a, S> {
        self.wanted = Some(Box::new(wanted));
        self
    }

    /// The next command; `None` at the end.
    ///
    /// # Errors
    /// Where the store fails. An error does not end the walk: the next call tries again.
    pub fn next_command(&mut self) -> Result<Option<Recorded>> {
        loop {
            if let Some((position, waiting)) = self.ready.next() {
                let command = Command::decode_exact(&waiting.bytes);
                let command = command.map_err(|_| Error::BadValue { family: family_of(&waiting.bytes) })?;
                let Waiting { recorded_at, id, .. } = waiting;
                return Ok(Some(Recorded { position, recorded_at, id, command }));
            }
            if self.last {
                return Ok(None);
            }
            self.read()?;
        }
    }

    /// How many times the rows were read so far.
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// Reads all rows and keeps the oldest commands behind those that were given already.
    fn read(&mut self) -> Result<()> {
        let mut kept: BTreeMap<Position, Waiting> = BTreeMap::new();
        let (mut bytes, mut left_out) = (0, false);
        for family in keys::COMMAND_FAMILIES {
            let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(family)) };
            let mut rows = self.reader.snapshot().scan(&range, Direction::Forward);
            while rows.advance()? {
                let position = keys::command_position(rows.key())?.ok_or(Error::BadKey { family })?;
                let given = self.after.is_some_and(|after| position <= after);
                if given || position.lsn > self.reader.lsn() {
                    continue;
                }
                // Once something had to be left out, what is younger than all that is kept is left out too.
                if left_out && kept.last_key_value().is_none_or(|(youngest, _)| position > *youngest) {
                    continue;
                }
                let id = match family {
                    Family::Claim => Some(ClaimId(keys::parse_claim(rows.key())?.id)),
                    _ => None,
                };
                let (recorded_at, command) = parse_stamped(family, rows.value())?;
                if let Some(wanted) = &mut self.wanted
                    && !wanted(id, command)?
                {
                    continue;
                }
                bytes += command.len() + OVERHEAD_BYTES;
                kept.insert(position, Waiting { recorded_at, id, bytes: command.into() });
                while bytes > self.memory_bytes
                    && kept.len() > 1
                    && let Some((_, youngest)) = kept.pop_last()
                {
                    bytes -= youngest.bytes.len() + OVERHEAD_BYTES;
                    left_out = true;
                }
            }
        }
        self.readings += 1;
        self.last = !left_out;
        self.after = kept.last_key_value().map(|(youngest, _)| *youngest).or(self.after);
        self.ready = kept.into_iter();
        Ok(())
    }
}

/// The family that a command's row belongs to, for what is said about damage.
fn family_of(command: &[u8]) -> Family {
    match CommandRef::decode(&mut &*command) {
        Ok(CommandRef::Assert(_)) | Err(_) => Family::Claim,
        Ok(_) => Family::Entry,
    }
}

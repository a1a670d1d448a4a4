//! Entries of the journal, a bounded piece at a time.

use bytes::Bytes;
use stemedb_core::{Command, Micros};
use stemedb_env::Lsn;
use stemedb_index::claims::Entry;

use super::{Counted, Filled, Followed, Form, named};
use crate::{
    database::Feed,
    errors::{Error, Result},
    json::ChangeJson,
};

/// A feed that is being written out. An entry may be far larger than a piece: its commands are decoded one after the other.
pub(super) struct Cursor {
    feed: Feed,
    form: Form,
    timeline: u32,
    /// Entries that may still begin.
    left: u64,
    entries: u64,
    current: Option<Current>,
}

struct Current {
    lsn: Lsn,
    recorded_at: Micros,
    bytes: Bytes,
    /// Where the next command begins.
    offset: usize,
    ordinal: u32,
    count: u32,
}

impl Cursor {
    pub fn new(feed: Feed, form: Form, timeline: u32, limit: u64) -> Cursor {
        Cursor { feed, form, timeline, left: limit, entries: 0, current: None }
    }

    fn fill_in(&mut self, filled: &mut Filled, bytes: usize) -> Result<()> {
        while filled.bytes.len() < bytes {
            if self.current.is_none() {
                if self.left == 0 {
                    filled.is_over = true;
                    break;
                }
                let Some(next) = self.begin()? else {
                    filled.is_caught_up = true;
                    break;
                };
                self.left -= 1;
                self.current = Some(next);
            }
            if let Some(current) = &mut self.current {
                current.step(self.form, self.timeline, &mut filled.bytes)?;
                if current.ordinal == current.count {
                    self.current = None;
                    self.entries += 1;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Option<Current>> {
        let Some((lsn, bytes)) = self.feed.next_bytes()? else { return Ok(None) };
        let entry = Entry::parse(lsn, &bytes)?;
        let (recorded_at, count) = (Micros(entry.recorded_at.0), entry.count);
        let offset = bytes.len() - entry.command_bytes().len();
        Ok(Some(Current { lsn, recorded_at, offset, ordinal: 0, count, bytes }))
    }
}

impl Followed for Cursor {
    fn form(&self) -> Form {
        self.form
    }

    /// Entries that have been read whole.
    fn counted(&self) -> Counted {
        Counted::Entries(self.entries)
    }

    /// The first entry that has not been read whole.
    fn position(&self) -> Lsn {
        self.current.as_ref().map_or_else(|| self.feed.position(), |current| current.lsn)
    }

    /// Until `bytes` are full (or one command beyond).
    fn fill(&mut self, bytes: usize) -> Filled {
        let mut filled = Filled::default();
        filled.failed = self.fill_in(&mut filled, bytes).err();
        filled
    }
}

impl Current {
    /// Writes the next command.
    fn step(&mut self, form: Form, timeline: u32, out: &mut Vec<u8>) -> Result<()> {
        let bad = || {
            let problem = stemedb_index::EntryProblem::BadCommand { ordinal: self.ordinal };
            Error::from(stemedb_index::Error::BadEntry { lsn: self.lsn, problem })
        };
        let whole = self.bytes.get(self.offset..).unwrap_or_default();
        let mut rest = whole;
        let command = Command::decode(&mut rest).map_err(|_| bad())?;
        let change = ChangeJson::new(self.lsn, (self.ordinal, self.count), self.recorded_at, &command);
        let is_last = self.ordinal + 1 == self.count;
        if form == Form::Events {
            // A client that is cut off inside of an entry goes on from the one before: it gets this one whole.
            if is_last {
                out.extend_from_slice(format!("id: {}\n", named(timeline, self.lsn)).as_bytes());
            }
            out.extend_from_slice(b"event: change\ndata: ");
        }
        // Plain structs always serialize.
        if serde_json::to_writer(&mut *out, &change).is_ok() {
            out.extend_from_slice(if form == Form::Events { b"\n\n" } else { b"\n" });
        }
        self.offset += whole.len() - rest.len();
        self.ordinal += 1;
        Ok(())
    }
}

//! The journal as the suites see it: the only module that names its types.
//!
//! Everything else speaks of entries by number, of [`Answer`]s and of [`Refusal`]s. When the journal's interface
//! changes, this folder follows, and [`RESUME`] says how much it promises by now.

mod answer;
mod files;
mod policy;
mod shape;

use std::path::Path;

use stemedb_env::{Env, Lsn, frame::DatabaseId};
use stemedb_wal::{Journal, JournalIdentity, JournalReader, SegmentedJournal, SegmentedReader};

pub use self::{
    answer::{Answer, Refusal},
    files::FileKind,
    policy::{LARGEST_ALLOCATION_BYTES, RESUME, Resume},
    shape::Shape,
};

/// The folder of every journal under test.
pub const DIR: &str = "/db/wal";

/// The database that most journals under test belong to.
pub const OURS: Owner = Owner(7);
/// Another one.
pub const THEIRS: Owner = Owner(8);

/// Whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u8);

impl Owner {
    fn identity(self) -> JournalIdentity {
        JournalIdentity { database: DatabaseId([self.0; 16]), timeline: 1 }
    }
}

/// What an open found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Oldest LSN from which everything is readable.
    pub first: u64,
    /// Last LSN.
    pub last: u64,
    /// Entries that were written again because nothing proved that they were durable.
    pub adopted: u64,
    /// A torn tail was cut.
    pub torn: bool,
    /// Entries that are gone, as the report names them.
    pub missing: Vec<(u64, Option<u64>)>,
    /// `HEAD` was there and whole.
    pub head_found: bool,
}

/// A running journal.
#[derive(Debug)]
pub struct Subject {
    journal: SegmentedJournal,
}

impl Subject {
    /// Makes a new journal in [`DIR`].
    pub fn create(env: &Env, owner: Owner, shape: &Shape) -> Result<Subject, Refusal> {
        SegmentedJournal::create(env, Path::new(DIR), owner.identity(), shape.options())
            .map(|journal| Subject { journal })
            .map_err(Refusal::of)
    }

    /// Opens the journal in [`DIR`], whose views have flushed up to `flushed`.
    pub fn open(env: &Env, owner: Owner, flushed: u64, shape: &Shape) -> Result<(Subject, Facts), Refusal> {
        let dir = Path::new(DIR);
        let (journal, report) =
            SegmentedJournal::open(env, dir, owner.identity(), Lsn(flushed), shape.options())
                .map_err(Refusal::of)?;
        let missing = report.missing.iter().map(|gap| (gap.first.0, gap.last.map(|last| last.0))).collect();
        let facts = Facts {
            first: report.first_lsn.0,
            last: report.last_lsn.0,
            adopted: report.adopted_entries,
            torn: report.cut.is_some(),
            missing,
            head_found: report.head_found,
        };
        Ok((Subject { journal }, facts))
    }

    /// Opens whatever is left in [`DIR`] for reading; nothing may be written by that.
    pub fn open_read_only(env: &Env) -> Result<(Subject, u64), Refusal> {
        SegmentedJournal::open_read_only(env, Path::new(DIR))
            .map(|(journal, report)| (Subject { journal }, report.last_lsn.0))
            .map_err(Refusal::of)
    }

    /// Appends a group.
    pub fn append_group(&self, group: &[&[u8]]) -> Answer {
        Answer::of(self.journal.append_group(group))
    }

    /// Appends one entry through the commit queue.
    pub fn append(&self, entry: &[u8]) -> Answer {
        Answer::of(self.journal.append(entry.to_vec()))
    }

    /// Last LSN that the journal calls durable.
    pub fn durable(&self) -> u64 {
        self.journal.durable_lsn().0
    }

    /// Oldest LSN from which everything is readable.
    pub fn first(&self) -> u64 {
        self.journal.first_lsn().0
    }

    /// A reader whose first entry is `from`.
    pub fn follow(&self, from: u64) -> Result<Follower, Refusal> {
        self.journal.read_from(Lsn(from)).map(|reader| Follower { reader }).map_err(Refusal::of)
    }

    /// Calls `visit` with every durable entry from `from` on.
    pub fn read(&self, from: u64, mut visit: impl FnMut(u64, &[u8])) -> Result<(), Refusal> {
        let mut follower = self.follow(from)?;
        while follower.next(&mut visit)? {}
        Ok(())
    }

    /// The durable entries from `from` on.
    pub fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>, Refusal> {
        let mut entries = Vec::new();
        self.read(from, |_, entry| entries.push(entry.to_vec()))?;
        Ok(entries)
    }

    /// Ends the active segment.
    pub fn rotate(&self) -> Result<(), Refusal> {
        self.journal.rotate().map_err(Refusal::of)
    }

    /// Says that the views have flushed up to `flushed`.
    pub fn release(&self, flushed: u64) -> Result<(), Refusal> {
        self.journal.release(Lsn(flushed)).map_err(Refusal::of)
    }

    /// Reads everything and counts what is wrong.
    pub fn verify(&self) -> Result<usize, Refusal> {
        self.journal.verify().map(|report| report.damage.len()).map_err(Refusal::of)
    }

    /// Makes everything provable and refuses what comes after.
    pub fn close(&self) -> Result<(), Refusal> {
        self.journal.close().map_err(Refusal::of)
    }

    /// Number and last LSN of the oldest segment, if it has a successor.
    pub fn oldest_segment(&self) -> Result<Option<(u64, u64)>, Refusal> {
        let segments = self.journal.segments().map_err(Refusal::of)?;
        Ok(match segments.as_slice() {
            [oldest, _, ..] => oldest.last_lsn.map(|last| (oldest.id, last.0)),
            _ => None,
        })
    }
}

/// A reader that stays where it is between two calls.
#[derive(Debug)]
pub struct Follower {
    reader: SegmentedReader,
}

impl Follower {
    /// Calls `visit` with the next durable entry; false if there is none yet.
    pub fn next(&mut self, mut visit: impl FnMut(u64, &[u8])) -> Result<bool, Refusal> {
        match self.reader.next_entry() {
            Ok(Some(entry)) => {
                visit(entry.lsn.0, &entry.bytes);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(Refusal::of(error)),
        }
    }
}

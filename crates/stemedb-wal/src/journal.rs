//! The boundary: what the engine asks of a journal.
//!
//! Nothing here needs a local file, so that a replicated log can stand in for the segments of one machine.

use bytes::Bytes;
use stemedb_env::Lsn;

use crate::Result;

/// One atomic batch, and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub lsn: Lsn,
    /// Its content, as it was appended. Shares memory with the other entries of its group.
    pub bytes: Bytes,
}

/// An ordered, durable list of entries.
///
/// Contract: LSNs are dense from 1; an LSN that was returned survives a power cut; a reader yields only durable
/// entries, in order, each once; nothing is ever yielded that was not appended.
pub trait Journal: Send + Sync + 'static {
    /// The reader of this journal.
    type Reader: JournalReader;

    /// Appends entries as one group: one frame, one write, one sync. Returns the LSN of the first; the others follow
    /// densely. Serial: concurrent callers wait for each other, so put a [`crate::CommitQueue`] in front.
    ///
    /// Errors: `TooLarge`, `EmptyGroup`, `ReadOnly` and `Env` mean that nothing was written; `Indeterminate` means
    /// that nobody knows before the next open.
    fn append_group(&self, entries: &[&[u8]]) -> Result<Lsn>;

    /// Last LSN whose sync returned OK; [`Lsn::ZERO`] in an empty journal. Never goes back.
    fn durable_lsn(&self) -> Lsn;

    /// Oldest LSN from which every entry up to the end can be read.
    fn first_lsn(&self) -> Lsn;

    /// A reader whose first entry is `from` (0 counts as 1). It may be one past the end: such a reader waits for the
    /// next append. Errors: `OutOfRange`, `Corruption`, `MissingSegment`, `Env`.
    fn read_from(&self, from: Lsn) -> Result<Self::Reader>;

    /// Says that every view has flushed all entries up to `flushed`, so that the segments which hold only those are
    /// no longer needed to open the database.
    fn release(&self, flushed: Lsn) -> Result<()>;
}

/// A position in a journal that moves forward.
pub trait JournalReader: Send {
    /// The next durable entry, or `None` when there is none yet: call again later. After an error the reader stays
    /// where it is.
    fn next_entry(&mut self) -> Result<Option<Entry>>;
}

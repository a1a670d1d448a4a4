//! The reference journal: a list in memory.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use stemedb_env::Lsn;

use crate::{Entry, Error, Journal, JournalReader, MAX_ENTRY_BYTES, Result};

/// A journal without a disk: what [`Journal`] means, in the fewest lines. Clones share the entries. For tests of
/// whatever stands on a journal, and for databases that live in memory.
#[derive(Clone, Debug, Default)]
pub struct MemJournal {
    entries: Arc<RwLock<Vec<Bytes>>>,
}

impl MemJournal {
    /// An empty journal.
    pub fn new() -> MemJournal {
        MemJournal::default()
    }
}

impl Journal for MemJournal {
    type Reader = MemReader;

    fn append_group(&self, entries: &[&[u8]]) -> Result<Lsn> {
        if entries.is_empty() {
            return Err(Error::EmptyGroup);
        }
        if let Some(entry) = entries.iter().find(|entry| entry.len() > MAX_ENTRY_BYTES) {
            return Err(Error::TooLarge {
                what: "entry",
                bytes: entry.len() as u64,
                limit_bytes: MAX_ENTRY_BYTES as u64,
            });
        }
        let mut list = self.entries.write();
        let first = Lsn(list.len() as u64 + 1);
        list.extend(entries.iter().map(|entry| Bytes::copy_from_slice(entry)));
        Ok(first)
    }

    fn durable_lsn(&self) -> Lsn {
        Lsn(self.entries.read().len() as u64)
    }

    fn first_lsn(&self) -> Lsn {
        Lsn(1)
    }

    fn read_from(&self, from: Lsn) -> Result<MemReader> {
        let durable_lsn = self.durable_lsn();
        if from > durable_lsn.next() {
            return Err(Error::OutOfRange { lsn: from, first_lsn: Lsn(1), durable_lsn });
        }
        Ok(MemReader { entries: Arc::clone(&self.entries), next: from.max(Lsn(1)) })
    }

    fn release(&self, _flushed: Lsn) -> Result<()> {
        Ok(())
    }
}

/// A reader of a [`MemJournal`].
#[derive(Debug)]
pub struct MemReader {
    entries: Arc<RwLock<Vec<Bytes>>>,
    next: Lsn,
}

impl JournalReader for MemReader {
    fn next_entry(&mut self) -> Result<Option<Entry>> {
        let at = usize::try_from(self.next.prev().0).unwrap_or(usize::MAX);
        let Some(bytes) = self.entries.read().get(at).cloned() else { return Ok(None) };
        let lsn = self.next;
        self.next = lsn.next();
        Ok(Some(Entry { lsn, bytes }))
    }
}

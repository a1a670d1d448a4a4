//! Entries that another database has written: journaled and shown as they are, without an admission.

use std::sync::atomic::Ordering;

use stemedb_env::Lsn;
use stemedb_index::Admit;
use stemedb_wal::{CommitStages, Journal};

use super::{HaltCause, Stages, Written, classify};
use crate::{Error, Result, view::ViewStore};

/// Why requests are refused meanwhile.
pub(super) const FOLLOWS: &str = "it follows another database";

impl<J: Journal, P: ViewStore, F: ViewStore, D: Admit> Stages<J, P, F, D> {
    /// Says whether entries come from elsewhere. Before anybody has the stages.
    pub fn following(self, follows: bool) -> Self {
        self.is_following.store(follows, Ordering::Release);
        self
    }

    /// Cost: a load.
    pub fn is_following(&self) -> bool {
        self.is_following.load(Ordering::Acquire)
    }

    /// Requests are accepted from now on. Whoever is taking entries comes to his end first.
    pub fn end_following(&self) {
        let _one = self.follower.lock();
        self.is_following.store(false, Ordering::Release);
    }

    /// See [`crate::HybridStore::follow`]. While it is allowed nothing else appends, so the two stages are one here.
    pub fn follow(&self, first: Lsn, entries: Vec<Vec<u8>>) -> Result<Lsn> {
        let _one = self.follower.lock();
        if !self.is_following() {
            return Err(Error::ReadOnly { cause: "it does not follow another database".to_owned() });
        }
        if !self.halt.try_end()
            && let Some(HaltCause { cause, no_room }) = self.halt.cause()
        {
            return Err(if no_room { self.gate.refusal(&cause) } else { Error::ReadOnly { cause } });
        }
        if let Some(cause) = self.no_room() {
            (self.wakes.after_full)();
            return Err(self.gate.refusal(&cause));
        }
        let needed = self.halt.journal.durable_lsn().next();
        if first != needed {
            return Err(Error::JournalGap { first, needed });
        }
        let mut numbered = Vec::with_capacity(entries.len());
        let mut lsn = first;
        for entry in entries {
            // What comes after this is never recorded before it.
            if let Some(at) = self.halt.derive.recorded_at(lsn, &entry)? {
                let mut recorded = self.recorded.lock();
                *recorded = (*recorded).max(at);
            }
            numbered.push((lsn, entry, 0));
            lsn = lsn.next();
        }
        let last = lsn.prev();
        let group: Vec<&[u8]> = numbered.iter().map(|(_, entry, _)| entry.as_slice()).collect();
        if group.is_empty() {
            return Ok(last);
        }
        let appended = self.halt.journal.append_group(&group);
        let written = Written { replies: Vec::new(), entries: numbered };
        if let Err(error) = appended {
            self.refuse(written, &error);
            return Err(classify(error));
        }
        self.entries.fetch_add(last.0 + 1 - first.0, Ordering::Relaxed);
        self.publish(written);
        match self.halt.views.published() >= last {
            true => Ok(last),
            false => {
                let cause = self.halt.cause().map(|halt| halt.cause).unwrap_or_default();
                Err(Error::NotReadable { lsn: last, cause })
            }
        }
    }
}

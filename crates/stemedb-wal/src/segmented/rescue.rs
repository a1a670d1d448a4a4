//! A write or a sync that failed, and how the journal goes on.
//!
//! After a failed sync the kernel marks the pages clean: a second sync of the same file answers "done" and proves
//! nothing, and what can be read may be gone after a crash. So the *file* is given up, not the entries. They are still
//! in memory:
//!
//! ```text
//! live.k     … acknowledged │ group (failed)          not synced again, not written to again
//! live.k+1   header (k ends at │) ─ the same group ─ sync ─ name ─ HEAD     ▶ acknowledged
//!            failed again: the next attempt replaces the file
//! ```
//!
//! After `rewrites` failed attempts the writers are answered [`Error::Indeterminate`] (a crash now may leave the group
//! or not) and the journal is read-only. The group keeps its LSNs and stays in memory; a background job tries again
//! every `resume_every`, and the first thing written is that group. So an LSN is never given twice, and a write that was
//! answered "not known" is known after the journal has resumed: it is there.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::{
    birth::BirthError,
    inner::Inner,
    writer::{Adopted, Writer},
};
use crate::{Error, ReadOnlyCause, Result};

impl Writer {
    /// Writes a group whose write or sync failed to a new segment. Gives its first LSN if that succeeds.
    pub(super) fn rescue(
        &mut self,
        journal: &Inner,
        group: Adopted,
        cause: stemedb_env::Error,
    ) -> Result<Lsn> {
        let (first_lsn, last_lsn) = (group.first_lsn, group.last_lsn());
        tracing::warn!(error = ?cause, %first_lsn, %last_lsn,
            "StorageError: a journal write failed; the group is written to a new segment: {cause}");
        match self.rewrite(journal, std::slice::from_ref(&group), cause) {
            Ok(()) => Ok(first_lsn),
            Err(cause) => {
                let cause = Arc::new(cause);
                self.pending = Some(group);
                self.give_up(journal, &cause);
                Err(Error::Indeterminate { first_lsn, last_lsn, cause })
            }
        }
    }

    /// A frame without entries failed: the file is given up, and a new segment started in its place.
    pub(super) fn abandon_file(&mut self, journal: &Inner, cause: stemedb_env::Error) -> Result<()> {
        tracing::warn!(error = ?cause, "StorageError: a journal sync failed; a new segment is begun: {cause}");
        self.rewrite(journal, &[], cause).map_err(|cause| {
            let cause = Arc::new(cause);
            self.give_up(journal, &cause);
            Error::ReadOnly { cause: ReadOnlyCause::Failed(cause) }
        })
    }

    fn rewrite(
        &mut self,
        journal: &Inner,
        groups: &[Adopted],
        mut cause: stemedb_env::Error,
    ) -> std::result::Result<(), stemedb_env::Error> {
        for _ in 0..journal.options.rewrites {
            match self.start(journal, groups, false) {
                Ok(()) => {
                    journal.counters.rewritten();
                    return Ok(());
                }
                Err(error) => cause = error.cause(),
            }
        }
        Err(cause)
    }

    /// Accepts nothing until [`Writer::resume`] succeeds.
    pub(super) fn give_up(&mut self, journal: &Inner, cause: &Arc<stemedb_env::Error>) {
        tracing::error!(error = ?cause, "StorageError: the journal is read-only until its disk answers again: {cause}");
        self.refused = Some(ReadOnlyCause::Failed(Arc::clone(cause)));
        journal.counters.gave_up();
        journal.wake_watch();
    }

    /// True after a failure that may go away.
    pub fn can_resume(&self) -> bool {
        matches!(self.refused, Some(ReadOnlyCause::Failed(_)))
    }

    /// Tries to go on after [`Writer::give_up`]. Writes the pending group first. True if entries are accepted again.
    pub fn resume(&mut self, journal: &Inner) -> bool {
        if !self.can_resume() {
            return self.refused.is_none();
        }
        let pending: Vec<Adopted> = self.pending.iter().cloned().collect();
        match self.start(journal, &pending, false) {
            Ok(()) => {
                self.pending = None;
                self.refused = None;
                journal.counters.resumed();
                tracing::info!(last_lsn = %self.tail.last_lsn, "the journal accepts entries again");
                true
            }
            Err(BirthError::Clean(error) | BirthError::Unsettled(error)) => {
                tracing::debug!(%error, "the journal cannot go on yet");
                false
            }
        }
    }
}

//! The way of a write: admitted, journaled, synced, applied, published, acknowledged.
//!
//! ```text
//! group 1   admit, frame, write + sync ████  apply, publish ██  ack
//! group 2   (queue fills)  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  admit, write + sync ████  apply, publish ██  ack
//! ```
//!
//! While group 1 is applied, group 2 is synced. Group 2 is therefore admitted against the view *and* against what is in
//! flight. LSNs are given in the first stage and published in the second, both in the same order, so a reader that sees
//! LSN n sees everything before it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use stemedb_env::{Clock, Lsn, Micros};
use stemedb_index::Admit;
use stemedb_lsm::{KvStore, WriteBatch};
use stemedb_wal::{CommitStages, Journal};

use crate::{Error, Result, view::Views};

/// The two stages over a journal and its views.
pub(crate) struct Stages<J, P, F, D: Admit> {
    pub journal: Arc<J>,
    pub views: Arc<Views<P, F>>,
    pub derive: Arc<D>,
    clock: Arc<dyn Clock>,
    in_flight: Mutex<D::InFlight>,
    /// Recorded time of the newest entry: the next one is never before it, whatever the wall clock does.
    recorded: Mutex<Micros>,
    /// Why writes are refused. Set before the first failed request is answered, so that its repetition cannot find
    /// itself in flight and be told that it was recorded.
    read_only: Mutex<Option<String>>,
    pub entries: AtomicU64,
    pub refused: AtomicU64,
    /// Called after each group, to look after what has been flushed meanwhile.
    after_publish: Box<dyn Fn() + Send + Sync>,
}

/// A group between the stages.
pub(crate) struct Written<R> {
    replies: Vec<Result<R>>,
    /// The entries with their LSNs, and which reply each belongs to.
    entries: Vec<(Lsn, Vec<u8>, usize)>,
}

impl<J: Journal, P: KvStore, F: KvStore, D: Admit> Stages<J, P, F, D> {
    pub fn new(
        journal: Arc<J>,
        views: Arc<Views<P, F>>,
        derive: Arc<D>,
        clock: Arc<dyn Clock>,
        recorded: Micros,
        after_publish: Box<dyn Fn() + Send + Sync>,
    ) -> Stages<J, P, F, D> {
        Stages {
            journal,
            views,
            derive,
            clock,
            in_flight: Mutex::new(D::InFlight::default()),
            recorded: Mutex::new(recorded),
            read_only: Mutex::new(None),
            entries: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            after_publish,
        }
    }

    pub fn read_only(&self) -> Option<String> {
        self.read_only.lock().clone()
    }

    fn now(&self) -> Micros {
        let mut recorded = self.recorded.lock();
        *recorded = (*recorded).max(self.clock.wall());
        *recorded
    }

    fn admit_all(&self, group: Vec<D::Request>) -> Written<D::Reply> {
        let mut written = Written { replies: Vec::with_capacity(group.len()), entries: Vec::new() };
        // The lock is taken before the snapshot: an entry leaves the list only after it is published, so what is not
        // in the list any more is in the snapshot.
        let mut in_flight = self.in_flight.lock();
        let view = match self.views.snapshot() {
            Ok(view) => view,
            Err(error) => {
                let cause = error.to_string();
                written.replies.extend(group.iter().map(|_| Err(Error::NoView { cause: cause.clone() })));
                return written;
            }
        };
        let now = self.now();
        let mut lsn = self.journal.durable_lsn().next();
        for (index, request) in group.into_iter().enumerate() {
            match self.derive.admit(request, &view, &mut in_flight, lsn, now) {
                Ok(admitted) => {
                    if let Some(entry) = admitted.entry {
                        written.entries.push((lsn, entry, index));
                        lsn = lsn.next();
                    }
                    written.replies.push(Ok(admitted.reply));
                }
                Err(error) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    written.replies.push(Err(error.into()));
                }
            }
        }
        written
    }

    /// Answers a whole group with a journal failure.
    fn refuse(&self, mut written: Written<D::Reply>, error: &stemedb_wal::Error) -> Written<D::Reply> {
        *self.read_only.lock() = Some(error.to_string());
        tracing::error!(error = ?error, "StorageError: the journal failed; the database is read-only: {error}");
        for reply in &mut written.replies {
            // Refusals of the admission stay what they are. A "was there already" may lean on an entry of this very
            // group, so it is not known either.
            if reply.is_ok() {
                *reply = Err(classify(error.clone()));
            }
        }
        written.entries.clear();
        written
    }
}

/// The class of a journal failure.
pub(crate) fn classify(error: stemedb_wal::Error) -> Error {
    use stemedb_wal::Error as Wal;
    match &error {
        Wal::Env(env) if env.is_storage_full() => Error::StorageFull { source: error },
        Wal::Indeterminate { .. } | Wal::Abandoned => Error::Indeterminate { source: error },
        Wal::ReadOnly { cause } => Error::ReadOnly { cause: cause.to_string() },
        Wal::Overloaded { queued_bytes, .. } => Error::Overloaded { queued_bytes: *queued_bytes },
        _ => Error::Journal(error),
    }
}

impl<J: Journal, P: KvStore, F: KvStore, D: Admit> CommitStages for Stages<J, P, F, D> {
    type Request = D::Request;
    type Reply = Result<D::Reply>;
    type Written = Written<D::Reply>;

    fn write(&self, group: Vec<D::Request>) -> Written<D::Reply> {
        if let Some(cause) = self.read_only() {
            let replies = group.iter().map(|_| Err(Error::ReadOnly { cause: cause.clone() })).collect();
            return Written { replies, entries: Vec::new() };
        }
        let written = self.admit_all(group);
        if written.entries.is_empty() {
            return written;
        }
        let entries: Vec<&[u8]> = written.entries.iter().map(|(_, entry, _)| entry.as_slice()).collect();
        match self.journal.append_group(&entries) {
            Ok(first) => {
                // The admission gave these LSNs to the claims; the journal must agree, or positions would be wrong.
                assert_eq!(
                    Some(first),
                    written.entries.first().map(|(lsn, ..)| *lsn),
                    "the journal gave other LSNs"
                );
                self.entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
                written
            }
            Err(error) => self.refuse(written, &error),
        }
    }

    fn publish(&self, written: Written<D::Reply>) -> Vec<Result<D::Reply>> {
        let Written { mut replies, entries } = written;
        let Some(last) = entries.last().map(|(lsn, ..)| *lsn) else { return replies };
        let mut rows = WriteBatch::new();
        for (lsn, entry, index) in entries {
            rows.clear();
            let applied = match self.derive.derive(lsn, &entry, &mut rows) {
                Ok(()) => self.views.advance(lsn, &rows),
                Err(error) => {
                    let cause = error.to_string();
                    tracing::error!(%lsn, error = ?error, "StorageError: Index update failed: {cause}");
                    self.views.fail(&cause);
                    Err(Error::NotReadable { lsn, cause })
                }
            };
            if let (Err(error), Some(reply)) = (applied, replies.get_mut(index)) {
                *self.read_only.lock() = Some(error.to_string());
                *reply = Err(error);
            }
        }
        self.derive.retire(&mut self.in_flight.lock(), last);
        (self.after_publish)();
        replies
    }
}

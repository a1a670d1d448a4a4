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

mod follow;
mod halt;
mod ticket;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

pub(crate) use halt::{EndHalt, Halt, HaltCause};
use parking_lot::Mutex;
use stemedb_env::{Clock, Lsn, Micros};
use stemedb_index::Admit;
use stemedb_wal::{CommitStages, Journal};
pub use ticket::CommitTicket;
pub(crate) use ticket::refusal;

use crate::{
    Error, Result,
    disk::Gate,
    view::{Setback, ViewStore},
};

/// The two stages over a journal and its views.
pub(crate) struct Stages<J, P, F, D: Admit> {
    /// What both stages work on, and why writes are refused.
    pub halt: Arc<Halt<J, P, F, D>>,
    /// Whether there is room for more.
    pub gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    /// Recorded time of the newest entry: the next one is never before it, whatever the wall clock does.
    recorded: Mutex<Micros>,
    pub entries: AtomicU64,
    pub refused: AtomicU64,
    wakes: Wakes,
    /// Entries come from elsewhere, and requests are refused. Never set again once it is not.
    is_following: AtomicBool,
    /// Held by whoever takes entries from elsewhere, or ends that.
    follower: Mutex<()>,
}

/// Whom the stages wake.
pub(crate) struct Wakes {
    /// Called after each group, to look after what has been flushed meanwhile.
    pub after_publish: Box<dyn Fn() + Send + Sync>,
    /// Called when writes are refused from now on.
    pub after_halt: Box<dyn Fn() + Send + Sync>,
    /// Called when the disk was found full.
    pub after_full: Box<dyn Fn() + Send + Sync>,
}

/// A group between the stages.
pub(crate) struct Written<R> {
    replies: Vec<Result<R>>,
    /// The entries with their LSNs, and which reply each belongs to.
    entries: Vec<(Lsn, Vec<u8>, usize)>,
}

impl<J: Journal, P: ViewStore, F: ViewStore, D: Admit> Stages<J, P, F, D> {
    pub fn new(
        halt: Arc<Halt<J, P, F, D>>,
        gate: Arc<Gate>,
        clock: Arc<dyn Clock>,
        recorded: Micros,
        wakes: Wakes,
    ) -> Stages<J, P, F, D> {
        Stages {
            halt,
            gate,
            clock,
            recorded: Mutex::new(recorded),
            entries: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            wakes,
            is_following: AtomicBool::new(false),
            follower: Mutex::default(),
        }
    }

    pub fn read_only(&self) -> Option<String> {
        let halted = self.halt.cause().map(|halt| halt.cause);
        let follows = || self.is_following().then(|| follow::FOLLOWS.to_owned());
        halted.or_else(|| self.no_room()).or_else(follows)
    }

    /// Why there is no room for a group, if so. Cost, if there is: a few loads.
    fn no_room(&self) -> Option<String> {
        if self.gate.is_closed() {
            return self.gate.cause();
        }
        let primary = self.halt.views.primary();
        // One that takes no entries needs no room for them.
        let is_out = primary.is_writable()
            && primary.store.pressure().is_some_and(|pressure| pressure.is_out_of_room());
        is_out.then(|| "a flush has found the disk full".to_owned())
    }

    fn refuse_all(&self, group: &[D::Request], refusal: impl Fn() -> Error) -> Written<D::Reply> {
        Written { replies: group.iter().map(|_| Err(refusal())).collect(), entries: Vec::new() }
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
        let mut in_flight = self.halt.in_flight.lock();
        let view = match self.halt.views.snapshot() {
            Ok(view) => view,
            Err(error) => {
                let cause = error.to_string();
                written.replies.extend(group.iter().map(|_| Err(Error::NoView { cause: cause.clone() })));
                return written;
            }
        };
        let now = self.now();
        let mut lsn = self.halt.journal.durable_lsn().next();
        for (index, request) in group.into_iter().enumerate() {
            match self.halt.derive.admit(request, &view, &mut in_flight, lsn, now) {
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
    ///
    /// If its fate is not known, nothing is admitted until it is. Anything else means that nothing was written: as if
    /// the group had never been.
    fn refuse(&self, mut written: Written<D::Reply>, error: &stemedb_wal::Error) -> Written<D::Reply> {
        use stemedb_wal::Error as Wal;
        let cause = cause_of(error).map(stemedb_env::Error::logged);
        tracing::error!(error = ?error, cause = ?cause, "StorageError: the journal failed: {error}");
        let no_room = cause_of(error).is_some_and(stemedb_env::Error::is_storage_full);
        if no_room {
            (self.wakes.after_full)();
        }
        let entries = std::mem::take(&mut written.entries);
        if matches!(error, Wal::Indeterminate { .. } | Wal::Abandoned) {
            let pending = entries.into_iter().map(|(lsn, entry, _)| (lsn, entry));
            self.halt.until_known(error.to_string(), no_room, pending);
            (self.wakes.after_halt)();
        } else if let Some((first, ..)) = entries.first() {
            self.halt.derive.abandon(&mut self.halt.in_flight.lock(), *first);
        }
        for reply in &mut written.replies {
            // Refusals of the admission stay what they are. A "was there already" may lean on an entry of this very
            // group, so it shares its fate.
            if reply.is_ok() {
                *reply = Err(classify(error.clone()));
            }
        }
        written
    }
}

/// What the system said, where a journal failure comes from it.
fn cause_of(error: &stemedb_wal::Error) -> Option<&stemedb_env::Error> {
    use stemedb_wal::{Error as Wal, ReadOnlyCause};
    match error {
        Wal::Env(cause)
        | Wal::Indeterminate { cause, .. }
        | Wal::ReadOnly { cause: ReadOnlyCause::Failed(cause) } => Some(cause),
        _ => None,
    }
}

/// The class of a journal failure.
pub(crate) fn classify(error: stemedb_wal::Error) -> Error {
    use stemedb_wal::Error as Wal;
    match &error {
        Wal::Env(env) if env.is_storage_full() => Error::StorageFull { source: error },
        Wal::Indeterminate { .. } | Wal::Abandoned => Error::Indeterminate { source: error },
        Wal::ReadOnly { cause } if cause_of(&error).is_some_and(stemedb_env::Error::is_storage_full) => {
            Error::NoRoom { cause: cause.to_string() }
        }
        Wal::ReadOnly { cause } => Error::ReadOnly { cause: cause.to_string() },
        Wal::TimedOut { waited_ms } => Error::LockTimeout { waited_ms: *waited_ms },
        Wal::Overloaded { queued_bytes, .. } => Error::Overloaded { queued_bytes: *queued_bytes },
        _ => Error::Journal(error),
    }
}

/// What the writer of a durable entry is told that no view took. The first error of a group says why.
fn as_not_readable(lsn: Lsn, error: Error, first: &mut Option<Error>) -> Error {
    let cause = match &error {
        Error::NotReadable { cause, .. } => cause.clone(),
        other => other.to_string(),
    };
    let told = Error::NotReadable { lsn, cause };
    first.get_or_insert(error);
    told
}

impl<J: Journal, P: ViewStore, F: ViewStore, D: Admit> CommitStages for Stages<J, P, F, D> {
    type Request = D::Request;
    type Reply = Result<D::Reply>;
    type Written = Written<D::Reply>;

    fn write(&self, group: Vec<D::Request>) -> Written<D::Reply> {
        if self.is_following() {
            return self.refuse_all(&group, || Error::ReadOnly { cause: follow::FOLLOWS.to_owned() });
        }
        if !self.halt.try_end()
            && let Some(HaltCause { cause, no_room }) = self.halt.cause()
        {
            return self.refuse_all(&group, || match no_room {
                true => self.gate.refusal(&cause),
                false => Error::ReadOnly { cause: cause.clone() },
            });
        }
        // Before an LSN is given: what is refused here was definitely not applied.
        if let Some(cause) = self.no_room() {
            (self.wakes.after_full)();
            return self.refuse_all(&group, || self.gate.refusal(&cause));
        }
        let written = self.admit_all(group);
        if written.entries.is_empty() {
            return written;
        }
        let entries: Vec<&[u8]> = written.entries.iter().map(|(_, entry, _)| entry.as_slice()).collect();
        let started = self.clock.monotonic();
        match self.halt.journal.append_group(&entries) {
            Ok(first) => {
                // Compaction gives way to commits that it slows down.
                if let Some(pressure) = self.halt.views.primary().store.pressure() {
                    pressure.report_sync(self.clock.monotonic().saturating_sub(started));
                }
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
        let (mut waits, mut hidden) = (false, None);
        {
            let turn = self.halt.views.turn();
            for (lsn, entry, index) in entries {
                let applied = match self.halt.waits_before(lsn) {
                    Some(cause) => Err(Setback::ForNow { cause }),
                    None => self.halt.apply(&turn, lsn, &entry),
                };
                let error = match applied {
                    Ok(()) => continue,
                    Err(Setback::ForNow { cause }) => {
                        waits = true;
                        self.halt.until_there_is_room(cause.clone(), lsn, entry);
                        Error::NotReadable { lsn, cause }
                    }
                    Err(Setback::Failed(error)) => as_not_readable(lsn, error, &mut hidden),
                };
                if let Some(reply) = replies.get_mut(index) {
                    *reply = Err(error);
                }
            }
        }
        if let Some(cause) = &hidden {
            self.halt.until_shown(cause, last);
        }
        if waits || hidden.is_some() {
            // They stay in flight, so that nobody is told "there already" of what no view shows.
            (self.wakes.after_halt)();
        } else {
            self.halt.derive.retire(&mut self.halt.in_flight.lock(), last);
        }
        if waits {
            (self.wakes.after_full)();
        }
        (self.wakes.after_publish)();
        replies
    }
}

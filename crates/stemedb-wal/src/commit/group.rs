//! The writers of one group, and where they wait.

use std::{
    sync::{Arc, OnceLock},
    task::Waker,
};

use stemedb_env::sync::{
    Gate, Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::SubmitError;

/// Where the writers of one group wait. Only they are woken when it is done.
pub(super) struct Group<R> {
    /// Opened once when the outcome is there, and for one waiter when somebody has to lead.
    pub gate: Gate,
    outcome: OnceLock<Outcome<R>>,
    /// Tasks that polled a ticket.
    wakers: Mutex<Vec<Waker>>,
    needs_job: AtomicBool,
}

enum Outcome<R> {
    /// One reply per member; each takes its own.
    Replied(Vec<Mutex<Option<R>>>),
    Refused(SubmitError),
}

impl<R> Group<R> {
    pub fn new() -> Arc<Group<R>> {
        Arc::new(Group {
            gate: Gate::new(),
            outcome: OnceLock::new(),
            wakers: Mutex::new(Vec::new()),
            needs_job: AtomicBool::new(false),
        })
    }

    /// Sets everybody free. The first outcome counts.
    pub fn finish(&self, replies: Result<Vec<R>, SubmitError>) {
        let outcome = match replies {
            Ok(replies) => {
                Outcome::Replied(replies.into_iter().map(|reply| Mutex::new(Some(reply))).collect())
            }
            Err(error) => Outcome::Refused(error),
        };
        let _ = self.outcome.set(outcome);
        self.gate.open();
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The reply of one member, once; `None` while there is no outcome.
    pub fn take(&self, member: usize) -> Option<Result<R, SubmitError>> {
        match self.outcome.get()? {
            Outcome::Replied(replies) => {
                let reply = replies.get(member).and_then(|reply| reply.lock().take());
                Some(reply.ok_or(SubmitError::Abandoned))
            }
            Outcome::Refused(error) => Some(Err(*error)),
        }
    }

    /// True when the outcome is there.
    pub fn is_finished(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// Remembers whom to wake. The caller looks for the outcome again afterwards.
    pub fn register(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        self.want_job();
    }

    /// Asks one of the group to lead: a sleeping thread, or one that is about to sleep. False if there is none, so
    /// that somebody else has to.
    pub fn ask_to_lead(&self) -> bool {
        self.gate.open_for_one()
    }

    /// Says that somebody of the group has no thread that could lead.
    pub fn want_job(&self) {
        self.needs_job.store(true, Ordering::SeqCst);
    }

    /// True if somebody of the group has no thread that could lead.
    pub fn needs_job(&self) -> bool {
        self.needs_job.load(Ordering::SeqCst)
    }
}

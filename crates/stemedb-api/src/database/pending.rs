//! Writes that are under way.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
};

use stemedb_hybrid::{CommitTicket, RedbStore};
use stemedb_index::{Claims, Outcome};
use stemedb_lsm::LsmStore;

use super::Database;
use crate::errors::Result;

/// What a writer holds between [`Database::begin`] and the outcomes.
///
/// Wait for it with a thread ([`Pending::wait`]), or poll it: it is a [`Future`] that needs no particular runtime. The commands are
/// on their way in any case, also when it is dropped; then they are not among those that [`Database::created_since_open`] counts.
pub struct Pending {
    database: Database,
    ticket: CommitTicket<LsmStore, RedbStore, Claims>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl Pending {
    pub(super) fn new(database: Database, ticket: CommitTicket<LsmStore, RedbStore, Claims>) -> Pending {
        Pending { database, ticket }
    }

    /// Waits until the commands are durable and readable: one outcome a command.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn wait(self) -> Result<Vec<Outcome>> {
        let Pending { database, ticket } = self;
        database.ended(ticket.wait())
    }
}

impl Future for Pending {
    type Output = Result<Vec<Outcome>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.ticket).poll(context));
        Poll::Ready(self.database.ended(reply))
    }
}

impl Database {
    /// What became of a commit.
    fn ended(&self, reply: stemedb_hybrid::Result<Vec<Outcome>>) -> Result<Vec<Outcome>> {
        // Fenced meanwhile: what is durable here is not in the database that goes on elsewhere.
        self.inner.role.may_write()?;
        let outcomes = reply?;
        let created = outcomes.iter().filter(|outcome| outcome.created && outcome.id.is_some()).count();
        self.inner.created.fetch_add(created as u64, Ordering::Relaxed);
        Ok(outcomes)
    }
}

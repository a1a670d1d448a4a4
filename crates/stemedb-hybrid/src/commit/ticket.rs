//! A commit under way.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use stemedb_index::Admit;
use stemedb_wal::{SegmentedJournal, SubmitError, Ticket};

use super::Stages;
use crate::{Error, Result, view::ViewStore};

/// What a writer holds between [`crate::HybridStore::submit`] and the reply.
///
/// Wait for it with a thread ([`CommitTicket::wait`]), or poll it: it is a [`Future`] that needs no particular runtime. The
/// request is on its way in any case, also when the ticket is dropped.
pub struct CommitTicket<P: ViewStore, F: ViewStore, D: Admit> {
    ticket: Ticket<Stages<SegmentedJournal, P, F, D>>,
}

impl<P: ViewStore, F: ViewStore, D: Admit> fmt::Debug for CommitTicket<P, F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitTicket").finish_non_exhaustive()
    }
}

impl<P: ViewStore, F: ViewStore, D: Admit> CommitTicket<P, F, D> {
    pub(crate) fn new(ticket: Ticket<Stages<SegmentedJournal, P, F, D>>) -> CommitTicket<P, F, D> {
        CommitTicket { ticket }
    }

    /// Waits until the request is durable and readable. Errors: as of [`crate::HybridStore::commit`].
    pub fn wait(self) -> Result<D::Reply> {
        self.ticket.wait().unwrap_or_else(|error| Err(refusal(error)))
    }
}

impl<P: ViewStore, F: ViewStore, D: Admit> Future for CommitTicket<P, F, D> {
    type Output = Result<D::Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.ticket).poll(context));
        Poll::Ready(reply.unwrap_or_else(|error| Err(refusal(error))))
    }
}

/// What the queue's own refusals mean.
pub(crate) fn refusal(error: SubmitError) -> Error {
    match error {
        SubmitError::Overloaded { queued_bytes, .. } => Error::Overloaded { queued_bytes },
        SubmitError::Abandoned => Error::Indeterminate { source: stemedb_wal::Error::Abandoned },
    }
}

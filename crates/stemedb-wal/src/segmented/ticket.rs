//! An entry that is on its way into the journal.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use stemedb_env::Lsn;

use super::AppendStages;
use crate::{Error, Result, SubmitError, Ticket};

/// An entry on its way: see [`crate::SegmentedJournal::submit`]. A [`Future`] of its LSN; or wait for it.
///
/// Errors, of both: [`Error::TimedOut`], [`Error::Indeterminate`], [`Error::ReadOnly`], [`Error::Env`], [`Error::Abandoned`].
#[derive(Debug)]
pub struct AppendTicket {
    pub(super) ticket: Ticket<AppendStages>,
}

impl AppendTicket {
    /// Waits until the entry is durable, doing the work of its group if nobody else does.
    pub fn wait(self) -> Result<Lsn> {
        self.ticket.wait()?
    }

    /// The outcome, if it is there already. Not to be called again, or waited for, after it was given.
    pub fn try_take(&mut self) -> Option<Result<Lsn>> {
        self.ticket.try_take().map(|reply| reply?)
    }
}

impl Future for AppendTicket {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Lsn>> {
        Pin::new(&mut self.ticket).poll(context).map(|reply| reply?)
    }
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Error {
        match error {
            SubmitError::Overloaded { queued_bytes, limit_bytes, oldest_ms } => {
                Error::Overloaded { queued_bytes, limit_bytes, oldest_ms }
            }
            SubmitError::TimedOut { waited_ms } => Error::TimedOut { waited_ms },
            SubmitError::Abandoned => Error::Abandoned,
        }
    }
}

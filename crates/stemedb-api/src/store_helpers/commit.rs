//! Commits of one command, waited for without a thread.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use stemedb_core::Command;
use stemedb_index::Outcome;
use tracing::{Instrument, Span};

use super::{Operation, Storage};
use crate::{
    database::Pending,
    errors::{Code, Result},
    http::Problem,
};

/// A command with more signatures is checked on a thread for such work: one costs about 50 microseconds.
const SIGNATURES_AT_ONCE: usize = 4;

impl Storage {
    /// Commits one command. It is checked where the request was read, and waits for the disk without a thread: waking one for each
    /// request of a group costs more than the rest of a commit.
    ///
    /// As with [`Storage::run`], the command goes its way, and counts, though nobody waits for the reply any more.
    pub(crate) async fn commit(&self, command: Command) -> Result<Vec<Outcome>, Problem> {
        let started = self.database.env().clock.monotonic();
        let is_little = match &command {
            Command::Assert(claim) => claim.signatures.len() <= SIGNATURES_AT_ONCE,
            _ => true,
        };
        let database = self.database.clone();
        let begin = move || database.begin(std::slice::from_ref(&command));
        let begun = match is_little {
            true => begin(),
            false => tokio::task::spawn_blocking(begin).await.map_err(|error| {
                tracing::error!(operation = Operation::Put.name(), "a storage operation panicked: {error}");
                Problem::of(Code::InternalError)
            })?,
        };
        match begun {
            Ok(pending) => {
                UnderWay { storage: self.clone(), started, request: Span::current(), pending: Some(pending) }
                    .await
            }
            Err(error) => self.settle(started, Err(error)),
        }
    }

    fn settle(&self, started: Duration, outcome: Result<Vec<Outcome>>) -> Result<Vec<Outcome>, Problem> {
        self.note(Operation::Put, started, &outcome);
        outcome.map_err(|error| Problem::from_error(&error))
    }
}

/// A commit whose end is taken note of, also where its request has ended before.
struct UnderWay {
    storage: Storage,
    started: Duration,
    request: Span,
    pending: Option<Pending>,
}

impl Future for UnderWay {
    type Output = Result<Vec<Outcome>, Problem>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(pending) = &mut self.pending else { return Poll::Pending };
        let outcome = ready!(Pin::new(pending).poll(context));
        self.pending = None;
        Poll::Ready(self.storage.settle(self.started, outcome))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (Some(pending), Ok(runtime)) = (self.pending.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (storage, started) = (self.storage.clone(), self.started);
        let end = async move {
            // Nobody is left to be told.
            let _ = storage.settle(started, pending.await);
        };
        runtime.spawn(end.instrument(self.request.clone()));
    }
}

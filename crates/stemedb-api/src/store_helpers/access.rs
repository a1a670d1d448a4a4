//! Guarded access to the storage.

use std::{fmt, sync::Arc, time::Duration};

use super::classify::system_error;
use crate::{
    database::Database,
    errors::{Code, Error, Result},
    http::{Admission, Problem},
    metrics::Metrics,
};

/// What is done to the storage: the label of its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Commands are committed.
    Put,
    /// A record is read by its key.
    Get,
    /// A question is answered.
    Query,
    /// Tables are merged because somebody asked for it.
    Compact,
    /// Every file is read back because somebody asked for it.
    Verify,
    /// A backup is made, or segments are archived.
    Backup,
}

impl Operation {
    /// All of them.
    pub(crate) const ALL: [Operation; 6] = [
        Operation::Put,
        Operation::Get,
        Operation::Query,
        Operation::Compact,
        Operation::Verify,
        Operation::Backup,
    ];

    /// True for what takes turns with others of its kind.
    const fn is_read(self) -> bool {
        matches!(self, Operation::Get | Operation::Query)
    }

    /// The value of the label `operation`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::Query => "query",
            Operation::Compact => "compact",
            Operation::Verify => "verify",
            Operation::Backup => "backup",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A database behind the guard.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(super) database: Database,
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
}

impl Storage {
    pub(crate) fn new(database: Database, metrics: Arc<Metrics>, admission: Arc<Admission>) -> Storage {
        Storage { database, metrics, admission }
    }

    /// Does blocking work on a thread for it, and turns its failure into a problem. Reads wait for their turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = match operation.is_read() {
            true => Some(self.admission.turn().await.map_err(|refusal| {
                self.metrics.refused(refusal);
                Problem::of(Code::Overloaded)
            })?),
            false => None,
        };
        let (this, request) = (self.clone(), tracing::Span::current());
        let guarded = move || {
            step_back_once();
            request.in_scope(|| {
                let clock = &this.database.env().clock;
                let started = clock.monotonic();
                let outcome = this.guard(operation, work);
                if operation.is_read() {
                    this.admission.note_read(clock.monotonic().saturating_sub(started));
                }
                outcome
            })
        };
        let done = tokio::task::spawn_blocking(guarded).await;
        match done {
            Ok(outcome) => outcome.map_err(|error| Problem::from_error(&error)),
            Err(error) => {
                tracing::error!(operation = operation.name(), "a storage operation panicked: {error}");
                Err(Problem::of(Code::InternalError))
            }
        }
    }

    /// Does work that neither blocks nor takes long, where the request was read. What says `None` has not been done, and does not
    /// count.
    pub(crate) fn at_once<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Database) -> Result<Option<T>>,
    ) -> Result<Option<T>, Problem> {
        let clock = &self.database.env().clock;
        let started = clock.monotonic();
        let outcome = work(&self.database);
        if !matches!(outcome, Ok(None)) {
            self.note(operation, started, &outcome);
        }
        outcome.map_err(|error| Problem::from_error(&error))
    }

    /// Counts, times and logs one blocking operation. Refusals of a request are not failures of the storage.
    pub(crate) fn guard<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Database) -> Result<T>,
    ) -> Result<T> {
        let started = self.database.env().clock.monotonic();
        let outcome = work(&self.database);
        self.note(operation, started, &outcome);
        outcome
    }

    pub(super) fn note<T>(&self, operation: Operation, started: Duration, outcome: &Result<T>) {
        let failed = outcome.as_ref().err().is_some_and(is_failure);
        let now = self.database.env().clock.monotonic();
        self.metrics.storage_operation(operation, failed, now.saturating_sub(started), now);
        if let Err(error) = outcome
            && failed
        {
            log_failure(operation, error);
        }
    }
}

/// How nice threads that work for requests are to those of the connections: their weights are 335 to 1024.
const REQUEST_NICE: u8 = 5;

/// Lets the threads of the connections go before this one, which works for a request: what comes in is read, and refused, though
/// every processor is taken by questions.
fn step_back_once() {
    thread_local! {
        static HAS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !HAS.replace(true) {
        stemedb_env::tasks::step_back(REQUEST_NICE);
    }
}

/// True for what the storage failed to do, false for what it rightly refused.
fn is_failure(error: &Error) -> bool {
    let is_refusal = matches!(error, Error::Building { .. } | Error::Standby | Error::Fenced { .. });
    error.code().status() >= 500 && !is_refusal
}

/// Says in the log what no reply may say: files, offsets, the system's words.
pub(crate) fn log_failure(operation: Operation, error: &Error) {
    let (code, operation) = (error.code().name(), operation.name());
    let system = match error {
        Error::Engine(error) => system_error(error),
        _ => None,
    };
    if let Some(system) = system {
        // The words that operators' alerts look for.
        tracing::error!(operation, code, "StorageError: {system:?}");
    }
    if operation == Operation::Put.name() {
        tracing::error!(operation, code, error = ?error, "StorageError: Failed to write to KV store: {error}");
    } else {
        tracing::error!(operation, code, error = ?error, "StorageError: {error}");
    }
}

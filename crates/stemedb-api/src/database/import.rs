//! Importing many claims: reading and committing overlap.
//!
//! ```text
//! caller's thread   line ─ record ─ rules ─ signatures ─ bytes, id ─▶ batch ─┐
//! commit thread                                        commit (durable) ◀────┘ at most two batches in flight
//! caller's thread   verdicts, in the order of the lines ◀─ outcomes
//! ```
//!
//! Batches are committed one after the other, so that the order of the journal is the order of the lines. A batch is one
//! journal entry: it is wholly in or wholly out. Importing again is harmless, because a claim's id is its content; that
//! is how an interrupted import is resumed.

use std::{collections::VecDeque, fmt, io::Read, ops::ControlFlow, time::Duration};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use stemedb_core::Command;
use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};
use stemedb_index::{Outcome, Submission};

use super::{Database, Line, Lines, abandoned};
use crate::{
    errors::{Code, Error, FieldError, Invalid, Result},
    json,
};

/// Batches that may be on their way at once: one being committed, one waiting.
const IN_FLIGHT_MAX: usize = 2;
/// Refused lines after which a batch is closed, so that their reasons do not pile up.
const REFUSED_PER_BATCH: usize = 1000;
/// How long a full commit queue is waited for before the import gives up.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// What to do after a refused line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Go on with the next one.
    #[default]
    Continue,
    /// Commit the lines before it and stop.
    Stop,
}

/// How to import.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions {
    /// Claims after which a batch is committed.
    pub batch_claims: usize,
    /// Encoded bytes after which a batch is committed.
    pub batch_bytes: usize,
    /// What to do after a refused line.
    pub on_error: OnError,
    /// Whether [`ImportSink::recorded`] is called.
    pub report_recorded: bool,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            batch_claims: 4000,
            batch_bytes: 1 << 20,
            on_error: OnError::Continue,
            report_recorded: false,
        }
    }
}

/// Who is told about the lines of an import, on the caller's thread, in the order of the lines. Lines count from 1.
pub trait ImportSink {
    /// A line was refused; nothing of it was applied.
    fn refused(&mut self, line: u64, why: &Invalid) {
        let _ = (line, why);
    }

    /// The claim of a line is durable and readable.
    fn recorded(&mut self, line: u64, outcome: &Outcome) {
        let _ = (line, outcome);
    }

    /// A batch was committed: everything counted is durable and readable. `Break` stops the import.
    fn acknowledged(&mut self, report: &ImportReport) -> ControlFlow<()> {
        let _ = report;
        ControlFlow::Continue(())
    }
}

/// Nobody is told.
impl ImportSink for () {}

/// What has become of the lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Lines with an acknowledged outcome, empty ones included.
    pub lines: u64,
    /// Claims that were new.
    pub created: u64,
    /// Claims that had been recorded before.
    pub existing: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Everything counted is readable at this LSN.
    pub lsn: Lsn,
    /// True when the import ended before its input: after a refused line, or because the sink asked for it.
    pub stopped: bool,
}

/// An import that could not go on. Everything in `report` is durable; importing again continues.
#[derive(Debug)]
pub struct ImportFailed {
    /// What was acknowledged before.
    pub report: ImportReport,
    /// Why it ended. Boxed, so that the good case stays small.
    pub error: Box<Error>,
}

impl fmt::Display for ImportFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the import ended after {} lines: {}", self.report.lines, self.error)
    }
}

impl std::error::Error for ImportFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref())
    }
}

impl Database {
    /// Imports claims, one JSON object a line (see [`json::import_line`]); empty lines are skipped.
    ///
    /// Memory: a few batches, whatever the length of the input.
    ///
    /// # Errors
    /// [`ImportFailed`], with what was acknowledged before. Refused lines are not errors: the sink is told.
    pub fn import(
        &self,
        input: impl Read,
        options: ImportOptions,
        sink: &mut dyn ImportSink,
    ) -> Result<ImportReport, ImportFailed> {
        let mut import = match Import::start(self, options, sink) {
            Ok(import) => import,
            Err(error) => {
                return Err(ImportFailed { report: ImportReport::default(), error: Box::new(error) });
            }
        };
        match import.run(Lines::new(input)) {
            Ok(()) => Ok(import.report),
            Err(error) => Err(ImportFailed { report: import.report, error: Box::new(error) }),
        }
    }
}

/// Lines that are committed together.
#[derive(Default)]
struct Batch {
    submission: Submission,
    about: About,
}

/// What is to be said about a batch once it is committed.
#[derive(Default)]
struct About {
    /// Lines read, of any kind.
    lines: u64,
    /// Numbers of the lines that hold a claim; only kept when the sink wants to know.
    claims: Vec<u64>,
    refused: Vec<(u64, Invalid)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.about.lines == 0
    }
}

struct Import<'a> {
    database: Database,
    options: ImportOptions,
    sink: &'a mut dyn ImportSink,
    report: ImportReport,
    line: u64,
    batch: Batch,
    /// What the batches on their way are about, oldest first.
    in_flight: VecDeque<About>,
    // Dropped before the task, so that the job ends by itself.
    batches: Sender<Submission>,
    outcomes: Receiver<Result<Vec<Outcome>>>,
    committer: TaskHandle,
}

impl<'a> Import<'a> {
    fn start(
        database: &Database,
        options: ImportOptions,
        sink: &'a mut dyn ImportSink,
    ) -> Result<Import<'a>> {
        let (batches, to_commit) = bounded(IN_FLIGHT_MAX);
        let (done, outcomes) = bounded(IN_FLIGHT_MAX);
        let job = Committer { database: database.clone(), batches: to_commit, done, failed: false };
        let spawned = database.env().tasks.spawn("stemedb-import", Box::new(job));
        let committer = spawned.map_err(|error| Error::Engine(error.into()))?;
        Ok(Import {
            database: database.clone(),
            options,
            sink,
            report: ImportReport::default(),
            line: 0,
            batch: Batch::default(),
            in_flight: VecDeque::new(),
            batches,
            outcomes,
            committer,
        })
    }

    fn run<R: Read>(&mut self, mut lines: Lines<R>) -> Result<()> {
        let ended = self.read(&mut lines);
        // Whatever ended the input, the lines before it are committed.
        let flushed = self.finish();
        ended.and(flushed)
    }

    fn read<R: Read>(&mut self, lines: &mut Lines<R>) -> Result<()> {
        while !self.report.stopped {
            match lines.next_line().map_err(Error::Input)? {
                None => break,
                Some(line) => self.line(line)?,
            }
        }
        Ok(())
    }

    fn line(&mut self, line: Line<'_>) -> Result<()> {
        self.line += 1;
        self.batch.about.lines += 1;
        let read = match line {
            Line::Whole(line) if line.trim_ascii().is_empty() => return Ok(()),
            Line::Whole(line) => self.push(line),
            Line::TooLong => Err(FieldError::in_body("", Code::LineTooLong, "exceeds 1 MiB").into()),
        };
        match read {
            Ok(()) if self.options.report_recorded => self.batch.about.claims.push(self.line),
            Ok(()) => {}
            Err(why) => {
                self.batch.about.refused.push((self.line, why));
                self.report.stopped |= self.options.on_error == OnError::Stop;
            }
        }
        let full = self.batch.submission.len() >= self.options.batch_claims
            || self.batch.submission.encoded_bytes() >= self.options.batch_bytes
            || self.batch.about.refused.len() >= REFUSED_PER_BATCH;
        if full { self.send() } else { Ok(()) }
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Invalid> {
        let command: Command = json::import_line(line)?;
        self.database.check_signatures(&command)?;
        self.batch.submission.push(&command)?;
        Ok(())
    }

    /// Hands the batch to the commit thread; waits while two are on their way.
    fn send(&mut self) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.settle()?;
        }
        let Batch { submission, about } = std::mem::take(&mut self.batch);
        self.batches.send(submission).map_err(|_| abandoned())?;
        self.in_flight.push_back(about);
        self.committer.wake();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let sent = if self.batch.is_empty() { Ok(()) } else { self.send() };
        while !self.in_flight.is_empty() {
            self.settle()?;
        }
        sent
    }

    /// Waits for the oldest batch on its way and says what became of its lines.
    fn settle(&mut self) -> Result<()> {
        let outcomes = self.wait();
        let about = self.in_flight.pop_front().unwrap_or_default();
        let outcomes = outcomes??;
        self.report.lines += about.lines;
        self.report.refused += about.refused.len() as u64;
        for outcome in &outcomes {
            *(if outcome.created { &mut self.report.created } else { &mut self.report.existing }) += 1;
            self.report.lsn = self.report.lsn.max(outcome.position.lsn);
        }
        let mut refused = about.refused.iter().peekable();
        for (line, outcome) in about.claims.iter().zip(&outcomes) {
            while let Some((refused_line, why)) = refused.next_if(|(refused_line, _)| refused_line < line) {
                self.sink.refused(*refused_line, why);
            }
            self.sink.recorded(*line, outcome);
        }
        for (line, why) in refused {
            self.sink.refused(*line, why);
        }
        if self.sink.acknowledged(&self.report).is_break() {
            self.report.stopped = true;
        }
        Ok(())
    }

    fn wait(&self) -> Result<Result<Vec<Outcome>>> {
        loop {
            match self.outcomes.try_recv() {
                Ok(outcomes) => return Ok(outcomes),
                Err(TryRecvError::Disconnected) => return Err(abandoned()),
                // A simulation steps the committer here; threads run by themselves.
                Err(TryRecvError::Empty) if self.database.env().tasks.drive() => {}
                Err(TryRecvError::Empty) => return self.outcomes.recv().map_err(|_| abandoned()),
            }
        }
    }
}

/// Commits batches in the order they come.
struct Committer {
    database: Database,
    batches: Receiver<Submission>,
    done: Sender<Result<Vec<Outcome>>>,
    /// After a failure nothing may follow: the lines of a lost batch would come after later ones.
    failed: bool,
}

impl Job for Committer {
    fn step(&mut self, _: Budget) -> Step {
        match self.batches.try_recv() {
            Err(TryRecvError::Empty) => Step::Idle,
            Err(TryRecvError::Disconnected) => Step::Done,
            Ok(submission) => {
                let outcomes = if self.failed { Err(abandoned()) } else { self.commit(submission) };
                self.failed |= outcomes.is_err();
                // Room for every batch that may be on its way; the receiver may be gone.
                match self.done.send(outcomes) {
                    Ok(()) => Step::Again,
                    Err(_) => Step::Done,
                }
            }
        }
    }
}

impl Committer {
    fn commit(&self, submission: Submission) -> Result<Vec<Outcome>> {
        if submission.is_empty() {
            return Ok(Vec::new());
        }
        let clock = &self.database.env().clock;
        let started = clock.monotonic();
        loop {
            let waited = clock.monotonic().saturating_sub(started);
            match self.database.commit(submission.clone()) {
                Err(error) if error.code() == Code::Overloaded && waited < PATIENCE => clock.sleep(PAUSE),
                other => return other,
            }
        }
    }
}

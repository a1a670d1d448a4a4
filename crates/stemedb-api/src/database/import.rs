//! Importing many claims: reading and committing overlap.
//!
//! ```text
//! caller's thread   format ─ record ─ rules ─ signatures ─ bytes, id ─▶ batch ─┐
//! commit thread                                        commit (durable) ◀────┘ at most two batches in flight
//! caller's thread   verdicts, in the order of the lines ◀─ outcomes
//! ```
//!
//! Batches are committed one after the other, so that the order of the journal is the order of the lines. A batch is one
//! journal entry: it is wholly in or wholly out. Where a record of it is refused when its turn comes (a vote on a claim that
//! is not there), the batch is cut into smaller ones around it. Importing again is harmless, because a claim's id is its content; that
//! is how an interrupted import is resumed.

use std::{collections::VecDeque, fmt, io::Read, ops::ControlFlow, time::Duration};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use stemedb_core::{AgentId, Command};
use stemedb_env::{Budget, Job, Lsn, Step, TaskHandle};
use stemedb_index::{Outcome, Submission};

use super::{Database, abandoned, binding::bind};
use crate::{
    errors::{Code, Error, FieldError, Invalid, Result},
    exchange::{Format, Found, ReadOptions, Records},
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
    /// Records after which a batch is committed.
    pub batch_claims: usize,
    /// Encoded bytes after which a batch is committed.
    pub batch_bytes: usize,
    /// What to do after a refused line.
    pub on_error: OnError,
    /// Whether [`ImportSink::recorded`] is called.
    pub report_recorded: bool,
    /// Whose records these are: others' are refused, and where a record names nobody it becomes this agent's. `None`: anybody's.
    pub agent: Option<AgentId>,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            batch_claims: 4000,
            batch_bytes: 1 << 20,
            on_error: OnError::Continue,
            report_recorded: false,
            agent: None,
        }
    }
}

/// Who is told about the lines of an import, on the caller's thread, in the order of the lines. Lines count from 1.
pub trait ImportSink {
    /// A line was refused; nothing of it was applied.
    fn refused(&mut self, line: u64, why: &Invalid) {
        let _ = (line, why);
    }

    /// The record of a line is durable and readable.
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
    /// Records that were new.
    pub created: u64,
    /// Records that had been made before.
    pub existing: u64,
    /// Records that were refused.
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
    /// Imports JSON lines: records of any kind (see [`crate::json::exported`]), claims where a line does not say what it is;
    /// empty lines are skipped.
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
        self.import_as(input, &ReadOptions::of(Format::Jsonl), options, sink)
    }

    /// Imports an input of any format. Memory and errors as of [`Database::import`], and [`Error::Invalid`] where the input
    /// is not of the format, with the line in its detail.
    pub fn import_as(
        &self,
        input: impl Read,
        read: &ReadOptions,
        options: ImportOptions,
        sink: &mut dyn ImportSink,
    ) -> Result<ImportReport, ImportFailed> {
        let mut import = match Import::start(self, options, sink) {
            Ok(import) => import,
            Err(error) => {
                return Err(ImportFailed { report: ImportReport::default(), error: Box::new(error) });
            }
        };
        match import.run(Records::new(input, read)) {
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
    /// The last line before it.
    before: u64,
    /// Lines read, of any kind.
    lines: u64,
    /// Numbers of the lines of the submission's commands.
    commands: Vec<u64>,
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
    outcomes: Receiver<Result<Committed>>,
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
        let job = Committer {
            database: database.clone(),
            batches: to_commit,
            done,
            stop_at_refused: options.on_error == OnError::Stop,
            stopped: false,
            failed: false,
        };
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

    fn run(&mut self, mut records: Records<'_>) -> Result<()> {
        let ended = self.read(&mut records);
        // Whatever ended the input, the lines before it are committed.
        let flushed = self.finish();
        ended.and(flushed)
    }

    fn read(&mut self, records: &mut Records<'_>) -> Result<()> {
        while !self.report.stopped {
            match records.next_record()? {
                None => break,
                Some(found) => self.take(found)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, found: Found) -> Result<()> {
        self.batch.about.lines += found.read.saturating_sub(self.line);
        self.line = found.read;
        let Some(record) = found.record else { return Ok(()) };
        match record.and_then(|command| self.push(command)) {
            Ok(()) => self.batch.about.commands.push(found.line),
            Err(why) => {
                self.batch.about.refused.push((found.line, why));
                self.report.stopped |= self.options.on_error == OnError::Stop;
            }
        }
        let full = self.batch.submission.len() >= self.options.batch_claims
            || self.batch.submission.encoded_bytes() >= self.options.batch_bytes
            || self.batch.about.refused.len() >= REFUSED_PER_BATCH;
        if full { self.send() } else { Ok(()) }
    }

    fn push(&mut self, mut command: Command) -> Result<(), Invalid> {
        if let Some(agent) = self.options.agent {
            bind(&mut command, agent)?;
        }
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
        self.batch.about.before = self.line;
        self.batches.send(submission.under(self.database.inner.authority)).map_err(|_| abandoned())?;
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
        let committed = self.wait();
        let about = self.in_flight.pop_front().unwrap_or_default();
        let Committed { outcomes, refused, ended } = committed??;
        let lines = |at: usize| about.commands.get(at).copied().unwrap_or_default();
        // Of a batch that ended early, what lies behind its end was not dealt with.
        let last = match ended {
            Ended::Whole => about.before + about.lines,
            Ended::At(at) => lines(at),
            Ended::NotBegun => about.before,
        };
        let late = refused.into_iter().map(|(at, why)| (lines(at), why));
        let early = about.refused.into_iter().filter(|(line, _)| *line <= last);
        let mut refusals: Vec<(u64, Invalid)> = early.chain(late).collect();
        refusals.sort_by_key(|(line, _)| *line);
        self.report.lines += last.saturating_sub(about.before);
        self.report.refused += refusals.len() as u64;
        self.report.stopped |= !matches!(ended, Ended::Whole);
        for (_, outcome) in &outcomes {
            *(if outcome.created { &mut self.report.created } else { &mut self.report.existing }) += 1;
            self.report.lsn = self.report.lsn.max(outcome.position.lsn);
        }
        let mut refusals = refusals.iter().peekable();
        if self.options.report_recorded {
            for (at, outcome) in &outcomes {
                let line = lines(*at);
                while let Some((refused_line, why)) =
                    refusals.next_if(|(refused_line, _)| *refused_line < line)
                {
                    self.sink.refused(*refused_line, why);
                }
                self.sink.recorded(line, outcome);
            }
        }
        for (line, why) in refusals {
            self.sink.refused(*line, why);
        }
        if self.sink.acknowledged(&self.report).is_break() {
            self.report.stopped = true;
        }
        Ok(())
    }

    fn wait(&self) -> Result<Result<Committed>> {
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

/// What became of a batch.
#[derive(Default)]
struct Committed {
    /// By the index of the command, ascending.
    outcomes: Vec<(usize, Outcome)>,
    /// Commands that were refused when their turn came.
    refused: Vec<(usize, Invalid)>,
    ended: Ended,
}

/// How far the commands of a batch were dealt with.
#[derive(Clone, Copy, Default)]
enum Ended {
    #[default]
    Whole,
    /// The one with this index was refused, and those behind it were not tried.
    At(usize),
    /// A batch before it ended early.
    NotBegun,
}

/// Commits batches in the order they come.
struct Committer {
    database: Database,
    batches: Receiver<Submission>,
    done: Sender<Result<Committed>>,
    stop_at_refused: bool,
    /// It did stop.
    stopped: bool,
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
    /// Commits a batch, whole if it can be. Around what is refused it is cut into halves, in their order, so that n
    /// refusals cost about n × log2(batch) further commits.
    fn commit(&mut self, submission: Submission) -> Result<Committed> {
        let mut committed = Committed::default();
        if self.stopped {
            committed.ended = Ended::NotBegun;
            return Ok(committed);
        }
        // What is left to do, the first part last.
        let mut parts = vec![(0, submission)];
        while let Some((first, part)) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.commit_part(&part) {
                Ok(outcomes) => {
                    committed.outcomes.extend((first..).zip(outcomes));
                }
                Err(error) if !is_refusal(&error) => return Err(error),
                Err(error) if part.len() == 1 => {
                    committed.refused.push((first, why(error)));
                    if self.stop_at_refused {
                        self.stopped = true;
                        committed.ended = Ended::At(first);
                        return Ok(committed);
                    }
                }
                Err(_) => {
                    let half = part.len() / 2;
                    let (left, right) = part.split(half);
                    parts.push((first + half, right));
                    parts.push((first, left));
                }
            }
        }
        Ok(committed)
    }

    fn commit_part(&self, part: &Submission) -> Result<Vec<Outcome>> {
        let clock = &self.database.env().clock;
        let started = clock.monotonic();
        loop {
            let waited = clock.monotonic().saturating_sub(started);
            match self.database.commit(part.clone()) {
                Err(error) if error.code() == Code::Overloaded && waited < PATIENCE => clock.sleep(PAUSE),
                other => return other,
            }
        }
    }
}

/// Whether nothing was applied because of what was asked for.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code().status(), 400..500)
}

/// Why a single command was refused.
fn why(error: Error) -> Invalid {
    match error {
        Error::Invalid(why) => why,
        other => FieldError::in_body("", other.code(), other.to_string()).into(),
    }
}

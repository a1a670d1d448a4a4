//! The child process: several threads that append to one journal, and say what they were answered.
//!
//! An acknowledgement is said after `append` has returned, never before. What is said is in the pipe at once, so
//! whatever the parent finds there when the child stands still was promised.

use std::{
    io::{BufRead, Write},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use stemedb_env::{Env, Lsn};
use stemedb_wal::{Error, Journal, JournalReader, ReadOnlyCause, SegmentState, SegmentedJournal};

use crate::{
    content::{self, OpId},
    dice::Dice,
    life::{WriterOptions, threads},
    protocol::Line,
    slow_fs::{Habits, SlowFs},
};

/// Runs until its standard input ends.
pub fn run(options: WriterOptions) -> ExitCode {
    be_a_child();
    let habits = Habits {
        dawdles: options.dawdles,
        without_sync: options.without_sync,
        retries_sync: options.retries_sync,
    };
    let env = Env {
        fs: Arc::new(SlowFs::new(habits, Dice::of(options.seed, 1 << 40 | u64::from(options.life)).number())),
        ..Env::real()
    };
    let work = match Work::begin(env, options) {
        Ok(work) => work,
        Err(error) => {
            say(&Line::Wrong(format!("it does not open: {error}")));
            return ExitCode::FAILURE;
        }
    };
    thread::scope(|scope| {
        for thread in 0..threads(work.options.seed, work.options.life) {
            let work = &work;
            scope.spawn(move || work.append_for_ever(thread));
        }
        scope.spawn(|| work.watch_for_ever());
        for line in std::io::stdin().lock().lines() {
            if line.is_ok_and(|line| line == "verify") {
                work.verify();
            }
        }
        std::process::exit(0)
    })
}

/// The parent's end is this process's end, also where the parent could not say so; and a panic is told before it ends.
pub(crate) fn be_a_child() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    std::panic::set_hook(Box::new(|panic| {
        say(&Line::Wrong(format!("panic: {panic}")));
        std::process::exit(101);
    }));
}

pub(crate) fn say(line: &Line) {
    let text = format!("{line}\n");
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(0);
    }
}

/// Says what is wrong and stands still: the parent looks at it.
pub(crate) fn wrong(what: impl Into<String>) -> ! {
    say(&Line::Wrong(what.into()));
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

struct Work {
    env: Env,
    options: WriterOptions,
    journal: RwLock<Generation>,
    flushed: AtomicU64,
    gone: AtomicU64,
    bytes: AtomicU64,
    done: AtomicBool,
    /// What was acknowledged to this process, with the LSN of the first entry.
    acked: Mutex<Vec<(u64, OpId)>>,
}

struct Generation {
    /// `None` only between a close and the open that follows it.
    journal: Option<SegmentedJournal>,
    number: u64,
}

impl Generation {
    fn new(journal: SegmentedJournal, number: u64) -> Generation {
        Generation { journal: Some(journal), number }
    }

    fn journal(&self) -> &SegmentedJournal {
        self.journal.as_ref().unwrap_or_else(|| wrong("used while it was closed"))
    }
}

impl Work {
    fn begin(env: Env, options: WriterOptions) -> Result<Work, Error> {
        let (dir, identity) = (&options.dir, crate::identity(options.seed));
        let sizes = options.journal();
        let flushed = Lsn(options.flushed);
        let (journal, last_lsn) = match SegmentedJournal::open(&env, dir, identity, flushed, sizes.clone()) {
            Ok((journal, report)) => (journal, report.last_lsn.0),
            Err(Error::NoJournal { .. }) if !options.exists => {
                (SegmentedJournal::create(&env, dir, identity, sizes)?, 0)
            }
            Err(error) => return Err(error),
        };
        say(&Line::Open { last_lsn });
        Ok(Work {
            env,
            journal: RwLock::new(Generation::new(journal, 0)),
            flushed: AtomicU64::new(options.flushed),
            gone: AtomicU64::new(options.gone),
            bytes: AtomicU64::new(0),
            done: AtomicBool::new(false),
            acked: Mutex::default(),
            options,
        })
    }

    fn append_for_ever(&self, thread: u16) {
        let which = (u64::from(self.options.life) << 16) | u64::from(thread);
        let mut dice = Dice::of(self.options.seed, which);
        let mut seq = 0;
        loop {
            if self.bytes.load(Ordering::Relaxed) > self.options.bytes {
                if !self.done.swap(true, Ordering::Relaxed) {
                    say(&Line::Done);
                }
                thread::sleep(Duration::from_millis(50));
                continue;
            }
            match dice.below(1000) {
                0..10 => self.tolerate("rotate", self.journal.read().journal().rotate()),
                10..30 => self.release(&mut dice),
                30..60 => thread::sleep(Duration::from_micros(dice.below(12_000))),
                60..65 if !self.options.stubborn => self.reopen(&mut dice),
                _ => {
                    self.append(thread, seq);
                    seq += 1;
                    thread::sleep(Duration::from_micros(dice.below(2 * self.options.calm_us)));
                }
            }
        }
    }

    fn append(&self, thread: u16, seq: u32) {
        let op = OpId { life: self.options.life, thread, seq };
        let entries = content::group(self.options.seed, op);
        let hash = content::hash(&entries);
        self.bytes.fetch_add(entries.iter().map(|entry| entry.len() as u64 + 64).sum(), Ordering::Relaxed);
        let (outcome, generation) = {
            let held = self.journal.read();
            let outcome = match entries.as_slice() {
                [one] => held.journal().append(one.clone()),
                many => {
                    held.journal().append_group(&many.iter().map(|entry| &entry[..]).collect::<Vec<&[u8]>>())
                }
            };
            (outcome, held.number)
        };
        let error = match outcome {
            Ok(lsn) => {
                self.acked.lock().push((lsn.0, op));
                say(&Line::Acked { thread, seq, lsn: lsn.0, hash });
                return;
            }
            Err(error) => error,
        };
        let why = error.to_string();
        if !self.options.stubborn {
            wrong(format!("append: {why}"));
        }
        let failed = matches!(
            error,
            Error::Indeterminate { .. } | Error::ReadOnly { cause: ReadOnlyCause::Failed(_) }
        );
        match error {
            Error::Indeterminate { .. } => say(&Line::Unknown { thread, seq, why }),
            Error::Env(_) | Error::ReadOnly { .. } | Error::Overloaded { .. } => {
                say(&Line::Refused { thread, seq, why });
            }
            _ => wrong(format!("append: {why}")),
        }
        thread::sleep(Duration::from_millis(3));
        if failed && self.options.reopens {
            self.open_after_failure(generation);
        }
    }

    /// A failed journal cannot write any more, so it is kept for its readers until another can be opened.
    fn open_after_failure(&self, generation: u64) {
        let mut held = self.journal.write();
        if held.number != generation {
            return;
        }
        let identity = crate::identity(self.options.seed);
        let flushed = Lsn(self.flushed.load(Ordering::SeqCst));
        let sizes = self.options.journal();
        match SegmentedJournal::open(&self.env, &self.options.dir, identity, flushed, sizes) {
            Ok((journal, report)) => {
                *held = Generation::new(journal, generation + 1);
                say(&Line::Open { last_lsn: report.last_lsn.0 });
            }
            // The disk is still full.
            Err(error @ (Error::Env(_) | Error::ReadOnly { .. })) => {
                say(&Line::StaysShut { why: error.to_string() });
            }
            Err(error) => wrong(format!("it does not open after a failed write: {error}")),
        }
    }

    /// Closes the journal, or only lets go of it as a process does that ends, and opens it again.
    fn reopen(&self, dice: &mut Dice) {
        let mut held = self.journal.write();
        let closes = dice.one_in(2);
        let durable_lsn = held.journal().durable_lsn();
        if closes && let Err(error) = held.journal().close() {
            wrong(format!("close: {error}"));
        }
        // Waits for its background work: there are never two journals on one folder.
        held.journal = None;
        let identity = crate::identity(self.options.seed);
        let flushed = if dice.one_in(2) { self.flushed.load(Ordering::SeqCst) } else { 0 };
        let sizes = self.options.journal();
        let opened = SegmentedJournal::open(&self.env, &self.options.dir, identity, Lsn(flushed), sizes);
        let (journal, report) = opened.unwrap_or_else(|error| wrong(format!("reopen: {error}")));
        if report.last_lsn != durable_lsn || report.cut.is_some() || (closes && report.adopted_entries > 0) {
            wrong(format!("durable to {durable_lsn}, closed: {closes}, then opened as {report:?}"));
        }
        let number = held.number + 1;
        *held = Generation::new(journal, number);
        say(&Line::Open { last_lsn: report.last_lsn.0 });
    }

    /// The views flush, and sometimes old history is removed.
    fn release(&self, dice: &mut Dice) {
        let held = self.journal.read();
        let durable = held.journal().durable_lsn().0;
        let flushed = durable.saturating_sub(dice.below(300)).max(self.flushed.load(Ordering::SeqCst));
        say(&Line::Flushed { lsn: flushed });
        self.flushed.fetch_max(flushed, Ordering::SeqCst);
        self.tolerate("release", held.journal().release(Lsn(flushed)));
        drop(held);
        let held = self.journal.write();
        if let Err(error) = self.remove_old(held.journal(), dice) {
            self.tolerate("remove old segments", Err(error));
        }
    }

    fn remove_old(&self, journal: &SegmentedJournal, dice: &mut Dice) -> Result<(), Error> {
        let mut kept = 0;
        for segment in journal.segments()?.iter().rev() {
            let (SegmentState::Released, Some(last)) = (segment.state, segment.last_lsn) else { continue };
            let Some(metadata) = self.env.fs.metadata(&segment.path)? else { continue };
            kept += metadata.len;
            if kept > self.options.keep_bytes {
                say(&Line::Gone { lsn: last.0 });
                self.gone.fetch_max(last.0, Ordering::SeqCst);
                match self.env.fs.remove(&segment.path) {
                    // The journal has just compressed it; what is said to be gone may be there.
                    Err(error) if error.is_not_found() => {}
                    removed => removed?,
                }
            }
        }
        if dice.one_in(2) {
            self.env.fs.sync_dir(&self.options.dir)?;
        }
        Ok(())
    }

    fn tolerate(&self, what: &str, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {}
            Err(Error::Env(_) | Error::ReadOnly { .. } | Error::Indeterminate { .. })
                if self.options.stubborn => {}
            Err(error) => wrong(format!("{what}: {error}")),
        }
    }

    /// A reader that follows: what it sees must never be lost.
    fn watch_for_ever(&self) {
        let mut seen = self.options.gone;
        loop {
            thread::sleep(Duration::from_millis(4));
            let held = self.journal.read();
            let from = seen.max(self.gone.load(Ordering::SeqCst));
            let last = held.journal().durable_lsn().0.min(from + 500);
            if last <= from {
                continue;
            }
            match self.read(held.journal(), from, last) {
                Ok(entries) => {
                    seen = from + entries.len() as u64;
                    say(&Line::Seen { lsn: seen });
                }
                Err(what) => wrong(what),
            }
        }
    }

    /// Entries behind `after`, up to `last`.
    fn read(
        &self,
        journal: &SegmentedJournal,
        after: u64,
        last: u64,
    ) -> Result<Vec<content::EntryId>, String> {
        let mut reader =
            journal.read_from(Lsn(after + 1)).map_err(|error| format!("read from {}: {error}", after + 1))?;
        let mut found = Vec::new();
        for lsn in after + 1..=last {
            match reader.next_entry() {
                Ok(Some(entry)) if entry.lsn.0 == lsn => {
                    let id = content::recognise(self.options.seed, &entry.bytes);
                    found.push(id.ok_or_else(|| format!("read LSN {lsn}: no such entry was ever written"))?);
                }
                Ok(other) => return Err(format!("read LSN {lsn}: got {:?}", other.map(|entry| entry.lsn))),
                Err(error) => return Err(format!("read LSN {lsn}: {error}")),
            }
        }
        Ok(found)
    }

    /// Reads everything that was acknowledged to this process.
    fn verify(&self) {
        // Taken first: what comes later need not be read.
        let acked = self.acked.lock().clone();
        let held = self.journal.read();
        let gone = self.gone.load(Ordering::SeqCst);
        let found = match self.read(held.journal(), gone, held.journal().durable_lsn().0) {
            Ok(found) => found,
            Err(what) => wrong(format!("verify: {what}")),
        };
        let mut entries = 0;
        for (first, op) in acked {
            for index in 0..content::entries(self.options.seed, op) {
                let lsn = first + u64::from(index);
                let at = lsn.checked_sub(gone + 1).and_then(|at| usize::try_from(at).ok());
                if at.is_some_and(|at| found.get(at) != Some(&content::EntryId { op, index })) {
                    wrong(format!("verify: acknowledged LSN {lsn} is not what was appended"));
                }
                entries += 1;
            }
        }
        say(&Line::Verified { entries });
    }
}

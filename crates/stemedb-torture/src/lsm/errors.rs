//! The n-th call fails: once, and from then on, for every n, over a fixed script.
//!
//! Every call of the tree must give the right answer or an error of the system, never a wrong row and never "damaged". When
//! the faults stop, a reopened tree accepts and keeps everything; and at the end the power is cut: what was acknowledged as
//! flushed is there.

use stemedb_env::fs::{
    FaultFs,
    fault::{Fault, FaultRule},
    sim::Profile,
};
use stemedb_lsm::{BulkOptions, Direction, Error, KeyRange, KvStore, LsmOptions, LsmStore, Lsn, Versions};

use super::{
    create,
    model::{Batch, Model, Write},
    open, shape, timed,
    view::{self, Trouble},
};
use crate::{
    Dice,
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
};

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Every so-manieth n; 0 and 1 are all.
    pub every: u64,
    /// This trial alone: fault, calls that pass before, how many fail.
    pub only: Option<(String, u64, u64)>,
}

const FAULTS: [(Fault, &str); 6] = [
    (Fault::Eio, "eio"),
    (Fault::StorageFull, "enospc"),
    (Fault::Short, "short"),
    (Fault::Interrupted, "eintr"),
    (Fault::SyncFailsThenLies, "sync_fails_then_lies"),
    (Fault::TooManyOpenFiles, "emfile"),
];
/// A call that is interrupted for ever never ends, and need not.
const BURST: u64 = 50;
const KEYS: u64 = 60;
const MOST_FAILURES: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Step {
    Small,
    Big,
    /// Two batches through a loader that spills.
    Load,
    Flush,
    Compact,
    Get,
    Many,
    Scan(Direction),
    Verify,
    Reopen,
}

/// Reaches every kind of call: a tree of several levels, read cold and warm, opened twice.
const SCRIPT: &[Step] = &[
    Step::Big,
    Step::Flush,
    Step::Small,
    Step::Flush,
    Step::Get,
    Step::Compact,
    Step::Scan(Direction::Forward),
    Step::Big,
    Step::Load,
    Step::Reopen,
    Step::Many,
    Step::Scan(Direction::Backward),
    Step::Small,
    Step::Flush,
    Step::Big,
    Step::Flush,
    Step::Verify,
    Step::Load,
    Step::Compact,
    Step::Reopen,
    Step::Scan(Direction::Forward),
    Step::Get,
];

fn options() -> LsmOptions {
    LsmOptions {
        prefix_extractor: Some(shape::declared_prefix),
        block_cache_bytes: 2 << 10,
        ..LsmOptions::tiny()
    }
}

struct Trial {
    machine: Machine,
    faults: FaultFs,
    store: Option<LsmStore>,
    model: Model,
    journal: Vec<Batch>,
    /// Of an ingest that failed, while nothing else was written: an open may find all of it, or nothing.
    in_doubt: Vec<Batch>,
    acknowledged: Lsn,
    dice: Dice,
    refused: u64,
}

fn wrong(promise: Promise, detail: impl Into<String>) -> Violation {
    Violation::new(promise, detail)
}

impl Trial {
    fn last(&self) -> Lsn {
        self.journal.last().map_or(Lsn::ZERO, |batch| batch.lsn)
    }

    fn writes(&mut self, size: u64) -> Vec<Write> {
        (0..size)
            .map(|_| {
                let key = shape::key(self.dice.below(KEYS));
                let value = vec![b'a' + self.dice.below(26) as u8; self.dice.size(60)];
                Write::Row(key, (!self.dice.one_in(5)).then_some(value))
            })
            .collect()
    }

    fn keep(&mut self, batches: Vec<Batch>) {
        self.in_doubt.clear();
        for batch in batches {
            self.model.apply(&batch);
            self.journal.push(batch);
        }
    }

    /// An error is the system's, or says that the tree writes no more; it is excused only if something was injected.
    fn excused(&mut self, what: &str, error: &Error, noticeable: bool) -> Result<(), Violation> {
        self.refused += 1;
        let honest = matches!(error, Error::Env(_) | Error::ReadOnly { .. });
        if honest && noticeable && self.faults.fault_counts().total() > 0 {
            return Ok(());
        }
        Err(wrong(Promise::NeverSilent, format!("{what}: {error}")))
    }

    fn answered(
        &mut self,
        what: &str,
        outcome: Result<(), Trouble>,
        noticeable: bool,
    ) -> Result<(), Violation> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Trouble::Refused(error)) => self.excused(what, &error, noticeable),
            Err(Trouble::Wrong(violation)) => Err(violation.at(&what)),
        }
    }

    fn step(&mut self, step: Step, noticeable: bool) -> Result<(), Violation> {
        let Some(store) = self.store.take() else {
            // The open failed: the next step finds a tree again, or not.
            return self.reopen(noticeable);
        };
        let snapshot = store.snapshot();
        let outcome = match step {
            Step::Small | Step::Big => {
                let size = if matches!(step, Step::Small) { 3 } else { 45 };
                let mut writes = self.writes(size);
                // Small batches end with the removal of a few keys.
                if matches!(step, Step::Small) {
                    let first = self.dice.below(KEYS);
                    writes.push(Write::Range(shape::key(first), shape::key(first + 2 * 53)));
                }
                let batch = Batch { lsn: self.last().next(), writes };
                let applied = store.apply(&batch.encoded(), batch.lsn);
                if applied.is_ok() {
                    self.in_doubt.clear();
                    store.publish(batch.lsn);
                    self.model.apply(&batch);
                    self.journal.push(batch);
                }
                (0..4).for_each(|_| _ = self.machine.step());
                applied.map_err(Trouble::from)
            }
            Step::Load => {
                let batches: Vec<Batch> =
                    (1..=2).map(|n| Batch { lsn: Lsn(self.last().0 + n), writes: self.writes(20) }).collect();
                let upto = Lsn(self.last().0 + 2);
                let options = BulkOptions { buffer_bytes: 900, versions: Versions::All };
                let mut loader = store.bulk_loader(options);
                let loaded = batches
                    .iter()
                    .try_for_each(|batch| loader.add_batch(&batch.encoded(), batch.lsn))
                    .and_then(|()| loader.finish(upto));
                match loaded {
                    Ok(_) => {
                        self.acknowledged = upto;
                        self.keep(batches);
                    }
                    Err(_) => self.in_doubt = batches,
                }
                loaded.map(drop).map_err(Trouble::from)
            }
            Step::Flush => store.flush().map_err(Trouble::from).map(|flushed| {
                self.acknowledged = self.acknowledged.max(flushed);
            }),
            Step::Compact => store.compact().map_err(Trouble::from),
            Step::Verify => store.verify().map(drop).map_err(Trouble::from),
            Step::Get => (0..KEYS).try_for_each(|n| view::get(&snapshot, &self.model, &shape::key(n))),
            Step::Many => {
                let keys: Vec<Vec<u8>> = (0..KEYS).map(shape::key).collect();
                view::many(&snapshot, &self.model, &keys)
            }
            Step::Scan(direction) => {
                view::scan(&snapshot, &self.model, &KeyRange::all(), direction, usize::MAX).map(drop)
            }
            Step::Reopen => {
                drop((snapshot, store));
                return self.reopen(noticeable);
            }
        };
        drop(snapshot);
        self.store = Some(store);
        self.answered(&format!("{step:?}"), outcome, noticeable)
    }

    fn reopen(&mut self, noticeable: bool) -> Result<(), Violation> {
        match open(&self.machine.env, &options()) {
            Ok(store) => self.replay(store, noticeable),
            Err(error) => self.excused("open", &error, noticeable),
        }
    }

    fn replay(&mut self, store: LsmStore, noticeable: bool) -> Result<(), Violation> {
        let flushed = store.flushed_lsn();
        let in_doubt = std::mem::take(&mut self.in_doubt);
        if in_doubt.last().is_some_and(|batch| batch.lsn == flushed) {
            self.keep(in_doubt);
        }
        if flushed < self.acknowledged || flushed > self.last() {
            let detail = format!("flushed is {flushed}, acknowledged was {}", self.acknowledged);
            return Err(wrong(Promise::Durable, detail));
        }
        if let Some((file, damage)) = store.damaged().first() {
            let detail = format!("table {file} is said to be damaged: {damage:?}");
            return Err(wrong(Promise::NeverSilent, detail));
        }
        for batch in self.journal.iter().filter(|batch| batch.lsn > flushed) {
            if let Err(error) = store.apply(&batch.encoded(), batch.lsn) {
                // Half replayed: it is closed again, as the engine does.
                return self.excused("replay", &error, noticeable);
            }
            store.publish(batch.lsn);
        }
        self.store = Some(store);
        Ok(())
    }

    /// Everything is right, and works, without faults.
    fn live(&mut self) -> Result<(), Violation> {
        self.store = None;
        for step in [Step::Reopen, Step::Scan(Direction::Forward), Step::Big, Step::Flush, Step::Compact] {
            self.step(step, false)?;
        }
        for step in [Step::Get, Step::Many, Step::Scan(Direction::Backward), Step::Verify] {
            self.step(step, false)?;
        }
        Ok(())
    }
}

/// Runs one trial. Returns the hits of the fault, and how many calls of the tree it made fail.
fn trial(fault: Fault, after: u64, times: u64) -> Result<(u64, u64), Violation> {
    let disk = Machine::disk(Profile::Adversarial);
    let machine = Machine::faulty(disk, Machine::clock(), 5);
    let faults = machine.faults.clone().ok_or_else(|| wrong(Promise::Live, "no faults"))?;
    // The first tree is made without faults: how making one fails is told by the crash suites.
    let store = create(&machine.env, &options()).map_err(|error| wrong(Promise::Live, error.to_string()))?;
    faults.add(FaultRule::new(fault).after(after).times(times));
    let mut trial = Trial {
        machine,
        faults,
        store: Some(store),
        model: Model::default(),
        journal: Vec::new(),
        in_doubt: Vec::new(),
        acknowledged: Lsn::ZERO,
        dice: Dice::new(9),
        refused: 0,
    };
    // A call that did a part, or was interrupted, is gone on with: nobody may notice.
    let noticeable = !matches!(fault, Fault::Short | Fault::Interrupted);
    for (at, step) in SCRIPT.iter().enumerate() {
        trial.step(*step, noticeable).map_err(|violation| violation.at(&format!("step {at}")))?;
    }
    let hits = trial.faults.fault_counts().total();
    trial.faults.clear();
    trial.live().map_err(|violation| violation.at(&"after the faults"))?;
    // And what was acknowledged outlives a power cut.
    let disk = trial.machine.disk.crash_losing_all();
    trial.store = None;
    trial.machine = Machine::plain(disk);
    trial.live().map_err(|violation| violation.at(&"after a power cut"))?;
    Ok((hits, trial.refused))
}

/// Runs the sweep.
///
/// # Errors
/// A message when the options name something that does not exist.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    timed("lsm-errors", tier, |report| {
        if let Some((name, after, times)) = &options.only {
            let found = FAULTS.iter().find(|(_, known)| known == name);
            let (fault, _) = found.ok_or_else(|| format!("there is no fault `{name}`"))?;
            judged(*fault, name, *after, *times, report);
            return Ok(());
        }
        for (fault, name) in FAULTS {
            let then_on = if fault == Fault::Interrupted { BURST } else { u64::MAX };
            for times in [1, then_on] {
                let mut after = 0;
                while judged(fault, name, after, times, report) {
                    after += options.every.max(1);
                }
                report.required.push(class(name, times));
            }
        }
        Ok(())
    })
}

fn class(name: &str, times: u64) -> String {
    format!("{name}_{}", if times == 1 { "once" } else { "then_on" })
}

/// False when the fault did not hit (then there are no more calls), or too much has failed already.
fn judged(fault: Fault, name: &str, after: u64, times: u64, report: &mut Report) -> bool {
    report.did("trials", 1);
    let class = class(name, times);
    match caught(|| trial(fault, after, times)) {
        Ok((0, _)) => false,
        Ok((hits, refused)) => {
            report.injected(&class, hits);
            report.came_of(&class, if refused == 0 { "unnoticed" } else { "refused" }, 1);
            true
        }
        Err(violation) => {
            report.injected(&class, 1);
            let violation = violation.at(&format!("{class} after {after} calls"));
            let again = format!("torture lsm-errors --only {name},{after},{times}");
            report.failures.push(Failure { violation, again });
            report.failures.len() < MOST_FAILURES
        }
    }
}

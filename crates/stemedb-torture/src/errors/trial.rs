//! One script, one rule.

use std::{sync::Arc, time::Duration};

use stemedb_env::fs::{
    SimFs,
    fault::{Fault, FaultRule},
    sim::{Profile, Selection},
};

use super::script::{Script, Step};
use crate::{
    client,
    entries::entry,
    ledger::Ledger,
    machine::Machine,
    recovery,
    subject::{Answer, OURS, RESUME, Refusal, Resume, Shape, Subject},
    violation::{Promise, Violation},
};

/// What came of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How often the fault hit.
    pub hits: u64,
    /// Did it hit in the process in which it was to begin? If not, that process has no more calls.
    pub began: bool,
    /// The worst that a caller was told.
    pub outcome: &'static str,
}

/// Which call fails, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// What happens to it.
    pub fault: Fault,
    /// In which process of the script.
    pub life: u64,
    /// Calls of that process (to which this fault can happen) that pass before.
    pub after: u64,
    /// How many fail; `u64::MAX` is every one from then on, in the processes that follow too.
    pub times: u64,
}

impl Failing {
    /// Short and interrupted transfers are no errors: nobody may see anything of them.
    fn may_be_noticed(&self) -> bool {
        !matches!(self.fault, Fault::Short | Fault::Interrupted)
    }

    fn rule(&self, life: u64) -> Option<FaultRule> {
        let rule = FaultRule::new(self.fault).times(self.times);
        match life.cmp(&self.life) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(rule.after(self.after)),
            std::cmp::Ordering::Greater => Some(rule).filter(|_| self.times == u64::MAX),
        }
    }
}

struct Trial {
    shape: Shape,
    machine: Machine,
    subject: Option<Subject>,
    ledger: Ledger,
    flushed: u64,
    submitted: u64,
    failing: Failing,
    /// Processes that are gone.
    life: u64,
    /// Hits in them.
    earlier_hits: u64,
    began: bool,
    outcome: &'static str,
}

/// Appends that must work when the faults have stopped.
const LAST_APPENDS: usize = 3;

/// Runs `script` and checks every way in which it may end. Then the faults stop, and full service must return.
pub fn run(script: &Script, failing: Failing, shape: Shape) -> Result<Verdict, Violation> {
    let disk = Machine::disk(Profile::Adversarial);
    let machine = Machine::faulty(disk, Machine::clock(), 1);
    let mut trial = Trial {
        shape,
        machine,
        subject: None,
        ledger: Ledger::default(),
        flushed: 0,
        submitted: 0,
        failing,
        life: 0,
        earlier_hits: 0,
        began: false,
        outcome: "unnoticed",
    };
    if script.creates {
        trial.arm();
    }
    match Subject::create(&trial.machine.env, OURS, &trial.shape) {
        Ok(subject) => trial.subject = Some(subject),
        Err(refusal) => {
            trial.must_be_excused("create", &refusal)?;
            trial.outcome = "not_created";
        }
    }
    if !script.creates {
        trial.arm();
    }
    for step in script.steps {
        trial.step(*step)?;
    }
    trial.finish()
}

impl Trial {
    fn arm(&self) {
        let Some(faults) = &self.machine.faults else { return };
        self.failing.rule(self.life).into_iter().for_each(|rule| faults.add(rule));
    }

    fn hits(&self) -> u64 {
        self.earlier_hits + self.machine.faults.as_ref().map_or(0, |faults| faults.fault_counts().total())
    }

    /// An error is right only after a fault that may be noticed, and never a report of damage: nothing is damaged.
    fn must_be_excused(&self, what: &str, refusal: &Refusal) -> Result<(), Violation> {
        if refusal.reports_damage() {
            let detail = format!("{what}: nothing is damaged, but: {refusal}");
            return Err(Violation::new(Promise::NeverSilent, detail));
        }
        if self.hits() == 0 || !self.failing.may_be_noticed() {
            return Err(Violation::new(Promise::Live, format!("{what} failed: {refusal}")));
        }
        Ok(())
    }

    fn worse(&mut self, outcome: &'static str) {
        const ORDER: [&str; 6] = ["unnoticed", "failed", "refused", "unknown", "not_opened", "not_created"];
        let rank = |name: &str| ORDER.iter().position(|other| *other == name);
        if rank(outcome) > rank(self.outcome) {
            self.outcome = outcome;
        }
    }

    fn excuse<T>(&mut self, what: &str, result: Result<T, Refusal>) -> Result<Option<T>, Violation> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(refusal) => {
                self.must_be_excused(what, &refusal)?;
                self.worse("failed");
                Ok(None)
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Append(sizes) => self.append(sizes).map(drop),
            Step::Idle => {
                self.machine.idle(3, Duration::from_millis(self.shape.marker_ms + 1));
                self.watch()
            }
            Step::Rotate => {
                let rotated = self.subject.as_ref().map_or(Ok(()), Subject::rotate);
                self.excuse("rotate", rotated).map(drop)
            }
            Step::Release => {
                self.flushed = self.ledger.settled();
                let released = self.subject.as_ref().map_or(Ok(()), |subject| subject.release(self.flushed));
                self.excuse("release", released).map(drop)
            }
            Step::Read => self.read(),
            Step::Close => {
                let closed = self.subject.as_ref().map_or(Ok(()), Subject::close);
                self.excuse("close", closed)?;
                self.start_on(self.machine.disk.clone())
            }
            Step::Kill => self.start_on(self.machine.disk.process_killed()),
            Step::PowerCut => {
                let units = self.machine.disk.pending_units().len();
                let image = self.machine.disk.crash_image(&Selection::from_fn(units, |unit| unit % 2 == 0));
                self.start_on(image)
            }
        }
    }

    fn append(&mut self, sizes: &[usize]) -> Result<bool, Violation> {
        let mut group = Vec::new();
        for &bytes in sizes {
            self.submitted += 1;
            group.push(entry(self.submitted, bytes, false));
        }
        let Some(subject) = &self.subject else { return Ok(false) };
        let answer = client::append(&self.machine, subject, &mut self.ledger, group, true)?;
        match &answer {
            Answer::Acknowledged(_) => {}
            Answer::Refused(refusal) => {
                self.must_be_excused("append", refusal)?;
                self.worse("refused");
            }
            Answer::Unknown(refusal) => {
                self.must_be_excused("append", refusal)?;
                self.worse("unknown");
            }
        }
        self.watch()?;
        Ok(matches!(answer, Answer::Acknowledged(_)))
    }

    /// What the journal calls durable is promised, whether it was acknowledged or not.
    fn watch(&mut self) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        let (durable, settled) = (subject.durable(), self.ledger.settled());
        if durable < settled {
            let detail = format!("LSN {durable} is durable, {settled} were acknowledged");
            return Err(Violation::new(Promise::Durable, detail));
        }
        if durable > settled {
            client::observe(&self.machine, subject, &mut self.ledger)?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        let ledger = self.ledger.clone();
        let first = subject.first();
        let mut comparison = ledger.comparison_from(first);
        let read = subject.read(first, |lsn, bytes| comparison.entry(lsn, bytes));
        if self.excuse("reading", read)?.is_some() {
            let behind = comparison.finish()?;
            self.ledger.observe(&behind)?;
        }
        Ok(())
    }

    /// A new process on this disk.
    fn start_on(&mut self, disk: SimFs) -> Result<(), Violation> {
        let created = self.subject.take().is_some() || self.ledger.settled() > 0;
        let hits = self.hits();
        self.began |= self.life == self.failing.life && hits > self.earlier_hits;
        self.earlier_hits = hits;
        self.life += 1;
        self.machine = Machine::faulty(disk, Arc::clone(&self.machine.clock), 1);
        self.arm();
        let opened = Subject::open(&self.machine.env, OURS, self.flushed, &self.shape);
        match opened {
            Ok((subject, facts)) => {
                let floor = self.shape.floor(self.flushed);
                let ledger = &mut self.ledger;
                let learn = || recovery::learn(&subject, &facts, floor, ledger);
                let learned = self.machine.undisturbed(learn);
                self.subject = Some(subject);
                learned
            }
            // It may never have come to be.
            Err(Refusal::Absent) if !created => Ok(()),
            Err(refusal) => {
                self.must_be_excused("open", &refusal)?;
                self.worse("not_opened");
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Result<Verdict, Violation> {
        let hits = self.hits();
        self.began |= self.life == self.failing.life && hits > self.earlier_hits;
        let verdict = Verdict { hits, began: self.began, outcome: self.outcome };
        self.machine.faults.iter().for_each(|faults| faults.clear());
        let disk = &self.machine.disk;
        let ends = [
            ("all that was not synced is lost", disk.crash_losing_all()),
            ("all that was not synced survives", disk.crash_keeping_all()),
            ("the process is killed", disk.process_killed()),
        ];
        for (what, image) in ends {
            self.examine(image).map_err(|violation| violation.at(&what))?;
        }
        self.serve().map_err(|violation| violation.at(&"after the faults had stopped"))?;
        let last = self.machine.disk.crash_losing_all();
        self.examine(last).map_err(|violation| violation.at(&"a power cut after the faults had stopped"))?;
        Ok(verdict)
    }

    /// What a new process finds without faults.
    fn examine(&self, disk: SimFs) -> Result<(), Violation> {
        let mut ledger = self.ledger.clone();
        let machine = Machine::plain(disk);
        match Subject::open(&machine.env, OURS, self.flushed, &self.shape) {
            Ok((subject, facts)) => {
                recovery::learn(&subject, &facts, self.shape.floor(self.flushed), &mut ledger)
            }
            Err(Refusal::Absent) if self.outcome == "not_created" && ledger.settled() == 0 => Ok(()),
            Err(refusal) => Err(recovery::unopenable(&refusal)),
        }
    }

    fn serve(&mut self) -> Result<(), Violation> {
        match (RESUME, &self.subject) {
            (Resume::ByItself { within }, Some(_)) => {
                self.machine.idle(10, within / 10);
                self.watch()?;
            }
            _ => self.reopen_or_create()?,
        }
        for _ in 0..LAST_APPENDS {
            if !self.append(&[30])? {
                return Err(Violation::new(Promise::Live, "an append is refused"));
            }
        }
        Ok(())
    }

    fn reopen_or_create(&mut self) -> Result<(), Violation> {
        self.subject = None;
        let disk = self.machine.disk.clone();
        self.machine = Machine::faulty(disk, Arc::clone(&self.machine.clock), 1);
        let opened = match Subject::open(&self.machine.env, OURS, self.flushed, &self.shape) {
            Err(Refusal::Absent) if self.outcome == "not_created" => {
                Subject::create(&self.machine.env, OURS, &self.shape).map(|subject| (subject, None))
            }
            opened => opened.map(|(subject, facts)| (subject, Some(facts))),
        };
        let (subject, facts) = opened.map_err(|refusal| recovery::unopenable(&refusal))?;
        if let Some(facts) = facts {
            recovery::learn(&subject, &facts, self.shape.floor(self.flushed), &mut self.ledger)?;
        }
        self.subject = Some(subject);
        Ok(())
    }
}

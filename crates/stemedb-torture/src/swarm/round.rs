//! What happens between a start of the journal and its end.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use stemedb_env::{Clock, Fs, Micros, fs::sim::Selection};

use super::{Class, Story};
use crate::{
    client,
    entries::entry,
    subject::{Answer, DIR, FileKind, Follower, Refusal, Subject},
    violation::{Promise, Violation},
};

/// A running process.
pub struct Round<'a> {
    /// What outlives it.
    pub story: &'a mut Story,
    /// The journal.
    pub subject: Subject,
    followers: Vec<(Follower, u64)>,
    /// What the journal called durable last.
    durable: u64,
    /// The worst answer so far.
    outcome: &'static str,
    /// A segment was moved away under the running journal.
    archived: bool,
}

const DAY_US: i64 = 86_400_000_000;

impl<'a> Round<'a> {
    /// A process whose journal has just been opened.
    pub fn new(story: &'a mut Story, subject: Subject) -> Round<'a> {
        let durable = subject.durable();
        Round { story, subject, followers: Vec::new(), durable, outcome: "unnoticed", archived: false }
    }

    /// Makes `steps` steps, or fewer if the power goes. Returns the journal.
    pub fn run(mut self, steps: u64) -> Result<Subject, Violation> {
        for _ in 0..steps {
            self.step()?;
            if self.story.machine.is_off() {
                break;
            }
        }
        let outcome = if self.story.machine.is_off() { "stopped" } else { self.outcome };
        self.story.count(outcome);
        Ok(self.subject)
    }

    /// A result that may be an error only when a fault that may be noticed has hit.
    fn must_work<T>(&mut self, what: &str, result: Result<T, Refusal>) -> Result<Option<T>, Violation> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(refusal) if refusal.reports_damage() => {
                let detail = format!("{what}: nothing is damaged, but: {refusal}");
                Err(Violation::new(Promise::NeverSilent, detail))
            }
            Err(_) if self.story.machine.is_off() => Ok(None),
            Err(refusal) if self.story.noticeable() > 0 => {
                self.story.note(&format!("{what}: {refusal}"));
                self.worse("failed");
                Ok(None)
            }
            Err(refusal) => {
                Err(Violation::new(Promise::Live, format!("{what} failed without any fault: {refusal}")))
            }
        }
    }

    fn worse(&mut self, outcome: &'static str) {
        const ORDER: [&str; 4] = ["unnoticed", "failed", "refused", "unknown"];
        let rank = |name: &str| ORDER.iter().position(|other| *other == name);
        if rank(outcome) > rank(self.outcome) {
            self.outcome = outcome;
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.story.dice.below(42) {
            0..=21 => self.append(),
            40 => self.release(),
            41 => self.follow(),
            22 | 23 => {
                let rotated = self.subject.rotate();
                self.must_work("rotate", rotated).map(drop)
            }
            24 | 25 => self.release(),
            26 | 27 => {
                let pause = Duration::from_millis(1 + self.story.dice.below(8));
                self.story.machine.idle(3, pause);
                Ok(())
            }
            28..=30 => {
                for _ in 0..=self.story.dice.below(6) {
                    self.story.machine.step();
                }
                Ok(())
            }
            31..=34 => self.follow(),
            35 => self.look_somewhere(),
            36 => {
                let units = self.story.machine.disk.pending_units().len();
                let dice = &mut self.story.dice;
                let selection = Selection::from_fn(units, |_| dice.one_in(2));
                self.story.machine.disk.write_back(&selection);
                Ok(())
            }
            37 => self.change_the_weather(),
            38 if !self.archived => {
                let verified = self.subject.verify();
                match self.must_work("verify", verified)? {
                    Some(damage) if damage > 0 => {
                        let detail = format!("verify finds {damage} damaged places, there is none");
                        Err(Violation::new(Promise::NeverSilent, detail))
                    }
                    _ => Ok(()),
                }
            }
            _ => self.archive(),
        }
    }

    fn group(&mut self) -> Vec<Vec<u8>> {
        let story = &mut *self.story;
        let entries = if story.dice.one_in(3) { 2 + story.dice.below(4) } else { 1 };
        (0..entries)
            .map(|_| {
                let bytes = match story.dice.below(12) {
                    0 => 2000 + story.dice.size(4000),
                    1..=3 => story.dice.size(900),
                    _ => story.dice.size(120),
                };
                story.submitted += 1;
                entry(story.submitted, bytes, story.dice.one_in(2))
            })
            .collect()
    }

    /// Appends a group and holds the journal to the contract of its answer.
    pub fn append(&mut self) -> Result<(), Violation> {
        let group = self.group();
        let entries = group.len();
        let queued = self.story.dice.one_in(2);
        let story = &mut *self.story;
        let answer = client::append(&story.machine, &self.subject, &mut story.ledger, group, queued)?;
        self.story.note(&format!("append {entries}: {answer:?}"));
        self.story.report.did("appends", 1);
        match answer {
            Answer::Acknowledged(_) => self.story.report.did("acknowledged", 1),
            Answer::Refused(refusal) => {
                self.must_work::<()>("append", Err(refusal))?;
                self.worse("refused");
            }
            Answer::Unknown(refusal) => {
                self.must_work::<()>("append", Err(refusal))?;
                self.worse("unknown");
            }
        }
        self.check_durable()
    }

    /// The durable LSN never goes back, covers what was acknowledged, and is a promise for what it covers beyond that.
    fn check_durable(&mut self) -> Result<(), Violation> {
        let (durable, settled) = (self.subject.durable(), self.story.ledger.settled());
        if durable < self.durable.max(settled) {
            let detail =
                format!("LSN {durable} is durable, {settled} were acknowledged, {} before", self.durable);
            return Err(Violation::new(Promise::Durable, detail));
        }
        self.durable = durable;
        if durable > settled { self.observe() } else { Ok(()) }
    }

    /// Somebody has seen more than was acknowledged.
    fn observe(&mut self) -> Result<(), Violation> {
        let story = &mut *self.story;
        client::observe(&story.machine, &self.subject, &mut story.ledger)
    }

    fn release(&mut self) -> Result<(), Violation> {
        let story = &mut *self.story;
        // The views' own files are durable before they say so.
        story.flushed += story.dice.below(story.ledger.settled() + 1 - story.flushed);
        let released = self.subject.release(story.flushed);
        story.floor = story.floor.max(story.shape.floor(story.flushed));
        self.must_work("release", released).map(drop)
    }

    /// Lets one of a few readers go on, or starts a new one.
    fn follow(&mut self) -> Result<(), Violation> {
        let story = &mut *self.story;
        let (floor, settled) = (story.floor, story.ledger.settled());
        if self.followers.len() < 3 && story.dice.one_in(2) {
            let from = floor + story.dice.below(settled + 2 - floor);
            let follower = self.subject.follow(from);
            if let Some(follower) = self.must_work("a reader", follower)? {
                self.followers.push((follower, from));
            }
        }
        if self.followers.is_empty() {
            return Ok(());
        }
        let which = self.story.dice.size(self.followers.len());
        let (mut follower, mut next) = self.followers.swap_remove(which);
        if next < self.story.floor {
            // It may stand in a file that is gone, or is another one's by now.
            return Ok(());
        }
        // A reader that stays behind the writer meets files that change under it.
        let most = self.story.dice.pick(&[2, 30]);
        for _ in 0..=self.story.dice.below(most) {
            let mut read = None;
            let more = follower.next(|lsn, bytes| read = Some((lsn, bytes.to_vec())));
            let Some(true) = self.must_work("reading", more)? else { break };
            let Some((lsn, bytes)) = read else { break };
            if lsn > self.story.ledger.settled() {
                self.observe()?;
            }
            if lsn != next || self.story.ledger.entry(lsn) != Some(&bytes[..]) {
                let detail = format!("a reader gives LSN {lsn} where {next} should be, or other bytes");
                return Err(Violation::new(Promise::Prefix, detail));
            }
            self.story.report.did("read", 1);
            next += 1;
        }
        self.followers.push((follower, next));
        Ok(())
    }

    /// A fresh reader somewhere sees exactly what is there.
    fn look_somewhere(&mut self) -> Result<(), Violation> {
        let settled = self.story.ledger.settled();
        let from = self.story.floor + self.story.dice.below(settled + 2 - self.story.floor);
        let ledger = self.story.ledger.clone();
        let mut comparison = ledger.comparison_from(from);
        let read = self.subject.read(from, |lsn, bytes| comparison.entry(lsn, bytes));
        if self.must_work("reading", read)?.is_some() {
            let behind = comparison.finish()?;
            self.story.ledger.observe(&behind)?;
        }
        Ok(())
    }

    fn change_the_weather(&mut self) -> Result<(), Violation> {
        let story = &mut *self.story;
        if story.has(Class::ClockJump) {
            let days = i64::try_from(story.dice.below(40_000)).unwrap_or(0) - 20_000;
            let wall = story.machine.clock.wall();
            story.machine.clock.set_wall(Micros(wall.0.saturating_add(days * DAY_US)));
            story.report.injected(Class::ClockJump.name(), 1);
        }
        if story.has(Class::DiskFull) && story.dice.one_in(2) {
            story.machine.disk.set_capacity(None);
        }
        Ok(())
    }

    /// Moves the oldest released segment away, as the README allows. Once per process: a running journal goes on to list
    /// what is gone.
    fn archive(&mut self) -> Result<(), Violation> {
        let keeps = !self.story.shape.recycles;
        if !self.story.dice.one_in(4) || self.story.machine.is_off() || self.archived || !keeps {
            return Ok(());
        }
        let oldest = self.subject.oldest_segment();
        let Some(Some((id, end))) = self.must_work("segments", oldest)? else { return Ok(()) };
        let disk = &self.story.machine.disk;
        let is_oldest = |path: &PathBuf| {
            let kind = FileKind::of(path);
            path.starts_with(DIR) && [FileKind::Released(id), FileKind::Packed(id)].contains(&kind)
        };
        let files: Vec<PathBuf> = disk.paths().into_iter().filter(is_oldest).collect();
        // It may be live still, or be compressed just now.
        let [oldest] = files.as_slice() else { return Ok(()) };
        if end > self.story.flushed {
            return Ok(());
        }
        // Behind the journal's back: another program does this.
        let gone = disk.remove(oldest).and_then(|()| disk.sync_dir(Path::new(DIR)));
        // Without power nobody knows what became of it.
        self.story.floor = self.story.floor.max(end + 1);
        self.archived = true;
        self.story.note(&format!("archived {} to LSN {end}: {}", oldest.display(), gone.is_ok()));
        self.story.report.did("archived", 1);
        Ok(())
    }
}

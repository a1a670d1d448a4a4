//! What outlives a process: the disk, the clock, the oracle, and what was chosen for the seed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    Fs,
    clock::SimClock,
    fs::{
        SimFs,
        sim::{Profile, Selection},
    },
};

use super::Class;
use crate::{
    Dice,
    dice::{digest, fold},
    ledger::Ledger,
    machine::Machine,
    recovery,
    report::Report,
    subject::{Facts, OURS, Refusal, Shape, Subject},
    violation::{Promise, Violation},
};

/// One seed's story.
#[derive(Debug)]
pub struct Story {
    /// Choices.
    pub dice: Dice,
    /// Sizes of the journal.
    pub shape: Shape,
    /// What goes wrong in this seed.
    pub classes: Vec<Class>,
    /// The running machine.
    pub machine: Machine,
    /// The oracle.
    pub ledger: Ledger,
    /// What the views have on disk.
    pub flushed: u64,
    /// Oldest entry that must be readable: older segments were moved away.
    pub floor: u64,
    /// Entries submitted so far.
    pub submitted: u64,
    /// Counts.
    pub report: Report,
    /// The disk has been (or may have been) too small since this machine was started.
    pub disk_was_small: bool,
    /// Hits of the machine's rules that have been counted already.
    counted: Vec<(Class, u64)>,
    trace: u64,
    shown: bool,
}

impl Story {
    /// A story with an empty disk.
    pub fn new(seed: u64, shown: bool) -> Story {
        let mut dice = Dice::new(seed);
        let shape = Shape {
            segment_bytes: dice.pick(&[4 << 10, 8 << 10, 32 << 10]),
            sector_bytes: dice.pick(&[512, 4096]),
            compress: dice.one_in(2),
            marker_ms: dice.pick(&[0, 5]),
            prepares: dice.one_in(2),
            recycles: dice.one_in(3),
            packs: dice.one_in(2),
        };
        let classes = Class::choose(&mut dice);
        let profile = dice.pick(&[
            Profile::Adversarial,
            Profile::Adversarial,
            Profile::Ext4Like,
            Profile::FourKn,
            Profile::Prefix,
        ]);
        let clock = Machine::clock();
        let machine = Machine::faulty(Machine::disk(profile), clock, dice.number());
        let mut story = Story {
            dice,
            shape,
            classes,
            machine,
            ledger: Ledger::default(),
            flushed: 0,
            floor: 1,
            submitted: 0,
            report: Report::new("swarm", ""),
            disk_was_small: false,
            counted: Vec::new(),
            trace: seed,
            shown,
        };
        let head = format!("seed {seed}: {profile:?}, {shape:?}, {:?}", story.classes);
        story.note(&head);
        story
    }

    /// Adds to the trace.
    pub fn note(&mut self, text: &str) {
        if self.shown {
            println!("{text}");
        }
        self.trace = fold(self.trace, digest(text.as_bytes()));
    }

    /// Hash over everything that happened.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// Is this class on?
    pub fn has(&self, class: Class) -> bool {
        self.classes.contains(&class)
    }

    /// Arms the classes of this seed, each with a chance.
    pub fn arm(&mut self) {
        let Some(faults) = self.machine.faults.clone() else { return };
        for class in self.classes.clone() {
            if self.dice.one_in(2) {
                class.arm(&faults, &self.machine.disk, &mut self.dice);
                self.disk_was_small |= class == Class::DiskFull;
            }
        }
    }

    /// Takes all faults back.
    pub fn disarm(&mut self) {
        self.machine.faults.iter().for_each(|faults| faults.clear());
        self.machine.disk.set_capacity(None);
        if !self.machine.is_off() {
            self.machine.disarm_stop();
        }
    }

    /// How often faults that may be noticed have hit since this machine was started.
    pub fn noticeable(&self) -> u64 {
        let Some(faults) = &self.machine.faults else { return 0 };
        let hits = |class: Class| if class.may_be_noticed() { class.hits(faults) } else { 0 };
        u64::from(self.disk_was_small) + Class::ALL.into_iter().map(hits).sum::<u64>()
    }

    /// Counts what has hit since the last call, with what came of it.
    pub fn count(&mut self, outcome: &str) {
        let Some(faults) = &self.machine.faults else { return };
        let now: Vec<(Class, u64)> =
            Class::ALL.into_iter().map(|class| (class, class.hits(faults))).collect();
        for (class, hits) in &now {
            let before = self.counted.iter().find(|(other, _)| other == class).map_or(0, |(_, hits)| *hits);
            if *hits > before {
                self.report.injected(class.name(), hits - before);
                self.report.came_of(class.name(), outcome, 1);
            }
        }
        self.counted = now;
        // The simulated disk does not say whom it has refused; a full one has refused somebody, or soon will.
        let disk = &self.machine.disk;
        let full = disk.space(Path::new("/")).is_ok_and(|space| space.available_bytes == 0);
        if self.disk_was_small && (full || !matches!(outcome, "unnoticed" | "opened" | "stopped")) {
            self.report.injected(Class::DiskFull.name(), 1);
            self.report.came_of(Class::DiskFull.name(), outcome, 1);
        }
    }

    /// The machine goes on with another disk, or with the same one under a new process.
    pub fn start_on(&mut self, disk: SimFs) {
        let hash = self.machine.disk.trace_hash();
        if self.shown {
            let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
            let names: Vec<String> = disk.paths().into_iter().filter_map(name).collect();
            println!("  files: {}", names.join(" "));
        }
        self.note(&format!("{hash:032x}"));
        disk.stop_after(None);
        self.counted.clear();
        self.disk_was_small = disk.space(Path::new("/")).is_ok_and(|space| space.total_bytes < u64::MAX);
        let clock: Arc<SimClock> = Arc::clone(&self.machine.clock);
        self.machine = Machine::faulty(disk, clock, self.dice.number());
    }

    /// The power goes now; some of what was pending survives.
    pub fn cut_power(&mut self, name: &str) {
        self.report.injected(name, 1);
        let units = self.machine.disk.pending_units().len();
        let dice = &mut self.dice;
        let selection = match dice.below(5) {
            0 => Selection::none(units),
            1 => Selection::all(units),
            2 => Selection::prefix(units, dice.size(units + 1)),
            _ => {
                let (odds, inverted) = (2 + dice.below(5), dice.one_in(2));
                Selection::from_fn(units, |_| dice.one_in(odds) != inverted)
            }
        };
        self.note(&format!("{name}: {selection:?}"));
        self.start_on(self.machine.disk.crash_image(&selection));
    }

    /// The process dies now; the machine goes on.
    pub fn kill(&mut self, name: &str) {
        self.report.injected(name, 1);
        self.note(name);
        self.start_on(self.machine.disk.process_killed());
    }

    /// Opens the journal, through faults and crashes on the way, and compares everything with the oracle.
    pub fn open(&mut self) -> Result<Subject, Violation> {
        for attempt in 0.. {
            let crashes = attempt < CRASHES_WHILE_OPENING;
            let stops =
                crashes && self.dice.one_in(3) && (self.has(Class::PowerCut) || self.has(Class::Kill));
            if stops {
                let mutations = 1 + self.dice.below(20);
                self.machine.arm_stop(mutations);
            }
            if crashes && self.dice.one_in(3) {
                self.arm();
            }
            let opened = Subject::open(&self.machine.env, OURS, self.flushed, &self.shape);
            self.note(&format!("open: {:?}", opened.as_ref().map(|(_, facts)| facts)));
            if self.machine.is_off() {
                drop(opened);
                self.count("stopped");
                match self.has(Class::PowerCut) && (self.dice.one_in(2) || !self.has(Class::Kill)) {
                    true => self.cut_power("power_cut_in_recovery"),
                    false => self.kill("kill_in_recovery"),
                }
                continue;
            }
            let excused = self.noticeable() > 0;
            self.disarm();
            match opened {
                Ok((subject, facts)) => {
                    self.count("opened");
                    self.learn(&subject, &facts)?;
                    return Ok(subject);
                }
                // An error of the disk is never an excuse for calling something damaged that is not.
                Err(Refusal::System(_) | Refusal::ReadOnly(_)) if excused => {
                    self.count("not_opened");
                    self.start_on(self.machine.disk.clone());
                }
                Err(refusal) => return Err(recovery::unopenable(&refusal)),
            }
        }
        Err(Violation::new(Promise::Live, "opening never ends"))
    }

    fn learn(&mut self, subject: &Subject, facts: &Facts) -> Result<(), Violation> {
        self.floor = self.floor.max(self.shape.floor(self.flushed));
        let open = self.ledger.open().len() as u64;
        let settled = self.ledger.settled();
        recovery::learn(subject, facts, self.floor, &mut self.ledger)?;
        self.report.did("opens", 1);
        self.report.did("torn", u64::from(facts.torn));
        self.report.did("adopted", u64::from(facts.adopted > 0));
        self.report.did("unknown_kept", u64::from(self.ledger.settled() > settled));
        self.report.did("unknown_gone", u64::from(open > 0 && self.ledger.settled() == settled));
        Ok(())
    }
}

const CRASHES_WHILE_OPENING: u64 = 4;

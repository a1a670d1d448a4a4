//! Small journals to be damaged: segments of every birth, left in every way.

use std::time::Duration;

use stemedb_env::fs::{SimFs, sim::Profile};

use super::layout::{Files, Layout};
use crate::{
    client,
    entries::entry,
    ledger::Ledger,
    machine::Machine,
    recovery,
    subject::{Answer, DIR, Facts, Owner, Shape, Subject},
    violation::{Promise, Violation},
};

/// How a journal was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Closed: `HEAD` is exact.
    Closed,
    /// Killed after an idle moment: the marker proves everything.
    Idle,
    /// Killed right after an acknowledgement: nothing proves the last group.
    Busy,
}

/// A journal that is whole, and everything that is known about it.
#[derive(Debug)]
pub struct Scene {
    /// How it was left.
    pub left: Left,
    /// The disk.
    pub disk: SimFs,
    /// Its entries.
    pub ledger: Ledger,
    /// Its files.
    pub files: Files,
    /// What stands where.
    pub layout: Layout,
    /// Its files at earlier moments.
    pub earlier: Vec<Files>,
    /// Sizes.
    pub shape: Shape,
    /// What an open finds when nothing is damaged.
    pub facts: Facts,
}

/// Different entries of the same lengths, and so a different chain, in otherwise the same story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// The journal's own.
    This,
    /// What it might have been.
    That,
}

/// The files of the journal's folder.
pub fn files(disk: &SimFs) -> Files {
    let inside = disk.paths().into_iter().filter(|path| path.starts_with(DIR));
    inside.filter_map(|path| disk.read_all(&path).ok().map(|bytes| (path, bytes))).collect()
}

struct Builder {
    machine: Machine,
    subject: Option<Subject>,
    ledger: Ledger,
    owner: Owner,
    past: Past,
    shape: Shape,
    flushed: u64,
    earlier: Vec<Files>,
}

impl Builder {
    fn append(&mut self, count: u64, dull: bool) -> Result<(), Violation> {
        let subject = self.subject.as_ref().ok_or_else(Builder::closed)?;
        for _ in 0..count {
            let number = self.ledger.settled() + 1;
            let bytes = if dull { 5000 } else { usize::try_from(number * 53 % 400).unwrap_or(0) };
            let mut entry = entry(number, bytes, dull);
            entry.push(self.past as u8);
            let group = vec![entry];
            match client::append(&self.machine, subject, &mut self.ledger, group, false)? {
                Answer::Acknowledged(_) => {}
                answer => return Err(Violation::new(Promise::Live, format!("building: {answer:?}"))),
            }
        }
        Ok(())
    }

    fn moment(&mut self) {
        self.earlier.push(files(&self.machine.disk));
    }

    fn reopen(&mut self) -> Result<(), Violation> {
        self.subject = None;
        let opened = Subject::open(&self.machine.env, self.owner, self.flushed, &self.shape);
        let (subject, facts) = opened.map_err(|refusal| recovery::unopenable(&refusal))?;
        let floor = self.shape.floor(self.flushed);
        recovery::learn(&subject, &facts, floor, &mut self.ledger)?;
        self.subject = Some(subject);
        Ok(())
    }

    fn subject(&self) -> Result<&Subject, Violation> {
        self.subject.as_ref().ok_or_else(Builder::closed)
    }

    fn closed() -> Violation {
        Violation::new(Promise::Live, "building: the journal is not open")
    }

    fn refused(refusal: crate::subject::Refusal) -> Violation {
        Violation::new(Promise::Live, format!("building: {refusal}"))
    }
}

impl Scene {
    /// Builds a journal: created, rotated, released, begun by an open, begun with adopted entries, one group compressed.
    pub fn build(left: Left, owner: Owner, past: Past, shape: Shape) -> Result<Scene, Violation> {
        let machine = Machine::plain(Machine::disk(Profile::Adversarial));
        let subject = Subject::create(&machine.env, owner, &shape).map_err(Builder::refused)?;
        let mut builder = Builder {
            machine,
            subject: Some(subject),
            ledger: Ledger::default(),
            owner,
            past,
            shape,
            flushed: 0,
            earlier: Vec::new(),
        };
        builder.append(5, false)?;
        builder.moment();
        builder.append(6, false)?;
        builder.subject()?.rotate().map_err(Builder::refused)?;
        builder.append(1, true)?;
        builder.moment();
        builder.flushed = builder.ledger.settled() - 1;
        builder.subject()?.release(builder.flushed).map_err(Builder::refused)?;
        // Killed: the last group is adopted.
        builder.reopen()?;
        builder.append(2, false)?;
        builder.moment();
        builder.subject()?.close().map_err(Builder::refused)?;
        builder.reopen()?;
        builder.append(1, false)?;
        builder.moment();
        builder.append(2, false)?;
        match left {
            Left::Closed => builder.subject()?.close().map_err(Builder::refused)?,
            Left::Idle => builder.machine.idle(3, Duration::from_millis(shape.marker_ms + 1)),
            Left::Busy => {}
        }
        let Builder { machine, subject, ledger, earlier, .. } = builder;
        drop(subject);
        machine.disk.settle();
        let files = files(&machine.disk);
        let layout = Layout::of(&files);
        let calm = Machine::plain(machine.disk.process_killed());
        let opened = Subject::open(&calm.env, owner, 0, &shape);
        let (_, facts) = opened.map_err(|refusal| recovery::unopenable(&refusal))?;
        Ok(Scene { left, disk: machine.disk, ledger, files, layout, earlier, shape, facts })
    }
}

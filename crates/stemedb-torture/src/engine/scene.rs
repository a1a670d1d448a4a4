//! A small database that has lived a little: what it is asked to do, step by step.

use std::path::{Path, PathBuf};

use stemedb_core::{Assertion, Command, Object};
use stemedb_env::fs::{
    SimFs,
    sim::{CrashPoint, Profile},
};
use stemedb_hybrid::ClaimEngine;
use stemedb_index::Submission;

use super::{DIR, create, open, oracle::Oracle};
use crate::{
    machine::Machine,
    violation::{Promise, Violation},
};

/// One thing done to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// One claim.
    Small,
    /// One entry with more claims than a memtable holds.
    Large,
    /// The view is made independent of the journal.
    Flush,
    /// The view's tables are merged.
    Compact,
    /// Background jobs come to rest.
    Background,
    /// Closed and opened again.
    Reopen,
    /// The process dies and starts again.
    Kill,
    /// A byte of a table rots; the table is healed.
    Rot,
    /// The view's folder is gone; it is derived again.
    LoseView,
}

/// All of them.
pub const OPS: [Op; 9] = [
    Op::Small,
    Op::Large,
    Op::Flush,
    Op::Compact,
    Op::Background,
    Op::Reopen,
    Op::Kill,
    Op::Rot,
    Op::LoseView,
];

/// A database on its machine.
pub struct Scene {
    /// The machine.
    pub machine: Machine,
    /// `None` only between two lives.
    engine: Option<ClaimEngine>,
    claims: i64,
    acknowledged: u64,
}

fn gone() -> Violation {
    Violation::new(Promise::Live, "the engine is not running")
}

fn refused(error: &stemedb_hybrid::Error) -> Violation {
    Violation::new(Promise::Live, error.to_string())
}

impl Scene {
    /// A fresh database with one entry.
    ///
    /// # Errors
    /// Whatever does not work: nothing is made to fail here.
    pub fn new() -> Result<Scene, Violation> {
        Scene::on(Machine::plain(Machine::disk(Profile::Adversarial)))
    }

    /// The same on this machine.
    ///
    /// # Errors
    /// As [`Scene::new`].
    pub fn on(machine: Machine) -> Result<Scene, Violation> {
        let engine = create(&machine.env).map_err(|error| refused(&error))?;
        let mut scene = Scene { machine, engine: Some(engine), claims: 0, acknowledged: 0 };
        scene.commit(2)?;
        Ok(scene)
    }

    /// The running engine.
    ///
    /// # Errors
    /// When there is none.
    pub fn engine(&self) -> Result<&ClaimEngine, Violation> {
        self.engine.as_ref().ok_or_else(gone)
    }

    /// The oracle of everything so far.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn oracle(&self) -> Result<Oracle, Violation> {
        Oracle::of(self.engine()?).map_err(|detail| Violation::new(Promise::Prefix, detail))
    }

    fn commit(&mut self, claims: i64) -> Result<(), Violation> {
        let mut submission = Submission::new();
        for n in self.claims..self.claims + claims {
            let subject = format!("cas:{}", n % 7);
            let source = format!("source {}", n % 3);
            let claim = Assertion::new(subject, "melting_point_K", Object::Integer(n), source);
            submission
                .push(&Command::Assert(claim))
                .map_err(|error| Violation::new(Promise::Live, error.to_string()))?;
        }
        self.claims += claims;
        self.engine()?.commit(submission).map_err(|error| refused(&error))?;
        self.acknowledged += 1;
        self.machine.disk.note(self.acknowledged);
        Ok(())
    }

    fn start(&mut self) -> Result<(), Violation> {
        let (engine, _) = open(&self.machine.env).map_err(|error| refused(&error))?;
        self.engine = Some(engine);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Violation> {
        let engine = self.engine.take().ok_or_else(gone)?;
        engine.close().map_err(|error| refused(&error))
    }

    /// The tables of the view.
    fn tables(&self) -> Vec<PathBuf> {
        let kv = Path::new(DIR).join("kv");
        let is_table =
            |path: &PathBuf| path.starts_with(&kv) && path.extension().is_some_and(|ext| ext == "sst");
        self.machine.disk.paths().into_iter().filter(is_table).collect()
    }

    /// Does one thing.
    ///
    /// # Errors
    /// Whatever does not work: nothing fails but what the step itself breaks.
    pub fn step(&mut self, op: Op) -> Result<(), Violation> {
        match op {
            Op::Small => self.commit(1),
            Op::Large => self.commit(20),
            Op::Flush => self.engine()?.flush().map(drop).map_err(|error| refused(&error)),
            Op::Compact => self.engine()?.compact().map_err(|error| refused(&error)),
            Op::Background => {
                self.machine.settle();
                Ok(())
            }
            Op::Reopen => {
                self.close()?;
                self.start()
            }
            Op::Kill => {
                self.engine = None;
                self.start()
            }
            Op::Rot => {
                self.close()?;
                if let Some(path) = self.tables().last() {
                    let len = self.machine.disk.read_all(path).map_or(0, |bytes| bytes.len() as u64);
                    // In the data of the table.
                    self.machine
                        .disk
                        .corrupt(path, (len / 5).max(60).min(len.saturating_sub(1)), 0x10)
                        .map_err(disk)?;
                }
                self.start()?;
                self.engine()?.verify().err();
                self.engine()?.repair_damaged().map(drop).map_err(|error| refused(&error))
            }
            Op::LoseView => {
                self.close()?;
                let kv = Path::new(DIR).join("kv");
                for path in self.machine.disk.paths().into_iter().filter(|path| path.starts_with(&kv)) {
                    self.machine.disk.delete(&path).map_err(disk)?;
                }
                self.start()?;
                self.machine.settle();
                Ok(())
            }
        }
    }

    /// Does the last thing with every change of the disk recorded, and gives the crash points of it.
    ///
    /// # Errors
    /// As [`Scene::step`].
    pub fn recorded(&mut self, op: Op) -> Result<Vec<CrashPoint>, Violation> {
        self.machine.disk.note(self.acknowledged);
        self.machine.disk.record(true);
        let done = self.step(op);
        self.machine.disk.record(false);
        let points = self.machine.disk.take_crash_points();
        done.map(|()| points)
    }

    /// Ends the process and gives its disk, all of it durable.
    pub fn into_disk(mut self) -> SimFs {
        self.engine = None;
        self.machine.disk.settle();
        self.machine.disk
    }
}

fn disk(error: stemedb_env::Error) -> Violation {
    Violation::new(Promise::Live, error.to_string())
}

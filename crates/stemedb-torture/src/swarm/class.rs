//! Classes of faults. Each seed switches whole classes on or off.

use std::time::Duration;

use stemedb_env::{
    IoOp,
    fs::{
        FaultFs, SimFs,
        fault::{Fault, FaultClass, FaultRule},
    },
};

use crate::Dice;

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The power goes, between two calls of the journal or inside one, in recovery too.
    PowerCut,
    /// The process dies, between two calls or inside one; the page cache stays.
    Kill,
    /// A sync fails, what it should have persisted is gone, and later syncs say "done".
    FailingSync,
    /// The disk is full, and may be freed again.
    DiskFull,
    /// `EIO` on reads, opens and listings.
    ReadErrors,
    /// `EIO` on writes, renames and everything else that changes something.
    WriteErrors,
    /// No more files can be opened.
    OpenFiles,
    /// Reads and writes do a part.
    Short,
    /// Reads and writes are interrupted.
    Interrupted,
    /// Calls take their time.
    Latency,
    /// The wall clock jumps.
    ClockJump,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 11] = [
        Class::PowerCut,
        Class::Kill,
        Class::FailingSync,
        Class::DiskFull,
        Class::ReadErrors,
        Class::WriteErrors,
        Class::OpenFiles,
        Class::Short,
        Class::Interrupted,
        Class::Latency,
        Class::ClockJump,
    ];

    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Class::PowerCut => "power_cut",
            Class::Kill => "kill",
            Class::FailingSync => "failing_sync",
            Class::DiskFull => "disk_full",
            Class::ReadErrors => "read_error",
            Class::WriteErrors => "write_error",
            Class::OpenFiles => "open_files",
            Class::Short => "short",
            Class::Interrupted => "interrupted",
            Class::Latency => "latency",
            Class::ClockJump => "clock_jump",
        }
    }

    /// The classes of a seed. Half of the seeds have none or one: a loud fault hides the quiet ones behind it.
    pub fn choose(dice: &mut Dice) -> Vec<Class> {
        if dice.one_in(2) {
            return if dice.one_in(5) { Vec::new() } else { vec![dice.pick(&Class::ALL)] };
        }
        Class::ALL.into_iter().filter(|_| dice.one_in(2)).collect()
    }

    /// Adds the rules of this class for the coming round.
    pub fn arm(self, faults: &FaultFs, disk: &SimFs, dice: &mut Dice) {
        let add = |rule: FaultRule| faults.add(rule);
        match self {
            Class::PowerCut | Class::Kill | Class::ClockJump => {}
            Class::FailingSync => {
                let rule = FaultRule::new(Fault::SyncFailsThenLies).after(dice.below(30));
                let several = dice.one_in(4);
                add(rule.times(if several { 1 + dice.below(12) } else { 1 }));
            }
            Class::DiskFull => {
                disk.set_capacity(Some(disk.total_bytes() + dice.below(24 << 10)));
                if dice.one_in(3) {
                    let rule = FaultRule::new(Fault::StorageFull).after(dice.below(40));
                    add(rule.times(1 + dice.below(4)));
                }
            }
            Class::ReadErrors => {
                let op = dice.pick(&[IoOp::Read, IoOp::Read, IoOp::Open, IoOp::List, IoOp::Metadata]);
                let (after, times) = (dice.below(20), 1 + dice.below(3));
                add(FaultRule::new(Fault::Eio).on(op).after(after).times(times));
            }
            Class::WriteErrors => {
                let op = dice.pick(&[
                    IoOp::Write,
                    IoOp::Write,
                    IoOp::SyncData,
                    IoOp::SyncDir,
                    IoOp::Rename,
                    IoOp::Remove,
                    IoOp::SetLen,
                    IoOp::CreateDir,
                ]);
                let (after, times) = (dice.below(12), 1 + dice.below(3));
                add(FaultRule::new(Fault::Eio).on(op).after(after).times(times));
            }
            Class::OpenFiles => {
                add(FaultRule::new(Fault::TooManyOpenFiles).after(dice.below(6)).times(1 + dice.below(4)));
            }
            Class::Short => add(FaultRule::new(Fault::Short).chance_per_million(200_000)),
            Class::Interrupted => add(FaultRule::new(Fault::Interrupted).chance_per_million(150_000)),
            Class::Latency => {
                let pause = Duration::from_micros(1 + dice.below(20_000));
                add(FaultRule::new(Fault::Latency(pause)).chance_per_million(50_000));
            }
        }
    }

    /// How often the rules of this class have hit.
    pub fn hits(self, faults: &FaultFs) -> u64 {
        let counts = faults.fault_counts();
        let reads = [IoOp::Read, IoOp::Open, IoOp::List, IoOp::Metadata];
        match self {
            // Counted where they happen.
            Class::PowerCut | Class::Kill | Class::ClockJump => 0,
            Class::FailingSync => counts.class(FaultClass::SyncFailsThenLies),
            Class::DiskFull => counts.class(FaultClass::StorageFull),
            Class::ReadErrors => reads.into_iter().map(|op| counts.hits(FaultClass::Eio, op)).sum(),
            Class::WriteErrors => counts.class(FaultClass::Eio) - Class::ReadErrors.hits(faults),
            Class::OpenFiles => counts.class(FaultClass::TooManyOpenFiles),
            Class::Short => counts.class(FaultClass::Short),
            Class::Interrupted => counts.class(FaultClass::Interrupted),
            Class::Latency => counts.class(FaultClass::Latency),
        }
    }

    /// May the journal refuse or fail because of it? The others must not be noticed at all.
    pub fn may_be_noticed(self) -> bool {
        matches!(
            self,
            Class::FailingSync | Class::DiskFull | Class::ReadErrors | Class::WriteErrors | Class::OpenFiles
        )
    }
}

//! Which phases a run has, in which folders, for which engines.

use super::phases::Phase;
use crate::{engine::Engine, engines::names};

/// What can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Writing all rows in key order.
    LoadSorted,
    /// Writing all rows in random order: speed, worst batches, write amplification, memory.
    LoadRandom,
    /// Full compaction: time, size.
    Compact,
    /// Durable commits of one row, 1, 8 and 64 writers.
    Commits,
    /// Opening after a clean close.
    Open,
    /// Random gets that are in memory: with a view, with fresh views, many at a time.
    Hot,
    /// Random gets with an eighth of the data as memory.
    Cold,
    /// Gets of absent keys.
    Absent,
    /// Prefix scans of 10 and 100 rows.
    Scan,
    /// Full scans.
    Full,
    /// Reads beside writes, at an equal rate and without limit.
    Mixed,
    /// Removing every second row.
    Delete,
    /// Opening after a crash.
    Crash,
}

/// A folder with a database per engine. Phases in one folder follow each other on the same database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Loaded in key order.
    Sorted,
    /// Loaded in random order.
    Random,
    /// Loaded for cold reads; kept over all rounds.
    Cold,
    /// For commits.
    Commit,
    /// For the crash.
    Crash,
}

impl Place {
    /// Every one of them.
    pub const ALL: [Place; 5] = [Place::Sorted, Place::Random, Place::Cold, Place::Commit, Place::Crash];

    /// Name of the folder.
    pub fn name(self) -> &'static str {
        match self {
            Place::Sorted => "sorted",
            Place::Random => "random",
            Place::Cold => "cold",
            Place::Commit => "commit",
            Place::Crash => "crash",
        }
    }
}

/// One phase of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is measured.
    pub phase: Phase,
    /// On which database.
    pub place: Place,
    /// The database is made anew.
    pub fresh: bool,
    /// Only in the first round.
    pub once: bool,
    /// The database is not needed behind it.
    pub last: bool,
    /// Threads that commit.
    pub writers: usize,
    /// Memory is reported under this name.
    pub memory: Option<&'static str>,
}

impl Step {
    /// For messages.
    pub fn title(&self) -> String {
        match self.phase {
            Phase::Commit => format!("Commit by {}", self.writers),
            phase => format!("{phase:?}"),
        }
    }
}

const fn step(phase: Phase, place: Place) -> Step {
    Step { phase, place, fresh: false, once: false, last: false, writers: 1, memory: None }
}

/// The steps of a round in their order; those that others need come along unasked.
pub fn steps(workloads: &[Workload]) -> Vec<Step> {
    use Workload as W;
    let wants = |workload| workloads.is_empty() || workloads.contains(&workload);
    let any = |all: &[Workload]| all.iter().any(|workload| wants(*workload));
    let mut steps = Vec::new();
    let mut add = |wanted: bool, step: Step| steps.extend(wanted.then_some(step));

    let sorted = Step { fresh: true, last: !wants(W::Delete), ..step(Phase::LoadSorted, Place::Sorted) };
    add(any(&[W::LoadSorted, W::Delete]), sorted);
    add(wants(W::Delete), Step { last: true, ..step(Phase::Delete, Place::Sorted) });

    let reads = any(&[W::Open, W::Hot, W::Absent, W::Scan, W::Full, W::Mixed]);
    let random = Step { fresh: true, memory: Some("load_random"), ..step(Phase::LoadRandom, Place::Random) };
    add(any(&[W::LoadRandom, W::Compact]) || reads, random);
    add(wants(W::Compact) || reads, step(Phase::Compact, Place::Random));
    add(wants(W::Open), step(Phase::OpenClean, Place::Random));
    add(wants(W::Hot), Step { memory: Some("hot"), ..step(Phase::Hot, Place::Random) });
    add(wants(W::Absent), step(Phase::Absent, Place::Random));
    add(wants(W::Scan), step(Phase::Scan, Place::Random));
    add(wants(W::Full), step(Phase::Full, Place::Random));
    add(wants(W::Mixed), step(Phase::MixedAtRate, Place::Random));
    let unlimited =
        Step { last: true, memory: Some("mixed_unlimited"), ..step(Phase::MixedUnlimited, Place::Random) };
    add(wants(W::Mixed), unlimited);

    for writers in [1, 8, 64] {
        let commit = Step { fresh: true, last: true, writers, ..step(Phase::Commit, Place::Commit) };
        add(wants(W::Commits), commit);
    }
    add(wants(W::Crash), Step { fresh: true, ..step(Phase::Crash, Place::Crash) });
    add(wants(W::Crash), Step { last: true, ..step(Phase::OpenCrashed, Place::Crash) });
    add(wants(W::Cold), Step { fresh: true, once: true, ..step(Phase::ColdLoad, Place::Cold) });
    add(wants(W::Cold), step(Phase::ColdGet, Place::Cold));
    add(wants(W::Cold), step(Phase::ColdMultiGet, Place::Cold));
    steps
}

/// Whether an engine has anything to show in a step.
pub fn takes_part(engine: &dyn Engine, step: &Step) -> bool {
    match engine.name() {
        names::DRIVER => matches!(step.phase, Phase::LoadSorted | Phase::LoadRandom | Phase::Hot),
        // Only its pipeline is of interest.
        names::STEMEDB_ASYNC => step.phase == Phase::Commit,
        // Without a journal there are no commits and nothing comes back.
        names::STEMEDB_LSM => !matches!(step.place, Place::Commit | Place::Crash),
        // Its quarter of the rows would fit.
        names::SLED => step.place != Place::Cold,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(workloads: &[Workload]) -> Vec<Phase> {
        steps(workloads).iter().map(|step| step.phase).collect()
    }

    #[test]
    fn what_is_read_has_been_loaded_and_compacted() {
        assert_eq!(phases(&[Workload::Absent]), [Phase::LoadRandom, Phase::Compact, Phase::Absent]);
        assert_eq!(phases(&[Workload::Delete]), [Phase::LoadSorted, Phase::Delete]);
        assert_eq!(phases(&[Workload::LoadSorted]), [Phase::LoadSorted]);
    }

    #[test]
    fn every_database_begins_fresh_and_nothing_follows_its_end() {
        for workloads in [vec![], vec![Workload::LoadSorted], vec![Workload::Mixed], vec![Workload::Cold]] {
            let steps = steps(&workloads);
            for place in Place::ALL.into_iter().filter(|place| *place != Place::Commit) {
                let own: Vec<&Step> = steps.iter().filter(|step| step.place == place).collect();
                assert!(own.iter().enumerate().all(|(at, step)| step.fresh == (at == 0)), "{own:?}");
                assert!(own.iter().rev().skip(1).all(|step| !step.last), "{own:?}");
            }
        }
    }
}

//! The workload *durable commits*: how many commits of one entry per second, when each must survive a power cut.
//!
//! For each number of writers every contender gets a fresh database, which is kept over all rounds. In a round each
//! contender has one slice; the order changes from round to round, and so does the direction, so that nobody always runs
//! behind the same neighbour. Before each slice the file system is synced: nobody flushes what another one left behind.

pub mod entries;
pub mod report;
pub mod requirements;
pub mod slice;
pub mod statistics;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use self::{
    entries::Source,
    slice::{Length, Measured},
};
use crate::{
    engine::{Engine, EngineError, Kind, Result, Setting, Store},
    engines,
};

/// Part of a slice's length that is put before it to warm up.
const WARM_UP_PART: f64 = 0.1;
/// For what is still under way after a sync: threads that fall asleep, journals that write their idle marker.
const SETTLE: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Measured length of a slice.
    pub seconds_per_slice: f64,
    /// Slices per contender and number of writers.
    pub rounds: usize,
    /// Numbers of writers.
    pub writers: Vec<usize>,
    /// Names of the contenders; empty: all.
    pub only: Vec<String>,
    /// Where the databases are made, each run in a folder of its own.
    pub dir: PathBuf,
}

/// Who took part.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Contender {
    /// Its name.
    pub name: &'static str,
    /// On which side it stands.
    pub kind: Kind,
    /// Its configuration.
    pub configuration: &'static str,
}

/// One slice and its place in the run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slice {
    /// Round, from 0.
    pub round: usize,
    /// Writers.
    pub writers: usize,
    /// Whose it is.
    pub contender: &'static str,
    /// What it showed.
    #[serde(flatten)]
    pub measured: Measured,
}

/// A contender that could not open or go on.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Failure {
    /// Who.
    pub contender: &'static str,
    /// With how many writers.
    pub writers: usize,
    /// What it said.
    pub message: String,
}

/// Everything a run found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Who took part, in the order of the reports.
    pub contenders: Vec<Contender>,
    /// Every slice, in the order of time.
    pub slices: Vec<Slice>,
    /// Who failed. Its slices until then stay.
    pub failures: Vec<Failure>,
}

/// A contender with its database.
struct Runner {
    name: &'static str,
    store: Box<dyn Store>,
    source: Source,
    failed: bool,
}

/// Runs the workload; `progress` is told what begins. Fails only where nothing can be measured at all: an unknown
/// contender, a folder that cannot be made.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let engines = select(&options.only)?;
    let mut outcome = Outcome::default();
    outcome.contenders.extend(engines.iter().map(|engine| Contender {
        name: engine.name(),
        kind: engine.kind(),
        configuration: engine.configuration(),
    }));
    let measured = Duration::try_from_secs_f64(options.seconds_per_slice)?;
    let length = Length { warm_up: measured.mul_f64(WARM_UP_PART), measured };
    for &writers in &options.writers {
        let folder = tempfile::Builder::new().prefix("stemedb-peers-").tempdir_in(&options.dir)?;
        let mut field = open(&engines, writers, folder.path(), &mut outcome);
        for round in 0..options.rounds {
            progress(&format!(
                "{}, round {} of {}",
                report::writers_title(writers),
                round + 1,
                options.rounds
            ));
            for index in order(round, field.len()) {
                let runner = &mut field[index];
                if runner.failed {
                    continue;
                }
                settle(folder.path())?;
                match slice::run(&*runner.store, &runner.source, writers, length) {
                    Ok(measured) => {
                        outcome.slices.push(Slice { round, writers, contender: runner.name, measured });
                    }
                    Err(error) => {
                        runner.failed = true;
                        let message = format!("stopped in round {}: {error}", round + 1);
                        outcome.failures.push(Failure { contender: runner.name, writers, message });
                    }
                }
            }
        }
        // The databases first: some write when they are closed.
        drop(field);
        folder.close()?;
    }
    Ok(outcome)
}

fn select(only: &[String]) -> Result<Vec<Box<dyn Engine>>> {
    let mut engines = engines::commit_logs();
    let known: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(EngineError::from(format!("no contender {unknown}; there are {}", known.join(", "))));
    }
    engines.retain(|engine| only.is_empty() || only.iter().any(|name| name == engine.name()));
    Ok(engines)
}

fn open(engines: &[Box<dyn Engine>], writers: usize, folder: &Path, outcome: &mut Outcome) -> Vec<Runner> {
    let mut field = Vec::new();
    for engine in engines.iter().filter(|engine| engine.max_writers() >= writers) {
        let own = folder.join(engine.name());
        match fs::create_dir(&own)
            .map_err(EngineError::from)
            .and_then(|()| engine.open(&own, &Setting::default()))
        {
            Ok(store) => {
                field.push(Runner { name: engine.name(), store, source: Source::default(), failed: false });
            }
            Err(error) => outcome.failures.push(Failure {
                contender: engine.name(),
                writers,
                message: format!("cannot open: {error}"),
            }),
        }
    }
    field
}

/// Whose turn it is in a round: each round starts with another contender, odd rounds go backwards.
pub(crate) fn order(round: usize, contenders: usize) -> Vec<usize> {
    let step = |turn| if round.is_multiple_of(2) { turn } else { contenders - turn };
    (0..contenders).map(|turn| (round + step(turn)) % contenders).collect()
}

fn settle(folder: &Path) -> Result<()> {
    rustix::fs::syncfs(File::open(folder)?)?;
    thread::sleep(SETTLE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_contender_once_and_another_one_first() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| order(round, 4)).collect();
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
        }
        assert_eq!(rounds[0], [0, 1, 2, 3]);
        assert_eq!(rounds[1], [1, 0, 3, 2]);
        assert_eq!(rounds[2], [2, 3, 0, 1]);
        assert_eq!(order(5, 0), Vec::<usize>::new());
    }

    #[test]
    fn an_unknown_contender_is_refused_with_the_known_ones() {
        let error = select(&["rocksbd".to_owned()]).err().map(|error| error.to_string()).unwrap();
        assert!(error.starts_with("no contender rocksbd; there are stemedb, "), "{error}");
    }

    #[test]
    fn a_contender_that_cannot_open_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let engines = select(&["raw".to_owned()]).unwrap();
        // The contender's folder is there already, so it cannot be made.
        fs::create_dir(folder.path().join("raw")).unwrap();
        let mut outcome = Outcome::default();
        assert!(open(&engines, 1, folder.path(), &mut outcome).is_empty());
        assert!(outcome.failures[0].message.starts_with("cannot open: "));
    }
}

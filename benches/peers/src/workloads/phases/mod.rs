//! What one process measures: one phase of one engine.
//!
//! Each phase is a process of its own, so that caches, memory and background work of one are not those of another. The
//! parent says what to do in a [`Task`]; the child answers with one line of JSON, a [`Found`].

mod cold;
mod commit;
mod delete;
mod load;
mod mixed;
mod open;
mod read;
mod threads;

use std::{collections::BTreeMap, path::PathBuf};

pub use self::{mixed::ROWS_PER_SECOND, open::CRASH_BYTES};
use super::rows::RowSource;
use crate::{
    engine::{Engine, EngineError, Result, Setting},
    engines,
};

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Writes all rows in the order of their keys.
    LoadSorted,
    /// Writes all rows in random order.
    LoadRandom,
    /// Merges what was loaded.
    Compact,
    /// Opens and closes what was closed.
    OpenClean,
    /// Random gets over a quarter of the rows.
    Hot,
    /// Gets of keys that are not there.
    Absent,
    /// Scans of 10 and of 100 rows.
    Scan,
    /// Scans of everything.
    Full,
    /// Writes what [`Phase::ColdGet`] and [`Phase::ColdMultiGet`] read.
    ColdLoad,
    /// Random gets with little memory.
    ColdGet,
    /// The same, a hundred at a time.
    ColdMultiGet,
    /// Reads beside writes at a given rate.
    MixedAtRate,
    /// Reads beside writes as fast as they go.
    MixedUnlimited,
    /// Removes every second row.
    Delete,
    /// Durable commits of one row.
    Commit,
    /// Writes rows and dies.
    Crash,
    /// Opens what died.
    OpenCrashed,
}

/// What a child is told.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Task {
    /// What to do.
    pub phase: Phase,
    /// Name of the engine.
    pub engine: String,
    /// Where the database is or will be.
    pub folder: PathBuf,
    /// The rows.
    pub rows: RowSource,
    /// Length of a measured part, in seconds.
    pub seconds: f64,
    /// Round, so that every round reads other keys.
    pub round: u64,
    /// Threads that commit, in [`Phase::Commit`].
    pub writers: usize,
    /// Memory for blocks.
    pub cache_bytes: usize,
    /// Size at which a memtable is sealed.
    pub memtable_bytes: usize,
    /// Joins this control group before it opens the database.
    pub control_group: Option<PathBuf>,
}

/// What a child found.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Found {
    /// Figures by their ids, see [`super::figures`].
    pub figures: BTreeMap<String, f64>,
    /// What the reader of the figures must know.
    pub notes: Vec<String>,
    /// Anonymous memory of the process before it opened the database.
    pub anonymous_before_bytes: u64,
}

impl Found {
    fn set(&mut self, id: &str, value: f64) {
        self.figures.insert(id.to_owned(), value);
    }
}

impl Task {
    fn setting(&self) -> Setting {
        Setting {
            cache_bytes: self.cache_bytes,
            memtable_bytes: self.memtable_bytes,
            durable: self.phase == Phase::Commit,
            shape: self.rows.shape(),
            cold: matches!(self.phase, Phase::ColdGet | Phase::ColdMultiGet),
        }
    }
}

/// Does what a task says, in this process.
pub fn run(task: &Task) -> Result<Found> {
    let engine = find(&task.engine)?;
    let engine = &*engine;
    match task.phase {
        Phase::LoadSorted | Phase::LoadRandom | Phase::ColdLoad => load::load(task, engine),
        Phase::Compact => load::compact(task, engine),
        Phase::OpenClean => open::clean(task, engine),
        Phase::Hot => read::hot(task, engine),
        Phase::Absent => read::absent(task, engine),
        Phase::Scan => read::scan(task, engine),
        Phase::Full => read::full(task, engine),
        Phase::ColdGet | Phase::ColdMultiGet => cold::read(task, engine),
        Phase::MixedAtRate => mixed::run(task, engine, Some(ROWS_PER_SECOND)),
        Phase::MixedUnlimited => mixed::run(task, engine, None),
        Phase::Delete => delete::run(task, engine),
        Phase::Commit => commit::run(task, engine),
        Phase::Crash => open::crash(task, engine),
        Phase::OpenCrashed => open::crashed(task, engine),
    }
}

fn find(name: &str) -> Result<Box<dyn Engine>> {
    let commit_only = std::iter::once(Box::new(engines::HybridAsync) as Box<dyn Engine>);
    engines::stores()
        .into_iter()
        .chain(commit_only)
        .find(|engine| engine.name() == name)
        .ok_or_else(|| EngineError::from(format!("no engine {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(phase: Phase, folder: &std::path::Path) -> Task {
        Task {
            phase,
            engine: engines::names::STEMEDB.to_owned(),
            folder: folder.to_path_buf(),
            rows: RowSource::Small { rows: 3000 },
            seconds: 0.02,
            round: 0,
            writers: 2,
            cache_bytes: 8 << 20,
            memtable_bytes: 1 << 20,
            control_group: None,
        }
    }

    #[test]
    fn phases_find_every_figure_that_is_reported_and_notice_rows_that_are_gone() {
        let (sorted, random) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut found = BTreeMap::new();
        for (phase, folder) in [
            (Phase::LoadSorted, &sorted),
            (Phase::LoadRandom, &random),
            (Phase::Compact, &random),
            (Phase::OpenClean, &random),
            (Phase::Hot, &random),
            (Phase::Absent, &random),
            (Phase::Scan, &random),
            (Phase::Full, &random),
            (Phase::ColdGet, &random),
            (Phase::ColdMultiGet, &random),
            (Phase::MixedAtRate, &random),
            (Phase::MixedUnlimited, &random),
            (Phase::Delete, &sorted),
        ] {
            found.extend(run(&task(phase, folder.path())).unwrap().figures);
        }
        assert!(found.values().all(|value| value.is_finite()), "{found:?}");
        for id in crate::workloads::figures::FIGURES.iter().map(|figure| figure.id) {
            // The parent measures memory; the others need a crash or a durable disk.
            let is_elsewhere = id.ends_with("_mib") || id.starts_with("commit_") || id.contains("crash");
            assert!(is_elsewhere || found.contains_key(id), "no phase finds {id}");
        }
        // Half of the rows are gone, and reads must not be content.
        for phase in [Phase::Hot, Phase::ColdGet, Phase::ColdMultiGet] {
            let error = run(&task(phase, sorted.path())).unwrap_err().to_string();
            assert!(error.contains("another value than was written"), "{phase:?}: {error}");
        }
        let error = run(&task(Phase::Full, sorted.path())).unwrap_err().to_string();
        assert_eq!(error, "a scan found 1500 rows of 3000");
    }
}

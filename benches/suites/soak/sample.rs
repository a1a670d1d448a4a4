//! What is looked at every second.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use stemedb_hybrid::LsmEngine;
use stemedb_index::KeyValues;

use crate::{
    Failure,
    load::{Interval, Load},
};

/// A second of the run.
#[derive(Clone, Debug)]
pub struct Sample {
    pub second: f64,
    pub storm: bool,
    pub interval: Interval,
    pub tables: usize,
    pub files: usize,
    pub table_bytes: u64,
    pub journal_bytes: u64,
    pub debt_bytes: u64,
    pub load_score: f64,
    /// Of what was written since the begin of the run, the filling left out.
    pub write_amplification: f64,
    pub anonymous_bytes: u64,
    /// Milliseconds that batches were delayed since the last look, by cause.
    pub delays_ms: Vec<(&'static str, u64)>,
}

impl Sample {
    pub fn json(&self) -> Value {
        json!({
            "second": self.second.round(),
            "storm": self.storm,
            "rows": self.interval.rows,
            "commits": self.interval.commits,
            "gets": self.interval.gets,
            "scanned": self.interval.scanned,
            "worst_commit_us": self.interval.worst_commit.as_micros() as u64,
            "worst_beyond_sync_us": self.interval.worst_beyond_sync.as_micros() as u64,
            "worst_get_us": self.interval.worst_get.as_micros() as u64,
            "tables": self.tables,
            "files": self.files,
            "table_bytes": self.table_bytes,
            "journal_bytes": self.journal_bytes,
            "debt_bytes": self.debt_bytes,
            "load_score": (self.load_score * 1000.0).round() / 1000.0,
            "write_amplification": (self.write_amplification * 1000.0).round() / 1000.0,
            "anonymous_bytes": self.anonymous_bytes,
            "delays_ms": self.delays_ms.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        })
    }
}

pub struct Sampler {
    dir: PathBuf,
    samples: Vec<Sample>,
    /// Bytes applied and bytes written before the run.
    before: Option<(u64, u64)>,
    /// Milliseconds of delay up to the last look, by cause.
    delays_ms: Vec<u64>,
}

/// How often a line tells how it goes.
const TELL_EVERY: usize = 60;

impl Sampler {
    pub fn new(dir: &Path) -> Sampler {
        Sampler { dir: dir.to_path_buf(), samples: Vec::new(), before: None, delays_ms: Vec::new() }
    }

    pub fn look(
        &mut self,
        engine: &LsmEngine<KeyValues>,
        load: &Load<'_>,
        second: f64,
    ) -> Result<(), Failure> {
        let lsm = engine.stats().lsm;
        let written = lsm.flush_bytes + lsm.compaction_bytes;
        let (applied_before, written_before) = *self.before.get_or_insert((lsm.applied_bytes, written));
        let applied = lsm.applied_bytes - applied_before;
        let delays: Vec<(&'static str, u64)> = lsm
            .apply_delays
            .iter()
            .map(|delays| (delays.cause.name(), u64::try_from(delays.time.as_millis()).unwrap_or(u64::MAX)))
            .collect();
        let before = |at: usize| self.delays_ms.get(at).copied().unwrap_or_default();
        let delays_ms = delays.iter().enumerate().map(|(at, (name, ms))| (*name, ms - before(at))).collect();
        self.delays_ms = delays.iter().map(|(_, ms)| *ms).collect();
        let (kv_files, _) = folder(&self.dir.join("kv"))?;
        let (wal_files, journal_bytes) = folder(&self.dir.join("wal"))?;
        let sample = Sample {
            second,
            storm: load.is_storm(),
            interval: load.take_interval(),
            tables: lsm.sst_file_count,
            files: kv_files + wal_files,
            table_bytes: lsm.total_bytes,
            journal_bytes,
            debt_bytes: lsm.pending_compaction_bytes,
            load_score: lsm.load_score,
            write_amplification: if applied == 0 {
                0.0
            } else {
                (written - written_before) as f64 / applied as f64
            },
            anonymous_bytes: anonymous_bytes()?,
            delays_ms,
        };
        if self.samples.len() % TELL_EVERY == TELL_EVERY - 1 {
            eprintln!(
                "{:>5.0} s: {} tables, {} MiB, memory {} MiB, write amplification {:.2}, worst commit {:.1} ms ({:.1} beyond the sync)",
                sample.second,
                sample.tables,
                sample.table_bytes >> 20,
                sample.anonymous_bytes >> 20,
                sample.write_amplification,
                self.samples
                    .iter()
                    .rev()
                    .take(TELL_EVERY)
                    .map(|s| s.interval.worst_commit)
                    .max()
                    .unwrap_or_default()
                    .as_secs_f64()
                    * 1e3,
                self.samples
                    .iter()
                    .rev()
                    .take(TELL_EVERY)
                    .map(|s| s.interval.worst_beyond_sync)
                    .max()
                    .unwrap_or_default()
                    .as_secs_f64()
                    * 1e3,
            );
        }
        self.samples.push(sample);
        Ok(())
    }

    pub fn into_samples(self) -> Vec<Sample> {
        self.samples
    }
}

/// Number of files and their bytes. A file that goes away meanwhile is not counted.
fn folder(dir: &Path) -> Result<(usize, u64), Failure> {
    let mut found = (0, 0);
    for entry in fs::read_dir(dir)? {
        if let Ok(metadata) = entry?.metadata() {
            found.0 += 1;
            found.1 += metadata.len();
        }
    }
    Ok(found)
}

/// Memory of this process that no file stands behind. 0 where the system does not say.
fn anonymous_bytes() -> Result<u64, Failure> {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return Ok(0) };
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let Some(kib) = line.and_then(|line| line.trim().strip_suffix(" kB")) else { return Ok(0) };
    Ok(kib.trim().parse::<u64>()? << 10)
}

//! The database before it is broken.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use stemedb_benches::{endless, submission};
use stemedb_env::Env;
use stemedb_hybrid::{ClaimEngine, HybridOptions, StateRoot};
use stemedb_index::Claims;
use stemedb_lsm::{Direction, KeyRange, KvIter as _, KvSnapshot as _};

use crate::Failure;

const BATCH: usize = 1_000;
const TABLE_BYTES: u64 = 64 << 20;
/// So many claims tell how many bytes one has.
const PROBED: u64 = 200_000;
/// Keys spread over the broken table that are read meanwhile.
const PROBES: usize = 2_000;
/// Of the middle of the table, where a byte is broken, every row of this share is read.
const MIDDLE: f64 = 0.2;

/// A database, its root, and where it lies.
pub struct Ground {
    home: PathBuf,
    pub gb: f64,
    pub claims: u64,
    pub tables: usize,
    pub table_bytes: u64,
    pub root: StateRoot,
}

/// A copy of the database that may be broken, and rows of the place that will be.
pub struct Patient {
    pub dir: PathBuf,
    /// The table that is broken.
    pub table: PathBuf,
    pub bytes: u64,
    pub probes: Vec<(Vec<u8>, Vec<u8>)>,
}

pub fn options() -> HybridOptions {
    let mut options = HybridOptions::default();
    options.lsm.target_table_bytes = TABLE_BYTES;
    // Reads shall meet the disk and not what is remembered.
    options.lsm.block_cache_bytes = 16 << 20;
    options
}

pub fn open(dir: &Path) -> Result<ClaimEngine, Failure> {
    Ok(ClaimEngine::open(&Env::real(), dir, Claims, &options())?.0)
}

impl Ground {
    /// Commits claims until the tables, merged, hold about `gb` GB.
    pub fn make(folder: &Path, gb: f64) -> Result<Ground, Failure> {
        let home = folder.to_path_buf();
        let dir = home.join("ground");
        let engine = ClaimEngine::create(&Env::real(), &dir, Claims, &options())?;
        let begin = Instant::now();
        let mut claims = 0_u64;
        let mut commands = endless();
        let mut merged = |upto: u64| {
            while claims < upto {
                let batch: Vec<_> = commands.by_ref().take(BATCH).collect();
                claims += batch.len() as u64;
                engine.commit(submission(&batch))?;
            }
            engine.flush()?;
            engine.compact()?;
            Ok::<_, Failure>(engine.tables().iter().map(|table| table.bytes).sum::<u64>())
        };
        let bytes_per_claim = merged(PROBED)? as f64 / PROBED as f64;
        merged((gb * 1e9 / bytes_per_claim) as u64)?;
        let loaded = begin.elapsed();
        let root = engine.state_root()?;
        let tables = engine.tables();
        let table_bytes = tables.iter().map(|table| table.bytes).sum();
        let tables = tables.len();
        engine.close()?;
        eprintln!("{claims} claims in {:.0} s", loaded.as_secs_f64());
        Ok(Ground { home, gb, claims, tables, table_bytes, root })
    }

    pub fn described(&self) -> String {
        format!(
            "{:.1} GB asked for: {} claims, {} rows, {} tables, {} MB",
            self.gb,
            self.claims,
            self.root.rows(),
            self.tables,
            self.table_bytes / 1_000_000
        )
    }

    /// A copy. Its tables and segments are copied and not linked: one of them will be written to.
    pub fn patient(&self, case: &str) -> Result<Patient, Failure> {
        let dir = self.home.join(case);
        copy(&self.home.join("ground"), &dir)?;
        let engine = open(&dir)?;
        // The table whose size is nearest to what is asked of it.
        let tables = engine.tables();
        let table = tables.iter().min_by_key(|table| table.bytes.abs_diff(TABLE_BYTES)).ok_or("no table")?;
        let range = KeyRange::between(table.smallest.clone(), table.largest.clone());
        let snapshot = engine.snapshot()?;
        let mut rows = snapshot.scan(&range, Direction::Forward);
        let mut probes = Vec::new();
        let every = (table.rows as usize / PROBES).max(1);
        let (middle, around) = (table.rows as f64 / 2.0, table.rows as f64 * MIDDLE / 2.0);
        let mut seen = 0_usize;
        while rows.advance()? {
            if seen.is_multiple_of(every) || (seen as f64 - middle).abs() < around {
                probes.push((rows.key().to_vec(), rows.value().to_vec()));
            }
            seen += 1;
        }
        let patient = Patient {
            table: dir.join("kv").join(format!("{:06}.sst", table.file)),
            bytes: table.bytes,
            probes,
            dir,
        };
        drop(rows);
        drop(snapshot);
        engine.close()?;
        Ok(patient)
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        // It lies in a temporary folder; only room is at stake.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            // What is still to be written would be in the way of the repair.
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

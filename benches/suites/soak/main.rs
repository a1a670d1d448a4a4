//! Half an hour of everything at once: does anything stall, grow or get out of shape?
//!
//! ```text
//! cargo xtask bench soak [--minutes F] [--keys N] [--storm-every F] [--dir DIR] [--out DIR]
//! ```
//!
//! Four writers commit durable batches at a steady rate over a bounded set of keys (sets, and removals now and then); every
//! few minutes they write without limit for a while, so that debt builds up and is worked off. Beside them one thread
//! reads: fresh gets, many keys at once, scans, and a snapshot that is held and must stay what it was. Every value names
//! its key, so a wrong answer stops the run.
//!
//! - [`load`]: the writers and the reader.
//! - [`watched`]: a file system that notes when the journal waits for the disk.
//! - [`sample`]: what is looked at every second.
//! - [`report`]: the verdict, as a page, a drawing and JSON.
//!
//! Goals: no commit takes 100 ms longer than the syncs that ran meanwhile; files and memory do not grow over the second
//! half; write amplification below 10.
#![allow(missing_docs)]
// It measures real time on real files and threads.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod load;
mod report;
mod sample;
mod watched;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use stemedb_env::Env;
use stemedb_hybrid::{HybridOptions, LsmEngine};
use stemedb_index::KeyValues;
use stemedb_wal::Retention;

use crate::{load::Load, sample::Sampler, watched::WatchedFs};

pub use stemedb_benches::Failure;
use stemedb_benches::judged;

const USAGE: &str = "\
cargo xtask bench soak [--minutes F] [--keys N] [--storm-every F] [--dir DIR] [--out DIR]

  --minutes F   how long (default: 30)
  --keys N      number of keys (default: 4000000, about 1.1 GB of rows)
  --storm-every F  minutes from storm to storm (default: 5)
  --dir DIR     where the database is made (default: the folder of the build)
  --out DIR     where soak.md, soak.svg and soak.json go (default: the folder of the build)
";

/// Everything else are the product's defaults, the budget of all memory among them; the cache is that of the comparison with
/// other engines.
const CACHE_BYTES: u64 = 256 << 20;

struct Arguments {
    minutes: f64,
    keys: u64,
    storm_every: f64,
    dir: PathBuf,
    out: PathBuf,
}

fn arguments() -> Result<Option<Arguments>, Failure> {
    let target = stemedb_benches::target();
    let mut found =
        Arguments { minutes: 30.0, keys: 4_000_000, storm_every: 5.0, dir: target.clone(), out: target };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--minutes" => found.minutes = value()?.parse()?,
            "--keys" => found.keys = value()?.parse()?,
            "--storm-every" => found.storm_every = value()?.parse()?,
            "--dir" => found.dir = value()?.into(),
            "--out" => found.out = value()?.into(),
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--help" => return Ok(None),
            other => return Err(format!("unknown option {other}\n\n{USAGE}").into()),
        }
    }
    Ok(Some(found))
}

fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let folder = tempfile::Builder::new().prefix("stemedb-soak-").tempdir_in(&arguments.dir)?;
    let watched = Arc::new(WatchedFs::default());
    let env = Env { fs: Arc::clone(&watched) as Arc<dyn stemedb_env::Fs>, ..Env::real() };
    let mut options = HybridOptions::default();
    options.lsm.block_cache_bytes = CACHE_BYTES;
    options.journal.retention = Retention::Recycle;
    let dir = folder.path().join("db");
    let engine = LsmEngine::create(&env, &dir, KeyValues, &options)?;
    let load = Load::new(&engine, &watched, arguments.keys);
    let begin = Instant::now();
    load.fill()?;
    eprintln!("{} keys are there after {:.0} s", arguments.keys, begin.elapsed().as_secs_f64());
    let mut sampler = Sampler::new(&dir);
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    load.run(minutes(arguments.minutes), minutes(arguments.storm_every), |second| {
        sampler.look(&engine, &load, second)
    })?;
    let report = report::Report::new(arguments.keys, sampler.into_samples(), &load.totals());
    engine.close()?;
    report.write(&arguments.out)?;
    print!("{}", report.markdown());
    Ok(report.is_good())
}

fn main() -> ExitCode {
    judged(USAGE, arguments().and_then(|arguments| arguments.as_ref().map(run).transpose()))
}

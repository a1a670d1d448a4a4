//! What a healthy database pays for being able to heal: the same work with everything on and with everything off that can be.
//!
//! CPU time of the whole process, background jobs included; on and off alternate, and the ratio is the median of the pairs,
//! with its interval of confidence: these machines are noisy, and a median alone does not say how much it can be believed.
//! Syncs and bytes are counted in runs of their own, because counting costs time.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use stemedb_benches::{endless, submission};
use stemedb_core::Command;
use stemedb_env::{Env, IoOp, fs::FaultFs};
use stemedb_hybrid::{ClaimEngine, FallbackMode, HybridOptions, ScrubOptions};
use stemedb_index::Claims;
use stemedb_lsm::{Direction, KeyRange, KvIter as _, KvSnapshot as _};

use crate::Failure;

const PAIRS: usize = 45;
const SINGLE: usize = 4_000;
const BATCHES: usize = 100;
const BATCH: usize = 1_000;
const READS: usize = 400_000;

/// One kind of work, with and without.
#[derive(Clone, Debug)]
pub struct Cost {
    pub work: &'static str,
    pub per: &'static str,
    pub on_ns: f64,
    pub off_ns: f64,
    /// Median of the ratios of neighbours.
    pub ratio: f64,
    /// Where that median lies with a confidence of 95 %.
    pub between: (f64, f64),
    /// Only of work that writes.
    pub writes: Option<Writes>,
}

/// What the whole run wrote: all three kinds of work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writes {
    /// Of journal and view: the same work, so the same syncs.
    pub syncs_on: u64,
    pub syncs_off: u64,
    pub bytes_on: u64,
    pub bytes_off: u64,
    /// Of sidecars and the scrubber's place.
    pub own_syncs: u64,
    pub own_bytes: u64,
}

fn options(on: bool) -> HybridOptions {
    match on {
        true => HybridOptions::default(),
        false => HybridOptions {
            fallback: FallbackMode::Off,
            scrub: ScrubOptions::off(),
            sidecars: false,
            ..HybridOptions::default()
        },
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn spent(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = cpu();
    work()?;
    Ok((cpu() - start).as_nanos() as f64)
}

/// CPU time in ns of: a claim alone, a claim of a large batch with all that follows from it, a read.
fn slice(env: &Env, dir: &Path, claims: &[Command], on: bool) -> Result<[f64; 3], Failure> {
    let engine = ClaimEngine::create(env, dir, Claims, &options(on))?;
    let (alone, rest) = claims.split_at(SINGLE);
    let single = spent(|| {
        for claim in alone {
            engine.commit(submission(std::slice::from_ref(claim)))?;
        }
        Ok(())
    })?;
    let batches = spent(|| {
        for batch in rest.chunks(BATCH) {
            engine.commit(submission(batch))?;
        }
        engine.flush()?;
        engine.compact()?;
        Ok(())
    })?;
    let mut keys = Vec::new();
    {
        let snapshot = engine.snapshot()?;
        let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
        let mut nth = 0_usize;
        while rows.advance()? {
            if nth.is_multiple_of(211) {
                keys.push(rows.key().to_vec());
            }
            nth += 1;
        }
    }
    let reads = spent(|| {
        for nth in 0..READS {
            black_box(engine.get(&keys[nth * 7_919 % keys.len()])?);
        }
        Ok(())
    })?;
    engine.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok([single / SINGLE as f64, batches / (BATCHES * BATCH) as f64, reads / READS as f64])
}

fn counted(dir: &Path, claims: &[Command]) -> Result<Writes, Failure> {
    let mut writes = Writes::default();
    for on in [true, false] {
        let mut env = Env::real();
        let counting = Arc::new(FaultFs::counting(Arc::clone(&env.fs)));
        env.fs = Arc::clone(&counting) as _;
        slice(&env, &dir.join("db"), claims, on)?;
        let counts = counting.call_counts();
        let of = |paths: [&str; 2]| {
            let sum = paths.map(|path| (counts.syncs(path), counts.of(IoOp::Write, path).bytes));
            (sum[0].0 + sum[1].0, sum[0].1 + sum[1].1)
        };
        if on {
            (writes.syncs_on, writes.bytes_on) = of(["/wal/", "/kv/"]);
            (writes.own_syncs, writes.own_bytes) = of(["/sidecar", "/SCRUB"]);
        } else {
            (writes.syncs_off, writes.bytes_off) = of(["/wal/", "/kv/"]);
        }
    }
    Ok(writes)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The interval that holds the median with a confidence of 95 %, whatever the distribution: the order statistics at
/// n/2 ± 0.98·√n (Conover, *Practical Nonparametric Statistics*, 3.2).
fn interval(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let (n, last) = (values.len() as f64, values.len() - 1);
    let low = (n / 2.0 - 0.98 * n.sqrt()).floor().max(0.0) as usize;
    (values[low.min(last)], values[last - low.min(last)])
}

/// Measures all of it, in `dir`.
pub fn measure(dir: &Path) -> Result<Vec<Cost>, Failure> {
    let folder = tempfile::Builder::new().prefix("stemedb-cost-").tempdir_in(dir)?;
    let claims: Vec<Command> = endless().take(SINGLE + BATCHES * BATCH).collect();
    let mut pairs: Vec<[[f64; 3]; 2]> = Vec::new();
    for nth in 0..=PAIRS {
        // On first, then off first: neither is always the one that finds the machine warm.
        let order = if nth.is_multiple_of(2) { [true, false] } else { [false, true] };
        let mut pair = [[0.0; 3]; 2];
        for on in order {
            pair[usize::from(on)] = slice(&Env::real(), &folder.path().join("db"), &claims, on)?;
        }
        // The first pair finds nothing warm.
        if nth > 0 {
            pairs.push(pair);
        }
    }
    let writes = counted(folder.path(), &claims)?;
    let works = [
        ("commits of one claim", "claim"),
        ("commits of 1,000 claims", "claim"),
        ("reads of one row", "read"),
    ];
    Ok(works
        .into_iter()
        .enumerate()
        .map(|(nth, (work, per))| {
            let of = |on: usize| median(pairs.iter().map(|pair| pair[on][nth]).collect());
            let ratios: Vec<f64> = pairs.iter().map(|pair| pair[1][nth] / pair[0][nth]).collect();
            Cost {
                work,
                per,
                on_ns: of(1),
                off_ns: of(0),
                ratio: median(ratios.clone()),
                between: interval(ratios),
                writes: (nth == 1).then_some(writes),
            }
        })
        .collect())
}

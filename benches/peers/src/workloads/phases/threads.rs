//! Threads that read for a while.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    commits::statistics::percentile,
    engine::{Reader, Result, Store},
    workloads::process,
};

/// Operations between two looks at the clock. A look costs as much as a part of the fastest get.
const STRIDE: u64 = 32;

/// What readers did together.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Operations.
    pub count: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// Processor time of the threads together.
    pub processor_seconds: f64,
    /// Of a sample of them, sorted.
    pub latencies_ns: Vec<u64>,
}

impl Reads {
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// Processor time per operation: other work on the machine does not lengthen it, as it does the time that passes.
    pub fn processor_ns(&self) -> f64 {
        self.processor_seconds * 1e9 / self.count as f64
    }

    pub fn percentile_us(&self, part: f64) -> f64 {
        percentile(&self.latencies_ns, part).unwrap_or(0) as f64 / 1e3
    }
}

/// Lets `threads` threads repeat an operation for a while. `prepare` makes the operation of a thread; one call of it is
/// one or several operations, as it says.
pub(super) fn read<O>(
    store: &dyn Store,
    threads: u64,
    length: Duration,
    prepare: impl Fn(u64) -> Result<O> + Sync,
) -> Result<Reads>
where
    O: FnMut(&mut dyn Reader) -> Result<u64>,
{
    let all: Result<Vec<Reads>> = thread::scope(|scope| {
        let prepare = &prepare;
        let threads: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn(move || {
                    let mut operation = prepare(number)?;
                    let mut reader = store.reader()?;
                    repeat(&mut *reader, length, &mut operation)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a reader panicked")?).collect()
    });
    let mut together = Reads::default();
    for reads in all? {
        together.count += reads.count;
        together.processor_seconds += reads.processor_seconds;
        together.seconds = together.seconds.max(reads.seconds);
        together.latencies_ns.extend(reads.latencies_ns);
    }
    together.latencies_ns.sort_unstable();
    Ok(together)
}

pub(super) fn repeat(
    reader: &mut dyn Reader,
    length: Duration,
    operation: &mut impl FnMut(&mut dyn Reader) -> Result<u64>,
) -> Result<Reads> {
    let (begin, processor_begin) = (Instant::now(), process::thread_seconds());
    let mut reads = Reads::default();
    loop {
        // One of a stride is timed by itself: two more looks at the clock would be too many for all of them.
        let started = Instant::now();
        reads.count += operation(reader)?;
        let ended = Instant::now();
        reads.latencies_ns.push(u64::try_from((ended - started).as_nanos()).unwrap_or(u64::MAX));
        if ended - begin >= length {
            reads.seconds = (ended - begin).as_secs_f64();
            reads.processor_seconds = process::thread_seconds() - processor_begin;
            return Ok(reads);
        }
        // Long operations look at the clock every time.
        if ended - started < Duration::from_micros(50) {
            for _ in 1..STRIDE {
                reads.count += operation(reader)?;
            }
        }
    }
}

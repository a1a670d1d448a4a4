//! One slice: one contender commits for a moment.
//!
//! ```text
//! begin ........ warm ............................ end
//!   | warm-up     |  measured                       |
//! ```
//!
//! A commit counts towards the rate if it ended between `warm` and `end`, and towards the latencies if it began there. So
//! neither loses by the commits that hang over the end: the rate does not wait for them, the latencies do.

use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};

use super::{
    entries::{Source, Stream},
    statistics::percentile,
};
use crate::engine::{Pipeline, Result, Store};

/// All threads must be there when the slice begins.
const START_DELAY: Duration = Duration::from_millis(20);

/// How long a slice is.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Commits before it are not measured: the first ones meet cold caches and sleeping threads.
    pub warm_up: Duration,
    /// The measured part.
    pub measured: Duration,
}

/// What a slice showed.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Measured {
    /// Commits that ended in the measured part.
    pub commits: u64,
    /// The same per second.
    pub commits_per_s: f64,
    /// Half of the commits took at most so long.
    pub p50_us: f64,
    /// All but a hundredth of the commits took at most so long.
    pub p99_us: f64,
    /// The longest commit.
    pub max_us: f64,
    /// Syncs of the log per commit, warm-up included, where the engine counts them.
    pub syncs_per_commit: Option<f64>,
}

/// The instants of a slice.
#[derive(Clone, Copy)]
struct Window {
    warm: Instant,
    end: Instant,
}

/// What one thread saw.
#[derive(Default)]
struct Seen {
    all: u64,
    in_window: u64,
    latencies_ns: Vec<u64>,
}

impl Seen {
    fn add(&mut self, window: &Window, started: Instant, ended: Instant) {
        self.all += 1;
        if ended >= window.warm && ended < window.end {
            self.in_window += 1;
        }
        if started >= window.warm {
            self.latencies_ns.push(u64::try_from((ended - started).as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

/// Runs one slice: `writers` threads, or one thread with `writers` commits under way if the store has a pipeline.
pub fn run(store: &dyn Store, source: &Source, writers: usize, length: Length) -> Result<Measured> {
    let syncs_before = store.syncs();
    let begin = Instant::now() + START_DELAY;
    let window = Window { warm: begin + length.warm_up, end: begin + length.warm_up + length.measured };
    let seen = match store.pipeline() {
        Some(mut pipeline) => {
            wait_until(begin);
            vec![drive(&mut *pipeline, source.stream(), writers, &window)?]
        }
        None => run_threads(store, source, writers, begin, window)?,
    };

    let all: u64 = seen.iter().map(|seen| seen.all).sum();
    let commits: u64 = seen.iter().map(|seen| seen.in_window).sum();
    let mut latencies_ns: Vec<u64> = seen.into_iter().flat_map(|seen| seen.latencies_ns).collect();
    latencies_ns.sort_unstable();
    let us = |nanoseconds: Option<u64>| {
        nanoseconds.ok_or("no commit began in the slice").map(|ns| ns as f64 / 1e3)
    };
    Ok(Measured {
        commits,
        commits_per_s: commits as f64 / length.measured.as_secs_f64(),
        p50_us: us(percentile(&latencies_ns, 0.50))?,
        p99_us: us(percentile(&latencies_ns, 0.99))?,
        max_us: us(latencies_ns.last().copied())?,
        syncs_per_commit: syncs_before
            .zip(store.syncs())
            .map(|(before, after)| (after - before) as f64 / all.max(1) as f64),
    })
}

fn run_threads(
    store: &dyn Store,
    source: &Source,
    writers: usize,
    begin: Instant,
    window: Window,
) -> Result<Vec<Seen>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let stream = source.stream();
                scope.spawn(move || {
                    wait_until(begin);
                    commit_until(store, stream, &window)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a writer panicked")?).collect()
    })
}

fn wait_until(begin: Instant) {
    thread::sleep(begin.saturating_duration_since(Instant::now()));
}

fn commit_until(store: &dyn Store, mut stream: Stream<'_>, window: &Window) -> Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let pair = stream.next_pair();
        let started = Instant::now();
        if started >= window.end {
            return Ok(seen);
        }
        store.commit(&[pair])?;
        seen.add(window, started, Instant::now());
    }
}

/// Keeps `depth` commits under way: waits for the oldest, then refills. A commit's latency ends when this thread has seen
/// its end, so it includes the time that it lay finished behind older ones.
fn drive(pipeline: &mut dyn Pipeline, mut stream: Stream<'_>, depth: usize, window: &Window) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut under_way = VecDeque::with_capacity(depth);
    loop {
        while under_way.len() < depth {
            let pair = stream.next_pair();
            let started = Instant::now();
            if started >= window.end {
                break;
            }
            pipeline.submit(&[pair])?;
            under_way.push_back(started);
        }
        let Some(started) = under_way.pop_front() else { return Ok(seen) };
        pipeline.wait_oldest()?;
        seen.add(window, started, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Pair;

    const LENGTH: Length =
        Length { warm_up: Duration::from_millis(20), measured: Duration::from_millis(100) };

    /// Takes a millisecond per commit.
    struct Sleepy;

    impl Store for Sleepy {
        fn commit(&self, _batch: &[Pair<'_>]) -> Result<()> {
            thread::sleep(Duration::from_millis(1));
            Ok(())
        }
    }

    #[derive(Default)]
    struct Broken;

    impl Store for Broken {
        fn commit(&self, _batch: &[Pair<'_>]) -> Result<()> {
            Err("no room".into())
        }
    }

    /// Remembers how many were under way at most, over a pipeline that never waits.
    struct Immediate;

    impl Store for Immediate {
        fn commit(&self, _batch: &[Pair<'_>]) -> Result<()> {
            Err("is driven by its pipeline".into())
        }

        fn pipeline(&self) -> Option<Box<dyn Pipeline + '_>> {
            Some(Box::new(Depth { under_way: 0 }))
        }
    }

    struct Depth {
        under_way: usize,
    }

    impl Pipeline for Depth {
        fn submit(&mut self, _batch: &[Pair<'_>]) -> Result<()> {
            self.under_way += 1;
            if self.under_way > 4 { Err("more under way than asked for".into()) } else { Ok(()) }
        }

        fn wait_oldest(&mut self) -> Result<()> {
            self.under_way = self.under_way.checked_sub(1).ok_or("nothing under way")?;
            Ok(())
        }
    }

    #[test]
    fn a_commit_of_a_millisecond_takes_a_millisecond() {
        let measured = run(&Sleepy, &Source::default(), 2, LENGTH).unwrap();
        assert!(measured.commits > 0 && measured.commits <= 200, "{measured:?}");
        assert!(measured.p50_us >= 1000.0 && measured.p50_us <= measured.max_us, "{measured:?}");
    }

    #[test]
    fn a_contender_that_fails_fails_its_slice() {
        assert_eq!(run(&Broken, &Source::default(), 2, LENGTH).unwrap_err().to_string(), "no room");
    }

    #[test]
    fn a_pipeline_is_kept_at_its_depth_and_drained_at_the_end() {
        assert!(run(&Immediate, &Source::default(), 4, LENGTH).unwrap().commits > 4);
    }
}

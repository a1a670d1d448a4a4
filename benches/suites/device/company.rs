//! Commits while something else uses the disk: another file's commits, or a paced writer as a compaction is one.

use std::{
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    Plan,
    counters::Device,
    files::{self, Aligned, Lane, Primitive, STEP, State, Way},
    primitives,
    report::{self, Column, Measured, Table},
    slices::{self, Paired, Slice},
};

/// Time for company to get going before anything is measured.
const LEAD_IN: Duration = Duration::from_millis(150);
/// A background writer makes its file durable every so many steps.
const STEPS_PER_SYNC: u64 = 8;
/// The rate of what was going on beside.
pub const OTHER: Column = Column("other_rate", "other");
pub const TO_ALONE: Column = Column("ratio_to_alone", "× alone");

/// A thread that does something again and again until it is stopped.
pub struct Stream<T> {
    stop: Arc<AtomicBool>,
    syncs: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<T>>,
}

/// When a commit of a stream began, and how long it took.
pub struct Commit {
    pub start: Instant,
    pub took: Duration,
}

impl<T: Send + 'static> Stream<T> {
    fn start(body: impl FnOnce(&AtomicBool, &AtomicU64) -> io::Result<T> + Send + 'static) -> Self {
        let (stop, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let theirs = (Arc::clone(&stop), Arc::clone(&syncs));
        let thread = std::thread::spawn(move || body(&theirs.0, &theirs.1));
        Self { stop, syncs, thread }
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub fn finish(self) -> io::Result<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a stream panicked")))
    }
}

/// Commits one after the other, round and round in the file.
pub fn committing(mut lane: Lane) -> Stream<(Lane, Vec<Commit>)> {
    Stream::start(move |stop, syncs| {
        let mut commits = Vec::with_capacity(1 << 14);
        while !stop.load(Ordering::Relaxed) {
            if lane.is_full() {
                lane.rewind();
            }
            let start = Instant::now();
            lane.commit()?;
            commits.push(Commit { start, took: start.elapsed() });
            syncs.fetch_add(1, Ordering::Relaxed);
        }
        Ok((lane, commits))
    })
}

/// Writes a new file at so many MB/s: a step, start writing it out, wait; fdatasync every few steps. Returns the rate.
fn writing(path: PathBuf, mb_per_second: u32) -> Stream<f64> {
    Stream::start(move |stop, _| {
        let file = files::open(&path, false, true)?;
        let bytes = Aligned::noise(STEP);
        let pause = Duration::from_secs_f64(STEP as f64 / (f64::from(mb_per_second) * 1e6));
        let start = Instant::now();
        let mut steps = 0;
        while !stop.load(Ordering::Relaxed) {
            let offset = u64::from(steps) * STEP as u64;
            file.write_all_at(bytes.as_ref(), offset)?;
            files::write_out(&file, offset, STEP as u64)?;
            steps += 1;
            if u64::from(steps).is_multiple_of(STEPS_PER_SYNC) {
                file.sync_data()?;
            }
            std::thread::sleep((start + pause * steps).saturating_duration_since(Instant::now()));
        }
        let rate = f64::from(steps) * STEP as f64 / 1e6 / start.elapsed().as_secs_f64();
        drop(file);
        std::fs::remove_file(&path)?;
        Ok(rate)
    })
}

/// What goes on beside.
#[derive(Clone, Copy)]
enum Company {
    Nobody,
    SecondFile,
    Writer(u32),
}

impl Company {
    const ALL: [Company; 5] = [
        Company::Nobody,
        Company::SecondFile,
        Company::Writer(20),
        Company::Writer(50),
        Company::Writer(100),
    ];

    fn start(self, plan: &Plan, dir: &Path) -> io::Result<Running> {
        let running = match self {
            Company::Nobody => return Ok(Running::Nothing),
            Company::SecondFile => {
                let primitive = Primitive::new(State::Zeroed, Way::BufferedFdatasync);
                let blocks = primitives::blocks(plan, LEAD_IN, files::PAGE);
                let lane = Lane::create(dir.join("second"), primitive, files::PAGE, blocks)?;
                Running::Commits(committing(lane), Instant::now())
            }
            Company::Writer(rate) => Running::Writer(writing(dir.join("background"), rate)),
        };
        std::thread::sleep(LEAD_IN);
        Ok(running)
    }
}

enum Running {
    Nothing,
    Commits(Stream<(Lane, Vec<Commit>)>, Instant),
    Writer(Stream<f64>),
}

impl Running {
    fn syncs(&self) -> u64 {
        if let Running::Commits(stream, _) = self { stream.syncs() } else { 0 }
    }

    /// Commits or MB per second.
    fn finish(self) -> io::Result<Option<f64>> {
        Ok(match self {
            Running::Nothing => None,
            Running::Commits(stream, start) => {
                let (_, commits) = stream.finish()?;
                Some(commits.len() as f64 / start.elapsed().as_secs_f64())
            }
            Running::Writer(stream) => Some(stream.finish()?),
        })
    }
}

/// The given primitives with 4 KiB blocks, in every company.
pub fn run(plan: &Plan, dir: &Path, device: Option<&Device>, best: &[Primitive]) -> io::Result<Vec<Table>> {
    let slice = plan.slice(0.18, Company::ALL.len() * best.len() * plan.rounds);
    let blocks = primitives::blocks(plan, slice * Company::ALL.len() as u32, files::PAGE);
    let mut lanes = Vec::new();
    for (number, primitive) in best.iter().enumerate() {
        lanes.push(Lane::create(dir.join(format!("best.{number}")), *primitive, files::PAGE, blocks)?);
    }
    let mut slices: Vec<Vec<Vec<Slice>>> =
        Company::ALL.iter().map(|_| best.iter().map(|_| Vec::new()).collect()).collect();
    let mut rates: [Vec<f64>; Company::ALL.len()] = Default::default();
    for round in 0..plan.rounds {
        for company in slices::order(Company::ALL.len(), round) {
            let running = Company::ALL[company].start(plan, dir)?;
            for lane in slices::order(lanes.len(), round) {
                let before = running.syncs();
                let mut slice = primitives::commits(&mut lanes[lane], slice, device)?;
                slice.other_syncs = running.syncs() - before;
                slices[company][lane].push(slice);
            }
            rates[company].extend(running.finish()?);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(tables(best, &slices, rates))
}

fn tables(
    best: &[Primitive],
    slices: &[Vec<Vec<Slice>>],
    rates: [Vec<f64>; Company::ALL.len()],
) -> Vec<Table> {
    use report::{FLUSHES, P50, P99, PER_SECOND, RATIO, SPREAD, WRITES};
    let mut alone: Vec<Vec<f64>> = Vec::new();
    let mut tables = Vec::new();
    for ((company, of_company), rates) in Company::ALL.iter().zip(slices).zip(rates) {
        let (key, beside) = match company {
            Company::Nobody => ("beside nothing".to_owned(), "alone, for comparison".to_owned()),
            Company::SecondFile => (
                "beside commits".to_owned(),
                "while another thread commits to a second file (other: commits/s)".to_owned(),
            ),
            Company::Writer(rate) => (
                format!("beside {rate} MB/s"),
                format!("while another thread writes {rate} MB/s (other: MB/s reached)"),
            ),
        };
        let measured: Measured = best
            .iter()
            .zip(of_company)
            .map(|(primitive, slices)| {
                (primitive.name(), slices::summary(slices).ok_or_else(|| "no commit".to_owned()))
            })
            .collect();
        let columns = [P50, P99, PER_SECOND, RATIO, SPREAD, WRITES, FLUSHES];
        let mut table = Table::of(&key, &format!("B. commit 4 KiB, {beside}"), &columns, measured);
        if alone.is_empty() {
            alone = table.rows.iter().map(|row| row.by_round_us.clone()).collect();
        }
        let rate = (!rates.is_empty()).then(|| slices::median(rates));
        table.columns.extend([OTHER, TO_ALONE]);
        for (row, alone) in table.rows.iter_mut().zip(&alone) {
            let to_alone = Paired::of(&row.by_round_us, alone).map(|paired| paired.ratio);
            row.values.extend([rate, to_alone]);
        }
        if matches!(company, Company::SecondFile) {
            table.notes.push("writes and flushes: per commit of either file".to_owned());
        }
        tables.push(table);
    }
    tables
}

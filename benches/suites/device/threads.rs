//! What it costs to wake threads: one and back, and sixty-four at once.
//!
//! A commit that another thread carries out costs a round trip more; a leader that committed for many wakes them all.

use std::{
    sync::{
        Barrier, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use rustix::thread::futex;

use crate::{
    Plan,
    report::{self, Measured, Table},
    slices::{self, Slice},
};

pub const FUTEX: &str = "futex";
pub const UNPARK: &str = "park, unpark";
pub const PARKING_LOT: &str = "parking_lot Condvar";
const STD: &str = "std Condvar";
const CHANNEL: &str = "crossbeam bounded(1)";
pub const ROUND_TRIP_KEY: &str = "round trip";
pub const WAKE_ALL_KEY: &str = "wake all";
pub const WAKE_CALL_KEY: &str = "wake all, the call";
const SLEEPERS: usize = 64;
/// Time for the sleepers to fall asleep again.
const BACK_TO_SLEEP: Duration = Duration::from_millis(3);
/// The value that ends a thread.
const STOP: u32 = u32::MAX;

/// A number that threads wait on.
trait Bell: Sync {
    /// Sets the number and wakes all who wait.
    fn ring(&self, number: u32);
    /// Waits until the number is another than `last`, and returns it. `who` counts the waiting threads.
    fn wait(&self, last: u32, who: usize) -> u32;
}

#[derive(Default)]
struct FutexBell(AtomicU32);

impl Bell for FutexBell {
    fn ring(&self, number: u32) {
        self.0.store(number, Ordering::Release);
        // Waking cannot fail on a word of our own.
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, i32::MAX as u32);
    }

    fn wait(&self, last: u32, _: usize) -> u32 {
        loop {
            let number = self.0.load(Ordering::Acquire);
            if number != last {
                return number;
            }
            // Returns when woken, when interrupted, and when the number has changed already: look again in any case.
            let _ = futex::wait(&self.0, futex::Flags::PRIVATE, last, None);
        }
    }
}

/// Park and unpark.
struct ParkBell {
    number: AtomicU32,
    threads: Vec<OnceLock<Thread>>,
}

impl ParkBell {
    fn new(waiting: usize) -> Self {
        Self { number: AtomicU32::new(0), threads: (0..waiting).map(|_| OnceLock::new()).collect() }
    }
}

impl Bell for ParkBell {
    fn ring(&self, number: u32) {
        self.number.store(number, Ordering::Release);
        self.threads.iter().filter_map(OnceLock::get).for_each(Thread::unpark);
    }

    fn wait(&self, last: u32, who: usize) -> u32 {
        self.threads[who].get_or_init(std::thread::current);
        loop {
            let number = self.number.load(Ordering::Acquire);
            if number != last {
                return number;
            }
            std::thread::park();
        }
    }
}

#[derive(Default)]
struct StdBell(Mutex<u32>, Condvar);

impl Bell for StdBell {
    fn ring(&self, number: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = number;
        self.1.notify_all();
    }

    fn wait(&self, last: u32, _: usize) -> u32 {
        let mut number = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *number == last {
            number = self.1.wait(number).unwrap_or_else(PoisonError::into_inner);
        }
        *number
    }
}

#[derive(Default)]
struct ParkingLotBell(parking_lot::Mutex<u32>, parking_lot::Condvar);

impl Bell for ParkingLotBell {
    fn ring(&self, number: u32) {
        *self.0.lock() = number;
        self.1.notify_all();
    }

    fn wait(&self, last: u32, _: usize) -> u32 {
        let mut number = self.0.lock();
        while *number == last {
            self.1.wait(&mut number);
        }
        *number
    }
}

/// A channel with one place; for one thread that waits.
struct ChannelBell(crossbeam_channel::Sender<u32>, crossbeam_channel::Receiver<u32>);

impl Bell for ChannelBell {
    fn ring(&self, number: u32) {
        let _ = self.0.send(number);
    }

    fn wait(&self, _: u32, _: usize) -> u32 {
        self.1.recv().unwrap_or(STOP)
    }
}

fn bell(name: &str, waiting: usize) -> Box<dyn Bell> {
    match name {
        UNPARK => Box::new(ParkBell::new(waiting)),
        STD => Box::<StdBell>::default(),
        PARKING_LOT => Box::<ParkingLotBell>::default(),
        CHANNEL => {
            let (sender, receiver) = crossbeam_channel::bounded(1);
            Box::new(ChannelBell(sender, receiver))
        }
        _ => Box::<FutexBell>::default(),
    }
}

const PAIRS: [&str; 5] = [FUTEX, UNPARK, STD, PARKING_LOT, CHANNEL];
const CROWDS: [&str; 4] = [FUTEX, UNPARK, STD, PARKING_LOT];

/// The tables.
pub fn run(plan: &Plan) -> std::io::Result<Vec<Table>> {
    let limit = plan.slice(0.08, (PAIRS.len() + CROWDS.len()) * plan.rounds);
    let mut pairs = PAIRS.map(|_| Vec::new());
    let mut crowds = CROWDS.map(|_| Vec::new());
    let mut calls = CROWDS.map(|_| Vec::new());
    for round in 0..plan.rounds {
        for at in slices::order(PAIRS.len(), round) {
            pairs[at].push(round_trips(&*bell(PAIRS[at], 1), &*bell(PAIRS[at], 1), limit)?);
        }
        for at in slices::order(CROWDS.len(), round) {
            let (all, call) = wake_all(&*bell(CROWDS[at], SLEEPERS), limit);
            crowds[at].push(all);
            calls[at].push(call);
        }
    }
    use report::{P50, P99, PER_SECOND, RATIO, SPREAD};
    let columns = [P50, P99, PER_SECOND, RATIO, SPREAD];
    let few = [P50, P99, RATIO, SPREAD];
    Ok(vec![
        Table::of(
            ROUND_TRIP_KEY,
            "D. waking a thread and being woken by it",
            &columns,
            measured(PAIRS, &pairs),
        ),
        Table::of(
            WAKE_ALL_KEY,
            "D. waking 64 sleepers: until the last of them has run",
            &few,
            measured(CROWDS, &crowds),
        ),
        Table::of(
            WAKE_CALL_KEY,
            "D. the same: until the waking thread goes on",
            &few,
            measured(CROWDS, &calls),
        ),
    ])
}

fn measured<const N: usize>(names: [&str; N], slices: &[Vec<Slice>; N]) -> Measured {
    let summary = |slices: &Vec<Slice>| slices::summary(slices).ok_or_else(|| "no wake-up".to_owned());
    names.into_iter().zip(slices).map(|(name, slices)| (name.to_owned(), summary(slices))).collect()
}

fn round_trips(there: &dyn Bell, back: &dyn Bell, limit: Duration) -> std::io::Result<Slice> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            loop {
                number = there.wait(number, 0);
                back.ring(number);
                if number == STOP {
                    break;
                }
            }
        });
        let mut number = 0;
        let mut once = || {
            there.ring(number + 1);
            number = back.wait(number, 0);
        };
        (0..10).for_each(|_| once());
        let slice = slices::timed(limit, 0, None, || {
            once();
            Ok(true)
        });
        there.ring(STOP);
        slice
    })
}

/// Until all have run, and until the call returned.
fn wake_all(bell: &dyn Bell, limit: Duration) -> (Slice, Slice) {
    let (epoch, main) = (Instant::now(), std::thread::current());
    let (asleep, last_ran_ns) = (AtomicUsize::new(0), AtomicU64::new(0));
    let ready = Barrier::new(SLEEPERS + 1);
    let mut all = Slice { latencies: Vec::new(), took: limit, bytes: 0, device: None, other_syncs: 0 };
    let mut call = Slice { latencies: Vec::new(), ..all };
    std::thread::scope(|scope| {
        for who in 0..SLEEPERS {
            let (asleep, last_ran_ns, ready, main) = (&asleep, &last_ran_ns, &ready, &main);
            scope.spawn(move || {
                let mut number = 0;
                ready.wait();
                loop {
                    number = bell.wait(number, who);
                    if number == STOP {
                        break;
                    }
                    if asleep.fetch_sub(1, Ordering::AcqRel) == 1 {
                        last_ran_ns.store(epoch.elapsed().as_nanos() as u64, Ordering::Release);
                        main.unpark();
                    }
                }
            });
        }
        ready.wait();
        let mut number = 0;
        while epoch.elapsed() < limit {
            std::thread::sleep(BACK_TO_SLEEP);
            asleep.store(SLEEPERS, Ordering::Release);
            last_ran_ns.store(0, Ordering::Release);
            number += 1;
            let start = epoch.elapsed();
            bell.ring(number);
            call.latencies.push(epoch.elapsed().saturating_sub(start));
            while last_ran_ns.load(Ordering::Acquire) == 0 {
                std::thread::park();
            }
            let end = Duration::from_nanos(last_ran_ns.load(Ordering::Acquire));
            all.latencies.push(end.saturating_sub(start));
        }
        std::thread::sleep(BACK_TO_SLEEP);
        bell.ring(STOP);
    });
    (all, call)
}

//! All jobs stepped by one caller, in the order that a seed decides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{Budget, Job, Step, TaskControl, TaskHandle, Tasks};
use crate::{Clock, Random, Result, clock::SimClock, random::SeededRandom};

/// A cooperative scheduler. Steps happen only inside [`Tasks::drive`].
#[derive(Debug)]
pub struct SimTasks {
    clock: Arc<SimClock>,
    random: SeededRandom,
    slots: Mutex<Vec<Arc<Slot>>>,
}

struct Slot {
    name: String,
    /// `None` while the job is being stepped, or after it ended.
    job: Mutex<Option<Box<dyn Job>>>,
    runnable: AtomicBool,
    stopped: AtomicBool,
    due: Mutex<Option<Duration>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Small, so that a step boundary (a place where the simulator may switch or cut the power) is never far away.
const STEP_BUDGET: Budget = Budget { bytes: 4 << 10 };

impl SimTasks {
    /// The order of steps follows `seed`; delays follow `clock`.
    pub fn new(clock: Arc<SimClock>, seed: u64) -> SimTasks {
        SimTasks { clock, random: SeededRandom::new(seed), slots: Mutex::new(Vec::new()) }
    }

    /// When the earliest waiting job wants its step: where to advance the clock to when nothing is runnable.
    pub fn next_due(&self) -> Option<Duration> {
        let slots = self.slots.lock();
        let waiting = slots.iter().filter(|slot| !slot.stopped.load(Ordering::Acquire));
        waiting.filter_map(|slot| *slot.due.lock()).min()
    }

    /// Steps until nothing is runnable, at most `limit` times. Returns the number of steps.
    pub fn settle(&self, limit: usize) -> usize {
        (0..limit).take_while(|_| self.drive()).count()
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &str, job: Box<dyn Job>) -> Result<TaskHandle> {
        let slot = Arc::new(Slot {
            name: name.to_owned(),
            job: Mutex::new(Some(job)),
            runnable: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            due: Mutex::new(None),
        });
        self.slots.lock().push(Arc::clone(&slot));
        Ok(TaskHandle::new(Box::new(slot)))
    }

    fn drive(&self) -> bool {
        let now = self.clock.monotonic();
        let runnable: Vec<Arc<Slot>> = {
            let mut slots = self.slots.lock();
            slots.retain(|slot| !slot.stopped.load(Ordering::Acquire));
            slots
                .iter()
                .filter(|slot| {
                    // A job that is being stepped (and drives others from within its step) is not there.
                    slot.job.lock().is_some()
                        && (slot.runnable.load(Ordering::Acquire)
                            || slot.due.lock().is_some_and(|due| due <= now))
                })
                .cloned()
                .collect()
        };
        if runnable.is_empty() {
            return false;
        }
        let pick = usize::try_from(self.random.next_u64() % runnable.len() as u64).unwrap_or(0);
        let slot = &runnable[pick];
        let Some(mut job) = slot.job.lock().take() else { return false };
        slot.runnable.store(false, Ordering::Release);
        *slot.due.lock() = None;
        match job.step(STEP_BUDGET) {
            Step::Again => slot.runnable.store(true, Ordering::Release),
            Step::Idle => {}
            Step::After(pause) => *slot.due.lock() = Some(self.clock.monotonic().saturating_add(pause)),
            Step::Done => slot.stopped.store(true, Ordering::Release),
        }
        if !slot.stopped.load(Ordering::Acquire) {
            *slot.job.lock() = Some(job);
        }
        true
    }

    fn pass_time(&self) -> bool {
        let Some(due) = self.next_due() else { return false };
        self.clock.advance(due.saturating_sub(self.clock.monotonic()));
        true
    }
}

impl TaskControl for Arc<Slot> {
    fn wake(&self) {
        self.runnable.store(true, Ordering::Release);
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let job = self.job.lock().take();
        drop(job);
    }
}

//! One thread per job.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::{Budget, Job, Step, TaskControl, TaskHandle, Tasks};
use crate::{Error, Result, error::IoOp};

/// Runs every job on a thread of its own.
#[derive(Debug, Default)]
pub struct ThreadTasks;

/// Large enough that a step is worth its overhead, small enough that stopping is quick.
const STEP_BUDGET: Budget = Budget { bytes: 4 << 20 };

impl ThreadTasks {
    /// A scheduler without jobs.
    pub fn new() -> ThreadTasks {
        ThreadTasks
    }
}

impl Tasks for ThreadTasks {
    fn spawn(&self, name: &str, job: Box<dyn Job>) -> Result<TaskHandle> {
        // One slot is enough: a wake that finds the slot full is already pending.
        let (wake, woken) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn({
                let stop = Arc::clone(&stop);
                move || run(job, &woken, &stop)
            })
            .map_err(|source| Error::io(IoOp::Spawn, name, source))?;
        Ok(TaskHandle::new(Box::new(ThreadControl { wake, stop, thread: Mutex::new(Some(thread)) })))
    }

    fn drive(&self) -> bool {
        false
    }
}

fn run(mut job: Box<dyn Job>, woken: &Receiver<()>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let pause = match job.step(STEP_BUDGET) {
            Step::Again => continue,
            Step::Done => return,
            Step::Idle => None,
            Step::After(pause) => Some(pause),
        };
        let result = match pause {
            None => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => woken.recv_timeout(pause.max(Duration::from_micros(1))),
        };
        if result == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

struct ThreadControl {
    wake: Sender<()>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl TaskControl for ThreadControl {
    fn wake(&self) {
        match self.wake.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) | Err(TrySendError::Disconnected(())) => {}
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.lock().take() {
            if thread.thread().id() == thread::current().id() {
                // The job dropped its own owner: it ends by itself after this step.
                return;
            }
            if thread.join().is_err() {
                tracing::error!("a background job panicked");
            }
        }
    }
}

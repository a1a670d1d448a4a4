//! Background work as resumable steps.
//!
//! A [`Job`] does a bounded piece of work per [`Job::step`] and says when it wants to be called again. In production
//! each job has a thread of its own ([`ThreadTasks`]); in a simulation one caller steps all jobs in a chosen order
//! ([`SimTasks`]), so that every interleaving of foreground and background work can be replayed from a seed.

mod sim;
mod threads;

use std::{fmt, num::NonZeroUsize, time::Duration};

pub use sim::SimTasks;
pub use threads::ThreadTasks;

use crate::Result;

/// Processors that this process may use, one if the system does not say.
pub fn processors() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Gives the calling thread a smaller share of its processor than others of this process have, for good: it is `nice` to them by so
/// much. Threads that are woken meanwhile run at once. Where the system has no such thing nothing happens.
///
/// Cost: one call of the system.
pub fn step_back(nice: u8) {
    // Of the calling thread: Linux gives each its own.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, i32::from(nice));
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

/// How much one step may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that may be read plus written before the step returns.
    pub bytes: u64,
}

/// What a job wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do now.
    Again,
    /// Nothing to do until woken.
    Idle,
    /// Nothing to do until woken or until this time has passed.
    After(Duration),
    /// The job has ended and is dropped.
    Done,
}

/// A resumable piece of background work.
pub trait Job: Send {
    /// Does some work, at most about `budget`. Must not block on other jobs.
    fn step(&mut self, budget: Budget) -> Step;
}

/// Owner of background jobs.
pub trait Tasks: Send + Sync + fmt::Debug {
    /// Starts a job. It is stepped until it returns [`Step::Done`] or its handle is dropped.
    fn spawn(&self, name: &str, job: Box<dyn Job>) -> Result<TaskHandle>;

    /// Cooperative schedulers run one step of some runnable job and return true; threaded ones, and cooperative
    /// ones with nothing runnable, return false. A caller that must wait for a job calls this first and waits on a
    /// condition variable only after it returned false.
    fn drive(&self) -> bool;

    /// Cooperative schedulers whose jobs all wait for time move their clock to the first of these moments and return
    /// true. For a caller that must wait for a job and whom [`Tasks::drive`] has told that nothing is runnable: no other
    /// caller would let the time pass. Threaded schedulers return false: real time passes by itself.
    fn pass_time(&self) -> bool {
        false
    }
}

/// The owner's end of a running job. Dropping it stops the job and waits for the step in progress to end.
pub struct TaskHandle {
    control: Box<dyn TaskControl>,
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").finish_non_exhaustive()
    }
}

impl TaskHandle {
    /// A handle over a scheduler's own control object.
    pub fn new(control: Box<dyn TaskControl>) -> TaskHandle {
        TaskHandle { control }
    }

    /// Asks for a step soon. Cheap; callable from any thread.
    pub fn wake(&self) {
        self.control.wake();
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.control.stop();
    }
}

/// What a scheduler implements for its handles.
pub trait TaskControl: Send + Sync {
    /// Asks for a step soon.
    fn wake(&self);
    /// Stops the job; returns when no step is running any more. Called once. Must not deadlock when called from
    /// within the job's own step.
    fn stop(&self);
}

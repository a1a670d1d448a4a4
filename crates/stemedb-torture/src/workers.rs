//! The same work on several threads.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use stemedb_env::{Budget, Env, Job, Step, TaskHandle};

/// Counts down to nothing.
#[derive(Debug)]
struct Latch {
    left: Mutex<usize>,
    done: Condvar,
}

struct Once {
    work: Arc<dyn Fn() + Send + Sync>,
    latch: Arc<Latch>,
}

impl Job for Once {
    fn step(&mut self, _budget: Budget) -> Step {
        (self.work)();
        *self.latch.left.lock() -= 1;
        self.latch.done.notify_all();
        Step::Done
    }
}

/// Runs `work` on `threads` threads, this one included, and returns when all are done. It must not panic.
pub fn side_by_side(threads: usize, work: Arc<dyn Fn() + Send + Sync>) -> stemedb_env::Result<()> {
    let others = threads.saturating_sub(1);
    let latch = Arc::new(Latch { left: Mutex::new(others), done: Condvar::new() });
    let tasks = Env::real().tasks;
    let mut handles: Vec<TaskHandle> = Vec::new();
    for _ in 0..others {
        let job = Once { work: Arc::clone(&work), latch: Arc::clone(&latch) };
        handles.push(tasks.spawn("torture", Box::new(job))?);
    }
    work();
    let mut left = latch.left.lock();
    while *left > 0 {
        latch.done.wait(&mut left);
    }
    Ok(())
}

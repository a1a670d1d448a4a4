//! The same names on shuttle's primitives, so that its scheduler decides every interleaving.

use std::time::Duration;

pub use shuttle::sync::MutexGuard;
use shuttle::sync::{Condvar, Mutex as SharedMutex};

/// parking_lot's interface over shuttle's mutex.
#[derive(Debug, Default)]
pub struct Mutex<T>(SharedMutex<T>);

impl<T> Mutex<T> {
    /// A mutex around `value`.
    pub fn new(value: T) -> Mutex<T> {
        Mutex(SharedMutex::new(value))
    }

    /// Takes the lock; a panicking holder does not poison it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the lock if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// See the unscheduled `Gate`.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<(u32, u32)>,
    changed: Condvar,
}

impl Gate {
    /// A gate that nobody waits at.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// The current generation.
    pub fn now(&self) -> u32 {
        self.state.lock().0
    }

    /// Starts a new generation and wakes every waiter.
    pub fn open(&self) {
        self.state.lock().0 += 1;
        self.changed.notify_all();
    }

    /// Starts a new generation and wakes one sleeping waiter.
    pub fn open_for_one(&self) -> bool {
        let slept = {
            let mut state = self.state.lock();
            state.0 += 1;
            state.1 > 0
        };
        self.changed.notify_one();
        slept
    }

    /// Returns when the generation is not `seen` any more, or when woken.
    pub fn wait(&self, seen: u32) {
        let mut state = self.state.lock();
        if state.0 == seen {
            state.1 += 1;
            // One round: like a futex, a wake-up means "look again".
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            state.1 -= 1;
        }
        drop(state);
    }

    /// Time does not pass under shuttle: this gives up at once.
    pub fn wait_for(&self, seen: u32, _limit: Duration) -> bool {
        shuttle::thread::yield_now();
        self.now() != seen
    }
}

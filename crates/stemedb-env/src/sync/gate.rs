//! A futex word with a generation in it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::thread::futex::{self, Flags, Timespec};

/// Where threads wait for an event that happens again and again.
///
/// A thread looks at the generation, checks its condition, and waits for *another* generation: an event between the
/// look and the wait is never missed. [`Gate::open`] costs one system call however many threads wait, and none if
/// nobody does; the woken threads run without taking a lock. (A condition variable would either wake them one after
/// another or let all of them fight for its mutex.)
///
/// ```text
/// waiter                               opener
/// seen = gate.now()
/// condition? no                        condition = yes
/// gate.wait(seen) ────── sleeps ─────▶ gate.open()
/// ```
#[derive(Debug, Default)]
pub struct Gate {
    generation: AtomicU32,
    sleepers: AtomicU32,
}

impl Gate {
    /// A gate that nobody waits at.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// The current generation. To be read before the condition is checked.
    pub fn now(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Starts a new generation and wakes every waiter.
    pub fn open(&self) {
        self.wake(u32::MAX);
    }

    /// Starts a new generation and wakes one sleeping waiter; others that sleep go on sleeping. False if none slept
    /// (one that was about to sleep does not, and checks its condition again).
    pub fn open_for_one(&self) -> bool {
        self.wake(1)
    }

    fn wake(&self, count: u32) -> bool {
        self.generation.fetch_add(1, Ordering::SeqCst);
        // A waiter counts itself before it looks at the generation for the last time, so either it is seen here or it
        // sees the new generation.
        if self.sleepers.load(Ordering::SeqCst) == 0 {
            return false;
        }
        // i32::MAX is what the kernel takes for "all".
        let count = count.min(i32::MAX as u32);
        futex::wake(&self.generation, Flags::PRIVATE, count).is_ok_and(|woken| woken > 0)
    }

    /// Returns when the generation is not `seen` any more. May return early; callers check their condition again.
    pub fn wait(&self, seen: u32) {
        self.sleep(seen, None);
    }

    /// The same, for at most `limit`. False if the time has passed and the generation is still `seen`.
    pub fn wait_for(&self, seen: u32, limit: Duration) -> bool {
        self.sleep(seen, Some(limit));
        self.now() != seen
    }

    fn sleep(&self, seen: u32, limit: Option<Duration>) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if self.now() == seen {
            let timeout = limit.map(|limit| Timespec {
                tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(limit.subsec_nanos()),
            });
            // Woken, interrupted, timed out or changed already: all of them mean "look again".
            let _ = futex::wait(&self.generation, Flags::PRIVATE, seen, timeout.as_ref());
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize},
        },
        thread,
    };

    use super::*;

    #[test]
    fn an_event_between_the_look_and_the_wait_is_not_missed() {
        let gate = Gate::new();
        let seen = gate.now();
        gate.open();
        // Would hang if it were missed.
        gate.wait(seen);
        assert!(gate.wait_for(seen, Duration::from_secs(60)));
        assert!(!gate.wait_for(gate.now(), Duration::from_millis(1)));
    }

    #[test]
    fn one_opening_wakes_every_sleeper() {
        let (gate, done) = (Arc::new(Gate::new()), Arc::new(AtomicBool::new(false)));
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
                thread::spawn(move || {
                    loop {
                        let seen = gate.now();
                        if done.load(Ordering::SeqCst) {
                            return;
                        }
                        gate.wait(seen);
                    }
                })
            })
            .collect();
        done.store(true, Ordering::SeqCst);
        gate.open();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn opening_for_one_lets_exactly_one_sleeper_through() {
        let (gate, through) = (Arc::new(Gate::new()), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (gate, through) = (Arc::clone(&gate), Arc::clone(&through));
                thread::spawn(move || {
                    gate.wait(0);
                    through.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        // All four sleep: the fifth opening would find nobody.
        while gate.sleepers.load(Ordering::SeqCst) < 4 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(50));
        assert!(gate.open_for_one());
        for _ in 0..100_000 {
            if through.load(Ordering::SeqCst) == 1 {
                break;
            }
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!(through.load(Ordering::SeqCst), 1);
        gate.open();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!gate.open_for_one());
    }
}

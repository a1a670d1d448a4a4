//! The only door to the operating system.
//!
//! Every other StemeDB crate reaches files, time, randomness and background threads through the traits of this
//! crate, so that the same engine code runs on a real disk and inside a simulator that loses power, tears sectors
//! and fails syncs. clippy (`disallowed_methods`, `disallowed_types`) makes naming `std::fs`, `std::time` or
//! `std::thread` anywhere else a build error.
//!
//! - [`fs`]: the [`Fs`] and [`File`] traits; [`fs::RealFs`] over the system, [`fs::SimFs`] in memory with un-synced
//!   state and crashes, [`fs::FaultFs`] which counts calls and injects errors over either.
//! - [`clock`]: wall and monotonic time as inputs, never as order.
//! - [`random`]: the only source of randomness.
//! - [`tasks`]: background work as resumable steps, on threads or stepped by a simulator.
//! - [`sync`], [`aligned`]: a gate where threads wait for an event; buffers that a disk can be written from directly.
//! - [`frame`]: the one record format of every log of the product (journal and manifest).
//!
//! An [`Env`] bundles one of each and is cheap to clone.
// Files that need it say so and prove it.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, unsafe_code)]
// This crate is where the bans of `clippy.toml` end.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod aligned;
pub mod clock;
pub mod error;
pub mod frame;
pub mod fs;
pub mod lsn;
pub mod planted;
pub mod random;
pub mod sync;
pub mod tasks;

use std::sync::Arc;

pub use aligned::AlignedBuffer;
pub use clock::{Clock, Micros};
pub use error::{Error, IoOp, Result};
pub use fs::{DirEntry, File, FileLock, Fs, Metadata, OpenMode, Space};
pub use lsn::Lsn;
pub use random::Random;
pub use tasks::{Budget, Job, Step, TaskHandle, Tasks};

/// One bundle of everything the engine may ask of its surroundings.
#[derive(Clone, Debug)]
pub struct Env {
    /// Files and directories.
    pub fs: Arc<dyn Fs>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub random: Arc<dyn Random>,
    /// Background work.
    pub tasks: Arc<dyn Tasks>,
}

impl Env {
    /// A simulated machine: a file system in memory, a clock that moves only when told to, tasks that step only when
    /// driven. Everything that happens follows from `seed` and the calls.
    pub fn sim(seed: u64) -> (Env, SimHandles) {
        let clock = Arc::new(clock::SimClock::new(SIM_EPOCH));
        let fs = fs::SimFs::new();
        fs.set_clock(Arc::clone(&clock));
        Env::over(fs, clock, seed)
    }

    /// A simulated machine that starts on a given disk, usually a crash image, at the time that `clock` shows.
    pub fn over(fs: fs::SimFs, clock: Arc<clock::SimClock>, seed: u64) -> (Env, SimHandles) {
        let tasks = Arc::new(tasks::SimTasks::new(Arc::clone(&clock), seed));
        let env = Env {
            fs: Arc::new(fs.clone()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(random::SeededRandom::new(seed.wrapping_add(1))),
            tasks: Arc::clone(&tasks) as Arc<dyn Tasks>,
        };
        (env, SimHandles { fs, clock, tasks })
    }

    /// The operating system: real files, real time, one thread per background job.
    pub fn real() -> Env {
        Env {
            fs: Arc::new(fs::RealFs::new()),
            clock: Arc::new(clock::RealClock::new()),
            random: Arc::new(random::OsRandom),
            tasks: Arc::new(tasks::ThreadTasks::new()),
        }
    }
}

/// 2026-01-01T00:00:00Z: what the clock of [`Env::sim`] shows at first.
const SIM_EPOCH: Micros = Micros(1_767_225_600_000_000);

/// The controls of a simulated machine.
#[derive(Clone, Debug)]
pub struct SimHandles {
    /// Cuts the power, corrupts, counts.
    pub fs: fs::SimFs,
    /// Moves time.
    pub clock: Arc<clock::SimClock>,
    /// Steps background work.
    pub tasks: Arc<tasks::SimTasks>,
}

/// The examples of the README and of the design page must compile and hold.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../../../docs/design/simulation.md")]
struct DocumentedExamples;

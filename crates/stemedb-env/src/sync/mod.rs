//! What threads wait on.
//!
//! The locks of the product are parking_lot's. This module has what parking_lot lacks: a [`Gate`], where any number of
//! threads wait for one event and are woken by one system call, without taking a lock again afterwards. Code whose
//! interleavings are explored by shuttle takes its locks and atomics from here too, so that a build with
//! `--cfg shuttle` schedules them.

#[cfg(not(shuttle))]
mod gate;
#[cfg(shuttle)]
mod scheduled;

#[cfg(not(shuttle))]
pub use gate::Gate;
#[cfg(not(shuttle))]
pub use parking_lot::{Mutex, MutexGuard};
#[cfg(shuttle)]
pub use scheduled::{Gate, Mutex, MutexGuard};

/// Atomics that shuttle can schedule.
pub mod atomic {
    #[cfg(shuttle)]
    pub use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(shuttle))]
    pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
}

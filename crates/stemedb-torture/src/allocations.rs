//! The largest allocation of a thread: a length that comes from damaged bytes must never be allocated unchecked.
//!
//! The allocator is the system's own; what is added is one comparison per call. It is installed for whatever links this
//! crate, which is never a product.
// An allocator cannot be written without it; see the proof below.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn saw(bytes: usize) {
    // The cell is gone while its thread ends; then nobody asks any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every call is passed on to `System` with the arguments it came with, so that its contract holds here because it
// holds there. `saw` does not allocate: its cell is initialised at compile time and has no destructor.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        saw(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        saw(layout.size());
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        saw(bytes);
        // SAFETY: the caller keeps `realloc`'s contract, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work` and returns the size of the largest allocation that this thread asked for meanwhile.
pub fn largest_during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.with(|largest| largest.set(0));
    let result = work();
    (result, LARGEST.with(Cell::get))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_allocation_is_seen_and_no_other_threads() {
        let (_, bytes) = largest_during(|| vec![0_u8; 12_345].len());
        assert_eq!(bytes, 12_345);
        assert!(largest_during(|| ()).1 == 0);
    }
}

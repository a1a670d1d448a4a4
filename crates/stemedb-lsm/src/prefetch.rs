//! Asking the processor for memory before it is needed.
#![allow(unsafe_code)]

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Starts loading the first `bytes` bytes behind an address into the nearest cache. Does nothing on processors other than
/// x86-64 and under Miri. A hint: it never fails, and the address need not be valid.
#[inline]
pub(crate) fn prefetch<T: ?Sized>(address: *const T, bytes: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = address.cast::<i8>();
        for line in (0..bytes).step_by(LINE_BYTES) {
            // SAFETY: PREFETCHT0 reads nothing that the program could see and never faults, whatever the address ("AMD64
            // Architecture Programmer's Manual", volume 3, PREFETCHlevel). SSE is part of every x86-64 target. The pointer
            // is made by wrapping arithmetic and never dereferenced.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(line)) }
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        let _ = (address.cast::<i8>(), bytes, LINE_BYTES);
    }
}

//! How the program's memory allocator behaves.
// The call below, proven where it stands.
#![allow(unsafe_code)]

/// Makes glibc serve every thread from one arena. To be called first.
///
/// Tables, blocks and memtables are allocated by one thread and freed by another. Each of glibc's arenas (eight a processor)
/// keeps what was freed in it, and under unlimited writing they kept 250 MiB more than the engine's memory ledger had given
/// out: 668 MiB with as many arenas as threads, 611 MiB with two, 400 to 418 MiB with one, for a budget of 384 MiB. Small
/// allocations are served from each thread's own cache all the same. Other allocators of the C library have no such call.
pub fn use_one_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two integers and changes numbers inside of the allocator under its own lock; it takes no
        // pointer and may be called at any time. If it refuses (it returns 0), nothing has changed.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

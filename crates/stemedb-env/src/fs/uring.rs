//! Batches of reads through `io_uring`.
//!
//! Every reading thread keeps a ring of its own. The kernel writes into buffers that belong to the ring, not to the caller:
//! should waiting for the kernel ever fail, ring and buffers are left to it for good, and nothing that anybody uses is
//! written to.
#![allow(unsafe_code)]

use std::{cell::RefCell, mem::ManuallyDrop};

use io_uring::{IoUring, opcode, types};

use super::batch::{BatchRead, read_alone};
use crate::{AlignedBuffer, Result};

/// Reads under way at the same time; more do not make a disk of this class faster.
const ENTRIES: usize = 32;
/// A read of more bytes is made by itself: it is no random read any more.
const ROOM_BYTES: usize = 64 << 10;

struct Ring {
    /// Dropped by [`Ring::drop`] only when nothing is under way.
    uring: ManuallyDrop<IoUring>,
    rooms: ManuallyDrop<Vec<AlignedBuffer>>,
    /// Reads whose completion has not been seen.
    in_flight: usize,
    /// Waiting has failed: the kernel may still write into the rooms.
    lost: bool,
}

enum PerThread {
    Untried,
    Refused,
    Ready(Box<Ring>),
}

thread_local! {
    static RING: RefCell<PerThread> = const { RefCell::new(PerThread::Untried) };
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.in_flight == 0 {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe {
                ManuallyDrop::drop(&mut self.uring);
                ManuallyDrop::drop(&mut self.rooms);
            }
        }
    }
}

/// Performs the batch; false (and nothing has happened) if a file has no descriptor or the kernel gives no ring.
pub(super) fn read_batch(reads: &[BatchRead<'_>], take: &mut dyn FnMut(usize, Result<&[u8]>)) -> bool {
    if reads.iter().any(|read| read.file.descriptor().is_none()) {
        return false;
    }
    RING.with(|ring| {
        // A reader that reads while it takes a result gets plain reads.
        let Ok(mut ring) = ring.try_borrow_mut() else { return false };
        if matches!(*ring, PerThread::Untried) {
            *ring = match IoUring::new(ENTRIES as u32) {
                Ok(uring) => PerThread::Ready(Box::new(Ring {
                    uring: ManuallyDrop::new(uring),
                    rooms: ManuallyDrop::new((0..ENTRIES).map(|_| AlignedBuffer::new()).collect()),
                    in_flight: 0,
                    lost: false,
                })),
                Err(error) => {
                    tracing::debug!(%error, "no io_uring: batches are read one by one");
                    PerThread::Refused
                }
            };
        }
        match &mut *ring {
            PerThread::Ready(ready) => {
                ready.run(reads, take);
                if ready.lost {
                    *ring = PerThread::Refused;
                }
                true
            }
            PerThread::Untried | PerThread::Refused => false,
        }
    })
}

impl Ring {
    fn run(&mut self, reads: &[BatchRead<'_>], take: &mut dyn FnMut(usize, Result<&[u8]>)) {
        // A batch whose taker panicked has left reads under way: their results would be taken for ours.
        self.lost |= self.in_flight > 0;
        let mut alone = AlignedBuffer::new();
        // Which read each room is under way for.
        let mut rooms: [Option<usize>; ENTRIES] = [None; ENTRIES];
        let mut next = 0;
        loop {
            while next < reads.len() && !self.lost {
                if reads[next].bytes > ROOM_BYTES {
                    read_alone(reads, next, &mut alone, take);
                    next += 1;
                    continue;
                }
                let Some(room) = rooms.iter().position(Option::is_none) else { break };
                if !self.push(room, &reads[next]) {
                    break;
                }
                rooms[room] = Some(next);
                next += 1;
            }
            if self.lost {
                // What was under way and what is left is read once more, one by one.
                let pending = rooms.iter_mut().filter_map(Option::take);
                for at in pending.chain(next..reads.len()) {
                    read_alone(reads, at, &mut alone, take);
                }
                return;
            }
            if self.in_flight == 0 {
                debug_assert_eq!(next, reads.len());
                return;
            }
            match self.uring.submit_and_wait(1) {
                Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INTR.raw_os_error()) => {
                    tracing::error!(%error, "io_uring failed; this thread reads one by one from now on");
                    self.lost = true;
                    continue;
                }
                _ => {}
            }
            while let Some(completion) = self.uring.completion().next() {
                self.in_flight -= 1;
                let room = completion.user_data() as usize;
                let Some(at) = rooms.get_mut(room).and_then(Option::take) else { continue };
                let bytes = reads[at].bytes;
                match usize::try_from(completion.result()) {
                    Ok(n) if n == bytes => take(at, Ok(&self.rooms[room][..bytes])),
                    // Short, interrupted or failed: the plain read goes on, or says what is wrong.
                    _ => read_alone(reads, at, &mut alone, take),
                }
            }
        }
    }

    /// Hands one read in; false if the queue is full.
    fn push(&mut self, room: usize, read: &BatchRead<'_>) -> bool {
        let (Some(buffer), Some(descriptor)) = (self.rooms.get_mut(room), read.file.descriptor()) else {
            self.lost = true;
            return false;
        };
        buffer.resize_stale(read.bytes);
        let entry = opcode::Read::new(types::Fd(descriptor), buffer.as_mut_ptr(), read.bytes as u32)
            .offset(read.offset)
            .build()
            .user_data(room as u64);
        // SAFETY: the descriptor stays open while `reads` borrows its file, and no read outlives `run`, or else it is lost:
        // then the kernel holds its own reference to the file. The buffer belongs to the ring and is neither moved in
        // memory, resized nor read before the completion of this entry has been seen; if that never happens the buffers are
        // never dropped (see `Drop`). Its length is at least `read.bytes`.
        let pushed = unsafe { self.uring.submission().push(&entry) }.is_ok();
        self.in_flight += usize::from(pushed);
        pushed
    }
}

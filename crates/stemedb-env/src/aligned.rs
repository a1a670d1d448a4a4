//! Bytes at an address that a disk can be written from directly.

use std::fmt;

/// What direct I/O asks of addresses, lengths and offsets, and what keeps copies fast: a page.
pub const ALIGNMENT_BYTES: usize = 4096;

/// A growable byte buffer whose first byte lies on a page boundary.
///
/// Direct I/O needs that; copies to and from the page cache like it (on Zen 3 they are several times slower at a small
/// offset within a page, which is where an allocator puts large blocks). Without `unsafe`: it asks for one page more
/// than it needs and starts at the first boundary inside.
#[derive(Default)]
pub struct AlignedBuffer {
    storage: Vec<u8>,
    /// Index of the first byte in `storage`.
    start: usize,
    len: usize,
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl AlignedBuffer {
    /// An empty buffer without memory.
    pub fn new() -> AlignedBuffer {
        AlignedBuffer::default()
    }

    /// Bytes that fit without asking for memory.
    pub fn capacity(&self) -> usize {
        self.storage.len().saturating_sub(self.start)
    }

    /// Bytes asked of the allocator.
    pub fn held_bytes(&self) -> usize {
        self.storage.capacity()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `capacity` bytes in all. Cost: a copy of what is there, if it has to move.
    pub fn reserve_total(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        let wanted = capacity.max(self.capacity().saturating_mul(2)).max(ALIGNMENT_BYTES);
        let mut storage = vec![0; wanted + ALIGNMENT_BYTES];
        let start = storage.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        storage[start..start + self.len].copy_from_slice(self);
        (self.storage, self.start) = (storage, start);
    }

    /// Sets the length; new bytes are zeros.
    pub fn resize(&mut self, len: usize) {
        self.reserve_total(len);
        if len > self.len {
            self.storage[self.start + self.len..self.start + len].fill(0);
        }
        self.len = len;
    }

    /// Sets the length without clearing new bytes: they hold whatever an earlier use left there. For buffers that are
    /// about to be filled by a read.
    pub fn resize_stale(&mut self, len: usize) {
        self.reserve_total(len);
        self.len = len;
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let at = self.len;
        self.reserve_total(at + bytes.len());
        self.storage[self.start + at..self.start + at + bytes.len()].copy_from_slice(bytes);
        self.len = at + bytes.len();
    }
}

impl std::ops::Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_on_a_page_however_it_grows() {
        let mut buffer = AlignedBuffer::new();
        let mut expected = Vec::new();
        for step in 0..200_usize {
            let bytes: Vec<u8> = (0..step * 7).map(|at| (at + step) as u8).collect();
            buffer.extend_from_slice(&bytes);
            expected.extend_from_slice(&bytes);
            assert!(buffer.is_empty() || (buffer.as_ptr() as usize).is_multiple_of(ALIGNMENT_BYTES));
        }
        assert_eq!(&buffer[..], &expected[..]);
        buffer.clear();
        buffer.resize(10_000);
        assert_eq!(&buffer[..], &[0; 10_000][..]);
    }
}

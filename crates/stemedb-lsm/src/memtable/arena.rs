//! Where the bytes of memtables lie: chunks, and a pool of freed ones.
//!
//! Memory that the process touches for the first time costs microseconds per page, which is more than writing rows into
//! it. So chunks of a memtable that is gone serve the next one.
//!
//! This file and those of `skiplist` are the only ones of the memtable with `unsafe` code. What the code here relies on:
//!
//! - A [`Chunk`] owns `bytes` bytes at `start`, from its making to its drop, wherever the chunk itself is moved.
//! - An [`Arena`] hands out each byte at most once, so two blocks never overlap, and gives no chunk back before it is
//!   dropped itself.
//! - The first `filled` bytes of a [`Piece`] have been written.
#![allow(unsafe_code)]

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    ptr::NonNull,
    slice,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::memory::{Kind, Memory};

/// Blocks are aligned to this.
pub(super) const ALIGN: usize = 8;
/// First chunk of an arena; each further one is twice as large.
const SMALLEST_CHUNK_BYTES: usize = 64 << 10;
/// Chunks are not larger than this, and no larger than this part of a memtable: what a memtable has asked for and not
/// used yet must stay small beside it.
const LARGEST_CHUNK_BYTES: usize = 2 << 20;
const CHUNKS_PER_MEMTABLE: usize = 16;
/// A block gets a chunk of its own when less than this many of it would fit into a common one.
const BLOCKS_PER_CHUNK: usize = 4;

/// A piece of raw memory.
#[derive(Debug)]
struct Chunk {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a chunk is the only owner of its memory, and memory belongs to no thread.
unsafe impl Send for Chunk {}
// SAFETY: a shared chunk gives out nothing but its address and length.
unsafe impl Sync for Chunk {}

impl Chunk {
    fn layout(bytes: usize) -> Layout {
        let Ok(layout) = Layout::from_size_align(bytes.max(ALIGN), ALIGN) else {
            panic!("{bytes} bytes are more than an address space")
        };
        layout
    }

    fn new(bytes: usize) -> Chunk {
        let layout = Chunk::layout(bytes);
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(layout) };
        match NonNull::new(start) {
            Some(start) => Chunk { start, bytes: layout.size() },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc` with this layout (`bytes` is the layout's size), and nobody else frees it.
        unsafe { dealloc(self.start.as_ptr(), Chunk::layout(self.bytes)) };
    }
}

/// Where chunks come from and go to: freed ones wait here for the next memtable. Every chunk is charged, to the memtables
/// or to the pool.
#[derive(Debug)]
pub(crate) struct ChunkPool {
    memory: Arc<Memory>,
    free: Mutex<Vec<Chunk>>,
    most: usize,
    /// Size of the largest chunks, and the only one that is kept.
    chunk_bytes: usize,
}

impl Drop for ChunkPool {
    fn drop(&mut self) {
        let bytes: usize = self.free.get_mut().iter().map(|chunk| chunk.bytes).sum();
        self.memory.sub(Kind::Pool, bytes as u64);
    }
}

impl ChunkPool {
    /// A pool for memtables of `memtable_bytes` that keeps at most about as much.
    pub(crate) fn new(memtable_bytes: usize, memory: &Arc<Memory>) -> ChunkPool {
        let chunk = (memtable_bytes / CHUNKS_PER_MEMTABLE).next_multiple_of(SMALLEST_CHUNK_BYTES);
        let chunk_bytes = chunk.clamp(SMALLEST_CHUNK_BYTES, LARGEST_CHUNK_BYTES);
        ChunkPool {
            memory: Arc::clone(memory),
            free: Mutex::new(Vec::new()),
            most: memtable_bytes / chunk_bytes,
            chunk_bytes,
        }
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    fn take(&self) -> Option<Chunk> {
        let chunk = self.free.lock().pop()?;
        self.memory.sub(Kind::Pool, chunk.bytes as u64);
        self.memory.add(Kind::Memtables, chunk.bytes as u64);
        Some(chunk)
    }

    fn make(&self, bytes: usize) -> Chunk {
        // Before it is there, so that the cache has made room by then.
        self.memory.add(Kind::Memtables, bytes.max(ALIGN) as u64);
        Chunk::new(bytes)
    }

    fn give(&self, chunk: Chunk) {
        self.memory.sub(Kind::Memtables, chunk.bytes as u64);
        if chunk.bytes == self.chunk_bytes && !self.memory.is_tight() {
            let mut free = self.free.lock();
            if free.len() < self.most {
                self.memory.add(Kind::Pool, chunk.bytes as u64);
                free.push(chunk);
            }
        }
    }

    /// Bytes that wait.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.free.lock().len() * self.chunk_bytes
    }
}

/// Memory for blocks that live as long as the arena.
#[derive(Debug)]
pub(super) struct Arena {
    pool: Arc<ChunkPool>,
    chunks: Vec<Chunk>,
    /// Size of the next common chunk.
    grow_bytes: usize,
    /// Free space of the current chunk.
    next: NonNull<u8>,
    left: usize,
    /// Bytes of all chunks.
    held: usize,
}

// SAFETY: `next` points into a chunk that the arena owns.
unsafe impl Send for Arena {}

impl Arena {
    pub(super) fn new(pool: Arc<ChunkPool>) -> Arena {
        Arena {
            pool,
            chunks: Vec::new(),
            grow_bytes: SMALLEST_CHUNK_BYTES,
            next: NonNull::dangling(),
            left: 0,
            held: 0,
        }
    }

    /// Bytes of all chunks.
    pub(super) fn held_bytes(&self) -> usize {
        self.held
    }

    /// A block of at least `bytes` bytes, aligned to [`ALIGN`], not written yet. It is nobody else's and stays where it
    /// is until the arena is dropped.
    pub(super) fn block(&mut self, bytes: usize) -> NonNull<u8> {
        let bytes = bytes.next_multiple_of(ALIGN);
        if bytes > self.left {
            if bytes * BLOCKS_PER_CHUNK > self.pool.chunk_bytes() {
                let chunk = self.pool.make(bytes);
                let start = chunk.start;
                self.held += chunk.bytes;
                self.chunks.push(chunk);
                return start;
            }
            self.grow(bytes);
        }
        let block = self.next;
        // SAFETY: `next` has `left` bytes behind it in its chunk, and `left >= bytes`: the sum is at most one past its end.
        self.next = unsafe { self.next.add(bytes) };
        self.left -= bytes;
        block
    }

    fn grow(&mut self, bytes: usize) {
        let chunk = self.pool.take().unwrap_or_else(|| {
            let size = self.grow_bytes.max(bytes);
            self.grow_bytes = (self.grow_bytes * 2).min(self.pool.chunk_bytes());
            self.pool.make(size)
        });
        self.held += chunk.bytes;
        self.next = chunk.start;
        self.left = chunk.bytes;
        self.chunks.push(chunk);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.chunks.drain(..).for_each(|chunk| self.pool.give(chunk));
    }
}

/// A buffer of fixed size that fills from the front: bytes once in it stay where they are.
#[derive(Debug)]
pub(super) struct Piece {
    /// `None` only while it is dropped.
    chunk: Option<Chunk>,
    filled: usize,
    pool: Arc<ChunkPool>,
}

impl Piece {
    /// A piece with room for `bytes`, or more.
    pub(super) fn new(pool: &Arc<ChunkPool>, bytes: usize) -> Piece {
        let chunk = match bytes <= pool.chunk_bytes() {
            true => pool.take().unwrap_or_else(|| pool.make(pool.chunk_bytes())),
            false => pool.make(bytes),
        };
        Piece { chunk: Some(chunk), filled: 0, pool: Arc::clone(pool) }
    }

    /// Appends; returns where the bytes start, or `None` where they do not fit.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Option<usize> {
        let chunk = self.chunk.as_ref()?;
        if chunk.bytes - self.filled < bytes.len() {
            return None;
        }
        let at = self.filled;
        // SAFETY: `bytes.len()` bytes at `start + filled` lie in the chunk, which is ours alone (`&mut self`), so they
        // cannot overlap with `bytes` either.
        unsafe { chunk.start.add(at).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        self.filled += bytes.len();
        Some(at)
    }

    /// Bytes of its chunk.
    pub(super) fn held_bytes(&self) -> usize {
        self.chunk.as_ref().map_or(0, |chunk| chunk.bytes)
    }

    /// Everything appended so far.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.chunk {
            // SAFETY: the first `filled` bytes have been written, and are written again by nobody while `self` is
            // borrowed.
            Some(chunk) => unsafe { slice::from_raw_parts(chunk.start.as_ptr(), self.filled) },
            None => &[],
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            self.pool.give(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(chunks: usize) -> Arc<ChunkPool> {
        let mut pool = ChunkPool::new(64 << 20, &Memory::unlimited(0));
        pool.most = chunks;
        Arc::new(pool)
    }

    #[test]
    fn blocks_are_aligned_and_disjoint_and_large_ones_have_their_own_chunk() {
        let mut arena = Arena::new(pool(0));
        let sizes = [1, 8, 9, 700, 64 << 10, 3, (1 << 20) + 1, 5, 600 << 10, 24].iter().cycle().take(60);
        let mut blocks: Vec<(usize, usize)> =
            sizes.map(|size| (arena.block(*size).as_ptr() as usize, *size)).collect();
        assert!(blocks.iter().all(|(start, _)| start % ALIGN == 0));
        blocks.sort_unstable();
        assert!(blocks.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
        assert!(arena.chunks.iter().any(|chunk| chunk.bytes == ((1 << 20) + 1usize).next_multiple_of(ALIGN)));
    }

    #[test]
    fn an_arena_starts_small_and_grows() {
        let mut arena = Arena::new(pool(0));
        for _ in 0..40_000 {
            arena.block(200);
        }
        let sizes: Vec<usize> = arena.chunks.iter().map(|chunk| chunk.bytes >> 10).collect();
        assert_eq!(sizes, [64, 128, 256, 512, 1024, 2048, 2048, 2048]);
    }

    #[test]
    fn freed_chunks_serve_the_next_arena_and_the_pool_is_bounded() {
        let pool = pool(2);
        let mut arena = Arena::new(Arc::clone(&pool));
        for _ in 0..60_000 {
            arena.block(200);
        }
        let large = |arena: &Arena| -> Vec<usize> {
            let large = arena.chunks.iter().filter(|chunk| chunk.bytes == LARGEST_CHUNK_BYTES);
            large.map(|chunk| chunk.start.as_ptr() as usize).collect()
        };
        let before = large(&arena);
        assert!(before.len() > 3);
        drop(arena);
        assert_eq!(pool.bytes(), 2 * LARGEST_CHUNK_BYTES);
        let mut arena = Arena::new(Arc::clone(&pool));
        arena.block(1);
        assert!(before.contains(&large(&arena)[0]), "the memory is touched already");
        let piece = Piece::new(&pool, 100);
        assert_eq!(pool.bytes(), 0);
        drop(piece);
        assert_eq!(pool.bytes(), LARGEST_CHUNK_BYTES);
    }

    #[test]
    fn a_piece_takes_what_fits() {
        let pool = pool(1);
        let mut piece = Piece::new(&pool, 10);
        assert_eq!(piece.append(b"abc"), Some(0));
        assert_eq!(piece.append(b"de"), Some(3));
        assert_eq!(piece.append(&vec![0; LARGEST_CHUNK_BYTES - 4]), None);
        assert_eq!(piece.bytes(), b"abcde");
        let mut own = Piece::new(&pool, LARGEST_CHUNK_BYTES + 1);
        assert_eq!(own.append(&vec![7; LARGEST_CHUNK_BYTES + 1]), Some(0));
        assert_eq!(own.append(b"x"), None);
        drop(own);
        assert_eq!(pool.bytes(), 0, "odd sizes are not kept");
    }
}

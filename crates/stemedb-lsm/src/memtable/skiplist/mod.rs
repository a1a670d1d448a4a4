//! A skip list in an arena: one writer at a time, readers without locks.
//!
//! A row is one block of the arena; the tower of links lies in front of the header, so that the level every search ends in
//! is in the same cache line as the header and the first bytes of the key:
//!
//! ```text
//! link[height-1] … link[1] link[0] | lsn, value length, key length, height | key | value
//!                                  ▲ what links and places point to
//! ```
//!
//! Rows are in the order key ascending, LSN descending; none is ever removed or changed. The layout follows the inline
//! skip list of RocksDB, the publication by release and acquire that of LevelDB.
//!
//! # Searching
//!
//! Every row between two rows shares at least the bytes that both share with the wanted key. So a search remembers how
//! much it shares with its left and right neighbour, and compares from the smaller of the two on: keys with long common
//! beginnings cost no more than short ones, and the bytes in front are not even fetched.
//!
//! A batch is inserted in groups of sorted rows. The searches of a group take turns, each fetching the row it will look at
//! next while the others compare: a list larger than the caches costs one memory latency per step of the group instead of
//! one per step of each row.
//!
//! # Why the unsafe code is sound
//!
//! 1. **Lifetime.** Blocks come from the list's own arena, which is dropped with the list. Everything that holds a place
//!    holds the list too: by a borrow ([`Row`]) or by an `Arc` ([`ListCursor`], [`RowValue`]).
//! 2. **Initialisation.** A block is written completely (header, every link of its tower, key, value) before a link to it
//!    is stored with release order; places are learned from links only, loaded with acquire order, or by the writer from
//!    what it has written itself under its lock. So whoever has a place may read the whole block.
//! 3. **No data races.** After that the only writes to a block are to its links, which are atomics.
//! 4. **One writer.** [`ListWriter`] holds the list's lock. Its plain "load, then store" of links loses nothing.
//! 5. **Provenance.** Places are derived from the pointer to the arena's chunk and are never made from a reference, so
//!    they may reach the links in front of and the bytes behind the header.
//! 6. **Towers.** A row is linked on the levels below its height only, so `link(place, level)` of a row that was found on
//!    `level` lies within its block. The head has the greatest height.
#![allow(unsafe_code)]

mod block;
mod cursor;
mod search;
mod writer;

use std::{fmt, marker::PhantomData, ptr::NonNull, sync::Arc};

use stemedb_env::{
    Lsn,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

pub(super) use self::{
    block::NewRow,
    cursor::{ListCursor, Row, RowValue},
    writer::ListWriter,
};
use self::{
    block::{Place, link, write_block},
    search::Search,
    writer::WriteSide,
};
use super::arena::{Arena, ChunkPool};

/// Enough for four to the twelfth rows at one row in four per level.
const MAX_HEIGHT: usize = 12;
/// Rows whose searches take turns: about as many misses as a core keeps in flight.
pub(super) const GROUP: usize = 8;

/// The list. Its rows stay until it is dropped.
pub(super) struct SkipList {
    /// A row without content in front of all others, with all levels.
    head: Place,
    /// Levels in use. Only a hint: links above it are empty for whoever does not see it grow.
    height: AtomicUsize,
    write: Mutex<WriteSide>,
}

// SAFETY: places point into the arena, which moves with the list; see the module's text for sharing.
unsafe impl Send for SkipList {}
// SAFETY: readers follow (1) to (3), the write side is behind a lock (4).
unsafe impl Sync for SkipList {}

impl fmt::Debug for SkipList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SkipList").finish_non_exhaustive()
    }
}

impl SkipList {
    pub(super) fn new(pool: Arc<ChunkPool>) -> SkipList {
        let mut arena = Arena::new(pool);
        // SAFETY: the arena goes into the list.
        let head = unsafe { write_block(&mut arena, NewRow::NOTHING, &[None; MAX_HEIGHT]) };
        let write = WriteSide {
            arena,
            random: 0x9E37_79B9_7F4A_7C15,
            before: [head; MAX_HEIGHT],
            after: [None; MAX_HEIGHT],
        };
        SkipList { head, height: AtomicUsize::new(1), write: Mutex::new(write) }
    }

    /// The right to insert; waits for another writer.
    pub(super) fn writer(&self) -> ListWriter<'_> {
        ListWriter { list: self, side: self.write.lock() }
    }

    fn search(&self, order: Ordering) -> Search {
        let level = self.height.load(Ordering::Relaxed) - 1;
        // SAFETY: the head has all levels.
        let next = NonNull::new(unsafe { link(self.head, level) }.load(order));
        Search { left: self.head, left_shared: 0, right: None, right_shared: 0, level, next }
    }

    /// The first row at or behind a position.
    fn seek(&self, key: &[u8], lsn: Lsn) -> Option<Place> {
        let mut search = self.search(Ordering::Acquire);
        // SAFETY: all places of the search come from this list, which is borrowed.
        while !unsafe { search.descend(Ordering::Acquire, &mut |_, _, _| {}) } {
            // SAFETY: as above.
            unsafe { search.step(key, lsn, Ordering::Acquire) };
        }
        search.next
    }

    /// The first row at or behind a position.
    pub(super) fn find(&self, key: &[u8], lsn: Lsn) -> Option<Row<'_>> {
        self.seek(key, lsn).map(|place| Row { place, list: PhantomData })
    }

    /// The value of the row with exactly this key and the greatest LSN at or below `lsn`: `Some(None)` for a removal.
    pub(super) fn get(self: &Arc<Self>, key: &[u8], lsn: Lsn) -> Option<Option<RowValue>> {
        let place = self.seek(key, lsn)?;
        // SAFETY: a row of this list.
        unsafe { (block::key(place) == key).then(|| RowValue::of(self, place)) }
    }

    /// All rows in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut at = self.head;
        std::iter::from_fn(move || {
            // SAFETY: a row of this list or its head, and every row is linked on level 0.
            at = NonNull::new(unsafe { link(at, 0) }.load(Ordering::Acquire))?;
            Some(Row { place: at, list: PhantomData })
        })
    }
}

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

use std::{cmp::Ordering as Order, fmt, marker::PhantomData, ptr::NonNull, slice, sync::Arc};

use stemedb_env::{
    Lsn,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
};

use super::{
    arena::{ALIGN, Arena, ChunkPool},
    order::compare_from,
};
use crate::prefetch::prefetch;

/// Enough for four to the twelfth rows at one row in four per level.
const MAX_HEIGHT: usize = 12;
/// Rows whose searches take turns: about as many misses as a core keeps in flight.
pub(super) const GROUP: usize = 8;
/// The level whose rows a walk against the order starts from: one in sixteen.
const RUN_LEVEL: usize = 2;
/// Most rows that a walk against the order remembers at once.
const RUN_ROWS: usize = 32;
/// In place of a value's length: a removal.
const REMOVED: u32 = u32::MAX;

#[repr(C)]
struct Header {
    lsn: Lsn,
    value_bytes: u32,
    key_bytes: u16,
    height: u16,
}

type Link = AtomicPtr<Header>;
type Place = NonNull<Header>;

const HEADER_BYTES: usize = size_of::<Header>();
const LINK_BYTES: usize = size_of::<Link>();
const _: () = assert!(align_of::<Link>() <= ALIGN && align_of::<Header>() <= ALIGN);
const _: () = assert!(LINK_BYTES.is_multiple_of(ALIGN) && HEADER_BYTES.is_multiple_of(ALIGN));

/// The link of a row on a level.
///
/// # Safety
///
/// `place` is a row of a living list for all of `'a`, and higher than `level`.
unsafe fn link<'a>(place: Place, level: usize) -> &'a Link {
    // SAFETY: the tower lies in front of the header, in the same block (6), and is initialised (2). Only atomic
    // operations touch it (3).
    unsafe { place.cast::<Link>().sub(level + 1).as_ref() }
}

/// # Safety
///
/// `place` is a row of a living list for all of `'a`.
unsafe fn key<'a>(place: Place) -> &'a [u8] {
    // SAFETY: the key follows the header, in the same block (5), and never changes (2, 3).
    unsafe {
        let bytes = usize::from((*place.as_ptr()).key_bytes);
        slice::from_raw_parts(place.cast::<u8>().add(HEADER_BYTES).as_ptr(), bytes)
    }
}

/// # Safety
///
/// `place` is a row of a living list for all of `'a`.
unsafe fn value<'a>(place: Place) -> Option<&'a [u8]> {
    // SAFETY: as for the key, behind which it lies.
    unsafe {
        let Header { value_bytes, key_bytes, .. } = *place.as_ptr();
        let start = place.cast::<u8>().add(HEADER_BYTES + usize::from(key_bytes));
        (value_bytes != REMOVED).then(|| slice::from_raw_parts(start.as_ptr(), value_bytes as usize))
    }
}

/// # Safety
///
/// `place` is a row of a living list.
unsafe fn lsn(place: Place) -> Lsn {
    // SAFETY: the header never changes (2, 3).
    unsafe { (*place.as_ptr()).lsn }
}

/// Asks for the header of a row and the part of its key that will be compared. A hint: reads nothing.
fn prefetch_row(place: Option<Place>, shared: usize) {
    if let Some(place) = place {
        let start = place.as_ptr().cast::<u8>();
        prefetch(start, 1);
        prefetch(start.wrapping_add(HEADER_BYTES + shared), 1);
    }
}

/// A row to insert.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRow<'a> {
    pub(super) key: &'a [u8],
    pub(super) lsn: Lsn,
    /// `None` = removal.
    pub(super) value: Option<&'a [u8]>,
}

impl NewRow<'_> {
    pub(super) const NOTHING: NewRow<'static> = NewRow { key: &[], lsn: Lsn::ZERO, value: None };
}

/// The list. Its rows stay until it is dropped.
pub(super) struct SkipList {
    /// A row without content in front of all others, with all levels.
    head: Place,
    /// Levels in use. Only a hint: links above it are empty for whoever does not see it grow.
    height: AtomicUsize,
    write: Mutex<WriteSide>,
}

struct WriteSide {
    arena: Arena,
    random: u64,
    /// Between which rows the last one was inserted, per level: `before` is it or in front of it, `after` behind it.
    before: [Place; MAX_HEIGHT],
    after: [Option<Place>; MAX_HEIGHT],
}

// SAFETY: places point into the arena, which moves with the list; see the module's text for sharing.
unsafe impl Send for SkipList {}
// SAFETY: readers follow (1) to (3), the write side is behind a lock (4).
unsafe impl Sync for SkipList {}
// SAFETY: its places point into the arena beside them.
unsafe impl Send for WriteSide {}

impl fmt::Debug for SkipList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SkipList").finish_non_exhaustive()
    }
}

/// Where a search is.
#[derive(Clone, Copy)]
struct Search {
    /// A row before the wanted position, and how many bytes of the wanted key it shares.
    left: Place,
    left_shared: usize,
    /// The first row found at or behind the position, and the same of it.
    right: Option<Place>,
    right_shared: usize,
    level: usize,
    /// The row behind `left` on `level`.
    next: Option<Place>,
}

impl Search {
    /// Descends past the levels that have nothing between `left` and `right`, then asks for the next row to look at.
    /// True when the lowest level is done. `passed` is told the neighbours on each level left.
    ///
    /// # Safety
    ///
    /// The search's places are rows of a living list, or its head.
    unsafe fn descend(
        &mut self,
        order: Ordering,
        passed: &mut impl FnMut(usize, Place, Option<Place>),
    ) -> bool {
        while self.next.is_none() || self.next == self.right {
            passed(self.level, self.left, self.next);
            if self.level == 0 {
                return true;
            }
            self.level -= 1;
            // SAFETY: `left` was reached on a higher level than this one.
            self.next = NonNull::new(unsafe { link(self.left, self.level) }.load(order));
        }
        let shared = self.left_shared.min(self.right_shared);
        prefetch_row(self.next, shared);
        if let Some(below) = self.level.checked_sub(1) {
            // What comes next if this one is too far; the link lies beside the one just read.
            // SAFETY: as above.
            prefetch_row(NonNull::new(unsafe { link(self.left, below) }.load(Ordering::Relaxed)), shared);
        }
        false
    }

    /// Moves behind the next row, whatever it is.
    ///
    /// # Safety
    ///
    /// As for [`Search::step`].
    unsafe fn pass(&mut self, order: Ordering) {
        let Some(next) = self.next else { return };
        self.left = next;
        // SAFETY: `next` was reached on this level.
        self.next = NonNull::new(unsafe { link(next, self.level) }.load(order));
    }

    /// Compares the next row with the wanted position and moves one of the two neighbours.
    ///
    /// # Safety
    ///
    /// As for [`Search::descend`], which must have returned false.
    unsafe fn step(&mut self, wanted: &[u8], wanted_lsn: Lsn, order: Ordering) {
        let Some(next) = self.next else { return };
        let skip = self.left_shared.min(self.right_shared);
        // SAFETY: `next` was loaded from a link.
        let (keys, shared) = compare_from(unsafe { key(next) }, wanted, skip);
        // SAFETY: as above.
        let is_before = keys.then_with(|| wanted_lsn.cmp(&unsafe { lsn(next) })) == Order::Less;
        if is_before {
            (self.left, self.left_shared) = (next, shared);
            // SAFETY: `next` was reached on this level.
            self.next = NonNull::new(unsafe { link(next, self.level) }.load(order));
        } else {
            (self.right, self.right_shared) = (Some(next), shared);
        }
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
        unsafe { (self::key(place) == key).then(|| RowValue::of(self, place)) }
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

/// Writes a block for a row that will be linked to `after`; its height is the length of `after`.
///
/// # Safety
///
/// The arena must be dropped after the last use of the place.
unsafe fn write_block(arena: &mut Arena, row: NewRow<'_>, after: &[Option<Place>]) -> Place {
    let tower = after.len() * LINK_BYTES;
    let value_bytes = row.value.map_or(0, <[u8]>::len);
    // The owner has checked the sizes: keys of 8 KiB, values of 16 MiB at most.
    let key_bytes = u16::try_from(row.key.len());
    let value_length = row.value.map_or(Ok(REMOVED), |value| u32::try_from(value.len()));
    let (Ok(key_bytes), Ok(value_length), Ok(height)) = (key_bytes, value_length, u16::try_from(after.len()))
    else {
        panic!("a row of {} and {value_bytes} bytes", row.key.len())
    };
    let block = arena.block(tower + HEADER_BYTES + row.key.len() + value_bytes);
    // SAFETY: the block is ours alone and large enough for what is written, one behind the other: links, header, key,
    // value. It is aligned for links and header, whose sizes are multiples of the alignment. The sources are borrowed
    // memory and do not overlap with it.
    unsafe {
        let place = block.add(tower).cast::<Header>();
        for (level, after) in after.iter().enumerate() {
            let target = after.map_or(std::ptr::null_mut(), NonNull::as_ptr);
            place.cast::<Link>().sub(level + 1).write(Link::new(target));
        }
        place.write(Header { lsn: row.lsn, value_bytes: value_length, key_bytes, height });
        let bytes = place.cast::<u8>().add(HEADER_BYTES);
        bytes.copy_from_nonoverlapping(NonNull::from(row.key).cast(), row.key.len());
        if let Some(value) = row.value {
            bytes.add(row.key.len()).copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
        place
    }
}

/// The one who may insert.
pub(super) struct ListWriter<'a> {
    list: &'a SkipList,
    side: MutexGuard<'a, WriteSide>,
}

impl ListWriter<'_> {
    /// Bytes of all chunks of the list.
    pub(super) fn held_bytes(&self) -> usize {
        self.side.arena.held_bytes()
    }

    /// Inserts up to [`GROUP`] rows, which must be in the list's order and all different; a row whose key and LSN are in
    /// the list already is left out. Returns how many were inserted.
    pub(super) fn insert(&mut self, rows: &[NewRow<'_>]) -> usize {
        let Some((first, last)) = rows.first().zip(rows.last()) else { return 0 };
        debug_assert!(rows.len() <= GROUP && rows.is_sorted_by(|a, b| is_before(a, b)));
        if self.fit_behind_the_last(first, last) {
            rows.iter().for_each(|row| self.link_in(row));
            return rows.len();
        }
        let head = self.list.head;
        let mut before = [[head; MAX_HEIGHT]; GROUP];
        let mut after = [[None; MAX_HEIGHT]; GROUP];
        // Only this writer stores links: it reads its own stores.
        let mut searches = [self.list.search(Ordering::Relaxed); GROUP];
        let mut is_open = [true; GROUP];
        let mut open = rows.len();
        let mut is_first_turn = true;
        while open > 0 {
            for ((turn, search), row) in searches.iter_mut().enumerate().zip(rows) {
                if !is_open[turn] {
                    continue;
                }
                let (before, after) = (&mut before[turn], &mut after[turn]);
                let mut passed = |level: usize, left: Place, right: Option<Place>| {
                    before[level] = left;
                    after[level] = right;
                };
                // SAFETY: all places of the search come from this list, which is borrowed.
                unsafe {
                    if !is_first_turn {
                        search.step(row.key, row.lsn, Ordering::Relaxed);
                    }
                    if search.descend(Ordering::Relaxed, &mut passed) {
                        is_open[turn] = false;
                        open -= 1;
                    }
                }
            }
            is_first_turn = false;
        }
        let mut inserted = 0;
        for (turn, row) in rows.iter().enumerate() {
            let exists = searches[turn].next.is_some_and(|next| {
                // SAFETY: a row of this list.
                unsafe { lsn(next) == row.lsn && key(next) == row.key }
            });
            if exists {
                continue;
            }
            // Rows of this group that went in meanwhile are before this one, and may be behind `before`.
            for level in 0..MAX_HEIGHT {
                let (mut left, right) = (before[turn][level], after[turn][level]);
                loop {
                    // SAFETY: `left` was reached on this level.
                    let next = NonNull::new(unsafe { link(left, level) }.load(Ordering::Relaxed));
                    match next {
                        Some(next) if Some(next) != right => left = next,
                        _ => break,
                    }
                }
                self.side.before[level] = left;
                self.side.after[level] = right;
            }
            self.link_in(row);
            inserted += 1;
        }
        inserted
    }

    /// True if nothing lies between the row inserted last and `first`, nor between `first` and `last`.
    fn fit_behind_the_last(&self, first: &NewRow<'_>, last: &NewRow<'_>) -> bool {
        let (left, right) = (self.side.before[0], self.side.after[0]);
        // SAFETY: rows of this list, or its head, which is not compared.
        unsafe {
            (left == self.list.head || precedes(left, first))
                && right.is_none_or(|right| follows(right, last))
        }
    }

    /// Links a row in between the neighbours on the write side, and makes it their left one.
    fn link_in(&mut self, row: &NewRow<'_>) {
        let side = &mut *self.side;
        let height = random_height(&mut side.random);
        let known = self.list.height.load(Ordering::Relaxed);
        if height > known {
            // On the levels that come into use now, the head is in front of everything.
            self.list.height.store(height, Ordering::Relaxed);
        }
        // SAFETY: the arena lives as long as the list, and so as everyone who can learn of the place.
        let place = unsafe { write_block(&mut side.arena, *row, &side.after[..height]) };
        for (level, before) in side.before[..height].iter_mut().enumerate() {
            // SAFETY: `before` is linked on this level, or the head.
            // Release: whoever loads the link sees the block. From below: a row that is found on a level can be
            // found on every level under it.
            unsafe { link(*before, level) }.store(place.as_ptr(), Ordering::Release);
            *before = place;
        }
    }
}

fn is_before(a: &NewRow<'_>, b: &NewRow<'_>) -> bool {
    a.key.cmp(b.key).then_with(|| b.lsn.cmp(&a.lsn)) == Order::Less
}

/// # Safety
///
/// `place` is a row of a living list.
unsafe fn precedes(place: Place, row: &NewRow<'_>) -> bool {
    // SAFETY: the caller's.
    unsafe { key(place).cmp(row.key).then_with(|| row.lsn.cmp(&lsn(place))) == Order::Less }
}

/// # Safety
///
/// `place` is a row of a living list.
unsafe fn follows(place: Place, row: &NewRow<'_>) -> bool {
    // SAFETY: the caller's.
    unsafe { key(place).cmp(row.key).then_with(|| row.lsn.cmp(&lsn(place))) == Order::Greater }
}

/// One row in four has one level more. Always the same sequence: a run of the simulation can be repeated.
fn random_height(state: &mut u64) -> usize {
    // xorshift64*, Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D);
    (1 + bits.leading_zeros() as usize / 2).min(MAX_HEIGHT)
}

/// A row of a borrowed list.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    place: Place,
    list: PhantomData<&'a SkipList>,
}

impl<'a> Row<'a> {
    pub(super) fn key(&self) -> &'a [u8] {
        // SAFETY: the list is borrowed for `'a`.
        unsafe { key(self.place) }
    }

    pub(super) fn lsn(&self) -> Lsn {
        // SAFETY: as above.
        unsafe { lsn(self.place) }
    }

    /// `None` for a removal.
    pub(super) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { value(self.place) }
    }
}

/// The value of a row, with the list that it lies in.
#[derive(Clone)]
pub(super) struct RowValue {
    _list: Arc<SkipList>,
    start: NonNull<u8>,
    bytes: u32,
}

// SAFETY: the value is never written again, and the list may be dropped on any thread.
unsafe impl Send for RowValue {}
// SAFETY: as above.
unsafe impl Sync for RowValue {}

impl RowValue {
    /// `None` for a removal.
    ///
    /// # Safety
    ///
    /// `place` is a row of `list`.
    unsafe fn of(list: &Arc<SkipList>, place: Place) -> Option<RowValue> {
        // SAFETY: the caller's, and the list is borrowed.
        let value = unsafe { value(place) }?;
        let bytes = u32::try_from(value.len()).ok()?;
        // SAFETY: the value starts behind the key, within the block. The pointer comes from the place and not from the
        // slice, so that it does not depend on a borrow.
        let start =
            unsafe { place.cast::<u8>().add(HEADER_BYTES + usize::from((*place.as_ptr()).key_bytes)) };
        Some(RowValue { _list: Arc::clone(list), start, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes belong to a row of the list that is held, and never change.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes as usize) }
    }
}

/// A place in a list that is held, moved either way.
pub(super) struct ListCursor {
    list: Arc<SkipList>,
    at: Option<Place>,
    /// Rows in front of `at`, nearest last. Found by walking forward, because links point nowhere else.
    run: Option<Box<Run>>,
}

#[derive(Debug)]
struct Run {
    rows: [Option<Place>; RUN_ROWS],
    /// Rows ever added and taken; the buffer is a ring.
    added: usize,
    left: usize,
}

impl Run {
    fn push(&mut self, place: Place) {
        self.rows[self.added % RUN_ROWS] = Some(place);
        self.added += 1;
        self.left = (self.left + 1).min(RUN_ROWS);
    }

    fn pop(&mut self) -> Option<Place> {
        self.left = self.left.checked_sub(1)?;
        self.added -= 1;
        self.rows[self.added % RUN_ROWS]
    }
}

// SAFETY: its places are rows of the list that it holds.
unsafe impl Send for ListCursor {}
// SAFETY: a shared cursor only reads rows.
unsafe impl Sync for ListCursor {}

impl fmt::Debug for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListCursor").finish_non_exhaustive()
    }
}

impl ListCursor {
    pub(super) fn new(list: Arc<SkipList>) -> ListCursor {
        ListCursor { list, at: None, run: None }
    }

    /// Moves to the first row at or behind a position.
    pub(super) fn seek(&mut self, key: &[u8], lsn: Lsn) {
        self.at = self.list.seek(key, lsn);
    }

    /// Moves to the last row before a position; before the end for `None`.
    pub(super) fn seek_before(&mut self, position: Option<(&[u8], Lsn)>) {
        let run = self.run.get_or_insert_with(|| Box::new(Run { rows: [None; RUN_ROWS], added: 0, left: 0 }));
        (run.added, run.left) = (0, 0);
        let mut search = self.list.search(Ordering::Acquire);
        let mut start = search.left;
        let mut passed = |level: usize, left: Place, _: Option<Place>| {
            if level >= RUN_LEVEL {
                start = left;
            }
        };
        // SAFETY: all places of the search come from this list, which is held.
        while !unsafe { search.descend(Ordering::Acquire, &mut passed) } {
            match position {
                // SAFETY: as above.
                Some((key, lsn)) => unsafe { search.step(key, lsn, Ordering::Acquire) },
                // SAFETY: as above; no row is at or behind the end.
                None => unsafe { search.pass(Ordering::Acquire) },
            }
        }
        // From the row of a higher level up to the place found. Rows that go in meanwhile may be seen or not.
        let mut row = start;
        loop {
            if row != self.list.head {
                run.push(row);
            }
            if row == search.left {
                break;
            }
            // SAFETY: a row of this list, or its head.
            let next = NonNull::new(unsafe { link(row, 0) }.load(Ordering::Acquire));
            match next {
                Some(next) => row = next,
                None => break,
            }
        }
        self.at = run.pop();
    }

    /// Moves on; stays without a row at the end.
    pub(super) fn next(&mut self) {
        // SAFETY: a row of the list that is held; every row is linked on level 0.
        self.at = self.at.and_then(|at| NonNull::new(unsafe { link(at, 0) }.load(Ordering::Acquire)));
    }

    /// Moves back, after [`ListCursor::seek_before`]; stays without a row in front of the first.
    pub(super) fn previous(&mut self) {
        let Some(at) = self.at else { return };
        match self.run.as_mut().and_then(|run| run.pop()) {
            Some(place) => self.at = Some(place),
            // SAFETY: a row of the list that is held during the call.
            None => self.seek_before(Some(unsafe { (key(at), lsn(at)) })),
        }
    }

    pub(super) fn row(&self) -> Option<Row<'_>> {
        self.at.map(|place| Row { place, list: PhantomData })
    }

    pub(super) fn pinned(&self) -> Option<RowValue> {
        let at = self.at?;
        // SAFETY: `at` is a row of the list.
        unsafe { RowValue::of(&self.list, at) }
    }
}

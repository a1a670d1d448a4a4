//! What readers hold: a row of a borrowed list, a value, a place that moves. See the module's text for what makes this sound.
#![allow(unsafe_code)]

use std::{fmt, marker::PhantomData, ptr::NonNull, slice, sync::Arc};

use stemedb_env::{Lsn, sync::atomic::Ordering};

use super::{
    SkipList,
    block::{HEADER_BYTES, Place, key, link, lsn, value},
};

/// The level whose rows a walk against the order starts from: one in sixteen.
const RUN_LEVEL: usize = 2;
/// Most rows that a walk against the order remembers at once.
const RUN_ROWS: usize = 32;

/// A row of a borrowed list.
#[derive(Clone, Copy)]
pub(in crate::memtable) struct Row<'a> {
    pub(super) place: Place,
    pub(super) list: PhantomData<&'a SkipList>,
}

impl<'a> Row<'a> {
    pub(in crate::memtable) fn key(&self) -> &'a [u8] {
        // SAFETY: the list is borrowed for `'a`.
        unsafe { key(self.place) }
    }

    pub(in crate::memtable) fn lsn(&self) -> Lsn {
        // SAFETY: as above.
        unsafe { lsn(self.place) }
    }

    /// `None` for a removal.
    pub(in crate::memtable) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { value(self.place) }
    }
}

/// The value of a row, with the list that it lies in.
#[derive(Clone)]
pub(in crate::memtable) struct RowValue {
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
    pub(super) unsafe fn of(list: &Arc<SkipList>, place: Place) -> Option<RowValue> {
        // SAFETY: the caller's, and the list is borrowed.
        let value = unsafe { value(place) }?;
        let bytes = u32::try_from(value.len()).ok()?;
        // SAFETY: the value starts behind the key, within the block. The pointer comes from the place and not from the
        // slice, so that it does not depend on a borrow.
        let start =
            unsafe { place.cast::<u8>().add(HEADER_BYTES + usize::from((*place.as_ptr()).key_bytes)) };
        Some(RowValue { _list: Arc::clone(list), start, bytes })
    }

    pub(in crate::memtable) fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes belong to a row of the list that is held, and never change.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes as usize) }
    }
}

/// A place in a list that is held, moved either way.
pub(in crate::memtable) struct ListCursor {
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
    pub(in crate::memtable) fn new(list: Arc<SkipList>) -> ListCursor {
        ListCursor { list, at: None, run: None }
    }

    /// Moves to the first row at or behind a position.
    pub(in crate::memtable) fn seek(&mut self, key: &[u8], lsn: Lsn) {
        self.at = self.list.seek(key, lsn);
    }

    /// Moves to the last row before a position; before the end for `None`.
    pub(in crate::memtable) fn seek_before(&mut self, position: Option<(&[u8], Lsn)>) {
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
    pub(in crate::memtable) fn next(&mut self) {
        // SAFETY: a row of the list that is held; every row is linked on level 0.
        self.at = self.at.and_then(|at| NonNull::new(unsafe { link(at, 0) }.load(Ordering::Acquire)));
    }

    /// Moves back, after [`ListCursor::seek_before`]; stays without a row in front of the first.
    pub(in crate::memtable) fn previous(&mut self) {
        let Some(at) = self.at else { return };
        match self.run.as_mut().and_then(|run| run.pop()) {
            Some(place) => self.at = Some(place),
            // SAFETY: a row of the list that is held during the call.
            None => self.seek_before(Some(unsafe { (key(at), lsn(at)) })),
        }
    }

    pub(in crate::memtable) fn row(&self) -> Option<Row<'_>> {
        self.at.map(|place| Row { place, list: PhantomData })
    }

    pub(in crate::memtable) fn pinned(&self) -> Option<RowValue> {
        let at = self.at?;
        // SAFETY: `at` is a row of the list.
        unsafe { RowValue::of(&self.list, at) }
    }
}

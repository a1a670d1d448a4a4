//! Rows in memory, in the order in which they came, and a sorted list of their places.

use std::{cmp::Ordering, cmp::Reverse};

use stemedb_env::Lsn;

use crate::{Result, SortedRows, Versions, memtable::Sorter, prefetch::prefetch};

/// Where a row lies: its key, then its value.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    lsn: Lsn,
    /// `u32::MAX` = removal.
    value_bytes: u32,
    key_bytes: u16,
}

/// What sorting needs per row: an item of the sorter and a place in the order.
const SORT_BYTES: usize = 16 + 4;
/// Rows whose bytes are asked for ahead of the one that is shown.
const AHEAD: usize = 8;
/// Of each, so many bytes: most rows are not longer.
const AHEAD_BYTES: usize = 128;

/// The rows. Its memory is kept when it is emptied.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    order: Vec<u32>,
    sorter: Sorter,
}

impl Buffer {
    /// Adds a row whose sizes have been checked.
    pub(super) fn add(&mut self, key: &[u8], lsn: Lsn, value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries.push(Entry {
            start,
            lsn,
            value_bytes: value.map_or(u32::MAX, |value| u32::try_from(value.len()).unwrap_or(u32::MAX)),
            key_bytes: u16::try_from(key.len()).unwrap_or(u16::MAX),
        });
    }

    /// Bytes in use, with those that sorting will need. More rows than can be counted are as good as too many bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let rows = self.entries.len();
        if rows >= u32::MAX as usize {
            return usize::MAX;
        }
        self.bytes.len() + rows * (size_of::<Entry>() + SORT_BYTES)
    }

    /// Bytes asked for.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.order.capacity() * size_of::<u32>()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.order.clear();
    }

    fn entry(&self, at: u32) -> Entry {
        let nothing = Entry { start: 0, lsn: Lsn::ZERO, value_bytes: u32::MAX, key_bytes: 0 };
        self.entries.get(at as usize).copied().unwrap_or(nothing)
    }

    fn key(&self, at: u32) -> &[u8] {
        key_of(&self.bytes, self.entry(at))
    }

    /// Sorts by key, and rows of one key from the last added to the first.
    pub(super) fn sort(&mut self) {
        let Buffer { bytes, entries, order, sorter } = self;
        let rows = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        order.clear();
        order.extend(
            sorter.sort(rows, &|at| entries.get(at as usize).map_or(&[], |entry| key_of(bytes, *entry))),
        );
    }
}

fn key_of(bytes: &[u8], entry: Entry) -> &[u8] {
    bytes.get(entry.start..entry.start + usize::from(entry.key_bytes)).unwrap_or_default()
}

/// The rows of a sorted buffer in table order, without those that are superseded.
#[derive(Debug)]
pub(super) struct BufferCursor<'a> {
    buffer: &'a mut Buffer,
    versions: Versions,
    /// Place of the row behind the current one in the order.
    next: usize,
    /// End of the rows that have the current key.
    group_end: usize,
    row: Option<Entry>,
}

impl<'a> BufferCursor<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, versions: Versions) -> BufferCursor<'a> {
        BufferCursor { buffer, versions, next: 0, group_end: 0, row: None }
    }

    /// Finds the rows that have the key of the row at `next`, and puts them in order.
    fn begin_group(&mut self) {
        let buffer = &mut *self.buffer;
        let Some(first) = buffer.order.get(self.next).copied() else { return };
        let key = buffer.key(first);
        let rest = buffer.order.get(self.next + 1..).unwrap_or_default();
        let same = rest.iter().take_while(|at| buffer.key(**at).cmp(key) == Ordering::Equal).count();
        self.group_end = self.next + 1 + same;
        let Buffer { entries, order, .. } = buffer;
        if same > 0
            && let Some(group) = order.get_mut(self.next..self.group_end)
        {
            // Stable: of one LSN the row that was added last stays in front.
            group.sort_by_key(|at| Reverse(entries.get(*at as usize).map_or(Lsn::ZERO, |entry| entry.lsn)));
        }
    }
}

impl SortedRows for BufferCursor<'_> {
    fn advance(&mut self) -> Result<bool> {
        let before = self.row.take();
        if self.next < self.group_end {
            if self.versions == Versions::Newest {
                self.next = self.group_end;
            }
            let is_superseded =
                |at: u32| before.is_some_and(|before| before.lsn == self.buffer.entry(at).lsn);
            while self.next < self.group_end
                && self.buffer.order.get(self.next).is_some_and(|at| is_superseded(*at))
            {
                self.next += 1;
            }
        }
        if self.next >= self.group_end {
            self.begin_group();
        }
        let Some(at) = self.buffer.order.get(self.next) else { return Ok(false) };
        self.row = Some(self.buffer.entry(*at));
        if let Some(ahead) = self.buffer.order.get(self.next + AHEAD) {
            let start = self.buffer.entry(*ahead).start;
            prefetch(self.buffer.bytes.as_ptr().wrapping_add(start), AHEAD_BYTES);
        }
        self.next += 1;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        self.row.map_or(&[], |row| key_of(&self.buffer.bytes, row))
    }

    fn lsn(&self) -> Lsn {
        self.row.map_or(Lsn::ZERO, |row| row.lsn)
    }

    fn value(&self) -> Option<&[u8]> {
        let row = self.row.filter(|row| row.value_bytes != u32::MAX)?;
        let start = row.start + usize::from(row.key_bytes);
        self.buffer.bytes.get(start..start + row.value_bytes as usize)
    }
}

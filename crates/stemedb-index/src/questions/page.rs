//! Pages: how much goes into one, and where it ended.

use stemedb_lsm::KeyRange;

use crate::{Error, Position, Result};

/// Where a page ended. Made by listings; whoever keeps one gives it back as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last key that was read, or the beginning that the keys of its group share.
    pub key: Vec<u8>,
    /// Of a group whose claims were not all listed: the position of the last one that was read.
    pub inside: Option<Position>,
}

/// How much one page may hold, and how much may be read for it. Each at least one thing, so that every page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Items.
    pub items: usize,
    /// Bytes of the rows of the items.
    pub bytes: usize,
    /// Rows that are read, whether they give an item or not. A question is summed up whole, whatever that takes.
    pub rows: usize,
}

impl PageLimits {
    /// At most so many items, 4 MiB of them, and 100,000 rows.
    pub fn of_items(items: usize) -> PageLimits {
        PageLimits { items, bytes: 4 << 20, rows: 100_000 }
    }
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds. May be empty although there is more: then much was read that is not listed.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end of the listing.
    pub after: Option<Mark>,
}

/// A page being filled.
pub(super) struct Filling<T> {
    items: Vec<T>,
    limits: PageLimits,
    bytes: usize,
    rows: usize,
    /// The last key that is done with.
    mark: Vec<u8>,
}

impl<T> Filling<T> {
    pub(super) fn new(limits: PageLimits) -> Filling<T> {
        Filling { items: Vec::new(), limits, bytes: 0, rows: 0, mark: Vec::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        (self.items.len() < self.limits.items
            && self.bytes < self.limits.bytes
            && self.rows < self.limits.rows)
            || self.rows == 0
    }

    /// A row was read.
    pub(super) fn read(&mut self) {
        self.rows += 1;
    }

    pub(super) fn push(&mut self, item: T, bytes: usize) {
        self.items.push(item);
        self.bytes += bytes;
    }

    /// Everything up to a key, or up to the end of a group, is done with.
    pub(super) fn done_with(&mut self, key: &[u8]) {
        self.mark.clear();
        self.mark.extend_from_slice(key);
    }

    /// There is nothing more.
    pub(super) fn ended(self) -> Page<T> {
        Page { items: self.items, after: None }
    }

    /// There may be more, behind what is done with.
    pub(super) fn full(self) -> Page<T> {
        Page { items: self.items, after: Some(Mark { key: self.mark, inside: None }) }
    }

    /// There may be more in a group, behind one of its claims.
    pub(super) fn full_inside(self, group: Vec<u8>, last: Position) -> Page<T> {
        Page { items: self.items, after: Some(Mark { key: group, inside: Some(last) }) }
    }
}

/// What is left of a range behind a mark that stands for one key.
pub(super) fn behind_key(range: KeyRange, after: Option<&Mark>) -> Result<KeyRange> {
    let Some(mark) = inside_of(&range, after)? else { return Ok(range) };
    let mut start = mark.key.clone();
    start.push(0);
    from(start, range)
}

/// What is left of a range behind all keys that begin as a mark does.
pub(super) fn behind_group(range: KeyRange, after: Option<&Mark>) -> Result<KeyRange> {
    let Some(mark) = inside_of(&range, after)? else { return Ok(range) };
    // A key begins with a tag byte, so something always follows its group.
    let start = KeyRange::prefix(mark.key.as_slice()).end.ok_or(Error::ForeignMark)?;
    from(start, range)
}

fn from(start: Vec<u8>, range: KeyRange) -> Result<KeyRange> {
    if range.end.as_ref().is_some_and(|end| start > *end) {
        return Err(Error::ForeignMark);
    }
    Ok(KeyRange { start, ..range })
}

/// The mark, which must lie in the range: it came from outside.
fn inside_of<'a>(range: &KeyRange, after: Option<&'a Mark>) -> Result<Option<&'a Mark>> {
    match after {
        Some(mark) if !range.contains(&mark.key) => Err(Error::ForeignMark),
        after => Ok(after),
    }
}

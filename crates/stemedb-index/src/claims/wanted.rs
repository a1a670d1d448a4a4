//! Which rows of an entry are wanted, told before they are built.

use std::{cmp::Ordering, ops::RangeInclusive};

use stemedb_lsm::WriteBatch;

use crate::keys::Family;

/// Chooses rows.
pub(super) trait Wanted {
    /// False only if no key of the family that begins with these parts, one behind the other, is wanted. The parts are without
    /// the family's tag.
    fn starts(&self, family: Family, parts: &[&[u8]]) -> bool;

    /// Appends a row if its key is wanted.
    fn put<V: AsRef<[u8]>>(&self, rows: &mut WriteBatch, key: &[u8], value: impl FnOnce() -> V);
}

/// Every row.
pub(super) struct Everything;

impl Wanted for Everything {
    #[inline(always)]
    fn starts(&self, _family: Family, _parts: &[&[u8]]) -> bool {
        true
    }

    #[inline(always)]
    fn put<V: AsRef<[u8]>>(&self, rows: &mut WriteBatch, key: &[u8], value: impl FnOnce() -> V) {
        rows.put(key, value().as_ref());
    }
}

/// What a span has of a family: the borders without the tag. `None` = all keys on that side.
#[derive(Clone, Copy, Debug)]
struct Borders<'a> {
    first: Option<&'a [u8]>,
    last: Option<&'a [u8]>,
}

/// The rows with keys of a span.
pub(super) struct Within<'a> {
    keys: &'a RangeInclusive<&'a [u8]>,
    /// By tag; `None` where the span has no key.
    families: [Option<Borders<'a>>; TAGS],
}

/// Tags are less than this.
const TAGS: usize = 16;

impl<'a> Within<'a> {
    pub(super) fn of(keys: &'a RangeInclusive<&'a [u8]>) -> Within<'a> {
        let mut families = [None; TAGS];
        for family in Family::ALL {
            let tag = family as u8;
            let first = match keys.start().split_first() {
                Some((first, _)) if *first > tag => continue,
                Some((first, rest)) if *first == tag => Some(rest),
                _ => None,
            };
            let last = match keys.end().split_first() {
                Some((last, _)) if *last > tag => None,
                Some((last, rest)) if *last == tag => Some(rest),
                // It ends before the family, or is the empty key.
                _ => continue,
            };
            families[usize::from(tag)] = Some(Borders { first, last });
        }
        Within { keys, families }
    }
}

/// Compares the beginning of a key, which is given in parts, with as much of a border: `Equal` if one goes on with the other.
fn compare_start(parts: &[&[u8]], border: &[u8]) -> Ordering {
    let mut rest = border;
    for part in parts {
        let common = part.len().min(rest.len());
        let (border, behind) = rest.split_at(common);
        match part[..common].cmp(border) {
            Ordering::Equal if common == part.len() => rest = behind,
            // Here the border ends.
            different_or_end => return different_or_end,
        }
    }
    Ordering::Equal
}

impl Wanted for Within<'_> {
    #[inline]
    fn starts(&self, family: Family, parts: &[&[u8]]) -> bool {
        let Some(Borders { first, last }) = self.families[family as usize] else { return false };
        first.is_none_or(|first| compare_start(parts, first).is_ge())
            && last.is_none_or(|last| compare_start(parts, last).is_le())
    }

    #[inline]
    fn put<V: AsRef<[u8]>>(&self, rows: &mut WriteBatch, key: &[u8], value: impl FnOnce() -> V) {
        if self.keys.contains(&key) {
            rows.put(key, value().as_ref());
        }
    }
}

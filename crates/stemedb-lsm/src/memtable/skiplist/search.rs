//! The way of one search through the levels. See the module's text for what makes this sound.
#![allow(unsafe_code)]

use std::{cmp::Ordering as Order, ptr::NonNull};

use stemedb_env::{Lsn, sync::atomic::Ordering};

use super::block::{Place, key, link, lsn, prefetch_row};
use crate::memtable::order::compare_from;

/// Where a search is.
#[derive(Clone, Copy)]
pub(super) struct Search {
    /// A row before the wanted position, and how many bytes of the wanted key it shares.
    pub(super) left: Place,
    pub(super) left_shared: usize,
    /// The first row found at or behind the position, and the same of it.
    pub(super) right: Option<Place>,
    pub(super) right_shared: usize,
    pub(super) level: usize,
    /// The row behind `left` on `level`.
    pub(super) next: Option<Place>,
}

impl Search {
    /// Descends past the levels that have nothing between `left` and `right`, then asks for the next row to look at.
    /// True when the lowest level is done. `passed` is told the neighbours on each level left.
    ///
    /// # Safety
    ///
    /// The search's places are rows of a living list, or its head.
    #[inline]
    pub(super) unsafe fn descend(
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
    #[inline]
    pub(super) unsafe fn pass(&mut self, order: Ordering) {
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
    #[inline]
    pub(super) unsafe fn step(&mut self, wanted: &[u8], wanted_lsn: Lsn, order: Ordering) {
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

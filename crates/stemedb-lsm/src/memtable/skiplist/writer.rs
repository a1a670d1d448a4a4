//! Inserting, a group of sorted rows at a time. See the module's text for what makes this sound.
#![allow(unsafe_code)]

use std::{cmp::Ordering as Order, ptr::NonNull};

use stemedb_env::sync::{MutexGuard, atomic::Ordering};

use super::{
    GROUP, MAX_HEIGHT, SkipList,
    block::{NewRow, Place, key, link, lsn, write_block},
};
use crate::memtable::arena::Arena;

pub(super) struct WriteSide {
    pub(super) arena: Arena,
    pub(super) random: u64,
    /// Between which rows the last one was inserted, per level: `before` is it or in front of it, `after` behind it.
    pub(super) before: [Place; MAX_HEIGHT],
    pub(super) after: [Option<Place>; MAX_HEIGHT],
}

// SAFETY: its places point into the arena beside them.
unsafe impl Send for WriteSide {}

/// The one who may insert.
pub(in crate::memtable) struct ListWriter<'a> {
    pub(super) list: &'a SkipList,
    pub(super) side: MutexGuard<'a, WriteSide>,
}

impl ListWriter<'_> {
    /// Bytes of all chunks of the list.
    pub(in crate::memtable) fn held_bytes(&self) -> usize {
        self.side.arena.held_bytes()
    }

    /// Inserts up to [`GROUP`] rows, which must be in the list's order and all different; a row whose key and LSN are in
    /// the list already is left out. Returns how many were inserted.
    pub(in crate::memtable) fn insert(&mut self, rows: &[NewRow<'_>]) -> usize {
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

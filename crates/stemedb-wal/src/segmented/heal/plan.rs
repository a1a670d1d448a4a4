//! Which frames may have stood in a hole.
//!
//! The entries are known, and the length. Where one group ended and the next one began is not, nor where markers stood.
//! Headers of frames that are whole inside of the hole tell; so do times, since all entries of a group are recorded at once,
//! and a marker is written after a pause. What remains is tried; every trial is checked by the chain value behind the hole.

use std::{collections::BTreeSet, ops::Range};

use stemedb_env::{Lsn, frame::frame_bytes};

use super::spool::Spool;
use crate::{
    MAX_GROUP_BYTES, Result,
    segment::{COMPRESS_FROM_BYTES, KIND_GROUP, KIND_MARKER, pack},
};

/// Trials per hole.
const MAX_PLANS: usize = 4096;
/// With more groups than this, pairs of markers are only put where the pauses say.
const MAX_GROUPS_FOR_PAIRS: usize = 48;

/// One frame of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Spec {
    Group(GroupSpec),
    Marker { closed: bool },
}

/// Entries by their places in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct GroupSpec {
    pub start: usize,
    pub end: usize,
    /// LZ4 where that is smaller by an eighth.
    pub packs: bool,
}

impl GroupSpec {
    pub fn entries(&self) -> Range<usize> {
        self.start..self.end
    }
}

pub(super) type Plan = Vec<Spec>;

/// What the first bytes of a frame in the hole say. Not verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hint {
    pub offset: u64,
    pub bytes: u64,
    pub kind: u8,
    pub flags: u16,
    pub first_lsn: Lsn,
    pub count: u32,
}

/// A hole to be filled.
pub(super) struct Planner<'a> {
    pub spool: &'a Spool,
    /// Its entries.
    pub entries: Range<usize>,
    /// LSN of the first of them.
    pub first: Lsn,
    /// The bytes to be filled, behind a header if it begins with one.
    pub bytes: Range<u64>,
    pub sector: u64,
    /// It reaches to the end of the segment: the marker of a close may stand there.
    pub is_last: bool,
}

/// A part of the hole that hints tell, or that they leave open.
enum Part {
    Fixed(Spec),
    Open { bytes: u64, entries: Range<usize> },
}

impl Planner<'_> {
    /// Plans that fill the hole exactly, the likeliest first, without repetition.
    pub fn plans(&self, hints: &[Hint]) -> Result<Vec<Plan>> {
        let whole =
            || vec![Part::Open { bytes: self.bytes.end - self.bytes.start, entries: self.entries.clone() }];
        let mut plans = Vec::new();
        let mut seen = BTreeSet::new();
        let hinted = self.parts(hints);
        let trials = hinted.into_iter().chain([whole()]);
        for parts in trials {
            for packs in [false, true] {
                for plan in self.expand(&parts, packs)? {
                    if seen.insert(plan.clone()) {
                        plans.push(plan);
                    }
                }
            }
        }
        plans.truncate(MAX_PLANS);
        Ok(plans)
    }

    /// The hole as the hints divide it; `None` if they say nothing.
    fn parts(&self, hints: &[Hint]) -> Option<Vec<Part>> {
        let (mut at, mut entry) = (self.bytes.start, self.entries.start);
        let mut parts = Vec::new();
        for hint in hints.iter().filter(|hint| hint.bytes > 0 && hint.bytes.is_multiple_of(self.sector)) {
            if hint.offset < at || hint.offset.saturating_add(hint.bytes) > self.bytes.end {
                continue;
            }
            match hint.kind {
                KIND_GROUP => {
                    let start = hint
                        .first_lsn
                        .0
                        .checked_sub(self.first.0)
                        .and_then(|behind| usize::try_from(behind).ok())
                        .and_then(|behind| self.entries.start.checked_add(behind));
                    let Some(start) = start.filter(|&start| start >= entry) else { continue };
                    let end = start.saturating_add(hint.count as usize);
                    if end > self.entries.end || end == start {
                        continue;
                    }
                    if hint.offset > at || start > entry {
                        parts.push(Part::Open { bytes: hint.offset - at, entries: entry..start });
                    }
                    parts.push(Part::Fixed(Spec::Group(GroupSpec { start, end, packs: hint.flags != 0 })));
                    entry = end;
                }
                // Behind an open part nobody knows which entries it follows.
                KIND_MARKER if hint.offset == at => {
                    parts.push(Part::Fixed(Spec::Marker { closed: hint.flags != 0 }));
                }
                _ => continue,
            }
            at = hint.offset + hint.bytes;
        }
        if parts.is_empty() {
            return None;
        }
        if at < self.bytes.end || entry < self.entries.end {
            parts.push(Part::Open { bytes: self.bytes.end - at, entries: entry..self.entries.end });
        }
        Some(parts)
    }

    fn expand(&self, parts: &[Part], packs: bool) -> Result<Vec<Plan>> {
        let mut plans: Vec<Plan> = vec![Vec::new()];
        for (at, part) in parts.iter().enumerate() {
            let is_last = self.is_last && at + 1 == parts.len();
            let ways = match part {
                Part::Fixed(spec) => vec![vec![spec.clone()]],
                Part::Open { bytes, entries } => self.ways(*bytes, entries, packs, is_last)?,
            };
            let mut longer = Vec::new();
            for way in &ways {
                for plan in &plans {
                    if longer.len() < MAX_PLANS {
                        longer.push(plan.iter().chain(way).cloned().collect());
                    }
                }
            }
            plans = longer;
        }
        Ok(plans)
    }

    /// Frames for these entries that are together so long.
    fn ways(&self, bytes: u64, entries: &Range<usize>, packs: bool, is_last: bool) -> Result<Vec<Plan>> {
        let mut ways = Vec::new();
        for groups in self.partitions(entries, packs) {
            let mut used = 0;
            let mut fits = true;
            for group in &groups {
                match self.group_bytes(group)? {
                    Some(bytes) => used += bytes,
                    None => fits = false,
                }
                if used > bytes || !fits {
                    break;
                }
            }
            if !fits || used > bytes || !(bytes - used).is_multiple_of(self.sector) {
                continue;
            }
            let markers = usize::try_from((bytes - used) / self.sector).unwrap_or(usize::MAX);
            for places in self.places(markers, &groups) {
                let mut way: Plan = Vec::with_capacity(groups.len() + markers);
                let mut places = places.into_iter().peekable();
                for slot in 0..=groups.len() {
                    while places.next_if_eq(&slot).is_some() {
                        way.push(Spec::Marker { closed: false });
                    }
                    way.extend(groups.get(slot).cloned().map(Spec::Group));
                }
                if is_last && let Some(Spec::Marker { .. }) = way.last() {
                    let mut closed = way.clone();
                    if let Some(last) = closed.last_mut() {
                        *last = Spec::Marker { closed: true };
                    }
                    ways.push(closed);
                }
                ways.push(way);
            }
        }
        Ok(ways)
    }

    /// Ways to make groups of entries.
    fn partitions(&self, entries: &Range<usize>, packs: bool) -> Vec<Vec<GroupSpec>> {
        let group = |start, end| GroupSpec { start, end, packs };
        let normal = |mut group: GroupSpec| {
            // Small ones are never packed.
            group.packs &= self.spool.payload_bytes(&group.entries()) >= COMPRESS_FROM_BYTES as u64;
            group
        };
        if entries.is_empty() {
            return vec![Vec::new()];
        }
        let mut found: Vec<Vec<GroupSpec>> = Vec::new();
        let mut offer = |groups: Vec<GroupSpec>| {
            let groups: Vec<GroupSpec> = groups.into_iter().map(normal).collect();
            if !found.contains(&groups) {
                found.push(groups);
            }
        };
        if entries.clone().all(|entry| self.spool.stamp(entry).is_some()) {
            let mut groups: Vec<GroupSpec> = Vec::new();
            for entry in entries.clone() {
                let same = entry > entries.start && self.spool.stamp(entry) == self.spool.stamp(entry - 1);
                match groups.last_mut() {
                    Some(last) if same => last.end = entry + 1,
                    _ => groups.push(group(entry, entry + 1)),
                }
            }
            offer(groups);
        }
        offer(vec![group(entries.start, entries.end)]);
        offer(entries.clone().map(|entry| group(entry, entry + 1)).collect());
        found
    }

    /// Length on disk; `None` if it cannot be one group.
    fn group_bytes(&self, group: &GroupSpec) -> Result<Option<u64>> {
        let plain = self.spool.payload_bytes(&group.entries());
        if plain > MAX_GROUP_BYTES as u64 {
            return Ok(None);
        }
        let mut payload = usize::try_from(plain).unwrap_or(usize::MAX);
        if group.packs
            && let Some(packed) = pack(&self.spool.payload(&group.entries())?)
        {
            payload = packed.len();
        }
        let sector = usize::try_from(self.sector).unwrap_or(usize::MAX);
        Ok(frame_bytes(payload, sector).map(|bytes| bytes as u64))
    }

    /// Slots in front of, between and behind groups where so many markers may stand, ascending.
    fn places(&self, markers: usize, groups: &[GroupSpec]) -> Vec<Vec<usize>> {
        let behind = groups.len();
        if markers == 0 {
            return vec![Vec::new()];
        }
        // After so much more than one for every group, the groups are wrong.
        if markers > 2 * behind + 8 {
            return Vec::new();
        }
        let mut all: Vec<Vec<usize>> = Vec::new();
        let mut by_pause: Vec<(i64, usize)> = (1..behind)
            .filter_map(|slot| {
                let (before, after) = (groups.get(slot - 1)?, groups.get(slot)?);
                let pause = self.spool.stamp(after.start)?.checked_sub(self.spool.stamp(before.start)?)?;
                Some((pause, slot))
            })
            .collect();
        by_pause.sort_unstable_by_key(|&(pause, slot)| (std::cmp::Reverse(pause), slot));
        let longest = |count: usize| by_pause.iter().take(count).map(|&(_, slot)| slot).collect::<Vec<_>>();
        for extra in [vec![behind], Vec::new(), vec![0], vec![0, behind]] {
            let Some(wanted) = markers.checked_sub(extra.len()) else { continue };
            let mut slots = longest(wanted);
            if slots.len() == wanted {
                slots.extend(extra);
                slots.sort_unstable();
                all.push(slots);
            }
        }
        all.push(vec![behind; markers]);
        all.push(vec![0; markers]);
        match markers {
            1 => all.extend((0..=behind).map(|slot| vec![slot])),
            2 if behind <= MAX_GROUPS_FOR_PAIRS => {
                all.extend((0..=behind).flat_map(|one| (one..=behind).map(move |other| vec![one, other])));
            }
            _ => {}
        }
        let mut seen = BTreeSet::new();
        all.retain(|places| seen.insert(places.clone()));
        all
    }
}

//! Contested questions in order, with the recent past of that order.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use stemedb_core::Status;

use super::Standing;

/// Bytes that a place takes besides its question, roughly.
const PLACE_BYTES: usize = 144;

/// What the order is by: the more contested is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub score: u32,
    pub support: i64,
    pub values: u32,
}

impl Rank {
    /// The rank of a question; `None` if nothing is contested in it.
    pub(super) fn of(standing: &Standing) -> Option<Rank> {
        let Standing { score, support, values, .. } = *standing;
        (values > 1).then_some(Rank { score, support, values })
    }
}

/// A place in the order, and from which revision on a question had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub rank: Rank,
    /// Subject NUL predicate.
    pub question: Arc<str>,
    pub since: u64,
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The most contested first, then by question.
impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        let by = |place: &Place| Reverse(place.rank);
        by(self)
            .cmp(&by(other))
            .then_with(|| self.question.cmp(&other.question))
            .then_with(|| self.since.cmp(&other.since))
    }
}

/// What else is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spell {
    /// The first revision in which the question does not have it any more.
    until: u64,
    pub status: Status,
    pub considered: u32,
}

/// Contested questions, at most so many bytes of them: the least contested ones go.
#[derive(Debug)]
pub(super) struct Ranking {
    places: BTreeMap<Place, Spell>,
    /// Places that were left, the longest ago first.
    left: VecDeque<(u64, Place)>,
    /// Number of places that are held in the newest revision.
    held: usize,
    bytes: usize,
    max_bytes: usize,
    /// The best place that was let go for want of room, and how many were held then: nothing at or behind it is known.
    floor: Option<(Place, usize)>,
}

impl Ranking {
    pub(super) fn new(max_bytes: usize) -> Ranking {
        Ranking { places: BTreeMap::new(), left: VecDeque::new(), held: 0, bytes: 0, max_bytes, floor: None }
    }

    /// A question has a place from a revision on.
    pub(super) fn enter(&mut self, question: &Arc<str>, standing: &Standing, revision: u64) {
        let Some(rank) = Rank::of(standing) else { return };
        let place = Place { rank, question: Arc::clone(question), since: revision };
        if self.floor.as_ref().is_some_and(|(floor, _)| place >= *floor) {
            return;
        }
        self.bytes += bytes_of(&place);
        let spell = Spell { until: u64::MAX, status: standing.status, considered: standing.considered };
        self.places.insert(place, spell);
        self.held += 1;
        while self.bytes > self.max_bytes {
            let Some((last, spell)) = self.places.pop_last() else { return };
            self.bytes = self.bytes.saturating_sub(bytes_of(&last));
            self.held -= usize::from(spell.until == u64::MAX);
            self.floor = Some((Place { since: 0, ..last }, self.held));
        }
    }

    /// A question no longer has its place from a revision on. Earlier revisions still show it.
    pub(super) fn leave(&mut self, question: &Arc<str>, standing: &Standing, revision: u64) {
        let Some(rank) = Rank::of(standing) else { return };
        let from = Place { rank, question: Arc::clone(question), since: 0 };
        let to = Place { since: u64::MAX, ..from.clone() };
        let held = self.places.range_mut(from..=to).find(|(_, spell)| spell.until == u64::MAX);
        if let Some((place, spell)) = held {
            spell.until = revision;
            self.held -= 1;
            self.left.push_back((revision, place.clone()));
        }
    }

    /// Forgets the revisions before one.
    pub(super) fn forget_before(&mut self, revision: u64) {
        while self.left.front().is_some_and(|(until, _)| *until <= revision) {
            self.forget_oldest();
        }
    }

    /// While the past takes more than a quarter of the room: the oldest revision that must be forgotten with it.
    pub(super) fn shrink_past(&mut self) -> Option<u64> {
        let most = self.max_bytes / 4;
        let mut past = self.left.len().saturating_mul(PLACE_BYTES);
        let mut forgotten = None;
        while past > most {
            forgotten = self.forget_oldest().or(forgotten);
            past = self.left.len().saturating_mul(PLACE_BYTES);
        }
        forgotten
    }

    /// Returns the first revision that is whole afterwards.
    fn forget_oldest(&mut self) -> Option<u64> {
        let (until, place) = self.left.pop_front()?;
        if self.places.remove(&place).is_some() {
            self.bytes = self.bytes.saturating_sub(bytes_of(&place));
        }
        Some(until)
    }

    /// The places of a revision, the most contested first, behind one.
    pub(super) fn walk(
        &self,
        revision: u64,
        after: Option<(Rank, &str)>,
    ) -> impl Iterator<Item = (&Place, &Spell)> {
        let after = after.map(|(rank, question)| Place { rank, question: question.into(), since: u64::MAX });
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.places
            .range((from, Bound::Unbounded))
            .filter(move |(place, spell)| place.since <= revision && revision < spell.until)
    }

    /// Whether every contested question is held.
    pub(super) fn is_complete(&self) -> bool {
        self.floor.is_none()
    }

    /// Whether so much of what was held has gone that there would be room again for what was let go.
    pub(super) fn has_thinned(&self) -> bool {
        self.floor.as_ref().is_some_and(|(_, held)| self.held < held / 2)
    }
}

fn bytes_of(place: &Place) -> usize {
    PLACE_BYTES + place.question.len()
}

//! Listings of questions.

use std::collections::BTreeSet;

use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    claims::Group,
    listing::{Listing, Walk},
    page::{Filling, Mark, Page, PageLimits, behind_group, behind_key},
};
use crate::{
    ClaimReader, QuestionKey, Result, StoredClaim,
    claims::{stored, stored_ref},
    keys::{self, Family, Position, SortedValue},
};

/// A question, and how much is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionSummary {
    /// The question.
    pub question: QuestionKey,
    /// Number of its claims, those set aside included.
    pub claims: u64,
    /// Where its newest claim stands.
    pub newest: Position,
}

impl QuestionSummary {
    fn begin(subject: &str, predicate: &str) -> QuestionSummary {
        let question = QuestionKey { subject: subject.to_owned(), predicate: predicate.to_owned() };
        QuestionSummary { question, claims: 0, newest: Position::default() }
    }

    fn add(&mut self, position: Position) {
        self.claims += 1;
        self.newest = self.newest.max(position);
    }

    fn bytes(&self) -> usize {
        self.question.subject.len() + self.question.predicate.len()
    }
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// A page of the questions that the claims of a listing answer, each once: by [`Listing::Values`] where its smallest value
    /// of the range stands, by source and agent where the first of their claims does.
    ///
    /// Cost: the keys of the claims of these questions; of the last three listings the claims themselves.
    ///
    /// # Errors
    /// As of [`ClaimReader::list_claims`].
    pub fn list_questions(
        &self,
        listing: &Listing,
        after: Option<&Mark>,
        limits: PageLimits,
    ) -> Result<Page<QuestionSummary>> {
        let page = Filling::new(limits);
        match self.walk(listing)? {
            Walk::Claims(range) => self.questions_of_rows(behind_group(range, after)?, page),
            Walk::Groups(range) => self.questions_of_groups(behind_group(range, after)?, page),
            Walk::Points(family, range) => {
                self.questions_of_points(listing, family, behind_key(range, after)?, page)
            }
        }
    }

    fn questions_of_rows(
        &self,
        range: KeyRange,
        mut page: Filling<QuestionSummary>,
    ) -> Result<Page<QuestionSummary>> {
        // A range that begins behind a group does not begin with the group's prefix any more.
        let mut rows = self.snapshot().scan(&KeyRange { prefix_bytes: 0, ..range }, Direction::Forward);
        let mut open: Option<QuestionSummary> = None;
        loop {
            let more = rows.advance()?;
            let next = if more { Some(keys::parse_claim(rows.key())?) } else { None };
            let same = match (&open, &next) {
                (Some(open), Some(next)) => {
                    open.question.predicate == next.predicate && open.question.subject == next.subject
                }
                _ => false,
            };
            if !same && let Some(done) = open.take() {
                page.done_with(&keys::claim_prefix(&done.question.subject, &done.question.predicate));
                if done.claims > 0 {
                    let bytes = done.bytes();
                    page.push(done, bytes);
                }
                if more && !page.has_room() {
                    return Ok(page.full());
                }
            }
            let Some(next) = next else { return Ok(page.ended()) };
            page.read();
            let open = open.get_or_insert_with(|| QuestionSummary::begin(next.subject, next.predicate));
            if next.position.lsn <= self.lsn() {
                open.add(next.position);
            }
        }
    }

    fn questions_of_groups(
        &self,
        range: KeyRange,
        mut page: Filling<QuestionSummary>,
    ) -> Result<Page<QuestionSummary>> {
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        let mut group: Option<Group> = None;
        while page.has_room() {
            if !rows.advance()? {
                return Ok(page.ended());
            }
            page.read();
            if group.as_ref().is_some_and(|group| rows.key().starts_with(&group.prefix)) {
                continue;
            }
            let next = group.insert(Group::of(rows.key())?);
            page.done_with(&next.prefix);
            if next.first.lsn > self.lsn() {
                continue;
            }
            let mut summary = QuestionSummary::begin(&next.question.subject, &next.question.predicate);
            self.each_claim_of(&next.question, |key, _| {
                page.read();
                summary.add(key.position);
                Ok(())
            })?;
            let bytes = summary.bytes();
            page.push(summary, bytes);
        }
        Ok(page.full())
    }

    fn questions_of_points(
        &self,
        listing: &Listing,
        family: Family,
        range: KeyRange,
        mut page: Filling<QuestionSummary>,
    ) -> Result<Page<QuestionSummary>> {
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        // Of a question only the first posting of the listing counts, so one that was met needs no second look. At most
        // as many as a page reads rows.
        let mut met: BTreeSet<QuestionKey> = BTreeSet::new();
        while page.has_room() {
            if !rows.advance()? {
                return Ok(page.ended());
            }
            page.read();
            page.done_with(rows.key());
            let found = self.claim_of_posting(listing, family, rows.key(), rows.value())?;
            let Some((claim, _)) = found else { continue };
            let StoredClaim { assertion, .. } = claim;
            let mut summary = QuestionSummary::begin(&assertion.subject, &assertion.predicate);
            if !met.insert(summary.question.clone()) {
                continue;
            }
            let mut first: Option<(Option<SortedValue>, Position)> = None;
            let question = summary.question.clone();
            self.each_claim_of(&question, |key, row| {
                page.read();
                summary.add(key.position);
                let place = match listing {
                    Listing::Values { range, .. } => {
                        let value = SortedValue::of(stored_ref(row)?.object);
                        value.filter(|value| range.contains(value)).map(|value| (Some(value), key.position))
                    }
                    Listing::Agent(agent) => {
                        self.first_voice(&stored(&key, row)?, agent)?.map(|voice| (None, voice))
                    }
                    _ => (stored_ref(row)?.source == assertion.source).then_some((None, key.position)),
                };
                first = match (first, place) {
                    (Some(first), Some(place)) => Some(first.min(place)),
                    (first, place) => first.or(place),
                };
                Ok(())
            })?;
            if first
                .is_some_and(|(_, at)| keys::parse_posting(family, rows.key()).is_ok_and(|here| here == at))
            {
                let bytes = summary.bytes();
                page.push(summary, bytes);
            }
        }
        Ok(page.full())
    }
}

//! Listings of claims.

use stemedb_core::{AgentId, ClaimId};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    listing::{Listing, Walk},
    page::{Filling, Mark, Page, PageLimits, behind_group, behind_key},
};
use crate::{
    ClaimReader, Error, QuestionKey, Result, StoredClaim,
    claims::stored,
    keys::{self, ClaimKey, Family, Position},
};

/// The question that postings of by_predicate belong to.
pub(super) struct Group {
    pub question: QuestionKey,
    /// What the keys of its postings begin with.
    pub prefix: Vec<u8>,
    /// Its first posting, the oldest.
    pub first: Position,
}

impl Group {
    /// The group of a posting.
    pub(super) fn of(key: &[u8]) -> Result<Group> {
        let (predicate, subject, first) = keys::parse_by_predicate(key)?;
        let prefix = keys::by_predicate_subject(predicate, subject);
        let question = QuestionKey { subject: subject.to_owned(), predicate: predicate.to_owned() };
        Ok(Group { question, prefix, first })
    }

    /// The group that a mark ended in.
    fn of_mark(mark: &Mark) -> Result<Group> {
        let mut key = mark.key.clone();
        Position::default().push_compact(&mut key);
        Group::of(&key).map_err(|_| Error::ForeignMark)
    }
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// A page of claims, those set aside included: from the beginning, or behind the mark that another page of the same listing,
    /// read at the same LSN, ended with. Claims of one question come newest first.
    ///
    /// Cost: the rows of the page; one short scan more for each group or posting of an index.
    ///
    /// # Errors
    /// [`Error::ForeignMark`] for a mark of another listing, [`Error::NotDerivedYet`] during an upgrade that makes the keys; otherwise where the store fails.
    pub fn list_claims(
        &self,
        listing: &Listing,
        after: Option<&Mark>,
        limits: PageLimits,
    ) -> Result<Page<StoredClaim>> {
        let page = Filling::new(limits);
        match self.walk(listing)? {
            Walk::Claims(range) => self.claims_of_rows(behind_key(range, after)?, page),
            Walk::Groups(range) => self.claims_of_groups(range, after, page),
            Walk::Points(family, range) => {
                self.claims_of_points(listing, family, behind_key(range, after)?, page)
            }
        }
    }

    /// The keys that a listing walks over, if they are those of this program.
    pub(super) fn walk(&self, listing: &Listing) -> Result<Walk> {
        let walk = listing.walk(self.lsn());
        let family = walk.family();
        match self.snapshot().derived_by() {
            Some(by) if by.oldest < family.derived_since() => Err(Error::NotDerivedYet { family }),
            _ => Ok(walk),
        }
    }

    fn claims_of_rows(&self, range: KeyRange, mut page: Filling<StoredClaim>) -> Result<Page<StoredClaim>> {
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        while page.has_room() {
            if !rows.advance()? {
                return Ok(page.ended());
            }
            page.read();
            let key = keys::parse_claim(rows.key())?;
            if key.position.lsn <= self.lsn() {
                page.push(stored(&key, rows.value())?, rows.value().len());
            }
            page.done_with(rows.key());
        }
        Ok(page.full())
    }

    fn claims_of_groups(
        &self,
        range: KeyRange,
        after: Option<&Mark>,
        mut page: Filling<StoredClaim>,
    ) -> Result<Page<StoredClaim>> {
        let range = behind_group(range, after)?;
        if let Some(mark) = after
            && let Some(last) = mark.inside
        {
            let group = Group::of_mark(mark)?;
            if let Some(last) = self.claims_of_group(&group, Some(last), &mut page)? {
                return Ok(page.full_inside(group.prefix, last));
            }
            page.done_with(&group.prefix);
        }
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
            // Its oldest posting comes first: if that is from later, the whole group is.
            if next.first.lsn <= self.lsn()
                && let Some(last) = self.claims_of_group(next, None, &mut page)?
            {
                let prefix = std::mem::take(&mut next.prefix);
                return Ok(page.full_inside(prefix, last));
            }
            page.done_with(&next.prefix);
        }
        Ok(page.full())
    }

    /// Lists the claims of a group behind a position; where the page is full before their end, the last one that was
    /// read.
    fn claims_of_group(
        &self,
        group: &Group,
        after: Option<Position>,
        page: &mut Filling<StoredClaim>,
    ) -> Result<Option<Position>> {
        let mut rows = self.rows_of_question(&group.question, after);
        let mut last = after;
        loop {
            // At least one row is read, or a page could stand still.
            if last != after && !page.has_room() {
                return Ok(last);
            }
            if !rows.advance()? {
                return Ok(None);
            }
            page.read();
            let key = keys::parse_claim(rows.key())?;
            if key.position.lsn <= self.lsn() {
                page.push(stored(&key, rows.value())?, rows.value().len());
            }
            last = Some(key.position);
        }
    }

    /// The rows of a question's claims, newest first, behind a position.
    fn rows_of_question(&self, question: &QuestionKey, after: Option<Position>) -> S::Iter {
        let prefix = keys::claim_prefix(&question.subject, &question.predicate);
        let mut range = KeyRange::prefix(prefix.as_slice());
        if let Some(position) = after {
            let mut seen = prefix;
            seen.extend_from_slice(&position.newest_first());
            // The prefix ends with a NUL, so something always follows it.
            range.start = KeyRange::prefix(seen).end.unwrap_or(range.start);
        }
        self.snapshot().scan(&range, Direction::Forward)
    }

    fn claims_of_points(
        &self,
        listing: &Listing,
        family: Family,
        range: KeyRange,
        mut page: Filling<StoredClaim>,
    ) -> Result<Page<StoredClaim>> {
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        while page.has_room() {
            if !rows.advance()? {
                return Ok(page.ended());
            }
            page.read();
            if let Some((claim, bytes)) = self.claim_of_posting(listing, family, rows.key(), rows.value())? {
                page.push(claim, bytes);
            }
            page.done_with(rows.key());
        }
        Ok(page.full())
    }

    /// The claim that a posting stands for, with the bytes of its row; `None` for one that came later, and for what an agent
    /// did beside asserting and signing, or had done to that claim before.
    pub(super) fn claim_of_posting(
        &self,
        listing: &Listing,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<(StoredClaim, usize)>> {
        let at = keys::parse_posting(family, key)?;
        if at.lsn > self.lsn() {
            return Ok(None);
        }
        if let Listing::Agent(agent) = listing {
            let id: [u8; 32] = value.try_into().map_err(|_| Error::BadValue { family })?;
            let claim = self.claim(ClaimId(id))?.ok_or(Error::BadValue { family })?;
            let first = self.first_voice(&claim, agent)?;
            return Ok((first == Some(at)).then_some((claim, value.len())));
        }
        let (subject, predicate) = match family {
            Family::ByValue => {
                let posting = keys::parse_by_value(key)?;
                (posting.subject, posting.predicate)
            }
            _ => keys::parse_by_source_value(value)?,
        };
        let mut prefix = keys::claim_prefix(subject, predicate);
        let prefix_bytes = prefix.len();
        prefix.extend_from_slice(&at.newest_first());
        let range = KeyRange { prefix_bytes, ..KeyRange::prefix(prefix) };
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        // The posting without its claim is damage; it must never look like "not found".
        if !rows.advance()? {
            return Err(Error::BadValue { family });
        }
        let claim = stored(&keys::parse_claim(rows.key())?, rows.value())?;
        Ok(Some((claim, rows.value().len())))
    }

    /// Where an agent first stood behind a claim: as its author or with a signature.
    pub(super) fn first_voice(&self, claim: &StoredClaim, agent: &AgentId) -> Result<Option<Position>> {
        let of = &claim.assertion;
        if of.author == Some(*agent) || of.signatures.iter().any(|signature| signature.agent == *agent) {
            return Ok(Some(claim.position));
        }
        let range = KeyRange {
            prefix_bytes: keys::id_prefix(Family::Cosigned, &claim.id.0).len(),
            ..KeyRange::prefix(keys::id_agent_prefix(Family::Cosigned, &claim.id.0, &agent.0))
        };
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        let mut oldest = None;
        while rows.advance()? {
            let (_, at) = keys::parse_id_agent(Family::Cosigned, rows.key())?;
            oldest = Some(at).filter(|at| at.lsn <= self.lsn()).or(oldest);
        }
        Ok(oldest)
    }

    /// Visits every claim of a question that is known, newest first.
    pub(crate) fn each_claim_of(
        &self,
        question: &QuestionKey,
        mut visit: impl FnMut(ClaimKey<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut rows = self.rows_of_question(question, None);
        while rows.advance()? {
            let key = keys::parse_claim(rows.key())?;
            if key.position.lsn <= self.lsn() {
                visit(key, rows.value())?;
            }
        }
        Ok(())
    }
}

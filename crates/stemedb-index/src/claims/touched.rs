//! Which questions a record is about.

use std::collections::BTreeSet;

use stemedb_core::{AgentId, AssertionRef, ClaimId, Command};
use stemedb_env::Lsn;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    derivation::parse_stamped,
    reader::{ClaimReader, QuestionKey, stored_ref},
};
use crate::{
    Error, Result,
    keys::{self, Family, Position},
};

impl<S: KvSnapshot> ClaimReader<S> {
    /// The question that a claim answers. Cost: one lookup.
    pub fn question_of(&self, id: ClaimId) -> Result<Option<QuestionKey>> {
        let Some(place) = self.snapshot().get(&keys::by_id(&id.0))? else { return Ok(None) };
        let (position, subject, predicate) = keys::parse_by_id_value(&place)?;
        let is_known = position.lsn <= self.lsn();
        Ok(is_known.then(|| QuestionKey { subject: subject.to_owned(), predicate: predicate.to_owned() }))
    }

    /// Visits the claims of a question that this reader knows, newest first, without what was said about them. Cost: one scan.
    pub(crate) fn visit_claims(
        &self,
        question: &QuestionKey,
        mut visit: impl FnMut(ClaimId, AssertionRef<'_>) -> Result<()>,
    ) -> Result<()> {
        self.each_claim_of(question, |key, row| visit(ClaimId(key.id), stored_ref(row)?))
    }

    /// The questions that a source has made claims about. Cost: a scan of its claims' postings.
    pub fn questions_of_source(&self, source: &str) -> Result<BTreeSet<QuestionKey>> {
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::by_source_prefix(source)) };
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        let mut questions = BTreeSet::new();
        while rows.advance()? {
            if keys::parse_posting(Family::BySource, rows.key())?.lsn <= self.lsn() {
                let (subject, predicate) = keys::parse_by_source_value(rows.value())?;
                questions
                    .insert(QuestionKey { subject: subject.to_owned(), predicate: predicate.to_owned() });
            }
        }
        Ok(questions)
    }

    /// The questions that have a claim of one of these epochs. Cost: a scan of all claims.
    pub fn questions_of_epochs(&self, epochs: &BTreeSet<String>) -> Result<BTreeSet<QuestionKey>> {
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::Claim)) };
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        let mut questions = BTreeSet::new();
        while rows.advance()? {
            let key = keys::parse_claim(rows.key())?;
            let claim = stored_ref(rows.value())?;
            if key.position.lsn <= self.lsn() && claim.epoch.is_some_and(|epoch| epochs.contains(epoch)) {
                questions.insert(QuestionKey {
                    subject: key.subject.to_owned(),
                    predicate: key.predicate.to_owned(),
                });
            }
        }
        Ok(questions)
    }

    /// The claims that an agent has asserted, signed, voted on or superseded. Cost: a scan of its postings.
    pub fn claims_of_agent(&self, agent: &AgentId) -> Result<BTreeSet<ClaimId>> {
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::by_agent_prefix(&agent.0)) };
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        let mut found = BTreeSet::new();
        while rows.advance()? {
            if rows.lsn() <= self.lsn() {
                let id = rows.value().try_into().map_err(|_| Error::BadValue { family: Family::ByAgent })?;
                found.insert(ClaimId(id));
            }
        }
        Ok(found)
    }

    /// The questions of all claims that derive from these, over any number of steps. Cost: a filtered probe a claim.
    pub fn questions_derived_from(&self, ids: BTreeSet<ClaimId>) -> Result<BTreeSet<QuestionKey>> {
        let mut waiting: Vec<ClaimId> = ids.iter().copied().collect();
        let mut seen = ids;
        let mut questions = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            let range = KeyRange::prefix(keys::id_prefix(Family::Derived, &id.0));
            let mut rows = self.snapshot().scan(&range, Direction::Forward);
            while rows.advance()? {
                let child = ClaimId(*keys::parse_derived(rows.key())?.1);
                if rows.lsn() <= self.lsn() && seen.insert(child) {
                    questions.extend(self.question_of(child)?);
                    waiting.push(child);
                }
            }
        }
        Ok(questions)
    }

    /// Visits every command of the entries behind `after` that this reader knows, in no particular order: for whom the journal
    /// does not reach back. Cost: a scan of all rows.
    pub fn each_command_after(
        &self,
        after: Lsn,
        mut visit: impl FnMut(Position, Command) -> Result<()>,
    ) -> Result<()> {
        let mut rows = self.snapshot().scan(&KeyRange::all(), Direction::Forward);
        while rows.advance()? {
            if rows.lsn() <= after || rows.lsn() > self.lsn() {
                continue;
            }
            let Some(at) = keys::command_position(rows.key())? else { continue };
            let Some(family) = Family::of(rows.key()) else { continue };
            let (_, command) = parse_stamped(family, rows.value())?;
            visit(at, Command::decode_exact(command).map_err(|_| Error::BadValue { family })?)?;
        }
        Ok(())
    }
}

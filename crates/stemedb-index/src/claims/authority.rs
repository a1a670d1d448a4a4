//! Whether a new supersession is allowed: who stands behind it, and that it closes no circle.
//!
//! Decided in commit order, against the view and what is in flight, so that an agent registered in the same submission counts
//! and a source that has lost its class does not.

use std::collections::BTreeSet;

use stemedb_core::{
    AssertionRef, AuthorityPolicy, ClaimId, Command, CommandRef, SourceClass, Supersession,
    identity::Retiring,
};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{admission::Admission, derivation::parse_stamped};
use crate::{
    Error, Result,
    keys::{self, Family},
};

/// Claims behind a successor that are looked at for a cycle, and links of a chain that a reader follows.
pub const CHAIN_MAX: usize = 4096;

impl<S: KvSnapshot> Admission<'_, S> {
    /// Cost: two lookups a claim and one probe for its source and one for the agent, for supersessions alone.
    pub(super) fn check_authority(&self, supersession: &Supersession) -> Result<()> {
        if self.request.authority() == AuthorityPolicy::Off {
            return Ok(());
        }
        let (old_class, old_author) =
            self.with_claim(supersession.old, "/old", |this, old| Ok((this.class_of(old)?, old.author)))?;
        let agent_class = match supersession.agent {
            None => SourceClass::ANECDOTAL,
            Some(agent) => match self.newest(&keys::agent_prefix(&agent.0))? {
                Some(Command::Agent(record)) => record.rank(),
                Some(_) => return Err(Error::BadValue { family: Family::Agent }),
                None => SourceClass::ANECDOTAL,
            },
        };
        let new_class = match supersession.new {
            None => None,
            Some(new) => Some(self.with_claim(new, "/new", |this, new| this.class_of(new))?),
        };
        let agent = supersession.agent;
        Retiring { old_class, old_author, agent, agent_class, new_class }
            .check()
            .map_err(|reason| Error::AuthorityTooLow { old: supersession.old.to_string(), reason })
    }

    /// A claim as it was asserted, wherever it lies.
    fn with_claim<T>(
        &self,
        id: ClaimId,
        field: &'static str,
        look: impl FnOnce(&Self, &AssertionRef<'_>) -> Result<T>,
    ) -> Result<T> {
        if let Some(command) = self.command_in_flight(id) {
            return look(self, &assertion(command)?);
        }
        let unknown = || Error::UnknownClaim { field, id: id.to_string() };
        let place = self.view.get(&keys::by_id(&id.0))?.ok_or_else(unknown)?;
        let (at, subject, predicate) = keys::parse_by_id_value(&place)?;
        let value = self.view.get(&keys::claim(subject, predicate, at, &id.0))?;
        let value = value.ok_or(Error::BadValue { family: Family::ById })?;
        look(self, &assertion(parse_stamped(Family::Claim, &value)?.1)?)
    }

    /// A claim's class: its own, else that of the newest record of its source, else the lowest.
    fn class_of(&self, claim: &AssertionRef<'_>) -> Result<SourceClass> {
        if let Some(class) = claim.source_class {
            return Ok(class);
        }
        match self.newest(&keys::named_prefix(Family::Source, claim.source))? {
            Some(Command::Source(source)) => Ok(source.class),
            Some(_) => Err(Error::BadValue { family: Family::Source }),
            None => Ok(SourceClass::ANECDOTAL),
        }
    }

    /// The newest record of a slot of which the newest counts.
    fn newest(&self, slot: &[u8]) -> Result<Option<Command>> {
        let family = Family::of(slot).unwrap_or(Family::Entry);
        let decode = |bytes: &[u8]| Command::decode_exact(bytes).map_err(|_| Error::BadValue { family });
        if let Some((_, bytes)) = self.in_flight.records.get(slot).and_then(|records| records.last()) {
            return decode(bytes).map(Some);
        }
        let mut rows = self.view.scan(&KeyRange::prefix(slot), Direction::Forward);
        if !rows.advance()? {
            return Ok(None);
        }
        decode(parse_stamped(family, rows.value())?.1).map(Some)
    }

    /// Refuses a successor from which the supersessions lead back to the old claim. A successor that nothing has replaced costs
    /// one filtered probe.
    pub(super) fn check_no_cycle(&self, supersession: &Supersession) -> Result<()> {
        let Some(new) = supersession.new else { return Ok(()) };
        let mut seen = BTreeSet::from([new]);
        let mut open = vec![new];
        while let Some(at) = open.pop() {
            if at == supersession.old {
                let (old, new) = (supersession.old.to_string(), new.to_string());
                return Err(Error::SupersessionCycle { old, new });
            }
            for successor in self.successors(at)? {
                if seen.insert(successor) {
                    open.push(successor);
                }
            }
            if seen.len() > CHAIN_MAX {
                return Err(Error::ChainTooLong { new: new.to_string(), limit: CHAIN_MAX });
            }
        }
        Ok(())
    }

    /// Every claim that has ever taken the place of a claim.
    fn successors(&self, id: ClaimId) -> Result<Vec<ClaimId>> {
        let family = Family::Superseded;
        let slot = keys::id_prefix(family, &id.0);
        let mut found = Vec::new();
        let mut note = |command: &[u8]| match Command::decode_exact(command) {
            Ok(Command::Supersede(supersession)) => {
                found.extend(supersession.new);
                Ok(())
            }
            _ => Err(Error::BadValue { family }),
        };
        for (_, command) in self.in_flight.records.get(&slot).into_iter().flatten() {
            note(command)?;
        }
        let mut rows = self.view.scan(&KeyRange::prefix(slot), Direction::Forward);
        while rows.advance()? {
            note(parse_stamped(family, rows.value())?.1)?;
        }
        Ok(found)
    }
}

fn assertion(mut command: &[u8]) -> Result<AssertionRef<'_>> {
    match CommandRef::decode(&mut command) {
        Ok(CommandRef::Assert(claim)) => Ok(claim),
        _ => Err(Error::BadValue { family: Family::Claim }),
    }
}

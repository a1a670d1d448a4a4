//! What a claim derives from: how far that is trusted, and whether any of it has been retracted.
//!
//! A claim names its parents by their ids, and an id covers the parents: what derives from what is a graph without circles,
//! and it never changes. What is known about the claims of it does, so that it is walked when a question is asked, from the
//! nearest claims to the farthest.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_core::{AgentId, ClaimId, CommandRef, Nano};
use stemedb_lsm::KvSnapshot;

use super::{derivation::parse_stamped, reader::ClaimReader};
use crate::{
    Error, Result,
    keys::{self, Family},
};

/// Claims behind one claim that are looked at, the nearest first.
pub const LINEAGE_MAX: usize = 1024;
/// Claims and agents that are remembered between the candidates of a scan.
const REMEMBERED_MAX: usize = 16 * LINEAGE_MAX;

/// What the claims that a claim derives from say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The least trust in an author of the claim or of a claim behind it; one half for each of whom nothing is known.
    pub trust: Nano,
    /// The nearest retracted claim behind it; of several equally near the one with the smaller id.
    pub tainted: Option<ClaimId>,
    /// Claims behind it that were looked at.
    pub ancestors: usize,
    /// True if there are more than [`LINEAGE_MAX`]: the nearest ones were looked at.
    pub cut: bool,
}

/// What is remembered of a claim that others derive from.
#[derive(Clone, Debug)]
struct Ancestor {
    trust: Nano,
    retracted: bool,
    parents: Vec<ClaimId>,
}

/// Walks lineages at one moment; what several claims derive from is looked up once.
pub(super) struct Lineages<'a, S> {
    reader: &'a ClaimReader<S>,
    trusts: BTreeMap<AgentId, Nano>,
    ancestors: BTreeMap<ClaimId, Ancestor>,
    /// What the last lineage was made from.
    walked: Vec<ClaimId>,
}

impl<'a, S: KvSnapshot> Lineages<'a, S> {
    pub fn new(reader: &'a ClaimReader<S>) -> Lineages<'a, S> {
        Lineages { reader, trusts: BTreeMap::new(), ancestors: BTreeMap::new(), walked: Vec::new() }
    }

    /// The claims behind the last one that were looked at, whether they are in the database or not: nothing else but records about
    /// agents could have made its lineage another one.
    pub fn walked(&self) -> &[ClaimId] {
        &self.walked
    }

    /// The lineage of a claim with this author and these parents (ascending).
    ///
    /// Cost: nothing without author and parents; one filtered probe an agent; two lookups and a filtered probe a claim behind
    /// it.
    pub fn of(&mut self, author: Option<AgentId>, parents: &[ClaimId]) -> Result<Lineage> {
        if self.ancestors.len() + self.trusts.len() > REMEMBERED_MAX {
            self.ancestors.clear();
            self.trusts.clear();
        }
        self.walked.clear();
        let trust = self.trust_in(author)?;
        let mut lineage = Lineage { trust, tainted: None, ancestors: 0, cut: false };
        if !parents.is_empty() {
            self.walk(parents, &mut lineage)?;
        }
        Ok(lineage)
    }

    fn walk(&mut self, parents: &[ClaimId], lineage: &mut Lineage) -> Result<()> {
        let mut seen: BTreeSet<ClaimId> = parents.iter().copied().collect();
        let mut generation = parents.to_vec();
        while !generation.is_empty() {
            let mut next = Vec::new();
            for id in generation {
                if lineage.ancestors == LINEAGE_MAX {
                    lineage.cut = true;
                    return Ok(());
                }
                lineage.ancestors += 1;
                self.walked.push(id);
                let ancestor = self.ancestor(id)?;
                lineage.trust = lineage.trust.min(ancestor.trust);
                if ancestor.retracted {
                    // Generations come from near to far, and each in the order of the ids: the first one stays.
                    lineage.tainted = lineage.tainted.or(Some(id));
                }
                next.extend(ancestor.parents.iter().filter(|parent| seen.insert(**parent)));
            }
            next.sort_unstable();
            generation = next;
        }
        Ok(())
    }

    fn trust_in(&mut self, agent: Option<AgentId>) -> Result<Nano> {
        let Some(agent) = agent else { return Ok(Nano::HALF) };
        if let Some(trust) = self.trusts.get(&agent) {
            return Ok(*trust);
        }
        let trust = self.reader.agent(agent)?.map_or(Nano::HALF, |(_, record)| record.trusted());
        self.trusts.insert(agent, trust);
        Ok(trust)
    }

    fn ancestor(&mut self, id: ClaimId) -> Result<&Ancestor> {
        // The borrow of a found entry would last for the whole function: it is looked up again behind the insertion.
        if !self.ancestors.contains_key(&id) {
            let ancestor = self.look_up(id)?;
            self.ancestors.insert(id, ancestor);
        }
        self.ancestors.get(&id).ok_or(Error::BadKey { family: Family::Derived })
    }

    fn look_up(&mut self, id: ClaimId) -> Result<Ancestor> {
        // A parent need not be in the database: nothing is known of it then.
        let unknown = Ancestor { trust: Nano::HALF, retracted: false, parents: Vec::new() };
        let snapshot = self.reader.snapshot();
        let Some(place) = snapshot.get(&keys::by_id(&id.0))? else { return Ok(unknown) };
        let (position, subject, predicate) = keys::parse_by_id_value(&place)?;
        if position.lsn > self.reader.lsn() {
            return Ok(unknown);
        }
        let value = snapshot.get(&keys::claim(subject, predicate, position, &id.0))?;
        let value = value.ok_or(Error::BadValue { family: Family::ById })?;
        let (_, mut command) = parse_stamped(Family::Claim, &value)?;
        if !self.reader.admits(Family::Claim, position.lsn, &value)? {
            return Ok(unknown);
        }
        let Ok(CommandRef::Assert(claim)) = CommandRef::decode(&mut command) else {
            return Err(Error::BadValue { family: Family::Claim });
        };
        let supersessions = self.reader.supersessions(id)?;
        Ok(Ancestor {
            trust: self.trust_in(claim.author)?,
            retracted: supersessions.iter().any(|(_, supersession)| supersession.new.is_none()),
            parents: claim.parents().collect(),
        })
    }
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// What a claim derives from, as far as it matters for the claim; `None` if there is no such claim.
    pub fn lineage(&self, id: ClaimId) -> Result<Option<Lineage>> {
        let Some(stored) = self.claim(id)? else { return Ok(None) };
        Lineages::new(self).of(stored.assertion.author, &stored.assertion.parents).map(Some)
    }

    /// What the lineage of a claim with these parents (ascending) is made from: the claims behind it that are looked at, whether
    /// they are there or not, and their authors.
    pub(crate) fn behind(&self, parents: &[ClaimId]) -> Result<(Vec<ClaimId>, Vec<AgentId>)> {
        let mut lineages = Lineages::new(self);
        lineages.of(None, parents)?;
        Ok((lineages.walked, lineages.trusts.into_keys().collect()))
    }
}

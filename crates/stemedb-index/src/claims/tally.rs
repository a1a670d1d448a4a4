//! What other records say about a claim.

use stemedb_core::{
    AgentId, ClaimId, Command,
    lens::{LiveVote, SetAside},
};
use stemedb_lsm::{KvIter, KvSnapshot};

use super::{ClaimReader, reader::decode};
use crate::{
    ClaimCache, Error, Result,
    cache::Tally,
    keys::{self, Family},
};

/// What families a claim may have records of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    votes: bool,
    cosigned: bool,
    superseded: bool,
}

impl Said {
    const FAMILIES: [Family; 3] = [Family::Vote, Family::Cosigned, Family::Superseded];
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// For each claim what may have been said about it. Cost: three filters a claim, asked together.
    pub(super) fn what_is_said<'a>(&self, ids: impl Iterator<Item = &'a ClaimId>) -> Result<Vec<Said>> {
        let of_claim = |id: &'a ClaimId| Said::FAMILIES.map(|family| keys::id_prefix_bytes(family, &id.0));
        let prefixes: Vec<_> = ids.flat_map(of_claim).collect();
        let may = self.snapshot().may_have(&prefixes)?;
        let (claims, _) = may.as_chunks();
        Ok(claims.iter().map(|&[votes, cosigned, superseded]| Said { votes, cosigned, superseded }).collect())
    }

    /// What other records say about a claim, from the cache if that has it.
    pub(super) fn tally(&self, id: ClaimId, said: Said, cache: Option<&ClaimCache>) -> Result<Tally> {
        let Said { votes, cosigned, superseded } = said;
        if said == Said::default() {
            return Ok(Tally::default());
        }
        if let Some(tally) = cache.and_then(|cache| cache.tally(&id, self.lsn())) {
            self.note_used(tally.used);
            return Ok(tally);
        }
        // A kept tally says what it was made from, whatever this reader has read before.
        let fresh = self.unused();
        let mut tally = Tally::default();
        if votes {
            tally.votes = fresh.live_votes(id)?;
        }
        if cosigned {
            tally.cosigners = fresh.cosigners(id)?;
        }
        if superseded {
            let supersessions = fresh.supersessions(id)?;
            if supersessions.iter().any(|(_, supersession)| supersession.new.is_none()) {
                tally.set_aside = Some(SetAside::Retracted);
            } else if !supersessions.is_empty() {
                tally.set_aside = Some(SetAside::Superseded);
                tally.successor = supersessions.iter().rev().find_map(|(_, supersession)| supersession.new);
            }
        }
        tally.used = fresh.used();
        self.note_used(tally.used);
        if let Some(cache) = cache
            && tally != Tally::default()
        {
            cache.keep_tally(&id, self.lsn(), &tally);
        }
        Ok(tally)
    }

    /// The vote of each agent that counts, by agent.
    fn live_votes(&self, id: ClaimId) -> Result<Vec<LiveVote>> {
        let mut votes: Vec<LiveVote> = Vec::new();
        self.each_by_agent(Family::Vote, id, |agent, value| {
            match decode(Family::Vote, value)? {
                Command::Vote(vote) => votes.push(LiveVote { agent, weight: vote.weight }),
                _ => return Err(Error::BadValue { family: Family::Vote }),
            }
            Ok(())
        })?;
        Ok(votes)
    }

    /// Who signed a claim after it was asserted, by agent.
    fn cosigners(&self, id: ClaimId) -> Result<Vec<AgentId>> {
        let mut agents = Vec::new();
        self.each_by_agent(Family::Cosigned, id, |agent, _| {
            agents.push(agent);
            Ok(())
        })?;
        Ok(agents)
    }

    /// Visits each agent's newest record of a family that hangs on a claim. The older ones are history: they are not decoded.
    fn each_by_agent(
        &self,
        family: Family,
        id: ClaimId,
        mut visit: impl FnMut(AgentId, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut rows = self.snapshot().scan_prefix(&keys::id_prefix_bytes(family, &id.0));
        let mut last = None;
        while rows.advance()? {
            let (agent, at) = keys::parse_id_agent(family, rows.key())?;
            if last != Some(agent) && self.admits(family, at.lsn, rows.value())? {
                last = Some(agent);
                visit(AgentId(agent), rows.value())?;
            }
        }
        Ok(())
    }
}

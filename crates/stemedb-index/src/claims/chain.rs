//! What took the place of a claim, and all that was said about it since.

use std::collections::BTreeSet;

use stemedb_core::{ClaimId, Command, Cosign, Supersession, Vote};
use stemedb_env::Micros;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    authority::CHAIN_MAX,
    derivation::parse_stamped,
    lineage::Lineage,
    reader::{ClaimReader, StoredClaim},
};
use crate::{
    Error, Result,
    keys::{self, Family, Position},
};

/// A chain of supersessions, from a claim to what stands for it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Each step from a claim to its successor, in order. Of several supersessions of a claim the newest with a successor counts.
    pub links: Vec<(Position, Supersession)>,
    /// Where it ends.
    pub end: ChainEnd,
}

/// How a chain of supersessions ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// At a claim that nothing has taken the place of: the head.
    Head(ClaimId),
    /// At a claim that is retracted, whatever else took its place.
    Retracted(ClaimId),
    /// Never: it comes back to this claim. Admission refuses such a supersession; entries from before it did may have one.
    Cycle(ClaimId),
    /// Not within [`CHAIN_MAX`] steps; here it was left.
    Cut(ClaimId),
}

impl ChainEnd {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            ChainEnd::Head(_) => "head",
            ChainEnd::Retracted(_) => "retracted",
            ChainEnd::Cycle(_) => "cycle",
            ChainEnd::Cut(_) => "cut",
        }
    }

    /// The claim it ends at.
    pub const fn claim(self) -> ClaimId {
        match self {
            ChainEnd::Head(id) | ChainEnd::Retracted(id) | ChainEnd::Cycle(id) | ChainEnd::Cut(id) => id,
        }
    }
}

/// Something that was said about a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A vote; the newest of an agent counts.
    Vote(Vote),
    /// A further signature.
    Cosign(Cosign),
    /// It was set aside.
    Supersede(Supersession),
}

/// When and where something was said about a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remarked {
    /// Where it stands in the journal.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// What was said.
    pub remark: Remark,
}

/// A claim with all that was said about it, as known at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The claim, and when it was asserted.
    pub claim: StoredClaim,
    /// What was said about it since, in the order of the journal.
    pub remarks: Vec<Remarked>,
    /// What took its place.
    pub chain: Chain,
    /// What it derives from.
    pub lineage: Lineage,
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// What took the place of a claim, step by step. Cost: one filtered probe a step, at most [`CHAIN_MAX`] steps.
    pub fn chain(&self, id: ClaimId) -> Result<Chain> {
        let mut links = Vec::new();
        let mut seen = BTreeSet::from([id]);
        let mut at = id;
        let end = loop {
            let supersessions = self.supersessions(at)?;
            if supersessions.iter().any(|(_, supersession)| supersession.new.is_none()) {
                break ChainEnd::Retracted(at);
            }
            let Some((position, newest)) = supersessions.into_iter().next_back() else {
                break ChainEnd::Head(at);
            };
            let Some(next) = newest.new else { break ChainEnd::Retracted(at) };
            links.push((position, newest));
            at = next;
            if !seen.insert(at) {
                break ChainEnd::Cycle(at);
            }
            if links.len() == CHAIN_MAX {
                break ChainEnd::Cut(at);
            }
        };
        Ok(Chain { links, end })
    }

    /// A claim and all that was said about it; `None` if there is no such claim.
    ///
    /// Cost: two lookups, three filtered probes, and the rows that hang on the claim; then those of its chain and lineage.
    pub fn history(&self, id: ClaimId) -> Result<Option<History>> {
        let Some(claim) = self.claim(id)? else { return Ok(None) };
        let mut remarks = Vec::new();
        for family in [Family::Vote, Family::Cosigned, Family::Superseded] {
            self.remarks(family, id, &mut remarks)?;
        }
        remarks.sort_unstable_by_key(|remarked| remarked.position);
        let lineage = self.lineage(id)?.ok_or(Error::BadValue { family: Family::ById })?;
        Ok(Some(History { claim, remarks, chain: self.chain(id)?, lineage }))
    }

    fn remarks(&self, family: Family, id: ClaimId, found: &mut Vec<Remarked>) -> Result<()> {
        let range = KeyRange::prefix(keys::id_prefix(family, &id.0));
        let mut rows = self.snapshot().scan(&range, Direction::Forward);
        while rows.advance()? {
            let position = match family {
                Family::Superseded => keys::parse_superseded(rows.key())?,
                _ => keys::parse_id_agent(family, rows.key())?.1,
            };
            if position.lsn > self.lsn() {
                continue;
            }
            let (recorded_at, command) = parse_stamped(family, rows.value())?;
            let remark = match Command::decode_exact(command) {
                Ok(Command::Vote(vote)) => Remark::Vote(vote),
                Ok(Command::Cosign(cosign)) => Remark::Cosign(cosign),
                Ok(Command::Supersede(supersession)) => Remark::Supersede(supersession),
                _ => return Err(Error::BadValue { family }),
            };
            found.push(Remarked { position, recorded_at, remark });
        }
        Ok(())
    }
}

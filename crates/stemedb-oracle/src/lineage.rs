//! What a claim derives from.

use crate::{Claim, World};
use std::collections::BTreeSet;

/// Trust in an author about whom nothing is known, and in a claim without one.
const TRUST_NANO: i64 = 500_000_000;
/// Claims behind one claim that are looked at, the nearest first.
const ANCESTORS_MAX: usize = 1024;

/// What the claims behind a claim say about it.
pub(crate) struct Lineage {
    /// The least trust in an author of the claim or of a claim behind it.
    pub trust_nano: i64,
    /// The nearest retracted claim behind it; of several equally near the one with the smaller id.
    pub tainted: Option<String>,
}

impl World {
    /// Looks at one generation after the other: the parents, their parents, and so on, each sorted by id.
    pub(crate) fn lineage(&self, claim: &Claim, as_of: u64) -> Lineage {
        let mut lineage = Lineage { trust_nano: self.trust_nano(claim, as_of), tainted: None };
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut generation: BTreeSet<&str> = claim.parents.iter().map(String::as_str).collect();
        while !generation.is_empty() {
            let mut parents = BTreeSet::new();
            for id in generation {
                if seen.len() == ANCESTORS_MAX {
                    return lineage;
                }
                seen.insert(id);
                let known = self.claim(id).filter(|other| other.lsn <= as_of);
                let Some(ancestor) = known else {
                    lineage.trust_nano = lineage.trust_nano.min(TRUST_NANO);
                    continue;
                };
                lineage.trust_nano = lineage.trust_nano.min(self.trust_nano(ancestor, as_of));
                let mut supersessions = self.supersessions.get(id).into_iter().flatten();
                let retracted = supersessions.any(|s| s.lsn <= as_of && s.new.is_none());
                if retracted && lineage.tainted.is_none() {
                    lineage.tainted = Some(id.to_string());
                }
                parents.extend(ancestor.parents.iter().map(String::as_str));
            }
            generation = parents.into_iter().filter(|id| !seen.contains(id)).collect();
        }
        lineage
    }

    fn trust_nano(&self, claim: &Claim, as_of: u64) -> i64 {
        let records = claim.author.iter().filter_map(|author| self.agents.get(author)).flatten();
        let newest = records.filter(|a| a.lsn <= as_of).max_by_key(|a| (a.lsn, a.ordinal));
        newest.and_then(|agent| agent.trust_nano).unwrap_or(TRUST_NANO)
    }
}

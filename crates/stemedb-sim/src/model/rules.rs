//! Who may set a claim aside, said once more over plain maps.

use stemedb_core::{AuthorityPolicy, ClaimId, Command, SourceClass, Supersession};

use super::{Known, Model, Prediction, Slot};

const LOWEST: u8 = 5;

impl Model {
    /// Whether a new supersession is allowed: by its class or its author, and because nothing leads back to the old claim.
    pub(super) fn allows(&self, draft: &Prediction, supersession: &Supersession) -> bool {
        let authority = self.authority == AuthorityPolicy::Off || self.has_authority(draft, supersession);
        authority && !supersession.new.is_some_and(|new| self.leads_to(draft, new, supersession.old))
    }

    fn has_authority(&self, draft: &Prediction, supersession: &Supersession) -> bool {
        let Some(old) = self.find(draft, supersession.old) else { return false };
        if old.author.is_some() && old.author == supersession.agent {
            return true;
        }
        let record = supersession.agent.and_then(|agent| self.last(draft, &Slot::Agent(agent)));
        let mut best = match record {
            Some(Command::Agent(agent)) => agent.class.map_or(LOWEST, SourceClass::number),
            _ => LOWEST,
        };
        if let Some(new) = supersession.new.and_then(|new| self.find(draft, new)) {
            best = best.min(self.class(draft, new));
        }
        best <= self.class(draft, old)
    }

    fn class(&self, draft: &Prediction, claim: &Known) -> u8 {
        if let Some(class) = claim.class {
            return class.number();
        }
        match self.last(draft, &Slot::Source(claim.source.clone())) {
            Some(Command::Source(source)) => source.class.number(),
            _ => LOWEST,
        }
    }

    fn last(&self, draft: &Prediction, slot: &Slot) -> Option<Command> {
        self.slot(draft, slot).next().and_then(|(_, bytes)| Command::decode_exact(bytes).ok())
    }

    /// Whether supersessions lead from one claim to another. What is there has no circle, so the search ends.
    fn leads_to(&self, draft: &Prediction, from: ClaimId, goal: ClaimId) -> bool {
        let successors = |id| {
            let records: Vec<_> = self.slot(draft, &Slot::Superseded(id)).collect();
            records.into_iter().filter_map(|(_, bytes)| match Command::decode_exact(bytes) {
                Ok(Command::Supersede(supersession)) => supersession.new,
                _ => None,
            })
        };
        from == goal || successors(from).any(|next| self.leads_to(draft, next, goal))
    }
}

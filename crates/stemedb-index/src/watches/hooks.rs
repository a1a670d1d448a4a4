//! What can change the answers to watched questions, so that an entry that changes none of them is known by hash lookups.

use std::collections::BTreeSet;

use stemedb_core::{AgentId, AssertionRef, ClaimId};
use stemedb_env::Micros;
use stemedb_lsm::KvSnapshot;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{ClaimReader, QuestionKey, Result};

/// Something that records name and an answer hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook<'a> {
    /// A claim of the question, or one that a claim of the question derives from, whether it is there already or not.
    Claim(&'a ClaimId),
    /// The source of a claim that does not state its class.
    Source(&'a str),
    /// The author of a claim, or of one that it derives from.
    Agent(&'a AgentId),
    /// The epoch of a claim.
    Epoch(&'a str),
}

impl Hook<'_> {
    /// Two hooks of one hash cost a look at a question that has not changed, and nothing else.
    fn hash(self) -> u64 {
        match self {
            Hook::Claim(id) => xxh3_64_with_seed(&id.0, 1),
            Hook::Source(id) => xxh3_64_with_seed(id.as_bytes(), 2),
            Hook::Agent(id) => xxh3_64_with_seed(&id.0, 3),
            Hook::Epoch(name) => xxh3_64_with_seed(name.as_bytes(), 4),
        }
    }
}

/// Which questions hang on what. Only ever more: a hook too many costs a look.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// Hash of the hook, number of the question.
    all: BTreeSet<(u64, u32)>,
    /// Instants at which claims begin or cease to hold, the next one first.
    borders: BTreeSet<(Micros, u32)>,
    /// Whether a claim of a question derives from others.
    has_lineages: bool,
}

impl Hooks {
    pub(super) fn of(&self, hook: Hook<'_>) -> impl Iterator<Item = u32> {
        let hash = hook.hash();
        self.all.range((hash, 0)..=(hash, u32::MAX)).map(|(_, question)| *question)
    }

    /// Whether claims of other questions matter.
    pub(super) fn has_lineages(&self) -> bool {
        self.has_lineages
    }

    /// Takes out the questions of which a claim has begun or ceased to hold by `now`.
    pub(super) fn due(&mut self, now: Micros) -> impl Iterator<Item = u32> + use<> {
        let later = self.borders.split_off(&(Micros(now.0.saturating_add(1)), 0));
        std::mem::replace(&mut self.borders, later).into_iter().map(|(_, question)| question)
    }

    /// Hooks and borders that are held.
    pub(super) fn len(&self) -> usize {
        self.all.len() + self.borders.len()
    }

    fn add(&mut self, hook: Hook<'_>, question: u32) {
        self.all.insert((hook.hash(), question));
    }

    /// What the answer to a question hangs on by one of its claims, as known to `reader`; of the borders those behind `after`.
    ///
    /// Cost: no read, but of a claim that derives from others two lookups and a probe for each of these.
    pub(super) fn learn<S: KvSnapshot>(
        &mut self,
        question: u32,
        id: &ClaimId,
        claim: &AssertionRef<'_>,
        reader: &ClaimReader<S>,
        after: Micros,
    ) -> Result<()> {
        self.add(Hook::Claim(id), question);
        if claim.source_class.is_none() {
            self.add(Hook::Source(claim.source), question);
        }
        if let Some(author) = &claim.author {
            self.add(Hook::Agent(author), question);
        }
        if let Some(epoch) = claim.epoch {
            self.add(Hook::Epoch(epoch), question);
        }
        for border in [claim.valid_from, claim.valid_to].into_iter().flatten() {
            if border.0 > after.0 {
                self.borders.insert((Micros(border.0), question));
            }
        }
        let parents: Vec<ClaimId> = claim.parents().collect();
        if !parents.is_empty() {
            self.has_lineages = true;
            let (claims, agents) = reader.behind(&parents)?;
            claims.iter().for_each(|id| self.add(Hook::Claim(id), question));
            agents.iter().for_each(|agent| self.add(Hook::Agent(agent), question));
        }
        Ok(())
    }

    /// What the answer to a question hangs on, as known to `reader`. Cost: one scan of its claims.
    pub(super) fn learn_all<S: KvSnapshot>(
        &mut self,
        number: u32,
        question: &QuestionKey,
        reader: &ClaimReader<S>,
        after: Micros,
    ) -> Result<()> {
        reader.visit_claims(question, |id, claim| self.learn(number, &id, &claim, reader, after))
    }
}

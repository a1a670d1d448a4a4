//! The records, as plain owned lists.

use crate::Value;
use std::collections::BTreeMap;

/// One asserted claim. What the writer did not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Any unique text; compared byte by byte in the last tie-break (the engine's is 64 hex characters).
    pub id: String,
    /// Position of the journal entry that asserted it.
    pub lsn: u64,
    /// Place inside that entry.
    pub ordinal: u32,
    /// When the entry was recorded, in microseconds.
    pub recorded_at_us: i64,
    /// What the claim is about.
    pub subject: String,
    /// Which property of it.
    pub predicate: String,
    /// What is claimed.
    pub object: Value,
    /// Who said so.
    pub source: String,
    /// Stated confidence, 0..=1e9.
    pub confidence_nano: Option<i64>,
    /// Stated class, 0 (standard body) ..= 5 (anecdote).
    pub source_class: Option<u8>,
    /// The agent that wrote the claim.
    pub author: Option<String>,
    /// The epoch the claim belongs to.
    pub epoch: Option<String>,
    /// `proposed`, `under_review`, `approved`, `deprecated` or `rejected`.
    pub lifecycle: Option<String>,
    /// First instant at which the claim holds.
    pub valid_from_us: Option<i64>,
    /// First instant at which it no longer holds.
    pub valid_to_us: Option<i64>,
    /// When the claim was observed.
    pub observed_at_us: Option<i64>,
    /// Ids of the claims it derives from.
    pub parents: Vec<String>,
    /// Agents whose signatures came with the claim.
    pub signers: Vec<String>,
}

/// An agent's judgement of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// Position.
    pub lsn: u64,
    /// Place inside the entry.
    pub ordinal: u32,
    /// Id of the claim voted on.
    pub claim: String,
    /// The voter.
    pub agent: String,
    /// Weight, -1e9..=1e9.
    pub weight_nano: i64,
}

/// A claim retired, in favour of another or of none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supersession {
    /// Position.
    pub lsn: u64,
    /// Place inside the entry.
    pub ordinal: u32,
    /// Id of the retired claim.
    pub old: String,
    /// Id of the claim that takes its place; `None` is a retraction.
    pub new: Option<String>,
}

/// A named epoch, possibly the successor of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Position.
    pub lsn: u64,
    /// Place inside the entry.
    pub ordinal: u32,
    /// Its name.
    pub name: String,
    /// Name of the epoch it supersedes.
    pub supersedes: Option<String>,
}

/// What is known of a source from this position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Position.
    pub lsn: u64,
    /// Place inside the entry.
    pub ordinal: u32,
    /// The text that claims give as their source.
    pub id: String,
    /// Its class, 0..=5.
    pub class: u8,
}

/// What is known of an agent from this position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Position.
    pub lsn: u64,
    /// Place inside the entry.
    pub ordinal: u32,
    /// The text that claims give as their author.
    pub id: String,
    /// Trust in it, 0..=1e9.
    pub trust_nano: Option<i64>,
}

/// Another agent's signature under an existing claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cosign {
    /// Position.
    pub lsn: u64,
    /// Place inside the entry.
    pub ordinal: u32,
    /// Id of the signed claim.
    pub claim: String,
    /// The signer.
    pub agent: String,
}

/// Everything ever appended. Each list is kept by the text that questions look it up with.
#[derive(Clone, Debug)]
pub struct World {
    claims: Vec<Claim>,
    /// Claim id → the first claim of it; `None` where ids may have been changed since.
    by_id: Option<BTreeMap<String, usize>>,
    /// (subject, predicate) → indices into `claims`, in the order of appending.
    pub(crate) questions: BTreeMap<(String, String), Vec<usize>>,
    /// Claim id → votes on it.
    pub(crate) votes: BTreeMap<String, Vec<Vote>>,
    /// Retired claim id → supersessions of it.
    pub(crate) supersessions: BTreeMap<String, Vec<Supersession>>,
    pub(crate) epochs: Vec<Epoch>,
    /// Source id → its records.
    pub(crate) sources: BTreeMap<String, Vec<Source>>,
    /// Agent id → its records.
    pub(crate) agents: BTreeMap<String, Vec<Agent>>,
    /// Claim id → co-signatures under it.
    pub(crate) cosigns: BTreeMap<String, Vec<Cosign>>,
}

impl Default for World {
    fn default() -> World {
        World {
            claims: Vec::new(),
            by_id: Some(BTreeMap::new()),
            questions: BTreeMap::new(),
            votes: BTreeMap::new(),
            supersessions: BTreeMap::new(),
            epochs: Vec::new(),
            sources: BTreeMap::new(),
            agents: BTreeMap::new(),
            cosigns: BTreeMap::new(),
        }
    }
}

impl World {
    /// Appends a claim. `false` if its id was already claimed for this question: the first one stays.
    pub fn assert(&mut self, claim: Claim) -> bool {
        let question = (claim.subject.clone(), claim.predicate.clone());
        let asserted = self.questions.entry(question).or_default();
        if asserted.iter().any(|&i| self.claims[i].id == claim.id) {
            return false;
        }
        asserted.push(self.claims.len());
        if let Some(by_id) = &mut self.by_id {
            by_id.entry(claim.id.clone()).or_insert(self.claims.len());
        }
        self.claims.push(claim);
        true
    }

    /// Appends a vote.
    pub fn vote(&mut self, vote: Vote) {
        self.votes.entry(vote.claim.clone()).or_default().push(vote);
    }

    /// Appends a supersession.
    pub fn supersede(&mut self, supersession: Supersession) {
        self.supersessions.entry(supersession.old.clone()).or_default().push(supersession);
    }

    /// Appends an epoch record.
    pub fn epoch(&mut self, epoch: Epoch) {
        self.epochs.push(epoch);
    }

    /// Appends a source record.
    pub fn source(&mut self, source: Source) {
        self.sources.entry(source.id.clone()).or_default().push(source);
    }

    /// Appends an agent record.
    pub fn agent(&mut self, agent: Agent) {
        self.agents.entry(agent.id.clone()).or_default().push(agent);
    }

    /// Appends a co-signature.
    pub fn cosign(&mut self, cosign: Cosign) {
        self.cosigns.entry(cosign.claim.clone()).or_default().push(cosign);
    }

    /// Every claim, in the order of appending.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The claims, to fill in what only the engine knows (ids, positions, recorded times). Subjects and
    /// predicates must stay as they are.
    pub fn claims_mut(&mut self) -> &mut [Claim] {
        self.by_id = None;
        &mut self.claims
    }

    /// The first claim of an id.
    pub fn claim(&self, id: &str) -> Option<&Claim> {
        match &self.by_id {
            Some(by_id) => by_id.get(id).map(|&i| &self.claims[i]),
            None => self.claims.iter().find(|claim| claim.id == id),
        }
    }

    /// The claims about (subject, predicate) with an LSN up to `as_of`, in the order of their positions.
    pub fn claims_about(&self, subject: &str, predicate: &str, as_of: u64) -> Vec<&Claim> {
        let question = (subject.to_string(), predicate.to_string());
        let asserted = self.questions.get(&question).into_iter().flatten();
        let mut claims: Vec<&Claim> = asserted.map(|&i| &self.claims[i]).collect();
        claims.retain(|claim| claim.lsn <= as_of);
        claims.sort_by_key(|claim| (claim.lsn, claim.ordinal));
        claims
    }

    /// Every vote cast on a claim up to `as_of`, in the order of telling.
    pub fn votes_on(&self, claim: &str, as_of: u64) -> impl Iterator<Item = &Vote> {
        self.votes.get(claim).into_iter().flatten().filter(move |vote| vote.lsn <= as_of)
    }

    /// Every (subject, predicate) that has a claim, sorted.
    pub fn questions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.questions.keys().map(|(subject, predicate)| (subject.as_str(), predicate.as_str()))
    }
}

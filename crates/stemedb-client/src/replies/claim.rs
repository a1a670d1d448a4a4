//! Single claims and agents.

use serde::Deserialize;

use crate::{
    names::{Lifecycle, SupersessionKind},
    records::{Assertion, Signature},
    value::Value,
};

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Recorded {
    /// The id of a claim.
    pub id: Option<String>,
    /// The entry that it stands in.
    pub lsn: u64,
    /// False if it was there already.
    pub created: bool,
    /// Signatures that were added to a claim that was there.
    #[serde(default)]
    pub cosigned: u32,
}

/// A claim as it was asserted, and where.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Stored")]
#[non_exhaustive]
pub struct StoredAssertion {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// The entry that it stands in.
    pub lsn: u64,
    /// Its place in the entry.
    pub ordinal: u32,
    /// When it was recorded.
    pub recorded_at: String,
    /// What was asserted.
    pub assertion: Assertion,
}

/// As it stands in a reply: on one level. (Not by `flatten`, which would lose the digits of numbers.)
#[derive(Deserialize)]
struct Stored {
    id: String,
    lsn: u64,
    #[serde(default)]
    ordinal: u32,
    recorded_at: String,
    subject: String,
    predicate: String,
    object: Value,
    source: String,
    confidence: Option<f64>,
    source_class: Option<u8>,
    author: Option<String>,
    excerpt_hash: Option<String>,
    epoch: Option<String>,
    lifecycle: Option<Lifecycle>,
    valid_from: Option<String>,
    valid_to: Option<String>,
    observed_at: Option<String>,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    signatures: Vec<Signature>,
}

impl From<Stored> for StoredAssertion {
    fn from(stored: Stored) -> StoredAssertion {
        StoredAssertion {
            id: stored.id,
            lsn: stored.lsn,
            ordinal: stored.ordinal,
            recorded_at: stored.recorded_at,
            assertion: Assertion {
                subject: stored.subject,
                predicate: stored.predicate,
                object: stored.object,
                source: stored.source,
                confidence: stored.confidence,
                source_class: stored.source_class,
                author: stored.author,
                excerpt_hash: stored.excerpt_hash,
                epoch: stored.epoch,
                lifecycle: stored.lifecycle,
                valid_from: stored.valid_from,
                valid_to: stored.valid_to,
                observed_at: stored.observed_at,
                parents: stored.parents,
                signatures: stored.signatures,
            },
        }
    }
}

/// Something that was said about a claim.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Remark {
    /// `vote`, `cosign` or `supersede`.
    pub kind: String,
    /// The entry that it stands in.
    pub lsn: u64,
    /// Its place in the entry.
    pub ordinal: u32,
    /// When it was recorded.
    pub recorded_at: String,
    /// Who said it.
    pub agent: Option<String>,
    /// Of a vote.
    pub weight: Option<f64>,
    /// What took the claim's place.
    pub new: Option<String>,
    /// What a supersession does.
    pub supersession: Option<SupersessionKind>,
    /// Why.
    pub reason: Option<String>,
    /// The agent's signature.
    pub signature: Option<String>,
}

/// A step from a claim to what took its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// The claim that was set aside.
    pub old: String,
    /// What took its place.
    pub new: Option<String>,
    /// What the step does.
    pub kind: SupersessionKind,
    /// The entry that it stands in.
    pub lsn: u64,
    /// Why.
    pub reason: Option<String>,
}

/// What took a claim's place, and what took that one's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Chain {
    /// `head`, `retracted`, `cycle` or `cut`.
    pub end: String,
    /// The claim it ends at.
    pub at: String,
    /// The steps.
    pub links: Vec<Link>,
}

/// What a claim derives from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Lineage {
    /// The least trust on the way.
    pub trust: f64,
    /// The nearest retracted claim.
    pub tainted_by: Option<String>,
    /// How many claims it derives from.
    pub ancestors: u64,
    /// There are more than were looked at.
    pub cut: bool,
}

/// What was said about a claim: one page of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The claim.
    pub claim: StoredAssertion,
    /// Remarks on all pages.
    pub remarks_total: u64,
    /// Remarks of this page, in order.
    pub remarks: Vec<Remark>,
    /// What took its place.
    pub chain: Chain,
    /// What it derives from.
    pub lineage: Lineage,
    /// The entry whose knowledge answered: ask for other pages as of it.
    pub as_of: u64,
}

/// A claim that derives from another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Near {
    /// The claim.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// Which of its properties.
    pub predicate: String,
}

/// What derives from a claim.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Impact {
    /// The claim.
    pub id: String,
    /// Claims that name it as a parent.
    pub direct: u64,
    /// All that derive from it.
    pub total: u64,
    /// The longest way.
    pub depth: u32,
    /// Questions that these answer.
    pub questions: u64,
    /// False where there are more than were counted.
    pub complete: bool,
    /// The nearest of them.
    pub nearest: Vec<Near>,
    /// The entry whose knowledge answered.
    pub as_of: u64,
}

/// What is known about an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct AgentKnown {
    /// The agent.
    pub id: String,
    /// Whether there is a record.
    pub recorded: bool,
    /// Its name.
    pub name: Option<String>,
    /// As it counts.
    pub class: u8,
    /// As it counts.
    pub trust: f64,
    /// The entry that the record stands in.
    pub lsn: Option<u64>,
    /// When it was recorded.
    pub recorded_at: Option<String>,
    /// The entry whose knowledge answered.
    pub as_of: u64,
}

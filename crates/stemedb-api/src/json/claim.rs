//! One claim in JSON, as it was asserted.

use serde::Serialize;
use stemedb_core::{Assertion, Micros, Nano};
use stemedb_index::StoredClaim;

use super::ObjectJson;

/// The answer to `GET /v1/assertions/{id}`: what was asserted, and where and when. It never changes, so that its id is
/// a strong entity tag; what others did to the claim since is told by questions.
#[derive(Debug, Serialize)]
pub struct ClaimJson<'a> {
    id: String,
    lsn: u64,
    ordinal: u32,
    recorded_at: String,
    #[serde(flatten)]
    claim: AssertionJson<'a>,
}

/// The members of the request that records a claim.
#[derive(Debug, Serialize)]
pub(super) struct AssertionJson<'a> {
    subject: &'a str,
    predicate: &'a str,
    object: ObjectJson<'a>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_class: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<SignatureJson>,
}

#[derive(Debug, Serialize)]
struct SignatureJson {
    agent: String,
    signature: String,
}

impl<'a> ClaimJson<'a> {
    /// The JSON of a stored claim.
    pub fn new(stored: &'a StoredClaim) -> ClaimJson<'a> {
        ClaimJson {
            id: stored.id.to_string(),
            lsn: stored.position.lsn.0,
            ordinal: stored.position.ordinal,
            recorded_at: rfc3339(Micros(stored.recorded_at.0)),
            claim: AssertionJson::new(&stored.assertion),
        }
    }
}

impl<'a> AssertionJson<'a> {
    pub(super) fn new(claim: &'a Assertion) -> AssertionJson<'a> {
        let signature = |signature: &stemedb_core::Signature| SignatureJson {
            agent: signature.agent.to_string(),
            signature: signature.bytes.to_string(),
        };
        AssertionJson {
            subject: &claim.subject,
            predicate: &claim.predicate,
            object: ObjectJson(claim.object.as_ref()),
            source: &claim.source,
            confidence: claim.confidence.map(Nano::to_f64),
            source_class: claim.source_class.map(|class| class.number()),
            author: claim.author.map(|author| author.to_string()),
            excerpt_hash: claim.excerpt_hash.map(|hash| stemedb_core::ClaimId(hash).to_string()),
            epoch: claim.epoch.as_deref(),
            lifecycle: claim.lifecycle.map(|stage| stage.name()),
            valid_from: claim.valid_from.map(rfc3339),
            valid_to: claim.valid_to.map(rfc3339),
            observed_at: claim.observed_at.map(rfc3339),
            parents: claim.parents.iter().map(ToString::to_string).collect(),
            signatures: claim.signatures.iter().map(signature).collect(),
        }
    }
}

/// An instant as it is written everywhere.
pub(super) fn rfc3339(instant: Micros) -> String {
    instant.to_string()
}

//! What was said about a claim, in JSON.

use serde::Serialize;
use stemedb_core::Micros;
use stemedb_env::Lsn;
use stemedb_index::claims::{Chain, History, Remark, Remarked};

use super::{ClaimJson, claim::rfc3339};

/// The answer to `GET /v1/assertions/{id}/history`.
#[derive(Debug, Serialize)]
pub struct HistoryJson<'a> {
    claim: ClaimJson<'a>,
    /// How many remarks there are, on this page or not.
    remarks_total: usize,
    remarks: Vec<RemarkJson<'a>>,
    chain: ChainJson<'a>,
    lineage: LineageJson,
    /// The LSN whose knowledge answered.
    as_of: u64,
}

impl<'a> HistoryJson<'a> {
    /// The JSON of a history, with `limit` of its remarks from the one with index `offset` on.
    pub fn new(history: &'a History, offset: usize, limit: usize, as_of: Lsn) -> HistoryJson<'a> {
        let lineage = history.lineage;
        HistoryJson {
            claim: ClaimJson::new(&history.claim),
            remarks_total: history.remarks.len(),
            remarks: history.remarks.iter().skip(offset).take(limit).map(remark).collect(),
            chain: ChainJson::new(&history.chain),
            lineage: LineageJson {
                trust: lineage.trust.to_f64(),
                tainted_by: lineage.tainted.map(|id| id.to_string()),
                ancestors: lineage.ancestors,
                cut: lineage.cut,
            },
            as_of: as_of.0,
        }
    }
}

#[derive(Debug, Serialize)]
struct RemarkJson<'a> {
    /// `vote`, `cosign` or `supersede`.
    kind: &'static str,
    lsn: u64,
    ordinal: u32,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// The claim that took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    /// What the supersession does: `replaces`, `corrects`, `retracts` or `refines`.
    #[serde(skip_serializing_if = "Option::is_none")]
    supersession: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

fn remark(remarked: &Remarked) -> RemarkJson<'_> {
    let plain = RemarkJson {
        kind: "",
        lsn: remarked.position.lsn.0,
        ordinal: remarked.position.ordinal,
        recorded_at: rfc3339(Micros(remarked.recorded_at.0)),
        agent: None,
        weight: None,
        new: None,
        supersession: None,
        reason: None,
        signature: None,
    };
    match &remarked.remark {
        Remark::Vote(vote) => RemarkJson {
            kind: "vote",
            agent: Some(vote.agent.to_string()),
            weight: Some(vote.weight.to_f64()),
            reason: vote.reason.as_deref(),
            signature: vote.signature.map(|bytes| bytes.to_string()),
            ..plain
        },
        Remark::Cosign(cosign) => RemarkJson {
            kind: "cosign",
            agent: Some(cosign.agent.to_string()),
            signature: Some(cosign.signature.to_string()),
            ..plain
        },
        Remark::Supersede(change) => RemarkJson {
            kind: "supersede",
            agent: change.agent.map(|agent| agent.to_string()),
            new: change.new.map(|new| new.to_string()),
            supersession: Some(change.kind.name()),
            reason: change.reason.as_deref(),
            signature: change.signature.map(|bytes| bytes.to_string()),
            ..plain
        },
    }
}

#[derive(Debug, Serialize)]
struct ChainJson<'a> {
    /// `head`, `retracted`, `cycle` or `cut`.
    end: &'static str,
    /// The claim it ends at.
    at: String,
    links: Vec<LinkJson<'a>>,
}

#[derive(Debug, Serialize)]
struct LinkJson<'a> {
    old: String,
    new: Option<String>,
    kind: &'static str,
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> ChainJson<'a> {
    fn new(chain: &'a Chain) -> ChainJson<'a> {
        let links = chain.links.iter().map(|(position, change)| LinkJson {
            old: change.old.to_string(),
            new: change.new.map(|new| new.to_string()),
            kind: change.kind.name(),
            lsn: position.lsn.0,
            reason: change.reason.as_deref(),
        });
        ChainJson { end: chain.end.name(), at: chain.end.claim().to_string(), links: links.collect() }
    }
}

#[derive(Debug, Serialize)]
struct LineageJson {
    trust: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tainted_by: Option<String>,
    ancestors: usize,
    cut: bool,
}

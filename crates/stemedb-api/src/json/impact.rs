//! What a retraction would touch, in JSON.

use serde::Serialize;
use stemedb_env::Lsn;
use stemedb_index::claims::Impact;

/// The answer to `GET /v1/assertions/{id}/impact`.
#[derive(Debug, Serialize)]
pub struct ImpactJson<'a> {
    id: String,
    direct: u64,
    total: u64,
    depth: u32,
    questions: u64,
    complete: bool,
    nearest: Vec<NearJson<'a>>,
    rows_read: u64,
    lookups: u64,
    /// The LSN whose knowledge answered.
    as_of: u64,
}

#[derive(Debug, Serialize)]
struct NearJson<'a> {
    id: String,
    subject: &'a str,
    predicate: &'a str,
}

impl<'a> ImpactJson<'a> {
    /// The JSON of an impact.
    pub fn new(impact: &'a Impact, as_of: Lsn) -> ImpactJson<'a> {
        let nearest = impact.nearest.iter().map(|(id, question)| NearJson {
            id: id.to_string(),
            subject: &question.subject,
            predicate: &question.predicate,
        });
        ImpactJson {
            id: impact.claim.to_string(),
            direct: impact.direct,
            total: impact.total,
            depth: impact.depth,
            questions: impact.questions,
            complete: impact.complete,
            nearest: nearest.collect(),
            rows_read: impact.rows_read,
            lookups: impact.lookups,
            as_of: as_of.0,
        }
    }
}

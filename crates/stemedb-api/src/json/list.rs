//! Pages of listings and of the board of conflicts in JSON.

use serde::{Serialize, Serializer};
use stemedb_core::Nano;
use stemedb_index::{
    StoredClaim,
    questions::{Contested, Knowledge, QuestionSummary},
};

use super::ClaimJson;
use crate::database::{Conflicts, ListPage};

/// The answer to `GET /v1/claims`.
#[derive(Clone, Copy, Debug)]
pub struct ClaimPageJson<'a>(pub &'a ListPage<StoredClaim>);

impl Serialize for ClaimPageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Page<'a> {
            claims: Vec<ClaimJson<'a>>,
            lsn: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<&'a str>,
        }
        let ListPage { items, lsn, cursor } = self.0;
        let claims = items.iter().map(ClaimJson::new).collect();
        Page { claims, lsn: lsn.0, cursor: cursor.as_deref() }.serialize(serializer)
    }
}

/// The answer to `GET /v1/questions`.
#[derive(Clone, Copy, Debug)]
pub struct QuestionPageJson<'a>(pub &'a ListPage<QuestionSummary>);

#[derive(Serialize)]
struct QuestionJson<'a> {
    subject: &'a str,
    predicate: &'a str,
    claims: u64,
    /// Where its newest claim stands.
    newest_lsn: u64,
}

impl Serialize for QuestionPageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Page<'a> {
            questions: Vec<QuestionJson<'a>>,
            lsn: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<&'a str>,
        }
        let ListPage { items, lsn, cursor } = self.0;
        let questions = items.iter().map(question).collect();
        Page { questions, lsn: lsn.0, cursor: cursor.as_deref() }.serialize(serializer)
    }
}

fn question(summary: &QuestionSummary) -> QuestionJson<'_> {
    QuestionJson {
        subject: &summary.question.subject,
        predicate: &summary.question.predicate,
        claims: summary.claims,
        newest_lsn: summary.newest.lsn.0,
    }
}

/// The answer to `GET /v1/conflicts`.
#[derive(Clone, Copy, Debug)]
pub struct ConflictPageJson<'a>(pub &'a Conflicts);

#[derive(Serialize)]
struct ContestedJson<'a> {
    subject: &'a str,
    predicate: &'a str,
    conflict_score: f64,
    status: &'static str,
    /// Number of values, sum of their supports, and number of claims that take part.
    values: u32,
    support: f64,
    considered: u32,
}

impl Serialize for ConflictPageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Page<'a> {
            conflicts: Vec<ContestedJson<'a>>,
            knowledge: KnowledgeJson,
            complete: bool,
            lsn: u64,
            evaluated_at: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<&'a str>,
        }
        let page = self.0;
        Page {
            conflicts: page.items.iter().map(contested).collect(),
            knowledge: KnowledgeJson::new(&page.knowledge),
            complete: page.complete,
            lsn: page.lsn.0,
            evaluated_at: page.evaluated_at.to_string(),
            cursor: page.cursor.as_deref(),
        }
        .serialize(serializer)
    }
}

fn contested(contested: &Contested) -> ContestedJson<'_> {
    ContestedJson {
        subject: &contested.question.subject,
        predicate: &contested.question.predicate,
        conflict_score: f64::from(contested.score) / 1e9,
        status: contested.status.name(),
        values: contested.values,
        support: Nano(contested.support).to_f64(),
        considered: contested.considered,
    }
}

/// How all questions stand together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct KnowledgeJson {
    questions: u64,
    unanimous: u64,
    agreed: u64,
    open_conflicts: u64,
    claims: u64,
    single_source: u64,
    single_source_share: f64,
    unsigned_claims: u64,
    unsigned_share: f64,
}

impl KnowledgeJson {
    /// The figures in JSON; shares rounded to 10⁻⁹.
    pub fn new(knowledge: &Knowledge) -> KnowledgeJson {
        let rounded = |share: f64| (share * 1e9).round() / 1e9;
        KnowledgeJson {
            questions: knowledge.questions,
            unanimous: knowledge.unanimous,
            agreed: knowledge.agreed,
            open_conflicts: knowledge.contested,
            claims: knowledge.claims,
            single_source: knowledge.single_source,
            single_source_share: rounded(knowledge.single_source_share()),
            unsigned_claims: knowledge.unsigned_claims,
            unsigned_share: rounded(knowledge.unsigned_share()),
        }
    }
}

//! Questions and their answers.

use std::sync::Arc;

use stemedb_core::{Answer, ClaimId, Lens, LensParams, Micros, SetAside, resolve};
use stemedb_env::Lsn;
use stemedb_index::CandidateSet;

use super::{AsOf, Database};
use crate::errors::Result;

/// What is said about a subject under a predicate, and through which lens to look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The subject.
    pub subject: String,
    /// The predicate.
    pub predicate: String,
    /// The lens.
    pub lens: Lens,
    /// The moment whose knowledge answers; `None` = now.
    pub as_of: Option<AsOf>,
    /// The epoch asked about; `None` = whatever has not been superseded.
    pub epoch: Option<String>,
    /// Whether confidences fade with age.
    pub decay: bool,
    /// The instant that validity and age are measured at; `None` = now.
    pub evaluated_at: Option<Micros>,
}

impl Query {
    /// A question about the present, without decay.
    pub fn new(subject: impl Into<String>, predicate: impl Into<String>, lens: Lens) -> Query {
        Query {
            subject: subject.into(),
            predicate: predicate.into(),
            lens,
            as_of: None,
            epoch: None,
            decay: false,
            evaluated_at: None,
        }
    }
}

/// An answer with everything it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The question.
    pub query: Query,
    /// The answer. Its indices point into `candidates`.
    pub answer: Answer,
    /// Every claim about the question, newest LSN first, those set aside included.
    pub candidates: Arc<CandidateSet>,
    /// For each claim that is superseded: the claim that took its place last.
    pub successors: Vec<(ClaimId, ClaimId)>,
    /// The LSN whose knowledge answered.
    pub lsn: Lsn,
    /// The instant that validity and age were measured at.
    pub evaluated_at: Micros,
}

pub(super) fn answer(database: &Database, query: Query) -> Result<Resolved> {
    let reader = database.reader(query.as_of)?;
    let evaluated_at = query.evaluated_at.unwrap_or_else(|| Micros(database.env().clock.wall().0));
    let candidates = reader.question(&query.subject, &query.predicate, query.epoch.as_deref())?;
    let params = LensParams { evaluated_at, decay: query.decay };
    let answer = match database.caches() {
        Some(cache) => cache.answer(query.lens, &candidates, &params),
        None => resolve(query.lens, &candidates, params),
    };
    let superseded = answer.set_aside.iter().filter(|(_, reason)| *reason == SetAside::Superseded);
    let successor = |index: usize| {
        let id = candidates.get(index)?.id;
        Some((id, candidates.successor(id)?))
    };
    let successors = superseded.filter_map(|(index, _)| successor(*index)).collect();
    Ok(Resolved { query, answer, candidates, successors, lsn: reader.lsn(), evaluated_at })
}

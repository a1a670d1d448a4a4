//! Questions and their answers.

use std::{sync::Arc, time::Duration};

use stemedb_core::{
    AgentId, Answer, ClaimId, Lens, LensParams, Micros, SetAside,
    lens::{Counterfactual, Evidence, Fragility, Tolerance, fragility_with, resolve_with},
};
use stemedb_env::Lsn;
use stemedb_index::{CandidateSet, ClaimReader, claims::Used};
use stemedb_lsm::ThreadReads;

use super::{AsOf, Database, Snapshot, evidence};
use crate::errors::{Code, FieldError, Result};

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
    /// The instant that validity and age are measured at; `None` = now, or the moment of `known_at`.
    pub evaluated_at: Option<Micros>,
    /// Like `as_of`, for whom it matters that nothing later was used: the answer then says what the newest was. Not together with
    /// `as_of`.
    pub known_at: Option<AsOf>,
    /// How far apart numbers may be and still be one value.
    pub tolerance: Option<Tolerance>,
    /// What is left out, to see what the answer would be without it.
    pub counterfactual: Counterfactual,
    /// Whether voices that copy each other count once. Reads the sources' records and the subject's other questions as
    /// well.
    pub independent: bool,
    /// Whether to find out how little must be taken away to change the answer. Costs up to some tens of milliseconds.
    pub fragility: bool,
}

impl Query {
    /// A question about the present, without decay, in which everything counts.
    pub fn new(subject: impl Into<String>, predicate: impl Into<String>, lens: Lens) -> Query {
        Query {
            subject: subject.into(),
            predicate: predicate.into(),
            lens,
            as_of: None,
            epoch: None,
            decay: false,
            evaluated_at: None,
            known_at: None,
            tolerance: None,
            counterfactual: Counterfactual::default(),
            independent: false,
            fragility: false,
        }
    }

    /// What the lens is told at an instant.
    pub fn params(&self, evaluated_at: Micros) -> LensParams {
        LensParams {
            decay: self.decay,
            tolerance: self.tolerance,
            counterfactual: self.counterfactual.clone(),
            independent: self.independent,
            ..LensParams::at(evaluated_at)
        }
    }
}

/// Most sources and agents that one question leaves out.
const WITHOUT_MAX: usize = 64;

/// Adds what `source:ID` or `agent:HEX` names to what a question leaves out.
///
/// # Errors
/// [`Code::InvalidParameter`] for the parameter `without`: another form, or more than 64.
pub fn leave_out(counterfactual: &mut Counterfactual, text: &str) -> Result<(), FieldError> {
    let refuse = |detail: &str| FieldError::in_parameter("without", Code::InvalidParameter, detail);
    let count = counterfactual.without_sources.len() + counterfactual.without_agents.len();
    if count >= WITHOUT_MAX {
        return Err(refuse(&format!("is given more than {WITHOUT_MAX} times")));
    }
    match text.split_once(':') {
        Some(("source", source)) if !source.is_empty() => {
            counterfactual.without_sources.push(source.to_owned())
        }
        Some(("agent", agent)) => {
            let agent: AgentId = agent.parse().map_err(|_| refuse("an agent is 64 hexadecimal digits"))?;
            counterfactual.without_agents.push(agent);
        }
        _ => return Err(refuse("must be source:ID or agent:HEX")),
    }
    Ok(())
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
    /// What the lens was told.
    pub params: LensParams,
    /// What is known about who copies whom; empty unless the question asks for it.
    pub evidence: Evidence,
    /// How little must be taken away to change the answer, if the question asks for it and something is considered.
    pub fragility: Option<Fragility>,
    /// The instant that validity and age were measured at.
    pub evaluated_at: Micros,
    /// The newest of all rows that were used; `None` if none was. Never after `lsn`.
    pub used: Option<Used>,
}

/// What an answer has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryCost {
    /// Time until the claims, and what is known about their sources, were there.
    pub gathering: Duration,
    /// Time of the lens, and of finding out how fragile the answer is.
    pub lens: Duration,
    /// Time to make and sign the receipt, where one was asked for.
    pub receipt: Duration,
    /// Blocks read from files.
    pub block_reads: u64,
    /// Blocks found in the cache of blocks. A question that the caches of questions know touches none.
    pub cache_hits: u64,
}

impl Resolved {
    /// What candidates and answer hold in memory, in bytes, whoever else holds them too. Cost: a walk over them.
    pub fn memory_bytes(&self) -> usize {
        stemedb_index::memory_of_answer(&self.candidates, &self.answer)
    }
}

/// A reader for one question: what it says it has used is what the question has used.
pub(super) fn reader(database: &Database, query: &Query) -> Result<ClaimReader<Snapshot>> {
    match (query.as_of, query.known_at) {
        (Some(_), Some(_)) => {
            let detail = "cannot be given together with as_of";
            Err(FieldError::in_parameter("known_at", Code::InvalidParameter, detail).into())
        }
        (as_of, None) => database.reader(as_of),
        (None, known_at) => database.reader_at(known_at, "known_at"),
    }
}

pub(super) fn answer(database: &Database, query: Query) -> Result<Resolved> {
    let reader = reader(database, &query)?;
    answer_from(database, &reader, query)
}

/// [`answer`], with its cost.
pub(super) fn measured(database: &Database, query: Query) -> Result<(Resolved, QueryCost)> {
    let reader = reader(database, &query)?;
    measured_from(database, &reader, query)
}

/// Beyond so many candidates a lens takes long enough to be in somebody's way.
const SHORT_CANDIDATES: usize = 64;

/// [`measured`], if it takes microseconds and reads nothing from the store: a question as of now, whose claims the cache has.
pub(super) fn measured_if_known(database: &Database, query: &Query) -> Result<Option<(Resolved, QueryCost)>> {
    let is_plain =
        query.as_of.is_none() && query.known_at.is_none() && !query.independent && !query.fragility;
    if !is_plain || database.caches().is_none() {
        return Ok(None);
    }
    let clock = &database.env().clock;
    let began = clock.monotonic();
    let reader = reader(database, query)?;
    let candidates = reader.known_question(&query.subject, &query.predicate, query.epoch.as_deref());
    let Some(candidates) = candidates.filter(|candidates| candidates.len() <= SHORT_CANDIDATES) else {
        return Ok(None);
    };
    let evaluated_at = evaluated_at(database, &reader, query)?;
    let (params, evidence) = (query.params(evaluated_at), Evidence::default());
    let gathering = clock.monotonic().saturating_sub(began);
    let gathered = Gathered { query: query.clone(), candidates, params, evidence, evaluated_at };
    let resolved = resolve(database, &reader, gathered);
    let lens = clock.monotonic().saturating_sub(began + gathering);
    Ok(Some((resolved, QueryCost { gathering, lens, ..QueryCost::default() })))
}

/// [`answer_from`], with its cost.
pub(super) fn measured_from(
    database: &Database,
    reader: &ClaimReader<Snapshot>,
    query: Query,
) -> Result<(Resolved, QueryCost)> {
    let clock = &database.env().clock;
    let (began, read) = (clock.monotonic(), ThreadReads::now());
    let gathered = gather(database, reader, query)?;
    let gathering = clock.monotonic().saturating_sub(began);
    let resolved = resolve(database, reader, gathered);
    let ThreadReads { block_reads, cache_hits } = ThreadReads::now().since(read);
    let lens = clock.monotonic().saturating_sub(began + gathering);
    Ok((resolved, QueryCost { gathering, lens, receipt: Duration::ZERO, block_reads, cache_hits }))
}

/// The instant of the evaluation: as asked, else that of what may be known, else now.
fn evaluated_at(database: &Database, reader: &ClaimReader<Snapshot>, query: &Query) -> Result<Micros> {
    if let Some(instant) = query.evaluated_at {
        return Ok(instant);
    }
    let bound = match query.known_at {
        Some(AsOf::Time(time)) => Some(time),
        Some(AsOf::Lsn(lsn)) => reader.recorded_at(lsn)?.map(|at| Micros(at.0)),
        None => None,
    };
    Ok(bound.unwrap_or_else(|| Micros(database.env().clock.wall().0)))
}

pub(super) fn answer_from(
    database: &Database,
    reader: &ClaimReader<Snapshot>,
    query: Query,
) -> Result<Resolved> {
    Ok(resolve(database, reader, gather(database, reader, query)?))
}

/// What the lens looks at.
struct Gathered {
    query: Query,
    candidates: Arc<CandidateSet>,
    params: LensParams,
    evidence: Evidence,
    evaluated_at: Micros,
}

fn gather(database: &Database, reader: &ClaimReader<Snapshot>, query: Query) -> Result<Gathered> {
    let evaluated_at = evaluated_at(database, reader, &query)?;
    let candidates = reader.question(&query.subject, &query.predicate, query.epoch.as_deref())?;
    let params = query.params(evaluated_at);
    let evidence = match query.independent {
        true => evidence::gather(reader, &query.subject, &query.predicate, &candidates, evaluated_at)?,
        false => Evidence::default(),
    };
    Ok(Gathered { query, candidates, params, evidence, evaluated_at })
}

fn resolve(database: &Database, reader: &ClaimReader<Snapshot>, gathered: Gathered) -> Resolved {
    let Gathered { query, candidates, params, evidence, evaluated_at } = gathered;
    let answer = match database.caches() {
        // What others copied from elsewhere does not hang on this question's rows alone.
        Some(cache) if !query.independent => cache.answer(query.lens, &candidates, &params),
        _ => resolve_with(query.lens, &candidates, &params, &evidence),
    };
    let fragility = match query.fragility {
        true => fragility_with(query.lens, &candidates, &params, &evidence),
        false => None,
    };
    let superseded = answer.set_aside.iter().filter(|(_, reason)| *reason == SetAside::Superseded);
    let successor = |index: usize| {
        let id = candidates.get(index)?.id;
        Some((id, candidates.successor(id)?))
    };
    let successors = superseded.filter_map(|(index, _)| successor(*index)).collect();
    let used = reader.used();
    let lsn = reader.lsn();
    Resolved { query, answer, candidates, successors, lsn, params, evidence, fragility, evaluated_at, used }
}

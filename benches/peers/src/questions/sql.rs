//! What the two SQL databases have in common: the schema, the question, and claims from its rows.
//!
//! A claim is a row, clustered by its question where the database can; votes, supersessions and sources are tables of
//! their own, with the keys that the question needs. One statement asks for everything that a lens looks at: a claim comes
//! once for each of its votes.

use stemedb_core::{
    AgentId, Assertion, Candidate, ClaimId, Command, Lifecycle, LiveVote, Micros, Nano, Object, SetAside,
    SourceClass,
};

use super::data::{Batch, Question};
use crate::engine::Result;

/// The question; `?1` and `?2` are the subject and the predicate.
pub const ASK: &str = "SELECT c.lsn, c.ordinal, c.id, c.recorded_at, c.kind, c.object, c.source, c.confidence, \
    COALESCE(c.class, s.class, 5), c.epoch, c.lifecycle, c.valid_from, c.valid_to, c.observed_at, c.author, \
    (SELECT MAX(CASE WHEN x.new IS NULL THEN 1 ELSE 0 END) FROM superseded x WHERE x.old = c.id), v.agent, v.weight \
    FROM claims c LEFT JOIN sources s ON s.id = c.source LEFT JOIN votes v ON v.claim = c.id \
    WHERE c.subject = ?1 AND c.predicate = ?2 ORDER BY c.lsn DESC, c.ordinal DESC, v.agent";

/// Records that go into one table each.
#[derive(Debug, Default)]
pub struct Sorted<'a> {
    /// Ordinal, id and claim.
    pub claims: Vec<(i64, ClaimId, &'a Assertion)>,
    /// Votes.
    pub votes: Vec<&'a stemedb_core::Vote>,
    /// Ordinals and supersessions.
    pub superseded: Vec<(i64, &'a stemedb_core::Supersession)>,
    /// Sources.
    pub sources: Vec<&'a stemedb_core::Source>,
}

impl<'a> Sorted<'a> {
    /// Sorts a batch by tables.
    pub fn of(batch: &'a Batch) -> Result<Sorted<'a>> {
        let mut sorted = Sorted::default();
        for (ordinal, (command, id)) in (0..).zip(&batch.commands) {
            match (command, id) {
                (Command::Assert(claim), Some(id)) => sorted.claims.push((ordinal, *id, claim)),
                (Command::Vote(vote), _) => sorted.votes.push(vote),
                (Command::Supersede(change), _) => sorted.superseded.push((ordinal, change)),
                (Command::Source(source), _) => sorted.sources.push(source),
                _ => return Err("a record that no table takes".into()),
            }
        }
        Ok(sorted)
    }
}

/// An object as a column with its kind and one with its text.
pub fn columns_of(object: &Object) -> (i64, String) {
    match object {
        Object::Text(text) => (0, text.clone()),
        Object::Number(text) => (1, text.clone()),
        Object::Integer(integer) => (2, integer.to_string()),
        Object::Boolean(truth) => (3, truth.to_string()),
        Object::Time(text) => (4, text.clone()),
        Object::Reference(text) => (5, text.clone()),
        Object::Json(text) => (6, text.clone()),
    }
}

fn object_of(kind: i64, text: String) -> Result<Object> {
    Ok(match kind {
        0 => Object::Text(text),
        1 => Object::Number(text),
        2 => Object::Integer(text.parse()?),
        3 => Object::Boolean(text == "true"),
        4 => Object::Time(text),
        5 => Object::Reference(text),
        6 => Object::Json(text),
        other => return Err(format!("an object of kind {other}").into()),
    })
}

/// A row of the answer to [`ASK`].
#[derive(Debug)]
pub struct Told {
    /// Place in the journal.
    pub at: (i64, i64),
    /// Id.
    pub id: Vec<u8>,
    /// When recorded.
    pub recorded_at: i64,
    /// Kind and text of the object.
    pub object: (i64, String),
    /// Source.
    pub source: String,
    /// Confidence.
    pub confidence: Option<i64>,
    /// Class.
    pub class: i64,
    /// Epoch.
    pub epoch: Option<String>,
    /// Lifecycle, in the order of [`Lifecycle::ALL`].
    pub lifecycle: Option<i64>,
    /// valid_from, valid_to, observed_at.
    pub times: [Option<i64>; 3],
    /// Author.
    pub author: Option<Vec<u8>>,
    /// 0 if superseded, 1 if retracted.
    pub superseded: Option<i64>,
    /// A vote.
    pub vote: (Option<Vec<u8>>, Option<i64>),
}

fn bytes32(bytes: &[u8]) -> Result<[u8; 32]> {
    Ok(bytes.try_into()?)
}

/// Adds a row to the candidates: a further vote of the last one, or a new one.
pub fn add(candidates: &mut Vec<Candidate>, question: &Question, told: Told) -> Result<()> {
    let id = ClaimId(bytes32(&told.id)?);
    if candidates.last().is_none_or(|last| last.id != id) {
        let own = Candidate {
            id,
            lsn: told.at.0 as u64,
            ordinal: told.at.1 as u32,
            recorded_at: Micros(told.recorded_at),
            class: SourceClass::new(told.class as u8).map_err(|_| "a class that does not exist")?,
            trust: Nano::HALF,
            cosigners: Vec::new(),
            tainted: None,
            lineage_cut: false,
            votes: Vec::new(),
            set_aside: told.superseded.map(|kind| match kind {
                0 => SetAside::Superseded,
                _ => SetAside::Retracted,
            }),
            assertion: Assertion {
                confidence: told.confidence.map(Nano),
                epoch: told.epoch,
                lifecycle: told.lifecycle.and_then(|code| Lifecycle::ALL.get(code as usize).copied()),
                valid_from: told.times[0].map(Micros),
                valid_to: told.times[1].map(Micros),
                observed_at: told.times[2].map(Micros),
                author: told.author.as_deref().map(bytes32).transpose()?.map(AgentId),
                ..Assertion::new(
                    question.subject.as_str(),
                    question.predicate.as_str(),
                    object_of(told.object.0, told.object.1)?,
                    told.source,
                )
            },
        };
        candidates.push(own);
    }
    if let ((Some(agent), Some(weight)), Some(last)) = (told.vote, candidates.last_mut()) {
        last.votes.push(LiveVote { agent: AgentId(bytes32(&agent)?), weight: Nano(weight) });
    }
    Ok(())
}

//! What changed between two moments: which answers, and what came that changed them.
//!
//! ```text
//! entries of the span ─ commands ─▶ touched questions ─ asked at both moments, at one instant ─▶ differences
//! (the journal, or where it does not reach back, the view)
//! ```

mod touched;

use stemedb_core::{AgentId, ClaimId, Lens, Micros, Nano, SupersessionKind};
use stemedb_env::Lsn;
use stemedb_index::{ClaimReader, QuestionKey};

use self::touched::Touched;
use super::{AsOf, Database, Query, Resolved, Snapshot, query};
use crate::errors::{Code, FieldError, Result};

/// Which difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferenceQuery {
    /// The earlier moment.
    pub from: AsOf,
    /// The later one; `None` = now.
    pub to: Option<AsOf>,
    /// The lenses whose answers are compared.
    pub lenses: Vec<Lens>,
    /// Only questions about this subject.
    pub subject: Option<String>,
    /// Only questions under this predicate.
    pub predicate: Option<String>,
    /// The epoch asked about; `None` = whatever had not been superseded.
    pub epoch: Option<String>,
    /// Whether confidences fade with age.
    pub decay: bool,
    /// The instant of both evaluations, so that only what is known differs; `None` = now.
    pub evaluated_at: Option<Micros>,
    /// Only questions behind this one: the `next` of an earlier difference.
    pub after: Option<QuestionKey>,
    /// At most so many questions.
    pub limit: usize,
}

impl DifferenceQuery {
    /// From a moment until now, through one lens.
    pub fn since(from: AsOf, lens: Lens) -> DifferenceQuery {
        DifferenceQuery {
            from,
            to: None,
            lenses: vec![lens],
            subject: None,
            predicate: None,
            epoch: None,
            decay: false,
            evaluated_at: None,
            after: None,
            limit: 100,
        }
    }
}

/// What changed between two moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The last entry known at the earlier moment.
    pub from: Lsn,
    /// The last entry known at the later one.
    pub to: Lsn,
    /// The instant of all evaluations.
    pub evaluated_at: Micros,
    /// Questions about which something came or whose answer changed, in order.
    pub questions: Vec<QuestionDifference>,
    /// Questions that were asked.
    pub examined: usize,
    /// There are more: go on behind this question.
    pub next: Option<QuestionKey>,
}

/// What changed about one question.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionDifference {
    /// The question.
    pub question: QuestionKey,
    /// Each lens's answers.
    pub answers: Vec<AnswerDifference>,
    /// What came about this very question.
    pub arrived: Arrived,
}

/// One lens's answers at both moments.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerDifference {
    /// At the earlier moment.
    pub before: Resolved,
    /// At the later one.
    pub after: Resolved,
}

impl AnswerDifference {
    /// Whether the answers differ in what is answered: value, winners, status, confidence, margin, conflict.
    pub fn is_changed(&self) -> bool {
        let (before, after) = (&self.before.answer, &self.after.answer);
        before.value != after.value
            || before.winners != after.winners
            || before.status != after.status
            || before.confidence != after.confidence
            || before.margin != after.margin
            || before.conflict_score != after.conflict_score
            || before.cross_class_conflict != after.cross_class_conflict
    }
}

/// Records about one question, in the order in which they were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Claims.
    pub claims: Vec<ClaimId>,
    /// Votes: claim, agent, weight.
    pub votes: Vec<(ClaimId, AgentId, Nano)>,
    /// Supersessions: the claim that was set aside, its successor, the kind.
    pub supersessions: Vec<(ClaimId, Option<ClaimId>, SupersessionKind)>,
    /// Co-signatures: claim, agent.
    pub cosignatures: Vec<(ClaimId, AgentId)>,
}

impl Arrived {
    /// Nothing came.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.votes.is_empty()
            && self.supersessions.is_empty()
            && self.cosignatures.is_empty()
    }
}

/// Questions asked in one call.
const EXAMINED_MAX: usize = 20_000;

impl Database {
    /// What changed between two moments. Of a source's class or an epoch that was superseded the questions are found that it
    /// may have changed; those whose answers are the same are left out.
    ///
    /// Cost: the entries in between (a scan of all rows where the journal does not reach back; of all claims where an epoch was
    /// superseded), and two answers a question and lens.
    ///
    /// # Errors
    /// [`Code::InvalidParameter`] where the moments are in the wrong order; [`Code::LsnNotReached`]; [`Code::TooLarge`] for more than a million
    /// records in between.
    pub fn difference(&self, asked: DifferenceQuery) -> Result<Difference> {
        let later = self.reader_at(asked.to, "to")?;
        let from = match asked.from {
            AsOf::Lsn(lsn) => lsn,
            AsOf::Time(time) => later.lsn_at(stemedb_env::Micros(time.0))?,
        };
        if from > later.lsn() {
            let detail = format!("LSN {from} lies after the later moment, LSN {}", later.lsn());
            return Err(FieldError::in_parameter("from", Code::InvalidParameter, detail).into());
        }
        let earlier = ClaimReader::as_of(later.snapshot().clone(), from)?;
        let evaluated_at = asked.evaluated_at.unwrap_or_else(|| Micros(self.env().clock.wall().0));
        let mut difference = Difference {
            from,
            to: later.lsn(),
            evaluated_at,
            questions: Vec::new(),
            examined: 0,
            next: None,
        };
        let touched = Touched::find(self, &later, from, &asked)?;
        let mut last: Option<QuestionKey> = None;
        for (question, arrived) in touched.from(asked.after.as_ref()) {
            if difference.questions.len() >= asked.limit || difference.examined >= EXAMINED_MAX {
                difference.next = last;
                break;
            }
            difference.examined += 1;
            let answers = self.answers(&asked, &question, evaluated_at, (&earlier, &later))?;
            if !arrived.is_empty() || answers.iter().any(AnswerDifference::is_changed) {
                difference.questions.push(QuestionDifference {
                    question: question.clone(),
                    answers,
                    arrived,
                });
            }
            last = Some(question);
        }
        Ok(difference)
    }

    fn answers(
        &self,
        asked: &DifferenceQuery,
        question: &QuestionKey,
        evaluated_at: Micros,
        (earlier, later): (&ClaimReader<Snapshot>, &ClaimReader<Snapshot>),
    ) -> Result<Vec<AnswerDifference>> {
        let answer = |lens: Lens, reader: &ClaimReader<Snapshot>| {
            let query = Query {
                as_of: Some(AsOf::Lsn(reader.lsn())),
                epoch: asked.epoch.clone(),
                decay: asked.decay,
                evaluated_at: Some(evaluated_at),
                ..Query::new(question.subject.as_str(), question.predicate.as_str(), lens)
            };
            // What one question has used must not count for the next.
            query::answer_from(self, &reader.clone(), query)
        };
        let both = |lens: &Lens| {
            Ok(AnswerDifference { before: answer(*lens, earlier)?, after: answer(*lens, later)? })
        };
        asked.lenses.iter().map(both).collect()
    }
}

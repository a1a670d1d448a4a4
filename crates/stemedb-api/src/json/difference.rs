//! Differences in JSON.

use serde::{Serialize, Serializer};
use stemedb_core::ClaimId;

use super::{ObjectJson, claim::rfc3339};
use crate::database::{AnswerDifference, Arrived, Difference, QuestionDifference, Resolved};

/// The answer to `GET /v1/diff`.
#[derive(Clone, Copy, Debug)]
pub struct DifferenceJson<'a>(pub &'a Difference);

impl Serialize for DifferenceJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let difference = self.0;
        Whole {
            from: difference.from.0,
            to: difference.to.0,
            evaluated_at: rfc3339(difference.evaluated_at),
            examined: difference.examined,
            changes: difference.questions.iter().map(change).collect(),
            next: difference
                .next
                .as_ref()
                .map(|next| Next { subject: &next.subject, predicate: &next.predicate }),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    from: u64,
    to: u64,
    evaluated_at: String,
    /// Questions that were asked.
    examined: usize,
    changes: Vec<Change<'a>>,
    /// Where to go on, if there is more: `after_subject` and `after_predicate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Next<'a>>,
}

#[derive(Serialize)]
struct Next<'a> {
    subject: &'a str,
    predicate: &'a str,
}

#[derive(Serialize)]
struct Change<'a> {
    subject: &'a str,
    predicate: &'a str,
    answers: Vec<Answers<'a>>,
    claims: Vec<String>,
    votes: Vec<Vote>,
    supersessions: Vec<Supersession>,
    cosignatures: Vec<Cosignature>,
}

#[derive(Serialize)]
struct Answers<'a> {
    lens: &'static str,
    changed: bool,
    before: Side<'a>,
    after: Side<'a>,
}

#[derive(Serialize)]
struct Side<'a> {
    value: Option<ObjectJson<'a>>,
    winners: Vec<String>,
    status: &'static str,
    confidence: f64,
    margin: f64,
    conflict_score: f64,
    considered: usize,
}

#[derive(Serialize)]
struct Vote {
    assertion: String,
    agent: String,
    weight: f64,
}

#[derive(Serialize)]
struct Supersession {
    old: String,
    new: Option<String>,
    kind: &'static str,
}

#[derive(Serialize)]
struct Cosignature {
    claim: String,
    agent: String,
}

fn change(difference: &QuestionDifference) -> Change<'_> {
    let QuestionDifference { question, answers, arrived } = difference;
    let Arrived { claims, votes, supersessions, cosignatures } = arrived;
    Change {
        subject: &question.subject,
        predicate: &question.predicate,
        answers: answers.iter().map(both).collect(),
        claims: claims.iter().map(ClaimId::to_string).collect(),
        votes: votes
            .iter()
            .map(|(claim, agent, weight)| Vote {
                assertion: claim.to_string(),
                agent: agent.to_string(),
                weight: weight.to_f64(),
            })
            .collect(),
        supersessions: supersessions
            .iter()
            .map(|(old, new, kind)| Supersession {
                old: old.to_string(),
                new: new.map(|id| id.to_string()),
                kind: kind.name(),
            })
            .collect(),
        cosignatures: cosignatures
            .iter()
            .map(|(claim, agent)| Cosignature { claim: claim.to_string(), agent: agent.to_string() })
            .collect(),
    }
}

fn both(difference: &AnswerDifference) -> Answers<'_> {
    Answers {
        lens: difference.after.answer.lens.name(),
        changed: difference.is_changed(),
        before: side(&difference.before),
        after: side(&difference.after),
    }
}

fn side(resolved: &Resolved) -> Side<'_> {
    let answer = &resolved.answer;
    Side {
        value: answer.value.as_ref().map(|value| ObjectJson(value.as_ref())),
        winners: answer.winners.iter().map(ClaimId::to_string).collect(),
        status: answer.status.name(),
        confidence: answer.confidence.to_f64(),
        margin: answer.margin,
        conflict_score: answer.conflict_score,
        considered: answer.considered,
    }
}

//! One question to the engine and to the oracle, through every lens.

use std::fmt;

use stemedb_core::{
    Micros,
    lens::{Answer, Candidate, Lens, LensParams, resolve},
};
use stemedb_env::Lsn;
use stemedb_index::ClaimReader;
use stemedb_lsm::KvSnapshot;
use stemedb_oracle::{self as oracle, World};

use crate::{
    Dice, Invariant, Violation,
    claims::{EPOCHS, PREDICATES, SUBJECTS},
    model::value,
};

const DAY_US: i64 = 86_400_000_000;

/// A question and from when it is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// What the claims are about.
    pub subject: &'static str,
    /// Which property of it.
    pub predicate: &'static str,
    /// As it was known then.
    pub as_of: Lsn,
    /// For this instant.
    pub evaluated_at: Micros,
    /// Whether confidences age.
    pub decay: bool,
    /// The epoch asked about.
    pub epoch: Option<&'static str>,
}

impl Question {
    /// A random question about what was known up to `newest`.
    pub fn random(dice: &mut Dice, newest: Lsn, now_us: i64) -> Question {
        Question {
            subject: dice.pick(&SUBJECTS),
            predicate: dice.pick(&PREDICATES),
            as_of: if dice.one_in(2) { newest } else { Lsn(dice.below(newest.0 + 1)) },
            evaluated_at: Micros(now_us.saturating_add(dice.around_zero(200) * DAY_US)),
            decay: !dice.one_in(3),
            epoch: if dice.one_in(3) { Some(dice.pick(&EPOCHS)) } else { None },
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} as of {} at {} (decay {}, epoch {:?})",
            self.subject, self.predicate, self.as_of, self.evaluated_at.0, self.decay, self.epoch
        )
    }
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All lenses answered as the oracle does.
    Same,
    /// The engine said that it cannot answer.
    Unanswered,
}

/// Asks both and compares every lens.
pub fn compare<S: KvSnapshot>(snapshot: S, world: &World, question: &Question) -> Result<Asked, Violation> {
    let read = ClaimReader::as_of(snapshot, question.as_of)
        .and_then(|reader| reader.candidates(question.subject, question.predicate, question.epoch));
    let Ok(candidates) = read else { return Ok(Asked::Unanswered) };
    for lens in Lens::ALL {
        let params = LensParams::at(question.evaluated_at).with_decay(question.decay);
        let answer = resolve(lens, &candidates, &params);
        let expected = world.ask(
            question.subject,
            question.predicate,
            lens.name(),
            question.as_of.0,
            question.evaluated_at.0,
            question.decay,
            question.epoch,
        );
        if let Some(difference) = difference(&answer, &candidates, &expected) {
            let detail = format!("{question}, lens {lens}: {difference}");
            return Err(Violation::new(Invariant::Linearizable, detail));
        }
    }
    Ok(Asked::Same)
}

/// The first field in which two answers differ. Floats may differ by the rounding of both sides.
fn difference(answer: &Answer, candidates: &[Candidate], expected: &oracle::Answer) -> Option<String> {
    let unlike = |field: &str, ours: &dyn fmt::Debug, theirs: &dyn fmt::Debug| {
        Some(format!("{field} is {ours:?}, must be {theirs:?}"))
    };
    let close = |a: f64, b: f64| (a - b).abs() < 3e-9;

    let ours = answer.value.as_ref().map(|object| value(object).key());
    let theirs = expected.value.as_ref().map(oracle::Value::key);
    if ours != theirs {
        return unlike("value", &ours, &theirs);
    }
    let winners: Vec<String> = answer.winners.iter().map(ToString::to_string).collect();
    if winners != expected.winners {
        return unlike("winners", &winners, &expected.winners);
    }
    let floats = [
        ("confidence", answer.confidence.to_f64(), expected.confidence),
        ("margin", answer.margin, expected.margin),
        ("conflict_score", answer.conflict_score, expected.conflict_score),
    ];
    if let Some((field, ours, theirs)) = floats.into_iter().find(|(_, a, b)| !close(*a, *b)) {
        return unlike(field, &ours, &theirs);
    }
    if (answer.status.name(), answer.considered) != (expected.status.as_str(), expected.considered) {
        return unlike(
            "status",
            &(answer.status.name(), answer.considered),
            &(&expected.status, expected.considered),
        );
    }
    let ours: Vec<_> = answer.values.iter().map(|each| (value(&each.object).key(), each.support.0)).collect();
    let theirs: Vec<_> = expected.values.iter().map(|(each, support, _)| (each.key(), *support)).collect();
    if ours != theirs {
        return unlike("values", &ours, &theirs);
    }
    let id_of =
        |index: usize| candidates.get(index).map(|candidate| candidate.id.to_string()).unwrap_or_default();
    let mut ours: Vec<_> = candidates
        .iter()
        .filter_map(|claim| claim.tainted.map(|by| (claim.id.to_string(), by.to_string())))
        .collect();
    let mut theirs = expected.tainted.clone();
    ours.sort();
    theirs.sort();
    if ours != theirs {
        return unlike("tainted", &ours, &theirs);
    }
    let mut ours: Vec<_> =
        answer.set_aside.iter().map(|(index, why)| (id_of(*index), why.name().to_owned())).collect();
    let mut theirs = expected.set_aside.clone();
    ours.sort();
    theirs.sort();
    if ours != theirs {
        return unlike("set_aside", &ours, &theirs);
    }
    if answer.lens == Lens::Layered {
        let ours: Vec<_> =
            answer.layers.iter().map(|layer| (layer.class.number(), value(&layer.value).key())).collect();
        let theirs: Vec<_> = expected.layers.iter().map(|(class, each, ..)| (*class, each.key())).collect();
        if ours != theirs {
            return unlike("layers", &ours, &theirs);
        }
        if !close(answer.cross_class_conflict, expected.cross_class_conflict) {
            return unlike(
                "cross_class_conflict",
                &answer.cross_class_conflict,
                &expected.cross_class_conflict,
            );
        }
    }
    None
}

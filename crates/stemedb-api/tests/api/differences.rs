//! What changed between two moments is what asking at both would show.

use std::collections::BTreeSet;

use stemedb_api::{
    AsOf, Code, Database, Difference, DifferenceQuery, Query, QuestionKey, RouterOptions,
    core::{
        AgentKey, Assertion, ClaimId, Command, Epoch, Lens, Micros, Nano, Object, Source, SourceClass,
        Supersession, Vote,
    },
};
use stemedb_env::Lsn;

use crate::support::{Dice, Server, database};

const SUBJECTS: u64 = 6;
const AT: Micros = Micros(1_650_000_000_000_000);

/// A random history over a few questions, an entry a step.
fn step(database: &Database, dice: &mut Dice, known: &mut Vec<ClaimId>) {
    let key = AgentKey::from_seed(&[dice.below(3) as u8 + 1; 32]);
    let pick = |dice: &mut Dice, known: &[ClaimId]| *dice.pick(known);
    let command = match dice.below(10) {
        0..=4 => {
            let subject = format!("s{}", dice.below(SUBJECTS));
            let predicate = ["p", "q"][dice.below(2) as usize];
            let source = format!("source {}", dice.below(4));
            let mut claim = Assertion::new(subject, predicate, Object::Integer(dice.below(4) as i64), source);
            claim.epoch = dice.chance(40).then(|| format!("e{}", dice.below(3)));
            known.push(claim.id());
            Command::Assert(claim)
        }
        5 | 6 if !known.is_empty() => {
            let mut vote = Vote::new(
                pick(dice, known),
                key.agent(),
                Nano(dice.below(2_000) as i64 * 1_000_000 - 1_000_000_000),
            );
            vote.sign(&key);
            Command::Vote(vote)
        }
        7 if !known.is_empty() => Command::Supersede(Supersession::retract(pick(dice, known))),
        8 => {
            let class = SourceClass::new(dice.below(6) as u8).unwrap();
            Command::Source(Source::new(format!("source {}", dice.below(4)), class))
        }
        9 => {
            let (new, old) = (dice.below(3), dice.below(3));
            let supersedes = (new != old).then(|| format!("e{old}"));
            Command::Epoch(Epoch { supersedes, ..Epoch::new(format!("e{new}")) })
        }
        _ => return,
    };
    match database.submit(&[command]) {
        Err(error) if error.code() == Code::AuthorityTooLow => {}
        submitted => {
            submitted.unwrap();
        }
    }
}

/// By asking every question at both moments.
fn expected(database: &Database, from: u64, to: u64, lens: Lens) -> BTreeSet<QuestionKey> {
    let mut changed = BTreeSet::new();
    for subject in 0..SUBJECTS {
        for predicate in ["p", "q"] {
            let ask = |lsn| {
                let query = Query {
                    as_of: Some(AsOf::Lsn(Lsn(lsn))),
                    evaluated_at: Some(AT),
                    decay: true,
                    ..Query::new(format!("s{subject}"), predicate, lens)
                };
                let answer = database.query(query).unwrap().answer;
                (
                    answer.value.clone(),
                    answer.winners.clone(),
                    answer.status,
                    answer.confidence,
                    answer.margin.to_bits(),
                    answer.conflict_score.to_bits(),
                    answer.cross_class_conflict.to_bits(),
                )
            };
            if ask(from) != ask(to) {
                changed
                    .insert(QuestionKey { subject: format!("s{subject}"), predicate: predicate.to_owned() });
            }
        }
    }
    changed
}

fn query(from: u64, to: u64, lens: Lens) -> DifferenceQuery {
    DifferenceQuery {
        to: Some(AsOf::Lsn(Lsn(to))),
        evaluated_at: Some(AT),
        decay: true,
        ..DifferenceQuery::since(AsOf::Lsn(Lsn(from)), lens)
    }
}

fn changed(difference: &Difference) -> BTreeSet<QuestionKey> {
    let changed = difference.questions.iter().filter(|one| one.answers[0].is_changed());
    changed.map(|one| one.question.clone()).collect()
}

#[test]
fn exactly_the_questions_whose_answers_differ_are_told() {
    let (mut found, mut quiet) = (0, 0);
    for seed in 0..4 {
        let (database, _dir) = database();
        let (mut dice, mut known) = (Dice(seed), Vec::new());
        while database.published_lsn() < Lsn(60) {
            step(&database, &mut dice, &mut known);
        }
        let newest = database.published_lsn().0;
        for _ in 0..25 {
            let from = dice.below(newest);
            let to = from + 1 + dice.below((newest - from).min(12));
            for lens in [Lens::Consensus, Lens::Authority, Lens::Layered] {
                let difference = database.difference(query(from, to, lens)).unwrap();
                assert_eq!((difference.from, difference.to), (Lsn(from), Lsn(to)));
                assert_eq!(
                    changed(&difference),
                    expected(&database, from, to, lens),
                    "{from} to {to} {lens}"
                );
                found += changed(&difference).len();
                quiet += difference.questions.len() - changed(&difference).len();
                for one in &difference.questions {
                    assert!(one.answers[0].is_changed() || !one.arrived.is_empty());
                }
            }
        }
    }
    assert!(found > 300 && quiet > 10, "{found} {quiet}");
}

#[test]
fn what_came_is_listed_and_pieces_add_up() {
    let (database, _dir) = database();
    let key = AgentKey::from_seed(&[1; 32]);
    let claim =
        |subject: u64, value| Assertion::new(format!("s{subject}"), "p", Object::Integer(value), "src");
    for subject in 0..9 {
        database.assert(claim(subject, 1)).unwrap();
    }
    for subject in 0..9 {
        database.assert(claim(subject, 2)).unwrap();
    }
    let (old, new) = (claim(3, 1).id(), claim(3, 2).id());
    let mut vote = Vote::new(new, key.agent(), Nano::ONE);
    vote.sign(&key);
    database.vote(vote).unwrap();
    database.supersede(Supersession::retract(old)).unwrap();
    let whole = database.difference(DifferenceQuery { to: None, ..query(9, 0, Lens::Recency) }).unwrap();
    assert_eq!(whole.questions.len(), 9);
    let third = &whole.questions[3];
    assert_eq!(third.question.subject, "s3");
    assert_eq!(third.arrived.claims, [new]);
    assert_eq!(third.arrived.votes, [(new, key.agent(), Nano::ONE)]);
    assert_eq!(third.arrived.supersessions.len(), 1);
    assert_eq!((third.answers[0].before.candidates.len(), third.answers[0].after.candidates.len()), (1, 2));
    assert_eq!(third.answers[0].before.used.map(|used| used.lsn), Some(Lsn(4)));

    let mut pieces = Vec::new();
    let mut after = None;
    loop {
        let asked = DifferenceQuery { to: None, limit: 4, after, ..query(9, 0, Lens::Recency) };
        let piece = database.difference(asked).unwrap();
        pieces.extend(piece.questions);
        after = piece.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pieces, whole.questions);
    let one = DifferenceQuery { subject: Some("s3".into()), to: None, ..query(9, 0, Lens::Recency) };
    assert_eq!(database.difference(one).unwrap().questions, whole.questions[3..4]);
    let nothing = database.difference(query(9, 9, Lens::Recency)).unwrap();
    assert!(nothing.questions.is_empty() && nothing.next.is_none());
    assert_eq!(database.difference(query(9, 3, Lens::Recency)).unwrap_err().code(), Code::InvalidParameter);
    assert_eq!(database.difference(query(9, 99, Lens::Recency)).unwrap_err().code(), Code::LsnNotReached);
}

#[test]
fn the_route_tells_the_same() {
    let (database, dir) = database();
    let claim = |value| Assertion::new("s", "p", Object::Integer(value), "src");
    database.assert(claim(1)).unwrap();
    database.assert(claim(2)).unwrap();
    let server = Server::over(database, dir, RouterOptions::default());
    let reply = server.get("/v1/diff?from=1&lens=all");
    assert_eq!((reply.status, reply.header("stemedb-lsn")), (200, Some("1.2")), "{}", reply.text());
    let json = reply.json();
    let change = &json["changes"][0];
    assert_eq!((&change["subject"], &change["claims"][0]), (&"s".into(), &claim(2).id().to_string().into()));
    assert_eq!(change["answers"].as_array().unwrap().len(), 6);
    let recency = &change["answers"][0];
    assert_eq!((&recency["lens"], &recency["changed"]), (&"recency".into(), &true.into()));
    assert_eq!((&recency["before"]["value"], &recency["after"]["value"]), (&1.into(), &2.into()));
    assert!(json["next"].is_null());
    for (target, status, code, place) in [
        ("/v1/diff", 400, "missing_parameter", "?from"),
        ("/v1/diff?from=9", 400, "invalid_parameter", "?from"),
        ("/v1/diff?from=1&to=9", 409, "lsn_not_reached", "?to"),
        ("/v1/diff?from=1&limit=0", 400, "invalid_parameter", "?limit"),
        ("/v1/diff?from=1&lens=best", 400, "invalid_parameter", "?lens"),
        ("/v1/diff?from=1&after_subject=s", 400, "invalid_parameter", "?after_subject"),
    ] {
        assert_eq!(server.get(target).problem(), (status, code.into(), place.into()), "{target}");
    }
}

//! Fragility against trying everything by hand, and independence against crowds of echoes.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

mod strategies;

use proptest::prelude::*;
use stemedb_core::lens::{
    Copied, CopyReason, Evidence, Origin, Removable, Voice, explain, fragility, fragility_within,
    resolve_with,
};
use stemedb_core::{
    AgentId, Assertion, Candidate, ClaimId, Lens, LensParams, LiveVote, Micros, Nano, Object, Status, resolve,
};
use strategies::lens::{DAY, candidates, params};

fn agent(number: u16) -> AgentId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    AgentId(id)
}

fn claim(n: u16, value: &str, source: &str) -> Candidate {
    let claim = Assertion::new("s", "p", Object::from_json_number(value).unwrap(), source);
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    Candidate { id: ClaimId(id), ..Candidate::new(claim, u64::from(n), 0, Micros(i64::from(n))) }
}

fn plain() -> LensParams {
    LensParams::at(Micros(465 * DAY))
}

fn independent() -> LensParams {
    LensParams { independent: true, ..plain() }
}

fn source(name: &str) -> Removable {
    Removable::Source(name.to_owned())
}

/// The worked example of `docs/design/lenses.md`.
fn disagreement() -> Vec<Candidate> {
    let mut model = claim(4, "520", "model");
    model.assertion.author = Some(agent(1));
    model.votes = vec![LiveVote { agent: agent(2), weight: Nano(500_000_000) }];
    vec![
        claim(1, "511.15", "handbook"),
        claim(2, "511.150", "registry"),
        claim(3, "515.18", "webbook"),
        model,
    ]
}

#[test]
fn the_examples_of_the_page() {
    let found = fragility(Lens::Consensus, &disagreement(), &plain()).unwrap();
    assert_eq!((found.exact(), found.removals.as_slice()), (Some(1), &[source("handbook")][..]));
    assert_eq!(found.becomes, Some(Object::Integer(520)));
    let found = fragility(Lens::Skeptic, &disagreement(), &plain()).unwrap();
    assert_eq!(found.removals, [source("model"), source("webbook")]);
    assert_eq!((found.exact(), found.status, found.becomes), (Some(2), Status::Unanimous, None));
    assert_eq!(fragility(Lens::Consensus, &[], &plain()), None);
}

#[test]
fn a_single_vote_can_carry_an_answer() {
    let mut claims = vec![claim(1, "1", "a"), claim(2, "2", "b")];
    claims[0].votes = vec![LiveVote { agent: agent(9), weight: Nano(1) }];
    let found = fragility(Lens::Consensus, &claims, &plain()).unwrap();
    // Removing the source would do as well and comes first.
    assert_eq!((found.exact(), found.removals), (Some(1), vec![source("a")]));
    claims.push(claim(3, "1", "c"));
    claims.push(claim(4, "2", "d"));
    claims.push(claim(5, "2", "e"));
    claims[0].votes =
        vec![LiveVote { agent: agent(9), weight: Nano::ONE }, LiveVote { agent: agent(8), weight: Nano(1) }];
    let found = fragility(Lens::Consensus, &claims, &plain()).unwrap();
    assert_eq!((found.exact(), found.removals), (Some(1), vec![source("a")]));
}

#[test]
fn a_crowd_is_bounded_without_trying_every_set() {
    // 60 sources against 40: 21 must go before the rest is outvoted (20 make a tie, and the newer value wins it).
    let mut claims: Vec<Candidate> = (0..60).map(|n| claim(n + 100, "1", &format!("a{n:02}"))).collect();
    claims.extend((0..40).map(|n| claim(n, "2", &format!("b{n:02}"))));
    let found = fragility(Lens::Consensus, &claims, &plain()).unwrap();
    assert_eq!((found.at_least, found.removals.len()), (20, 21));
    // Where the challenger is newer a tie is enough, and the bound is exact.
    let mut claims: Vec<Candidate> = (0..60).map(|n| claim(n, "1", &format!("a{n:02}"))).collect();
    claims.extend((0..40).map(|n| claim(n + 100, "2", &format!("b{n:02}"))));
    let found = fragility(Lens::Consensus, &claims, &plain()).unwrap();
    assert_eq!(found.exact(), Some(20));
    assert_eq!(found.becomes, Some(Object::Integer(2)));
}

#[test]
fn work_that_runs_out_leaves_bounds() {
    let mut claims: Vec<Candidate> = (0..12).map(|n| claim(n, "1", &format!("a{n:02}"))).collect();
    claims.push(claim(20, "2", "b"));
    claims[3].assertion.confidence = Some(Nano(900_000_000));
    let whole = fragility(Lens::Confidence, &claims, &plain()).unwrap();
    assert_eq!(whole.exact(), Some(11));
    let evidence = Evidence::default();
    let cut = fragility_within(Lens::Confidence, &claims, &plain(), &evidence, 1_000).unwrap();
    assert!(cut.at_least < cut.removals.len() && cut.at_least <= 11 && cut.removals.len() >= 11, "{cut:?}");
    assert!(cut.tried * claims.len() <= 2_000, "{cut:?}");
}

/// The candidates without some removables, by hand.
fn left(candidates: &[Candidate], removed: &[&Removable]) -> Vec<Candidate> {
    let mut kept = candidates.to_vec();
    for one in removed {
        match one {
            Removable::Source(source) => kept.retain(|candidate| candidate.assertion.source != *source),
            Removable::Agent(agent) => {
                kept.retain(|candidate| candidate.assertion.author != Some(*agent));
                for candidate in &mut kept {
                    candidate.assertion.signatures.retain(|signature| signature.agent != *agent);
                    candidate.cosigners.retain(|cosigner| cosigner != agent);
                    candidate.votes.retain(|vote| vote.agent != *agent);
                }
            }
            Removable::Vote { claim, agent } => {
                for candidate in kept.iter_mut().filter(|candidate| candidate.id == *claim) {
                    candidate.votes.retain(|vote| vote.agent != *agent);
                }
            }
        }
    }
    kept
}

/// Everything that can be taken away from any candidate, whether it counts or not.
fn everything(candidates: &[Candidate]) -> Vec<Removable> {
    let mut all = Vec::new();
    for candidate in candidates {
        let claim = &candidate.assertion;
        all.push(Removable::Source(claim.source.clone()));
        all.extend(claim.author.map(Removable::Agent));
        all.extend(claim.signatures.iter().map(|signature| Removable::Agent(signature.agent)));
        all.extend(candidate.cosigners.iter().map(|agent| Removable::Agent(*agent)));
        for vote in &candidate.votes {
            all.push(Removable::Agent(vote.agent));
            all.push(Removable::Vote { claim: candidate.id, agent: vote.agent });
        }
    }
    all.sort();
    all.dedup();
    all
}

fn is_changed(lens: Lens, candidates: &[Candidate], removed: &[&Removable], params: &LensParams) -> bool {
    let (was, is) = (resolve(lens, candidates, params), resolve(lens, &left(candidates, removed), params));
    match (lens, &was.value, &is.value) {
        (Lens::Skeptic, ..) => was.status != is.status,
        (_, Some(was), Some(is)) => was.value() != is.value(),
        (_, was, is) => was.is_some() != is.is_some(),
    }
}

/// Whether some set of `size` members of `all` changes the answer.
fn some_set_changes(
    all: &[Removable],
    chosen: &mut Vec<usize>,
    size: usize,
    test: &dyn Fn(&[&Removable]) -> bool,
) -> bool {
    if chosen.len() == size {
        let set: Vec<&Removable> = chosen.iter().map(|index| &all[*index]).collect();
        return test(&set);
    }
    for next in chosen.last().map_or(0, |last| last + 1)..all.len() {
        chosen.push(next);
        if some_set_changes(all, chosen, size, test) {
            return true;
        }
        chosen.pop();
    }
    false
}

/// Twelve candidates of up to eight sources, few of them with agents.
fn many_sources() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        0_u8..3,
        0_u8..8,
        0_u8..6,
        prop::option::weighted(0.2, 0_u16..3),
        prop::option::weighted(0.2, -2_i64..3),
    );
    prop::collection::vec(one, 0..12).prop_map(|said| {
        said.into_iter()
            .zip(0..)
            .map(|((value, source, class, author, vote), n)| {
                let mut claim = claim((n * 7 + 3) % 13, &value.to_string(), &source.to_string());
                claim.class = stemedb_core::SourceClass::new(class).unwrap();
                claim.assertion.author = author.map(agent);
                let weight = |halves: i64| Nano(halves * 500_000_000);
                claim
                    .votes
                    .extend(vote.map(|halves| LiveVote { agent: agent(n % 4), weight: weight(halves) }));
                claim
            })
            .collect()
    })
}

fn check(candidates: &[Candidate], params: &LensParams) -> Result<(), TestCaseError> {
    let all = everything(candidates);
    for lens in Lens::ALL {
        let Some(found) = fragility(lens, candidates, params) else {
            prop_assert_eq!(resolve(lens, candidates, params).considered, 0);
            continue;
        };
        let set: Vec<&Removable> = found.removals.iter().collect();
        prop_assert!(is_changed(lens, candidates, &set, params), "{} {:?}", lens, found);
        prop_assert!(found.at_least <= set.len());
        let test = |set: &[&Removable]| is_changed(lens, candidates, set, params);
        let smallest =
            (1..=set.len().min(3)).find(|size| some_set_changes(&all, &mut Vec::new(), *size, &test));
        match smallest {
            Some(smallest) => prop_assert_eq!(found.exact(), Some(smallest), "{} {:?}", lens, found),
            // The whole brute force would take too long: no set of three.
            None => prop_assert!(set.len() > 3, "{} {:?}", lens, found),
        }
        let after = resolve(lens, &left(candidates, &set), params);
        prop_assert_eq!((&after.value, after.status), (&found.becomes, found.status));
        let mut reversed = candidates.to_vec();
        reversed.reverse();
        prop_assert_eq!(fragility(lens, &reversed, params), Some(found));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn fragility_is_what_trying_everything_finds(candidates in candidates(), params in params()) {
        check(&candidates, &params)?;
    }

    #[test]
    fn fragility_is_what_trying_everything_finds_among_many_sources(candidates in many_sources(), decay in any::<bool>()) {
        check(&candidates, &plain().with_decay(decay))?;
    }

    #[test]
    fn what_is_said_later_never_lowers_a_count(
        candidates in many_sources(),
        origins in prop::collection::vec((0_u8..8, 0_u8..3, any::<bool>()), 0..8),
        keys in prop::collection::vec(any::<u32>(), 12),
    ) {
        let mut evidence = Evidence::default();
        for (source, origin, is_content) in origins {
            let origin = if is_content { Origin::Content([origin; 32]) } else { Origin::Host(origin.to_string()) };
            evidence.origin(&source.to_string(), origin);
        }
        let ask = |claims: &[Candidate]| resolve_with(Lens::Skeptic, claims, &independent(), &evidence);
        let mut eldest = candidates.clone();
        eldest.sort_by_key(|candidate| candidate.lsn);
        let mut before = std::collections::BTreeMap::new();
        for count in 1..=eldest.len() {
            for value in ask(&eldest[..count]).values {
                let key = value.object.value_key();
                let independent = value.independent_voices.unwrap();
                prop_assert!((1..=value.voices).contains(&independent));
                prop_assert!(before.insert(key.clone(), independent).is_none_or(|earlier| earlier <= independent));
            }
        }
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|index| keys[*index]);
        let permuted: Vec<Candidate> = order.iter().map(|index| candidates[*index].clone()).collect();
        let counts = |claims: &[Candidate]| -> Vec<_> {
            ask(claims).values.iter().map(|value| (value.object.clone(), value.support, value.independent_voices)).collect()
        };
        prop_assert_eq!(counts(&permuted), counts(&candidates));
    }
}

/// A thousand echoes of one source say 1; two independent sources say 2.
fn crowd(mut echo: impl FnMut(u16, &mut Candidate)) -> Vec<Candidate> {
    let mut claims: Vec<Candidate> = (0..1_000)
        .map(|n| {
            let mut one = claim(n, "1", &format!("echo{n}"));
            echo(n, &mut one);
            one
        })
        .collect();
    claims.push(claim(2_000, "2", "first"));
    claims.push(claim(2_001, "2", "second"));
    claims
}

fn answer(claims: &[Candidate], evidence: &Evidence) -> (Option<Object>, Vec<(u32, Option<u32>)>) {
    let answer = resolve_with(Lens::Consensus, claims, &independent(), evidence);
    let voices = answer.values.iter().map(|value| (value.voices, value.independent_voices)).collect();
    (answer.value, voices)
}

#[test]
fn a_thousand_echoes_do_not_beat_two_independent_voices() {
    let two = Some(Object::Integer(2));
    let expected = vec![(2, Some(2)), (1_000, Some(1))];
    // A thousand agents who cite one source.
    let claims = crowd(|n, claim| {
        claim.assertion.source = "the one".into();
        claim.assertion.author = Some(agent(n));
    });
    let none = Evidence::default();
    assert_eq!(answer(&claims, &none), (two.clone(), expected.clone()));
    assert_eq!(
        resolve(Lens::Consensus, &claims, &plain()).value,
        Some(Object::Integer(1)),
        "otherwise they do"
    );
    // One claim with a thousand signatures.
    let mut claims = crowd(|_, _| {});
    claims.drain(1..1_000);
    claims[0].cosigners = (0..1_000).map(agent).collect();
    assert_eq!(answer(&claims, &none), (two.clone(), expected.clone()));
    // A thousand sources with one content, or one publisher.
    for by_content in [true, false] {
        let claims = crowd(|_, _| {});
        let mut evidence = Evidence::default();
        for n in 0..1_000 {
            let origin =
                if by_content { Origin::Content([7; 32]) } else { Origin::Host("echo.example".into()) };
            evidence.origin(&format!("echo{n}"), origin);
        }
        evidence.origin("first", Origin::Content([8; 32]));
        assert_eq!(answer(&claims, &evidence), (two.clone(), expected.clone()));
        assert_eq!(answer(&claims, &none).0, Some(Object::Integer(1)), "nothing shows it");
    }
}

#[test]
fn a_bridge_between_two_voices_does_not_make_them_one() {
    let mut evidence = Evidence::default();
    evidence.origin("bridge", Origin::Content([1; 32]));
    evidence.origin("bridge", Origin::Host("b".into()));
    evidence.origin("a", Origin::Content([1; 32]));
    evidence.origin("b", Origin::Host("b".into()));
    let claims = [claim(1, "1", "a"), claim(2, "1", "b"), claim(3, "1", "bridge")];
    assert_eq!(answer(&claims, &evidence).1, [(3, Some(2))]);
    let asked = resolve_with(Lens::Consensus, &claims, &independent(), &evidence);
    let explained = explain(&asked, &claims, &independent(), &evidence);
    let voice = |name: &str| Voice::Source(name.to_owned());
    let copied = Copied { voice: voice("bridge"), of: voice("a"), by: CopyReason::Content };
    assert_eq!(explained.values[0].copies, [copied]);
    // An agent counts by the first claim of it whose source nobody else used.
    let mut claims = vec![claim(1, "1", "a"), claim(2, "1", "a"), claim(3, "1", "c")];
    claims[1].assertion.author = Some(agent(1));
    claims[2].assertion.author = Some(agent(1));
    assert_eq!(answer(&claims, &Evidence::default()).1, [(2, Some(2))]);
}

#[test]
fn identical_answers_to_neighbouring_questions_make_an_echo() {
    let voices = ["x", "y", "honest", "other"];
    // Four questions; x and y always say the same, and something else than the others.
    let neighbour = |said: [&str; 4]| -> Vec<Candidate> {
        let spoken = voices.iter().zip(said).zip(0..).filter(|((_, value), _)| !value.is_empty());
        spoken.map(|((source, value), n)| claim(n, value, source)).collect()
    };
    let evidence = |questions: &[[&str; 4]]| {
        let mut evidence = Evidence::default();
        for said in questions {
            evidence.neighbour(&neighbour(*said), Micros(0));
        }
        evidence
    };
    let claims = [claim(1, "1", "x"), claim(2, "1", "y"), claim(3, "2", "honest"), claim(4, "2", "other")];
    let of_x = |questions: &[[&str; 4]]| {
        let asked = resolve_with(Lens::Skeptic, &claims, &independent(), &evidence(questions));
        let value = asked.values.iter().find(|value| value.object == Object::Integer(1)).unwrap();
        value.independent_voices.unwrap()
    };
    let odd = ["7", "7.0", "8", "9"];
    assert_eq!(of_x(&[odd, odd, odd]), 1);
    assert_eq!(of_x(&[odd, odd]), 2, "two questions are too few");
    assert_eq!(of_x(&[odd, odd, ["7", "", "8", "9"]]), 2, "both must have answered");
    assert_eq!(of_x(&[odd, odd, odd, ["1", "2", "3", "4"]]), 2, "one difference is enough");
    assert_eq!(of_x(&[odd, odd, odd, ["", "2", "3", "4"]]), 1, "who is silent does not differ");
    let common = ["7", "7", "7", "7"];
    assert_eq!(of_x(&[odd, odd, common]), 2, "agreeing with everybody shows nothing");
    assert_eq!(of_x(&[odd, odd, ["7", "7", "", ""]]), 2, "nor does agreeing where nobody else spoke");
    assert_eq!(of_x(&[odd, odd, odd, common]), 1);
    let half = ["7", "7", "7", "9"];
    assert_eq!(of_x(&[odd, odd, half]), 1, "half of the others are not most of them");
}

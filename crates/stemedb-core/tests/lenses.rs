//! Each lens on a disagreement small enough to compute by hand.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

use stemedb_core::lens::{Evidence, Explanation, RecordedVote, Voice, decayed, explain, fold_votes};
use stemedb_core::{
    AgentId, Answer, Assertion, Candidate, ClaimId, Lens, LensParams, Lifecycle, LiveVote, Micros, Nano,
    Object, SetAside, Signature, SignatureBytes, SourceClass, Status, resolve,
};

const DAY: i64 = 86_400_000_000;

fn number(text: &str) -> Object {
    Object::from_json_number(text).unwrap()
}

fn class(number: u8) -> SourceClass {
    SourceClass::new(number).unwrap()
}

fn agent(byte: u8) -> AgentId {
    AgentId([byte; 32])
}

fn id(byte: u8) -> ClaimId {
    ClaimId([byte; 32])
}

/// A candidate whose id, LSN and place in the journal follow from `n`.
fn candidate(n: u8, object: Object, source: &str) -> Candidate {
    let claim = Assertion::new("cas:100-00-5", "boiling_point_K", object, source);
    Candidate { id: id(n), ..Candidate::new(claim, u64::from(n), 0, Micros(i64::from(n))) }
}

fn observed(mut claim: Candidate, day: i64) -> Candidate {
    claim.assertion.observed_at = Some(Micros(day * DAY));
    claim
}

fn at(decay: bool) -> LensParams {
    LensParams::at(Micros(465 * DAY)).with_decay(decay)
}

fn explained(answer: &Answer, candidates: &[Candidate], decay: bool) -> Explanation {
    explain(answer, candidates, &at(decay), &Evidence::default())
}

fn ask(lens: Lens, candidates: &[Candidate]) -> Answer {
    resolve(lens, candidates, &at(false))
}

fn ask_decayed(lens: Lens, candidates: &[Candidate]) -> Answer {
    resolve(lens, candidates, &at(true))
}

/// Four sources on one boiling point. Values: 511.15 (support 2: two sources), 520 (1.5: one agent and half a vote),
/// 515.18 (1); total 4.5.
///
/// | index | source | class | value | said confidence | day |
/// |---|---|---|---|---|---|
/// | 0 | handbook | 1 | 511.15 | 0.9 | 100 |
/// | 1 | registry | 2 | 511.150 | | 50 |
/// | 2 | webbook | 1 | 515.18 | 0.8 | 200 |
/// | 3 | model (by an agent) | 5 | 520 | | 300 |
fn disagreement() -> Vec<Candidate> {
    let mut handbook = observed(candidate(1, number("511.15"), "handbook"), 100);
    handbook.class = class(1);
    handbook.assertion.confidence = Some(Nano(900_000_000));
    let mut registry = observed(candidate(2, number("511.150"), "registry"), 50);
    registry.class = class(2);
    let mut webbook = observed(candidate(3, number("515.18"), "webbook"), 200);
    webbook.class = class(1);
    webbook.assertion.confidence = Some(Nano(800_000_000));
    let mut model = observed(candidate(4, number("520"), "model"), 300);
    model.assertion.author = Some(agent(1));
    model.votes = vec![LiveVote { agent: agent(2), weight: Nano(500_000_000) }];
    vec![handbook, registry, webbook, model]
}

#[test]
fn every_lens_measures_the_same_conflict() {
    for lens in Lens::ALL {
        let answer = ask(lens, &disagreement());
        assert_eq!(answer.lens, lens);
        assert_eq!((answer.status, answer.considered), (Status::Contested, 4));
        // (2 − 1.5) / 4.5
        assert_eq!(answer.margin, 0.111111111);
        // −(4/9 ln 4/9 + 3/9 ln 3/9 + 2/9 ln 2/9) / ln 3
        assert_eq!(answer.conflict_score, 0.965633607);
        let values: Vec<_> = answer
            .values
            .iter()
            .map(|value| (value.object.clone(), value.support.0, value.share, value.claims.clone()))
            .collect();
        assert_eq!(
            values,
            [
                (number("511.15"), 2_000_000_000, 0.444444444, vec![0, 1]),
                (number("520"), 1_500_000_000, 0.333333333, vec![3]),
                (number("515.18"), 1_000_000_000, 0.222222222, vec![2]),
            ]
        );
        assert_eq!(answer.total_support, Nano(4_500_000_000));
        let explanation = explained(&answer, &disagreement(), false);
        let order: Vec<_> = explanation.claims.iter().map(|c| (c.candidate, c.value)).collect();
        assert_eq!(order, [(3, 1), (2, 2), (0, 0), (1, 0)]);
        let supports: Vec<_> =
            explanation.values.iter().map(|v| (v.voices, v.votes.0, v.support.0)).collect();
        assert_eq!(supports, [(2, 0, 2_000_000_000), (1, 500_000_000, 1_500_000_000), (1, 0, 1_000_000_000)]);
        assert_eq!(explanation.total_support, answer.total_support);
    }
}

#[test]
fn recency_takes_the_newest_observation() {
    let answer = ask(Lens::Recency, &disagreement());
    assert_eq!(answer.value, Some(number("520")));
    assert_eq!((answer.winners, answer.confidence), (vec![id(4)], Nano::ONE));
    // Class 5, 165 days old: 2^(−165/30).
    assert_eq!(ask_decayed(Lens::Recency, &disagreement()).confidence, Nano(22_097_087));
}

#[test]
fn recency_falls_back_to_the_journal() {
    let mut claims = vec![candidate(7, number("1"), "a"), candidate(7, number("2"), "b")];
    claims[0].ordinal = 3;
    claims[1].id = id(8);
    assert_eq!(ask(Lens::Recency, &claims).value, Some(number("1")));
    claims[1].lsn = 9;
    assert_eq!(ask(Lens::Recency, &claims).value, Some(number("2")));
    claims[0].recorded_at = Micros(10);
    assert_eq!(ask(Lens::Recency, &claims).value, Some(number("1")));
    claims[1].assertion.observed_at = Some(Micros(11));
    assert_eq!(ask(Lens::Recency, &claims).value, Some(number("2")));
}

#[test]
fn consensus_takes_the_best_supported_value_in_the_spelling_of_its_newest_claim() {
    let answer = ask(Lens::Consensus, &disagreement());
    assert_eq!(answer.value, Some(number("511.15")));
    assert_eq!(answer.winners, [id(1), id(2)]);
    assert_eq!(answer.confidence, Nano(444_444_444));
}

#[test]
fn consensus_ties_go_to_the_value_with_the_newest_claim() {
    let claims = [
        observed(candidate(1, number("1"), "a"), 9),
        observed(candidate(2, number("2"), "b"), 8),
        observed(candidate(3, number("1"), "c"), 1),
        observed(candidate(4, number("2"), "d"), 2),
    ];
    let answer = ask(Lens::Consensus, &claims);
    assert_eq!((answer.value, answer.winners), (Some(number("1")), vec![id(1), id(3)]));
    assert_eq!((answer.margin, answer.conflict_score), (0.0, 1.0));
}

#[test]
fn confidence_takes_the_surest_claim_and_breaks_ties_by_support() {
    // Undecayed, claims 2 and 4 say nothing and count as 1; the value of claim 2 has more support.
    let answer = ask(Lens::Confidence, &disagreement());
    assert_eq!(answer.value, Some(number("511.150")));
    assert_eq!((answer.winners, answer.confidence), (vec![id(2), id(1)], Nano::ONE));
    // Decayed: 0.9 × 2^(−365/730) beats 0.8 × 2^(−265/730) and 2^(−415/365).
    let answer = ask_decayed(Lens::Confidence, &disagreement());
    assert_eq!(answer.value, Some(number("511.15")));
    assert_eq!((answer.winners, answer.confidence), (vec![id(1), id(2)], Nano(636_396_103)));
}

#[test]
fn authority_looks_at_the_best_class_only() {
    let mut claims = disagreement();
    let answer = ask_decayed(Lens::Authority, &claims);
    // 0.5 × 0.636396103, rounded down; claim 2 says the same but is of class 2.
    assert_eq!((answer.value, answer.winners), (Some(number("511.15")), vec![id(1)]));
    assert_eq!(answer.confidence, Nano(318_198_051));
    // Trust 0.9 × (0.8 × 2^(−265/730) = 0.622030922), rounded down.
    claims[2].trust = Nano(900_000_000);
    let answer = ask_decayed(Lens::Authority, &claims);
    assert_eq!((answer.value, answer.winners), (Some(number("515.18")), vec![id(3)]));
    let decayed = explained(&ask_decayed(Lens::Authority, &claims), &claims, true).claims[1].confidence.0;
    assert_eq!(answer.confidence.0, decayed * 9 / 10);
    // A better class wins whatever the rest says.
    claims[3].class = class(0);
    claims[3].trust = Nano(1);
    let answer = ask_decayed(Lens::Authority, &claims);
    assert_eq!((answer.value, answer.confidence), (Some(number("520")), Nano(1)));
}

#[test]
fn claims_of_one_newness_are_told_apart_by_support_and_then_by_id() {
    let mut claims = vec![candidate(2, number("2"), "a"), candidate(1, number("1"), "b")];
    claims[0].lsn = 1;
    claims[0].recorded_at = claims[1].recorded_at;
    for lens in [Lens::Recency, Lens::Consensus, Lens::Confidence, Lens::Authority, Lens::Layered] {
        assert_eq!(ask(lens, &claims).value, Some(number("1")), "{lens}");
    }
    claims[0].cosigners = vec![agent(1), agent(2)];
    for lens in [Lens::Recency, Lens::Consensus, Lens::Confidence, Lens::Authority, Lens::Layered] {
        assert_eq!(ask(lens, &claims).value, Some(number("2")), "{lens}");
    }
}

#[test]
fn skeptic_names_no_winner() {
    let answer = ask(Lens::Skeptic, &disagreement());
    assert_eq!((answer.value, answer.winners, answer.confidence), (None, vec![], Nano::ZERO));
}

#[test]
fn layered_answers_per_class_and_takes_the_best() {
    let answer = ask(Lens::Layered, &disagreement());
    // Class 1: one voice each, 515.18 is newer. Class 2: 511.15. Class 5: 520.
    assert_eq!((answer.value, answer.winners), (Some(number("515.18")), vec![id(3)]));
    assert_eq!(answer.confidence, Nano::HALF);
    assert_eq!(answer.cross_class_conflict, 1.0);
    let layers: Vec<_> = answer
        .layers
        .iter()
        .map(|layer| (layer.class.number(), layer.value.clone(), layer.share, layer.conflict_score))
        .collect();
    assert_eq!(
        layers,
        [(1, number("515.18"), 0.5, 1.0), (2, number("511.150"), 1.0, 0.0), (5, number("520"), 1.0, 0.0)]
    );
    let sizes: Vec<_> = answer.layers.iter().map(|layer| (layer.considered, layer.winners.clone())).collect();
    assert_eq!(sizes, [(2, vec![id(3)]), (1, vec![id(2)]), (1, vec![id(4)])]);
}

#[test]
fn an_explanation_has_every_number() {
    let answer = ask_decayed(Lens::Layered, &disagreement());
    let explanation = explained(&answer, &disagreement(), true);
    let handbook = &explanation.claims[2];
    assert_eq!((handbook.candidate, handbook.time, handbook.age_us), (0, Micros(100 * DAY), 365 * DAY));
    assert_eq!((handbook.class, handbook.half_life_days), (class(1), Some(730)));
    assert_eq!((handbook.said, handbook.confidence), (Nano(900_000_000), Nano(636_396_103)));
    assert_eq!((handbook.trust, handbook.score), (Nano::HALF, Nano(318_198_051)));
    assert_eq!(handbook.voices, [Voice::Source("handbook".into())]);
    assert_eq!(explanation.claims[0].voices, [Voice::Agent(agent(1))]);
    assert_eq!(explanation.claims[0].votes, Nano::HALF);
    let layers: Vec<_> =
        explanation.layers.iter().map(|layer| (layer.class.number(), layer.supports.clone())).collect();
    let one = Nano::ONE;
    let of_model = vec![(1, Nano(1_500_000_000))];
    assert_eq!(layers, [(1, vec![(2, one), (0, one)]), (2, vec![(0, one)]), (5, of_model)]);
}

#[test]
fn cross_class_conflict_weighs_classes_not_claims() {
    let mut claims = disagreement();
    // Class 1 now agrees with class 2: winners 511.15, 511.15, 520.
    claims[2].assertion.object = number("5111.5e-1");
    let answer = ask(Lens::Layered, &claims);
    // −(2/3 ln 2/3 + 1/3 ln 1/3) / ln 2
    assert_eq!(answer.cross_class_conflict, 0.918295834);
    assert_eq!((answer.winners, answer.confidence), (vec![id(3), id(1)], Nano::ONE));
    claims[3].assertion.object = number("511.15");
    assert_eq!(ask(Lens::Layered, &claims).cross_class_conflict, 0.0);
}

#[test]
fn nothing_claimed_is_unknown_in_every_lens() {
    let mut retracted = candidate(1, number("1"), "a");
    retracted.set_aside = Some(SetAside::Retracted);
    for lens in Lens::ALL {
        for candidates in [&[][..], &[retracted.clone()]] {
            let answer = ask(lens, candidates);
            assert_eq!((answer.status, answer.considered), (Status::Unknown, 0));
            assert_eq!((answer.value, answer.winners, answer.confidence), (None, vec![], Nano::ZERO));
            assert_eq!((answer.margin, answer.conflict_score, answer.cross_class_conflict), (0.0, 0.0, 0.0));
            assert_eq!(answer.set_aside.len(), candidates.len());
        }
    }
}

#[test]
fn one_value_is_unanimous_even_without_support() {
    let mut claim = candidate(1, number("1"), "a");
    claim.votes = vec![LiveVote { agent: agent(1), weight: Nano::MINUS_ONE }];
    let answer = ask(Lens::Consensus, &[claim]);
    assert_eq!((answer.status, answer.considered), (Status::Unanimous, 1));
    assert_eq!((answer.value, answer.confidence, answer.margin), (Some(number("1")), Nano::ZERO, 0.0));
}

#[test]
fn agreement_begins_at_four_fifths() {
    let mut claims: Vec<_> =
        (1..=4).map(|n| candidate(n, number("1"), ["a", "b", "c", "d"][usize::from(n) - 1])).collect();
    claims.push(candidate(5, number("2"), "e"));
    let answer = ask(Lens::Skeptic, &claims);
    assert_eq!((answer.status, answer.margin), (Status::Agreed, 0.6));
    // −(0.8 ln 0.8 + 0.2 ln 0.2) / ln 2
    assert_eq!(answer.conflict_score, 0.721928095);
    claims[4].votes = vec![LiveVote { agent: agent(1), weight: Nano(1) }];
    assert_eq!(ask(Lens::Skeptic, &claims).status, Status::Contested);
}

#[test]
fn votes_take_a_value_down_to_zero_and_no_further() {
    let mut claims = vec![candidate(1, number("1"), "a"), candidate(2, number("2"), "b")];
    claims[0].votes = vec![
        LiveVote { agent: agent(1), weight: Nano::MINUS_ONE },
        LiveVote { agent: agent(2), weight: Nano::MINUS_ONE },
    ];
    let answer = ask(Lens::Consensus, &claims);
    assert_eq!((answer.values[1].support, answer.values[1].share), (Nano::ZERO, 0.0));
    assert_eq!((answer.values[0].share, answer.margin, answer.status), (1.0, 1.0, Status::Agreed));
    // Two values, one without any support: no entropy.
    assert_eq!(answer.conflict_score, 0.0);
    claims[1].votes = vec![LiveVote { agent: agent(1), weight: Nano::MINUS_ONE }];
    let answer = ask(Lens::Consensus, &claims);
    assert_eq!((answer.status, answer.margin, answer.confidence), (Status::Contested, 0.0, Nano::ZERO));
    assert_eq!(answer.value, Some(number("2")));
}

#[test]
fn a_voice_speaks_once_for_a_value() {
    let support = |claims: &[Candidate]| ask(Lens::Consensus, claims).values[0].support.0 / 1_000_000_000;
    let mut claims = vec![candidate(1, number("1"), "a"), candidate(2, number("1.0"), "a")];
    assert_eq!(support(&claims), 1, "the same source twice");
    claims[1].assertion.source = "b".to_owned();
    assert_eq!(support(&claims), 2, "two sources");
    claims[0].assertion.author = Some(agent(1));
    claims[1].assertion.author = Some(agent(1));
    assert_eq!(support(&claims), 1, "one agent from two sources");
    claims[1].assertion.signatures = vec![Signature { agent: agent(2), bytes: SignatureBytes([0; 64]) }];
    claims[0].cosigners = vec![agent(2), agent(1)];
    assert_eq!(support(&claims), 2, "author, signer and co-signer are agents");
    claims[1].assertion.author = None;
    claims[1].assertion.signatures.clear();
    assert_eq!(support(&claims), 3, "a claim without agents speaks by its source");
}

#[test]
fn claims_are_set_aside_for_the_first_reason_that_applies() {
    let now = Micros(1000);
    let fresh = || candidate(1, number("1"), "a");
    let reason = |claim: &Candidate| claim.reason_set_aside(now);
    assert_eq!(reason(&fresh()), None);

    let mut claim = fresh();
    claim.assertion.valid_to = Some(Micros(1001));
    claim.assertion.valid_from = Some(Micros(1000));
    assert_eq!(reason(&claim), None, "valid from its first to before its last instant");
    claim.assertion.valid_to = Some(Micros(1000));
    assert_eq!(reason(&claim), Some(SetAside::NoLongerValid));
    claim.assertion.valid_from = Some(Micros(1001));
    assert_eq!(reason(&claim), Some(SetAside::NotYetValid));
    claim.set_aside = Some(SetAside::OutOfEpoch);
    assert_eq!(reason(&claim), Some(SetAside::OutOfEpoch));
    claim.assertion.lifecycle = Some(Lifecycle::Rejected);
    assert_eq!(reason(&claim), Some(SetAside::Rejected));
    for known in [SetAside::Superseded, SetAside::Retracted] {
        claim.set_aside = Some(known);
        assert_eq!(reason(&claim), Some(known));
    }
    for lifecycle in Lifecycle::ALL {
        let mut claim = fresh();
        claim.assertion.lifecycle = Some(lifecycle);
        assert_eq!(reason(&claim).is_some(), lifecycle == Lifecycle::Rejected, "{lifecycle}");
    }
}

#[test]
fn confidence_halves_with_the_half_life_of_its_class() {
    let at = |class_number, days| decayed(Nano::ONE, class(class_number), Micros(0), Micros(days * DAY));
    for (class_number, days) in [(1, 730), (2, 365), (3, 180), (4, 90), (5, 30)] {
        assert_eq!(at(class_number, days), Nano::HALF);
        assert_eq!(at(class_number, 2 * days), Nano(250_000_000));
        assert_eq!(at(class_number, -days), Nano::ONE, "not observed yet");
    }
    assert_eq!(at(0, 100_000), Nano::ONE);
    assert_eq!(decayed(Nano::ONE, class(5), Micros(i64::MIN), Micros(i64::MAX)), Nano::ZERO);
}

#[test]
fn the_last_vote_of_an_agent_counts_as_of_an_lsn() {
    let vote =
        |lsn, ordinal, who, weight| RecordedVote { lsn, ordinal, agent: agent(who), weight: Nano(weight) };
    let votes =
        [vote(5, 0, 1, 10), vote(3, 9, 1, 20), vote(5, 1, 2, 30), vote(5, 0, 2, 40), vote(8, 0, 2, 50)];
    let live = |as_of| -> Vec<(AgentId, i64)> {
        fold_votes(votes, as_of).into_iter().map(|vote| (vote.agent, vote.weight.0)).collect()
    };
    assert_eq!(live(2), []);
    assert_eq!(live(3), [(agent(1), 20)]);
    assert_eq!(live(5), [(agent(1), 10), (agent(2), 30)]);
    assert_eq!(live(u64::MAX), [(agent(1), 10), (agent(2), 50)]);
}

#[test]
fn names_of_lenses_parse_back() {
    for lens in Lens::ALL {
        assert_eq!(lens.to_string().parse(), Ok(lens));
    }
    assert!("majority".parse::<Lens>().is_err());
}

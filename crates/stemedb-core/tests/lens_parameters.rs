//! Tolerance, counterfactuals, stages and fingerprints: the examples of `docs/design/lenses.md`, and naive versions of the
//! rules on random claims.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

mod strategies;

use proptest::prelude::*;
use stemedb_core::lens::{Counterfactual, Tolerance, fingerprint};
use stemedb_core::{
    AgentId, Answer, Assertion, Candidate, ClaimId, Lens, LensParams, Lifecycle, LiveVote, Micros, Nano,
    Object, SetAside, Signature, SignatureBytes, SourceClass, Status, resolve,
};
use strategies::lens::{DAY, candidates, params};

fn number(text: &str) -> Object {
    Object::from_json_number(text).unwrap()
}

fn agent(byte: u8) -> AgentId {
    AgentId([byte; 32])
}

fn claim(n: u8, value: &str, source: &str) -> Candidate {
    let claim = Assertion::new("s", "p", number(value), source);
    Candidate { id: ClaimId([n; 32]), ..Candidate::new(claim, u64::from(n), 0, Micros(i64::from(n))) }
}

fn plain() -> LensParams {
    LensParams::at(Micros(465 * DAY))
}

fn tolerant(tolerance: &str) -> LensParams {
    LensParams { tolerance: Some(tolerance.parse().unwrap()), ..plain() }
}

fn without(counterfactual: Counterfactual) -> LensParams {
    LensParams { counterfactual, ..plain() }
}

/// The numbers of an answer's values, each with the numbers of its claims.
fn groups(answer: &Answer) -> Vec<(String, Vec<usize>)> {
    let text = |object: &Object| match object {
        Object::Integer(integer) => integer.to_string(),
        Object::Number(text) => text.clone(),
        other => format!("{other:?}"),
    };
    answer.values.iter().map(|value| (text(&value.object), value.claims.clone())).collect()
}

#[test]
fn the_best_supported_number_attracts_its_neighbours_and_nothing_chains() {
    let claims = [
        claim(1, "10", "a"),
        claim(2, "10.0", "b"),
        claim(3, "9", "c"),
        claim(4, "11", "d"),
        claim(5, "12", "e"),
    ];
    let answer = resolve(Lens::Consensus, &claims, &tolerant("1"));
    assert_eq!(groups(&answer), [("10.0".into(), vec![3, 2, 1, 0]), ("12".into(), vec![4])]);
    // The anchor speaks for its group, though 11 is newer.
    assert_eq!((answer.value, answer.confidence), (Some(number("10.0")), Nano(800_000_000)));
    assert_eq!(answer.status, Status::Agreed);
    assert_eq!(answer.winners, [2, 4, 3, 1].map(|n| ClaimId([n; 32])));
    let newest = resolve(Lens::Recency, &claims, &tolerant("1"));
    assert_eq!(newest.value, Some(number("12")));
    // Without tolerance, and with one that reaches nothing.
    assert_eq!(resolve(Lens::Consensus, &claims, &plain()).values.len(), 4);
    assert_eq!(
        resolve(Lens::Consensus, &claims, &tolerant("0")),
        resolve(Lens::Consensus, &claims, &plain())
    );
    assert_eq!(resolve(Lens::Skeptic, &claims, &tolerant("0.999")).values.len(), 4);
    // 10 % of 10 reaches 9 and 11; of 12, nothing that is left.
    assert_eq!(
        groups(&resolve(Lens::Consensus, &claims, &tolerant("10%"))),
        groups(&answer_of(&claims, "1"))
    );
}

fn answer_of(claims: &[Candidate], tolerance: &str) -> Answer {
    resolve(Lens::Consensus, claims, &tolerant(tolerance))
}

#[test]
fn a_voice_counts_once_for_a_group_and_texts_stay_alone() {
    let mut claims = vec![claim(1, "10", "a"), claim(2, "10.5", "a"), claim(3, "10.2", "b")];
    claims[2].assertion.object = Object::Text("10.2".into());
    let answer = answer_of(&claims, "1");
    assert_eq!(answer.values.iter().map(|value| value.support.0 / 1_000_000_000).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(answer.values[1].voices, 1);
}

#[test]
fn what_is_left_out_never_spoke() {
    // The worked example of docs/design/lenses.md.
    let claims = disagreement();
    let without_handbook = Counterfactual { without_sources: vec!["handbook".into()], ..Default::default() };
    let answer = resolve(Lens::Consensus, &claims, &without(without_handbook));
    assert_eq!((answer.value, answer.considered), (Some(number("520")), 3));
    assert_eq!(answer.set_aside, [(0, SetAside::Excluded)]);
    // The voter alone: his half vote goes, the claim stays.
    let without_voter = Counterfactual { without_agents: vec![agent(2)], ..Default::default() };
    let answer = resolve(Lens::Consensus, &claims, &without(without_voter));
    assert_eq!((answer.values[1].support, answer.considered), (Nano::ONE, 4));
    // The author: claim and vote are gone.
    let without_author = Counterfactual { without_agents: vec![agent(1)], ..Default::default() };
    let answer = resolve(Lens::Consensus, &claims, &without(without_author));
    assert_eq!((answer.values.len(), answer.set_aside), (2, vec![(3, SetAside::Excluded)]));
    let best_class = Counterfactual { max_class: SourceClass::new(1).ok(), ..Default::default() };
    let answer = resolve(Lens::Consensus, &claims, &without(best_class));
    assert_eq!(answer.set_aside, [(3, SetAside::Excluded), (1, SetAside::Excluded)]);
}

#[test]
fn a_claim_that_loses_its_last_agent_speaks_by_its_source() {
    let mut claims = vec![claim(1, "1", "a"), claim(2, "1", "b")];
    for claim in &mut claims {
        claim.assertion.signatures = vec![Signature { agent: agent(7), bytes: SignatureBytes([0; 64]) }];
    }
    assert_eq!(resolve(Lens::Consensus, &claims, &plain()).values[0].voices, 1);
    let without_signer = Counterfactual { without_agents: vec![agent(7)], ..Default::default() };
    assert_eq!(resolve(Lens::Consensus, &claims, &without(without_signer)).values[0].voices, 2);
}

/// See `lenses.rs`.
fn disagreement() -> Vec<Candidate> {
    let observed = |mut claim: Candidate, day: i64, class: u8| {
        claim.assertion.observed_at = Some(Micros(day * DAY));
        claim.class = SourceClass::new(class).unwrap();
        claim
    };
    let mut model = observed(claim(4, "520", "model"), 300, 5);
    model.assertion.author = Some(agent(1));
    model.votes = vec![LiveVote { agent: agent(2), weight: Nano(500_000_000) }];
    vec![
        observed(claim(1, "511.15", "handbook"), 100, 1),
        observed(claim(2, "511.150", "registry"), 50, 2),
        observed(claim(3, "515.18", "webbook"), 200, 1),
        model,
    ]
}

#[test]
fn the_newest_stage_of_a_statement_speaks() {
    let stage = |n: u8, lifecycle: Option<Lifecycle>| {
        let mut claim = claim(n, "1", "a");
        claim.assertion.lifecycle = lifecycle;
        claim
    };
    let aside = |claims: &[Candidate]| resolve(Lens::Recency, claims, &plain()).set_aside;
    let claims = [stage(1, None), stage(2, Some(Lifecycle::Proposed)), stage(3, Some(Lifecycle::Approved))];
    assert_eq!(aside(&claims), [(1, SetAside::Restaged), (0, SetAside::Restaged)]);
    // One that states no stage retires nothing, however new.
    let claims = [stage(1, Some(Lifecycle::Approved)), stage(2, None)];
    assert_eq!(aside(&claims), []);
    // A rejected, retracted or superseded newest stage does not bring the earlier ones back.
    let mut claims = vec![stage(1, Some(Lifecycle::Approved)), stage(2, Some(Lifecycle::Rejected))];
    assert_eq!(aside(&claims), [(1, SetAside::Rejected), (0, SetAside::Restaged)]);
    claims[1].assertion.lifecycle = Some(Lifecycle::Approved);
    for known in [SetAside::Retracted, SetAside::Superseded] {
        claims[1].set_aside = Some(known);
        assert_eq!(aside(&claims), [(1, known), (0, SetAside::Restaged)]);
    }
    // An earlier stage that was retracted says so; a rejected one was replaced.
    claims[1].set_aside = None;
    claims[0].set_aside = Some(SetAside::Retracted);
    assert_eq!(aside(&claims), [(0, SetAside::Retracted)]);
    claims[0].set_aside = None;
    claims[0].assertion.lifecycle = Some(Lifecycle::Rejected);
    assert_eq!(aside(&claims), [(0, SetAside::Restaged)]);
    // Newness is by observation.
    claims[0].assertion.observed_at = Some(Micros(100));
    assert_eq!(aside(&claims), [(0, SetAside::Rejected), (1, SetAside::Restaged)]);
    // Another source, author, spelling or confidence is another statement.
    for change in 0..4 {
        let mut claims = vec![stage(1, None), stage(2, Some(Lifecycle::Approved))];
        let other = &mut claims[1].assertion;
        match change {
            0 => other.source = "b".into(),
            1 => other.author = Some(agent(1)),
            2 => other.object = number("1.0"),
            _ => other.confidence = Some(Nano::ONE),
        }
        assert_eq!(aside(&claims), [], "change {change}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the page, written by hand and hashed.
fn by_hand(parts: &[&[u8]]) -> String {
    hex(blake3::hash(&parts.concat()).as_bytes())
}

#[test]
fn fingerprints_are_hashes_of_the_bytes_on_the_page() {
    let domain = b"stemedb lens v1\0";
    let of = |lens: Lens, params: &LensParams| hex(&fingerprint(lens, params));
    let head = b"\0\0\0\x09consensus\0\0\0\x02";
    let nothing = b"\0\0\0\0\0\0\0\0\0\0";
    let plain_hash = by_hand(&[domain, head, b"\0", b"\0", nothing]);
    assert_eq!(plain_hash, "801784a91561add50c518860b05d0b086d96048302e8f1ccf016a33b9f31658f");
    assert_eq!(of(Lens::Consensus, &plain()), plain_hash);
    let tolerance = b"\x01\0\0\0\x045e-1";
    assert_eq!(of(Lens::Consensus, &tolerant("0.50")), by_hand(&[domain, head, b"\0", tolerance, nothing]));
    let all = LensParams {
        decay: true,
        tolerance: Some("0.1%".parse().unwrap()),
        counterfactual: Counterfactual {
            without_sources: vec!["b".into(), "a".into(), "b".into()],
            without_agents: vec![agent(2), agent(1)],
            max_class: SourceClass::new(3).ok(),
        },
        independent: true,
        ..plain()
    };
    let expected = by_hand(&[
        domain,
        b"\0\0\0\x09authority\0\0\0\x02",
        b"\x01",
        b"\x02\0\0\0\x041e-3",
        b"\0\0\0\x02\0\0\0\x01a\0\0\0\x01b",
        b"\0\0\0\x02",
        &[1; 32],
        &[2; 32],
        b"\x01\x03",
        b"\x01",
    ]);
    assert_eq!(of(Lens::Authority, &all), expected);
}

#[test]
fn a_fingerprint_covers_what_has_an_effect_and_nothing_else() {
    let of = |params: &LensParams| fingerprint(Lens::Consensus, params);
    let sources = |list: &[&str]| Counterfactual {
        without_sources: list.iter().map(|source| (*source).to_owned()).collect(),
        ..Default::default()
    };
    let class = |class: u8| Counterfactual { max_class: SourceClass::new(class).ok(), ..Default::default() };
    let different = [
        plain(),
        plain().with_decay(true),
        tolerant("1"),
        tolerant("1%"),
        tolerant("100%"),
        without(sources(&["a"])),
        without(sources(&["a", "b"])),
        without(sources(&["ab"])),
        without(Counterfactual { without_agents: vec![agent(1)], ..Default::default() }),
        without(class(4)),
        without(class(0)),
        LensParams { independent: true, ..plain() },
    ];
    for (i, a) in different.iter().enumerate() {
        for (j, b) in different.iter().enumerate() {
            assert_eq!(of(a) == of(b), i == j, "{a:?} {b:?}");
        }
    }
    let hashes: std::collections::BTreeSet<_> =
        Lens::ALL.iter().map(|lens| fingerprint(*lens, &plain())).collect();
    assert_eq!(hashes.len(), 6);
    assert_eq!(of(&LensParams::at(Micros(1))), of(&plain()));
    assert_eq!(of(&tolerant("0")), of(&plain()));
    assert_eq!(of(&tolerant("0%")), of(&plain()));
    assert_eq!(of(&tolerant("1.0")), of(&tolerant("10e-1")));
    assert_eq!(of(&without(class(5))), of(&plain()));
    assert_eq!(of(&without(sources(&["b", "a", "b"]))), of(&without(sources(&["a", "b"]))));
}

/// The candidates as they would be if those had never spoken.
fn edited(candidates: &[Candidate], out: &Counterfactual) -> Vec<Candidate> {
    let gone = |agent: &AgentId| out.without_agents.contains(agent);
    let mut kept = candidates.to_vec();
    kept.retain(|candidate| {
        let claim = &candidate.assertion;
        !out.without_sources.contains(&claim.source)
            && !claim.author.is_some_and(|author| gone(&author))
            && out.max_class.is_none_or(|max| candidate.class <= max)
    });
    for candidate in &mut kept {
        candidate.assertion.signatures.retain(|signature| !gone(&signature.agent));
        candidate.cosigners.retain(|agent| !gone(agent));
        candidate.votes.retain(|vote| !gone(&vote.agent));
    }
    kept
}

fn counterfactual() -> impl Strategy<Value = Counterfactual> {
    let sources = prop::sample::subsequence(vec!["x", "y", "z", "nobody"], 0..3);
    let agents = prop::sample::subsequence((0_u8..5).collect::<Vec<_>>(), 0..3);
    (sources, agents, prop::option::of(0_u8..6)).prop_map(|(sources, agents, class)| Counterfactual {
        without_sources: sources.into_iter().map(str::to_owned).collect(),
        without_agents: agents.into_iter().map(|byte| AgentId([byte; 32])).collect(),
        max_class: class.map(|class| SourceClass::new(class).unwrap()),
    })
}

/// Everything of an answer that does not name claims by index.
fn essence(answer: &Answer) -> impl PartialEq + std::fmt::Debug + use<> {
    let values: Vec<_> = answer
        .values
        .iter()
        .map(|value| (value.object.clone(), value.support, value.share, value.voices, value.claims.len()))
        .collect();
    let layers: Vec<_> = answer
        .layers
        .iter()
        .map(|layer| {
            (layer.class, layer.value.clone(), layer.support, layer.conflict_score, layer.winners.clone())
        })
        .collect();
    (
        (answer.value.clone(), answer.winners.clone(), answer.confidence, answer.status, answer.considered),
        (answer.margin, answer.conflict_score, answer.total_support, answer.cross_class_conflict),
        (values, layers),
    )
}

/// Numbers with one digit after the point, as tenths, so that a naive version can count in integers.
fn tenths() -> impl Strategy<Value = Vec<(i64, u8)>> {
    prop::collection::vec((-30_i64..30, 0_u8..4), 0..40)
}

/// The groups by the rules of the page, in integers.
fn naive_groups(values: &[(i64, Vec<usize>)], near: impl Fn(i64, i64) -> bool) -> Vec<Vec<usize>> {
    let mut grouped = vec![false; values.len()];
    let mut groups = Vec::new();
    for anchor in 0..values.len() {
        if grouped[anchor] {
            continue;
        }
        let mut group = Vec::new();
        for other in 0..values.len() {
            if !grouped[other] && near(values[anchor].0, values[other].0) {
                grouped[other] = true;
                group.extend(&values[other].1);
            }
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups.sort();
    groups
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_counterfactual_is_the_answer_of_the_claims_without_them(
        candidates in candidates(),
        params in params(),
        out in counterfactual(),
        tolerance in prop::option::of(prop::sample::select(vec!["0.5", "2.5", "50%"])),
    ) {
        let tolerance: Option<Tolerance> = tolerance.map(|text| text.parse().unwrap());
        let params = LensParams { tolerance, ..params };
        let left = edited(&candidates, &out);
        let asked = LensParams { counterfactual: out, ..params.clone() };
        for lens in Lens::ALL {
            let (with_all, without) = (resolve(lens, &candidates, &asked), resolve(lens, &left, &params));
            prop_assert_eq!(essence(&with_all), essence(&without), "{}", lens);
            prop_assert_eq!(with_all.considered + with_all.set_aside.len(), candidates.len());
        }
    }

    #[test]
    fn groups_are_those_of_the_page(numbers in tenths(), width in 0_i64..12, relative in any::<bool>(), keys in prop::collection::vec(any::<u32>(), 40)) {
        let claims: Vec<Candidate> = numbers
            .iter()
            .enumerate()
            .map(|(n, (tenths, source))| {
                let text = format!("{}{}.{}", if *tenths < 0 { "-" } else { "" }, tenths.abs() / 10, tenths.abs() % 10);
                claim(n as u8 + 1, &text, &source.to_string())
            })
            .collect();
        let tolerance = if relative { format!("{}%", width * 5) } else { format!("{}.{}", width / 10, width % 10) };
        let params = tolerant(&tolerance);
        let near = |anchor: i64, x: i64| match relative {
            false => (x - anchor).abs() <= width,
            true => 100 * (x - anchor).abs() <= 5 * width * anchor.abs(),
        };
        let tenths_of = |index: usize| numbers[index].0;
        let listed: Vec<(i64, Vec<usize>)> = resolve(Lens::Skeptic, &claims, &plain())
            .values
            .iter()
            .map(|value| (tenths_of(value.claims[0]), value.claims.clone()))
            .collect();
        let answer = resolve(Lens::Skeptic, &claims, &params);
        let mut found: Vec<Vec<usize>> = answer.values.iter().map(|value| value.claims.clone()).collect();
        found.iter_mut().for_each(|group| group.sort_unstable());
        found.sort();
        prop_assert_eq!(found, naive_groups(&listed, near));
        for value in &answer.values {
            let Object::Number(anchor) = &value.object else { panic!("{value:?}") };
            let anchor: i64 = anchor.replace('.', "").parse().unwrap();
            prop_assert!(value.claims.iter().all(|index| near(anchor, tenths_of(*index))));
        }
        // Whatever the order.
        let mut order: Vec<usize> = (0..claims.len()).collect();
        order.sort_by_key(|index| keys[*index]);
        let permuted: Vec<Candidate> = order.iter().map(|index| claims[*index].clone()).collect();
        for lens in Lens::ALL {
            prop_assert_eq!(essence(&resolve(lens, &permuted, &params)), essence(&resolve(lens, &claims, &params)));
        }
    }

    #[test]
    fn stages_are_those_of_the_page(
        said in prop::collection::vec((0_u8..2, 0_u8..2, 0_i64..3, prop::option::of(0_usize..5)), 0..9),
    ) {
        let claims: Vec<Candidate> = said
            .iter()
            .enumerate()
            .map(|(n, (value, source, day, stage))| {
                let mut claim = claim(n as u8 + 1, &value.to_string(), &source.to_string());
                claim.assertion.observed_at = Some(Micros(*day));
                claim.assertion.lifecycle = stage.map(|stage| Lifecycle::ALL[stage]);
                claim
            })
            .collect();
        let answer = resolve(Lens::Skeptic, &claims, &plain());
        for (index, one) in claims.iter().enumerate() {
            let replaced = claims.iter().any(|other| {
                other.assertion.lifecycle.is_some()
                    && other.newness() > one.newness()
                    && other.assertion.source == one.assertion.source
                    && other.assertion.object == one.assertion.object
            });
            let rejected = one.assertion.lifecycle == Some(Lifecycle::Rejected);
            let expected = match (replaced, rejected) {
                (true, _) => Some(SetAside::Restaged),
                (false, true) => Some(SetAside::Rejected),
                (false, false) => None,
            };
            let found = answer.set_aside.iter().find(|(other, _)| *other == index).map(|(_, reason)| *reason);
            prop_assert_eq!(found, expected, "claim {}", index);
        }
    }
}

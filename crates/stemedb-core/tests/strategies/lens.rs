//! Random candidates of one question: few values, sources and agents, so that everything ties often.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use stemedb_core::{
    AgentId, Assertion, Candidate, ClaimId, LensParams, Lifecycle, LiveVote, Micros, Nano, Object, SetAside,
    Signature, SignatureBytes, SourceClass,
};

pub const DAY: i64 = 86_400_000_000;

pub fn agent() -> impl Strategy<Value = AgentId> {
    (0_u8..4).prop_map(|byte| AgentId([byte; 32]))
}

/// Few values in many spellings, so that claims agree often.
pub fn object() -> impl Strategy<Value = Object> {
    let spelling = prop::sample::select(vec!["5", "5.0", "50e-1", "-0", "0", "7", "7.5", "75e-1"]);
    prop_oneof![
        4 => spelling.prop_map(|text| Object::from_json_number(text).unwrap()),
        1 => prop::sample::select(vec!["a", "b"]).prop_map(|text| Object::Text(text.to_owned())),
        1 => Just(Object::Time("2024-01-01T00:00:00Z".to_owned())),
        1 => Just(Object::Time("2024-01-01T01:00:00+01:00".to_owned())),
        1 => Just(Object::Number("not validated".to_owned())),
    ]
}

/// Few instants, sources, agents, confidences and weights, so that everything ties often.
pub fn candidate() -> impl Strategy<Value = Candidate> {
    let said = (object(), prop::sample::select(vec!["x", "y", "z"]), of(agent()), vec(agent(), 0..2));
    let sure = (of(prop::sample::select(vec![0, 500_000_000, 1_000_000_000])), 0_u8..6, 0_i64..3);
    let when = (of(0_i64..3), 0_i64..3, of(0_i64..5), of(5_i64..9));
    let votes = vec((agent(), prop::sample::select(vec![-1_000_000_000, -1, 0, 500_000_000])), 0..3);
    let aside = prop_oneof![
        8 => Just(None),
        1 => Just(Some(SetAside::Retracted)),
        1 => Just(Some(SetAside::Superseded)),
        1 => Just(Some(SetAside::OutOfEpoch)),
    ];
    let lifecycle = prop_oneof![5 => Just(None), 1 => Just(Some(Lifecycle::Approved)), 1 => Just(Some(Lifecycle::Rejected))];
    (said, sure, when, votes, vec(agent(), 0..2), aside, lifecycle).prop_map(
        |(said, sure, when, votes, cosigners, set_aside, lifecycle)| {
            let mut assertion = Assertion::new("s", "p", said.0, said.1);
            assertion.author = said.2;
            assertion.signatures =
                said.3.into_iter().map(|agent| Signature { agent, bytes: SignatureBytes([0; 64]) }).collect();
            assertion.confidence = sure.0.map(Nano);
            assertion.observed_at = when.0.map(|day| Micros(day * DAY));
            assertion.valid_from = when.2.map(|day| Micros(day * DAY));
            assertion.valid_to = when.3.map(|day| Micros(day * DAY));
            assertion.lifecycle = lifecycle;
            Candidate {
                id: ClaimId([0; 32]),
                lsn: 0,
                ordinal: 0,
                recorded_at: Micros(when.1 * DAY),
                assertion,
                class: SourceClass::new(sure.1).unwrap(),
                trust: Nano(sure.2 * 500_000_000),
                tainted: None,
                lineage_cut: false,
                cosigners,
                votes: votes
                    .into_iter()
                    .map(|(agent, weight)| LiveVote { agent, weight: Nano(weight) })
                    .collect(),
                set_aside,
            }
        },
    )
}

/// Candidates with places in the journal and ids of their own; neither follows the order of the list.
///
/// A class is the one the claim states, else the one of its source (`docs/design/lenses.md`), so two claims of one
/// statement never differ in it.
pub fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let classes = [0_u8..6, 0..6, 0..6];
    (vec((candidate(), any::<bool>()), 0..12), classes, any::<u8>(), 1_u64..4).prop_map(
        |(drawn, classes, salt, per_entry)| {
            let mut candidates: Vec<Candidate> = drawn
                .into_iter()
                .map(|(mut candidate, states)| {
                    let [x, y, z] = classes;
                    match candidate.assertion.source.as_str() {
                        _ if states => candidate.assertion.source_class = Some(candidate.class),
                        "x" => candidate.class = SourceClass::new(x).unwrap(),
                        "y" => candidate.class = SourceClass::new(y).unwrap(),
                        _ => candidate.class = SourceClass::new(z).unwrap(),
                    }
                    candidate
                })
                .collect();
            for (place, candidate) in (0_u64..).zip(&mut candidates) {
                let scrambled = (place * 7 + 3) % 13;
                candidate.lsn = scrambled / per_entry;
                candidate.ordinal = (scrambled % per_entry) as u32;
                candidate.id = ClaimId([(place as u8).wrapping_mul(101) ^ salt; 32]);
            }
            candidates
        },
    )
}

pub fn params() -> impl Strategy<Value = LensParams> {
    (0_i64..9, any::<bool>()).prop_map(|(day, decay)| LensParams::at(Micros(day * DAY)).with_decay(decay))
}

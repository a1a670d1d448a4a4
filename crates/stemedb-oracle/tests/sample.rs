//! The committed sample of real claims, against answers worked out by hand from its lines.

// `allow-expect-in-tests` does not reach the functions that tests share.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;
use stemedb_oracle::{Answer, LENSES, Value, World};

const CLAIMS: &str = include_str!("../../../examples/data/chemistry-sample.jsonl");
const SOURCES: &str = include_str!("../../../examples/data/sources.json");

fn sample() -> World {
    World::read_jsonl(CLAIMS.as_bytes(), SOURCES).expect("the committed sample is well-formed")
}

fn ask(world: &World, subject: &str, predicate: &str, lens: &str) -> Answer {
    world.ask(subject, predicate, lens, u64::MAX, 0, false, None)
}

/// The winning number, the source of the deciding claim, the confidence.
fn winner(world: &World, answer: &Answer) -> (String, String, f64) {
    let Some(Value::Number(number)) = &answer.value else { panic!("a number wins: {:?}", answer.value) };
    let deciding = world.claims().iter().find(|claim| Some(&claim.id) == answer.winners.first());
    (number.clone(), deciding.expect("winners are claims").source.clone(), answer.confidence)
}

#[test]
fn the_sample_has_no_duplicates_and_every_source_is_listed_with_its_count() {
    let world = sample();
    assert_eq!(world.claims().len(), CLAIMS.lines().count());
    let subjects: BTreeSet<&str> = world.claims().iter().map(|claim| claim.subject.as_str()).collect();
    assert_eq!((world.claims().len(), subjects.len(), world.questions().count()), (4_340, 150, 1_594));

    let listed: serde_json::Value = serde_json::from_str(SOURCES).expect("a list of sources");
    let listed: BTreeSet<(String, u64)> = (listed.as_array().expect("a list").iter())
        .map(|source| {
            (source["id"].as_str().expect("text").into(), source["claims"].as_u64().expect("count"))
        })
        .collect();
    let said: BTreeSet<&str> = world.claims().iter().map(|claim| claim.source.as_str()).collect();
    let counted = said.into_iter().map(|source| {
        (source.to_string(), world.claims().iter().filter(|claim| claim.source == source).count() as u64)
    });
    assert_eq!(listed, counted.collect());
}

#[test]
fn a_slip_of_a_thousandfold_wins_by_authority_and_loses_by_consensus() {
    // Critical temperature of phenanthrene: IUPAC (class 0) 0.869; 873.1, 869.02653, 869.0 twice; estimates
    // 843.46356 and 911.28312. Six values, seven voices.
    let world = sample();
    let ask = |lens| ask(&world, "cas:85-01-8", "critical_temperature_K", lens);
    assert_eq!(winner(&world, &ask("consensus")), ("869.0".into(), "YAWS".into(), 0.285_714_286));
    assert_eq!(winner(&world, &ask("authority")), ("0.869".into(), "IUPAC".into(), 0.5));
    assert_eq!(winner(&world, &ask("layered")), ("0.869".into(), "IUPAC".into(), 1.0));
    assert_eq!(winner(&world, &ask("recency")), ("911.28312".into(), "WILSON_JASPERSON".into(), 1.0));
    let skeptic = ask("skeptic");
    assert_eq!((skeptic.status.as_str(), skeptic.values.len(), skeptic.considered), ("contested", 6, 7));
    assert_eq!(skeptic.margin, 0.142_857_143);
    // (2/7 ln 7/2 + 5/7 ln 7) / ln 6
    assert!((skeptic.conflict_score - 0.975_503_760).abs() < 2e-9);
    // Four classes, four different winners: 0.869, 869.02653, 869.0, 911.28312.
    assert_eq!((skeptic.layers.len(), skeptic.cross_class_conflict), (4, 1.0));
}

#[test]
fn the_boiling_point_of_water_depends_on_whom_one_asks() {
    // In the order of the lines: 373.124295848 (HEOS, class 1), 373.124 (CRC_INORG, 2), 373.15 (COMMON_CHEMISTRY, 3),
    // 373.17 (WEBBOOK, 1), 373.15 (YAWS, 2), 373.1339 (WIKIDATA, 4).
    let world = sample();
    let ask = |lens| ask(&world, "cas:7732-18-5", "boiling_point_K", lens);
    assert_eq!(winner(&world, &ask("consensus")), ("373.15".into(), "YAWS".into(), 0.333_333_333));
    assert_eq!(winner(&world, &ask("confidence")), ("373.15".into(), "YAWS".into(), 1.0));
    assert_eq!(winner(&world, &ask("recency")), ("373.1339".into(), "WIKIDATA".into(), 1.0));
    assert_eq!(winner(&world, &ask("authority")), ("373.17".into(), "WEBBOOK".into(), 0.5));
    let layered = ask("layered");
    assert_eq!(winner(&world, &layered), ("373.17".into(), "WEBBOOK".into(), 0.5));
    let number = |text: &str| Value::Number(text.into());
    assert_eq!(
        layered.layers,
        [
            (1, number("373.17"), 0.5, 1.0),
            (2, number("373.15"), 0.5, 1.0),
            (3, number("373.15"), 1.0, 0.0),
            (4, number("373.1339"), 1.0, 0.0)
        ]
    );
    // 373.15 wins two of the four classes: 1.5 ln 2 / ln 3.
    assert!((layered.cross_class_conflict - 0.946_394_630).abs() < 2e-9);
    // (1/3 ln 3 + 4/6 ln 6) / ln 5
    assert!((layered.conflict_score - 0.969_723_900).abs() < 2e-9);
}

#[test]
fn every_question_of_the_sample_keeps_the_promises_that_hold_for_all() {
    let world = sample();
    for (subject, predicate) in world.questions() {
        for lens in LENSES {
            let answer = ask(&world, subject, predicate, lens);
            let context = format!("{subject} {predicate} {lens}");
            let shares: f64 = answer.values.iter().map(|(_, _, share)| share).sum();
            assert!((shares - 1.0).abs() < 1e-8, "{context}");
            let keys: BTreeSet<_> = answer.values.iter().map(|(value, ..)| value.key()).collect();
            assert_eq!(keys.len(), answer.values.len(), "{context}");
            assert_eq!(answer.status == "unanimous", keys.len() == 1, "{context}");
            for float in
                [answer.conflict_score, answer.cross_class_conflict, answer.margin, answer.confidence]
            {
                assert!((0.0..=1.0).contains(&float), "{context}");
            }
            assert_eq!(answer.winners.is_empty(), lens == "skeptic", "{context}");
            assert!(answer.set_aside.is_empty(), "{context}");
            assert!(answer.layers.is_sorted_by(|a, b| a.0 < b.0), "{context}");
        }
    }
}

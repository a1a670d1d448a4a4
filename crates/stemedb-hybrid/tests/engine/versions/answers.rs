//! What a program of the first version answered is what the same folder answers now: before, while and after its view is made
//! again.
//!
//! The recorded answers are of lens version 1. Version 2 differs from it for claims that state a lifecycle alone, and none of this folder
//! does: all that was recorded can be compared.

use std::io::Read;

use stemedb_core::{ClaimId, Lens, LensParams, Micros, Object, resolve};
use stemedb_env::{Lsn, Tasks};
use stemedb_hybrid::{ClaimEngine, DerivedBy, FallbackMode, HybridOptions};
use stemedb_index::{ClaimReader, Claims, Derive};
use stemedb_lsm::KvSnapshot;

use super::{
    super::setup::{dir, machine, submission},
    fixture::installed,
    pass,
};

const ANSWERS: &[u8] = include_bytes!("../../fixtures/derivation-1.answers.zst");
/// The last entry of the folder as it was when it was asked.
const ENTRIES: Lsn = Lsn(45);

/// One line: a question, a lens, and what was answered.
struct Recorded {
    subject: String,
    predicate: String,
    lens: Lens,
    value: Option<Object>,
    status: String,
    winners: Vec<ClaimId>,
    values: usize,
}

fn recorded() -> Vec<Recorded> {
    let mut text = String::new();
    zstd::Decoder::new(ANSWERS).unwrap().read_to_string(&mut text).unwrap();
    let line = |line: &str| {
        let parts: Vec<&str> = line.split('\t').collect();
        let [subject, predicate, lens, value, status, winners, values] = parts.try_into().unwrap();
        Recorded {
            subject: subject.to_owned(),
            predicate: predicate.to_owned(),
            lens: lens.parse().unwrap(),
            value: (value != "null").then(|| Object::from_json(value).unwrap()),
            status: status.to_owned(),
            winners: winners.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().unwrap()).collect(),
            values: values.parse().unwrap(),
        }
    };
    text.lines().map(line).collect()
}

/// All that was recorded is what the reader answers.
fn compare<S: KvSnapshot>(reader: &ClaimReader<S>, recorded: &[Recorded], when: &str) {
    let params = LensParams::at(Micros::parse_rfc3339("2026-12-01T00:00:00Z").unwrap());
    for one in recorded {
        let candidates = reader.candidates(&one.subject, &one.predicate, None).unwrap();
        assert!(candidates.iter().all(|candidate| candidate.assertion.lifecycle.is_none()));
        let answer = resolve(one.lens, &candidates, &params);
        let found = (&answer.value, &answer.winners, answer.status.name(), answer.values.len());
        let expected = (&one.value, &one.winners, one.status.as_str(), one.values);
        assert_eq!(found, expected, "{when}: {} {} {}", one.subject, one.predicate, one.lens);
    }
}

#[test]
fn every_answer_of_the_first_version_is_given_before_while_and_after_the_upgrade() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 49 * Lens::ALL.len());
    for replayed_at_open in [true, false] {
        let mut options = HybridOptions { fallback: FallbackMode::Off, ..HybridOptions::default() };
        if !replayed_at_open {
            options.replay_at_open_bytes = 0;
        }
        let (env, sim) = machine(installed(dir()), 1);
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
        assert_eq!(report.upgrade.is_some(), Claims::VERSION != 1, "{:?}", report.upgrade);
        assert!(report.upgrade.is_none_or(|upgrade| upgrade.readable));
        let (mut of_the_old_view, mut n) = (0, 0);
        while engine.health().upgrade.is_some() {
            if engine.health().readable {
                let snapshot = engine.snapshot().unwrap();
                of_the_old_view += u64::from(snapshot.derived_by().is_some_and(|by| by.oldest == 1));
                compare(&ClaimReader::new(snapshot), &recorded, "during the upgrade");
                // Other questions; the recorded ones must not notice.
                n += 1;
                engine.commit(submission([n])).unwrap();
            }
            assert!(sim.tasks.drive(), "nobody works on it: {:?}", engine.health());
        }
        println!("{of_the_old_view} times by the old view");
        assert!(of_the_old_view >= 3 || Claims::VERSION == 1, "{of_the_old_view}");
        pass(&sim, 1);
        let engine = {
            let snapshot = engine.snapshot().unwrap();
            assert_eq!(snapshot.derived_by(), Some(DerivedBy::one(Claims::VERSION)));
            compare(&ClaimReader::new(snapshot), &recorded, "after the upgrade");
            engine
        };
        engine.close().unwrap();
        let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
        assert_eq!(report.upgrade, None);
        pass(&sim, 1);
        let snapshot = engine.snapshot().unwrap();
        compare(&ClaimReader::new(snapshot.clone()), &recorded, "after the next open");
        compare(&ClaimReader::as_of(snapshot, ENTRIES).unwrap(), &recorded, "as of the old end");
    }
}

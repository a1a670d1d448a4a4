//! Each way of counting gives the same figures, and none reads more than it should.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_core::{Assertion, Command, Object};
use stemedb_env::{Lsn, Micros, Random, random::SeededRandom};
use stemedb_lsm::{KvStore, MemStore, WriteBatch};

use super::*;
use crate::{
    claims::{Claims, InFlightClaims, Submission},
    derive::{Admit, Derive},
};

/// Never anything but probes and lookups.
const ONE_BY_ONE: Effort = Effort { probes: u64::MAX, lookups: usize::MAX, ..EFFORT };
/// Scans from the start.
const BY_SCANS: Effort = Effort { probes: 0, rows_per_probe: u64::MAX, lookups: 0, ..EFFORT };

fn commit(store: &MemStore, lsn: u64, claims: &[Assertion]) {
    let mut submission = Submission::new();
    for claim in claims {
        submission.push(&Command::Assert(claim.clone())).unwrap();
    }
    let mut in_flight = InFlightClaims::default();
    let (lsn, now) = (Lsn(lsn), Micros(1));
    let admitted = Claims.admit(submission, &store.snapshot(), &mut in_flight, lsn, now).unwrap();
    let mut rows = WriteBatch::new();
    Claims.derive(lsn, &admitted.entry.unwrap(), &mut rows).unwrap();
    store.apply(&rows, lsn).unwrap();
    store.publish(lsn);
}

fn derived(n: usize, question: usize, parents: Vec<ClaimId>) -> Assertion {
    let mut claim = Assertion::new(format!("s{question}"), "p", Object::Integer(n as i64), "A");
    claim.parents = parents;
    claim.normalize();
    claim
}

/// A random graph: each claim derives from up to three earlier ones; a new entry every tenth claim.
fn graph(seed: u64, claims: usize) -> (MemStore, Vec<Assertion>) {
    let random = SeededRandom::new(seed);
    let below = |n: usize| usize::try_from(random.next_u64() % n as u64).unwrap();
    let store = MemStore::new();
    let mut all: Vec<Assertion> = Vec::new();
    for n in 0..claims {
        let parents = (0..below(4)).filter(|_| n > 0).map(|_| all[below(n)].id()).collect();
        all.push(derived(n, below(1 + claims / 2), parents));
    }
    for (chunk, lsn) in all.chunks(10).zip(1..) {
        commit(&store, lsn, chunk);
    }
    (store, all)
}

/// Steps to everything that derives from a claim, the plainest way.
fn distances(claims: &[Assertion], from: ClaimId) -> BTreeMap<ClaimId, u32> {
    let mut found = BTreeMap::from([(from, 0)]);
    for depth in 1.. {
        let last: BTreeSet<ClaimId> =
            found.iter().filter(|(_, steps)| **steps == depth - 1).map(|(id, _)| *id).collect();
        if last.is_empty() {
            break;
        }
        for claim in claims.iter().filter(|claim| claim.parents.iter().any(|parent| last.contains(parent))) {
            found.entry(claim.id()).or_insert(depth);
        }
    }
    found.remove(&from);
    found
}

fn expected(claims: &[Assertion], from: ClaimId) -> Impact {
    let found = distances(claims, from);
    let by_id: BTreeMap<ClaimId, &Assertion> = claims.iter().map(|claim| (claim.id(), claim)).collect();
    let question = |id: &ClaimId| QuestionKey { subject: by_id[id].subject.clone(), predicate: "p".into() };
    let mut nearest: Vec<(u32, ClaimId)> = found.iter().map(|(id, steps)| (*steps, *id)).collect();
    nearest.sort();
    Impact {
        claim: from,
        direct: found.values().filter(|steps| **steps == 1).count() as u64,
        total: found.len() as u64,
        depth: found.values().max().copied().unwrap_or(0),
        questions: found.keys().map(question).collect::<BTreeSet<_>>().len() as u64,
        nearest: nearest.iter().take(NEAREST_MAX).map(|(_, id)| (*id, question(id))).collect(),
        complete: true,
        rows_read: 0,
        lookups: 0,
    }
}

/// What was found, without the work.
fn found(reader: &ClaimReader<<MemStore as KvStore>::Snapshot>, id: ClaimId, effort: Effort) -> Impact {
    Impact { rows_read: 0, lookups: 0, ..reader.impact_by(id, effort).unwrap().unwrap() }
}

#[test]
fn every_way_counts_what_derives_from_a_claim() {
    for seed in 0..6 {
        let (store, claims) = graph(seed, 400);
        let reader = ClaimReader::new(store.snapshot());
        let sudden = Effort { probes: 3, rows_per_probe: u64::MAX, lookups: 5, ..EFFORT };
        // Scans that are always given up.
        let vain = Effort { probes: 1, rows_per_probe: 1, lookups: 0, ..EFFORT };
        for claim in claims.iter().step_by(37) {
            let expected = expected(&claims, claim.id());
            for effort in [EFFORT, ONE_BY_ONE, BY_SCANS, sudden, vain] {
                assert_eq!(found(&reader, claim.id(), effort), expected, "seed {seed}, {effort:?}");
            }
        }
    }
}

#[test]
fn the_past_knows_only_what_was_there() {
    let (store, claims) = graph(9, 300);
    for lsn in [1, 7, 15, 29, 30] {
        let known = &claims[..lsn * 10];
        let reader = ClaimReader::as_of(store.snapshot(), Lsn(lsn as u64)).unwrap();
        for claim in known.iter().step_by(9) {
            let expected = expected(known, claim.id());
            for effort in [ONE_BY_ONE, BY_SCANS] {
                assert_eq!(found(&reader, claim.id(), effort), expected, "as of {lsn}");
            }
        }
        if let Some(later) = claims.get(lsn * 10) {
            assert_eq!(reader.impact(later.id()).unwrap(), None);
        }
    }
}

#[test]
fn a_count_that_is_given_up_says_so_and_tells_of_the_nearest() {
    let (store, claims) = graph(4, 400);
    let reader = ClaimReader::new(store.snapshot());
    let whole = expected(&claims, claims[0].id());
    assert!(whole.total > 40);
    for (bound, complete) in [(whole.total as usize, true), (whole.total as usize - 1, false), (7, false)] {
        for effort in [ONE_BY_ONE, BY_SCANS] {
            let impact = found(&reader, claims[0].id(), Effort { claims: bound, ..effort });
            assert_eq!((impact.total, impact.complete), (bound as u64, complete), "{bound}");
        }
    }
}

/// A root, `fan` claims that derive from it, and `fan` that derive from each of those.
fn tree(fan: usize) -> (MemStore, ClaimId) {
    let store = MemStore::new();
    let root = derived(0, 0, vec![]);
    let children: Vec<Assertion> = (1..=fan).map(|n| derived(n, n, vec![root.id()])).collect();
    let leaves: Vec<Assertion> = children
        .iter()
        .enumerate()
        .flat_map(|(c, child)| (0..fan).map(move |n| derived(fan + 1 + c * fan + n, c, vec![child.id()])))
        .collect();
    let id = root.id();
    let all: Vec<Assertion> = [root].into_iter().chain(children).chain(leaves).collect();
    for (chunk, lsn) in all.chunks(4000).zip(1..) {
        commit(&store, lsn, chunk);
    }
    (store, id)
}

#[test]
fn many_derivations_are_read_once_in_order_and_few_of_many_one_by_one() {
    // 200 + 200 * 200 edges, fan-out 200.
    let (store, root) = tree(200);
    let reader = ClaimReader::new(store.snapshot());
    let edges = 40_200;
    let impact = reader.impact(root).unwrap().unwrap();
    assert_eq!((impact.direct, impact.total, impact.depth, impact.complete), (200, edges, 2, true));
    assert_eq!(impact.questions, 201);
    assert_eq!(impact.lookups, EFFORT.probes, "then everything was read at once");
    // The derivations twice, once by probes and once by the scan, and the claims once.
    assert!((3 * edges - 1..=3 * edges + 1).contains(&impact.rows_read), "{} rows", impact.rows_read);

    // Of the same graph, one branch: nothing but its own rows.
    let (branch, _) = impact.nearest[0].clone();
    let impact = reader.impact(branch).unwrap().unwrap();
    assert_eq!((impact.total, impact.depth), (200, 1));
    assert_eq!(impact.rows_read, 200, "its children");
    assert_eq!(impact.lookups, 201 + 200, "a probe for each, and where each lies");
}

#[test]
fn a_scan_is_given_up_when_there_is_much_more_than_what_was_asked_about() {
    let (store, root) = tree(120);
    let reader = ClaimReader::new(store.snapshot());
    let (branch, _) = reader.impact(root).unwrap().unwrap().nearest[0].clone();
    // 121 probes; a scan is tried after 10 and 40 of them and may read as many rows as four times that.
    let effort = Effort { probes: 10, rows_per_probe: 4, lookups: 10, ..EFFORT };
    let impact = reader.impact_by(branch, effort).unwrap().unwrap();
    assert_eq!((impact.total, impact.lookups), (120, 121 + 120));
    assert_eq!(impact.rows_read, 120 + 4 * (10 + 40) + 4 * 120, "{impact:?}");
}

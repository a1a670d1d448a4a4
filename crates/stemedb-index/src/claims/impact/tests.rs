//! Each way of counting gives the same figures, and none reads more than it should.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_core::{Assertion, Command, Object};
use stemedb_env::{Env, Lsn, Micros, Random, frame::DatabaseId, random::SeededRandom};
use stemedb_lsm::{KvStore, LsmOptions, LsmStore, MemStore, WriteBatch};

use super::*;
use crate::{
    claims::{Claims, InFlightClaims, Submission},
    derive::{Admit, Derive},
};

/// Never anything but probes and lookups.
const ONE_BY_ONE: Effort = Effort { probes: u64::MAX, lookups: usize::MAX, ..EFFORT };
/// Scans from the start.
const BY_SCANS: Effort = Effort { probes: 0, rows_per_probe: u64::MAX, lookups: 0, ..EFFORT };

fn commit<S: KvStore>(store: &S, lsn: u64, claims: &[Assertion]) {
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
        // A piece after each probe, and the graph in the midst of the walk.
        let gradual = Effort { probes: 1, probes_together: 1, rows_per_probe: 7, lookups: 0, ..EFFORT };
        // Scans that are always given up.
        let vain =
            Effort { probes: 1, probes_together: 1, rows_per_probe: 1, lookups: 0, graph_rows: 60, ..EFFORT };
        for claim in claims.iter().step_by(37) {
            let expected = expected(&claims, claim.id());
            for effort in [EFFORT, ONE_BY_ONE, BY_SCANS, sudden, gradual, vain] {
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
            let sudden = Effort { probes: 3, rows_per_probe: u64::MAX, ..EFFORT };
            for effort in [ONE_BY_ONE, BY_SCANS, sudden] {
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
        let sudden = Effort { probes: 3, rows_per_probe: u64::MAX, ..EFFORT };
        for effort in [ONE_BY_ONE, BY_SCANS, sudden] {
            let impact = found(&reader, claims[0].id(), Effort { claims: bound, ..effort });
            assert_eq!((impact.total, impact.complete), (bound as u64, complete), "{bound}");
        }
    }
}

/// A root, `fan` claims that derive from it, and `fan` that derive from each of those.
fn tree(fan: usize) -> (MemStore, ClaimId) {
    let store = MemStore::new();
    let root = fill_tree(&store, fan);
    (store, root)
}

fn fill_tree<S: KvStore>(store: &S, fan: usize) -> ClaimId {
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
        commit(store, lsn, chunk);
    }
    id
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
    // What 2048 probes cost, of which some were paid for by reading 40,200 rows; then everything was read at once.
    let probes = EFFORT.probes - edges / EFFORT.rows_per_probe;
    assert_eq!(impact.lookups, probes);
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
fn a_scan_goes_only_as_far_as_the_probes_have_paid_for() {
    let (store, root) = tree(120);
    let reader = ClaimReader::new(store.snapshot());
    let (branch, _) = reader.impact(root).unwrap().unwrap().nearest[0].clone();
    // The first probe reads 120 rows and so costs 31; a piece follows, and others after each 20 more, up to 151.
    let effort = Effort { probes: 10, probes_together: 20, rows_per_probe: 4, lookups: 10, ..EFFORT };
    let impact = reader.impact_by(branch, effort).unwrap().unwrap();
    assert_eq!((impact.total, impact.lookups), (120, 121 + 120));
    let last_piece = (31..=150).step_by(20).last().unwrap();
    assert_eq!(impact.rows_read, 120 + 4 * last_piece + 4 * 120, "{impact:?}");

    // The whole tree: each row by the scan once, whatever the number of pieces.
    let edges = 120 + 120 * 120;
    let impact = reader.impact_by(root, effort).unwrap().unwrap();
    assert_eq!(impact.total, edges);
    let probed = impact.rows_read - edges - edges;
    assert!(probed < edges, "{probed} rows by probes");
    let paid = 4 * impact.lookups + probed;
    assert!((edges..edges + 4 * (20 + 31)).contains(&paid), "{impact:?}");

    // More than may be held: one row too many is read, and then there are only probes.
    let effort = Effort { graph_rows: 1000, lookups: usize::MAX, ..effort };
    let impact = reader.impact_by(root, effort).unwrap().unwrap();
    assert_eq!((impact.total, impact.lookups), (edges, edges + 1 + edges));
    assert_eq!(impact.rows_read, edges + 1001);
}

#[test]
fn a_tree_on_disk_is_read_block_by_block_once() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        LsmOptions { prefix_extractor: Some(Claims::filtered_prefix_bytes), ..LsmOptions::default() };
    let store = LsmStore::create(Env::real(), dir.path(), DatabaseId([7; 16]), options).unwrap();
    let root = fill_tree(&store, 100);
    store.compact().unwrap();
    let reader = ClaimReader::new(store.snapshot());
    let blocks = || {
        let stats = store.stats();
        stats.cache_hits + stats.cache_misses
    };
    let edges = 100 + 100 * 100;
    // As many blocks as a scan of both families has, and a few for the probes before it and the claims that are named.
    let before = blocks();
    for family in [Family::Derived, Family::ById] {
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(family)) };
        let mut rows = reader.snapshot().scan(&range, Direction::Forward);
        while rows.advance().unwrap() {}
    }
    let scanned = blocks() - before;
    assert!(scanned > 50, "{scanned}");
    let before = blocks();
    let impact = reader.impact_by(root, Effort { probes: 5, rows_per_probe: 1 << 20, lookups: 50, ..EFFORT });
    assert_eq!(impact.unwrap().unwrap().total, edges);
    let read = blocks() - before;
    assert!((scanned..scanned + 900).contains(&read), "{read} blocks, {scanned} for two scans");
}

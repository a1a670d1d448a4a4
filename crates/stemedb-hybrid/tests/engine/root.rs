//! The state root: by tables what it is by definition, in every store.

use std::path::Path;

use stemedb_core::{Agent, AgentKey, Assertion, Cosign, Nano, Object, Supersession, identity::sign_claim};
use stemedb_env::frame::DatabaseId;
use stemedb_fallback::{RedbOptions, RedbStore};
use stemedb_hybrid::{ClaimEngine, HybridOptions, StateRoot, rebuild};
use stemedb_index::{Claims, Derive, Submission};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, Lsn, MemStore, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use super::setup::{create, dir, machine, open};

/// The definition: every visible row.
fn by_scan<S: KvSnapshot>(snapshot: &S) -> StateRoot {
    let mut root = StateRoot::empty();
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    while rows.advance().unwrap() {
        root.add(rows.key(), rows.value());
    }
    root
}

/// The journal's rows in another store.
fn derived<S: KvStore>(engine: &ClaimEngine, store: S) -> S {
    let mut reader = engine.journal().read_from(Lsn(1)).unwrap();
    let mut rows = WriteBatch::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        rows.clear();
        Claims.derive(entry.lsn, &entry.bytes, &mut rows).unwrap();
        store.apply(&rows, entry.lsn).unwrap();
        store.publish(entry.lsn);
    }
    store
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

/// Claims with all that may come twice: the same claim, the same parents, the same signer, the same vote.
fn request(dice: &mut Dice) -> Submission {
    let mut submission = Submission::new();
    let keys = [AgentKey::from_seed(&[1; 32]), AgentKey::from_seed(&[2; 32])];
    for _ in 0..1 + dice.below(6) {
        let n = dice.below(150);
        let claim = |n: u64| {
            let mut claim = Assertion::new(
                format!("cas:{}", n % 11),
                "melting_point_K",
                Object::Integer(n as i64),
                format!("source {}", n % 3),
            );
            if n > 40 && n.is_multiple_of(4) {
                let parent = Assertion::new("cas:0", "melting_point_K", Object::Integer(0), "source 0");
                claim.parents = vec![parent.id()];
            }
            claim
        };
        let mut claim = claim(n);
        let id = claim.id();
        match dice.below(3) {
            0 => claim.sign(&keys[dice.below(2) as usize]),
            1 if n.is_multiple_of(2) => {
                claim.author = Some(keys[0].agent());
                claim.sign(&keys[0]);
            }
            _ => {}
        }
        submission.push(&stemedb_core::Command::Assert(claim)).unwrap();
        if dice.below(4) == 0 {
            let vote = stemedb_core::Vote {
                assertion: id,
                agent: keys[0].agent(),
                weight: stemedb_core::Nano(500_000_000),
                reason: None,
                signature: None,
            };
            submission.push(&stemedb_core::Command::Vote(vote)).unwrap();
        }
        if dice.below(5) == 0 {
            let cosign =
                Cosign { claim: id, agent: keys[1].agent(), signature: sign_claim(&keys[1], &id).bytes };
            submission.push(&stemedb_core::Command::Cosign(cosign)).unwrap();
        }
        if dice.below(6) == 0 {
            let mut record = Agent::new(keys[dice.below(2) as usize].agent());
            record.trust = Some(Nano(dice.below(4) as i64 * 250_000_000));
            submission.push(&stemedb_core::Command::Agent(record)).unwrap();
        }
        if dice.below(8) == 0 {
            let mut retraction = Supersession::retract(id);
            retraction.agent = Some(keys[0].agent());
            submission.push(&stemedb_core::Command::Supersede(retraction)).unwrap();
        }
    }
    submission
}

#[test]
fn the_root_is_that_of_a_scan_and_of_every_other_store_at_the_same_lsn() {
    for seed in 1..7 {
        let mut dice = Dice(seed * 7_919);
        let (mut engine, env, mut sim) = create(seed);
        let mut env = env;
        for step in 0..140 {
            match dice.below(14) {
                0 => _ = engine.flush().unwrap(),
                1 => engine.compact().unwrap(),
                2 => {
                    engine.close().unwrap();
                    engine = open(&env).0;
                }
                3 => {
                    // A process that is killed: the rest is replayed.
                    let image = sim.fs.process_killed();
                    drop(engine);
                    (env, sim) = machine(image, seed + step);
                    engine = open(&env).0;
                }
                _ => {
                    // A vote on a claim that is not there yet is refused.
                    let _ = engine.commit(request(&mut dice));
                }
            }
            sim.tasks.settle(dice.below(300) as usize);
            if dice.below(5) == 0 {
                let (root, snapshot) = (engine.state_root().unwrap(), engine.snapshot().unwrap());
                assert_eq!(root, by_scan(&snapshot));
                assert_eq!(root.lsn(), snapshot.lsn());
            }
        }
        let root = engine.state_root().unwrap();
        assert_eq!(root.lsn(), engine.published_lsn());
        assert!(root.rows() > 300, "{root:?}");
        let in_memory = derived(&engine, MemStore::new());
        assert_eq!(by_scan(&in_memory.snapshot()), root);
        let folder = tempfile::tempdir().unwrap();
        let real = stemedb_env::Env::real();
        let redb =
            RedbStore::create(&real, folder.path(), DatabaseId([7; 16]), RedbOptions::default()).unwrap();
        let redb = derived(&engine, redb);
        assert_eq!(by_scan(&redb.snapshot()), root);
        assert_eq!(redb.snapshot().lsn(), root.lsn());
        engine.compact().unwrap();
        assert_eq!(engine.state_root().unwrap(), root);
        engine.close().unwrap();
        let rebuilt = rebuild(
            &env,
            &dir().join("wal"),
            Path::new("/kv2"),
            &Claims,
            &HybridOptions::tiny(),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!((rebuilt.root, rebuilt.root.lsn()), (root, root.lsn()));
    }
}

#[test]
fn no_row_of_claims_is_ever_written_twice() {
    // What the sum by tables rests on for its speed: admission lets nothing through that is there.
    let mut dice = Dice(99);
    let (engine, _env, sim) = create(40);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let _ = engine.commit(request(&mut dice));
        sim.tasks.settle(20);
    }
    let mut reader = engine.journal().read_from(Lsn(1)).unwrap();
    let mut rows = WriteBatch::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        rows.clear();
        Claims.derive(entry.lsn, &entry.bytes, &mut rows).unwrap();
        for row in rows.iter() {
            let before = seen.insert(row.key().to_vec(), entry.lsn);
            assert!(before.is_none_or(|before| before == entry.lsn), "{:?}", row.key());
        }
    }
    assert!(seen.len() > 1000);
}

#[test]
fn a_second_root_reads_nothing_and_a_repaired_table_keeps_its_sum() {
    let mut dice = Dice(5);
    let (engine, env, sim) = create(41);
    for _ in 0..150 {
        let _ = engine.commit(request(&mut dice));
        sim.tasks.settle(300);
    }
    engine.flush().unwrap();
    sim.tasks.settle(100_000);
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let (engine, _) = open(&env);
    let reads = |engine: &ClaimEngine| {
        let before = engine.stats().lsm.block_reads;
        assert_eq!(engine.state_root().unwrap(), root);
        engine.stats().lsm.block_reads - before
    };
    assert!(reads(&engine) > 5);
    assert_eq!(reads(&engine), 0);
    let table = engine.tables()[0].clone();
    engine.repair_table(table.file).unwrap();
    assert!(engine.tables().iter().all(|other| other.file != table.file), "it is another file now");
    assert_eq!(reads(&engine), 0, "with the same digest");
}

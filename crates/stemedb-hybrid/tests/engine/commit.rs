//! Acknowledged = durable and readable; one sync per group; refusals leave nothing behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stemedb_core::{AgentId, ClaimId, Command, Nano, Vote};
use stemedb_env::{
    Clock, Env, IoOp,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions, LsmEngine};
use stemedb_index::{ClaimReader, Claims, KeyValues, Submission};
use stemedb_lsm::{KvSnapshot, WriteBatch};

use super::setup::{assert_claims, create, dir, found, open, submission};

#[test]
fn an_acknowledged_claim_is_readable_at_once_and_after_a_restart() {
    let (engine, env, _sim) = create(1);
    for n in 0..50 {
        let outcome = assert_claims(&engine, [n])[0];
        assert!(outcome.created);
        assert_eq!(outcome.position.lsn.0, n + 1);
        let reader = ClaimReader::new(engine.snapshot().unwrap());
        assert_eq!(reader.claim(outcome.id.unwrap()).unwrap().unwrap().position, outcome.position);
    }
    engine.close().unwrap();
    let (engine, report) = open(&env);
    assert_eq!(report.journal.last_lsn.0, 50);
    assert_eq!(found(&engine), (0..50).collect::<Vec<_>>());
    assert!(!assert_claims(&engine, [7])[0].created, "known before the restart");
}

#[test]
fn a_group_costs_one_write_and_one_sync_of_the_journal() {
    let (env, sim) = Env::sim(2);
    let counting = Arc::new(FaultFs::counting(Arc::new(sim.fs.clone())));
    let env = Env { fs: Arc::clone(&counting) as _, ..env };
    // Large enough that nothing rotates or flushes meanwhile.
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::default()).unwrap();
    assert_claims(&engine, [1000]);
    counting.reset_call_counts();
    for group in 0..20u64 {
        assert_claims(&engine, group * 10..group * 10 + 10);
    }
    let calls = counting.call_counts();
    assert_eq!((calls.writes("/wal/"), calls.syncs("/wal/")), (20, 20));
    assert_eq!((calls.writes("/kv/"), calls.syncs("/kv/")), (0, 0), "the view costs the commit no I/O");
}

#[test]
fn the_view_hears_how_long_commits_take() {
    let (env, sim) = Env::sim(3);
    let clock = Arc::clone(&env.clock);
    let slow = Arc::new(FaultFs::with_clock(Arc::new(sim.fs.clone()), clock, 1));
    let env = Env { fs: Arc::clone(&slow) as _, ..env };
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::default()).unwrap();
    slow.add(FaultRule::new(Fault::Latency(Duration::from_millis(3))).on(IoOp::SyncData).path("/wal/"));
    assert_claims(&engine, [1]);
    let stats = engine.stats().lsm;
    assert_eq!(stats.commit_sync, Duration::from_millis(3));
    (2..100).for_each(|n| _ = assert_claims(&engine, [n]));
    slow.clear();
    (100..200).for_each(|n| _ = assert_claims(&engine, [n]));
    assert_eq!(engine.stats().lsm.commit_sync.as_millis(), 0);
}

#[test]
fn writers_on_many_threads_read_their_own_writes_and_lsns_are_dense() {
    let temp = tempfile::tempdir().unwrap();
    let env = Env::real();
    let engine =
        Arc::new(ClaimEngine::create(&env, &temp.path().join("db"), Claims, &HybridOptions::tiny()).unwrap());
    let newest_seen = Arc::new(AtomicU64::new(0));
    let mut lsns: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8u64)
            .map(|thread| {
                let (engine, newest_seen) = (Arc::clone(&engine), Arc::clone(&newest_seen));
                scope.spawn(move || {
                    let mut lsns = Vec::new();
                    for i in 0..60 {
                        let outcome = assert_claims(&engine, [thread * 1000 + i])[0];
                        newest_seen.fetch_max(outcome.position.lsn.0, Ordering::SeqCst);
                        let at_least = newest_seen.load(Ordering::SeqCst);
                        let snapshot = engine.snapshot().unwrap();
                        assert!(snapshot.lsn().0 >= at_least, "a read after an ack must see it");
                        assert!(ClaimReader::new(snapshot).claim(outcome.id.unwrap()).unwrap().is_some());
                        lsns.push(outcome.position.lsn.0);
                    }
                    lsns
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    lsns.sort_unstable();
    assert_eq!(lsns, (1..=480).collect::<Vec<_>>());
    let stats = engine.stats();
    assert_eq!(stats.entries, 480);
    assert!(stats.commit.groups <= 480);
}

#[test]
fn the_same_claim_from_many_threads_is_recorded_once() {
    let temp = tempfile::tempdir().unwrap();
    let engine =
        ClaimEngine::create(&Env::real(), &temp.path().join("db"), Claims, &HybridOptions::default())
            .unwrap();
    let created: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..100).filter(|n| assert_claims(&engine, [*n])[0].created).count()))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(created, 100);
    assert_eq!(found(&engine), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_refused_request_changes_nothing_and_hurts_nobody_else() {
    let (engine, _env, _sim) = create(3);
    assert_claims(&engine, [1]);
    let mut bad = submission([2, 3]);
    bad.push(&Command::Vote(Vote::new(ClaimId([7; 32]), AgentId([1; 32]), Nano::ONE))).unwrap();
    let before = engine.published_lsn();
    assert!(matches!(engine.commit(bad), Err(Error::Index(stemedb_index::Error::UnknownClaim { .. }))));
    assert_eq!(engine.published_lsn(), before);
    assert_eq!(found(&engine), [1]);
    assert!(assert_claims(&engine, [2])[0].created);
}

#[test]
fn recorded_times_never_go_back_even_when_the_clock_does() {
    let (engine, env, sim) = create(4);
    assert_claims(&engine, [1]);
    sim.clock.set_wall(stemedb_env::Micros(5));
    assert_claims(&engine, [2]);
    let reader = ClaimReader::new(engine.snapshot().unwrap());
    let at = |lsn| reader.recorded_at(stemedb_env::Lsn(lsn)).unwrap().unwrap();
    assert!(at(2) >= at(1));
    let floor = at(2);
    drop(reader);
    engine.close().unwrap();
    let (engine, _) = open(&env);
    assert_claims(&engine, [3]);
    let reader = ClaimReader::new(engine.snapshot().unwrap());
    assert!(
        reader.recorded_at(stemedb_env::Lsn(3)).unwrap().unwrap() >= floor,
        "the floor survives a restart"
    );
}

/// An engine over a disk that can be told to fail.
fn faulty(seed: u64) -> (ClaimEngine, Arc<FaultFs>, Env, stemedb_env::SimHandles) {
    let (env, sim) = Env::sim(seed);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::tiny()).unwrap();
    assert_claims(&engine, [1]);
    (engine, faults, env, sim)
}

#[test]
fn a_single_failed_sync_is_noticed_by_nobody_but_the_counters() {
    let (engine, faults, _env, sim) = faulty(5);
    faults.add(FaultRule::new(Fault::SyncFailsThenLies).on(IoOp::SyncData).path("/wal/").times(1));
    assert_claims(&engine, [2]);
    assert_eq!(found(&engine), [1, 2]);
    let journal = engine.stats().journal;
    assert_eq!((journal.failed_syncs, journal.rewrites, engine.health().read_only), (1, 1, None));
    drop(engine);
    let (machine, _sim) = super::setup::machine(sim.fs.crash_losing_all(), 6);
    let (engine, _) = open(&machine);
    assert_eq!(found(&engine), [1, 2]);
}

#[test]
fn while_syncs_fail_the_outcome_is_unknown_and_nothing_is_pretended() {
    let (engine, faults, _env, sim) = faulty(5);
    faults.add(FaultRule::new(Fault::SyncFailsThenLies).on(IoOp::SyncData).path("/wal/"));
    assert!(matches!(engine.commit(submission([2])), Err(Error::Indeterminate { .. })));
    // The retry must not be told "was there already" from what is in flight: it is not known to be there.
    assert!(matches!(engine.commit(submission([2])), Err(Error::ReadOnly { .. })));
    assert_eq!(found(&engine), [1], "what is not durable is never shown");
    assert!(engine.health().read_only.is_some());
    drop(engine);
    let (machine, _sim) = super::setup::machine(sim.fs.crash_losing_all(), 6);
    let (engine, _) = open(&machine);
    assert!(found(&engine).starts_with(&[1]));
    assert_claims(&engine, [2]);
    assert_eq!(found(&engine), [1, 2]);
}

#[test]
fn when_the_disk_answers_again_writes_go_on_and_what_was_unknown_is_there() {
    for fault in [Fault::Eio, Fault::StorageFull, Fault::SyncFailsThenLies] {
        let (engine, faults, _env, sim) = faulty(7);
        faults.add(FaultRule::new(fault).on(IoOp::Write).path("/wal/"));
        faults.add(FaultRule::new(fault).on(IoOp::SyncData).path("/wal/"));
        let refused = engine.commit(submission([2]));
        assert!(matches!(refused, Err(Error::Indeterminate { .. })), "{refused:?}");
        for _ in 0..3 {
            sim.clock.sleep(std::time::Duration::from_millis(300));
            sim.tasks.settle(50);
            let refused = engine.commit(submission([3]));
            let (full, other) = (
                matches!(refused, Err(Error::NoRoom { .. })),
                matches!(refused, Err(Error::ReadOnly { .. })),
            );
            assert_eq!(
                (full, other),
                (fault == Fault::StorageFull, fault != Fault::StorageFull),
                "{refused:?}"
            );
            assert_eq!(found(&engine), [1], "reads go on");
        }
        faults.clear();
        sim.clock.sleep(std::time::Duration::from_millis(300));
        sim.tasks.settle(50);
        sim.clock.sleep(std::time::Duration::from_millis(100));
        sim.tasks.settle(50);
        // Within a second, without a restart, without a write to push it.
        assert_eq!(engine.health().read_only, None, "{fault:?}");
        assert_eq!(found(&engine), [1, 2], "{fault:?}");
        assert!(!assert_claims(&engine, [2])[0].created, "it is known to be there now");
        assert_claims(&engine, [3]);
        drop(engine);
        let (machine, _sim) = super::setup::machine(sim.fs.crash_losing_all(), 6);
        assert_eq!(found(&open(&machine).0), [1, 2, 3]);
    }
}

#[test]
fn a_write_for_which_there_is_no_room_is_refused_definitely_and_the_next_one_is_not() {
    let (engine, faults, _env, sim) = faulty(8);
    // Rotation needs a new file, and there is no room for one.
    faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Open).path("/wal/"));
    let mut refused = None;
    for n in 0..60u64 {
        match engine.commit(submission(n * 50 + 10..n * 50 + 50)) {
            Ok(_) => {}
            Err(error) => {
                refused = Some((n, error));
                break;
            }
        }
    }
    let Some((n, Error::StorageFull { .. })) = refused else { panic!("{refused:?}") };
    let before = found(&engine);
    assert!(!before.contains(&(n * 50 + 10)));
    faults.clear();
    // Nothing of it was left behind in what is in flight: it is new.
    assert!(assert_claims(&engine, n * 50 + 10..n * 50 + 50)[0].created);
    drop(engine);
    let (machine, _sim) = super::setup::machine(sim.fs.crash_losing_all(), 9);
    assert_eq!(found(&open(&machine).0).len(), before.len() + 40);
}

#[test]
fn an_engine_without_claims_stores_plain_rows() {
    let (env, _sim) = Env::sim(9);
    let engine = LsmEngine::create(&env, dir(), KeyValues, &HybridOptions::tiny()).unwrap();
    for i in 0..200u32 {
        let mut batch = WriteBatch::new();
        batch.put(&(i % 50).to_be_bytes(), &i.to_le_bytes());
        if i % 10 == 9 {
            batch.delete(&(i % 50 - 1).to_be_bytes());
        }
        engine.commit(batch).unwrap();
    }
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let (engine, _) = LsmEngine::open(&env, dir(), KeyValues, &HybridOptions::tiny()).unwrap();
    assert_eq!(engine.state_root().unwrap(), root);
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.get(&7u32.to_be_bytes()).unwrap().as_deref(), Some(&157u32.to_le_bytes()[..]));
    assert_eq!(snapshot.get(&48u32.to_be_bytes()).unwrap().as_deref(), None, "deleted last at 199");
}

#[test]
fn removed_ranges_are_replayed_and_their_tables_repaired_from_the_journal() {
    let (env, sim) = Env::sim(10);
    let options = HybridOptions::tiny();
    let engine = LsmEngine::create(&env, dir(), KeyValues, &options).unwrap();
    for i in 0..60u32 {
        let mut batch = WriteBatch::new();
        (0..8).for_each(|n| batch.put(&(i * 8 + n).to_be_bytes(), &[n as u8; 20]));
        if i % 6 == 5 {
            batch.delete_range(&(i * 8 - 30).to_be_bytes(), &(i * 8 + 2).to_be_bytes());
        }
        engine.commit(batch).unwrap();
    }
    let left = |engine: &LsmEngine<KeyValues>| {
        let snapshot = engine.snapshot().unwrap();
        (0..480u32).filter(|n| snapshot.get(&n.to_be_bytes()).unwrap().is_some()).collect::<Vec<_>>()
    };
    let expected: Vec<u32> = (0..480).filter(|n| !(10..42).contains(&(n % 48))).collect();
    assert_eq!(left(&engine), expected);
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let (engine, _) = LsmEngine::open(&env, dir(), KeyValues, &options).unwrap();
    assert_eq!((left(&engine), engine.state_root().unwrap()), (expected.clone(), root));
    engine.flush().unwrap();
    let tables = engine.tables();
    engine.close().unwrap();
    let (wal, kv) = (dir().join("wal"), std::path::PathBuf::from("/data/elsewhere/kv"));
    let rebuilt = stemedb_hybrid::rebuild(&env, &wal, &kv, &KeyValues, &options, &mut |_| {}).unwrap();
    assert_eq!((rebuilt.root, rebuilt.entries), (root, 60));
    assert!(!tables.is_empty());
    for table in tables {
        let (env, sim) = super::setup::machine(sim.fs.process_killed(), 3);
        sim.fs.delete(&dir().join(format!("kv/{:06}.sst", table.file))).unwrap();
        let (engine, report) = LsmEngine::open(&env, dir(), KeyValues, &options).unwrap();
        assert_eq!(report.damaged_tables.len(), 1);
        engine.repair_damaged().unwrap();
        assert_eq!((left(&engine), engine.state_root().unwrap()), (expected.clone(), root));
    }
}

#[test]
fn many_commits_of_one_thread_under_way_share_syncs_and_are_readable_when_their_ticket_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::real();
    let engine =
        LsmEngine::<KeyValues>::create(&env, &folder.path().join("db"), KeyValues, &HybridOptions::default())
            .unwrap();
    let batch = |n: u64| {
        let mut batch = WriteBatch::new();
        batch.put(&n.to_be_bytes(), &n.to_le_bytes());
        batch
    };
    let before = engine.stats().journal.syncs;
    let mut under_way = std::collections::VecDeque::new();
    let mut last = 0;
    for n in 0..512u64 {
        under_way.push_back((n, engine.submit(batch(n)).unwrap()));
        if under_way.len() == 64 {
            let (n, ticket) = under_way.pop_front().unwrap();
            let lsn = ticket.wait().unwrap();
            assert!(lsn.0 > last, "in the order in which they were handed in");
            last = lsn.0;
            assert_eq!(engine.get(&n.to_be_bytes()).unwrap().as_deref(), Some(&n.to_le_bytes()[..]));
        }
    }
    under_way.into_iter().for_each(|(_, ticket)| assert!(ticket.wait().unwrap().0 > last));
    let syncs = engine.stats().journal.syncs - before;
    assert!(syncs < 256, "{syncs} syncs for 512 commits");
    // A dropped ticket takes nothing back.
    drop(engine.submit(batch(9_999)).unwrap());
    engine.submit(batch(10_000)).unwrap().wait().unwrap();
    assert!(engine.get(&9_999u64.to_be_bytes()).unwrap().is_some());
    assert_eq!(engine.get(&77_777u64.to_be_bytes()).unwrap(), None);
}

#[test]
fn an_empty_submission_is_acknowledged_without_an_entry() {
    let (engine, _env, _sim) = create(10);
    assert!(engine.commit(Submission::new()).unwrap().is_empty());
    assert_eq!(engine.published_lsn().0, 0);
    assert!(assert_claims(&engine, [1])[0].created);
}

#[test]
fn interrupted_and_short_calls_are_never_noticed() {
    let (env, sim) = Env::sim(11);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), 11));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    faults.add(FaultRule::new(Fault::Interrupted).chance_per_million(200_000));
    faults.add(FaultRule::new(Fault::Short).chance_per_million(200_000));
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::tiny()).unwrap();
    for n in 0..40 {
        assert_claims(&engine, n * 10..n * 10 + 5);
        sim.tasks.settle(20);
    }
    engine.flush().unwrap();
    engine.compact().unwrap();
    let root = engine.state_root().unwrap();
    engine.close().unwrap();
    let (engine, _) = open(&env);
    assert_eq!(engine.state_root().unwrap(), root);
    engine.verify().unwrap();
    assert!(faults.fault_counts().total() > 200, "the injector is dead");
}

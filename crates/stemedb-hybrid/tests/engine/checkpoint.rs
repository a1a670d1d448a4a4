//! A second database of links: exactly the state at its LSN, whatever the first one does meanwhile.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use stemedb_env::{Env, fs::sim::CrashOptions};
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions, Lsn};
use stemedb_index::Claims;
use stemedb_wal::{Journal, Retention};

use super::setup::{assert_claims, create, dir, found, machine, open, submission};

fn there() -> &'static Path {
    Path::new("/copies/one")
}

fn open_at(env: &Env, dir: &Path) -> ClaimEngine {
    ClaimEngine::open(env, dir, Claims, &HybridOptions::tiny()).unwrap().0
}

/// Claims of entry `n`.
fn entry(n: u64) -> Vec<u64> {
    (n * 100..n * 100 + 5).collect()
}

fn upto(lsn: Lsn) -> Vec<u64> {
    (1..=lsn.0).flat_map(entry).collect()
}

#[test]
fn a_checkpoint_is_a_database_of_its_own_and_stays_as_it_was() {
    let (engine, env, sim) = create(1);
    for n in 1..=120 {
        assert_claims(&engine, entry(n));
        if n % 20 == 0 {
            engine.flush().unwrap();
            sim.tasks.settle(300);
        }
    }
    let (done, view) = engine.checkpoint_with_view(there()).unwrap();
    assert_eq!((done.lsn, done.first_lsn), (Lsn(120), Lsn(1)));
    assert!(matches!(engine.checkpoint(there()), Err(Error::AlreadyExists { .. })));
    // The first goes on: its tables are merged away, its segments packed and their files used again.
    for n in 121..=300 {
        assert_claims(&engine, entry(n));
        if n % 20 == 0 {
            engine.flush().unwrap();
            sim.tasks.settle(300);
        }
    }
    engine.compact().unwrap();
    sim.tasks.settle(300);
    let copy = open_at(&env, there());
    assert_eq!(copy.published_lsn(), Lsn(120));
    assert_eq!(found(&copy), upto(Lsn(120)));
    assert_eq!(copy.state_root().unwrap(), view.state_root().unwrap());
    assert_eq!(copy.identity(), engine.identity());
    assert_eq!(copy.verify().unwrap().entries, 120);
    // And so does the second.
    for n in 121..=140 {
        assert_claims(&copy, entry(n));
    }
    copy.compact().unwrap();
    copy.close().unwrap();
    assert_eq!(found(&engine), upto(Lsn(300)));
    engine.verify().unwrap();
    engine.close().unwrap();
    assert_eq!(found(&open_at(&env, there())), upto(Lsn(140)));
    assert_eq!(found(&open(&env).0), upto(Lsn(300)));
}

#[test]
fn segments_of_a_checkpoint_are_not_used_again_where_files_are() {
    let (env, sim) = Env::sim(2);
    let mut options = HybridOptions::tiny();
    options.journal.retention = Retention::Recycle;
    // Many segments to a memtable, so that some are sealed and not released when their time comes.
    options.journal.compress = false;
    options.lsm.memtable_bytes = 64 << 10;
    let engine = ClaimEngine::create(&env, dir(), Claims, &options).unwrap();
    for n in 1..=60 {
        assert_claims(&engine, entry(n));
    }
    let done = engine.checkpoint(there()).unwrap();
    let linked = env.fs.list(&there().join("wal")).unwrap().len();
    assert!(linked > 4, "{linked}: not only the tail, which is a copy");
    for n in 61..=200 {
        assert_claims(&engine, entry(n));
        engine.flush().unwrap();
        sim.tasks.settle(100);
    }
    assert!(engine.stats().journal.recycled > 4);
    assert!(engine.journal().first_lsn() > Lsn(60), "the segments of the checkpoint's time are gone");
    let copy = open_at(&env, there());
    assert_eq!(found(&copy), upto(done.lsn));
    copy.verify().unwrap();
}

#[test]
fn a_table_that_was_taken_away_is_missed_and_repaired_by_the_checkpoint() {
    let (engine, env, sim) = create(6);
    for n in 1..=60 {
        assert_claims(&engine, entry(n));
    }
    engine.flush().unwrap();
    // Everything is open, and nothing asks for the file's name any more.
    assert_eq!(found(&engine), upto(Lsn(60)));
    let kv = engine.layout().kv();
    let names = env.fs.list(&kv).unwrap().into_iter().map(|entry| entry.name);
    let tables: Vec<String> = names.filter(|name| name.ends_with(".sst")).collect();
    for table in &tables[..tables.len().div_ceil(2)] {
        sim.fs.delete(&kv.join(table)).unwrap();
    }
    let done = engine.checkpoint(there()).unwrap();
    assert_eq!(done.lsn, Lsn(60));
    let copy = open_at(&env, there());
    assert_eq!(found(&copy), upto(Lsn(60)));
    copy.verify().unwrap();
    engine.verify().unwrap();
}

#[test]
fn checkpoints_under_load_hold_exactly_the_entries_up_to_their_lsn() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::real();
    let engine = Arc::new(
        ClaimEngine::create(&env, &folder.path().join("db"), Claims, &HybridOptions::tiny()).unwrap(),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(1));
    // One writer, so that entry n holds the claims of n.
    let writer = {
        let (engine, stop, next) = (Arc::clone(&engine), Arc::clone(&stop), Arc::clone(&next));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let tickets: Vec<_> = (0..8)
                    .map(|_| engine.submit(submission(entry(next.fetch_add(1, Ordering::Relaxed)))).unwrap())
                    .collect();
                tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
            }
        })
    };
    let mut last = Lsn::ZERO;
    for round in 0..12 {
        let to = folder.path().join(format!("copy{round}"));
        let (done, view) = engine.checkpoint_with_view(&to).unwrap();
        assert!(done.lsn >= last && done.flushed <= done.lsn, "{done:?}");
        last = done.lsn;
        let copy = open_at(&env, &to);
        assert_eq!(copy.published_lsn(), done.lsn);
        assert_eq!(found(&copy), upto(done.lsn), "{done:?}");
        assert_eq!(copy.state_root().unwrap(), view.state_root().unwrap());
        assert_eq!(copy.verify().unwrap().entries, done.lsn.0);
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(last > Lsn(20), "writing went on meanwhile: {last}");
}

#[test]
fn a_power_cut_in_a_checkpoint_leaves_all_of_it_or_no_database_and_the_original_whole() {
    let (engine, env, sim) = create(3);
    for n in 1..=25 {
        assert_claims(&engine, entry(n));
    }
    sim.fs.record(true);
    let done = engine.checkpoint(there()).unwrap();
    sim.fs.record(false);
    drop((engine, env));
    let (mut whole, mut none) = (0, 0);
    for point in sim.fs.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions { exhaustive_units: 4, samples: 6, seed: 5 }) {
            let (env, _sim) = machine(state.fs, 6);
            match ClaimEngine::open(&env, there(), Claims, &HybridOptions::tiny()) {
                Ok((copy, _)) => {
                    assert_eq!(found(&copy), upto(done.lsn), "{:?}", point.operation);
                    whole += 1;
                }
                Err(Error::NotADatabase { .. }) => none += 1,
                Err(error) => panic!("{:?}: {error}", point.operation),
            }
            assert_eq!(found(&open(&env).0), upto(done.lsn));
        }
    }
    println!("{whole} databases, {none} none");
    assert!(whole > 2 && none > 50, "{whole} databases, {none} none");
}

#[test]
fn what_a_backup_has_left_behind_is_removed_by_the_next_open() {
    let (engine, env, _sim) = create(4);
    assert_claims(&engine, entry(1));
    let staging = engine.layout().staging();
    engine.checkpoint(&staging.join("copy")).unwrap();
    engine.close().unwrap();
    let (engine, _) = open(&env);
    assert!(env.fs.metadata(&staging).unwrap().is_none());
    assert_eq!(found(&engine), entry(1));
}

#[test]
fn pruned_segments_are_gone_on_purpose_and_the_database_goes_on() {
    let (engine, env, sim) = create(5);
    for n in 1..=120 {
        assert_claims(&engine, entry(n));
    }
    engine.flush().unwrap();
    sim.tasks.settle(500);
    let before = engine.journal().segments().unwrap();
    let middle = before[before.len() / 2].last_lsn.unwrap();
    let judged: Vec<u64> = before[..=before.len() / 2].iter().map(|segment| segment.id).collect();
    let gone = engine.journal().prune(&judged).unwrap();
    assert_eq!(gone, judged);
    assert_eq!(engine.journal().first_lsn(), middle.next());
    assert!(engine.journal().read_from(middle).is_err());
    engine.verify().unwrap();
    assert_claims(&engine, entry(121));
    // A checkpoint of what is left.
    let done = engine.checkpoint(there()).unwrap();
    assert_eq!(done.first_lsn, middle.next());
    assert_eq!(found(&open_at(&env, there())), upto(Lsn(121)));
    engine.close().unwrap();
    let (engine, report) = open(&env);
    assert!(report.journal.missing.is_empty(), "gone on purpose: {:?}", report.journal.missing);
    assert_eq!(report.journal.first_lsn, middle.next());
    assert_eq!(found(&engine), upto(Lsn(121)));
    // What is live stays.
    let all: Vec<u64> = engine.journal().segments().unwrap().iter().map(|segment| segment.id).collect();
    assert!(engine.journal().prune(&all).unwrap().len() < all.len());
    assert_eq!(found(&engine), upto(Lsn(121)));
    drop(engine);
    assert_eq!(found(&open(&env).0), upto(Lsn(121)));
}

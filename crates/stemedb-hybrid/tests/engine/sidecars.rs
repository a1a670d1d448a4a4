//! What the engine derives again from its journal, with sidecars and without.

use std::{collections::BTreeMap, path::Path};

use stemedb_env::{Clock, Env, Lsn, OpenMode, SimHandles};
use stemedb_hybrid::{ClaimEngine, Error, HybridOptions};
use stemedb_index::Claims;
use stemedb_lsm::{DerivedWrite, Direction, KeyRange, KvIter, KvSnapshot};

use super::setup::{create, dir, found, open, submission};

/// Every row of the engine must be among the writes that its source gives, also in parts.
fn check(engine: &ClaimEngine) {
    let source = engine.write_source();
    let lsns = Lsn(1)..=engine.published_lsn();
    let all = &b""[..]..=&[0xFF; 16][..];
    let mut bounds: Vec<Vec<u8>> = vec![Vec::new()];
    bounds.extend(source.cuts(&all, &lsns, 40).unwrap());
    bounds.push(vec![0xFF; 16]);
    assert!(bounds.len() > 5, "{} parts", bounds.len());
    let mut given = BTreeMap::new();
    for span in bounds.windows(2) {
        for write in source.writes(&(&span[0][..]..=&span[1][..]), &lsns).unwrap() {
            let DerivedWrite::Row(row) = write else { panic!("claims remove no ranges") };
            given.insert((row.key, row.lsn), row.value.unwrap());
        }
    }
    let snapshot = engine.snapshot().unwrap();
    let mut rows = snapshot.scan(&KeyRange::all(), Direction::Forward);
    let mut count = 0;
    while rows.advance().unwrap() {
        assert_eq!(given.get(&(rows.key().to_vec(), rows.lsn())).map(Vec::as_slice), Some(rows.value()));
        count += 1;
    }
    assert_eq!(count, given.len(), "every key of a claim is written once");
}

fn names(env: &Env) -> Vec<String> {
    env.fs.list(&dir().join("sidecar")).unwrap().into_iter().map(|file| file.name).collect()
}

/// Lets the background work, and time pass, until nothing is left to do.
fn settle(sim: &SimHandles) {
    for _ in 0..2_000 {
        if sim.tasks.settle(1_000) == 0 {
            let Some(due) = sim.tasks.next_due() else { return };
            sim.clock.advance(due.saturating_sub(sim.clock.monotonic()));
        }
    }
}

#[test]
fn the_source_gives_every_row_and_sidecars_are_made_where_they_are_missing() {
    let (engine, env, sim) = create(31);
    for n in 0..60 {
        engine.commit(submission([n * 2, n * 2 + 1])).unwrap();
        sim.tasks.settle(1_000);
    }
    engine.flush().unwrap();
    engine.commit(submission([900])).unwrap();
    check(&engine);
    engine.close().unwrap();
    // However they came to be there: without them they are made from the journal.
    for name in names(&env) {
        sim.fs.delete(&dir().join("sidecar").join(name)).unwrap();
    }
    let (engine, _) = open(&env);
    check(&engine);
    settle(&sim);
    let made = names(&env);
    assert!(made.iter().any(|name| name.ends_with(".journal.keys")), "{made:?}");
    assert!(made.iter().all(|name| !name.ends_with(".tmp")), "{made:?}");
    check(&engine);
    drop(engine);
    let (engine, _) = open(&env);
    assert_eq!(names(&env), made);
    check(&engine);
    assert_eq!(found(&engine).len(), 121);
}

#[test]
fn sidecars_of_a_lost_database_do_not_keep_a_new_one_from_being_created() {
    let other = Path::new("/other");
    let (env, _sim) = Env::sim(32);
    let folder = other.join("sidecar");
    env.fs.create_dir(&folder).unwrap();
    let ours = "00000000000000000001-00000000000000000007.table.keys";
    env.fs.open(&folder.join(ours), OpenMode::CreateNew).unwrap();
    env.fs.open(&folder.join("notes.txt"), OpenMode::CreateNew).unwrap();
    let create = || ClaimEngine::create(&env, other, Claims, &HybridOptions::tiny());
    match create() {
        Err(Error::AlreadyExists { found, .. }) => assert_eq!(found, "sidecar/notes.txt"),
        other => panic!("{other:?}"),
    }
    env.fs.remove(&folder.join("notes.txt")).unwrap();
    drop(create().unwrap());
    assert!(env.fs.list(&folder).unwrap().is_empty());
}

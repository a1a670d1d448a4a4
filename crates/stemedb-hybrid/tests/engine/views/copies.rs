//! Checkpoints of databases with damaged, lost and several views: nothing derived goes along, and nothing that is wrong.

use std::path::Path;

use stemedb_env::Env;
use stemedb_hybrid::{ClaimEngine, Error, FallbackMode};
use stemedb_index::Claims;

use super::{
    super::setup::{assert_claims, dir, found},
    assert_healthy, at_once, grown, kv, options, pass, remove_kv,
};

fn there() -> &'static Path {
    Path::new("/copies/one")
}

fn names(env: &Env, dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = env.fs.list(dir).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn sidecars_fallback_and_quarantine_stay_behind_and_the_copy_makes_its_own() {
    let options = options(FallbackMode::Standby);
    let (engine, env, sim, _) = grown(40, 120, &options);
    engine.flush().unwrap();
    pass(&sim, 3);
    // A repaired table leaves its original in quarantine.
    engine.repair_table(engine.tables()[0].file).unwrap();
    let here = names(&env, dir());
    for folder in ["sidecar", "fallback", "quarantine"] {
        assert!(here.contains(&folder.to_owned()), "{here:?}");
    }
    let root = engine.state_root().unwrap();
    let done = engine.checkpoint(there()).unwrap();
    assert_eq!(names(&env, there()), ["IDENTITY.a", "IDENTITY.b", "kv", "wal"]);
    let known = |name: &String| name == "CURRENT" || name.starts_with("MANIFEST-") || name.ends_with(".sst");
    assert!(names(&env, &there().join("kv")).iter().all(known));
    engine.close().unwrap();

    let (copy, report) = ClaimEngine::open(&env, there(), Claims, &options).unwrap();
    assert!(!report.rebuilt && report.damaged_tables.is_empty());
    assert_eq!((copy.published_lsn(), copy.state_root().unwrap()), (done.lsn, root));
    pass(&sim, 60);
    assert!(!names(&env, &there().join("sidecar")).is_empty());
    let fallback = copy.health().fallback.unwrap();
    assert_eq!(fallback.published, done.lsn);
    copy.close().unwrap();
    // And heals with them.
    let table = names(&env, &there().join("kv")).into_iter().find(|name| name.ends_with(".sst")).unwrap();
    sim.fs.delete(&there().join("kv").join(table)).unwrap();
    let (copy, report) = ClaimEngine::open(&env, there(), Claims, &options).unwrap();
    assert_eq!(report.damaged_tables.len(), 1);
    assert_eq!(copy.state_root().unwrap(), root);
    pass(&sim, 3);
    assert_healthy(&copy);
    copy.verify().unwrap();
    copy.close().unwrap();
    // What was done to the copy has not been done to the original.
    let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
    assert!(report.damaged_tables.is_empty());
    engine.verify().unwrap();
    assert_eq!(engine.state_root().unwrap(), root);
}

#[test]
fn damage_that_is_known_is_repaired_before_it_is_copied() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(41, 120, &options);
    engine.flush().unwrap();
    pass(&sim, 3);
    let root = engine.state_root().unwrap();
    let tables: Vec<u64> = engine.tables().iter().map(|table| table.file).collect();
    engine.close().unwrap();
    let path = |file: u64| kv().join(format!("{file:06}.sst"));
    sim.fs.delete(&path(tables[0])).unwrap();
    let bytes = sim.fs.read_all(&path(tables[1])).unwrap();
    sim.fs.corrupt(&path(tables[1]), bytes.len() as u64 / 3, 0x10).unwrap();
    let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
    assert_eq!(report.damaged_tables, [tables[0]]);
    // Reading finds the other one.
    assert_eq!(engine.state_root().unwrap(), root);
    engine.checkpoint(there()).unwrap();
    let (copy, report) = ClaimEngine::open(&env, there(), Claims, &options).unwrap();
    assert!(!report.rebuilt && report.damaged_tables.is_empty());
    copy.verify().unwrap();
    assert_eq!(copy.state_root().unwrap(), root);
    assert_healthy(&engine);
}

#[test]
fn a_view_that_is_derived_again_is_not_copied() {
    let options = options(FallbackMode::OnDemand);
    let (engine, env, sim, _) = grown(42, 300, &options);
    engine.close().unwrap();
    remove_kv(&env, &sim);
    // Missing at open.
    let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &at_once(FallbackMode::OnDemand)).unwrap();
    assert!(report.catching_up);
    assert!(matches!(engine.checkpoint(there()), Err(Error::NoView { .. })));
    assert!(matches!(engine.checkpoint_with_view(there()), Err(Error::NoView { .. })));
    assert!(env.fs.metadata(there()).unwrap().is_none(), "nothing was begun");
    pass(&sim, 5);
    assert_healthy(&engine);
    engine.flush().unwrap();
    // Taken away while it is running: reads may still be answered, from files without names.
    remove_kv(&env, &sim);
    let mut refused = 0;
    let done = loop {
        match engine.checkpoint(there()) {
            Ok(done) => break done,
            // Before and after it has been noticed.
            Err(Error::Store(_) | Error::NoView { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        stemedb_env::fs::tree::remove_tree(&*env.fs, there()).unwrap();
        assert!(refused < 50, "{:?}", engine.health());
        pass(&sim, 1);
    };
    assert!(refused > 0);
    assert_claims(&engine, [9_999]);
    let (copy, report) = ClaimEngine::open(&env, there(), Claims, &options).unwrap();
    assert!(!report.rebuilt);
    assert_eq!(copy.published_lsn(), done.lsn);
    assert_eq!(found(&copy).len(), 600);
    copy.verify().unwrap();
}

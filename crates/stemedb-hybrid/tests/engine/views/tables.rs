//! Damaged tables are repaired without being asked to.

use stemedb_hybrid::{ClaimEngine, EventKind, FallbackMode, ViewHealth};
use stemedb_index::Claims;

use super::{
    super::setup::{dir, found},
    assert_healthy, grown, kinds, options, pass,
};

#[test]
fn a_damaged_and_a_missing_table_are_repaired_by_themselves_and_told_about() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(30, 120, &options);
    engine.flush().unwrap();
    pass(&sim, 3);
    let root = engine.state_root().unwrap();
    let tables: Vec<u64> = engine.tables().iter().map(|table| table.file).collect();
    assert!(tables.len() > 2);
    engine.close().unwrap();
    let path = |file: u64| dir().join(format!("kv/{file:06}.sst"));
    sim.fs.delete(&path(tables[0])).unwrap();
    let bytes = sim.fs.read_all(&path(tables[1])).unwrap();
    sim.fs.corrupt(&path(tables[1]), bytes.len() as u64 / 3, 0x10).unwrap();
    let (engine, report) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
    assert_eq!(report.damaged_tables, [tables[0]]);
    assert!(matches!(engine.health().primary, ViewHealth::Degraded { .. }));
    pass(&sim, 1);
    // The other one is noticed by whoever reads it; whether he is answered is not this test's affair.
    let _ = engine.state_root();
    pass(&sim, 3);
    assert_eq!(engine.state_root().unwrap(), root);
    pass(&sim, 3);
    assert_healthy(&engine);
    assert_eq!(found(&engine).len(), 240);
    engine.verify().unwrap();
    let kinds = kinds(&engine);
    let count = |kind: EventKind| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!(
        (count(EventKind::Damage), count(EventKind::Repaired), count(EventKind::RepairFailed)),
        (2, 2, 0)
    );
    let texts: Vec<String> = engine.events().after(0).into_iter().map(|event| event.text).collect();
    assert!(texts.iter().any(|text| text.starts_with("Corruption: ")), "{texts:?}");
}

#[test]
fn a_repair_that_cannot_be_proven_is_tried_again_with_growing_pauses() {
    let options = options(FallbackMode::Off);
    let (engine, env, sim, _) = grown(31, 120, &options);
    engine.flush().unwrap();
    pass(&sim, 3);
    // One whose entries lie in segments that every view has flushed: the newest table's are in the live one.
    let tables = engine.tables();
    let file = tables.iter().min_by_key(|table| table.min_lsn).unwrap().file;
    engine.close().unwrap();
    sim.fs.delete(&dir().join(format!("kv/{file:06}.sst"))).unwrap();
    // The journal has lost what the table held.
    let wal = dir().join("wal");
    for segment in env.fs.list(&wal).unwrap() {
        if segment.name.starts_with("segment.") {
            sim.fs.delete(&wal.join(segment.name)).unwrap();
        }
    }
    let (engine, _) = ClaimEngine::open(&env, dir(), Claims, &options).unwrap();
    pass(&sim, 60);
    let failed = kinds(&engine).iter().filter(|kind| **kind == EventKind::RepairFailed).count();
    assert!((3..=8).contains(&failed), "{failed} tries in a minute");
    assert!(matches!(engine.health().primary, ViewHealth::Degraded { .. }));
}

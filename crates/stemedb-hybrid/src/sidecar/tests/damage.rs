//! Sidecars that are damaged, missing, somebody else's or out of date.

use std::sync::Arc;

use stemedb_env::{Job, Lsn, Step, frame::DatabaseId};
use stemedb_index::KeyValues;
use stemedb_lsm::{WriteBatch, WriteSource};
use stemedb_wal::{Journal, JournalOptions};

use super::{
    super::{
        format::Origin,
        set::{Past, SidecarSet},
    },
    Machine, entries_read, entry, folder, put,
};
use crate::{EventKind, Events};

fn grown() -> Machine<KeyValues> {
    let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
    for n in 0..60u64 {
        let mut batch = WriteBatch::new();
        batch.put(format!("key {:03}", n * 37 % 60).as_bytes(), &n.to_be_bytes());
        if n % 13 == 0 {
            batch.delete_range(
                format!("key {:03}", n % 20).as_bytes(),
                format!("key {:03}", n % 20 + 7).as_bytes(),
            );
        }
        machine.append(&[entry(batch)]);
    }
    machine.flush(20);
    machine.flush(40);
    machine.flush(60);
    machine
}

fn check_all(machine: &Machine<KeyValues>) {
    for (start, end) in [("key 000", "key 059"), ("key 017", "key 017"), ("a", "b"), ("key 03", "key 04")] {
        machine.check(&(start.as_bytes()..=end.as_bytes()), &(Lsn(1)..=Lsn(60)));
        machine.check(&(start.as_bytes()..=end.as_bytes()), &(Lsn(10)..=Lsn(45)));
    }
}

#[test]
fn every_damaged_byte_and_every_cut_is_noticed_and_costs_nothing_but_reads() {
    let mut machine = grown();
    check_all(&machine);
    let paths = machine.paths();
    assert_eq!(paths.len(), 3);
    let mut dropped = 0;
    for path in &paths {
        let whole = machine.sim.fs.read_all(path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            let cut = &whole[..at];
            for bytes in [&damaged[..], cut] {
                machine.sim.fs.install(path, bytes).unwrap();
                machine.look_again();
                // All of it is read, and nothing but the whole must be believed.
                machine.check(&(&b""[..]..=&b"z"[..]), &(Lsn(1)..=Lsn(60)));
                dropped += u64::from(machine.sim.fs.read_all(path).is_err());
            }
            if at % 16 == 0 {
                machine.sim.fs.install(path, &damaged).unwrap();
                machine.look_again();
                check_all(&machine);
            }
        }
        assert_eq!(dropped, 2 * whole.len() as u64, "{}", path.display());
        dropped = 0;
        machine.sim.fs.install(path, &whole).unwrap();
    }
    machine.look_again();
    check_all(&machine);
    assert_eq!(machine.paths(), paths);
}

#[test]
fn damage_is_an_event_and_the_sidecar_is_made_again() {
    let mut machine = grown();
    let paths = machine.paths();
    machine.sim.fs.corrupt(&paths[1], 60, 4).unwrap();
    let events = Events::new(Arc::clone(&machine.env.clock));
    let past = Past { durable: Lsn(60), flushed: Lsn(60), is_new_tree: false };
    machine.set = Arc::new(SidecarSet::open(&machine.env, &folder(), super::ORIGIN, &events, past));
    check_all(&machine);
    let seen = events.after(0);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].kind, seen[0].file.as_ref()), (EventKind::Damage, Some(&paths[1])));
    let mut upkeep = machine.upkeep();
    while upkeep.step(stemedb_env::Budget { bytes: 1 << 20 }) != Step::Idle {}
    assert_eq!(machine.paths().len(), 3);
    let source = machine.source();
    source.writes(&(&b"key 017"[..]..=&b"key 017"[..]), &(Lsn(1)..=Lsn(60))).unwrap();
    assert!(entries_read(&source) <= 6, "{}: they are found again", entries_read(&source));
    check_all(&machine);
}

#[test]
fn the_files_of_others_are_never_believed() {
    let machine = grown();
    let paths = machine.paths();
    let files: Vec<Vec<u8>> = paths.iter().map(|path| machine.sim.fs.read_all(path).unwrap()).collect();
    let events = Events::new(Arc::clone(&machine.env.clock));
    let past = Past { durable: Lsn(60), flushed: Lsn(60), is_new_tree: false };
    let open = |origin: Origin, past: Past| {
        for (path, bytes) in paths.iter().zip(&files) {
            machine.sim.fs.install(path, bytes).unwrap();
        }
        let set = SidecarSet::open(&machine.env, &folder(), origin, &events, past);
        let usable = set.files().into_iter().filter(|name| set.load(*name).is_some()).count();
        // What is not usable is gone.
        assert_eq!(machine.paths().len(), usable);
        usable
    };
    assert_eq!(open(super::ORIGIN, past), 3);
    assert_eq!(open(Origin { database: DatabaseId([8; 16]), ..super::ORIGIN }, past), 0);
    assert_eq!(open(Origin { timeline: 2, ..super::ORIGIN }, past), 0);
    assert_eq!(open(Origin { derivation: 2, ..super::ORIGIN }, past), 0);
    assert_eq!(open(super::ORIGIN, Past { durable: Lsn(59), ..past }), 2);
    assert_eq!(open(super::ORIGIN, Past { flushed: Lsn(39), ..past }), 1);
    assert_eq!(open(super::ORIGIN, Past { is_new_tree: true, ..past }), 0);
    // Under another's name.
    machine.sim.fs.install(&paths[0], &files[1]).unwrap();
    let set = SidecarSet::open(&machine.env, &folder(), super::ORIGIN, &events, past);
    assert!(set.load(set.files()[0]).is_none());
    assert!(events.after(0).iter().all(|event| event.kind == EventKind::Damage));
}

#[test]
fn a_block_of_another_file_does_not_verify() {
    let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
    // Two sidecars of one shape: the same keys, other entries.
    for n in 0..40u64 {
        machine.append(&[put(format!("key {:02}", n % 20).as_bytes(), &n.to_be_bytes())]);
    }
    machine.flush(20);
    machine.flush(40);
    let paths = machine.paths();
    let (a, b) = (machine.sim.fs.read_all(&paths[0]).unwrap(), machine.sim.fs.read_all(&paths[1]).unwrap());
    assert_eq!(a.len(), b.len());
    let mut mixed = a.clone();
    // The blocks of keys begin behind the header of 52 bytes, and the footer says where they end.
    let marks_at = a[a.len() - 76 + 32..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let keys = marks_at.unwrap() as usize;
    mixed[52..keys].copy_from_slice(&b[52..keys]);
    assert_ne!(mixed, a);
    machine.sim.fs.install(&paths[0], &mixed).unwrap();
    machine.look_again();
    machine.check(&(&b"key 03"[..]..=&b"key 05"[..]), &(Lsn(1)..=Lsn(40)));
    assert_eq!(machine.paths(), [paths[1].clone()]);
}

#[test]
fn a_table_of_entries_that_another_one_has_replaces_its_sidecar() {
    let mut machine = grown();
    // As after a tree that was derived anew: other tables hold the same entries.
    machine.observe(&(Lsn(1)..=Lsn(50)));
    let lsns: Vec<(u64, u64)> = machine.set.files().iter().map(|name| (name.first.0, name.last.0)).collect();
    assert_eq!(lsns, [(1, 50)]);
    assert_eq!(machine.paths().len(), 1);
    check_all(&machine);
    let mut upkeep = machine.upkeep();
    while upkeep.step(stemedb_env::Budget { bytes: 1 << 20 }) != Step::Idle {}
    assert_eq!(machine.set.plan(&(Lsn(1)..=Lsn(60))).len(), 2);
    // What was made from the journal is as good as a table.
    machine.observe(&(Lsn(51)..=Lsn(60)));
    assert_eq!(machine.paths().len(), 2);
    machine.look_again();
    check_all(&machine);
    assert_eq!(machine.journal.durable_lsn(), Lsn(60));
}

//! Something in the target is not what was written: told by name, and never a wrong database.

use std::path::Path;

use stemedb_api::backup::{
    self, BackupTarget as _, Catalog, CreateOptions, Error, MemoryTarget, Plan, Point, RestoreOptions,
};
use stemedb_api::{Database, hybrid};

use super::setup::{Dice, History, create, data, options, restore_to};

fn is_no_database(history: &History, dir: &Path) {
    match Database::open(dir, options(&history.env)) {
        Err(stemedb_api::Error::Engine(hybrid::Error::NotADatabase { .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_damaged_part_is_named_and_nothing_is_restored_from_it() {
    let mut history = History::begin(1);
    history.write(30);
    let target = MemoryTarget::new();
    let name = history.back_up(&target).name;
    let mut dice = Dice(3);
    let (mut checked, scratch, dir) = (0, Path::new("/scratch"), Path::new("/restored"));
    for object in target.list("blobs/").unwrap() {
        let digest = object.name.rsplit('/').next().unwrap().trim_end_matches(".zst").to_owned();
        let whole = target.get(&object.name, u64::MAX).unwrap().unwrap();
        for round in 0..4 {
            let broken = target.tamper(&object.name, |bytes| match round {
                0 => bytes[0] ^= 1,
                1 => {
                    let at = dice.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << dice.below(8);
                }
                2 => bytes.truncate(bytes.len() / 2),
                _ => bytes.push(0),
            });
            assert!(broken);
            let error = backup::verify(&history.env, &target, &name, scratch).unwrap_err();
            assert!(error.is_damage() && error.to_string().contains(&digest), "{error}");
            assert!(history.env.fs.metadata(scratch).unwrap().is_none());
            // A restore needs most of them; where it does not need this one it is right, and else there is no database.
            match restore_to(&history.env, &target, Point::Backup(name.clone()), dir) {
                Ok(report) => assert_eq!(report.root, history.past.last().unwrap().root),
                Err(error) => {
                    assert!(error.is_damage(), "{error}");
                    is_no_database(&history, dir);
                }
            }
            stemedb_env::fs::tree::remove_tree(&*history.env.fs, dir).unwrap();
            target.tamper(&object.name, |bytes| *bytes = whole.clone());
            checked += 1;
        }
        target.delete(&object.name).unwrap();
        let error = backup::verify(&history.env, &target, &name, scratch).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains(&digest), "{error}");
        target.put(&object.name, backup::Content::Bytes(&whole)).unwrap();
    }
    assert!(checked > 40, "{checked}");
    backup::verify(&history.env, &target, &name, scratch).unwrap();
}

#[test]
fn every_damaged_byte_of_a_document_makes_its_backup_unusable_and_no_other() {
    let mut history = History::begin(2);
    history.write(6);
    let target = MemoryTarget::new();
    let first = history.back_up(&target);
    history.write(6);
    let second = history.back_up(&target);
    let document = format!("{}/metadata.json", second.name);
    let bytes = target.get(&document, u64::MAX).unwrap().unwrap();
    for at in (0..bytes.len()).step_by(7) {
        target.tamper(&document, |bytes| bytes[at] ^= 1 << (at % 8));
        let catalog = Catalog::load(&target).unwrap();
        let entry = catalog.find(&second.name).unwrap();
        assert!(entry.metadata.is_err() && !entry.verified, "byte {at}");
        assert!(catalog.find(&first.name).unwrap().verified);
        let plan = Plan::make(&target, &target, &RestoreOptions::to(Point::Latest)).unwrap();
        assert_eq!(plan.lsn.1, first.metadata.lsn(), "byte {at}");
        let named = Plan::make(&target, &target, &RestoreOptions::to(Point::Backup(second.name.clone())));
        assert!(named.is_err(), "byte {at}");
        target.tamper(&document, |found| *found = bytes.clone());
    }
    let proof = format!("{}/verified.json", second.name);
    let bytes = target.get(&proof, u64::MAX).unwrap().unwrap();
    for at in 0..bytes.len() {
        target.tamper(&proof, |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(!Catalog::load(&target).unwrap().find(&second.name).unwrap().verified, "byte {at}");
        target.tamper(&proof, |found| *found = bytes.clone());
    }
    assert!(Catalog::load(&target).unwrap().find(&second.name).unwrap().verified);
}

#[test]
fn damage_of_the_database_is_repaired_and_not_backed_up() {
    let mut history = History::begin(3);
    history.write(40);
    history.flush();
    let root = history.past.last().unwrap().root;
    let target = MemoryTarget::new();
    let kv = data().join("kv");
    let table = |env: &stemedb_env::Env, nth: usize| {
        let names = env.fs.list(&kv).unwrap().into_iter().map(|entry| entry.name);
        kv.join(names.filter(|name| name.ends_with(".sst")).nth(nth).unwrap())
    };
    // Found at the open; found by reading for the root.
    for round in 0..2 {
        let History { database, env, sim, past, .. } = history;
        database.close().unwrap();
        let path = table(&env, round);
        if round == 0 {
            sim.fs.delete(&path).unwrap();
        } else {
            let bytes = sim.fs.read_all(&path).unwrap().len() as u64;
            for at in (0..bytes).step_by(64) {
                sim.fs.corrupt(&path, at, 0x10).unwrap();
            }
        }
        history = History::over(Database::open(data(), options(&env)).unwrap(), env, sim, 40 * 12);
        history.past = past;
        let made = history.back_up(&target);
        assert!(made.verified);
        let known =
            |path: &str| path.starts_with("IDENTITY.") || path.starts_with("kv/") || path.starts_with("wal/");
        assert!(made.metadata.files.iter().all(|file| known(&file.path)), "nothing derived is stored");
        let dir = format!("/restored{round}");
        let report = restore_to(&history.env, &target, Point::Latest, Path::new(&dir)).unwrap();
        assert_eq!(report.root, root);
    }
    history.database.verify().unwrap();
}

#[test]
fn damage_that_only_the_proof_finds_is_looked_for_in_the_database_and_the_next_backup_is_whole() {
    let mut history = History::begin(4);
    history.write(40);
    history.flush();
    let root = history.past.last().unwrap().root;
    let target = MemoryTarget::new();
    // Filters, indexes and blocks that are in memory hide it.
    assert_eq!(history.database.engine().state_root().unwrap(), root);
    let kv = data().join("kv");
    for entry in history.env.fs.list(&kv).unwrap() {
        if entry.name.ends_with(".sst") {
            // The properties, behind everything that reads need.
            history.sim.fs.corrupt(&kv.join(&entry.name), entry.metadata.len - 80, 0x10).unwrap();
        }
    }
    match create(&history.database, &target) {
        Ok(made) => panic!("{made:?}"),
        Err(error) => println!("{error}"),
    }
    assert_eq!(Catalog::load(&target).unwrap().verified().count(), 0);
    for _ in 0..100 {
        history.sim.tasks.settle(1_000);
        history.sim.clock.advance(std::time::Duration::from_millis(200));
        if history.database.stats().lsm.damaged_tables == 0 {
            // One is found at a time.
            _ = history.database.verify();
        }
    }
    history.database.verify().unwrap();
    let made = history.back_up(&target);
    assert!(made.verified);
    assert_eq!(restore_to(&history.env, &target, Point::Latest, Path::new("/r")).unwrap().root, root);
}

#[test]
fn a_segment_that_only_the_copy_finds_damaged_is_looked_for_in_the_database_and_healed() {
    let mut history = History::begin(5);
    history.write(40);
    history.flush();
    let root = history.past.last().unwrap().root;
    let target = MemoryTarget::new();
    let segments = history.database.engine().journal().segments().unwrap();
    let plain = |path: &Path| path.extension().is_some_and(|end| end == "wal");
    let sealed = &segments[..segments.len() - 1];
    let segment = sealed.iter().find(|segment| plain(&segment.path)).unwrap();
    history.sim.fs.overwrite(&segment.path, 512 * 3 + 10, &[0xEE; 480]).unwrap();
    let error = create(&history.database, &target).unwrap_err();
    println!("{error}");
    assert_eq!(Catalog::load(&target).unwrap().verified().count(), 0);
    for _ in 0..100 {
        history.sim.tasks.settle(1_000);
        history.sim.clock.advance(std::time::Duration::from_millis(200));
    }
    let made = history.back_up(&target);
    assert!(made.verified);
    assert_eq!(restore_to(&history.env, &target, Point::Latest, Path::new("/r")).unwrap().root, root);
}

#[test]
fn a_proof_that_has_no_room_is_refused_before_anything_is_written() {
    let mut history = History::begin(6);
    history.write(40);
    history.flush();
    let target = MemoryTarget::new();
    let leave = |bytes: u64| {
        history.sim.fs.set_capacity(Some(1 << 40));
        let used = (1 << 40) - history.env.fs.space(data()).unwrap().available_bytes;
        history.sim.fs.set_capacity(Some(used + bytes));
    };
    leave(60_000);
    let names = || history.sim.fs.paths();
    match create(&history.database, &target) {
        Err(Error::StorageFull { dir, needed, available, .. }) => {
            assert!(dir.starts_with(data()) && needed > available, "{needed} {available}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!names().iter().any(|path| path.to_string_lossy().contains("restored")));
    assert_eq!(target.list("").unwrap().len(), 0);
    // Without the proof it needs none.
    let unproven = CreateOptions { verify: false, ..CreateOptions::default() };
    let made = backup::create(&history.database, &target, &unproven, &mut |_, _| {}).unwrap();
    match backup::verify(&history.env, &target, &made.name, Path::new("/db/scratch")) {
        Err(Error::StorageFull { .. }) => {}
        other => panic!("{other:?}"),
    }
    history.sim.fs.set_capacity(None);
    assert!(history.back_up(&target).verified);
}

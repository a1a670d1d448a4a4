//! What the simulated file system keeps and loses at a power cut.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of tests are tests.

use std::{collections::BTreeSet, io::ErrorKind, path::Path, sync::Arc};

use stemedb_env::{
    Env, Fs, OpenMode,
    fs::{
        SimFs,
        sim::{CrashOptions, Profile, Selection, UnitKind},
        write_file_atomic,
    },
};

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A file system with a durable directory `/db`.
fn disk(profile: Profile) -> SimFs {
    let fs = SimFs::with_profile(profile);
    fs.install_dir(path("/db")).unwrap();
    fs
}

fn names(fs: &SimFs, dir: &str) -> Vec<String> {
    fs.list(path(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn read(fs: &SimFs, name: &str) -> Option<Vec<u8>> {
    fs.read_all(path(name)).ok()
}

fn states(fs: &SimFs) -> Vec<SimFs> {
    fs.crash_states(&CrashOptions::default()).map(|state| state.fs).collect()
}

#[test]
fn unsynced_bytes_are_lost_in_one_state_and_kept_in_another() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"old").unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"new and longer", 0).unwrap();
    assert_eq!(read(&fs, "/db/a").unwrap(), b"new and longer");
    assert_eq!(read(&fs.crash_losing_all(), "/db/a").unwrap(), b"old");
    assert_eq!(read(&fs.crash_keeping_all(), "/db/a").unwrap(), b"new and longer");
}

#[test]
fn a_synced_file_survives_every_crash_state_and_close_persists_nothing() {
    let fs = disk(Profile::Adversarial);
    let synced = fs.open(path("/db/synced"), OpenMode::CreateNew).unwrap();
    let closed = fs.open(path("/db/closed"), OpenMode::CreateNew).unwrap();
    fs.sync_dir(path("/db")).unwrap();
    synced.write_all_at(b"kept", 0).unwrap();
    closed.write_all_at(b"lost", 0).unwrap();
    synced.sync_data().unwrap();
    drop((synced, closed));
    for fs in states(&fs) {
        assert_eq!(read(&fs, "/db/synced").unwrap(), b"kept");
    }
    assert_eq!(read(&fs.crash_losing_all(), "/db/closed").unwrap(), b"", "another file's sync persisted it");
}

#[test]
fn a_name_without_a_directory_sync_vanishes_with_its_synced_content() {
    let fs = disk(Profile::Adversarial);
    let file = fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"content", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash_losing_all(), "/db/a"), None);
    fs.sync_dir(path("/db")).unwrap();
    assert_eq!(read(&fs.crash_losing_all(), "/db/a").unwrap(), b"content");
}

#[test]
fn a_new_directory_is_safe_only_when_its_parent_is_synced() {
    let fs = SimFs::new();
    fs.create_dir(path("/data/db")).unwrap();
    let file = fs.open(path("/data/db/a"), OpenMode::CreateNew).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(path("/data/db")).unwrap();
    fs.sync_dir(path("/data")).unwrap();
    assert!(fs.crash_losing_all().paths().is_empty());
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(fs.crash_losing_all().paths(), [path("/data/db/a")]);
}

#[test]
fn a_rename_is_old_or_new_and_never_neither() {
    for profile in [Profile::Adversarial, Profile::Ext4Like, Profile::Prefix, Profile::FourKn] {
        let fs = disk(profile);
        fs.install(path("/db/tmp"), b"new").unwrap();
        fs.install(path("/db/current"), b"old").unwrap();
        fs.rename(path("/db/tmp"), path("/db/current")).unwrap();
        let seen: BTreeSet<_> = states(&fs).iter().map(|fs| read(fs, "/db/current").unwrap()).collect();
        assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]), "{profile:?}");
        fs.sync_dir(path("/db")).unwrap();
        for fs in states(&fs) {
            assert_eq!(read(&fs, "/db/current").unwrap(), b"new");
            assert_eq!(names(&fs, "/db"), ["current"]);
        }
    }
}

#[test]
fn a_rename_between_directories_never_loses_the_file() {
    for sync in [None, Some("/db"), Some("/q")] {
        let fs = disk(Profile::Adversarial);
        fs.install_dir(path("/q")).unwrap();
        fs.install(path("/db/a"), b"bytes").unwrap();
        fs.rename(path("/db/a"), path("/q/a")).unwrap();
        if let Some(dir) = sync {
            fs.sync_dir(path(dir)).unwrap();
        }
        for fs in states(&fs) {
            let found: Vec<_> = [read(&fs, "/db/a"), read(&fs, "/q/a")].into_iter().flatten().collect();
            assert!(!found.is_empty(), "lost after syncing {sync:?}");
            assert!(found.iter().all(|bytes| bytes == b"bytes"));
            assert!(sync.is_none() || read(&fs, "/q/a").is_some(), "synced rename undone");
        }
        fs.sync_dir(path("/q")).unwrap();
        fs.sync_dir(path("/db")).unwrap();
        assert!(fs.pending_units().is_empty());
        assert_eq!(fs.crash_losing_all().paths(), [path("/q/a")], "both directories are synced");
    }
}

#[test]
fn a_removed_file_may_come_back_until_the_directory_is_synced() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"x").unwrap();
    fs.remove(path("/db/a")).unwrap();
    assert_eq!(read(&fs, "/db/a"), None);
    assert!(read(&fs.crash_losing_all(), "/db/a").is_some());
    fs.sync_dir(path("/db")).unwrap();
    assert!(read(&fs.crash_losing_all(), "/db/a").is_none());
}

#[test]
fn after_a_failed_sync_bytes_are_visible_later_syncs_succeed_and_a_crash_loses_them() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"old!").unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    fs.fail_next_sync(path("/db/a")).unwrap();
    let error = file.sync_data().unwrap_err();
    assert!(error.to_string().contains("/db/a"), "{error}");
    for _ in 0..3 {
        file.sync_data().unwrap();
    }
    assert_eq!(read(&fs, "/db/a").unwrap(), b"lost");
    assert_eq!(fs.ghost_bytes(path("/db/a")).unwrap(), 4);
    assert_eq!(read(&fs.crash_keeping_all(), "/db/a").unwrap(), b"old!");

    // What is written and synced afterwards is durable, beside the ghosts.
    file.write_all_at(b"kept", 4).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&fs, "/db/a").unwrap(), b"lostkept");
    assert_eq!(read(&fs.crash_losing_all(), "/db/a").unwrap(), b"old!kept");
    fs.evict(path("/db/a")).unwrap();
    assert_eq!(read(&fs, "/db/a").unwrap(), b"old!kept");
}

#[test]
fn after_a_failed_sync_of_a_grown_file_the_new_length_may_stand_over_zeros() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"old!").unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"lost", 4).unwrap();
    fs.fail_next_sync(path("/db/a")).unwrap();
    file.sync_data().unwrap_err();
    let seen: BTreeSet<_> = states(&fs).iter().map(|fs| read(fs, "/db/a").unwrap()).collect();
    assert_eq!(seen, BTreeSet::from([b"old!".to_vec(), b"old!\0\0\0\0".to_vec()]));
}

#[test]
fn a_killed_process_leaves_the_page_cache_with_its_ghosts_and_releases_its_lock() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"oldold").unwrap();
    let _lock = fs.lock(path("/db/LOCK"), "pid 1").unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"gho", 0).unwrap();
    fs.fail_next_sync(path("/db/a")).unwrap();
    file.sync_data().unwrap_err();
    file.write_all_at(b"pen", 3).unwrap();
    let next = fs.process_killed();
    next.lock(path("/db/LOCK"), "pid 2").unwrap();
    assert_eq!(read(&next, "/db/a").unwrap(), b"ghopen", "a restart cannot see that bytes are lost");
    next.open(path("/db/a"), OpenMode::ReadWrite).unwrap().sync_data().unwrap();
    assert_eq!(read(&next.crash_losing_all(), "/db/a").unwrap(), b"oldpen");
    assert_eq!(read(&fs.crash_losing_all(), "/db/a").unwrap(), b"oldold");
}

#[test]
fn after_a_failed_directory_sync_the_name_is_visible_and_lost() {
    let fs = disk(Profile::Adversarial);
    fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
    fs.fail_next_sync(path("/db")).unwrap();
    fs.sync_dir(path("/db")).unwrap_err();
    fs.sync_dir(path("/db")).unwrap();
    assert_eq!(names(&fs, "/db"), ["a"]);
    assert!(names(&fs.crash_keeping_all(), "/db").is_empty());
    fs.open(path("/db/b"), OpenMode::CreateNew).unwrap();
    fs.sync_dir(path("/db")).unwrap();
    assert_eq!(names(&fs.crash_losing_all(), "/db"), ["b"]);
}

#[test]
fn overwrites_tear_at_the_sector_of_the_profile() {
    for (profile, sector) in [(Profile::Adversarial, 512), (Profile::FourKn, 4096)] {
        let fs = disk(profile);
        fs.install(path("/db/a"), &vec![1; 8192]).unwrap();
        let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
        file.write_all_at(&vec![2; 8192], 0).unwrap();
        assert_eq!(fs.pending_units().len(), 8192 / sector);
        let mut torn = 0;
        for fs in states(&fs) {
            let bytes = read(&fs, "/db/a").unwrap();
            for part in bytes.chunks(sector) {
                assert!(part.iter().all(|byte| *byte == part[0]), "{profile:?} tore inside a sector");
            }
            torn += usize::from(bytes.contains(&1) && bytes.contains(&2));
        }
        assert!(torn > 0);
    }
}

#[test]
fn small_sets_of_pending_units_are_enumerated_completely() {
    for m in 0..=12_usize {
        let fs = disk(Profile::Adversarial);
        fs.install(path("/db/a"), &[0; 6 * 512]).unwrap();
        fs.install(path("/db/b"), &[0; 6 * 512]).unwrap();
        for unit in 0..m {
            let file =
                fs.open(path(if unit % 2 == 0 { "/db/a" } else { "/db/b" }), OpenMode::ReadWrite).unwrap();
            file.write_all_at(&[unit as u8 + 1], (unit / 2) as u64 * 512).unwrap();
        }
        assert_eq!(fs.pending_units().len(), m);
        let mut states = fs.crash_states(&CrashOptions::default());
        let hashes: BTreeSet<u128> = states.by_ref().map(|state| state.hash).collect();
        assert_eq!(hashes.len(), 1 << m, "{m} units");
        assert_eq!((states.considered(), states.distinct()), (1 << m, 1 << m));
    }
}

#[test]
fn states_that_look_the_same_are_visited_once() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), &[7; 1024]).unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[7; 1024], 0).unwrap();
    let mut states = fs.crash_states(&CrashOptions::default());
    assert_eq!(states.by_ref().count(), 1);
    assert_eq!(states.considered(), 4);
}

#[test]
fn large_sets_of_pending_units_are_enumerated_by_structure() {
    let m = 100;
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), &vec![1; m * 512]).unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&vec![2; m * 512], 0).unwrap();
    let options = CrashOptions { samples: 50, ..CrashOptions::default() };
    let found: BTreeSet<Vec<bool>> = fs
        .crash_states(&options)
        .map(|state| read(&state.fs, "/db/a").unwrap().chunks(512).map(|sector| sector[0] == 2).collect())
        .collect();
    for index in 0..m {
        assert!(found.contains(&(0..m).map(|unit| unit < index).collect::<Vec<_>>()), "prefix {index}");
        assert!(
            found.contains(&(0..m).map(|unit| unit > index).collect::<Vec<_>>()),
            "torn from the front {index}"
        );
        assert!(found.contains(&(0..m).map(|unit| unit != index).collect::<Vec<_>>()), "all but {index}");
        assert!(found.contains(&(0..m).map(|unit| unit == index).collect::<Vec<_>>()), "only {index}");
    }
    assert!(found.contains(&vec![true; m]));
    // Prefixes, suffixes, all-but-one, only-one overlap at their ends; the samples come on top.
    assert!((4 * m - 10 + 50 - 5..=4 * m + 60).contains(&found.len()), "{}", found.len());
}

#[test]
fn a_lost_part_of_a_grown_file_reads_as_zeros() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"").unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[9; 1024], 0).unwrap();
    let seen: BTreeSet<Vec<u8>> = states(&fs).iter().map(|fs| read(fs, "/db/a").unwrap()).collect();
    let zeros_then_nines = [vec![0; 512], vec![9; 512]].concat();
    let nines_then_zeros = [vec![9; 512], vec![0; 512]].concat();
    let expected = [vec![], vec![0; 1024], vec![9; 512], nines_then_zeros, zeros_then_nines, vec![9; 1024]]
        .into_iter()
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn ext4_keeps_the_order_of_names_and_never_shows_a_length_without_its_data() {
    let fs = disk(Profile::Ext4Like);
    for name in ["/db/a", "/db/b", "/db/c"] {
        let file = fs.open(path(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(&[5; 700], 0).unwrap();
    }
    let mut empty = 0;
    for fs in states(&fs) {
        let found = names(&fs, "/db");
        assert_eq!(found, ["a", "b", "c"][..found.len()], "names out of order");
        for name in found {
            let bytes = read(&fs, &format!("/db/{name}")).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 5), "a length without its data");
            empty += usize::from(bytes.is_empty());
        }
    }
    assert!(empty > 0, "delayed allocation can leave a named file empty");
}

#[test]
fn a_disk_without_reordering_leaves_prefixes_only() {
    let fs = disk(Profile::Prefix);
    fs.install(path("/db/a"), &[0; 5 * 512]).unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    for sector in [3_u64, 0, 4, 1, 2] {
        file.write_all_at(&[1], sector * 512).unwrap();
    }
    assert_eq!(states(&fs).len(), 6);
}

#[test]
fn a_lying_disk_can_lose_what_it_called_synced() {
    let fs = disk(Profile::Liar);
    fs.install(path("/db/a"), b"old").unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    file.sync_data().unwrap();
    let seen: BTreeSet<_> = states(&fs).iter().map(|fs| read(fs, "/db/a").unwrap()).collect();
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn write_back_makes_exactly_the_selected_units_durable() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), &[0; 1536]).unwrap();
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&[1; 1536], 0).unwrap();
    fs.write_back(&Selection::from_fn(3, |unit| unit == 1));
    assert_eq!(fs.pending_units().len(), 2);
    let bytes = read(&fs.crash_losing_all(), "/db/a").unwrap();
    assert_eq!(bytes, [vec![0; 512], vec![1; 512], vec![0; 512]].concat());
}

#[test]
fn pending_units_say_what_they_are() {
    let fs = disk(Profile::Adversarial);
    let file = fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[1; 600], 0).unwrap();
    let kinds: Vec<UnitKind> = fs.pending_units().into_iter().map(|unit| unit.kind).collect();
    assert_eq!(
        kinds,
        [
            UnitKind::Link { name: "a".into() },
            UnitKind::Data { offset: 0, len: 512 },
            UnitKind::Data { offset: 512, len: 88 },
            UnitKind::Length { len: 600 },
        ]
    );
}

#[test]
fn one_recorded_run_yields_the_state_after_every_mutation() {
    let fs = disk(Profile::Adversarial);
    fs.record(true);
    let file = fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(path("/db")).unwrap();
    fs.note(1);
    file.write_all_at(b"2", 0).unwrap();
    assert_eq!(read(&fs, "/db/a").unwrap(), b"2");
    let points = fs.take_crash_points();
    let seen: Vec<_> = points.iter().map(|p| (p.mutations, p.note, read(&p.fs, "/db/a"))).collect();
    let text = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(
        seen,
        [
            (0, 0, None),
            (1, 0, text(b"")),
            (2, 0, text(b"1")),
            (3, 0, text(b"1")),
            (4, 0, text(b"1")),
            (4, 1, text(b"1")),
            (5, 1, text(b"2")),
        ]
    );
    for point in points.iter().filter(|point| point.note == 1) {
        for state in point.fs.crash_states(&CrashOptions::default()) {
            assert!(matches!(read(&state.fs, "/db/a").as_deref(), Some(b"1" | b"2")), "{state:?}");
        }
    }
}

#[test]
fn after_the_chosen_mutation_every_call_fails_and_the_image_is_that_of_the_recorder() {
    let run = |fs: &SimFs| -> stemedb_env::Result<()> {
        for round in 0..3_u8 {
            write_file_atomic(fs, path("/db/current"), &[round; 10])?;
        }
        Ok(())
    };
    let recorded = disk(Profile::Adversarial);
    recorded.record(true);
    run(&recorded).unwrap();
    let points = recorded.take_crash_points();
    assert_eq!(points.len() as u64, recorded.mutations() + 1);
    for point in points {
        let fs = disk(Profile::Adversarial);
        fs.stop_after(Some(point.mutations));
        let outcome = run(&fs);
        assert_eq!(outcome.is_ok(), point.mutations == recorded.mutations());
        if let Err(error) = outcome {
            assert!(error.is_power_off(), "{error}");
        }
        assert!(fs.list(path("/db")).unwrap_err().is_power_off());
        assert_eq!(fs.image_hash(), point.fs.image_hash());
        assert_eq!(fs.crash_losing_all().image_hash(), point.fs.crash_losing_all().image_hash());
        assert!(fs.crash_losing_all().list(path("/db")).is_ok(), "a crash image must run");
    }
}

#[test]
fn an_atomic_replacement_leaves_old_or_new_in_every_crash_state_of_every_profile() {
    for profile in [Profile::Adversarial, Profile::Ext4Like, Profile::FourKn, Profile::Prefix] {
        for len in [0, 10, 512, 1300] {
            let fs = disk(profile);
            fs.install(path("/db/current"), b"old").unwrap();
            fs.record(true);
            let new = vec![b'n'; len];
            write_file_atomic(&fs, path("/db/current"), &new).unwrap();
            fs.note(1);
            let (mut visited, mut old) = (0, 0);
            for point in fs.take_crash_points() {
                for state in point.fs.crash_states(&CrashOptions::default()) {
                    let bytes = read(&state.fs, "/db/current").expect("the name is never missing");
                    assert!(bytes == new || (point.note == 0 && bytes == b"old"), "{profile:?} {state:?}");
                    visited += 1;
                    old += usize::from(bytes == b"old");

                    // A second attempt succeeds from there, leftovers or not, and may crash too.
                    state.fs.record(true);
                    write_file_atomic(&state.fs, path("/db/current"), b"third").unwrap();
                    assert_eq!(read(&state.fs.crash_losing_all(), "/db/current").unwrap(), b"third");
                    for point in state.fs.take_crash_points() {
                        for state in point.fs.crash_states(&CrashOptions::default()) {
                            let nested = read(&state.fs, "/db/current").expect("the name is never missing");
                            assert!(nested == bytes || nested == b"third", "{profile:?} {state:?}");
                        }
                    }
                }
            }
            assert!(old > 0 && visited > old, "{profile:?}: {visited} states, {old} old");
        }
    }
}

#[test]
fn an_atomic_replacement_without_the_sync_is_caught() {
    // The same check must fail for a wrong order, or it proves nothing.
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/current"), b"old").unwrap();
    let file = fs.open(path("/db/current.tmp"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    fs.rename(path("/db/current.tmp"), path("/db/current")).unwrap();
    fs.sync_dir(path("/db")).unwrap();
    assert!(states(&fs).iter().any(|fs| read(fs, "/db/current").unwrap() == b""));
}

#[test]
fn a_lock_dies_with_the_machine_and_conflicts_within_it() {
    let fs = disk(Profile::Adversarial);
    let lock = fs.lock(path("/db/LOCK"), "pid 7").unwrap();
    let error = fs.lock(path("/db/LOCK"), "pid 8").unwrap_err();
    assert_eq!(error.to_string(), "/db/LOCK is locked by pid 7");
    let after = fs.crash_keeping_all();
    after.lock(path("/db/LOCK"), "pid 9").unwrap();
    drop(lock);
    fs.lock(path("/db/LOCK"), "pid 8").unwrap();
}

#[test]
fn a_full_disk_refuses_and_recovers_when_room_is_made() {
    let fs = disk(Profile::Adversarial);
    fs.set_capacity(Some(1000));
    let file = fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[1; 900], 0).unwrap();
    assert_eq!(fs.space(path("/db")).unwrap().available_bytes, 100);
    assert_eq!(file.write_at(&[2; 200], 900).unwrap(), 100, "the write that meets the end is short");
    assert!(file.write_at(&[2; 1], 1000).unwrap_err().is_storage_full());
    assert!(file.set_len(1001).unwrap_err().is_storage_full());
    file.write_all_at(&[3; 1000], 0).expect("overwriting needs no room");
    fs.remove(path("/db/a")).unwrap();
    let other = fs.open(path("/db/b"), OpenMode::CreateNew).unwrap();
    assert!(other.write_at(&[1], 0).unwrap_err().is_storage_full(), "an open handle keeps the room");
    drop(file);
    other.write_all_at(&[1; 1000], 0).unwrap();
    fs.set_capacity(None);
    other.write_all_at(&[1; 5000], 0).unwrap();
    assert_eq!(fs.total_bytes(), 5000);
}

#[test]
fn direct_corruption_reaches_the_disk_and_the_readers() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"abc").unwrap();
    fs.corrupt(path("/db/a"), 1, 0xff).unwrap();
    for fs in [fs.clone(), fs.crash_losing_all()] {
        assert_eq!(read(&fs, "/db/a").unwrap(), [b'a', !b'b', b'c']);
    }
    assert!(fs.corrupt(path("/db/a"), 3, 1).is_err());
    fs.overwrite(path("/db/a"), 1, b"BCDE").unwrap();
    assert_eq!(read(&fs, "/db/a").unwrap(), b"aBC");
    fs.truncate(path("/db/a"), 1).unwrap();
    assert_eq!(read(&fs.crash_losing_all(), "/db/a").unwrap(), b"a");
    fs.delete(path("/db/a")).unwrap();
    assert!(fs.crash_losing_all().paths().is_empty());
    assert_eq!(fs.read_all(path("/db/a")).unwrap_err().kind(), Some(ErrorKind::NotFound));
}

#[test]
fn crash_images_are_independent_of_each_other_and_of_the_running_system() {
    let fs = disk(Profile::Adversarial);
    fs.install(path("/db/a"), b"same").unwrap();
    let one = fs.crash_losing_all();
    let two = fs.crash_losing_all();
    one.open(path("/db/a"), OpenMode::ReadWrite).unwrap().write_all_at(b"ONE!", 0).unwrap();
    assert_eq!(read(&two, "/db/a").unwrap(), b"same");
    assert_eq!(read(&fs, "/db/a").unwrap(), b"same");
    assert_eq!(one.crash_losing_all().image_hash(), two.image_hash());
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_call_another_one() {
    let run = |seed: u64, extra: bool| {
        let (env, handles) = Env::sim(seed);
        env.fs.create_dir(path("/db")).unwrap();
        for round in 0..20 {
            let name = format!("/db/{}", env.random.next_u64() % 4);
            if env.fs.metadata(path(&name)).unwrap().is_none() {
                env.fs.open(path(&name), OpenMode::CreateNew).unwrap();
            }
            let file = env.fs.open(path(&name), OpenMode::ReadWrite).unwrap();
            file.write_all_at(&env.random.next_u64().to_le_bytes(), round).unwrap();
        }
        if extra {
            env.fs.sync_dir(path("/db")).unwrap();
        }
        (handles.fs.trace_hash(), handles.fs.image_hash())
    };
    assert_eq!(run(1, false), run(1, false));
    assert_ne!(run(1, false), run(2, false));
    assert_ne!(run(1, false).0, run(1, true).0);
}

#[test]
fn forgotten_files_do_not_pile_up() {
    let fs = disk(Profile::Adversarial);
    for _ in 0..100 {
        let file = fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
        file.write_all_at(&[1; 100], 0).unwrap();
        drop(file);
        fs.remove(path("/db/a")).unwrap();
        fs.sync_dir(path("/db")).unwrap();
    }
    assert_eq!(fs.total_bytes(), 0);
    // Root, `/db`: nothing else is held.
    assert!(format!("{fs:?}").contains("nodes: 2"), "{fs:?}");
}

#[test]
fn handles_work_from_other_threads() {
    fn assert_send_sync<T: Send + Sync>(_: &T) {}
    let fs: Arc<dyn Fs> = Arc::new(disk(Profile::Adversarial));
    let file = fs.open(path("/db/a"), OpenMode::CreateNew).unwrap();
    assert_send_sync(&fs);
    assert_send_sync(&file);
    drop(fs);
    file.write_all_at(b"x", 0).expect("a handle keeps its file system alive");
}

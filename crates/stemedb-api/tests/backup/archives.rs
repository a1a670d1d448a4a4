//! Segments in an archive: each proven, none removed without reason, all of them of use.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use stemedb_api::{
    Database, DatabaseOptions,
    backup::{
        self, BackupTarget as _, Error, MemoryTarget, Plan, Point, PruneOptions, RestoreOptions, archive,
    },
    core::Command,
};
use stemedb_env::{Env, Lsn};

use super::setup::{History, Was, claim, data, machine, options, reopen, restore_to};

fn with_segments(seed: u64, entries: u64) -> History {
    let mut history = History::begin(seed);
    history.write(entries);
    history.flush();
    history.sim.tasks.settle(1_000);
    history
}

fn now() -> PruneOptions {
    PruneOptions { older_than: Duration::ZERO, dry_run: false }
}

#[test]
fn released_segments_are_archived_once_and_proven() {
    let mut history = with_segments(1, 60);
    let target = MemoryTarget::new();
    let first = archive(&history.database, &target, false).unwrap();
    assert!(first.archived.len() > 5 && first.known == 0, "{first:?}");
    let last = first.archived.last().unwrap();
    assert_eq!(first.upto.0, last.last_lsn);
    let again = archive(&history.database, &target, false).unwrap();
    assert_eq!((again.archived.len(), again.known), (0, first.archived.len() as u64));
    assert_eq!(again.sent_bytes, 0);
    // With the active segment ended first, everything is there.
    history.write(2);
    let rotated = archive(&history.database, &target, true).unwrap();
    assert_eq!(rotated.upto, history.database.published_lsn());
    assert!(target.list("writing/").unwrap().is_empty());
    let id = backup::Hex(history.database.engine().identity().database.0);
    let index = target.get(&format!("wal-archive/{id}/000001/index.json"), u64::MAX).unwrap().unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["body"].as_array().unwrap().len(), first.archived.len() + rotated.archived.len());
}

#[test]
fn an_archiving_that_fails_anywhere_is_finished_by_the_next() {
    let history = with_segments(2, 30);
    let target = MemoryTarget::new();
    let mut failures = 0;
    loop {
        target.fail_after(Some(failures));
        let done = archive(&history.database, &target, true);
        target.fail_after(None);
        match done {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, Error::Target { .. }), "{failures}: {error}"),
        }
        failures += 1;
    }
    assert!(failures > 10, "{failures}");
    let report = archive(&history.database, &target, false).unwrap();
    assert_eq!(report.upto, Lsn(30));
    // A copy without a record, as a kill leaves it, is written again and not trusted.
    let id = backup::Hex(history.database.engine().identity().database.0);
    let name = format!("wal-archive/{id}/000001/segment.000002");
    target.delete(&format!("{name}.json")).unwrap();
    target.tamper(&format!("{name}.wal.zst"), |bytes| bytes.truncate(10));
    assert_eq!(archive(&history.database, &target, false).unwrap().archived.len(), 1);
}

#[test]
fn two_databases_of_one_past_do_not_share_an_archive() {
    let mut history = History::begin(3);
    history.write(10);
    let target = MemoryTarget::new();
    let name = history.back_up(&target).name;
    let options = RestoreOptions { keep_timeline: true, ..RestoreOptions::to(Point::Backup(name)) };
    let plan = Plan::make(&target, &target, &options).unwrap();
    let dir = Path::new("/twin");
    backup::restore(&history.env, &target, &target, &plan, &options, dir, &mut |_, _| {}).unwrap();
    let twin = reopen(&history.env, dir);
    let mut twin = History::over(twin, history.env.clone(), history.sim.clone(), 9_000);
    history.write(30);
    twin.write(30);
    archive(&history.database, &target, true).unwrap();
    let refused = archive(&twin.database, &target, true).unwrap_err();
    assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
}

#[test]
fn a_segment_is_let_go_of_only_for_all_the_reasons_together() {
    let mut history = with_segments(4, 60);
    let target = MemoryTarget::new();
    let prune = |history: &History, options| {
        backup::prune_journal(&history.database, &target, &target, options).unwrap()
    };
    let reason = |history: &History, options| {
        let report = prune(history, options);
        assert_eq!((report.removed.len(), report.floor), (0, Lsn(1)), "{report:?}");
        report.stays.unwrap()
    };
    assert!(reason(&history, now()).1.contains("no verified backup"));
    let first = history.back_up(&target);
    assert!(reason(&history, now()).1.contains("not archived"));
    archive(&history.database, &target, false).unwrap();
    let young = PruneOptions { older_than: Duration::from_secs(3_600), ..now() };
    assert!(reason(&history, young).1.contains("younger"));
    // A copy that has rotted since is no copy.
    let id = backup::Hex(history.database.engine().identity().database.0);
    let copy = format!("wal-archive/{id}/000001/segment.000001.wal.zst");
    target.tamper(&copy, |bytes| bytes[20] ^= 1);
    assert!(reason(&history, now()).1.contains("cannot be trusted"));
    target.tamper(&copy, |bytes| bytes[20] ^= 1);
    // Segments that came after the backup stay.
    history.write(30);
    history.flush();
    archive(&history.database, &target, true).unwrap();
    let dry = prune(&history, PruneOptions { dry_run: true, ..now() });
    let done = prune(&history, now());
    assert_eq!(dry.removed, done.removed);
    assert!(done.removed.len() > 5);
    assert!(done.stays.as_ref().unwrap().1.contains("verified backups hold the view up to"), "{done:?}");
    assert!(done.floor > Lsn(1) && done.floor.0 <= first.metadata.flushed + 1);
    assert_eq!(history.database.health().repair_floor, done.floor);
    // It goes on, also after a restart.
    history.write(3);
    let was = *history.past.last().unwrap();
    let History { database, env, sim, .. } = history;
    database.verify().unwrap();
    database.close().unwrap();
    let database = Database::open(data(), options(&env)).unwrap();
    assert_eq!(database.engine().state_root().unwrap(), was.root);
    assert_eq!(database.health().repair_floor, done.floor);
    assert!(database.open_report().unwrap().journal.missing.is_empty());
    drop(sim);
}

/// Segments stay as they were written.
fn plain(env: &Env) -> DatabaseOptions {
    let mut options = options(env);
    options.engine.journal.pack_level = None;
    options
}

fn with_plain_segments(seed: u64, entries: u64) -> History {
    let (env, sim) = machine(seed);
    let database = Database::create(data(), plain(&env)).unwrap();
    let mut history = History::over(database, env, sim, 0);
    history.write(entries);
    history.flush();
    history
}

fn segment(id: u64) -> PathBuf {
    data().join("wal").join(format!("segment.{id:06}.wal"))
}

/// Nothing is removed; the first segment, and why it stays.
fn stays(history: &History, target: &MemoryTarget) -> (u64, String) {
    let report = backup::prune_journal(&history.database, target, target, now()).unwrap();
    assert!(report.removed.is_empty(), "{report:?}");
    report.stays.unwrap()
}

#[test]
fn a_rotten_segment_is_healed_before_it_is_archived() {
    let history = with_plain_segments(7, 60);
    let target = MemoryTarget::new();
    history.back_up(&target);
    let at = history.env.fs.metadata(&segment(2)).unwrap().unwrap().len / 2;
    history.sim.fs.corrupt(&segment(2), at, 0x10).unwrap();
    let refused = archive(&history.database, &target, false).unwrap_err();
    assert!(
        matches!(&refused, Error::Journal(stemedb_wal::Error::Corruption { file, .. }) if *file == segment(2)),
        "{refused}"
    );
    let (first, reason) = stays(&history, &target);
    assert!(first == 1 && reason.contains("segment 2 has yet to be healed"), "{first}: {reason}");
    let healed = history.database.engine().repair_journal().unwrap();
    assert_eq!(healed.healed.len(), 1, "{healed:?}");
    archive(&history.database, &target, true).unwrap();
    assert!(backup::prune_journal(&history.database, &target, &target, now()).unwrap().removed.len() > 5);
    let point = Point::Lsn(Lsn(40));
    let restored = restore_to(&history.env, &target, point, Path::new("/restored")).unwrap();
    assert_eq!(restored.root, history.at(Lsn(40)).root);
}

#[test]
fn a_segment_that_is_written_again_after_damage_is_still_the_one_in_the_archive() {
    // Archived as it had been, and as it has become.
    for archived_before in [true, false] {
        let mut history = with_plain_segments(8, 1);
        for n in 2..=100 {
            // Markers stand where the pauses were the shortest, and healing looks where they were long.
            history.sim.clock.advance(Duration::from_millis(if (n - 1) % 5 < 2 { 500 } else { 4_000 }));
            history.database.submit(&[Command::Assert(claim(1_000 + n))]).unwrap();
            let root = history.database.engine().state_root().unwrap();
            history.past.push(Was { lsn: Lsn(n), at: history.env.clock.wall(), root });
            for _ in 0..if n % 5 < 2 { 4 } else { 0 } {
                history.sim.tasks.settle(20);
                history.sim.clock.advance(Duration::from_millis(6));
            }
        }
        history.flush();
        let (target, other) = (MemoryTarget::new(), MemoryTarget::new());
        history.back_up(&target);
        if archived_before {
            archive(&history.database, &other, true).unwrap();
        }
        for id in [2, 4] {
            let bytes = history.env.fs.metadata(&segment(id)).unwrap().unwrap().len;
            history.sim.fs.overwrite(&segment(id), 0, &vec![0xEE; bytes as usize]).unwrap();
            history.database.engine().journal().check_segment(id).step(u64::MAX).unwrap_err();
        }
        let healed = history.database.engine().repair_journal().unwrap();
        let contents = history.database.engine().journal().contents().unwrap();
        let replaced: Vec<u64> =
            contents.iter().filter(|found| found.replaces.is_some()).map(|found| found.id).collect();
        assert!(!replaced.is_empty(), "{healed:?}");
        drop(contents);
        let report = archive(&history.database, &other, true).unwrap();
        assert_eq!(report.known > 5, archived_before, "{report:?}");
        assert_eq!(report.upto, Lsn(100));
        assert_eq!(archive(&history.database, &other, false).unwrap().archived.len(), 0);
        let pruned = backup::prune_journal(&history.database, &other, &target, now()).unwrap();
        assert!(replaced.iter().all(|id| pruned.removed.contains(id)), "{replaced:?} {pruned:?}");
        // The archive alone has the beginning now.
        history.back_up(&target);
        assert_eq!(backup::clean(&target, 1, false).unwrap().backups.len(), 1);
        let options = RestoreOptions::to(Point::Lsn(Lsn(50)));
        let plan = Plan::make(&target, &other, &options).unwrap();
        let dir = Path::new("/restored");
        let report =
            backup::restore(&history.env, &target, &other, &plan, &options, dir, &mut |_, _| {}).unwrap();
        assert_eq!(report.root, history.at(Lsn(50)).root);
    }
}

#[test]
fn nothing_is_let_go_of_while_the_view_needs_it() {
    let mut history = with_segments(9, 60);
    let target = MemoryTarget::new();
    history.back_up(&target);
    archive(&history.database, &target, true).unwrap();
    // A table that has yet to be repaired; only those that are live are left.
    history.database.engine().compact().unwrap();
    let kv = data().join("kv");
    let names = history.env.fs.list(&kv).unwrap().into_iter().map(|entry| entry.name);
    let table = names.filter(|name| name.ends_with(".sst")).min().unwrap();
    history.sim.fs.delete(&kv.join(&table)).unwrap();
    assert!(history.database.verify().is_err());
    let (first, reason) = stays(&history, &target);
    assert!(first == 1 && reason.contains(&format!("table {table} has yet to be repaired")), "{reason}");
    history.database.engine().repair_damaged().unwrap();
    // A view that is derived from the first entry on.
    let History { database, env, sim, past, .. } = history;
    database.close().unwrap();
    stemedb_env::fs::tree::remove_tree(&*env.fs, &kv).unwrap();
    let mut slowly = options(&env);
    slowly.engine.replay_at_open_bytes = 0;
    history = History::over(Database::open(data(), slowly).unwrap(), env, sim, 0);
    history.past = past;
    let (first, reason) = stays(&history, &target);
    assert!(first == 1 && reason.contains("the view is being derived again"), "{first}: {reason}");
    for _ in 0..100 {
        history.sim.tasks.settle(1_000);
        history.sim.clock.advance(Duration::from_millis(200));
    }
    let root = history.past.last().unwrap().root;
    assert_eq!(history.database.engine().state_root().unwrap(), root);
    history.flush();
    assert!(backup::prune_journal(&history.database, &target, &target, now()).unwrap().removed.len() > 5);
}

#[test]
fn nothing_is_let_go_of_before_a_missing_segment() {
    let history = with_plain_segments(10, 60);
    let target = MemoryTarget::new();
    history.back_up(&target);
    archive(&history.database, &target, true).unwrap();
    let History { database, env, sim, .. } = history;
    database.close().unwrap();
    sim.fs.delete(&segment(4)).unwrap();
    let history = History::over(Database::open(data(), plain(&env)).unwrap(), env, sim, 0);
    let (first, reason) = stays(&history, &target);
    assert!(first == 1 && reason.contains("segments behind it are missing"), "{first}: {reason}");
    for id in [1, 2, 3, 5, 6] {
        assert!(history.env.fs.metadata(&segment(id)).unwrap().is_some(), "{id}");
    }
}

#[test]
fn what_is_gone_here_is_restored_from_the_archive() {
    let mut history = with_segments(5, 40);
    let (target, other) = (MemoryTarget::new(), MemoryTarget::new());
    history.back_up(&target);
    archive(&history.database, &other, true).unwrap();
    let pruned = backup::prune_journal(&history.database, &other, &target, now()).unwrap();
    assert!(pruned.removed.len() > 5, "{pruned:?}");
    // Backups from now on do not hold the beginning; the archive goes further than they do.
    history.write(20);
    history.flush();
    let second = history.back_up(&target);
    assert!(second.metadata.first_lsn > 1);
    history.write(15);
    archive(&history.database, &other, true).unwrap();
    // The first backup goes, and with it the only copies of the beginning that are not archived.
    assert_eq!(backup::clean(&target, 1, false).unwrap().backups.len(), 1);
    for lsn in [1, 7, 23, 40, 41, 60, 61, 75] {
        let options = RestoreOptions::to(Point::Lsn(Lsn(lsn)));
        let plan = Plan::make(&target, &other, &options).unwrap();
        assert!(plan.segments.1 > 0, "{plan:?}");
        let dir = std::path::PathBuf::from(format!("/restored/{lsn}"));
        let report =
            backup::restore(&history.env, &target, &other, &plan, &options, &dir, &mut |_, _| {}).unwrap();
        assert_eq!(report.root, history.at(Lsn(lsn)).root, "LSN {lsn}");
        let restored = reopen(&history.env, &dir);
        assert_eq!(restored.engine().state_root().unwrap(), history.at(Lsn(lsn)).root);
    }
    // Without the archive it says what is missing.
    let alone = restore_to(&history.env, &target, Point::Lsn(Lsn(7)), Path::new("/alone")).unwrap_err();
    assert!(matches!(alone, Error::NotCovered { first: Lsn(7), last: Lsn(7) }), "{alone}");
    // The newest that is known is the archive's end.
    let plan = Plan::make(&target, &other, &RestoreOptions::to(Point::Latest)).unwrap();
    assert_eq!(plan.lsn.1, Lsn(75));
}

#[test]
fn a_damaged_archive_is_named_and_nothing_is_restored_from_it() {
    let history = with_segments(6, 40);
    let (target, other) = (MemoryTarget::new(), MemoryTarget::new());
    archive(&history.database, &other, true).unwrap();
    history.back_up(&target);
    backup::prune_journal(&history.database, &other, &target, now()).unwrap();
    history.back_up(&target);
    backup::clean(&target, 1, false).unwrap();
    let options = RestoreOptions::to(Point::Lsn(Lsn(3)));
    for object in other.list("wal-archive/").unwrap() {
        if object.name.ends_with("index.json") {
            continue;
        }
        let middle = (object.bytes / 2) as usize;
        other.tamper(&object.name, |bytes| bytes[middle] ^= 4);
        let dir = Path::new("/restored");
        let done = Plan::make(&target, &other, &options).and_then(|plan| {
            backup::restore(&history.env, &target, &other, &plan, &options, dir, &mut |_, _| {})
        });
        match done {
            // A segment behind the point is not needed.
            Ok(report) => assert_eq!(report.root, history.at(Lsn(3)).root),
            Err(error) => {
                let text = error.to_string();
                assert!(error.is_damage() && text.contains(&object.name), "{text}");
                assert!(Database::open(dir, super::setup::options(&history.env)).is_err());
            }
        }
        stemedb_env::fs::tree::remove_tree(&*history.env.fs, dir).unwrap();
        other.tamper(&object.name, |bytes| bytes[middle] ^= 4);
    }
}

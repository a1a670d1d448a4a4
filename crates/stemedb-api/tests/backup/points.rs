//! Back to an entry, back to a time: exactly what the database was then.

use std::path::{Path, PathBuf};

use stemedb_api::{
    Database,
    backup::{self, Error, MemoryTarget, Plan, Point, RestoreOptions},
};
use stemedb_env::{Lsn, Micros};

use super::setup::{Dice, History, Was, claim, data, options, reopen, restore_to};

/// A past with flushes, compactions, restarts and four backups.
fn eventful(seed: u64, target: &MemoryTarget) -> History {
    let mut history = History::begin(seed);
    for round in 0..4 {
        history.write(12);
        if round % 2 == 0 {
            history.flush();
        } else {
            history.database.compact().unwrap();
            history.sim.tasks.settle(300);
        }
        history.write(3);
        history.back_up(target);
        if round == 1 {
            let History { database, env, sim, past, .. } = history;
            database.close().unwrap();
            let database = Database::open(data(), options(&env)).unwrap();
            history = History::over(database, env, sim, 1_000);
            history.past = past;
        }
    }
    history
}

fn check(history: &History, dir: &Path, was: Was, timeline: u32) {
    let restored = reopen(&history.env, dir);
    assert_eq!(restored.published_lsn(), was.lsn);
    assert_eq!(restored.timeline(), timeline);
    assert_eq!(restored.engine().state_root().unwrap(), was.root, "LSN {}", was.lsn);
    let verified = restored.verify().unwrap();
    assert_eq!(verified.entries, was.lsn.0, "entries above the point are not there");
    // It goes on by itself, with the next LSN.
    restored.assert(claim(1_000_000)).unwrap();
    assert_eq!(restored.published_lsn(), was.lsn.next());
    restored.close().unwrap();
    stemedb_env::fs::tree::remove_tree(&*history.env.fs, dir).unwrap();
}

#[test]
fn every_entry_can_be_gone_back_to() {
    let target = MemoryTarget::new();
    let history = eventful(1, &target);
    let (mut derived, mut from_tables, mut compared) = (0, 0, 0);
    for (round, was) in history.past.iter().enumerate() {
        let dir = PathBuf::from(format!("/restored/{round}"));
        let plan = Plan::make(&target, &target, &RestoreOptions::to(Point::Lsn(was.lsn))).unwrap();
        assert_eq!((plan.lsn, plan.first_lsn), ((was.lsn, was.lsn), Lsn(1)));
        assert!(plan.view_lsn <= was.lsn);
        if plan.view.is_some() {
            from_tables += 1
        } else {
            derived += 1
        }
        let report = restore_to(&history.env, &target, Point::Lsn(was.lsn), &dir).unwrap();
        assert_eq!((report.lsn, report.recorded_at), (was.lsn, Some(was.at)));
        assert_eq!(report.root, was.root);
        compared += usize::from(report.compared_with.is_some());
        check(&history, &dir, was.to_owned(), round as u32 + 2);
    }
    assert!(derived > 5 && from_tables > 20 && compared == 4, "{derived} {from_tables} {compared}");
    let beyond = restore_to(&history.env, &target, Point::Lsn(Lsn(61)), Path::new("/beyond")).unwrap_err();
    assert!(matches!(beyond, Error::NotCovered { first: Lsn(61), last: Lsn(61) }), "{beyond}");
}

#[test]
fn every_time_leads_to_the_last_entry_recorded_by_then() {
    let target = MemoryTarget::new();
    let history = eventful(2, &target);
    let mut dice = Dice(7);
    let (first, last) = (history.past[0], *history.past.last().unwrap());
    for round in 0..25 {
        let time = match round {
            0 => first.at,
            1 => last.at,
            2 => Micros(last.at.0 + 1_000_000_000),
            _ => Micros(first.at.0 + dice.below((last.at.0 - first.at.0) as u64) as i64),
        };
        let was = *history.past.iter().rev().find(|was| was.at <= time).unwrap();
        let dir = PathBuf::from(format!("/restored/{round}"));
        let plan = Plan::make(&target, &target, &RestoreOptions::to(Point::Time(time))).unwrap();
        assert!(plan.lsn.0 <= was.lsn && was.lsn <= plan.lsn.1, "{plan:?} {was:?}");
        let report = restore_to(&history.env, &target, Point::Time(time), &dir).unwrap();
        assert_eq!((report.lsn, report.root), (was.lsn, was.root), "{time:?}");
        check(&history, &dir, was, round + 2);
    }
    let before = restore_to(&history.env, &target, Point::Time(Micros(first.at.0 - 1)), Path::new("/before"));
    assert!(matches!(before, Err(Error::Refused(_))));
}

#[test]
fn the_latest_and_a_named_backup_are_what_they_say() {
    let target = MemoryTarget::new();
    let history = eventful(3, &target);
    let catalog = backup::Catalog::load(&target).unwrap();
    let last = *history.past.last().unwrap();
    let report = restore_to(&history.env, &target, Point::Latest, Path::new("/latest")).unwrap();
    assert_eq!((report.lsn, report.compared_with.as_ref()), (last.lsn, catalog.latest.as_ref()));
    check(&history, Path::new("/latest"), last, 2);
    for (round, entry) in catalog.backups.iter().enumerate() {
        let metadata = entry.metadata.as_ref().unwrap();
        let dir = PathBuf::from(format!("/named/{round}"));
        let report = restore_to(&history.env, &target, Point::Backup(entry.name.clone()), &dir).unwrap();
        assert_eq!(report.lsn, metadata.lsn());
        check(&history, &dir, history.at(metadata.lsn()), round as u32 + 3);
    }
}

#[test]
fn a_moved_database_may_keep_its_timeline_and_nothing_else_may() {
    let target = MemoryTarget::new();
    let history = eventful(4, &target);
    let name = backup::Catalog::load(&target).unwrap().latest.unwrap();
    let options = RestoreOptions { keep_timeline: true, ..RestoreOptions::to(Point::Backup(name.clone())) };
    let plan = Plan::make(&target, &target, &options).unwrap();
    let dir = Path::new("/moved");
    backup::restore(&history.env, &target, &target, &plan, &options, dir, &mut |_, _| {}).unwrap();
    check(&history, dir, *history.past.last().unwrap(), 1);
    let options = RestoreOptions { keep_timeline: true, ..RestoreOptions::to(Point::Lsn(Lsn(9))) };
    let plan = Plan::make(&target, &target, &options).unwrap();
    let refused =
        backup::restore(&history.env, &target, &target, &plan, &options, Path::new("/no"), &mut |_, _| {});
    assert!(matches!(refused, Err(Error::Refused(_))));
    let options = RestoreOptions { new_timeline: Some(1), ..RestoreOptions::to(Point::Lsn(Lsn(9))) };
    let refused =
        backup::restore(&history.env, &target, &target, &plan, &options, Path::new("/no"), &mut |_, _| {});
    assert!(matches!(refused, Err(Error::Refused(_))), "a timeline never goes back");
}

#[test]
fn the_restored_past_is_backed_up_beside_the_other_and_both_stay_apart() {
    let target = MemoryTarget::new();
    let history = eventful(5, &target);
    let was = history.at(Lsn(20));
    let dir = Path::new("/other");
    restore_to(&history.env, &target, Point::Lsn(was.lsn), dir).unwrap();
    let mut other = History::over(reopen(&history.env, dir), history.env.clone(), history.sim.clone(), 5_000);
    other.write(10);
    other.back_up(&target);
    // The newest backup decides which timeline is meant; the other one can be named.
    let report = restore_to(&history.env, &target, Point::Lsn(Lsn(25)), Path::new("/second")).unwrap();
    assert_eq!((report.timeline, report.root), (3, other.at(Lsn(25)).root));
    let options = RestoreOptions { timeline: Some(1), ..RestoreOptions::to(Point::Lsn(Lsn(25))) };
    let plan = Plan::make(&target, &target, &options).unwrap();
    let first = Path::new("/first");
    let report =
        backup::restore(&history.env, &target, &target, &plan, &options, first, &mut |_, _| {}).unwrap();
    assert_eq!((report.timeline, report.root), (4, history.at(Lsn(25)).root));
    assert_ne!(history.at(Lsn(25)).root, other.at(Lsn(25)).root);
}

#[test]
fn of_a_segment_that_a_backup_has_cut_short_the_whole_copy_is_gone_on_from() {
    let target = MemoryTarget::new();
    let mut history = History::begin(9);
    history.write(3);
    history.back_up(&target);
    // In the database another frame follows where the backup's copy says that it was closed.
    history.sim.clock.advance(std::time::Duration::from_secs(1));
    history.sim.tasks.settle(50);
    history.database.engine().journal().rotate().unwrap();
    history.write(3);
    history.back_up(&target);
    for lsn in [2, 3, 4, 6] {
        let dir = PathBuf::from(format!("/restored/{lsn}"));
        let report = restore_to(&history.env, &target, Point::Lsn(Lsn(lsn)), &dir).unwrap();
        assert_eq!(report.root, history.at(Lsn(lsn)).root, "LSN {lsn}");
    }
}

#[test]
fn two_databases_in_one_target_are_told_apart() {
    let target = MemoryTarget::new();
    let (mut one, mut two) = (History::begin(6), History::begin(7));
    one.write(5);
    two.write(7);
    one.back_up(&target);
    two.sim.clock.advance(std::time::Duration::from_secs(60));
    two.back_up(&target);
    let refused = Plan::make(&target, &target, &RestoreOptions::to(Point::Latest)).unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    let id = backup::Hex(one.database.engine().identity().database.0);
    let options = RestoreOptions { database: Some(id), ..RestoreOptions::to(Point::Latest) };
    assert_eq!(Plan::make(&target, &target, &options).unwrap().lsn.1, Lsn(5));
}

#[test]
fn a_folder_that_is_there_is_never_restored_into() {
    let target = MemoryTarget::new();
    let history = eventful(8, &target);
    let refused = restore_to(&history.env, &target, Point::Latest, data()).unwrap_err();
    assert!(matches!(refused, Error::Exists { .. }), "{refused}");
    history.env.fs.create_dir(Path::new("/empty")).unwrap();
    let refused = restore_to(&history.env, &target, Point::Latest, Path::new("/empty")).unwrap_err();
    assert!(matches!(refused, Error::Exists { .. }), "it may be a disk that is not mounted: {refused}");
}

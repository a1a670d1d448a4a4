//! Frames that are sent as they are written: a prefix of what is durable, whatever fails, and of use to whoever restores.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use stemedb_api::{
    Code, Database, DatabaseOptions,
    backup::{
        self, BackupTarget, CountedTarget, Error, Keeper, MemoryTarget, Plan, Point, RequestCounts,
        RestoreOptions, ShipOptions, Shipper, epoch,
    },
};
use stemedb_env::{Env, Lsn, clock::SimClock};

use super::{
    setup::{History, Was, claim, data, machine, options, reopen, restore_to},
    stores::{LIES, Liar, archived_entries, frames_folder, id_of, own_entries},
};

/// Ranges go as soon as they are superseded.
fn at_once() -> ShipOptions {
    ShipOptions { keep_superseded: Duration::ZERO, ..ShipOptions::default() }
}

fn shipper(database: &Database, target: &MemoryTarget) -> Shipper {
    Shipper::new(database, Arc::new(target.clone()), at_once())
}

/// Sends all that is durable; the last entry that counts.
fn ship(shipper: &mut Shipper) -> Lsn {
    loop {
        let report = shipper.step().unwrap();
        if !report.more {
            return report.upto;
        }
    }
}

/// Restores from the archive alone.
fn from_archive(history: &History, target: &MemoryTarget, point: Point, dir: &Path) -> backup::Result<Was> {
    let options = RestoreOptions {
        database: Some(id_of(&history.database)),
        timeline: Some(1),
        ..RestoreOptions::to(point)
    };
    let plan = Plan::make(target, target, &options)?;
    let report = backup::restore(&history.env, target, target, &plan, &options, dir, &mut |_, _| {})?;
    stemedb_env::fs::tree::remove_tree(&*history.env.fs, dir).unwrap();
    Ok(Was { lsn: report.lsn, at: report.recorded_at.unwrap_or_default(), root: report.root })
}

#[test]
fn every_durable_entry_is_there_after_a_step_and_can_be_gone_back_to() {
    let mut history = History::begin(1);
    let target = MemoryTarget::new();
    let mut shipper = shipper(&history.database, &target);
    for round in 0..14 {
        history.write(2);
        if round % 3 == 0 {
            history.sim.clock.advance(Duration::from_millis(10));
            history.sim.tasks.settle(100);
        }
        assert_eq!(ship(&mut shipper), history.database.published_lsn());
        let (entries, damaged) = archived_entries(&target, &history.database, 1);
        assert_eq!((entries, damaged), (own_entries(&history.database), vec![]));
    }
    let last = *history.past.last().unwrap();
    for was in history.past.iter().step_by(3).chain([&last]) {
        let found = from_archive(&history, &target, Point::Lsn(was.lsn), Path::new("/restored")).unwrap();
        assert_eq!((found.lsn, found.root), (was.lsn, was.root));
        let found = from_archive(&history, &target, Point::Time(was.at), Path::new("/restored")).unwrap();
        assert_eq!((found.lsn, found.root), (was.lsn, was.root));
    }
    let latest = from_archive(&history, &target, Point::Latest, Path::new("/restored")).unwrap();
    assert_eq!((latest.lsn, latest.root), (last.lsn, last.root));
    let beyond = from_archive(&history, &target, Point::Lsn(last.lsn.next()), Path::new("/restored"));
    assert!(matches!(beyond, Err(Error::NotCovered { .. })), "{beyond:?}");
    // What nobody has written is no empty database.
    let options = RestoreOptions {
        database: Some(id_of(&history.database)),
        timeline: Some(7),
        ..RestoreOptions::to(Point::Latest)
    };
    assert!(matches!(Plan::make(&target, &target, &options), Err(Error::NoBackup { .. })));
}

#[test]
fn whole_segments_supersede_their_ranges_and_backups_end_anywhere_between() {
    let mut history = History::begin(2);
    let target = MemoryTarget::new();
    let mut shipper = shipper(&history.database, &target);
    let mut keeper = Keeper::new(&history.database, Arc::new(target.clone()), Duration::ZERO);
    keeper.step().unwrap();
    assert!(target.list("").unwrap().is_empty(), "nothing before it is the writer");
    for round in 0..10 {
        history.write(3);
        ship(&mut shipper);
        if round % 3 == 1 {
            history.flush();
            keeper.step().unwrap();
        }
        if round == 4 {
            history.back_up(&target);
            history.write(1);
            ship(&mut shipper);
        }
    }
    history.flush();
    history.sim.tasks.settle(500);
    keeper.step().unwrap();
    keeper.step().unwrap();
    let ranges = target.list(&frames_folder(&history.database, 1)).unwrap();
    let records = backup::archived(&target, &id_of(&history.database), 1).unwrap();
    assert_eq!((records.len(), ranges.len()), (4, 1));
    for was in &history.past {
        let dir = PathBuf::from("/restored");
        let report = restore_to(&history.env, &target, Point::Lsn(was.lsn), &dir).unwrap();
        assert_eq!(report.root, was.root, "LSN {}", was.lsn);
        stemedb_env::fs::tree::remove_tree(&*history.env.fs, &dir).unwrap();
    }
}

#[test]
fn a_target_that_fails_at_any_call_is_sent_the_rest_by_the_next_step() {
    let mut history = History::begin(3);
    let target = MemoryTarget::new();
    let mut failures = 0;
    // The first step of a writer, and later ones.
    let mut fresh = shipper(&history.database, &target);
    let mut begun = 0;
    loop {
        history.write(1);
        target.fail_after(Some(failures));
        let stepped = fresh.step();
        target.fail_after(None);
        let (entries, damaged) = archived_entries(&target, &history.database, 1);
        let own = own_entries(&history.database);
        assert!(damaged.is_empty() && entries.iter().all(|(lsn, bytes)| own.get(lsn) == Some(bytes)));
        match stepped {
            Ok(_) if begun == 2 => break,
            // The same with a writer that has nothing but its folder, as after a restart.
            Ok(_) => {
                (failures, begun) = (0, begun + 1);
                if begun == 1 {
                    fresh = shipper(&history.database, &target);
                }
            }
            Err(error) => {
                assert!(matches!(error, Error::Target { .. } | Error::Refused(_)), "{failures}: {error}");
                failures += 1;
            }
        }
        assert!(failures < 500);
    }
    assert!(history.database.role().fenced().is_none());
    assert_eq!(ship(&mut fresh), history.database.published_lsn());
    let latest = from_archive(&history, &target, Point::Latest, Path::new("/restored")).unwrap();
    assert_eq!(latest.root, history.past.last().unwrap().root);
}

#[test]
fn what_counts_as_archived_can_be_read_whatever_the_store_has_lied_about() {
    let mut lied = 0;
    for lie in LIES {
        for nth in 0.. {
            let mut history = History::begin(4);
            let target = MemoryTarget::new();
            let liar = Liar::over(&target);
            let mut shipper = Shipper::new(
                &history.database,
                Arc::<Liar>::clone(&liar) as Arc<dyn BackupTarget>,
                at_once(),
            );
            liar.lie_at(nth, lie);
            let mut upto = Lsn::ZERO;
            for _ in 0..6 {
                history.write(1);
                for _ in 0..2 {
                    match shipper.step() {
                        Ok(report) => upto = report.upto,
                        Err(Error::Fenced { reason }) => panic!("{lie:?} at {nth}: {reason}"),
                        Err(_) => {}
                    }
                    let (entries, _) = archived_entries(&target, &history.database, 1);
                    let own = own_entries(&history.database);
                    for (lsn, bytes) in &own {
                        let there = entries.get(lsn);
                        assert!(there.is_none_or(|there| there == bytes), "{lie:?} at {nth}: LSN {lsn}");
                        assert!(*lsn > upto || there.is_some(), "{lie:?} at {nth}: LSN {lsn} of {upto}");
                    }
                }
            }
            assert_eq!(upto, history.database.published_lsn(), "{lie:?} at {nth}");
            let latest = from_archive(&history, &target, Point::Latest, Path::new("/restored")).unwrap();
            assert_eq!(latest.root, history.past.last().unwrap().root, "{lie:?} at {nth}");
            if liar.is_honest_so_far() {
                break;
            }
            lied += 1;
        }
    }
    println!("{lied} lies");
    assert!(lied > 30, "{lied}");
}

#[test]
fn after_a_power_cut_at_any_time_the_writer_goes_on_where_the_archive_ends() {
    let mut history = History::begin(5);
    let target = MemoryTarget::new();
    let mut shipper = shipper(&history.database, &target);
    let mut checked = 0;
    for round in 0..24u64 {
        history.write(1);
        if round % 3 == 0 {
            history.sim.clock.advance(Duration::from_millis(10));
            history.sim.tasks.settle(100);
        }
        if round % 5 == 4 {
            history.flush();
        }
        let upto = ship(&mut shipper);
        let was = *history.past.last().unwrap();
        assert_eq!(upto, was.lsn);
        for image in [history.sim.fs.crash_losing_all(), history.sim.fs.crash_keeping_all()] {
            let (env, sim) = Env::over(image, Arc::new(SimClock::new(history.env.clock.wall())), round);
            let there = target.after_crash();
            let database = Database::open(data(), options(&env)).unwrap();
            // All that counted is in the journal: the archive never has more.
            assert!(database.published_lsn() >= upto);
            let mut after = History::over(database, env, sim, 10_000 + round * 100);
            let mut again = Shipper::new(&after.database, Arc::new(there.clone()), at_once());
            assert_eq!(ship(&mut again), after.database.published_lsn());
            after.write(2);
            assert_eq!(ship(&mut again), after.database.published_lsn());
            let (entries, damaged) = archived_entries(&there, &after.database, 1);
            assert_eq!((entries, damaged), (own_entries(&after.database), vec![]));
            let latest = from_archive(&after, &there, Point::Latest, Path::new("/restored")).unwrap();
            assert_eq!(latest.root, after.past.last().unwrap().root);
            checked += 1;
        }
    }
    assert_eq!(checked, 48);
}

/// Another database of the same past and timeline.
fn twin(history: &mut History, target: &MemoryTarget) -> History {
    let name = history.back_up(target).name;
    let options = RestoreOptions { keep_timeline: true, ..RestoreOptions::to(Point::Backup(name)) };
    let plan = Plan::make(target, target, &options).unwrap();
    let dir = Path::new("/twin");
    backup::restore(&history.env, target, target, &plan, &options, dir, &mut |_, _| {}).unwrap();
    History::over(reopen(&history.env, dir), history.env.clone(), history.sim.clone(), 9_000)
}

#[track_caller]
fn is_fenced(history: &History, shipper: &mut Shipper) {
    let refused = shipper.step().unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    let before = history.database.published_lsn();
    let refused = history.database.assert(claim(123_456)).unwrap_err();
    assert_eq!(refused.code(), Code::Fenced, "{refused}");
    assert!(history.database.engine().health().read_only.unwrap().starts_with("fenced"));
    assert_eq!(history.database.published_lsn(), before);
    // It answers as before.
    history.database.engine().state_root().unwrap();
}

#[test]
fn a_copy_that_lacks_what_is_archived_is_refused_and_the_writer_goes_on() {
    let mut history = History::begin(6);
    history.write(4);
    let target = MemoryTarget::new();
    let mut twin = twin(&mut history, &target);
    let mut first = shipper(&history.database, &target);
    history.write(3);
    ship(&mut first);
    // With as many entries, and others.
    twin.write(5);
    let mut second = shipper(&twin.database, &target);
    is_fenced(&twin, &mut second);
    history.write(2);
    assert_eq!(ship(&mut first), history.database.published_lsn());
    let newest = epoch::newest(&target, &id_of(&history.database)).unwrap().unwrap();
    assert_eq!(newest.epoch, 1, "nothing was claimed");
    let latest = from_archive(&history, &target, Point::Latest, Path::new("/restored")).unwrap();
    assert_eq!(latest.root, history.past.last().unwrap().root);
}

#[test]
fn of_two_writers_that_have_everything_the_one_that_begins_later_wins_and_the_other_is_fenced() {
    let mut history = History::begin(7);
    history.write(4);
    let target = MemoryTarget::new();
    let mut first = shipper(&history.database, &target);
    ship(&mut first);
    let mut twin = twin(&mut history, &target);
    let mut second = shipper(&twin.database, &target);
    assert_eq!(ship(&mut second), Lsn(4));
    history.write(1);
    twin.write(2);
    is_fenced(&history, &mut first);
    assert_eq!(history.database.archive_status().lsn, Lsn(4), "what was sent since does not count");
    twin.write(1);
    let own = ship(&mut second);
    assert_eq!(own, twin.database.published_lsn());
    let newest = epoch::newest(&target, &id_of(&history.database)).unwrap().unwrap();
    assert_eq!(newest.epoch, 2);
    // It stays so when it is opened again.
    let History { database, env, .. } = history;
    drop(first);
    database.close().unwrap();
    let database = Database::open(data(), options(&env)).unwrap();
    let mut again = shipper(&database, &target);
    assert!(matches!(again.step(), Err(Error::Fenced { .. })));
    assert_eq!(ship(&mut second), own);
}

#[test]
fn little_is_asked_for_and_many_small_ranges_become_few() {
    let (env, sim) = machine(8);
    let mut large = options(&env);
    large.engine.journal.segment_bytes = 1 << 20;
    let database = Database::create(data(), DatabaseOptions { env: env.clone(), ..large }).unwrap();
    let target = MemoryTarget::new();
    let counts = Arc::new(RequestCounts::default());
    let counted = CountedTarget::new(Arc::new(target.clone()), Arc::clone(&counts));
    let mut shipper = Shipper::new(&database, Arc::new(counted), at_once());
    let mut since = counts.all();
    let mut asked = |counts: &RequestCounts| {
        let now = counts.all();
        let asked: Vec<u64> = now.iter().zip(since).map(|((_, now), (_, before))| now - before).collect();
        since = now;
        asked
    };
    shipper.step().unwrap();
    println!("begins with {:?}", asked(&counts));
    // create, put, get, look, list, delete
    shipper.step().unwrap();
    assert_eq!(asked(&counts), [0, 0, 1, 1, 0, 0], "nothing is new");
    database.assert(claim(0)).unwrap();
    shipper.step().unwrap();
    assert_eq!(asked(&counts), [1, 0, 2, 1, 0, 0], "one range");
    let mut total = [0; 6];
    let ranges = 300;
    for n in 1..=ranges {
        sim.clock.advance(Duration::from_secs(5));
        database.assert(claim(n)).unwrap();
        shipper.step().unwrap();
        for (sum, asked) in total.iter_mut().zip(asked(&counts)) {
            *sum += asked;
        }
    }
    let objects = target.list(&frames_folder(&database, 1)).unwrap();
    println!("{ranges} steps asked {total:?} and left {} objects", objects.len());
    assert!(objects.len() < 40, "{}", objects.len());
    assert!(total[0] == ranges && total[3] == ranges && total[4] == 0, "{total:?}");
    assert!(total.iter().sum::<u64>() < 6 * ranges, "{total:?}");
    let (entries, damaged) = archived_entries(&target, &database, 1);
    assert_eq!((entries, damaged), (own_entries(&database), vec![]));
    let history = History::over(database, env, sim, 0);
    let latest = from_archive(&history, &target, Point::Latest, Path::new("/restored")).unwrap();
    assert_eq!(latest.root, history.database.engine().state_root().unwrap());
    // The same after a restart, which finds the merged ones.
    let History { database, env, .. } = history;
    drop(shipper);
    database.close().unwrap();
    let database = Database::open(data(), options(&env)).unwrap();
    database.assert(claim(9_999)).unwrap();
    let mut again = Shipper::new(&database, Arc::new(target.clone()), at_once());
    assert_eq!(ship(&mut again), database.published_lsn());
    assert_eq!(archived_entries(&target, &database, 1).0, own_entries(&database));
}

#[test]
fn a_damaged_range_is_named_and_nothing_behind_it_is_taken_for_the_end() {
    let mut history = History::begin(9);
    let target = MemoryTarget::new();
    let mut shipper = shipper(&history.database, &target);
    for _ in 0..6 {
        history.write(1);
        ship(&mut shipper);
    }
    let objects = target.list(&frames_folder(&history.database, 1)).unwrap();
    assert!(objects.len() >= 6);
    for object in &objects {
        for at in [3, 700, 1023, 1024, 1100, object.bytes as usize - 1, usize::MAX] {
            let whole = target.get(&object.name, u64::MAX).unwrap().unwrap();
            target.tamper(&object.name, |bytes| match bytes.get_mut(at) {
                Some(byte) => *byte ^= 4,
                None => bytes.truncate(bytes.len() / 2),
            });
            let latest = from_archive(&history, &target, Point::Latest, Path::new("/restored"));
            match latest {
                // The padding of a document means nothing.
                Ok(found) => assert!(at < 1024 && found.root == history.past.last().unwrap().root, "{at}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(error.is_damage() && text.contains(&object.name), "{at}: {text}");
                }
            }
            stemedb_env::fs::tree::remove_tree(&*history.env.fs, Path::new("/restored")).unwrap();
            target.put(&object.name, backup::Content::Bytes(&whole)).unwrap();
        }
        // One that is gone is a gap, unless it is the last.
        let whole = target.get(&object.name, u64::MAX).unwrap().unwrap();
        target.delete(&object.name).unwrap();
        let point = Point::Lsn(history.past.last().unwrap().lsn);
        let gone = from_archive(&history, &target, point, Path::new("/restored"));
        // Without the first of them there is nothing.
        let is_told = matches!(gone, Err(Error::NotCovered { .. } | Error::NoBackup { .. }));
        assert!(is_told, "{}: {gone:?}", object.name);
        stemedb_env::fs::tree::remove_tree(&*history.env.fs, Path::new("/restored")).unwrap();
        target.put(&object.name, backup::Content::Bytes(&whole)).unwrap();
    }
}

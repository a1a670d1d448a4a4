//! Of a writer and its standbys one is the writer at any time, and what counted as archived is never lost.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use stemedb_api::{
    Code, Database,
    backup::{
        BackupTarget, Content, Error, MemoryTarget, Point, RestoreOptions, Shipper, StandbyMark, epoch,
    },
    replication::{Follower, Promotion, Standby, StandbyOptions, claim_restored},
};
use stemedb_env::{Env, Lsn};
use stemedb_hybrid::Layout;

use super::{
    setup::{History, claim, data, options, reopen, restore_to},
    standbys::{at_once, make, shared, ship, standby_dir},
    stores::{Liar, id_of, own_entries},
};

fn attach(database: &Database, target: &MemoryTarget) -> Standby {
    Standby::attach(database, shared(target), StandbyOptions::default()).unwrap()
}

#[track_caller]
fn has_all_up_to(standby: &Database, writer: &Database, upto: Lsn) {
    let (own, theirs) = (own_entries(standby), own_entries(writer));
    for (lsn, bytes) in theirs.iter().filter(|(lsn, _)| **lsn <= upto) {
        assert_eq!(own.get(lsn), Some(bytes), "LSN {lsn} of {upto}");
    }
}

#[test]
fn a_promoted_standby_is_the_writer_and_the_one_before_is_fenced_for_good() {
    let mut history = History::begin(1);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(6);
    ship(&mut shipper);
    let database = make(&history.env, &target, standby_dir());
    let standby = attach(&database, &target);
    history.write(2);
    let upto = ship(&mut shipper);
    // Durable there, and not sent.
    history.write(1);
    let promotion = standby.promote().unwrap();
    assert_eq!(promotion, Promotion { promoted: true, epoch: Some(2), timeline: 2, lsn: upto });
    has_all_up_to(&database, &history.database, upto);
    assert_eq!((database.timeline(), database.published_lsn()), (2, upto));
    let again = standby.promote().unwrap();
    assert_eq!((again.promoted, again.timeline), (false, 2));
    // It writes, and archives as another timeline.
    database.assert(claim(5_000)).unwrap();
    assert_eq!(database.published_lsn(), upto.next());
    standby.finish().unwrap();
    assert_eq!(database.archive_status().lsn, upto.next());
    // The other one is told at its next step, whatever it has sent with it.
    let refused = shipper.step().unwrap_err();
    assert!(matches!(&refused, Error::Fenced { reason } if reason.contains("epoch 2")), "{refused}");
    assert_eq!(history.database.archive_status().lsn, upto);
    assert_eq!(history.database.assert(claim(6_000)).unwrap_err().code(), Code::Fenced);
    // Both stay what they are when they are opened again.
    let History { database: old, env, .. } = history;
    drop((shipper, standby));
    old.close().unwrap();
    let root = database.engine().state_root().unwrap();
    database.close().unwrap();
    let old = Database::open(data(), options(&env)).unwrap();
    let mut shipper = Shipper::new(&old, shared(&target), at_once());
    assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
    assert_eq!(old.assert(claim(6_000)).unwrap_err().code(), Code::Fenced);
    let new = reopen(&env, standby_dir());
    assert!(!new.role().is_standby());
    let mut shipper = Shipper::new(&new, shared(&target), at_once());
    new.assert(claim(7_000)).unwrap();
    assert_eq!(ship(&mut shipper), upto.next().next());
    // Its past is whole in its own part of the archive.
    let options = RestoreOptions {
        database: Some(id_of(&new)),
        timeline: Some(2),
        ..RestoreOptions::to(Point::Lsn(upto.next()))
    };
    let plan = stemedb_api::backup::Plan::make(&target, &target, &options).unwrap();
    let dir = Path::new("/restored");
    let report =
        stemedb_api::backup::restore(&env, &target, &target, &plan, &options, dir, &mut |_, _| {}).unwrap();
    assert_eq!(report.root, root);
}

#[test]
fn of_standbys_that_are_promoted_at_once_one_wins() {
    let mut history = History::begin(2);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(5);
    ship(&mut shipper);
    let dirs = ["/s1", "/s2", "/s3"].map(Path::new);
    let databases = dirs.map(|dir| make(&history.env, &target, dir));
    let standbys = [0, 1, 2].map(|at| attach(&databases[at], &target));
    let promoted: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = standbys.iter().map(|standby| scope.spawn(move || standby.promote())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<usize> = (0..3).filter(|at| promoted[*at].is_ok()).collect();
    assert_eq!(won.len(), 1, "{promoted:?}");
    for (at, database) in databases.iter().enumerate() {
        match database.assert(claim(9_000)) {
            Ok(_) => assert_eq!(at, won[0]),
            Err(error) => {
                assert_eq!(error.code(), Code::Standby);
                assert!(matches!(&promoted[at], Err(Error::Fenced { .. })), "{:?}", promoted[at]);
            }
        }
    }
    assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
}

#[test]
fn a_writer_that_sends_at_the_very_moment_of_a_promotion_loses_nothing_that_it_has_counted() {
    for is_before in [true, false] {
        for rounds in 0..3 {
            let mut history = History::begin(3);
            let target = MemoryTarget::new();
            let liar = Liar::over(&target);
            let mut shipper = Shipper::new(
                &history.database,
                Arc::<Liar>::clone(&liar) as Arc<dyn BackupTarget>,
                at_once(),
            );
            history.write(4);
            let mut counted = ship(&mut shipper);
            let database = make(&history.env, &target, standby_dir());
            let standby = Arc::new(attach(&database, &target));
            for _ in 0..rounds {
                history.write(2);
                counted = ship(&mut shipper);
            }
            let promoted: Arc<Mutex<Option<Promotion>>> = Arc::default();
            let hook = {
                let (standby, promoted) = (Arc::clone(&standby), Arc::clone(&promoted));
                move || *promoted.lock() = Some(standby.promote().unwrap())
            };
            liar.at_next_range(is_before, Box::new(hook));
            history.write(1);
            let refused = shipper.step().unwrap_err();
            assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
            assert_eq!(history.database.archive_status().lsn, counted);
            let promotion = promoted.lock().take().unwrap();
            assert!(promotion.promoted && promotion.lsn >= counted);
            // What was sent before the epoch is there, whether it counts or not.
            assert_eq!(promotion.lsn > counted, !is_before);
            has_all_up_to(&database, &history.database, counted);
        }
    }
}

#[test]
fn a_promotion_that_is_cut_short_anywhere_is_finished_by_the_next_and_by_nobody_else() {
    let mut history = History::begin(4);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(5);
    ship(&mut shipper);
    let mut database = make(&history.env, &target, standby_dir());
    let other = make(&history.env, &target, Path::new("/other"));
    history.write(3);
    let upto = ship(&mut shipper);
    let (mut failures, mut fenced) = (0, 0);
    loop {
        let standby = attach(&database, &target);
        target.fail_after(Some(failures));
        let promoted = standby.promote();
        target.fail_after(None);
        let mine = StandbyMark::read(&history.env, &Layout::of(standby_dir())).unwrap();
        let newest = epoch::newest(&target, &id_of(&database)).unwrap().unwrap();
        if newest.epoch == 2 {
            fenced += 1;
            let refused = attach(&other, &target).promote().unwrap_err();
            assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
        }
        match promoted {
            Ok(promotion) => {
                assert_eq!((promotion.epoch, promotion.lsn), (Some(2), upto));
                break;
            }
            Err(error) => assert!(matches!(error, Error::Target { .. }), "{failures}: {error}"),
        }
        if newest.epoch == 2 {
            assert_eq!(Some(newest.holder), mine.map(|mark| mark.holder));
        }
        // Nobody writes meanwhile, and it may be started again in between.
        assert_eq!(database.assert(claim(1)).unwrap_err().code(), Code::Standby);
        if failures % 2 == 1 {
            drop(standby);
            drop(database);
            database = reopen(&history.env, standby_dir());
        }
        failures += 1;
    }
    assert!(failures > 4 && fenced > 1, "{failures} {fenced}");
    has_all_up_to(&database, &history.database, upto);
    database.assert(claim(1)).unwrap();
    assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
}

#[test]
fn a_server_that_is_started_after_a_promotion_was_cut_short_finishes_it() {
    let mut history = History::begin(5);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(5);
    let upto = ship(&mut shipper);
    let database = make(&history.env, &target, standby_dir());
    let standby = attach(&database, &target);
    let mut calls = 0;
    while epoch::newest(&target, &id_of(&database)).unwrap().unwrap().epoch == 1 {
        target.fail_after(Some(calls));
        standby.promote().unwrap_err();
        target.fail_after(None);
        calls += 1;
    }
    drop((standby, database));
    let database = reopen(&history.env, standby_dir());
    assert!(database.role().is_standby());
    let standby = attach(&database, &target);
    standby.follow().unwrap();
    assert!(!database.role().is_standby());
    assert_eq!(database.published_lsn(), upto);
    database.assert(claim(1)).unwrap();
}

#[test]
fn a_restored_database_is_no_writer_of_the_archive_before_it_is_told_so() {
    let mut history = History::begin(6);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(5);
    history.back_up(&target);
    history.write(3);
    ship(&mut shipper);
    let dir = Path::new("/restored");
    restore_to(&history.env, &target, Point::Latest, dir).unwrap();
    let open = |env: &Env| reopen(env, dir);
    let restored = open(&history.env);
    let mut second = Shipper::new(&restored, shared(&target), at_once());
    // Looking at an old state must not stop the writer.
    assert!(matches!(second.step(), Err(Error::Fenced { .. })));
    assert_eq!(restored.assert(claim(1)).unwrap_err().code(), Code::Fenced);
    history.write(1);
    ship(&mut shipper);
    drop(second);
    drop(restored);
    let restored = open(&history.env);
    let promotion = claim_restored(&restored, &target).unwrap();
    assert!(promotion.promoted && promotion.timeline == restored.timeline());
    assert!(!claim_restored(&restored, &target).unwrap().promoted);
    let mut second = Shipper::new(&restored, shared(&target), at_once());
    restored.assert(claim(1)).unwrap();
    assert_eq!(ship(&mut second), restored.published_lsn());
    assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
}

#[test]
fn nobody_is_promoted_over_an_archive_that_is_gone() {
    let mut history = History::begin(12);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(6);
    ship(&mut shipper);
    let database = make(&history.env, &target, standby_dir());
    let standby = attach(&database, &target);
    let mut follower = Follower::new(&database, shared(&target), 1);
    follower.step().unwrap();
    history.write(2);
    let upto = ship(&mut shipper);
    // A disk that is not mounted looks like an empty one.
    let objects: Vec<(String, Vec<u8>)> = target
        .list("")
        .unwrap()
        .into_iter()
        .map(|object| (object.name.clone(), target.get(&object.name, u64::MAX).unwrap().unwrap()))
        .collect();
    objects.iter().for_each(|(name, _)| target.delete(name).unwrap());
    for _ in 0..3 {
        let gone = follower.step().unwrap_err();
        assert!(matches!(gone, Error::NotCovered { .. }), "{gone}");
    }
    assert!(database.standby_status().failing.is_some());
    let refused = standby.promote().unwrap_err();
    assert!(matches!(&refused, Error::Missing { name, .. } if name.starts_with("timelines/")), "{refused}");
    assert!(target.list("").unwrap().is_empty(), "nothing was begun there");
    assert!(database.role().is_standby());
    assert_eq!(database.assert(claim(5_000)).unwrap_err().code(), Code::Standby);
    // It is mounted again, and has everything that counted.
    for (name, bytes) in &objects {
        target.put(name, Content::Bytes(bytes)).unwrap();
    }
    assert_eq!(follower.step().unwrap(), upto);
    assert!(database.standby_status().failing.is_none());
    assert_eq!(standby.promote().unwrap().lsn, upto);
    has_all_up_to(&database, &history.database, upto);
    assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
}

//! A standby shows what the archive has, whichever way that has come there, and takes no writes.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_api::{
    Code, Database,
    backup::{BackupTarget, Error, Keeper, MemoryTarget, ShipOptions, Shipper, StandbyMark},
    replication::{Follower, followed, prepare},
};
use stemedb_env::{Env, Lsn};
use stemedb_hybrid::Layout;

use super::{
    setup::{History, claim, data, options, reopen},
    stores::own_entries,
};

pub fn standby_dir() -> &'static Path {
    Path::new("/standby")
}

pub fn at_once() -> ShipOptions {
    ShipOptions { keep_superseded: Duration::ZERO, ..ShipOptions::default() }
}

pub fn shared(target: &MemoryTarget) -> Arc<dyn BackupTarget> {
    Arc::new(target.clone())
}

pub fn ship(shipper: &mut Shipper) -> Lsn {
    loop {
        let report = shipper.step().unwrap();
        if !report.more {
            return report.upto;
        }
    }
}

/// Makes a standby and opens it.
pub fn make(env: &Env, target: &MemoryTarget, dir: &Path) -> Database {
    prepare(env, target, dir, &mut |_, _| {}).unwrap();
    reopen(env, dir)
}

#[track_caller]
fn shows_the_same(standby: &Database, writer: &Database) {
    assert_eq!(standby.published_lsn(), writer.published_lsn());
    assert_eq!(standby.engine().state_root().unwrap(), writer.engine().state_root().unwrap());
    assert_eq!(own_entries(standby), own_entries(writer));
}

#[test]
fn a_standby_begins_with_a_backup_or_with_nothing_and_follows() {
    for with_backup in [true, false] {
        let mut history = History::begin(1);
        let target = MemoryTarget::new();
        let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
        if with_backup {
            history.write(5);
            history.back_up(&target);
            history.write(2);
        }
        ship(&mut shipper);
        let standby = make(&history.env, &target, standby_dir());
        shows_the_same(&standby, &history.database);
        let mut follower = Follower::new(&standby, shared(&target), 1);
        for round in 0..12 {
            history.write(1 + round % 3);
            if round % 4 == 0 {
                history.sim.clock.advance(Duration::from_millis(10));
                history.sim.tasks.settle(100);
            }
            let upto = ship(&mut shipper);
            assert_eq!(follower.step().unwrap(), upto);
            shows_the_same(&standby, &history.database);
            assert_eq!(follower.step().unwrap(), upto, "nothing is new");
        }
        // It takes nothing by itself, and says whose positions it tells.
        let refused = standby.assert(claim(77)).unwrap_err();
        assert_eq!(refused.code(), Code::Standby);
        assert!(standby.role().is_standby() && standby.standby_status().is_standby);
        assert_eq!((standby.timeline(), standby.engine().identity().timeline), (1, 2));
        assert!(standby.standby_status().entries > 12 && standby.standby_status().errors == 0);
        standby.verify().unwrap();
    }
}

#[test]
fn whoever_opens_a_standbys_folder_may_not_write_and_it_goes_on_after_a_restart() {
    let mut history = History::begin(2);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(3);
    ship(&mut shipper);
    let mut standby = make(&history.env, &target, standby_dir());
    for round in 0..6 {
        history.write(2);
        ship(&mut shipper);
        let mut follower = Follower::new(&standby, shared(&target), 1);
        follower.step().unwrap();
        shows_the_same(&standby, &history.database);
        drop(follower);
        if round % 2 == 0 {
            standby.close().unwrap();
        } else {
            drop(standby);
        }
        standby = reopen(&history.env, standby_dir());
        assert_eq!(standby.assert(claim(1)).unwrap_err().code(), Code::Standby);
        // Asked to be one again it stays the same one.
        let before = StandbyMark::read(&history.env, &Layout::of(standby_dir())).unwrap();
        prepare(&history.env, &target, standby_dir(), &mut |_, _| {}).unwrap();
        assert_eq!(StandbyMark::read(&history.env, &Layout::of(standby_dir())).unwrap(), before);
    }
    // A mark that cannot be read is none that can be passed over.
    drop(standby);
    let path = Layout::of(standby_dir()).standby();
    history.sim.fs.corrupt(&path, 20, 1).unwrap();
    let refused = Database::open(standby_dir(), options(&history.env)).unwrap_err();
    assert_eq!(refused.code(), Code::Corruption, "{refused}");
}

#[test]
fn it_follows_through_restarts_of_the_writer_and_segments_that_go_whole_meanwhile() {
    for every in [1, 3, 7] {
        let mut history = History::begin(3);
        let target = MemoryTarget::new();
        let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
        let mut keeper = Keeper::new(&history.database, shared(&target), Duration::ZERO);
        history.write(2);
        ship(&mut shipper);
        let standby = make(&history.env, &target, standby_dir());
        let mut follower = Follower::new(&standby, shared(&target), 1);
        for round in 1..=28u64 {
            history.write(2);
            let upto = ship(&mut shipper);
            if round % 4 == 2 {
                history.flush();
                history.sim.tasks.settle(200);
                keeper.step().unwrap();
            }
            if round % every == 0 {
                assert_eq!(follower.step().unwrap(), upto, "round {round}");
                shows_the_same(&standby, &history.database);
            }
            if round % 9 == 5 {
                let next = 1_000 * round;
                let History { database, env, sim, .. } = history;
                drop((shipper, keeper));
                // Closed, and killed.
                if round % 2 == 0 {
                    database.close().unwrap()
                } else {
                    drop(database)
                }
                let database = Database::open(data(), options(&env)).unwrap();
                history = History::over(database, env, sim, next);
                shipper = Shipper::new(&history.database, shared(&target), at_once());
                keeper = Keeper::new(&history.database, shared(&target), Duration::ZERO);
            }
        }
        follower.step().unwrap();
        shows_the_same(&standby, &history.database);
    }
}

#[test]
fn a_target_that_fails_at_any_call_delays_a_standby_and_nothing_else() {
    let mut history = History::begin(4);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(4);
    ship(&mut shipper);
    let mut failures = 0;
    let standby = loop {
        target.fail_after(Some(failures));
        let made = prepare(&history.env, &target, standby_dir(), &mut |_, _| {});
        target.fail_after(None);
        match made {
            Ok(()) => break reopen(&history.env, standby_dir()),
            Err(error) => assert!(matches!(error, Error::Target { .. }), "{failures}: {error}"),
        }
        assert!(Database::open(standby_dir(), options(&history.env)).is_err());
        failures += 1;
    };
    assert!(failures > 5, "{failures}");
    let mut follower = Follower::new(&standby, shared(&target), 1);
    failures = 0;
    loop {
        // What is looked through grows with each: at some time it has to end.
        if failures < 12 {
            history.write(1);
            ship(&mut shipper);
        }
        target.fail_after(Some(failures));
        let stepped = follower.step();
        target.fail_after(None);
        let own = own_entries(&history.database);
        assert!(own_entries(&standby).iter().all(|(lsn, bytes)| own.get(lsn) == Some(bytes)));
        match stepped {
            Ok(lsn) if lsn == history.database.published_lsn() && failures > 3 => break,
            Ok(_) => failures += 1,
            Err(error) => {
                assert!(matches!(error, Error::Target { .. }), "{failures}: {error}");
                failures += 1;
            }
        }
    }
    shows_the_same(&standby, &history.database);
}

#[test]
fn an_archive_of_nobody_or_of_several_is_not_followed() {
    let (env, _sim) = super::setup::machine(5);
    let target = MemoryTarget::new();
    assert!(matches!(followed(&target), Err(Error::NoBackup { .. })));
    for dir in ["/one", "/two"] {
        let database = Database::create(dir, options(&env)).unwrap();
        Shipper::new(&database, shared(&target), at_once()).step().unwrap();
    }
    assert!(matches!(followed(&target), Err(Error::Refused(_))));
    assert!(prepare(&env, &target, standby_dir(), &mut |_, _| {}).is_err());
    assert!(env.fs.metadata(standby_dir()).unwrap().is_none());
}

//! The journal archived into a bucket as it is written, standbys that follow from there, and promotions.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Barrier},
    time::Duration,
};

use stemedb_api::{
    Code, Database, DatabaseOptions,
    backup::{self, BackupTarget, CreateOptions, Error, Hex, Keeper, ShipOptions, Shipper, epoch},
    core::{Assertion, Object},
    replication::{Archiving, ArchivingOptions, Follower, Promotion, Standby, StandbyOptions, prepare},
};
use stemedb_env::{Env, Lsn};
use stemedb_wal::{Journal, JournalReader};
use tempfile::TempDir;

use super::bucket::Bucket;

/// Superseded ranges go at once: a standby meets segments that have gone whole.
fn at_once() -> ShipOptions {
    ShipOptions { keep_superseded: Duration::ZERO, ..ShipOptions::default() }
}

fn often() -> ArchivingOptions {
    ArchivingOptions { every: Duration::from_millis(20), ship: at_once() }
}

fn shared(prefix: &str) -> Arc<dyn BackupTarget> {
    Arc::new(Bucket::shared().target(prefix))
}

fn claim(n: u64) -> Assertion {
    let text = format!("value {n} of a claim that is as long as a claim may well be");
    Assertion::new(format!("s{}", n % 17), "p", Object::Text(text), format!("t{}", n % 5))
}

struct Place {
    dir: TempDir,
    prefix: &'static str,
    next: u64,
}

impl Place {
    fn new(prefix: &'static str) -> Place {
        Place { dir: tempfile::tempdir().unwrap(), prefix, next: 0 }
    }

    fn create(&self, name: &str) -> Database {
        Database::create(self.dir.path().join(name), DatabaseOptions::default()).unwrap()
    }

    fn open(&self, name: &str) -> Database {
        Database::open(self.dir.path().join(name), DatabaseOptions::default()).unwrap()
    }

    fn write(&mut self, database: &Database, entries: u64) {
        for _ in 0..entries {
            self.next += 1;
            database.assert(claim(self.next)).unwrap();
        }
    }

    fn standby(&self, name: &str) -> (Database, Standby) {
        let target = shared(self.prefix);
        prepare(&Env::real(), &*target, &self.dir.path().join(name), &mut |_, _| {}).unwrap();
        let database = self.open(name);
        let standby = Standby::attach(&database, target, StandbyOptions::default()).unwrap();
        (database, standby)
    }
}

fn ship(shipper: &mut Shipper) -> Lsn {
    loop {
        let report = shipper.step().unwrap();
        if !report.more {
            return report.upto;
        }
    }
}

fn entries(database: &Database) -> BTreeMap<Lsn, Vec<u8>> {
    let mut reader = database.engine().journal().read_from(Lsn(1)).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap())
        .map(|entry| (entry.lsn, entry.bytes.to_vec()))
        .collect()
}

#[track_caller]
fn has_all_up_to(standby: &Database, writer: &Database, upto: Lsn) {
    let (own, theirs) = (entries(standby), entries(writer));
    assert!(upto > Lsn::ZERO);
    for (lsn, bytes) in theirs.range(..=upto) {
        assert_eq!(own.get(lsn), Some(bytes), "LSN {lsn} of {upto}");
    }
}

#[track_caller]
fn is_fenced(stepped: backup::Result<backup::ShipReport>, database: &Database) {
    assert!(matches!(stepped, Err(Error::Fenced { .. })), "{stepped:?}");
    assert_eq!(database.assert(claim(1_000_000)).unwrap_err().code(), Code::Fenced);
}

#[test]
fn a_standby_follows_from_a_bucket_and_is_promoted_with_all_that_counted() {
    let mut place = Place::new("standbys/one");
    let target = shared(place.prefix);
    let writer = place.create("db");
    let mut shipper = Shipper::new(&writer, Arc::clone(&target), at_once());
    let mut keeper = Keeper::new(&writer, Arc::clone(&target), Duration::ZERO);
    place.write(&writer, 20);
    backup::create(&writer, &*target, &CreateOptions::default(), &mut |_, _| {}).unwrap();
    ship(&mut shipper);
    let (copy, standby) = place.standby("copy");
    let mut follower = Follower::new(&copy, Arc::clone(&target), 1);
    let mut counted = Lsn::ZERO;
    for round in 0..40 {
        place.write(&writer, 1 + round % 3);
        counted = ship(&mut shipper);
        if round % 9 == 4 {
            // The segment goes whole, and its ranges go.
            writer.engine().journal().rotate().unwrap();
            writer.flush().unwrap();
            keeper.step().unwrap();
        }
        if round % 4 == 1 {
            assert_eq!(follower.step().unwrap(), counted, "round {round}");
            assert_eq!(copy.engine().state_root().unwrap(), writer.engine().state_root().unwrap());
        }
    }
    // Acknowledged, and not sent.
    place.write(&writer, 2);
    assert_eq!(copy.assert(claim(2_000_000)).unwrap_err().code(), Code::Standby);
    let promotion = standby.promote().unwrap();
    assert_eq!(promotion, Promotion { promoted: true, epoch: Some(2), timeline: 2, lsn: counted });
    has_all_up_to(&copy, &writer, counted);
    is_fenced(shipper.step(), &writer);
    assert_eq!(writer.archive_status().lsn, counted, "what it sent too late does not count");
    place.write(&copy, 3);
    standby.finish().unwrap();
    assert_eq!(copy.archive_status().lsn, copy.published_lsn());
    // Another one follows the new writer, from the same bucket.
    drop((follower, standby));
    let (third, _standby) = place.standby("third");
    assert_eq!(third.published_lsn(), copy.published_lsn());
    assert_eq!(third.engine().state_root().unwrap(), copy.engine().state_root().unwrap());
    // The old one stays fenced, whoever starts it.
    drop((shipper, keeper));
    writer.close().unwrap();
    let writer = place.open("db");
    is_fenced(Shipper::new(&writer, target, at_once()).step(), &writer);
}

#[test]
fn of_standbys_that_are_promoted_at_once_one_goes_on() {
    for round in 0..3 {
        let mut place = Place::new(["standbys/at-once-0", "standbys/at-once-1", "standbys/at-once-2"][round]);
        let writer = place.create("db");
        place.write(&writer, 10);
        let archiving = Archiving::start(&writer, shared(place.prefix), often()).unwrap();
        archiving.await_turn(&writer, Duration::from_secs(60));
        while writer.archive_status().lsn < writer.published_lsn() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let counted = writer.archive_status().lsn;
        let standbys = ["a", "b", "c", "d"].map(|name| place.standby(name));
        let together = Barrier::new(standbys.len());
        let promote = |standby: &Standby| {
            together.wait();
            standby.promote()
        };
        let promoted: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                standbys.iter().map(|(_, standby)| scope.spawn(|| promote(standby))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let won: Vec<usize> = (0..standbys.len()).filter(|at| promoted[*at].is_ok()).collect();
        assert_eq!(won.len(), 1, "{promoted:?}");
        for (at, (database, _)) in standbys.iter().enumerate() {
            if at == won[0] {
                database.assert(claim(3_000_000)).unwrap();
                has_all_up_to(database, &writer, counted);
            } else {
                assert!(matches!(&promoted[at], Err(Error::Fenced { .. })), "{:?}", promoted[at]);
                assert_eq!(database.assert(claim(3_000_000)).unwrap_err().code(), Code::Standby);
            }
        }
        while writer.role().fenced().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(writer.assert(claim(3_000_001)).unwrap_err().code(), Code::Fenced);
    }
}

#[test]
fn of_two_writers_with_copies_of_one_folder_one_goes_on_and_has_what_counted() {
    for is_behind in [false, true] {
        let mut place = Place::new(if is_behind { "standbys/behind" } else { "standbys/copies" });
        let target = shared(place.prefix);
        let writer = place.create("db");
        place.write(&writer, 5);
        ship(&mut Shipper::new(&writer, Arc::clone(&target), at_once()));
        writer.close().unwrap();
        copy_tree(&place.dir.path().join("db"), &place.dir.path().join("clone"));
        let (first, second) = (place.open("db"), place.open("clone"));
        let mut one = Shipper::new(&first, Arc::clone(&target), at_once());
        let mut other = Shipper::new(&second, Arc::clone(&target), at_once());
        let mut counted = ship(&mut one);
        if is_behind {
            place.write(&first, 2);
            counted = ship(&mut one);
            // It lacks what is archived, and claims nothing.
            is_fenced(other.step(), &second);
            place.write(&first, 1);
            assert_eq!(ship(&mut one), first.published_lsn());
        } else {
            ship(&mut other);
            place.write(&first, 1);
            place.write(&second, 1);
            is_fenced(one.step(), &first);
            assert_eq!(ship(&mut other), second.published_lsn());
            has_all_up_to(&second, &first, counted);
        }
        let id = Hex(first.engine().identity().database.0);
        let epochs = epoch::newest(&*target, &id).unwrap().unwrap().epoch;
        assert_eq!(epochs, if is_behind { 2 } else { 3 });
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_lost_prefix_is_named_by_the_standby_and_sent_again_by_a_writer_that_is_started_anew() {
    let mut place = Place::new("standbys/lost");
    let target = shared(place.prefix);
    let writer = place.create("db");
    let mut shipper = Shipper::new(&writer, Arc::clone(&target), at_once());
    place.write(&writer, 6);
    ship(&mut shipper);
    let (copy, standby) = place.standby("copy");
    let mut follower = Follower::new(&copy, Arc::clone(&target), 1);
    assert_eq!(follower.step().unwrap(), copy.published_lsn());
    std::fs::remove_dir_all(Bucket::shared().folder(place.prefix)).unwrap();
    let lost = follower.step().unwrap_err();
    assert!(matches!(lost, Error::NotCovered { .. }), "{lost}");
    assert!(copy.standby_status().failing.is_some());
    let refused = standby.promote().unwrap_err();
    assert!(matches!(refused, Error::Missing { .. }), "{refused}");
    // The epoch is put back at once; the rest by whoever looks what there is.
    place.write(&writer, 1);
    shipper.step().unwrap();
    let mut shipper = Shipper::new(&writer, Arc::clone(&target), at_once());
    let counted = ship(&mut shipper);
    assert_eq!(counted, writer.published_lsn());
    assert_eq!(follower.step().unwrap(), counted);
    assert!(copy.standby_status().failing.is_none());
    drop(follower);
    assert_eq!(standby.promote().unwrap().lsn, counted);
    has_all_up_to(&copy, &writer, counted);
    is_fenced(shipper.step(), &writer);
}

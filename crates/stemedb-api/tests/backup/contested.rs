//! One writer goes on also where a target keeps less than it should: conditions that are ignored, and epochs that are lost.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use stemedb_api::{
    Code,
    backup::{BackupTarget, Content, Error, MemoryTarget, Object, Result, Shipper, epoch},
    replication::{Standby, StandbyOptions},
};
use stemedb_env::Lsn;

use super::{
    setup::{History, claim},
    standbys::{at_once, make, shared, ship},
    stores::id_of,
};

type Hook = Box<dyn FnOnce() + Send>;

/// A service that answers late, or has never heard of conditions.
#[derive(Default)]
struct Service {
    memory: MemoryTarget,
    /// Epochs behind this one are not seen before one is put, and that one is put over whatever is there.
    sees_epochs_up_to: Mutex<Option<u64>>,
    before_epoch: Mutex<Option<Hook>>,
    after_epoch: Mutex<Option<Hook>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    fn over(memory: &MemoryTarget) -> Service {
        Service { memory: memory.clone(), ..Service::default() }
    }

    fn is_hidden(&self, name: &str) -> bool {
        let number = name.strip_prefix("epoch/").and_then(|rest| rest.split_once('/'));
        let number = number.and_then(|(_, file)| file.strip_suffix(".json")?.parse::<u64>().ok());
        self.sees_epochs_up_to.lock().zip(number).is_some_and(|(seen, number)| number > seen)
    }
}

impl BackupTarget for Service {
    fn describe(&self) -> String {
        self.memory.describe()
    }
    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        if !name.starts_with("epoch/") {
            return self.memory.put_if_absent(name, content);
        }
        let hook = self.before_epoch.lock().take();
        hook.into_iter().for_each(|hook| hook());
        let is_late = self.sees_epochs_up_to.lock().take().is_some();
        if is_late {
            return self.memory.put(name, content).map(|()| true);
        }
        self.memory.put_if_absent(name, content)
    }
    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.memory.put(name, content)
    }
    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        if self.is_hidden(name) { Ok(None) } else { self.memory.get(name, limit_bytes) }
    }
    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.memory.read_at(name, buffer, offset)
    }
    fn size(&self, name: &str) -> Result<Option<u64>> {
        if self.is_hidden(name) { Ok(None) } else { self.memory.size(name) }
    }
    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        // The archive is read once the epoch has begun.
        if folder.starts_with("wal-archive/") {
            let hook = self.after_epoch.lock().take();
            hook.into_iter().for_each(|hook| hook());
        }
        let mut found = self.memory.list(folder)?;
        found.retain(|object| !self.is_hidden(&object.name));
        Ok(found)
    }
    fn folders(&self) -> Result<Vec<String>> {
        self.memory.folders()
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.memory.delete(name)
    }
    fn settle(&self) -> Result<()> {
        self.memory.settle()
    }
}

fn lose_epochs(target: &MemoryTarget) {
    let epochs = target.list("epoch/").unwrap();
    assert!(!epochs.is_empty());
    epochs.iter().for_each(|object| target.delete(&object.name).unwrap());
}

#[test]
fn a_service_that_ignores_conditions_leaves_one_of_two_that_have_both_begun_the_same_epoch() {
    for is_told_at_once in [true, false] {
        let mut history = History::begin(21);
        let target = MemoryTarget::new();
        let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
        history.write(5);
        let upto = ship(&mut shipper);
        let databases = ["/s1", "/s2"].map(|dir| make(&history.env, &target, Path::new(dir)));
        let late = Arc::new(Service::over(&target));
        *late.sees_epochs_up_to.lock() = Some(1);
        let second = Arc::new(Standby::attach(&databases[1], late, StandbyOptions::default()).unwrap());
        let service = Arc::new(Service::over(&target));
        let on_service = Arc::<Service>::clone(&service);
        let first = Standby::attach(&databases[0], on_service, StandbyOptions::default()).unwrap();
        let promote_second = {
            let second = Arc::clone(&second);
            move || assert!(second.promote().unwrap().promoted)
        };
        if is_told_at_once {
            // The other one's put comes to its end while this one reads the archive.
            *service.after_epoch.lock() = Some(Box::new(promote_second));
            let refused = first.promote().unwrap_err();
            assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
            assert_eq!(databases[0].assert(claim(8_000)).unwrap_err().code(), Code::Standby);
        } else {
            assert_eq!(first.promote().unwrap().epoch, Some(2));
            databases[0].assert(claim(8_000)).unwrap();
            promote_second();
            let refused = first.finish().unwrap_err();
            assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
            assert_eq!(databases[0].assert(claim(8_001)).unwrap_err().code(), Code::Fenced);
            assert_eq!(databases[0].archive_status().lsn, Lsn::ZERO, "nothing of it has counted");
        }
        databases[1].assert(claim(9_000)).unwrap();
        second.finish().unwrap();
        assert_eq!(databases[1].archive_status().lsn, upto.next());
        assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
    }
}

#[test]
fn epochs_that_are_lost_are_put_back_and_still_fence() {
    let mut history = History::begin(22);
    let target = MemoryTarget::new();
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(3);
    ship(&mut shipper);
    let database = make(&history.env, &target, Path::new("/standby"));
    let standby = Standby::attach(&database, shared(&target), StandbyOptions::default()).unwrap();
    let before = epoch::newest(&target, &id_of(&database)).unwrap().unwrap();
    lose_epochs(&target);
    history.write(2);
    let upto = ship(&mut shipper);
    let back = epoch::newest(&target, &id_of(&database)).unwrap().unwrap();
    assert_eq!((back.epoch, back.holder, back.timeline), (before.epoch, before.holder, before.timeline));
    let promotion = standby.promote().unwrap();
    assert_eq!((promotion.epoch, promotion.lsn), (Some(2), upto));
    assert!(matches!(shipper.step(), Err(Error::Fenced { .. })));
    assert_eq!(history.database.assert(claim(9_000)).unwrap_err().code(), Code::Fenced);
}

#[test]
fn a_promotion_after_the_epochs_were_lost_fences_the_writer_whatever_its_number_had_been() {
    for restarts in [0, 1] {
        let mut history = History::begin(23);
        let target = MemoryTarget::new();
        let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
        history.write(3);
        ship(&mut shipper);
        for _ in 0..restarts {
            shipper = Shipper::new(&history.database, shared(&target), at_once());
        }
        let upto = ship(&mut shipper);
        let database = make(&history.env, &target, Path::new("/standby"));
        let standby = Standby::attach(&database, shared(&target), StandbyOptions::default()).unwrap();
        let epoch = epoch::newest(&target, &id_of(&database)).unwrap().unwrap().epoch;
        assert_eq!(epoch, 1 + restarts);
        lose_epochs(&target);
        let promotion = standby.promote().unwrap();
        assert_eq!((promotion.epoch, promotion.lsn), (Some(1), upto));
        let refused = shipper.step().unwrap_err();
        assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
        assert_eq!(history.database.assert(claim(9_000)).unwrap_err().code(), Code::Fenced);
        database.assert(claim(9_001)).unwrap();
        standby.finish().unwrap();
    }
}

#[test]
fn a_writer_that_puts_its_epoch_back_at_the_moment_of_a_promotion_stays_the_only_one() {
    let mut history = History::begin(24);
    let target = MemoryTarget::new();
    ship(&mut Shipper::new(&history.database, shared(&target), at_once()));
    let mut shipper = Shipper::new(&history.database, shared(&target), at_once());
    history.write(3);
    ship(&mut shipper);
    let database = make(&history.env, &target, Path::new("/standby"));
    let service = Arc::new(Service::over(&target));
    let on_service = Arc::<Service>::clone(&service);
    let standby = Standby::attach(&database, on_service, StandbyOptions::default()).unwrap();
    lose_epochs(&target);
    let shipper = Arc::new(Mutex::new(shipper));
    let steps = Arc::clone(&shipper);
    // It has looked already, and has seen none.
    *service.before_epoch.lock() = Some(Box::new(move || {
        steps.lock().step().unwrap();
    }));
    let refused = standby.promote().unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    assert_eq!(database.assert(claim(9_000)).unwrap_err().code(), Code::Standby);
    history.write(1);
    let upto = ship(&mut shipper.lock());
    assert_eq!(upto, history.database.published_lsn());
    // Said once more it is a promotion like any other.
    assert_eq!(standby.promote().unwrap().epoch, Some(3));
    assert!(matches!(shipper.lock().step(), Err(Error::Fenced { .. })));
}

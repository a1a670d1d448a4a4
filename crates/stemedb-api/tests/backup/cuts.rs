//! Cut short anywhere: what was proven stays proven, and the next run finishes.

use std::path::{Path, PathBuf};

use stemedb_api::{
    Database,
    backup::{self, BackupTarget, Catalog, Content, FolderTarget, MemoryTarget, Object, Point, Result},
};
use stemedb_env::fs::sim::CrashOptions;

use super::setup::{History, create, data, machine_on, options, restore_to};

#[test]
fn a_target_that_fails_at_any_call_costs_nothing_that_was_there_before() {
    let mut history = History::begin(1);
    history.write(10);
    let target = MemoryTarget::new();
    let first = history.back_up(&target);
    history.write(10);
    let mut failures = 0;
    let second = loop {
        target.fail_after(Some(failures));
        history.sim.clock.advance(std::time::Duration::from_secs(1));
        let made = create(&history.database, &target);
        target.fail_after(None);
        match made {
            Ok(made) => break made,
            Err(error) => assert!(matches!(error, backup::Error::Target { .. }), "{failures}: {error}"),
        }
        let catalog = Catalog::load(&target).unwrap();
        assert!(catalog.find(&first.name).unwrap().verified);
        for entry in catalog.backups.iter().filter(|entry| entry.verified) {
            assert!(entry.metadata.as_ref().unwrap().lsn >= first.metadata.lsn);
        }
        assert!(history.env.fs.metadata(&data().join("backup.staging")).unwrap().is_none());
        failures += 1;
    };
    assert!(failures > 40, "{failures}");
    assert!(second.verified);
    assert_eq!(second.sent_objects, 0, "everything had been sent by then");
    let catalog = Catalog::load(&target).unwrap();
    assert_eq!(catalog.latest.as_ref(), Some(&second.name));
    backup::verify(&history.env, &target, &first.name, Path::new("/scratch")).unwrap();
    backup::clean(&target, 1, true).unwrap();
    backup::verify(&history.env, &target, &second.name, Path::new("/scratch")).unwrap();
}

#[test]
fn a_target_that_fails_at_any_call_of_a_restore_leaves_no_database_and_it_can_begin_again() {
    let mut history = History::begin(2);
    history.write(10);
    let target = MemoryTarget::new();
    history.back_up(&target);
    let dir = Path::new("/restored");
    let mut failures = 0;
    let report = loop {
        target.fail_after(Some(failures));
        let done = restore_to(&history.env, &target, Point::Latest, dir);
        target.fail_after(None);
        match done {
            Ok(report) => break report,
            Err(error) => assert!(matches!(error, backup::Error::Target { .. }), "{failures}: {error}"),
        }
        assert!(Database::open(dir, options(&history.env)).is_err());
        failures += 1;
    };
    assert!(failures > 10, "{failures}");
    assert_eq!(report.root, history.past.last().unwrap().root);
}

fn folder() -> PathBuf {
    PathBuf::from("/backups")
}

/// Runs a second backup into a folder with the given target, cuts the power at every call, and checks what is left. Returns
/// how many disks were checked, or what was wrong with one.
fn cut_everywhere(
    through: impl FnOnce(FolderTarget) -> Box<dyn BackupTarget>,
    samples: usize,
) -> std::result::Result<(u64, u64), String> {
    let mut history = History::begin(3);
    history.write(4);
    let first = history.back_up(&FolderTarget::new(&history.env, folder()));
    history.write(4);
    history.sim.clock.advance(std::time::Duration::from_secs(1));
    let target = through(FolderTarget::new(&history.env, folder()));
    history.sim.fs.record(true);
    create(&history.database, &*target).unwrap();
    history.sim.fs.record(false);
    let (mut disks, mut seconds) = (0, 0);
    for point in history.sim.fs.take_crash_points() {
        let options = CrashOptions { exhaustive_units: 2, samples, seed: point.mutations };
        for state in point.fs.crash_states(&options) {
            disks += 1;
            let (env, _sim) = machine_on(state.fs, 4);
            let target = FolderTarget::new(&env, folder());
            let catalog = Catalog::load(&target).map_err(|error| error.to_string())?;
            if !catalog.find(&first.name).is_some_and(|entry| entry.verified) {
                return Err(format!("the first backup is gone after {:?}", point.operation));
            }
            for entry in &catalog.backups {
                // Whatever has metadata is whole, and the newest of them can be cheap: the first never changes.
                let metadata = entry.metadata.as_ref().map_err(|problem| problem.clone())?;
                for part in metadata.files.iter().flat_map(|file| &file.parts) {
                    if target.size(&part.object()).map_err(|error| error.to_string())?.is_none() {
                        return Err(format!(
                            "{} lacks {} after {:?}",
                            entry.name,
                            part.object(),
                            point.operation
                        ));
                    }
                }
                seconds += u64::from(entry.name != first.name);
            }
        }
    }
    Ok((disks, seconds))
}

#[test]
fn a_power_cut_anywhere_leaves_metadata_only_with_everything_that_it_names() {
    let (disks, seconds) = cut_everywhere(|target| Box::new(target), 3).unwrap();
    println!("{disks} disks, {seconds} with the second backup");
    assert!(disks > 400 && seconds > 20, "{disks} {seconds}");
}

/// A target with a defect: nothing is durable when the metadata is written, and any of it may be first.
#[derive(Debug)]
struct SettlesTooLate(FolderTarget);

impl BackupTarget for SettlesTooLate {
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        self.0.put_if_absent(name, content)
    }
    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.0.put(name, content)
    }
    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        self.0.get(name, limit_bytes)
    }
    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_at(name, buffer, offset)
    }
    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.0.size(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        self.0.list(folder)
    }
    fn folders(&self) -> Result<Vec<String>> {
        self.0.folders()
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.0.delete(name)
    }
    /// Says yes and does nothing.
    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn metadata_that_is_written_before_its_parts_are_durable_is_noticed() {
    let found = cut_everywhere(|target| Box::new(SettlesTooLate(target)), 12).unwrap_err();
    assert!(found.contains("lacks"), "{found}");
}

#[test]
fn after_a_power_cut_in_a_backup_the_next_one_finishes() {
    let mut history = History::begin(5);
    history.write(4);
    let first = history.back_up(&FolderTarget::new(&history.env, folder()));
    history.write(4);
    let last = *history.past.last().unwrap();
    history.sim.clock.advance(std::time::Duration::from_secs(1));
    history.sim.fs.record(true);
    create(&history.database, &FolderTarget::new(&history.env, folder())).unwrap();
    history.sim.fs.record(false);
    let points = history.sim.fs.take_crash_points();
    let step = (points.len() / 25).max(1);
    let mut finished = 0;
    for point in points.into_iter().step_by(step) {
        for image in [point.fs.crash_losing_all(), point.fs.crash_keeping_all()] {
            let (env, _sim) = machine_on(image, 6);
            let database = Database::open(data(), options(&env)).unwrap();
            assert!(env.fs.metadata(&data().join("backup.staging")).unwrap().is_none());
            let target = FolderTarget::new(&env, folder());
            let made = create(&database, &target).unwrap();
            assert!(made.verified && made.metadata.lsn == last.lsn.0);
            backup::verify(&env, &target, &first.name, Path::new("/scratch")).unwrap();
            assert!(target.list("writing/").unwrap().is_empty());
            finished += 1;
        }
    }
    assert!(finished >= 40, "{finished}");
}

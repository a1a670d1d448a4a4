//! Power cuts while sidecars are written: a whole file, or nothing that counts.

use std::sync::Arc;

use stemedb_env::{Budget, Env, Job, Lsn, Micros, Step, clock::SimClock, fs::sim::CrashOptions};
use stemedb_index::KeyValues;
use stemedb_lsm::WriteBatch;
use stemedb_wal::{Journal, JournalOptions, SegmentedJournal};

use super::{Machine, entry, wal};

#[test]
fn a_power_cut_anywhere_leaves_whole_sidecars_or_none() {
    let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
    for n in 0..40u64 {
        let mut batch = WriteBatch::new();
        (0..6).for_each(|m| batch.put(format!("key {:04}", (n * 7 + m) % 90).as_bytes(), &n.to_be_bytes()));
        machine.append(&[entry(batch)]);
    }
    machine.journal.close().unwrap();
    machine.sim.fs.settle();
    machine.sim.fs.record(true);
    machine.flush(15);
    machine.flushed = Lsn(30);
    machine.set.set_flushed(Lsn(30));
    let mut upkeep = machine.upkeep();
    while upkeep.step(Budget { bytes: 500 }) != Step::Idle {}
    machine.flush(40);
    machine.sim.fs.record(false);
    let (mut whole, mut states) = ([0; 4], 0);
    for point in machine.sim.fs.take_crash_points() {
        let options = CrashOptions { exhaustive_units: 6, samples: 12, seed: point.mutations };
        for state in point.fs.crash_states(&options) {
            let (env, sim) = Env::over(state.fs, Arc::new(SimClock::new(Micros(1))), 2);
            let opened =
                SegmentedJournal::open(&env, wal(), super::IDENTITY, Lsn(40), JournalOptions::tiny());
            let (journal, _) = opened.unwrap();
            let machine = Machine::over(env, sim, journal, Arc::new(KeyValues), Lsn(40));
            assert!(machine.paths().iter().all(|path| !path.to_string_lossy().ends_with(".tmp")));
            let found = machine.set.files();
            let usable = found.iter().filter(|name| machine.set.load(**name).is_some()).count();
            assert_eq!(
                usable,
                found.len(),
                "after {:?}: a name means that the content is there",
                point.operation
            );
            machine.check(&(&b"key 0010"[..]..=&b"key 0030"[..]), &(Lsn(1)..=Lsn(40)));
            let mut upkeep = machine.upkeep();
            while upkeep.step(Budget { bytes: 1 << 20 }) != Step::Idle {}
            assert!(machine.set.plan(&(Lsn(1)..=Lsn(40))).len() <= 3);
            machine.check(&(&b"key 0010"[..]..=&b"key 0030"[..]), &(Lsn(1)..=Lsn(40)));
            assert_eq!(machine.journal.durable_lsn(), Lsn(40));
            whole[usable] += 1;
            states += 1;
        }
    }
    assert!(states > 40 && whole.iter().all(|count| *count > 0), "{whole:?} of {states}");
}

#[test]
fn a_sidecar_costs_one_sync() {
    let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
    machine.append(&[super::put(b"a", b"1"), super::put(b"b", b"2")]);
    let counts = Arc::new(stemedb_env::fs::FaultFs::counting(Arc::clone(&machine.env.fs)));
    machine.env.fs = Arc::clone(&counts) as Arc<dyn stemedb_env::Fs>;
    machine.look_again();
    counts.reset_call_counts();
    machine.flush(2);
    assert_eq!(counts.call_counts().syncs("next."), 1);
    assert_eq!(counts.call_counts().of(stemedb_env::IoOp::SyncDir, "").calls, 0);
    assert_eq!(machine.paths().len(), 1);
}

#[test]
fn a_disk_that_refuses_costs_the_sidecar_and_nothing_else() {
    let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
    let entries: Vec<Vec<u8>> = (0..200u64).map(|n| super::put(&n.to_be_bytes(), b"v")).collect();
    machine.append(&entries);
    machine.sim.fs.set_capacity(Some(0));
    machine.flush(200);
    assert!(machine.paths().is_empty(), "{:?}", machine.paths());
    machine.check(&(&50u64.to_be_bytes()[..]..=&60u64.to_be_bytes()[..]), &(Lsn(1)..=Lsn(200)));
    let mut upkeep = machine.upkeep();
    while upkeep.step(Budget { bytes: 1 << 20 }) != Step::After(std::time::Duration::from_secs(60)) {}
    machine.sim.fs.set_capacity(None);
    while upkeep.step(Budget { bytes: 1 << 20 }) != Step::Idle {}
    assert_eq!(machine.paths().len(), 1);
    machine.check(&(&50u64.to_be_bytes()[..]..=&60u64.to_be_bytes()[..]), &(Lsn(1)..=Lsn(200)));
}

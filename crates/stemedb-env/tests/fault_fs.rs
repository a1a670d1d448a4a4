//! Injected faults: what they do, when they hit, and that they are counted.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of tests are tests.

use std::{io::ErrorKind, path::Path, sync::Arc, time::Duration};

use stemedb_env::{
    Clock, File, Fs, IoOp, Micros, OpenMode,
    clock::SimClock,
    fs::{
        FaultFs, SimFs,
        fault::{Fault, FaultClass, FaultCounts, FaultRule},
        write_file_atomic,
    },
};

const EIO: Option<i32> = Some(5);

fn path(name: &str) -> &Path {
    Path::new(name)
}

fn setup() -> (SimFs, FaultFs, Arc<dyn File>) {
    let sim = SimFs::new();
    sim.install(path("/db/a"), &[1; 1000]).unwrap();
    let fs = FaultFs::new(Arc::new(sim.clone()), 1);
    let file = fs.open(path("/db/a"), OpenMode::ReadWrite).unwrap();
    (sim, fs, file)
}

fn errno(error: stemedb_env::Error) -> Option<i32> {
    match error {
        stemedb_env::Error::Io { source, .. } => source.raw_os_error(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_rule_hits_the_chosen_calls_and_no_others() {
    let (_, fs, file) = setup();
    fs.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path("db/a").after(1).times(2));
    let mut buffer = [0; 4];
    let outcomes: Vec<bool> = (0..5).map(|_| file.read_at(&mut buffer, 0).is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, true, true]);
    file.write_all_at(b"x", 0).unwrap();
    fs.clear();
    fs.add(FaultRule::new(Fault::Eio).path("elsewhere"));
    file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(fs.fault_counts().hits(FaultClass::Eio, IoOp::Read), 2);
    assert_eq!(fs.fault_counts().total(), 2);
}

#[test]
fn errors_look_like_those_of_the_kernel_and_have_no_effect() {
    let (sim, fs, file) = setup();
    let before = sim.image_hash();
    fs.add(FaultRule::new(Fault::Eio).on(IoOp::Write));
    assert_eq!(errno(file.write_at(b"x", 0).unwrap_err()), EIO);
    fs.clear();
    fs.add(FaultRule::new(Fault::StorageFull));
    assert!(file.write_at(b"x", 0).unwrap_err().is_storage_full());
    assert!(file.set_len(5000).unwrap_err().is_storage_full());
    assert!(fs.open(path("/db/b"), OpenMode::CreateNew).unwrap_err().is_storage_full());
    fs.open(path("/db/a"), OpenMode::ReadWrite).expect("opening needs no room");
    assert!(fs.remove(path("/db/none")).unwrap_err().is_not_found(), "removing needs no room");
    fs.clear();
    fs.add(FaultRule::new(Fault::TooManyOpenFiles));
    assert_eq!(errno(fs.open(path("/db/a"), OpenMode::Read).unwrap_err()), Some(24));
    assert_eq!(sim.image_hash(), before);
    assert!(sim.pending_units().is_empty());
}

#[test]
fn whole_transfers_survive_short_and_interrupted_ones() {
    let (sim, fs, file) = setup();
    fs.add(FaultRule::new(Fault::Short).chance_per_million(500_000));
    fs.add(FaultRule::new(Fault::Interrupted).chance_per_million(300_000));
    let data: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
    for _ in 0..20 {
        file.write_all_at(&data, 0).unwrap();
        let mut back = vec![0; 1000];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(back, data);
    }
    assert_eq!(sim.read_all(path("/db/a")).unwrap(), data);
    for class in [FaultClass::Short, FaultClass::Interrupted] {
        for op in [IoOp::Read, IoOp::Write] {
            assert!(fs.fault_counts().hits(class, op) > 0, "{class:?} {op}");
        }
    }
    fs.clear();
    fs.add(FaultRule::new(Fault::Interrupted));
    assert_eq!(file.read_at(&mut [0; 4], 0).unwrap_err().kind(), Some(ErrorKind::Interrupted));
}

#[test]
fn a_short_transfer_is_never_empty_and_never_whole() {
    let (_, fs, file) = setup();
    fs.add(FaultRule::new(Fault::Short));
    for len in 2..50 {
        let n = file.write_at(&vec![0; len], 0).unwrap();
        assert!(n >= 1 && n < len, "{n} of {len}");
    }
    assert_eq!(file.write_at(&[0], 0).unwrap(), 1);
}

#[test]
fn a_sync_fails_once_then_lies_and_the_bytes_are_gone_after_a_crash() {
    let (sim, fs, file) = setup();
    fs.add(FaultRule::new(Fault::SyncFailsThenLies).path("/db/a").times(1));
    file.write_all_at(&[2; 1000], 0).unwrap();
    assert_eq!(errno(file.sync_data().unwrap_err()), EIO);
    file.sync_data().unwrap();
    assert_eq!(sim.read_all(path("/db/a")).unwrap(), [2; 1000]);
    assert_eq!(sim.crash_keeping_all().read_all(path("/db/a")).unwrap(), [1; 1000]);
    assert_eq!(fs.fault_counts().hits(FaultClass::SyncFailsThenLies, IoOp::SyncData), 1);
}

#[test]
fn the_lie_passes_through_nested_wrappers_and_reaches_names_too() {
    let (sim, fs, _) = setup();
    let outer = FaultFs::new(Arc::new(fs), 2);
    outer.add(FaultRule::new(Fault::SyncFailsThenLies).times(2));
    let file = outer.open(path("/db/b"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.sync_data().unwrap_err();
    outer.sync_dir(path("/db")).unwrap_err();
    file.sync_data().unwrap();
    outer.sync_dir(path("/db")).unwrap();
    assert!(sim.metadata(path("/db/b")).unwrap().is_some());
    assert!(sim.crash_keeping_all().metadata(path("/db/b")).unwrap().is_none());
}

#[test]
fn a_plain_sync_error_leaves_the_bytes_pending() {
    let (sim, fs, file) = setup();
    fs.add(FaultRule::new(Fault::Eio).on(IoOp::SyncData).times(1));
    file.write_all_at(&[2; 1000], 0).unwrap();
    file.sync_data().unwrap_err();
    assert_eq!(sim.crash_losing_all().read_all(path("/db/a")).unwrap(), [1; 1000]);
    file.sync_data().unwrap();
    assert_eq!(sim.crash_losing_all().read_all(path("/db/a")).unwrap(), [2; 1000]);
}

#[test]
fn latency_passes_on_the_clock_and_adds_up() {
    let clock = Arc::new(SimClock::new(Micros(0)));
    let sim = SimFs::new();
    let fs = FaultFs::with_clock(Arc::new(sim), Arc::clone(&clock) as Arc<dyn Clock>, 1);
    fs.add(FaultRule::new(Fault::Latency(Duration::from_secs(5))).on(IoOp::SyncDir));
    fs.add(FaultRule::new(Fault::Latency(Duration::from_secs(2))).times(1));
    fs.sync_dir(path("/")).unwrap();
    fs.list(path("/")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(clock.monotonic(), Duration::from_secs(12));
    assert_eq!(fs.fault_counts().class(FaultClass::Latency), 3);
}

#[test]
fn the_same_seed_hits_the_same_calls() {
    let run = |seed| -> Vec<bool> {
        let sim = SimFs::new();
        let fs = FaultFs::new(Arc::new(sim), seed);
        fs.add(FaultRule::new(Fault::Eio).chance_per_million(300_000));
        (0..200).map(|_| fs.list(path("/")).is_ok()).collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let hits = run(1).iter().filter(|ok| !**ok).count();
    assert!((30..90).contains(&hits), "{hits} of 200 at a chance of 0.3");
}

#[test]
fn calls_are_counted_by_kind_and_path() {
    let (_, fs, file) = setup();
    fs.reset_call_counts();
    file.write_all_at(&[0; 100], 0).unwrap();
    file.read_exact_at(&mut [0; 30], 0).unwrap();
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    let other = fs.open(path("/db/b"), OpenMode::CreateNew).unwrap();
    other.sync_data().unwrap();
    let counts = fs.call_counts();
    assert_eq!((counts.reads("/db/a"), counts.writes("/db/a"), counts.syncs("/db/a")), (1, 1, 2));
    assert_eq!((counts.syncs("/db/b"), counts.syncs("")), (1, 3));
    assert_eq!((counts.of(IoOp::Write, "").bytes, counts.of(IoOp::Read, "").bytes), (100, 30));
    assert_eq!(fs.calls(), 6);
    assert_eq!(counts.iter().map(|(_, _, count)| count.calls).sum::<u64>(), 6);
}

#[test]
fn paused_rules_neither_hit_nor_move_on() {
    let (_, fs, file) = setup();
    fs.add(FaultRule::new(Fault::Eio).on(IoOp::SyncData).after(1).times(1));
    fs.pause(true);
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    fs.pause(false);
    file.sync_data().unwrap();
    file.sync_data().unwrap_err();
}

#[test]
fn failing_every_call_in_turn_leaves_the_old_or_the_new_small_file() {
    let clean = FaultFs::counting(Arc::new(SimFs::new()));
    write_file_atomic(&clean, path("/current"), b"new").unwrap();
    let calls = clean.calls();
    assert!(calls >= 6, "{calls}");
    let mut injected = FaultCounts::default();
    for fault in [Fault::Eio, Fault::StorageFull, Fault::Short, Fault::Interrupted, Fault::SyncFailsThenLies]
    {
        for n in 0..calls {
            let sim = SimFs::new();
            sim.install(path("/current"), b"old").unwrap();
            let fs = FaultFs::new(Arc::new(sim.clone()), n);
            fs.add(FaultRule::new(fault).after(n).times(1));
            let outcome = write_file_atomic(&fs, path("/current"), b"new");
            let after = sim.crash_losing_all().read_all(path("/current")).unwrap();
            let hit = fs.fault_counts().total() > 0;
            let harmless = matches!(fault, Fault::Short | Fault::Interrupted);
            assert_eq!(outcome.is_err(), hit && !harmless, "{fault:?} at {n}");
            assert_eq!(after, if outcome.is_ok() { b"new" } else { b"old" }, "{fault:?} at {n}");
            injected.add(&fs.fault_counts());
        }
    }
    for class in [
        FaultClass::Eio,
        FaultClass::StorageFull,
        FaultClass::Short,
        FaultClass::Interrupted,
        FaultClass::SyncFailsThenLies,
    ] {
        assert!(injected.class(class) > 0, "{class:?} was never injected");
    }
    assert_eq!(injected.iter().map(|(_, _, hits)| hits).sum::<u64>(), injected.total());
}

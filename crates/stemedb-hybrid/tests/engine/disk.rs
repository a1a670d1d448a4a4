//! A full disk: refused before anything is given, served otherwise, and gone on with by itself.

use std::{path::Path, sync::Arc, time::Duration};

use stemedb_env::{
    Clock, Env, IoOp, SimHandles,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{
    ClaimEngine, DiskOptions, Error, EventKind, HybridOptions, Line, SpaceHealth, SpaceLevel, SpaceLines,
};
use stemedb_index::Claims;

use super::setup::{assert_claims, dir, found, machine, open, submission};

const KIB: u64 = 1 << 10;
const LARGE: u64 = 1 << 40;

struct World {
    engine: ClaimEngine,
    env: Env,
    sim: SimHandles,
    faults: Arc<FaultFs>,
}

fn options() -> HybridOptions {
    let lines = SpaceLines {
        low: Line::of_bytes(8000 * KIB),
        scarce: Line::of_bytes(4000 * KIB),
        full: Line::of_bytes(2000 * KIB),
    };
    let disk = DiskOptions { lines, reserve_bytes: 0, ..DiskOptions::default() };
    HybridOptions { disk, ..HybridOptions::tiny() }
}

fn world(seed: u64, options: &HybridOptions) -> World {
    let (env, sim) = Env::sim(seed);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let engine = ClaimEngine::create(&env, dir(), Claims, options).unwrap();
    World { engine, env, sim, faults }
}

impl World {
    /// Others leave so much on the disk.
    fn leave(&self, bytes: u64) {
        self.sim.fs.set_capacity(Some(LARGE));
        let used = LARGE - self.env.fs.space(dir()).unwrap().available_bytes;
        self.sim.fs.set_capacity(Some(used + bytes));
    }

    fn pass(&self, ms: u64) {
        self.sim.clock.sleep(Duration::from_millis(ms));
        self.sim.tasks.settle(500);
    }

    fn space(&self) -> SpaceHealth {
        self.engine.health().space.unwrap()
    }

    fn spares(&self) -> usize {
        let files = self.env.fs.list(&dir().join("wal")).unwrap();
        files.iter().filter(|entry| entry.name.starts_with("spare")).count()
    }

    fn space_events(&self) -> Vec<String> {
        let events = self.engine.events().after(0);
        events.into_iter().filter(|event| event.kind == EventKind::Space).map(|event| event.text).collect()
    }

    /// Until a write is accepted; how long that took, in milliseconds.
    fn resumes_within(&self, ms: u64, number: u64) -> Option<u64> {
        (0..=ms / 100).map(|n| n * 100).find(|_| {
            let accepted = self.engine.commit(submission([number])).is_ok();
            if !accepted {
                self.pass(100);
            }
            accepted
        })
    }
}

#[test]
fn lines_are_crossed_downwards_and_upwards_and_writes_are_refused_below_the_last_one() {
    let world = world(1, &options());
    for n in 0..40 {
        assert_claims(&world.engine, [n]);
    }
    world.pass(20_000);
    assert_eq!(world.space().level, SpaceLevel::Plenty);
    assert_claims(&world.engine, 40..60);
    world.pass(100);

    world.leave(7000 * KIB);
    world.pass(10_000);
    assert_eq!(world.space().level, SpaceLevel::Low);
    assert!(world.space_events().last().unwrap().starts_with("room is low"), "{:?}", world.space_events());
    (60..70).for_each(|n| _ = assert_claims(&world.engine, [n]));
    world.pass(100);
    assert!(world.spares() > 0);

    world.leave(3000 * KIB);
    world.pass(10_000);
    assert_eq!(world.space().level, SpaceLevel::Scarce);
    assert_eq!(world.spares(), 0, "spare files are given back");
    (70..80).for_each(|n| _ = assert_claims(&world.engine, [n]));
    world.pass(100);
    assert_eq!(world.spares(), 0);

    world.leave(1500 * KIB);
    world.pass(10_000);
    let before = (world.engine.durable_lsn(), world.engine.published_lsn());
    for n in 1000..1010 {
        assert!(matches!(world.engine.commit(submission([n])), Err(Error::NoRoom { .. })));
    }
    assert_eq!((world.engine.durable_lsn(), world.engine.published_lsn()), before, "no LSN was given");
    assert_eq!(found(&world.engine), (0..80).collect::<Vec<_>>(), "reads go on, and show nothing of it");
    let health = world.engine.health();
    assert!(!health.is_ready() && health.read_only.unwrap().contains("bytes are free"));
    assert_eq!(world.engine.stats().refused_for_room, 10);
    // What makes room goes on.
    world.engine.flush().unwrap();
    world.engine.compact().unwrap();
    world.pass(1000);
    assert_eq!(world.engine.health().flushed, world.engine.published_lsn());

    // A little more is not enough: otherwise it would flap.
    world.leave(2100 * KIB);
    world.pass(1000);
    assert!(matches!(world.engine.commit(submission([1000])), Err(Error::NoRoom { .. })));
    world.leave(2400 * KIB);
    assert!(world.resumes_within(500, 2000).is_some());
    assert_eq!(world.space().level, SpaceLevel::Scarce);
    world.leave(LARGE / 2);
    world.pass(10_000);
    assert_eq!(world.space().level, SpaceLevel::Plenty);
    assert!(world.engine.health().is_ready());
    let events = world.space_events();
    assert_eq!(events.len(), 5, "{events:?}");
    assert!(events[2].starts_with("writes are refused") && events[3].contains("writes are accepted"));
    drop(world.engine);
    let (machine, _sim) = machine(world.sim.fs.crash_losing_all(), 2);
    let all: Vec<u64> = (0..80).chain([2000]).collect();
    assert_eq!(found(&open(&machine).0), all);
}

#[test]
fn what_is_in_memory_is_flushed_when_the_last_line_is_crossed() {
    let world = world(2, &HybridOptions { lsm: stemedb_lsm::LsmOptions::default(), ..options() });
    (0..30).for_each(|n| _ = assert_claims(&world.engine, [n]));
    assert_eq!(world.engine.health().flushed.0, 0);
    world.leave(150 * KIB);
    world.pass(10_000);
    world.pass(100);
    assert_eq!(world.engine.health().flushed.0, 30, "without a call, and without a writer");
}

#[test]
fn the_reserve_is_made_while_there_is_plenty_and_given_up_when_others_take_everything() {
    let options = options();
    let disk = DiskOptions { reserve_bytes: 64 * KIB, ..options.disk.clone() };
    let journal = stemedb_wal::JournalOptions { segment_bytes: 64 * KIB, ..options.journal.clone() };
    let world = world(3, &HybridOptions { disk, journal, ..options });
    let reserve = || world.env.fs.metadata(Path::new("/db/RESERVE")).unwrap().map(|found| found.len);
    (0..60).for_each(|n| _ = assert_claims(&world.engine, [n]));
    world.leave(8 << 20);
    world.pass(10_000);
    assert_eq!(reserve(), Some(64 * KIB));
    world.leave(0);
    world.pass(10_000);
    assert_eq!(reserve(), None);
    assert!(matches!(world.engine.commit(submission([100])), Err(Error::NoRoom { .. })));
    // It was room enough for what was in memory.
    world.pass(2000);
    assert_eq!(world.engine.health().flushed, world.engine.published_lsn());
    world.leave(8 << 20);
    assert!(world.resumes_within(2000, 101).is_some());
    world.pass(10_000);
    assert_eq!(reserve(), Some(64 * KIB), "there is plenty again");
}

#[test]
fn a_durable_entry_that_the_view_has_no_room_for_waits_and_is_shown_later() {
    let world = world(4, &options());
    world.faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write).path(".sst"));
    // Jobs run only while a writer waits for them: flushes fail in the middle of a commit.
    let mut unreadable = Vec::new();
    let mut acknowledged = Vec::new();
    for n in 0..200u64 {
        match world.engine.commit(submission(n * 10..n * 10 + 10)) {
            Ok(_) => acknowledged.extend(n * 10..n * 10 + 10),
            Err(Error::NotReadable { .. }) => unreadable.extend(n * 10..n * 10 + 10),
            Err(Error::NoRoom { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!unreadable.is_empty(), "no entry met a full view");
    assert_eq!(found(&world.engine), acknowledged, "what is not in the view is not shown in part");
    let health = world.engine.health();
    assert!(health.read_only.is_some() && health.primary.is_readable());
    assert_eq!(world.engine.durable_lsn().0, world.engine.published_lsn().0 + 1);
    for _ in 0..30 {
        world.pass(100);
        assert!(matches!(world.engine.commit(submission([9000])), Err(Error::NoRoom { .. })));
    }
    world.faults.clear();
    // Nobody writes, nobody opens it again.
    (0..20).for_each(|_| world.pass(100));
    acknowledged.extend(&unreadable);
    assert_eq!(found(&world.engine), acknowledged);
    assert!(world.engine.health().is_ready());
    assert!(!assert_claims(&world.engine, unreadable.iter().copied())[0].created, "it is known");
    assert!(assert_claims(&world.engine, [9000])[0].created);
    drop(world.engine);
    let (machine, _sim) = machine(world.sim.fs.crash_losing_all(), 5);
    acknowledged.push(9000);
    assert_eq!(found(&open(&machine).0), acknowledged);
}

/// What became of the claims of a script.
#[derive(Default)]
struct Told {
    acknowledged: Vec<u64>,
    /// Definitely not applied.
    refused: Vec<u64>,
    met: u64,
}

/// Everything that the engine does to its files, with a disk that is full from the `n`-th call on that needs room.
fn script(world: &World, told: &mut Told) {
    for n in 0..24u64 {
        let claims = n * 100..n * 100 + 4 + 8 * (n % 3);
        match world.engine.commit(submission(claims.clone())) {
            Ok(_) => told.acknowledged.extend(claims),
            Err(Error::NoRoom { .. } | Error::StorageFull { .. } | Error::ReadOnly { .. }) => {
                told.refused.extend(claims);
            }
            Err(Error::Indeterminate { .. } | Error::NotReadable { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        match n % 6 {
            3 => drop(world.engine.flush()),
            5 => drop(world.engine.compact()),
            _ => {
                world.sim.tasks.settle(20);
            }
        }
        world.sim.clock.sleep(Duration::from_millis(60));
        let shown = found(&world.engine);
        assert!(told.acknowledged.iter().all(|n| shown.binary_search(n).is_ok()), "reads go on");
        assert!(told.refused.iter().all(|n| shown.binary_search(n).is_err()), "a refused write is seen");
    }
}

#[test]
fn wherever_the_disk_ends_the_engine_goes_on_by_itself_and_loses_nothing() {
    let (mut runs, mut slowest, mut refused) = (0, 0, 0);
    for nth in (0..).step_by(3) {
        let world = world(6, &options());
        world.faults.add(FaultRule::new(Fault::StorageFull).after(nth));
        let mut told = Told::default();
        script(&world, &mut told);
        told.met = world.faults.fault_counts().total();
        world.faults.clear();
        let took = world.resumes_within(2000, 77_777);
        let Some(took) = took else {
            panic!("call {nth}: not within two seconds: {:?}", world.engine.health());
        };
        slowest = slowest.max(took);
        refused += told.refused.len();
        world.pass(2000);
        let check = |engine: &ClaimEngine, what: &str| {
            let shown = found(engine);
            let lost: Vec<_> = told.acknowledged.iter().filter(|n| shown.binary_search(n).is_err()).collect();
            assert!(lost.is_empty(), "call {nth}, {what}: {lost:?} were acknowledged");
            let phantoms: Vec<_> = told.refused.iter().filter(|n| shown.binary_search(n).is_ok()).collect();
            assert!(phantoms.is_empty(), "call {nth}, {what}: {phantoms:?} were refused");
            assert!(shown.binary_search(&77_777).is_ok());
        };
        check(&world.engine, "running");
        world.engine.flush().unwrap_or_else(|error| panic!("call {nth}: {error}"));
        world.engine.compact().unwrap_or_else(|error| panic!("call {nth}: {error}"));
        assert!(world.engine.health().is_ready(), "call {nth}: {:?}", world.engine.health());
        drop(world.engine);
        let (machine, _sim) = machine(world.sim.fs.crash_losing_all(), 7);
        check(&open(&machine).0, "after a power cut");
        runs += 1;
        if told.met == 0 {
            break;
        }
    }
    println!("{runs} runs, {refused} claims refused, the slowest went on after {slowest} ms");
    assert!(runs > 100, "only {runs} calls need room: the injector is dead");
}

#[test]
fn a_real_end_of_the_disk_is_met_between_two_looks_and_ended_by_itself() {
    // No line but what is needed, so that the engine runs into the end with its own writes.
    let lines = SpaceLines { low: Line::OFF, scarce: Line::OFF, full: Line::OFF };
    let mut met = 0;
    for free in (0..64).map(|n| n * 1536) {
        let disk = DiskOptions { lines, reserve_bytes: 0, ..DiskOptions::default() };
        let world = world(100 + free, &HybridOptions { disk, ..HybridOptions::tiny() });
        assert_claims(&world.engine, 0..20);
        world.leave(free);
        let (mut told, mut refused) = ((0..20).collect::<Vec<u64>>(), Vec::new());
        for n in 1..40u64 {
            let claims = n * 100..n * 100 + 6;
            match world.engine.commit(submission(claims.clone())) {
                Ok(_) => told.extend(claims),
                Err(Error::NoRoom { .. } | Error::StorageFull { .. }) => refused.extend(claims),
                Err(Error::Indeterminate { .. } | Error::NotReadable { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
            world.sim.tasks.settle(10);
        }
        met += u64::from(!refused.is_empty());
        world.sim.fs.set_capacity(None);
        let took = world.resumes_within(2000, 50_000);
        assert!(took.is_some(), "{free} bytes: {:?}", world.engine.health());
        told.push(50_000);
        let check = |shown: &[u64]| {
            assert!(told.iter().all(|n| shown.binary_search(n).is_ok()), "{free} bytes: lost");
            assert!(
                refused.iter().all(|n| shown.binary_search(n).is_err()),
                "{free} bytes: refused and seen"
            );
        };
        check(&found(&world.engine));
        drop(world.engine);
        let (machine, _sim) = machine(world.sim.fs.crash_losing_all(), 8);
        check(&found(&open(&machine).0));
    }
    assert!(met > 20, "only {met} runs met the end of the disk");
}

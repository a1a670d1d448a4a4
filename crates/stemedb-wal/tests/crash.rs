//! Power cuts: every short sequence of operations, cut at every point, in every way.
// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stemedb_env::{
    Clock, Env, Fs, IoOp, Lsn,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::{
        SimFs,
        fault::{Fault, FaultClass, FaultFs, FaultRule},
        sim::{CrashOptions, Profile},
    },
    tasks::SimTasks,
};
use stemedb_wal::{
    Error, Journal, JournalIdentity, JournalOptions, JournalReader, RecoveryReport, SegmentedJournal,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
const DIR: &str = "/db/wal";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Small,
    GroupOfThree,
    Large,
    Rotate,
    Release,
    /// Time passes: the idle marker is written.
    Idle,
    CloseAndReopen,
    /// The process dies and starts again; the page cache stays.
    KillAndReopen,
}

const OPS: [Op; 8] = [
    Op::Small,
    Op::GroupOfThree,
    Op::Large,
    Op::Rotate,
    Op::Release,
    Op::Idle,
    Op::CloseAndReopen,
    Op::KillAndReopen,
];

fn entry(lsn: u64, bytes: usize) -> Vec<u8> {
    let mut entry = format!("entry {lsn} ").into_bytes();
    entry.extend((0..bytes).map(|at| (at as u64 * 31 + lsn * 7) as u8));
    entry
}

fn env_over(fs: &SimFs) -> (Env, Arc<SimClock>, Arc<SimTasks>) {
    let clock = Arc::new(SimClock::new(Micros(0)));
    let (env, handles) = Env::over(fs.clone(), Arc::clone(&clock), 1);
    (env, clock, handles.tasks)
}

fn open(env: &Env, flushed: Lsn) -> Result<(SegmentedJournal, RecoveryReport), Error> {
    SegmentedJournal::open(env, Path::new(DIR), IDENTITY, flushed, JournalOptions::tiny())
}

fn read_all(journal: &SegmentedJournal) -> Vec<Vec<u8>> {
    let mut reader = journal.read_from(Lsn(1)).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        all.push(entry.bytes.to_vec());
        assert_eq!(entry.lsn, Lsn(all.len() as u64));
    }
    all
}

/// A journal, and what it was told.
struct Run {
    env: Env,
    fs: SimFs,
    clock: Arc<SimClock>,
    tasks: Arc<SimTasks>,
    journal: Option<SegmentedJournal>,
    /// Everything submitted, in order. Equal to what was acknowledged, as nothing fails here.
    submitted: Vec<Vec<u8>>,
    flushed: Lsn,
}

impl Run {
    fn new(fs: SimFs) -> Run {
        let (env, clock, tasks) = env_over(&fs);
        fs.install_dir(Path::new("/db")).unwrap();
        let journal =
            SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
        Run { env, fs, clock, tasks, journal: Some(journal), submitted: Vec::new(), flushed: Lsn::ZERO }
    }

    fn append(&mut self, sizes: &[usize]) {
        let first = self.submitted.len();
        for &bytes in sizes {
            self.submitted.push(entry(self.submitted.len() as u64 + 1, bytes));
        }
        let group: Vec<&[u8]> = self.submitted[first..].iter().map(Vec::as_slice).collect();
        let lsn = self.journal.as_ref().unwrap().append_group(&group).unwrap();
        assert_eq!(lsn, Lsn(first as u64 + 1));
        self.fs.note(self.submitted.len() as u64);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Small => self.append(&[20]),
            Op::GroupOfThree => self.append(&[5, 700, 0]),
            Op::Large => self.append(&[5000]),
            Op::Rotate => self.journal.as_ref().unwrap().rotate().unwrap(),
            Op::Release => {
                self.flushed = Lsn(self.submitted.len() as u64);
                self.journal.as_ref().unwrap().release(self.flushed).unwrap();
            }
            Op::Idle => {
                for _ in 0..3 {
                    self.tasks.settle(10);
                    self.clock.sleep(Duration::from_millis(6));
                }
            }
            Op::CloseAndReopen => {
                self.journal.take().unwrap().close().unwrap();
                self.reopen();
            }
            Op::KillAndReopen => {
                self.journal = None;
                self.reopen();
            }
        }
    }

    fn reopen(&mut self) {
        let (journal, report) = open(&self.env, self.flushed).unwrap();
        assert_eq!(report.last_lsn, Lsn(self.submitted.len() as u64));
        self.journal = Some(journal);
    }
}

/// Opens one outcome of a power cut and checks everything that the journal promises about it. Returns M.
fn check(
    fs: &SimFs,
    submitted: &[Vec<u8>],
    acknowledged: u64,
    flushed: Lsn,
    what: &dyn Fn() -> String,
) -> u64 {
    let (env, ..) = env_over(fs);
    let (journal, report) = open(&env, flushed).unwrap_or_else(|error| panic!("{}: {error}", what()));
    let m = report.last_lsn.0;
    assert!(m >= acknowledged, "{}: {m} of {acknowledged} acknowledged entries", what());
    assert!(m <= submitted.len() as u64, "{}: {m} entries were never submitted", what());
    assert_eq!(journal.durable_lsn(), report.last_lsn, "{}", what());
    assert!(read_all(&journal) == submitted[..m as usize], "{}: wrong entries", what());
    // What a reader has seen is never lost, not even if the power fails again now.
    {
        let again = fs.crash_losing_all();
        let (env, ..) = env_over(&again);
        let (_, report) = open(&env, flushed).unwrap_or_else(|error| panic!("{}, again: {error}", what()));
        assert_eq!(report.last_lsn.0, m, "{}: a second power cut", what());
    }
    let more = [entry(m + 1, 20), entry(m + 2, 600)];
    for (at, entry) in more.iter().enumerate() {
        assert_eq!(journal.append_group(&[entry]).unwrap(), Lsn(m + 1 + at as u64), "{}", what());
    }
    drop(journal);
    let after = fs.crash_losing_all();
    let (env, ..) = env_over(&after);
    let (journal, report) = open(&env, flushed).unwrap_or_else(|error| panic!("{}, later: {error}", what()));
    assert_eq!(report.last_lsn.0, m + 2, "{}: entries after recovery", what());
    let all = read_all(&journal);
    assert!(all[..m as usize] == submitted[..m as usize] && all[m as usize..] == more, "{}", what());
    m
}

#[derive(Default)]
struct Counted {
    sequences: AtomicU64,
    points: AtomicU64,
    states: AtomicU64,
    nested: AtomicU64,
    torn: AtomicU64,
}

/// Runs a sequence and cuts the power at every point of its last operation; the points of the earlier ones belong to
/// the shorter sequences.
fn explore(profile: Profile, sequence: &[Op], options: &CrashOptions, nested_every: u64, counted: &Counted) {
    let mut run = Run::new(SimFs::with_profile(profile));
    let Some((last, before)) = sequence.split_last() else { return };
    before.iter().for_each(|&op| run.step(op));
    // A release says that the views' manifest is durable, so recovery is told the same.
    let flushed_before = run.flushed;
    run.fs.record(true);
    run.step(*last);
    run.fs.record(false);
    counted.sequences.fetch_add(1, Ordering::Relaxed);
    let mut seen: BTreeMap<u128, u64> = BTreeMap::new();
    for point in run.fs.take_crash_points() {
        counted.points.fetch_add(1, Ordering::Relaxed);
        for state in point.fs.crash_states(options) {
            if seen.get(&state.hash).is_some_and(|&acknowledged| acknowledged >= point.note) {
                continue;
            }
            seen.insert(state.hash, point.note);
            let number = counted.states.fetch_add(1, Ordering::Relaxed);
            let what = || format!("{sequence:?} after {:?}, {:?}", point.operation, state.selection);
            let pristine = state.fs.crash_keeping_all();
            let m = check(&state.fs, &run.submitted, point.note, flushed_before, &what);
            counted.torn.fetch_add(u64::from(m < run.submitted.len() as u64), Ordering::Relaxed);
            if number.is_multiple_of(nested_every) {
                // The power fails again inside recovery.
                pristine.record(true);
                let (env, ..) = env_over(&pristine);
                drop(open(&env, flushed_before).unwrap());
                for inner in pristine.take_crash_points() {
                    for state in inner.fs.crash_states(options) {
                        counted.nested.fetch_add(1, Ordering::Relaxed);
                        let what = || format!("{} then {:?}, {:?}", what(), inner.operation, state.selection);
                        check(&state.fs, &run.submitted, point.note, flushed_before, &what);
                    }
                }
            }
        }
    }
}

fn sequences(ops: &[Op], length: usize) -> Vec<Vec<Op>> {
    if length == 0 {
        return vec![Vec::new()];
    }
    let shorter = sequences(ops, length - 1);
    shorter.iter().flat_map(|head| ops.iter().map(move |&op| [&head[..], &[op]].concat())).collect()
}

fn explore_all(profile: Profile, work: &[Vec<Op>], options: &CrashOptions, nested_every: u64) -> Counted {
    let counted = Counted::default();
    for sequence in work {
        explore(profile, sequence, options, nested_every, &counted);
    }
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{profile:?}: {} sequences, {} crash points, {} states, {} nested states, {} with less than all submitted",
        get(&counted.sequences),
        get(&counted.points),
        get(&counted.states),
        get(&counted.nested),
        get(&counted.torn),
    );
    counted
}

#[test]
fn every_power_cut_in_every_short_sequence_keeps_what_was_acknowledged() {
    let options = CrashOptions { exhaustive_units: 10, samples: 24, seed: 1 };
    // Longer ones, and a million states, are the business of `cargo xtask torture`.
    let mut work: Vec<Vec<Op>> = (1..=2).flat_map(|length| sequences(&OPS, length)).collect();
    let without_kills: Vec<Op> =
        OPS.into_iter().filter(|op| !matches!(op, Op::Idle | Op::KillAndReopen)).collect();
    work.extend(sequences(&without_kills, 3));
    let counted = explore_all(Profile::Adversarial, &work, &options, 50);
    assert_eq!(counted.sequences.load(Ordering::Relaxed), 8 + 64 + 216);
    assert!(counted.states.load(Ordering::Relaxed) > 2_000);
    assert!(counted.nested.load(Ordering::Relaxed) > 100);
    assert!(counted.torn.load(Ordering::Relaxed) > 20, "no crash state ever cost anything");
}

#[test]
fn so_do_disks_that_keep_an_order_or_have_large_sectors() {
    let options = CrashOptions { exhaustive_units: 5, samples: 4, seed: 2 };
    for profile in [Profile::Ext4Like, Profile::FourKn, Profile::Prefix] {
        let work: Vec<Vec<Op>> = (1..=2).flat_map(|length| sequences(&OPS, length)).collect();
        explore_all(profile, &work, &options, 20);
    }
}

#[test]
fn a_power_cut_while_a_journal_is_created_leaves_it_absent_empty_or_to_be_created_again() {
    let fs = SimFs::new();
    fs.install_dir(Path::new("/db")).unwrap();
    fs.record(true);
    let (env, ..) = env_over(&fs);
    let create =
        |env: &Env| SegmentedJournal::create(env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).map(drop);
    create(&env).unwrap();
    let (mut absent, mut empty) = (0, 0);
    for point in fs.take_crash_points() {
        for state in point.fs.crash_states(&CrashOptions::default()) {
            let (env, ..) = env_over(&state.fs);
            match open(&env, Lsn::ZERO) {
                Ok((journal, report)) => {
                    empty += 1;
                    assert_eq!(report.last_lsn, Lsn::ZERO);
                    assert_eq!(journal.append("first").unwrap(), Lsn(1));
                }
                Err(Error::NoJournal { .. }) => {
                    absent += 1;
                    create(&env).unwrap();
                }
                Err(error) => panic!("{:?} {:?}: {error}", point.operation, state.selection),
            }
        }
    }
    assert!(absent > 3 && empty > 3, "{absent} {empty}");
}

/// What became of each submitted entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

/// One I/O call of a fixed script fails; then the power fails, or only the process.
#[test]
fn every_failing_call_leaves_each_entry_acknowledged_refused_or_honestly_unknown() {
    let faults = [
        (Fault::Eio, FaultClass::Eio),
        (Fault::StorageFull, FaultClass::StorageFull),
        (Fault::Short, FaultClass::Short),
        (Fault::Interrupted, FaultClass::Interrupted),
        (Fault::SyncFailsThenLies, FaultClass::SyncFailsThenLies),
    ];
    for (fault, class) in faults {
        let mut hits = 0;
        for nth in 0.. {
            let sim = SimFs::new();
            sim.install_dir(Path::new("/db")).unwrap();
            let faulty = Arc::new(FaultFs::new(Arc::new(sim.clone()), 1));
            let (env, ..) = env_over(&sim);
            SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny())
                .map(drop)
                .unwrap();
            let env = Env { fs: Arc::clone(&faulty) as Arc<dyn Fs>, ..env };
            faulty.add(FaultRule::new(fault).after(nth).times(1));
            let mut fates: Vec<(Vec<u8>, Fate)> = Vec::new();
            if let Ok((journal, _)) = open(&env, Lsn::ZERO) {
                for round in 0..9u64 {
                    let bytes = entry(1000 + round, if round % 3 == 2 { 5000 } else { 30 });
                    let fate = match journal.append_group(&[&bytes]) {
                        Ok(_) => Fate::Acknowledged,
                        Err(Error::Indeterminate { .. }) => Fate::Unknown,
                        Err(Error::ReadOnly { .. } | Error::Env(_)) => Fate::Refused,
                        Err(error) => panic!("{fault:?} {nth}: {error}"),
                    };
                    fates.push((bytes, fate));
                    if round == 5 {
                        let _ = journal.release(Lsn(2));
                    }
                }
                let _ = journal.close();
            }
            let injected = faulty.fault_counts().class(class);
            hits += injected;
            for image in [sim.crash_losing_all(), sim.crash_keeping_all(), sim.clone()] {
                let (env, ..) = env_over(&image);
                let (journal, _) =
                    open(&env, Lsn::ZERO).unwrap_or_else(|error| panic!("{fault:?} {nth}: {error}"));
                let found = read_all(&journal);
                let mut rest = found.iter();
                let mut next = rest.next();
                for (bytes, fate) in &fates {
                    let there = next == Some(bytes);
                    match fate {
                        Fate::Acknowledged => {
                            assert!(there, "{fault:?} {nth}: an acknowledged entry is lost")
                        }
                        Fate::Refused => assert!(!there, "{fault:?} {nth}: a refused entry is there"),
                        Fate::Unknown => {}
                    }
                    if there {
                        next = rest.next();
                    }
                }
                assert!(next.is_none(), "{fault:?} {nth}: an entry that was never submitted");
                assert_eq!(journal.append("later").unwrap(), Lsn(found.len() as u64 + 1));
            }
            if injected == 0 {
                break;
            }
        }
        println!("{fault:?}: {hits} calls failed, one at a time");
        assert!(hits > 20, "{fault:?} was injected only {hits} times");
    }
}

fn segment(id: u64) -> std::path::PathBuf {
    Path::new(DIR).join(format!("live.{id:06}.wal"))
}

#[test]
fn a_group_whose_sync_fails_is_written_to_a_new_segment_and_acknowledged() {
    let mut run = Run::new(SimFs::new());
    run.step(Op::Small);
    run.fs.fail_next_sync(&segment(1)).unwrap();
    // Service goes on within the same call, and nobody is told anything.
    run.step(Op::GroupOfThree);
    let journal = run.journal.as_ref().unwrap();
    let stats = journal.stats();
    assert_eq!((stats.failed_syncs, stats.rewrites, stats.gave_up), (1, 1, 0));
    assert_eq!(journal.segments().unwrap().last().unwrap().id, 2);
    assert!(read_all(journal) == run.submitted);
    // The failed file is never written to or synced again.
    let before = run.fs.read_all(&segment(1)).unwrap();
    run.step(Op::Large);
    assert!(run.fs.read_all(&segment(1)).unwrap() == before);
    // What the failed sync has lost is not missed, whatever becomes of the page cache.
    run.fs.evict(&segment(1)).unwrap();
    for image in [run.fs.crash_losing_all(), run.fs.crash_keeping_all()] {
        let (env, ..) = env_over(&image);
        let (journal, report) = open(&env, Lsn::ZERO).unwrap();
        assert_eq!(report.last_lsn.0, run.submitted.len() as u64);
        assert!(read_all(&journal) == run.submitted);
    }
}

/// A journal whose disk refuses every write and sync of segments for a while.
#[test]
fn a_group_that_cannot_be_written_stays_pending_and_is_written_first_when_the_disk_answers() {
    for fault in [Fault::Eio, Fault::StorageFull, Fault::SyncFailsThenLies] {
        let sim = SimFs::new();
        sim.install_dir(Path::new("/db")).unwrap();
        let faulty = Arc::new(FaultFs::new(Arc::new(sim.clone()), 1));
        let (env, clock, tasks) = env_over(&sim);
        let env = Env { fs: Arc::clone(&faulty) as Arc<dyn Fs>, ..env };
        let journal =
            SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, JournalOptions::tiny()).unwrap();
        assert_eq!(journal.append("one").unwrap(), Lsn(1));
        faulty.add(FaultRule::new(fault).on(IoOp::SyncData));
        let Err(Error::Indeterminate { first_lsn: Lsn(2), last_lsn: Lsn(3), .. }) =
            journal.append_group(&[b"two", b"three"])
        else {
            panic!("{fault:?}")
        };
        // Nobody sees it, nothing is accepted, and the reason can be read.
        assert_eq!((read_all(&journal).len(), journal.durable_lsn()), (1, Lsn(1)));
        assert!(matches!(journal.append("four"), Err(Error::ReadOnly { .. })));
        assert!(matches!(journal.rotate(), Err(Error::ReadOnly { .. })));
        let stats = journal.stats();
        assert_eq!((stats.rewrites, stats.gave_up, stats.resumed), (0, 1, 0));
        assert!(stats.read_only.is_some());
        // A crash now: the group is there or not, and everything acknowledged is.
        for image in [sim.crash_losing_all(), sim.crash_keeping_all()] {
            let (env, ..) = env_over(&image);
            let found = read_all(&open(&env, Lsn::ZERO).unwrap().0);
            assert!(found.len() == 1 || found.len() == 3, "{fault:?}: {}", found.len());
        }
        // While the disk refuses, trying again changes nothing.
        clock.sleep(Duration::from_secs(1));
        tasks.settle(20);
        assert_eq!(journal.durable_lsn(), Lsn(1));
        // When it answers, the journal goes on by itself within its interval, and the LSNs are what was said.
        faulty.clear();
        clock.sleep(JournalOptions::tiny().resume_every);
        tasks.settle(20);
        assert_eq!((journal.durable_lsn(), journal.stats().resumed), (Lsn(3), 1));
        assert_eq!(journal.append("four").unwrap(), Lsn(4));
        let (env, ..) = env_over(&sim.crash_losing_all());
        let (journal, _) = open(&env, Lsn::ZERO).unwrap();
        assert_eq!(read_all(&journal), [&b"one"[..], b"two", b"three", b"four"]);
    }
}

#[test]
fn a_full_disk_refuses_or_stops_and_costs_nothing_that_was_acknowledged() {
    let mut refused = 0;
    for free in (0..12_000).step_by(500) {
        let run = Run::new(SimFs::new());
        let journal = run.journal.as_ref().unwrap();
        run.fs.set_capacity(Some(run.fs.total_bytes() + free));
        let mut acknowledged = Vec::new();
        for at in 0..30 {
            let bytes = entry(at, 400);
            match journal.append_group(&[&bytes]) {
                Ok(lsn) => acknowledged.push((lsn, bytes)),
                Err(_) => refused += 1,
            }
        }
        run.fs.set_capacity(None);
        let (env, ..) = env_over(&run.fs.crash_losing_all());
        let (journal, report) = open(&env, Lsn::ZERO).unwrap();
        let found = read_all(&journal);
        assert!(report.last_lsn.0 >= acknowledged.len() as u64);
        for (lsn, bytes) in acknowledged {
            assert!(found[lsn.0 as usize - 1] == bytes);
        }
    }
    assert!(refused > 100);
}

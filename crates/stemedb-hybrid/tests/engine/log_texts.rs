//! The words that operators' alerts look for are in the log, on exactly the failures that they name. Everything happens on the
//! simulated machine, so in this thread, and so does what is logged.

use std::{
    ops::RangeInclusive,
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use parking_lot::Mutex;
use stemedb_env::{
    Clock, Env, IoOp, Lsn, Micros, SimHandles,
    clock::SimClock,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{ClaimEngine, HybridOptions, LsmEngine, ViewHealth};
use stemedb_index::{
    Admit, Admitted, Claims, Derive, EntryProblem, Error as IndexError, KeyValues, Result, ViewRow,
};
use stemedb_lsm::{KvSnapshot, WriteBatch};
use tracing_subscriber::fmt::MakeWriter;

use super::setup::{assert_claims, create, dir, open, submission};

/// Every text that some failure must bring about.
const TEXTS: [&str; 8] = [
    "Failed to write to KV store",
    "LSM tree compaction failed",
    "Index update failed",
    "Corruption: block checksum mismatch",
    "Corruption: invalid SST file header",
    "Failed to acquire write lock within timeout",
    "Deadlock detected in KV store",
    "No space left on device",
];

/// What was logged, as JSON lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

impl Log {
    /// What this thread logs from now on while the guard lives, as the server logs it.
    fn begin() -> (Log, impl Sized) {
        let log = Log::default();
        let guard = log.also_here();
        (log, guard)
    }

    /// What this thread logs goes here, too.
    fn also_here(&self) -> impl Sized + use<> {
        let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(self.clone());
        tracing::subscriber::set_default(lines.finish())
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    /// The errors with `text`, of which there must be one; and there must be no other of the texts than those of `also`.
    #[track_caller]
    fn only(&self, text: &str, also: &[&str]) -> Vec<String> {
        let lines = self.lines();
        let of_it: Vec<String> = lines.iter().filter(|line| line.contains(text)).cloned().collect();
        assert!(!of_it.is_empty(), "{text:?} is missing in {lines:#?}");
        for line in &of_it {
            assert!(line.contains("\"level\":\"ERROR\"") && line.contains("StorageError"), "{line}");
        }
        for other in TEXTS.iter().filter(|other| **other != text && !also.contains(other)) {
            assert!(
                !lines.iter().any(|line| line.contains(other)),
                "{other:?} was not the failure: {lines:#?}"
            );
        }
        of_it
    }
}

fn faulty(seed: u64) -> (Env, SimHandles, Arc<FaultFs>) {
    let (env, sim) = Env::sim(seed);
    let faults = Arc::new(FaultFs::new(Arc::new(sim.fs.clone()), seed));
    (Env { fs: Arc::clone(&faults) as _, ..env }, sim, faults)
}

fn grown(engine: &ClaimEngine, sim: &SimHandles) {
    for n in 0..60 {
        assert_claims(engine, [n * 2, n * 2 + 1]);
        sim.tasks.settle(1_000);
    }
    engine.flush().unwrap();
    sim.tasks.settle(100_000);
}

#[test]
fn a_view_that_cannot_take_rows_says_that_the_kv_store_was_not_written() {
    let (env, sim, faults) = faulty(1);
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::tiny()).unwrap();
    let (log, _guard) = Log::begin();
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Write).path(".sst"));
    let failed = (0..2_000).any(|n| {
        sim.tasks.settle(100);
        engine.commit(submission([n])).is_err()
    });
    assert!(failed, "memtables without an end");
    log.only("Failed to write to KV store", &["LSM tree compaction failed"]);
    let words = "Custom { kind: Other, error: \\\"IO error: ";
    assert!(log.lines().iter().any(|line| line.contains(words)), "{:#?}", log.lines());
}

#[test]
fn a_compaction_that_fails_says_so_with_the_words_of_the_system() {
    let (env, sim, faults) = faulty(2);
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::tiny()).unwrap();
    grown(&engine, &sim);
    let (log, _guard) = Log::begin();
    faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write).path(".sst"));
    engine.compact_until(true, &|_| {}, &|| false).unwrap_err();
    let told = log.only("LSM tree compaction failed", &["No space left on device"]);
    let words = "Custom { kind: Other, error: \\\"IO error: No space left on device\\\" }";
    assert!(told.iter().any(|line| line.contains(words)), "{told:#?}");
}

/// The sync of a frame without entries, too: nobody waits for that one, so nobody else would say it.
#[test]
fn a_sync_of_the_journal_that_nobody_waits_for_is_in_the_log_when_it_fails() {
    let (env, sim, faults) = faulty(6);
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::default()).unwrap();
    assert_claims(&engine, [1]);
    let (log, _guard) = Log::begin();
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::SyncData).path("/wal/live").times(1));
    for _ in 0..20 {
        sim.clock.advance(Duration::from_millis(100));
        sim.tasks.settle(500);
    }
    let lines = log.lines();
    let is_told =
        |line: &String| line.contains("StorageError: a journal sync failed") && line.contains("WARN");
    assert!(lines.iter().any(is_told), "{lines:#?}");
    assert_claims(&engine, [2]);
}

#[test]
fn an_entry_that_cannot_be_derived_says_that_the_index_was_not_updated() {
    let (env, _sim) = Env::sim(3);
    let engine: LsmEngine<Defective> =
        LsmEngine::create(&env, dir(), Defective, &HybridOptions::tiny()).unwrap();
    let (log, _guard) = Log::begin();
    let put = |key: &[u8]| {
        let mut batch = WriteBatch::new();
        batch.put(key, b"value");
        engine.commit(batch)
    };
    put(b"fine").unwrap();
    assert_eq!(log.lines().iter().filter(|line| line.contains("ERROR")).count(), 0);
    put(b"defect").unwrap_err();
    log.only("Index update failed", &[]);
}

/// Rows as they are, but for one that it cannot derive.
struct Defective;

impl Derive for Defective {
    const VERSION: u32 = 1;

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> Result<()> {
        if entry.windows(6).any(|part| part == b"defect") {
            return Err(IndexError::BadEntry { lsn, problem: EntryProblem::Truncated });
        }
        KeyValues.derive(lsn, entry, rows)
    }

    fn derive_within(
        &self,
        lsn: Lsn,
        entry: &[u8],
        keys: &RangeInclusive<&[u8]>,
        rows: &mut WriteBatch,
    ) -> Result<()> {
        KeyValues.derive_within(lsn, entry, keys, rows)
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> Result<Option<Vec<u8>>> {
        KeyValues.invert(lsn, rows)
    }

    fn recorded_at(&self, lsn: Lsn, entry: &[u8]) -> Result<Option<Micros>> {
        KeyValues.recorded_at(lsn, entry)
    }

    fn filtered_prefix_bytes(key: &[u8]) -> usize {
        KeyValues::filtered_prefix_bytes(key)
    }
}

impl Admit for Defective {
    type Request = WriteBatch;
    type Reply = Lsn;
    type InFlight = ();

    fn cost_bytes(request: &WriteBatch) -> usize {
        KeyValues::cost_bytes(request)
    }

    fn admit<S: KvSnapshot>(
        &self,
        request: WriteBatch,
        view: &S,
        in_flight: &mut (),
        lsn: Lsn,
        now: Micros,
    ) -> Result<Admitted<Lsn>> {
        KeyValues.admit(request, view, in_flight, lsn, now)
    }

    fn retire(&self, in_flight: &mut (), lsn: Lsn) {
        KeyValues.retire(in_flight, lsn);
    }

    fn abandon(&self, in_flight: &mut (), lsn: Lsn) {
        KeyValues.abandon(in_flight, lsn);
    }
}

#[test]
fn damage_of_a_table_is_named_with_its_kind_file_and_offset() {
    for (offset, text) in
        [(0, "Corruption: invalid SST file header"), (200, "Corruption: block checksum mismatch")]
    {
        let (engine, env, sim) = create(4);
        grown(&engine, &sim);
        let tables: Vec<u64> = engine.tables().iter().map(|table| table.file).collect();
        engine.close().unwrap();
        for file in &tables {
            let path = dir().join("kv").join(format!("{file:06}.sst"));
            sim.fs.corrupt(&path, offset, 0x40).unwrap();
        }
        let (log, _guard) = Log::begin();
        let (engine, _) = open(&env);
        // Damage that a read meets is healed; whoever looks at the files is told.
        engine.verify().unwrap_err();
        let told = log.only(text, &[]);
        for file in &tables {
            let name = format!("{file:06}.sst at offset ");
            assert!(told.iter().any(|line| line.contains(&name)), "{name} in {told:#?}");
        }
    }
}

/// A clock on which latency lasts until somebody says so.
#[derive(Debug)]
struct Stuck {
    clock: Arc<SimClock>,
    arrived: Mutex<std::sync::mpsc::Sender<()>>,
    release: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Clock for Stuck {
    fn wall(&self) -> Micros {
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, _: Duration) {
        self.arrived.lock().send(()).unwrap();
        self.release.lock().recv().unwrap();
    }
}

#[test]
fn what_waits_too_long_is_told_apart_from_a_pipeline_that_stands_still() {
    let (env, sim) = Env::sim(5);
    let ((arrived, arrivals), (release, released)) = (channel(), channel());
    let (arrived, release_end) = (Mutex::new(arrived), Mutex::new(released));
    let clock = Stuck { clock: Arc::clone(&sim.clock), arrived, release: release_end };
    let faults = Arc::new(FaultFs::with_clock(Arc::new(sim.fs.clone()), Arc::new(clock), 1));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let engine = ClaimEngine::create(&env, dir(), Claims, &HybridOptions::default()).unwrap();
    assert_claims(&engine, [1]);
    sim.tasks.settle(500);
    let (log, _guard) = Log::begin();
    let pass = |ms: u64| {
        for _ in 0..ms / 100 {
            sim.clock.advance(Duration::from_millis(100));
            sim.tasks.settle(500);
        }
    };
    let latency = Fault::Latency(Duration::from_secs(60));
    faults.add(FaultRule::new(latency).on(IoOp::SyncData).path("/wal/live").times(1));
    std::thread::scope(|scope| {
        // Whoever waits steps background jobs, and logs for them.
        let (engine, log) = (&engine, &log);
        let commit = move |n: u64| {
            let _here = log.also_here();
            engine.commit(submission([n]))
        };
        let first = scope.spawn(move || commit(2));
        arrivals.recv().unwrap();
        let second = scope.spawn(move || commit(3));
        while engine.commit_progress().unanswered < 2 {
            std::thread::yield_now();
        }
        pass(6_000);
        second.join().unwrap().unwrap_err();
        log.only("Failed to acquire write lock within timeout", &[]);
        pass(26_000);
        log.only("Deadlock detected in KV store", &["Failed to acquire write lock within timeout"]);
        release.send(()).unwrap();
        first.join().unwrap().unwrap();
    });
    assert_eq!(engine.health().primary, ViewHealth::Healthy);
}

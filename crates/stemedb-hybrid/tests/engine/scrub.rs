//! Reading everything back: what is damaged is found, what is whole is not doubted, and nobody is held up.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stemedb_env::{
    Clock, Env, IoOp, SimHandles, Tasks,
    fs::{
        FaultFs,
        fault::{Fault, FaultRule},
    },
};
use stemedb_hybrid::{ClaimEngine, EventKind, FileClass, HybridOptions, ScrubOptions, ScrubStatus};
use stemedb_index::Claims;
use stemedb_wal::{
    Retention,
    inspect::{Finding, inspect},
};

use super::setup::{assert_claims, create, dir, found, open, submission};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn engine_with(env: &Env, scrub: ScrubOptions) -> ClaimEngine {
    let options = HybridOptions { scrub, ..HybridOptions::tiny() };
    ClaimEngine::create(env, dir(), Claims, &options).unwrap()
}

fn reopened(env: &Env, scrub: ScrubOptions) -> ClaimEngine {
    let options = HybridOptions { scrub, ..HybridOptions::tiny() };
    ClaimEngine::open(env, dir(), Claims, &options).unwrap().0
}

/// Tables on several levels, segments of every kind.
fn grow(engine: &ClaimEngine, sim: &SimHandles, rounds: u64) {
    for n in 0..rounds {
        engine.commit(submission(n * 40..n * 40 + 40)).unwrap();
        sim.tasks.settle(2_000);
        if n % 9 == 8 {
            engine.flush().unwrap();
        }
    }
    // Segments are packed a piece at a time.
    run_until(sim, sim.clock.monotonic() + Duration::from_secs(2));
}

fn quiet(period: Duration) -> ScrubOptions {
    ScrubOptions { enabled: true, period, ..ScrubOptions::default() }
}

fn table_path(file: u64) -> PathBuf {
    dir().join("kv").join(format!("{file:06}.sst"))
}

/// Lets the time pass until the next job is due, and that job work; up to a moment.
fn run_until(sim: &SimHandles, end: Duration) {
    loop {
        sim.tasks.settle(1_000_000);
        match sim.tasks.next_due().filter(|due| *due <= end) {
            Some(due) => sim.clock.advance(due.saturating_sub(sim.clock.monotonic())),
            None => break,
        }
    }
    sim.clock.advance(end.saturating_sub(sim.clock.monotonic()));
    sim.tasks.settle(1_000_000);
}

#[test]
fn every_file_is_read_and_a_whole_database_has_no_findings() {
    let (engine, env, sim) = create(70);
    grow(&engine, &sim, 30);
    assert_claims(&engine, [100_000]);
    sim.fs.install(&dir().join("quarantine/old.sst"), b"evidence").unwrap();
    sim.fs.install(&dir().join("sidecar/a list of somebody"), b"list").unwrap();
    sim.fs.install(&dir().join("a folder/of somebody"), &[7; 70_000]).unwrap();
    let report = engine.scrub_now().unwrap();
    assert_eq!((report.damages, report.findings.len(), report.rereads), (0, 0, 0));
    let files: BTreeMap<FileClass, u64> =
        report.classes.iter().map(|(class, count)| (*class, count.files)).collect();
    assert_eq!(
        (files[&FileClass::Identity], files[&FileClass::Head], files[&FileClass::Manifest]),
        (2, 1, 2)
    );
    assert_eq!(files[&FileClass::Table], engine.tables().len() as u64);
    let segments = engine.journal().segments().unwrap();
    let packed =
        segments.iter().filter(|segment| segment.path.extension().is_some_and(|end| end == "zst")).count();
    assert_eq!(files[&FileClass::PackedSegment], packed as u64);
    assert_eq!(files[&FileClass::Segment], (segments.len() - packed) as u64);
    assert!(packed > 0 && segments.len() > packed && files[&FileClass::Table] > 1, "{files:?}");
    assert_eq!(files[&FileClass::Quarantine], 1);
    let sidecars = sidecars(&sim);
    assert_eq!(files[&FileClass::Sidecar], sidecars.len() as u64);
    let bytes: usize = sidecars.iter().map(|path| sim.fs.read_all(path).unwrap().len()).sum();
    assert_eq!(report.classes[&FileClass::Sidecar].bytes, bytes as u64, "every byte of every sidecar");
    assert!(bytes > 0);
    let tables: u64 = engine.tables().iter().map(|table| table.bytes).sum();
    assert_eq!(report.classes[&FileClass::Table].bytes, tables, "every byte of every table");
    assert_eq!(report.rows, engine.tables().iter().map(|table| table.rows).sum::<u64>());
    assert_eq!(report.entries, engine.durable_lsn().0);
    let other = &report.classes[&FileClass::Other];
    assert_eq!(other.bytes, 4 + 70_000 + sim.fs.read_all(&dir().join("LOCK")).unwrap().len() as u64);
    assert_eq!(engine.verify().unwrap().entries, engine.durable_lsn().0);
    assert!(engine.scrub_status().last_full_round.is_some());
    let before = engine.stats().lsm;
    engine.scrub_now().unwrap();
    let after = engine.stats().lsm;
    assert_eq!(
        (after.cache_hits, after.cache_misses, after.cache_memory_bytes, after.block_reads),
        (before.cache_hits, before.cache_misses, before.cache_memory_bytes, before.block_reads),
        "the cache is neither asked nor filled"
    );
    drop(engine);
    assert_eq!(open(&env).0.scrub_now().unwrap().damages, 0);
}

/// Bytes of each segment file that are part of the journal.
fn accepted(env: &Env) -> BTreeMap<PathBuf, u64> {
    let mut ends: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut present = PathBuf::new();
    let mut is_told = false;
    inspect(env, &dir().join("wal"), &[], &mut |found| match found {
        Finding::Segment(segment) => {
            present = segment.path.clone();
            is_told = segment.accepted_bytes.is_some();
            ends.insert(present.clone(), segment.accepted_bytes.unwrap_or(0));
        }
        Finding::Frame(frame) if !is_told => {
            ends.insert(present.clone(), frame.offset + frame.frame_bytes);
        }
        _ => {}
    })
    .unwrap();
    ends
}

#[test]
fn one_flipped_bit_anywhere_in_any_class_of_file_is_found_within_a_round() {
    let (engine, env, sim) = create(71);
    grow(&engine, &sim, 22);
    // Sealed segments that are not packed.
    for n in 500..506 {
        engine.commit(submission(n * 40..n * 40 + 40)).unwrap();
    }
    assert_claims(&engine, [100_000]);
    sim.tasks.settle(100_000);
    let ends = accepted(&env);
    // Every header is known: the damage of one is not that of its neighbours.
    engine.journal().segments().unwrap();
    let mut flips: BTreeMap<FileClass, u64> = BTreeMap::new();
    let paths: Vec<PathBuf> = sim.fs.paths();
    let live: Vec<PathBuf> = engine.tables().iter().map(|table| table_path(table.file)).collect();
    let (mut sampled, mut harmless) = (0, 0);
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let class = match name {
            "IDENTITY.a" | "IDENTITY.b" => FileClass::Identity,
            "HEAD" => FileClass::Head,
            "CURRENT" => FileClass::Manifest,
            _ if name.starts_with("MANIFEST-") => FileClass::Manifest,
            _ if live.contains(path) => FileClass::Table,
            _ if name.ends_with(".wal.zst") => FileClass::PackedSegment,
            _ if name.ends_with(".wal") => FileClass::Segment,
            _ => continue,
        };
        let bytes = match sim.fs.read_all(path) {
            Ok(bytes) => bytes,
            // The manifest has been renewed.
            Err(_) => continue,
        };
        let end = match class {
            FileClass::Segment => ends[path],
            _ => bytes.len() as u64,
        };
        sampled += 1;
        // Every region of a small file; of a large one what is at its ends closely, and the middle here and there.
        let mut at = sampled % 5;
        while at < end {
            let near = at < 200 || end - at < 600;
            sim.fs.corrupt(path, at, 1 << (at % 8)).unwrap();
            let report = engine.scrub_now().unwrap();
            if class == FileClass::PackedSegment && report.damages == 0 {
                // A bit of a zstd frame's header that means nothing: every frame of the journal in it verifies.
                harmless += 1;
                sim.fs.corrupt(path, at, 1 << (at % 8)).unwrap();
                at += 13;
                continue;
            }
            assert_eq!(report.damages, 1, "{class}: {} at {at} of {end}", path.display());
            let finding = &report.findings[0];
            assert_eq!(finding.class, class);
            match class {
                FileClass::Identity | FileClass::Head | FileClass::Manifest => {
                    assert!(finding.healed, "{finding:?}");
                    assert_eq!(engine.scrub_now().unwrap().damages, 0, "it is mended");
                }
                _ => {
                    assert_eq!((&finding.file, finding.healed), (path, false));
                    sim.fs.corrupt(path, at, 1 << (at % 8)).unwrap();
                }
            }
            *flips.entry(class).or_default() += 1;
            if class == FileClass::Manifest && name != "CURRENT" {
                // It is another file now.
                break;
            }
            at += match class {
                FileClass::Identity => 3,
                FileClass::Head => 331,
                FileClass::Manifest => 5,
                _ if near => 13,
                _ => 997,
            };
        }
    }
    for (class, least) in [
        (FileClass::Identity, 20),
        (FileClass::Head, 20),
        (FileClass::Manifest, 3),
        (FileClass::Table, 100),
        (FileClass::Segment, 50),
        (FileClass::PackedSegment, 50),
    ] {
        assert!(flips.get(&class).is_some_and(|count| *count >= least), "{class}: {flips:?}");
    }
    assert!(harmless * 50 <= flips[&FileClass::PackedSegment], "{harmless} of {flips:?}");
    let evidence = env.fs.list(&dir().join("quarantine")).unwrap();
    assert!(evidence.iter().any(|file| file.name.starts_with("MANIFEST-")), "{evidence:?}");
    let kinds: Vec<EventKind> = engine.events().after(0).iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&EventKind::Damage) && kinds.contains(&EventKind::Repaired));
    let claims = found(&engine);
    engine.close().unwrap();
    assert_eq!(found(&open(&env).0), claims);
}

#[test]
fn every_frame_of_the_manifest_is_checked() {
    let (engine, _env, sim) = create(72);
    let mut checked = 0;
    for n in 0..40 {
        engine.commit(submission(n * 40..n * 40 + 40)).unwrap();
        engine.flush().unwrap();
        sim.tasks.settle(10_000);
        let name = |path: &&PathBuf| path.to_string_lossy().contains("/kv/MANIFEST-");
        let path = sim.fs.paths().iter().find(name).unwrap().clone();
        let len = sim.fs.read_all(&path).unwrap().len() as u64;
        sim.fs.corrupt(&path, n * 131 % len, 4).unwrap();
        let report = engine.scrub_now().unwrap();
        assert_eq!(report.damages, 1, "{} of {len}", n * 131 % len);
        assert_eq!(engine.scrub_now().unwrap().damages, 0);
        checked += 1;
    }
    assert_eq!(checked, 40);
}

#[test]
fn damage_is_noted_where_repairs_begin() {
    let (engine, _env, sim) = create(73);
    grow(&engine, &sim, 20);
    let table = engine.tables()[0].clone();
    let path = table_path(table.file);
    let root = engine.state_root().unwrap();
    sim.fs.corrupt(&path, table.bytes / 2, 1).unwrap();
    let segment = engine.journal().segments().unwrap()[1].clone();
    let bytes = sim.fs.read_all(&segment.path).unwrap();
    sim.fs.corrupt(&segment.path, bytes.len() as u64 / 2, 1).unwrap();
    let report = engine.scrub_now().unwrap();
    let classes: Vec<FileClass> = report.findings.iter().map(|finding| finding.class).collect();
    assert!(classes.contains(&FileClass::Table), "{classes:?}");
    let damaged = engine.journal().damaged();
    assert_eq!(damaged.keys().copied().collect::<Vec<_>>(), [segment.id]);
    assert_eq!(engine.stats().lsm.damaged_tables, 1);
    assert_eq!(engine.scrub_findings(), report.findings);
    let events = engine.events().after(0);
    for finding in &report.findings {
        let told = |event: &&stemedb_hybrid::Event| event.file.as_ref() == Some(&finding.file);
        assert_eq!(events.iter().find(told).unwrap().kind, EventKind::Damage);
    }
    // What was only a moment's doubt is taken back, and a repair is seen.
    sim.fs.corrupt(&segment.path, bytes.len() as u64 / 2, 1).unwrap();
    assert_eq!(engine.repair_damaged().unwrap(), [table.file]);
    assert_eq!(engine.scrub_now().unwrap().damages, 0);
    assert!(engine.journal().damaged().is_empty());
    assert_eq!(engine.state_root().unwrap(), root);
    // Gone.
    let table = engine.tables()[0].clone();
    sim.fs.delete(&table_path(table.file)).unwrap();
    let report = engine.scrub_now().unwrap();
    assert_eq!(report.damages, 1);
    assert!(report.findings[0].text.contains("missing"), "{report:?}");
}

fn sidecars(sim: &SimHandles) -> Vec<PathBuf> {
    sim.fs.paths().into_iter().filter(|path| path.extension().is_some_and(|end| end == "keys")).collect()
}

#[test]
fn a_damaged_sidecar_is_found_removed_and_made_again() {
    let (engine, _env, sim) = create(79);
    grow(&engine, &sim, 20);
    let root = engine.state_root().unwrap();
    let count = sidecars(&sim).len();
    for round in 0..40usize {
        let paths = sidecars(&sim);
        let path = &paths[round % paths.len()];
        let len = sim.fs.read_all(path).unwrap().len();
        let at = (round * 131 % len) as u64;
        let seen = engine.events().after(0).last().map_or(0, |event| event.number);
        sim.fs.corrupt(path, at, 1 << (at % 8)).unwrap();
        let report = engine.scrub_now().unwrap();
        let finding = &report.findings[0];
        assert_eq!((report.damages, finding.class, finding.healed), (1, FileClass::Sidecar, false));
        assert_eq!(&finding.file, path, "{at} of {len}");
        assert!(!sidecars(&sim).contains(path));
        let told: Vec<_> =
            engine.events().after(seen).into_iter().map(|event| (event.kind, event.file)).collect();
        assert_eq!(told, [(EventKind::Damage, Some(path.clone()))]);
        assert!(engine.verified(report).unwrap_err().to_string().contains("made again"));
        run_until(&sim, sim.clock.monotonic() + Duration::from_secs(5));
        assert_eq!(sidecars(&sim).len(), count);
        assert_eq!(engine.scrub_now().unwrap().damages, 0);
    }
    assert_eq!(engine.state_root().unwrap(), root);
}

fn total_bytes(sim: &SimHandles) -> u64 {
    let paths = sim.fs.paths();
    let read = paths.iter().filter(|path| {
        !path.ends_with("SCRUB")
            && !path.ends_with("RESERVE")
            && path.extension().is_none_or(|end| end != "tmp")
    });
    read.map(|path| sim.fs.read_all(path).unwrap().len() as u64).sum()
}

#[test]
fn a_round_takes_nine_tenths_of_the_period_at_an_even_pace_and_then_rests() {
    let (env, sim) = Env::sim(74);
    let engine = engine_with(&env, quiet(10 * HOUR));
    grow(&engine, &sim, 40);
    let total = total_bytes(&sim);
    let start = sim.clock.monotonic();
    run_until(&sim, start + 30 * Duration::from_secs(1));
    assert_eq!(engine.scrub_status().round, 0, "whoever opens a database has other things to read");
    let mut read = Vec::new();
    // Idle merges write tables meanwhile, which are taken up.
    let mut total = total;
    for hour in 1..=10 {
        run_until(&sim, start + hour * HOUR);
        let status = engine.scrub_status();
        read.push(status.bytes_read);
        total = total.max(status.bytes_total);
    }
    let status = engine.scrub_status();
    assert_eq!((status.round, status.findings, status.late), (1, 0, false));
    let mut last = 0;
    for (hour, now) in read.iter().enumerate() {
        // An hour's part, and a piece: the manifest is one.
        let most = total / 6 + (16 << 10);
        assert!(now - last <= most, "hour {hour}: {} of {total}: {read:?}", now - last);
        last = *now;
    }
    // The slack of live segments is room that is not read, and tables that were merged meanwhile are read once.
    let left = total_bytes(&sim).min(status.bytes_total);
    assert!(read[8] >= left / 3 && read[8] <= total + total / 4, "{read:?} of {left} to {total}");
    assert!(read[3] < read[5] && read[5] < read[7], "evenly: {read:?}");
    assert!(!status.running && status.last_full_round.is_some());
    run_until(&sim, start + 10 * HOUR + 3 * MINUTE);
    assert_eq!(engine.scrub_status().round, 2, "a period later");
    assert!(engine.events().after(0).iter().filter(|event| event.kind == EventKind::Scrub).count() >= 3);
}

#[test]
fn the_ceiling_holds_when_the_period_cannot_be_kept() {
    let (env, sim) = Env::sim(75);
    // 5 % of this: 65 bytes a second.
    let options = ScrubOptions { bandwidth_bytes_per_s: 1300, ..quiet(MINUTE * 2) };
    let engine = engine_with(&env, options);
    grow(&engine, &sim, 30);
    let is_manifest = |path: &&PathBuf| path.to_string_lossy().contains("MANIFEST-");
    let manifest = sim.fs.read_all(sim.fs.paths().iter().find(is_manifest).unwrap()).unwrap().len() as u64;
    let start = sim.clock.monotonic() + MINUTE;
    run_until(&sim, start);
    let mut last = engine.scrub_status().bytes_read;
    for hour in 1..=4 {
        run_until(&sim, start + hour * HOUR / 4);
        let status = engine.scrub_status();
        // The manifest is one piece.
        let most = 65 * 900 + (8 << 10) + manifest;
        assert!(status.bytes_read - last <= most, "{} in a quarter of an hour", status.bytes_read - last);
        last = status.bytes_read;
    }
    assert!(last > 0 && engine.scrub_status().late, "{:?}", engine.scrub_status());
}

#[test]
fn slow_reads_take_no_more_than_their_share_of_the_time() {
    let (env, sim) = Env::sim(76);
    let engine = engine_with(&env, ScrubOptions::off());
    grow(&engine, &sim, 40);
    engine.close().unwrap();
    let slow = Arc::new(FaultFs::with_clock(Arc::new(sim.fs.clone()), Arc::clone(&env.clock), 1));
    let env = Env { fs: Arc::clone(&slow) as _, ..env };
    let engine = reopened(&env, quiet(MINUTE));
    run_until(&sim, sim.clock.monotonic() + MINUTE / 2);
    let took = Duration::from_millis(80);
    slow.add(FaultRule::new(Fault::Latency(took)).on(IoOp::Read));
    let (start, before) = (sim.clock.monotonic() + MINUTE, slow.call_counts().reads("/db/"));
    run_until(&sim, start + HOUR / 2);
    let reads = slow.call_counts().reads("/db/") - before;
    let spent = took.saturating_mul(u32::try_from(reads).unwrap());
    let status = engine.scrub_status();
    assert!(reads > 50 && status.bytes_read > 0, "{reads} reads");
    // Five percent; opening a file is not a piece by itself.
    assert!(spent * 20 <= HOUR / 2 + HOUR / 20, "{reads} reads are {spent:?} of {:?}", HOUR / 2);
}

/// Steps through a round until `until` says so.
fn drive(engine: &ClaimEngine, sim: &SimHandles, until: impl Fn(&ScrubStatus) -> bool) {
    for _ in 0..1_000_000 {
        if until(&engine.scrub_status()) {
            return;
        }
        if !sim.tasks.drive() {
            sim.tasks.pass_time();
        }
    }
    panic!("never: {:?}", engine.scrub_status());
}

#[test]
fn a_restart_goes_on_where_the_round_was() {
    let (env, sim) = Env::sim(77);
    let engine = engine_with(&env, quiet(10 * HOUR));
    grow(&engine, &sim, 40);
    let start = sim.clock.monotonic();
    run_until(&sim, start + 4 * HOUR);
    let before = engine.scrub_status();
    assert!(before.running && before.bytes_done > before.bytes_total / 4, "{before:?}");
    let counting = Arc::new(FaultFs::counting(Arc::new(sim.fs.clone())));
    engine.close().unwrap();
    let env = Env { fs: Arc::clone(&counting) as _, ..env };
    let engine = reopened(&env, quiet(10 * HOUR));
    drive(&engine, &sim, |status| status.running);
    let after = engine.scrub_status();
    assert_eq!((after.round, after.started), (before.round, before.started));
    let largest =
        sim.fs.paths().iter().map(|path| sim.fs.read_all(path).unwrap().len() as u64).max().unwrap();
    assert!(after.bytes_done + largest * 2 + (128 << 10) >= before.bytes_done, "{after:?} after {before:?}");
    drive(&engine, &sim, |status| !status.running);
    let done = engine.scrub_status();
    assert_eq!(done.round, before.round);
    let again = done.bytes_read + before.bytes_done;
    assert!(again <= done.bytes_total + largest * 2 + (256 << 10), "{done:?} after {before:?}");
    // The position is written down at most once a minute.
    let minutes = sim.clock.monotonic().saturating_sub(start).as_secs() / 60;
    let writes = counting.call_counts().syncs("SCRUB");
    assert!(writes > 0 && writes <= minutes + 1, "{writes} writes in {minutes} minutes");
    // A round that is over is not begun again by a restart, but by its time.
    run_until(&sim, sim.clock.monotonic() + 2 * MINUTE);
    engine.close().unwrap();
    let engine = reopened(&env, quiet(10 * HOUR));
    run_until(&sim, sim.clock.monotonic() + 5 * MINUTE);
    assert_eq!(engine.scrub_status().bytes_read, 0);
    assert_eq!(engine.scrub_status().last_full_round, done.last_full_round);
    run_until(&sim, start + 10 * HOUR + 5 * MINUTE);
    assert_eq!(engine.scrub_status().round, before.round + 1);
    // A position that cannot be read costs a round.
    engine.close().unwrap();
    sim.fs.install(&dir().join("SCRUB"), b"nonsense").unwrap();
    let engine = reopened(&env, quiet(10 * HOUR));
    drive(&engine, &sim, |status| status.running);
    assert_eq!(engine.scrub_status().round, 1);
}

#[test]
fn an_error_that_passes_is_told_from_one_that_stays() {
    let (engine, env, sim) = create(78);
    grow(&engine, &sim, 20);
    engine.close().unwrap();
    let faults = Arc::new(FaultFs::with_clock(Arc::new(sim.fs.clone()), Arc::clone(&env.clock), 2));
    let env = Env { fs: Arc::clone(&faults) as _, ..env };
    let (engine, _) = open(&env);
    sim.tasks.settle(100_000);
    let table = engine.tables()[0].clone();
    let name = format!("{:06}.sst", table.file);
    for part in [name.as_str(), "IDENTITY.b", "/wal/HEAD", "CURRENT", ".wal"] {
        faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path(part).times(1));
        let report = engine.scrub_now().unwrap();
        assert_eq!((report.damages, report.transient_errors), (0, 1), "{part}");
        faults.clear();
    }
    assert_eq!(engine.scrub_status().transient_errors, 5);
    assert_eq!(engine.stats().lsm.damaged_tables, 0);
    faults.add(FaultRule::new(Fault::Eio).on(IoOp::Read).path(&name));
    let report = engine.scrub_now().unwrap();
    assert_eq!(report.damages, 1);
    assert_eq!(report.findings[0].file, dir().join("kv").join(&name));
    assert_eq!(engine.stats().lsm.damaged_tables, 1, "what cannot be read is damage");
    faults.clear();
}

#[test]
fn nothing_is_doubted_while_everything_moves() {
    for (seed, retention, pack) in [
        (1, Retention::Keep, Some(1)),
        (2, Retention::Recycle, None),
        (3, Retention::Keep, None),
        (4, Retention::Keep, Some(1)),
    ] {
        let (env, sim) = Env::sim(80 + seed);
        let mut options = HybridOptions::tiny();
        options.journal.retention = retention;
        options.journal.pack_level = pack;
        options.scrub = ScrubOptions {
            period: Duration::from_secs(20),
            share_percent: 100,
            bandwidth_bytes_per_s: 1 << 30,
            enabled: true,
        };
        let engine = ClaimEngine::create(&env, dir(), Claims, &options).unwrap();
        assert!(engine.scrub_begin());
        let mut state = seed * 7_777 + 1;
        let mut dice = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % n
        };
        for n in 0..400 {
            engine.commit(submission(n * 40..n * 40 + 1 + dice(40))).unwrap();
            match dice(60) {
                0 => _ = engine.flush().unwrap(),
                1 => engine.compact().unwrap(),
                2 => engine.journal().rotate().unwrap(),
                3 => {
                    let table = engine.tables().first().map(|table| table.file);
                    table.into_iter().for_each(|file| drop(engine.repair_table(file)));
                }
                _ => {}
            }
            sim.tasks.settle(dice(40) as usize);
            if dice(3) == 0 {
                sim.clock.advance(Duration::from_millis(dice(3_000)));
            }
            if n % 50 == 0 {
                assert_eq!(engine.scrub_now().unwrap().damages, 0);
            }
        }
        let status = engine.scrub_status();
        assert_eq!(status.findings, 0, "seed {seed}: {:?}", engine.scrub_findings());
        assert_eq!(status.rereads, 0, "seed {seed}");
        assert!(status.round >= 3, "seed {seed}: {status:?}");
        engine.close().unwrap();
    }
}

#[test]
fn nothing_is_doubted_beside_threads_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::real();
    let mut options = HybridOptions::tiny();
    options.scrub = ScrubOptions {
        period: Duration::from_millis(1),
        share_percent: 100,
        bandwidth_bytes_per_s: 1 << 40,
        enabled: true,
    };
    let place = folder.path().join("db");
    let engine = Arc::new(ClaimEngine::create(&env, &place, Claims, &options).unwrap());
    engine.scrub_begin();
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2u64)
        .map(|writer| {
            let (engine, over) = (Arc::clone(&engine), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut n = writer * 1_000_000;
                while !over.load(Ordering::Acquire) {
                    engine.commit(submission(n..n + 30)).unwrap();
                    n += 30;
                    if n % 3000 == 0 {
                        engine.flush().unwrap();
                    }
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let report = engine.scrub_now().unwrap();
        assert_eq!(report.damages, 0, "{:?}", report.findings);
        engine.scrub_begin();
    }
    over.store(true, Ordering::Release);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let status = engine.scrub_status();
    assert_eq!(status.findings, 0, "{:?}", engine.scrub_findings());
    let engine = Arc::into_inner(engine).unwrap();
    engine.close().unwrap();
    let (engine, _) = ClaimEngine::open(&env, &place, Claims, &options).unwrap();
    assert_eq!(engine.scrub_now().unwrap().damages, 0);
    assert!(Path::new(&place).join("SCRUB").exists() || status.round <= 1);
}

#[test]
fn a_round_that_is_watched_tells_how_far_it_is_and_can_be_ended() {
    let (engine, _env, sim) = create(91);
    grow(&engine, &sim, 60);
    engine.flush().unwrap();
    let mut told = Vec::new();
    let whole = engine.scrub_watched(&mut |at| {
        told.push(at);
        ControlFlow::Continue(())
    });
    assert_eq!(whole.unwrap().unwrap().damages, 0);
    assert!(told.len() > 3 && told.is_sorted_by_key(|at| at.done_bytes), "{told:?}");
    let (first, last) = (told[0], told[told.len() - 1]);
    assert!(first.left_bytes > last.left_bytes && last.done_bytes > 0, "{first:?} to {last:?}");
    let mut asked = 0;
    let ended = engine.scrub_watched(&mut |_| {
        asked += 1;
        if asked == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(ended.unwrap().is_none());
    assert_eq!(asked, 3);
}

//! `wal dump` and `wal verify`: at rest, beside a server, over damage, over what an operator moves and compresses.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    corpus,
    program::{Ran, example, run, run_with_input},
    server::Server,
};

/// The first lines of the sample: a journal of one segment.
fn import_part(data: &Path, lines: usize) {
    let text = std::fs::read_to_string(example("chemistry-sample.jsonl")).unwrap();
    let part: String = text.lines().take(lines).flat_map(|line| [line, "\n"]).collect();
    run_with_input(["import", "--data-dir", data.to_str().unwrap(), "-"], part.into_bytes()).ok();
}

/// A closed database with released segments: a segment gets its successor when a database is opened and written to, and
/// `compact` flushes the view, which is what releases them.
fn with_released_segments(data: &Path) {
    for part in 0..3 {
        let lines = corpus::lines(part * 1000..(part + 1) * 1000);
        run_with_input(["import", "--data-dir", data.to_str().unwrap(), "-"], lines.into_bytes()).ok();
        run(["compact", "--data-dir", data.to_str().unwrap()]).ok();
    }
    assert!(released(data).len() >= 2, "{:?}", files(data));
}

fn wal(command: &str, data: &Path, options: &[&str]) -> Ran {
    run([&["wal", command, "--data-dir", data.to_str().unwrap()], options].concat())
}

/// The journal's files and their bytes.
fn files(data: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(data.join("wal"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn released(data: &Path) -> Vec<PathBuf> {
    let names: Vec<String> = files(data).into_keys().filter(|name| name.starts_with("segment.")).collect();
    names.iter().map(|name| data.join("wal").join(name)).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// A released segment as it was before the engine compressed it, if it did.
fn unpack(path: &Path) -> PathBuf {
    let Some(plain) = path.to_str().unwrap().strip_suffix(".zst").map(PathBuf::from) else {
        return path.to_path_buf();
    };
    let bytes = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    std::fs::write(&plain, bytes).unwrap();
    std::fs::remove_file(path).unwrap();
    plain
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// What `wal dump --frames` says of the groups: their offsets.
fn groups(dumped: &Ran) -> Vec<usize> {
    let lines = dumped.out.lines().filter(|line| line.contains("  group "));
    lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// The number before a word of the last line.
#[track_caller]
fn sum(ran: &Ran, word: &str) -> u64 {
    let line = ran.out.lines().find(|line| line.contains("on disk") && line.contains(" segment")).unwrap();
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|other| other.starts_with(word)).unwrap();
    words[at - 1].parse().unwrap_or_else(|_| panic!("{line}"))
}

#[test]
fn a_closed_journal_is_shown_by_segment_by_frame_and_by_entry() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    for _ in 0..2 {
        import_part(&data, 200);
        import_part(&data, 400);
    }
    let before = files(&data);

    let segments = wal("dump", &data, &[]).ok();
    let live = before.keys().filter(|name| name.starts_with("live.")).count();
    assert!(live >= 1 && sum(&segments, "segment") >= live as u64, "{segments:?}");
    for name in before.keys().filter(|name| name.starts_with("live.")) {
        assert!(segments.out.lines().any(|line| line.ends_with(name.as_str())), "{segments:?}");
    }
    let entries = sum(&segments, "entr");
    assert_eq!(entries, 2, "{segments:?}");

    let frames = wal("dump", &data, &["--frames"]).ok();
    assert_eq!(groups(&frames).len(), 2, "{frames:?}");
    assert!(frames.out.contains("the journal was closed here"), "{frames:?}");
    assert!(frames.out.contains("1 entry, LSN 2, "), "{frames:?}");

    let one = wal("dump", &data, &["--entries", "--from", "2", "--to", "2"]).ok();
    let shown: Vec<&str> = one.out.lines().filter(|line| line.trim_start().starts_with("LSN")).collect();
    assert_eq!(shown.len(), 1, "{one:?}");
    assert!(shown[0].trim_start().starts_with("LSN 2 "), "{one:?}");
    let all = wal("dump", &data, &["--entries"]).ok();
    assert_eq!(all.out.lines().filter(|line| line.trim_start().starts_with("LSN")).count(), 2);
    for ran in [&segments, &frames, &all] {
        assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
        assert_eq!(ran.err, "");
    }

    let verified = wal("verify", &data, &[]).ok();
    assert!(verified.out.starts_with("no damage: 2 entries (LSN 1 to 2) in "), "{verified:?}");
    let own = data.join("wal");
    assert_eq!(run(["wal", "verify", "--wal-path", own.to_str().unwrap()]).ok().err, "");
    assert_eq!(files(&data), before, "looking changes nothing");
}

#[test]
fn a_journal_in_use_is_looked_at_without_a_lock_and_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    with_released_segments(&data);
    let server = Server::start(&data);
    let url = server.url();
    let import = |lines: std::ops::Range<usize>| {
        run_with_input(["import", "--url", &url, "-"], corpus::lines(lines).into_bytes()).ok()
    };
    import(10_000..10_100);
    // Whatever the engine compresses is compressed by then.
    let deadline = Instant::now() + Duration::from_secs(20);
    let before = loop {
        let before = files(&data);
        std::thread::sleep(Duration::from_millis(300));
        if files(&data) == before {
            break before;
        }
        assert!(Instant::now() < deadline, "the journal's files go on changing");
    };
    let entries = |ran: &Ran| sum(ran, "entr");
    let first = entries(&wal("dump", &data, &[]).ok());
    for ran in
        [wal("dump", &data, &["--frames"]), wal("dump", &data, &["--entries"]), wal("verify", &data, &[])]
    {
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    }
    assert_eq!(files(&data), before, "looking changes nothing");

    // While it is written to, damage is never seen where there is none.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for part in 0..30 {
                import(20_000 + part * 50..20_050 + part * 50);
            }
        });
        while !writer.is_finished() {
            let verified = wal("verify", &data, &["--no-gaps"]);
            assert_eq!(verified.code, Some(0), "{verified:?}");
        }
    });
    assert_eq!(entries(&wal("dump", &data, &[]).ok()), first + 30);
    assert_eq!(server.stop().0, Some(0), "the server has noticed nothing");
    wal("verify", &data, &["--no-gaps"]).ok();
}

#[test]
fn a_flipped_byte_is_named_by_file_and_offset_and_the_rest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    with_released_segments(&data);
    let path = unpack(&released(&data)[0]);
    let before = wal("dump", &data, &["--frames"]).ok();
    let offset = groups(&before)[0];
    flip(&path, offset + 300);
    let verified = wal("verify", &data, &[]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    let place = format!("{} is damaged at offset {offset}", name(&path));
    assert!(verified.out.contains(&place) && verified.err.contains(&place), "{verified:?}");
    assert_eq!(verified.err.lines().count(), 1, "{verified:?}");
    let after = wal("dump", &data, &["--frames"]).ok();
    assert!(after.out.contains(&place), "{after:?}");
    assert_eq!(sum(&after, "frame"), sum(&before, "frame") - 1, "{after:?}");
    assert!(wal("dump", &data, &[]).ok().out.contains("1 damaged place"));
    // A compressed segment that is damaged is damage too, and no panic.
    flip(&path, offset + 300);
    wal("verify", &data, &[]).ok();
    let packed = path.with_extension("wal.zst");
    std::fs::write(&packed, zstd::encode_all(std::fs::File::open(&path).unwrap(), 3).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    wal("verify", &data, &[]).ok();
    flip(&packed, std::fs::metadata(&packed).unwrap().len() as usize / 2);
    let verified = wal("verify", &data, &[]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.err.contains(name(&packed)), "{verified:?}");
}

#[test]
fn damage_in_the_newest_segment_is_told_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    for part in 0..4 {
        let lines = corpus::lines(part * 10..part * 10 + 10);
        run_with_input(["import", "--url", &server.url(), "-"], lines.into_bytes()).ok();
    }
    assert_eq!(server.stop().0, Some(0));
    let before = wal("dump", &data, &["--frames"]).ok();
    let all = groups(&before);
    assert_eq!(all.len(), 4, "{before:?}");
    let newest = files(&data).into_keys().rfind(|name| name.starts_with("live.")).unwrap();
    let path = data.join("wal").join(&newest);
    let whole = std::fs::read(&path).unwrap();
    for (at, &offset) in all.iter().enumerate() {
        flip(&path, offset + 100);
        let verified = wal("verify", &data, &[]);
        assert_eq!(verified.code, Some(1), "group {at}: {verified:?}");
        assert!(verified.err.contains(&format!("{newest} is damaged at offset {offset}")), "{verified:?}");
        let after = wal("dump", &data, &["--frames"]).ok();
        assert_eq!(sum(&after, "frame"), sum(&before, "frame") - 1, "{after:?}");
        flip(&path, offset + 100);
    }
    // A file that was cut, at a frame's end or not.
    for cut in [all[2], all[2] + 77] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let verified = wal("verify", &data, &[]);
        assert_eq!(verified.code, Some(1), "{verified:?}");
        assert!(verified.err.contains(&newest), "{verified:?}");
    }
    std::fs::write(&path, &whole).unwrap();
    wal("verify", &data, &[]).ok();
}

#[test]
fn a_newest_segment_that_is_gone_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    with_released_segments(&data);
    let newest = files(&data).into_keys().rfind(|name| name.starts_with("live.")).unwrap();
    std::fs::rename(data.join("wal").join(&newest), dir.path().join(&newest)).unwrap();
    let verified = wal("verify", &data, &[]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.err.contains("is missing"), "{verified:?}");
}

#[test]
fn released_segments_may_be_moved_away_and_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    with_released_segments(&data);
    let whole = wal("dump", &data, &["--entries"]).ok();
    let entries = sum(&whole, "entr");

    let first = unpack(&released(&data)[0]);
    let gzip = first.with_extension("wal.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(std::fs::File::create(&gzip).unwrap(), flate2::Compression::default());
    encoder.write_all(&std::fs::read(&first).unwrap()).unwrap();
    encoder.finish().unwrap();
    std::fs::remove_file(&first).unwrap();
    let dumped = wal("dump", &data, &[]).ok();
    assert!(dumped.out.lines().any(|line| line.ends_with(name(&gzip))), "{dumped:?}");
    assert_eq!(sum(&dumped, "entr"), entries);
    wal("verify", &data, &["--no-gaps"]).ok();

    let archive = dir.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    std::fs::rename(&gzip, archive.join(name(&gzip))).unwrap();
    let verified = wal("verify", &data, &[]).ok();
    assert!(verified.out.contains("gap: segment 1 is not here (LSN 1"), "{verified:?}");
    assert!(verified.out.contains("no damage, 1 gap: "), "{verified:?}");
    assert!(wal("dump", &data, &[]).ok().out.contains("gap: segment 1 is not here"));
    let refused = wal("verify", &data, &["--no-gaps"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("1 gap") && refused.err.contains("--archive"), "{refused:?}");
    let archive = archive.to_str().unwrap();
    let healed = wal("verify", &data, &["--no-gaps", "--archive", archive]).ok();
    assert!(!healed.out.contains("gap"), "{healed:?}");
    assert_eq!(sum(&wal("dump", &data, &["--archive", archive]).ok(), "entr"), entries);
}

#[test]
fn calling_it_wrongly_exits_with_two_and_a_folder_without_a_journal_with_one() {
    for arguments in [
        &["wal"][..],
        &["wal", "dump"],
        &["wal", "dump", "--data-dir", "d", "--wal-path", "w"],
        &["wal", "dump", "--data-dir", "d", "--from", "2"],
        &["wal", "dump", "--data-dir", "d", "--entries", "--from", "3", "--to", "2"],
        &["wal", "dump", "--data-dir", "d", "--entries", "--from", "x"],
        &["wal", "verify"],
        &["wal", "verify", "--data-dir", "d", "--frames"],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(!refused.err.is_empty());
    }
    let dir = tempfile::tempdir().unwrap();
    for command in ["dump", "verify"] {
        for data in [dir.path().to_path_buf(), dir.path().join("nowhere")] {
            let refused = wal(command, &data, &[]);
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert!(refused.err.contains("no journal in"), "{refused:?}");
        }
    }
}

//! Every byte of a closed database, read back.

use crate::{
    program::{Ran, import_sample, run},
    server::Server,
};
use std::path::Path;

fn verify(data: &Path) -> Ran {
    run(["verify", "--data-dir", data.to_str().unwrap()])
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_checked_is_told_by_class_and_damage_by_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    run(["compact", "--data-dir", data.to_str().unwrap()]).ok();
    let whole = verify(&data).ok();
    for class in ["identity", "head", "manifest", "segment", "table"] {
        let line = whole.out.lines().find(|line| line.starts_with(class));
        assert!(line.is_some_and(|line| line.ends_with("  checked")), "{class}: {whole:?}");
    }
    assert!(whole.out.lines().last().unwrap().starts_with("no damage: "), "{whole:?}");

    // What can be written again from what is known is.
    flip(&data.join("wal/HEAD"), 5000);
    let mended = verify(&data).ok();
    assert!(mended.out.contains("damage: ") && mended.out.contains("HEAD"), "{mended:?}");
    assert!(
        mended.out.lines().last().unwrap().starts_with("1 file damaged and written again: "),
        "{mended:?}"
    );
    assert!(verify(&data).ok().out.contains("no damage: "));

    let mut tables = std::fs::read_dir(data.join("kv")).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.find(|path| path.extension().is_some_and(|end| end == "sst")).unwrap();
    flip(&table, 300);
    let damaged = verify(&data);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(
        damaged.out.lines().any(|line| line.starts_with("damage: ") && line.contains(name)),
        "{damaged:?}"
    );
    assert!(damaged.err.contains(name) && damaged.err.contains("offset"), "{damaged:?}");
}

#[test]
fn a_running_server_reads_its_files_back_and_damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    run(["compact", "--data-dir", data.to_str().unwrap()]).ok();
    let server = Server::start(&data);
    let whole = run(["verify", "--url", &server.url()]).ok();
    let (entries, rows) = counted(&whole.out);
    assert!(entries > 0 && rows > 4_340, "{whole:?}");
    let mut tables = std::fs::read_dir(data.join("kv")).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.find(|path| path.extension().is_some_and(|end| end == "sst")).unwrap();
    flip(&table, 300);
    let damaged = run(["verify", "--url", &server.url()]);
    let name = table.file_name().unwrap().to_str().unwrap();
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(damaged.out.lines().any(|line| line.starts_with(&format!("damage: {name}: "))), "{damaged:?}");
    server.kill();
}

/// Entries and rows of `no damage: 3 journal entries and 17,404 rows checked in 0.0 s`.
fn counted(out: &str) -> (u64, u64) {
    let numbers = out.strip_prefix("no damage: ").unwrap().replace(',', "");
    let mut numbers = numbers.split(' ').filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

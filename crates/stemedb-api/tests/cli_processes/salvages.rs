//! What is readable of a damaged view.

use std::path::{Path, PathBuf};

use crate::{
    program::{Ran, import_sample, run},
    server::Server,
};

fn ask(data: &Path) -> String {
    let question = ["query", "cas:7732-18-5", "boiling_point_K", "--json"];
    let how = ["--evaluated-at", "2027-01-01T00:00:00Z", "--data-dir", data.to_str().unwrap()];
    run([&question[..], &how].concat()).ok().out
}

fn rows(data: &Path) -> String {
    let out = run(["verify", "--data-dir", data.to_str().unwrap()]).ok().out;
    out.split_once(" rows").unwrap().0.rsplit(' ').next().unwrap().to_owned()
}

fn table(data: &Path) -> PathBuf {
    let largest = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let tables = std::fs::read_dir(data.join("kv")).unwrap().map(|entry| entry.unwrap().path());
    tables.filter(|path| path.extension().is_some_and(|end| end == "sst")).max_by_key(largest).unwrap()
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

fn salvage(data: &Path, more: &[&str]) -> Ran {
    run([&["salvage", "--data-dir", data.to_str().unwrap()], more].concat())
}

#[test]
fn a_view_is_salvaged_and_serves_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    import_sample(&data).ok();
    run(["compact", "--data-dir", data.to_str().unwrap()]).ok();
    let (answer, all) = (ask(&data), rows(&data));

    // Whole: everything comes back, with and without the manifest.
    let whole = salvage(&data, &[]).ok();
    assert!(whole.out.contains(&format!("salvaged {all} rows")), "{whole:?}");
    assert!(whole.out.contains("nothing is lost") && !whole.out.contains("beware"), "{whole:?}");
    let refused = salvage(&data, &[]);
    assert_eq!(refused.code, Some(1), "a folder with something in it is never written to");
    assert!(refused.err.contains("--into"), "{refused:?}");
    std::fs::remove_file(data.join("kv/CURRENT")).unwrap();
    for entry in std::fs::read_dir(data.join("kv")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.file_name().unwrap().to_str().unwrap().starts_with("MANIFEST") {
            std::fs::remove_file(entry).unwrap();
        }
    }
    let other = dir.path().join("kv2");
    let blind = salvage(&data, &["--into", other.to_str().unwrap()]).ok();
    assert!(blind.out.contains(&format!("salvaged {all} rows")), "{blind:?}");
    assert!(blind.out.contains("no manifest"), "{blind:?}");

    // In its place it answers as before.
    std::fs::rename(data.join("kv"), data.join("kv.corrupted.20270101")).unwrap();
    std::fs::rename(&other, data.join("kv")).unwrap();
    assert_eq!((ask(&data), rows(&data)), (answer, all.clone()));

    // A damaged block and a lost footer: told by file and offset, and the rest is there.
    let table = table(&data);
    flip(&table, 5_000);
    let end = std::fs::metadata(&table).unwrap().len() as usize;
    flip(&table, end - 4);
    let third = dir.path().join("kv3");
    let damaged = salvage(&data, &["--into", third.to_str().unwrap(), "--quarantine"]).ok();
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(damaged.out.contains(name) && damaged.out.contains("block checksum mismatch"), "{damaged:?}");
    assert!(damaged.out.contains("without index   1 table") && damaged.out.contains("beware"), "{damaged:?}");
    let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap();
    let kept = number(damaged.out.split_whitespace().nth(1).unwrap());
    assert!(kept < number(&all) && kept + 200 > number(&all), "{damaged:?}");
}

#[test]
fn an_open_database_or_none_is_not_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("db");
    let server = Server::start(&data);
    let refused = salvage(&data, &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("in use"), "{refused:?}");
    server.stop();
    let nothing = salvage(&dir.path().join("nothing"), &[]);
    assert_eq!(nothing.code, Some(1));
    assert!(!dir.path().join("nothing").exists());
}

//! One suite, three file systems: whatever holds on the real one must hold on the simulated ones.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of tests are tests.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    Error, Fs, OpenMode,
    fs::{FaultFs, RealFs, SimFs, read_file, write_file_atomic},
};

struct Place {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    _guard: Option<tempfile::TempDir>,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn create(&self, name: &str, content: &[u8]) {
        let file = self.fs.open(&self.path(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(content, 0).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        read_file(&*self.fs, &self.path(name), 1 << 20).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.fs.list(&self.dir).unwrap().into_iter().map(|entry| entry.name).collect()
    }
}

fn real() -> Place {
    let guard = tempfile::tempdir().unwrap();
    Place { fs: Arc::new(RealFs::new()), dir: guard.path().to_path_buf(), _guard: Some(guard) }
}

fn sim() -> Place {
    let fs = SimFs::new();
    fs.install_dir(Path::new("/db")).unwrap();
    Place { fs: Arc::new(fs), dir: PathBuf::from("/db"), _guard: None }
}

/// The fault injector without rules must not be noticeable.
fn counted() -> Place {
    let place = sim();
    Place { fs: Arc::new(FaultFs::counting(place.fs)), ..place }
}

fn kind<T>(result: stemedb_env::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind().expect("a system error")
}

macro_rules! conformance {
    ($($name:ident)*) => {
        mod on_the_real_file_system { $(#[test] fn $name() { super::$name(&super::real()); })* }
        mod on_the_simulated_one { $(#[test] fn $name() { super::$name(&super::sim()); })* }
        mod through_the_fault_injector { $(#[test] fn $name() { super::$name(&super::counted()); })* }
    };
}

conformance! {
    bytes_written_are_read_back
    a_hole_reads_as_zeros
    set_len_cuts_and_extends_with_zeros
    opening_modes_are_strict
    rename_replaces_and_handles_follow_the_file
    rename_refuses_what_posix_refuses
    link_shares_one_file
    a_removed_file_stays_readable_through_its_handle
    listings_are_sorted_and_complete
    directories_are_created_with_parents_and_removed_when_empty
    a_missing_path_is_not_an_error_for_metadata_only
    a_lock_names_its_holder_and_ends_with_its_guard
    a_lock_file_may_exist_before
    syncs_succeed_and_change_nothing_visible
    asking_for_writeback_changes_nothing_visible
    small_files_are_replaced_as_a_whole
    reading_a_whole_file_respects_the_limit
    space_is_reported
}

fn bytes_written_are_read_back(place: &Place) {
    place.create("a", b"hello world");
    let file = place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"WORLD and more", 6).unwrap();
    assert_eq!(file.len().unwrap(), 20);
    assert!(!file.is_empty().unwrap());
    let mut buffer = [0; 64];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 20);
    assert_eq!(&buffer[..20], b"hello WORLD and more");
    assert_eq!(file.read_at(&mut buffer, 20).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 1000).unwrap(), 0);
    assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
    assert_eq!(kind(file.read_exact_at(&mut buffer, 0)), ErrorKind::UnexpectedEof);
    assert_eq!(file.path(), place.path("a"));
    let other = place.fs.open(&place.path("a"), OpenMode::Read).unwrap();
    let mut buffer = [0; 5];
    other.read_exact_at(&mut buffer, 6).unwrap();
    assert_eq!(&buffer, b"WORLD");
}

fn a_hole_reads_as_zeros(place: &Place) {
    place.create("a", b"x");
    let file = place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap();
    file.write_all_at(b"y", 9999).unwrap();
    let bytes = place.read("a");
    assert_eq!((bytes.len(), bytes[0], bytes[9999]), (10_000, b'x', b'y'));
    assert!(bytes[1..9999].iter().all(|byte| *byte == 0));
}

fn set_len_cuts_and_extends_with_zeros(place: &Place) {
    place.create("a", b"abcdef");
    let file = place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap();
    file.set_len(3).unwrap();
    assert_eq!(place.read("a"), b"abc");
    file.set_len(6).unwrap();
    assert_eq!(place.read("a"), b"abc\0\0\0");
    file.set_len(0).unwrap();
    assert!(file.is_empty().unwrap());
}

fn opening_modes_are_strict(place: &Place) {
    assert_eq!(kind(place.fs.open(&place.path("a"), OpenMode::Read)), ErrorKind::NotFound);
    assert_eq!(kind(place.fs.open(&place.path("a"), OpenMode::ReadWrite)), ErrorKind::NotFound);
    assert_eq!(kind(place.fs.open(&place.path("no/a"), OpenMode::CreateNew)), ErrorKind::NotFound);
    place.create("a", b"x");
    assert_eq!(kind(place.fs.open(&place.path("a"), OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(kind(place.fs.open(&place.path("a/b"), OpenMode::Read)), ErrorKind::NotADirectory);
    let file = place.fs.open(&place.path("a"), OpenMode::Read).unwrap();
    assert!(file.write_at(b"y", 0).is_err(), "a handle for reading must not write");
    assert!(file.set_len(0).is_err(), "a handle for reading must not cut");
    assert_eq!(place.read("a"), b"x");
}

fn rename_replaces_and_handles_follow_the_file(place: &Place) {
    place.create("a", b"new");
    place.create("b", b"old");
    let new = place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap();
    let old = place.fs.open(&place.path("b"), OpenMode::Read).unwrap();
    place.fs.rename(&place.path("a"), &place.path("b")).unwrap();
    assert_eq!(place.names(), ["b"]);
    new.write_all_at(b"NEW", 0).unwrap();
    assert_eq!(place.read("b"), b"NEW");
    let mut buffer = [0; 3];
    old.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"old");
    place.fs.rename(&place.path("b"), &place.path("b")).unwrap();
    assert_eq!(place.names(), ["b"]);
}

fn rename_refuses_what_posix_refuses(place: &Place) {
    place.create("file", b"");
    place.fs.create_dir(&place.path("dir/inner")).unwrap();
    place.fs.create_dir(&place.path("empty")).unwrap();
    let rename = |from: &str, to: &str| place.fs.rename(&place.path(from), &place.path(to));
    assert_eq!(kind(rename("no", "file")), ErrorKind::NotFound);
    assert_eq!(kind(rename("file", "dir")), ErrorKind::IsADirectory);
    assert_eq!(kind(rename("empty", "file")), ErrorKind::NotADirectory);
    assert_eq!(kind(rename("empty", "dir")), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(rename("dir", "dir/inner/below")), ErrorKind::InvalidInput);
    rename("dir", "empty").unwrap();
    assert_eq!(place.names(), ["empty", "file"]);
    assert!(place.fs.metadata(&place.path("empty/inner")).unwrap().unwrap().is_dir);
}

fn link_shares_one_file(place: &Place) {
    place.create("a", b"one");
    place.fs.link(&place.path("a"), &place.path("b")).unwrap();
    place.create("c", b"");
    assert_eq!(kind(place.fs.link(&place.path("a"), &place.path("c"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(place.fs.link(&place.path("no"), &place.path("d"))), ErrorKind::NotFound);
    place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap().write_all_at(b"two", 0).unwrap();
    place.fs.remove(&place.path("a")).unwrap();
    assert_eq!(place.read("b"), b"two");
    place.fs.link(&place.path("b"), &place.path("a")).unwrap();
    place.fs.rename(&place.path("a"), &place.path("b")).unwrap();
    assert_eq!(place.names(), ["a", "b", "c"], "renaming one name of a file onto another does nothing");
}

fn a_removed_file_stays_readable_through_its_handle(place: &Place) {
    place.create("a", b"still here");
    let file = place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap();
    place.fs.remove(&place.path("a")).unwrap();
    assert!(place.names().is_empty());
    place.fs.sync_dir(&place.dir).unwrap();
    let mut buffer = [0; 10];
    file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"still here");
    file.write_all_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    place.create("a", b"another");
    assert_eq!(place.read("a"), b"another");
    assert_eq!(kind(place.fs.remove(&place.path("no"))), ErrorKind::NotFound);
}

fn listings_are_sorted_and_complete(place: &Place) {
    for name in ["b", "a", "é", "10", "9", "B"] {
        place.create(name, name.as_bytes());
    }
    place.fs.create_dir(&place.path("dir")).unwrap();
    assert_eq!(place.names(), ["10", "9", "B", "a", "b", "dir", "é"]);
    let entries = place.fs.list(&place.dir).unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.metadata.is_dir).count(), 1);
    assert_eq!(entries[0].metadata.len, 2);
    assert_eq!(kind(place.fs.list(&place.path("no"))), ErrorKind::NotFound);
    assert_eq!(kind(place.fs.list(&place.path("a"))), ErrorKind::NotADirectory);
}

fn directories_are_created_with_parents_and_removed_when_empty(place: &Place) {
    let deep = place.path("x/y/z");
    place.fs.create_dir(&deep).unwrap();
    place.fs.create_dir(&deep).unwrap();
    assert_eq!(kind(place.fs.remove_dir(&place.path("x"))), ErrorKind::DirectoryNotEmpty);
    assert!(place.fs.remove(&deep).is_err(), "a directory is not a file");
    place.fs.remove_dir(&deep).unwrap();
    place.create("file", b"");
    assert_eq!(kind(place.fs.remove_dir(&place.path("file"))), ErrorKind::NotADirectory);
    assert!(place.fs.create_dir(&place.path("file")).is_err());
    assert!(place.fs.create_dir(&place.path("file/below")).is_err());
    assert_eq!(place.names(), ["file", "x"]);
}

fn a_missing_path_is_not_an_error_for_metadata_only(place: &Place) {
    assert_eq!(place.fs.metadata(&place.path("no")).unwrap(), None);
    assert_eq!(place.fs.metadata(&place.path("no/below")).unwrap(), None);
    assert!(place.fs.sync_dir(&place.path("no")).unwrap_err().is_not_found());
    place.create("a", b"12345");
    let metadata = place.fs.metadata(&place.path("a")).unwrap().unwrap();
    assert_eq!((metadata.len, metadata.is_dir), (5, false));
    let metadata = place.fs.metadata(&place.dir).unwrap().unwrap();
    assert_eq!((metadata.len, metadata.is_dir), (0, true));
}

fn a_lock_names_its_holder_and_ends_with_its_guard(place: &Place) {
    let path = place.path("LOCK");
    let guard = place.fs.lock(&path, "pid 41").unwrap();
    match place.fs.lock(&path, "pid 42").unwrap_err() {
        Error::Locked { path: named, holder } => assert_eq!((named, &*holder), (path.clone(), "pid 41")),
        other => panic!("{other}"),
    }
    assert_eq!(place.read("LOCK"), b"pid 41", "the loser must not overwrite the holder");
    let elsewhere = place.fs.lock(&place.path("OTHER"), "pid 42").unwrap();
    drop(guard);
    let _guard = place.fs.lock(&path, "pid 7").unwrap();
    assert_eq!(place.read("LOCK"), b"pid 7");
    drop(elsewhere);
    assert!(place.fs.lock(&path, "pid 8").unwrap_err().to_string().ends_with("is locked by pid 7"));
}

fn a_lock_file_may_exist_before(place: &Place) {
    place.create("LOCK", b"pid 123456, left by a crash");
    let _guard = place.fs.lock(&place.path("LOCK"), "pid 1").unwrap();
    assert_eq!(place.read("LOCK"), b"pid 1");
}

fn syncs_succeed_and_change_nothing_visible(place: &Place) {
    place.create("a", b"bytes");
    let file = place.fs.open(&place.path("a"), OpenMode::ReadWrite).unwrap();
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    place.fs.sync_dir(&place.dir).unwrap();
    assert_eq!(place.read("a"), b"bytes");
    assert_eq!(kind(place.fs.sync_dir(&place.path("no"))), ErrorKind::NotFound);
}

fn asking_for_writeback_changes_nothing_visible(place: &Place) {
    let content: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    place.create("file", &content);
    let file = place.fs.open(&place.path("file"), OpenMode::ReadWrite).unwrap();
    // Also where it makes no sense.
    [(0, 100_000), (4096, 4096), (1, 7), (0, 0), (1 << 40, 9)]
        .iter()
        .for_each(|(offset, len)| file.start_writeback(*offset, *len));
    file.write_all_at(b"new", 5).unwrap();
    file.sync_data().unwrap();
    let mut wanted = content;
    wanted[5..8].copy_from_slice(b"new");
    assert_eq!(place.read("file"), wanted);
}

fn small_files_are_replaced_as_a_whole(place: &Place) {
    write_file_atomic(&*place.fs, &place.path("CURRENT"), b"a long first version").unwrap();
    place.create("CURRENT.tmp", b"left by a crash, longer than what follows");
    write_file_atomic(&*place.fs, &place.path("CURRENT"), b"second").unwrap();
    assert_eq!(place.read("CURRENT"), b"second");
    assert_eq!(place.names(), ["CURRENT"]);
}

fn reading_a_whole_file_respects_the_limit(place: &Place) {
    place.create("a", &[1; 100]);
    assert_eq!(read_file(&*place.fs, &place.path("a"), 100).unwrap().len(), 100);
    assert_eq!(kind(read_file(&*place.fs, &place.path("a"), 99)), ErrorKind::FileTooLarge);
}

fn space_is_reported(place: &Place) {
    let space = place.fs.space(&place.dir).unwrap();
    assert!(space.available_bytes > 0 && space.available_bytes <= space.total_bytes);
    assert_eq!(kind(place.fs.space(&place.path("no"))), ErrorKind::NotFound);
}

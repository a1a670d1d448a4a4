//! What every target promises.

use std::path::PathBuf;

use stemedb_api::backup::{BackupTarget, Content, Error, FolderTarget, MemoryTarget, Object, open_target};
use stemedb_env::{Env, OpenMode};

pub fn contract(target: &dyn BackupTarget) {
    assert_eq!(target.list("").unwrap(), []);
    assert!(target.folders().unwrap().is_empty());
    assert_eq!(target.get("a/b", 10).unwrap(), None);
    assert_eq!(target.size("a/b").unwrap(), None);
    assert!(target.put_if_absent("a/b", Content::Bytes(b"one")).unwrap());
    assert!(!target.put_if_absent("a/b", Content::Bytes(b"two")).unwrap());
    assert_eq!(target.get("a/b", 10).unwrap().unwrap(), b"one");
    target.put("a/b", Content::Bytes(b"three")).unwrap();
    target.put("a/c/d", Content::Bytes(b"")).unwrap();
    target.put("latest", Content::Bytes(b"x")).unwrap();
    target.settle().unwrap();
    assert_eq!(target.get("a/b", 5).unwrap().unwrap(), b"three");
    assert!(matches!(target.get("a/b", 4), Err(Error::Damaged { .. })), "longer than it can be");
    assert_eq!(target.size("a/b").unwrap(), Some(5));
    let mut part = [0; 2];
    target.read_at("a/b", &mut part, 3).unwrap();
    assert_eq!(&part, b"ee");
    assert!(matches!(target.read_at("a/b", &mut part, 4), Err(Error::Damaged { .. })), "it ends early");
    assert!(matches!(target.read_at("a/z", &mut part, 0), Err(Error::Missing { .. })));
    let names = |objects: Vec<Object>| objects.into_iter().map(|object| object.name).collect::<Vec<_>>();
    assert_eq!(names(target.list("a/").unwrap()), ["a/b", "a/c/d"]);
    assert_eq!(names(target.list("a/c/").unwrap()), ["a/c/d"]);
    assert_eq!(names(target.list("z/").unwrap()), [""; 0]);
    assert_eq!(target.folders().unwrap(), ["a"]);
    target.delete("a/b").unwrap();
    target.delete("a/b").unwrap();
    assert_eq!(target.size("a/b").unwrap(), None);
    target.delete("a/c/d").unwrap();
    target.delete("latest").unwrap();
}

/// A file that is sent in more than one piece.
pub fn large_files(target: &dyn BackupTarget, bytes: usize) {
    let (env, _) = Env::sim(1);
    let content: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect();
    let file = env.fs.open(&PathBuf::from("/large"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&content, 0).unwrap();
    let whole = Content::File { file: &*file, bytes: bytes as u64 };
    assert!(target.put_if_absent("large", whole).unwrap());
    assert!(!target.put_if_absent("large", whole).unwrap());
    target.settle().unwrap();
    assert!(target.get("large", bytes as u64).unwrap().unwrap() == content);
    target.put("large", Content::File { file: &*file, bytes: 5 }).unwrap();
    assert_eq!(target.get("large", 5).unwrap().unwrap(), content[..5]);
}

#[test]
fn a_target_in_memory_keeps_the_contract() {
    contract(&MemoryTarget::new());
    large_files(&MemoryTarget::new(), 3_000_000);
}

#[test]
fn a_folder_keeps_the_contract() {
    let (env, _) = Env::sim(1);
    contract(&FolderTarget::new(&env, PathBuf::from("/backups/here")));
    large_files(&FolderTarget::new(&env, PathBuf::from("/backups/there")), 3_000_000);
    let real = tempfile::tempdir().unwrap();
    contract(&FolderTarget::new(&Env::real(), real.path().join("new")));
}

#[test]
fn of_many_writers_of_one_name_one_wins() {
    let real = tempfile::tempdir().unwrap();
    let target = FolderTarget::new(&Env::real(), real.path().join("new"));
    let wins: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8u8)
            .map(|n| {
                let target = &target;
                scope
                    .spawn(move || usize::from(target.put_if_absent("one", Content::Bytes(&[n; 9])).unwrap()))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(wins, 1);
    let left = target.get("one", 9).unwrap().unwrap();
    assert_eq!(left, [left[0]; 9]);
    assert!(target.list("tmp/").unwrap().is_empty());
}

#[test]
fn a_scheme_that_is_not_known_is_refused() {
    let env = Env::real();
    for text in ["ftp://x/y", ""] {
        assert!(matches!(open_target(&env, text), Err(Error::Refused(_))), "{text}");
    }
}

#[test]
fn a_folder_that_lost_a_part_is_written_again_and_a_disk_that_is_not_mounted_is_not() {
    let real = tempfile::tempdir().unwrap();
    let root = real.path().join("target");
    let target = FolderTarget::new(&Env::real(), root.clone());
    let put = |name: &str| target.put_if_absent(name, Content::Bytes(b"x"));
    assert!(put("blobs/a/1").unwrap() && put("epoch/1").unwrap());
    target.settle().unwrap();
    std::fs::remove_dir_all(root.join("blobs")).unwrap();
    assert!(put("blobs/a/1").unwrap());
    target.put("blobs/a/2", Content::Bytes(b"y")).unwrap();
    // What is lost between a put and its being durable is said, once.
    std::fs::remove_dir_all(root.join("blobs")).unwrap();
    assert!(matches!(target.settle(), Err(Error::Target { .. })));
    target.settle().unwrap();
    target.put("blobs/a/2", Content::Bytes(b"y")).unwrap();
    target.settle().unwrap();
    assert_eq!(target.get("blobs/a/2", 1).unwrap().unwrap(), b"y");
    // The disk is taken away, and what is there instead is empty.
    std::fs::rename(&root, real.path().join("aside")).unwrap();
    std::fs::create_dir(&root).unwrap();
    for name in ["blobs/a/3", "epoch/1", "epoch/2"] {
        assert!(matches!(put(name), Err(Error::Target { .. })), "{name}");
        assert!(target.put(name, Content::Bytes(b"z")).is_err());
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}

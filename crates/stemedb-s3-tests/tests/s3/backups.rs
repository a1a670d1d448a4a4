//! Backups into a bucket.

use std::path::Path;

use stemedb_api::{
    Database, DatabaseOptions,
    backup::{
        self, BackupTarget, Catalog, Content, CreateOptions, Error, Object, Plan, Point, PruneOptions,
        RestoreOptions, S3Target,
    },
    core::{Assertion, Command, Object as Value},
};
use stemedb_env::{Env, OpenMode};

use super::bucket::Bucket;

fn target(prefix: &str) -> S3Target {
    Bucket::shared().target(prefix)
}

pub fn claim(n: u64) -> Command {
    let text = format!("value {n} of a claim that is as long as a claim may well be");
    Command::Assert(Assertion::new(format!("s{}", n % 17), "p", Value::Text(text), format!("t{}", n % 5)))
}

#[test]
fn a_bucket_keeps_the_contract_of_targets() {
    let target = target("contract/deep");
    assert_eq!(target.list("").unwrap(), []);
    assert_eq!(target.get("a/b", 10).unwrap(), None);
    assert_eq!(target.size("a/b").unwrap(), None);
    assert!(target.put_if_absent("a/b", Content::Bytes(b"one")).unwrap());
    assert!(!target.put_if_absent("a/b", Content::Bytes(b"two")).unwrap());
    assert_eq!(target.get("a/b", 10).unwrap().unwrap(), b"one");
    target.put("a/b", Content::Bytes(b"three")).unwrap();
    target.put("a/c/d", Content::Bytes(b"four")).unwrap();
    target.put("latest", Content::Bytes(b"x")).unwrap();
    assert!(matches!(target.get("a/b", 4), Err(Error::Damaged { .. })));
    let mut part = [0; 2];
    target.read_at("a/b", &mut part, 3).unwrap();
    assert_eq!(&part, b"ee");
    assert!(matches!(target.read_at("a/b", &mut part, 4), Err(Error::Damaged { .. })));
    assert!(matches!(target.read_at("a/z", &mut part, 0), Err(Error::Missing { .. })));
    let names = |objects: Vec<Object>| objects.into_iter().map(|object| object.name).collect::<Vec<_>>();
    assert_eq!(names(target.list("a/").unwrap()), ["a/b", "a/c/d"]);
    assert_eq!(names(target.list("").unwrap()), ["a/b", "a/c/d", "latest"]);
    assert_eq!(target.folders().unwrap(), ["a"]);
    target.delete("a/b").unwrap();
    target.delete("a/b").unwrap();
    assert_eq!(target.size("a/b").unwrap(), None);
}

#[test]
fn a_target_may_be_dropped_where_nobody_may_wait() {
    let target = target("dropped");
    target.put("a", Content::Bytes(b"x")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async move { tokio::spawn(async move { drop(target) }).await.unwrap() });
}

#[test]
fn a_large_file_is_sent_in_pieces_and_comes_back_whole() {
    let target = target("large");
    let (env, _) = Env::sim(1);
    let bytes = 21_000_123;
    let content: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect();
    let file = env.fs.open(Path::new("/large"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&content, 0).unwrap();
    let whole = Content::File { file: &*file, bytes: bytes as u64 };
    assert!(target.put_if_absent("one", whole).unwrap());
    assert!(!target.put_if_absent("one", whole).unwrap());
    assert!(target.get("one", bytes as u64).unwrap().unwrap() == content);
    let mut part = vec![0; 1_000];
    target.read_at("one", &mut part, 20_999_000).unwrap();
    assert_eq!(part, content[20_999_000..21_000_000]);
}

#[test]
fn wrong_credentials_are_an_error_of_the_target_and_no_bucket_is_none() {
    let refused = Bucket::shared()
        .target_with("a wrong secret", "backups/x")
        .put("a", Content::Bytes(b"x"))
        .unwrap_err();
    assert!(matches!(refused, Error::Target { .. }), "{refused}");
    assert!(matches!(S3Target::from_environment("s3://"), Err(Error::Refused(_))));
}

#[test]
fn a_database_goes_into_a_bucket_and_comes_back_at_any_point() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::real();
    let target: Box<dyn BackupTarget> = Box::new(target("databases/one"));
    let database = Database::create(folder.path().join("db"), DatabaseOptions::default()).unwrap();
    let mut roots = Vec::new();
    let mut write = |entries: u64| {
        for _ in 0..entries {
            let from = roots.len() as u64 * 200;
            let commands: Vec<_> = (from..from + 200).map(claim).collect();
            database.submit(&commands).unwrap();
            roots.push(database.engine().state_root().unwrap());
        }
    };
    write(10);
    let first = backup::create(&database, &*target, &CreateOptions::default(), &mut |_, _| {}).unwrap();
    assert!(first.verified && first.sent_objects > 5);
    write(5);
    let archived = backup::archive(&database, &*target, true).unwrap();
    assert_eq!(archived.upto.0, 15);
    let second = backup::create(&database, &*target, &CreateOptions::default(), &mut |_, _| {}).unwrap();
    assert!(second.verified);
    let now = PruneOptions { older_than: std::time::Duration::ZERO, dry_run: false };
    write(1);
    let pruned = backup::prune_journal(&database, &*target, &*target, now).unwrap();
    assert!(!pruned.removed.is_empty(), "{pruned:?}");
    let third = backup::create(&database, &*target, &CreateOptions::default(), &mut |_, _| {}).unwrap();
    assert!(third.metadata.first_lsn > 1);
    let catalog = Catalog::load(&*target).unwrap();
    assert_eq!(catalog.backups.len(), 3);
    assert_eq!(catalog.latest, Some(third.name));
    backup::clean(&*target, 1, false).unwrap();
    for lsn in [1, 7, 12, 16] {
        let options = RestoreOptions::to(Point::Lsn(stemedb_env::Lsn(lsn)));
        let plan = Plan::make(&*target, &*target, &options).unwrap();
        let dir = folder.path().join(format!("at{lsn}"));
        let report =
            backup::restore(&env, &*target, &*target, &plan, &options, &dir, &mut |_, _| {}).unwrap();
        assert_eq!(report.root, roots[lsn as usize - 1], "LSN {lsn}");
        let restored = Database::open(&dir, DatabaseOptions::default()).unwrap();
        assert_eq!(restored.engine().state_root().unwrap(), roots[lsn as usize - 1]);
    }
    // A blob that is gone in the bucket is named.
    let part = target.list("blobs/").unwrap().into_iter().max_by_key(|object| object.bytes).unwrap();
    target.delete(&part.name).unwrap();
    let name = Catalog::load(&*target).unwrap().latest.unwrap();
    let error = backup::verify(&env, &*target, &name, &folder.path().join("scratch")).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains(&part.name), "{error}");
}

//! What is sent, what is sent again, and what counts.

use stemedb_api::{
    Database, DatabaseOptions,
    backup::{self, BackupTarget as _, Catalog, Content, CreateOptions, Error, MemoryTarget, Point},
    core::Command,
};
use stemedb_env::Lsn;

use super::setup::{History, claim, create, data, machine, reopen, restore_to};

#[test]
fn a_second_backup_sends_at_most_a_twentieth_where_little_has_changed() {
    let (env, sim) = machine(1);
    let options = DatabaseOptions { env: env.clone(), ..DatabaseOptions::default() };
    let database = Database::create(data(), options).unwrap();
    let write = |from: u64, to: u64| {
        for batch in (from..to).collect::<Vec<_>>().chunks(500) {
            let commands: Vec<_> = batch.iter().map(|n| Command::Assert(claim(*n))).collect();
            database.submit(&commands).unwrap();
        }
    };
    write(0, 30_000);
    let target = MemoryTarget::new();
    let first = create(&database, &target).unwrap();
    let total = first.metadata.total_bytes();
    assert!(first.verified && total > 6 << 20, "{total}");
    write(30_000, 30_020);
    sim.clock.advance(std::time::Duration::from_secs(2));
    let before = target.sent_bytes();
    let second = create(&database, &target).unwrap();
    let sent = target.sent_bytes() - before;
    println!("{total} bytes; the second backup sent {sent}, {} of them parts", second.sent_bytes);
    assert!(sent * 20 <= total, "{sent} of {total}");
    // And where nothing has changed, hardly more than its own metadata.
    sim.clock.advance(std::time::Duration::from_secs(2));
    let third = create(&database, &target).unwrap();
    assert!(third.sent_bytes * 100 <= total, "{} of {total}", third.sent_bytes);
    assert_eq!(third.metadata.state_root, second.metadata.state_root);
}

#[test]
fn parts_do_not_depend_on_how_a_segment_is_stored() {
    let mut history = History::begin(2);
    history.write(40);
    let target = MemoryTarget::new();
    let first = history.back_up(&target);
    // Every segment but the last is released and packed now; their parts are known.
    history.flush();
    history.sim.tasks.settle(2_000);
    let packed = history.env.fs.list(&data().join("wal")).unwrap();
    assert!(packed.iter().any(|entry| entry.name.ends_with(".zst")), "{packed:?}");
    let second = history.back_up(&target);
    let parts = |made: &backup::CreateReport| {
        let segments = made.metadata.files.iter().filter(|file| file.segment.is_some());
        segments.flat_map(|file| &file.parts).map(backup::Part::object).collect::<Vec<_>>()
    };
    let known = parts(&first);
    let new = parts(&second).iter().filter(|part| !known.contains(part)).count();
    assert!(known.len() > 4 && new <= 1, "{new} of {}: at most the tail", known.len());
}

#[test]
fn only_what_was_verified_is_latest_and_counts() {
    let mut history = History::begin(3);
    history.write(5);
    let target = MemoryTarget::new();
    let first = history.back_up(&target);
    history.write(5);
    history.sim.clock.advance(std::time::Duration::from_secs(1));
    let unverified = CreateOptions { verify: false, ..CreateOptions::default() };
    let second = backup::create(&history.database, &target, &unverified, &mut |_, _| {}).unwrap();
    let catalog = Catalog::load(&target).unwrap();
    assert_eq!(catalog.latest.as_ref(), Some(&first.name));
    assert_eq!(catalog.verified().map(|(name, _)| name).collect::<Vec<_>>(), [&first.name]);
    // Cleaning up keeps one verified backup, so the first stays although the second is newer.
    assert!(backup::clean(&target, 1, false).unwrap().backups.is_empty());
    backup::verify(&history.env, &target, &second.name, std::path::Path::new("/scratch")).unwrap();
    let catalog = Catalog::load(&target).unwrap();
    assert_eq!(catalog.latest.as_ref(), Some(&second.name));
    assert!(history.env.fs.metadata(std::path::Path::new("/scratch")).unwrap().is_none());
    // Verifying the older one once more does not make it the newest.
    backup::verify(&history.env, &target, &first.name, std::path::Path::new("/scratch")).unwrap();
    assert_eq!(Catalog::load(&target).unwrap().latest.as_ref(), Some(&second.name));
}

#[test]
fn cleaning_up_removes_what_nobody_needs_and_nothing_else() {
    let mut history = History::begin(4);
    let target = MemoryTarget::new();
    let mut names = Vec::new();
    for _ in 0..4 {
        history.write(8);
        names.push(history.back_up(&target).name);
    }
    assert!(matches!(backup::clean(&target, 0, false), Err(Error::Refused(_))));
    target.put("writing/somebody", Content::Bytes(b"")).unwrap();
    assert!(matches!(backup::clean(&target, 2, false), Err(Error::Refused(_))));
    let before = target.list("blobs/").unwrap().len();
    let report = backup::clean(&target, 2, true).unwrap();
    assert_eq!(report.backups, names[..2]);
    assert!(report.objects > 0);
    assert_eq!(target.list("blobs/").unwrap().len() as u64, before as u64 - report.objects);
    for name in &names[2..] {
        backup::verify(&history.env, &target, name, std::path::Path::new("/scratch")).unwrap();
    }
    assert_eq!(backup::clean(&target, 2, false).unwrap(), Default::default());
    // A document that cannot be read may need anything.
    target.tamper(&format!("{}/metadata.json", names[2]), |bytes| bytes[30] ^= 1);
    assert!(matches!(backup::clean(&target, 1, false), Err(Error::Refused(_))));
}

#[test]
fn a_part_that_has_rotted_in_the_target_is_sent_again() {
    let mut history = History::begin(5);
    history.write(30);
    let target = MemoryTarget::new();
    let first = history.back_up(&target);
    let rotten = first.metadata.files.iter().find(|file| file.segment.is_some()).unwrap().parts[0].object();
    target.tamper(&rotten, |bytes| bytes[7] ^= 1);
    assert!(backup::verify(&history.env, &target, &first.name, std::path::Path::new("/scratch")).is_err());
    let second = history.back_up(&target);
    assert!(second.verified && second.mended >= 1, "{second:?}");
    backup::verify(&history.env, &target, &first.name, std::path::Path::new("/scratch")).unwrap();
}

#[test]
fn an_empty_database_is_backed_up_and_restored_too() {
    let history = History::begin(6);
    let target = MemoryTarget::new();
    let made = history.back_up(&target);
    assert_eq!((made.metadata.lsn, made.metadata.entries, made.metadata.rows), (0, 0, 0));
    let dir = std::path::Path::new("/restored");
    let report = restore_to(&history.env, &target, Point::Latest, dir).unwrap();
    assert_eq!((report.lsn, report.timeline), (Lsn::ZERO, 2));
    let restored = reopen(&history.env, dir);
    restored.assert(claim(1)).unwrap();
    assert_eq!(restored.published_lsn(), Lsn(1));
}

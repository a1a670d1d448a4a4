//! What epochs hang on: of several that create one object at once one does, and whoever did is told so.

use std::sync::{Barrier, atomic::Ordering};

use stemedb_api::{
    Database, DatabaseOptions,
    backup::{self, BackupTarget, Catalog, Content, CreateOptions},
};

use super::{backups::claim, bucket::Bucket};

/// As many at once.
const WRITERS: usize = 8;

#[test]
fn of_writers_that_create_one_object_at_once_one_is_told_that_it_is_new() {
    let targets: Vec<_> = (0..WRITERS).map(|_| Bucket::shared().target("conditions/at-once")).collect();
    for round in 0..20 {
        let (name, together) = (format!("epoch/{round:06}.json"), Barrier::new(WRITERS));
        let won: Vec<bool> = std::thread::scope(|scope| {
            let create = |(writer, target)| {
                let (name, together) = (&name, &together);
                scope.spawn(move || {
                    let content = format!("writer {writer}");
                    together.wait();
                    BackupTarget::put_if_absent(target, name, Content::Bytes(content.as_bytes())).unwrap()
                })
            };
            let threads: Vec<_> = targets.iter().enumerate().map(create).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..WRITERS).filter(|writer| won[*writer]).collect();
        assert_eq!(winners.len(), 1, "round {round}: {won:?}");
        let there = targets[0].get(&name, 100).unwrap().unwrap();
        assert_eq!(String::from_utf8(there).unwrap(), format!("writer {}", winners[0]));
    }
}

#[test]
fn a_put_that_was_carried_out_and_answered_with_an_error_is_known_as_ones_own() {
    let bucket = Bucket::serve();
    let (mine, other) = (bucket.target("answers"), bucket.target("answers"));
    bucket.faults.fails_every.store(2, Ordering::SeqCst);
    for round in 0..6 {
        let name = format!("{round}");
        assert!(mine.put_if_absent(&name, Content::Bytes(b"mine")).unwrap(), "round {round}");
        assert!(!other.put_if_absent(&name, Content::Bytes(b"others")).unwrap());
        assert_eq!(mine.get(&name, 10).unwrap().unwrap(), b"mine");
    }
    assert!(bucket.faults.failed.load(Ordering::SeqCst) >= 3);
}

#[test]
fn backup_and_archive_are_whole_where_a_third_of_all_answers_lie() {
    let bucket = Bucket::serve();
    let target = bucket.target("liar");
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), DatabaseOptions::default()).unwrap();
    bucket.faults.fails_every.store(3, Ordering::SeqCst);
    for round in 0..3u64 {
        let commands: Vec<_> = (round * 100..round * 100 + 100).map(claim).collect();
        database.submit(&commands).unwrap();
        let archived = backup::archive(&database, &target, true).unwrap();
        assert_eq!(archived.upto, database.published_lsn());
        let made = backup::create(&database, &target, &CreateOptions::default(), &mut |_, _| {}).unwrap();
        assert!(made.verified);
        // One for each time: none that was stored and not known as one's own.
        assert_eq!(Catalog::load(&target).unwrap().backups.len() as u64, round + 1);
    }
    assert!(bucket.faults.failed.load(Ordering::SeqCst) > 5);
}

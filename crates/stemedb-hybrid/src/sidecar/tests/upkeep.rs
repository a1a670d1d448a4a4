//! Making what is missing, removing what nobody needs.

use stemedb_env::{Budget, Job, Lsn, Step};
use stemedb_index::KeyValues;
use stemedb_lsm::WriteBatch;
use stemedb_wal::{Journal, JournalOptions};

use super::{super::upkeep::Upkeep, Machine, entry, put};

fn run(upkeep: &mut Upkeep<KeyValues>) {
    for _ in 0..10_000 {
        if upkeep.step(Budget { bytes: 4 << 10 }) == Step::Idle {
            return;
        }
    }
    panic!("it does not end");
}

fn grown(entries: u64) -> Machine<KeyValues> {
    let machine = Machine::new(KeyValues, JournalOptions::tiny());
    for n in 0..entries {
        let mut batch = WriteBatch::new();
        batch.put(format!("key {:05}", n * 7_919 % entries).as_bytes(), &[1; 40]);
        batch.put(b"always the same", &n.to_be_bytes());
        batch.delete_range(b"m", format!("n {n}").as_bytes());
        machine.append(&[entry(batch)]);
    }
    machine
}

fn check(machine: &Machine<KeyValues>, upto: u64) {
    for (start, end) in [("key 00010", "key 00020"), ("always", "always the same"), ("n 5", "n 6"), ("", "z")]
    {
        machine.check(&(start.as_bytes()..=end.as_bytes()), &(Lsn(1)..=Lsn(upto)));
    }
}

#[test]
fn what_is_missing_is_made_in_pieces_of_bounded_memory() {
    let mut machine = grown(300);
    machine.flushed = Lsn(100);
    machine.set.set_flushed(Lsn(100));
    machine.flush(200);
    let mut upkeep = machine.upkeep().with_buffer(4 << 10);
    run(&mut upkeep);
    let files = machine.set.files();
    assert!(files.len() > 2, "{files:?}");
    assert!(
        machine
            .set
            .plan(&(Lsn(1)..=Lsn(200)))
            .iter()
            .all(|part| matches!(part, super::super::set::Part::Sidecar(..)))
    );
    assert!(
        files.iter().all(|name| name.last <= Lsn(200)),
        "what is not in tables yet is left to their flush"
    );
    check(&machine, 300);
    machine.look_again();
    check(&machine, 300);
    let mut again = machine.upkeep();
    assert_eq!(again.step(Budget { bytes: 1 << 20 }), Step::Idle);
    assert_eq!(machine.set.files(), files);
}

#[test]
fn what_lies_before_the_journal_or_within_another_is_removed() {
    let mut machine = grown(300);
    for upto in [50, 120, 200, 300] {
        machine.flush(upto);
    }
    // One that covers two others, made from the journal.
    machine
        .set
        .files()
        .iter()
        .take(2)
        .for_each(|name| machine.sim.fs.delete(&machine.set.path(*name)).unwrap());
    machine.look_again();
    run(&mut machine.upkeep());
    assert_eq!(machine.set.files().len(), 3);
    machine.journal.release(Lsn(300)).unwrap();
    let old: Vec<_> = machine.journal.segments().unwrap();
    let upto = old.iter().filter_map(|segment| segment.last_lsn).filter(|last| last.0 > 130).min().unwrap();
    for segment in old.iter().filter(|segment| segment.last_lsn.is_some_and(|last| last <= upto)) {
        machine.sim.fs.delete(&segment.path).unwrap();
    }
    let mut machine = machine.reopened(JournalOptions::tiny());
    assert_eq!(machine.journal.first_lsn(), upto.next());
    run(&mut machine.upkeep());
    let firsts: Vec<u64> = machine.set.files().iter().map(|name| name.first.0).collect();
    assert_eq!(firsts, [121, 201]);
    assert_eq!(machine.paths().len(), 2);
    machine.look_again();
    machine.check(&(&b"key 00010"[..]..=&b"key 00020"[..]), &(upto.next()..=Lsn(300)));
}

#[test]
fn an_unreadable_part_of_the_journal_does_not_keep_the_rest_from_its_sidecars() {
    let mut machine = grown(300);
    machine.journal.release(Lsn(300)).unwrap();
    let middle = machine.journal.segments().unwrap()[3].clone();
    machine.flushed = Lsn(300);
    machine.sim.fs.corrupt(&middle.path, 2_000, 0x20).unwrap();
    let mut machine = machine.reopened(JournalOptions { pack_level: None, ..JournalOptions::tiny() });
    let mut upkeep = machine.upkeep();
    for _ in 0..2_000 {
        upkeep.step(Budget { bytes: 4 << 10 });
    }
    let last = middle.last_lsn.unwrap();
    let covered = |lsn: u64| machine.set.files().iter().any(|name| name.lsns().contains(&Lsn(lsn)));
    assert!(covered(1) && covered(middle.first_lsn.0.saturating_sub(1).max(1)));
    assert!(covered(last.0 + 1) && covered(300) && !covered(last.0));
    machine.look_again();
    machine.check(&(&b"key 00010"[..]..=&b"key 00020"[..]), &(last.next()..=Lsn(300)));
}

#[test]
fn entries_without_rows_are_covered_too() {
    let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
    let entries: Vec<Vec<u8>> =
        vec![super::entry(WriteBatch::new()), put(b"k", b"v"), super::entry(WriteBatch::new())];
    machine.append(&entries);
    machine.flush(1);
    machine.flush(2);
    machine.flush(3);
    assert_eq!(machine.set.files().len(), 3);
    machine.look_again();
    machine.check(&(&b""[..]..=&b"z"[..]), &(Lsn(1)..=Lsn(3)));
    assert_eq!(machine.paths().len(), 3, "all of them are whole");
}

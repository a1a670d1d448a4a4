//! What a span costs: counted in entries and frames.

use std::sync::Arc;

use stemedb_env::Lsn;
use stemedb_index::KeyValues;
use stemedb_lsm::{Error, WriteSource};
use stemedb_wal::{Journal, JournalOptions};

use super::{Machine, entries_read, frames_read, put};

const ENTRIES: u64 = 6_000;
/// Of the journal whose entries take one frame of 2 KiB each: 64 to a mark, 2,048 at most to a segment.
const OPTIONS: fn() -> JournalOptions = || JournalOptions {
    segment_bytes: 4 << 20,
    sector_bytes: 512,
    pack_level: None,
    ..JournalOptions::default()
};

fn key(n: u64) -> Vec<u8> {
    // Spread: neighbours were written far apart.
    let mut key = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_be_bytes().to_vec();
    key.extend_from_slice(b"/rest of the key");
    key
}

fn grown(flush_every: u64) -> Machine<KeyValues> {
    let mut machine = Machine::new(KeyValues, OPTIONS());
    for n in 1..=ENTRIES {
        machine.append(&[put(&key(n), &[7; 1_900])]);
        if n % flush_every == 0 {
            machine.flush(n);
        }
    }
    machine
}

/// Spans with `rows` rows each.
fn spans(rows: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut keys: Vec<Vec<u8>> = (1..=ENTRIES).map(key).collect();
    keys.sort();
    let spans = keys.windows(rows).step_by(keys.len() / 12);
    spans.map(|rows| (rows[0].clone(), rows[rows.len() - 1].clone())).collect()
}

fn cost(machine: &Machine<KeyValues>, rows: usize) -> (u64, u64) {
    let source = machine.source();
    let all = Lsn(1)..=Lsn(ENTRIES);
    let spans = spans(rows);
    for (start, end) in &spans {
        let found = source.writes(&(&start[..]..=&end[..]), &all).unwrap();
        assert_eq!(found.len(), rows);
    }
    (entries_read(&source) / spans.len() as u64, frames_read(&source) / spans.len() as u64)
}

#[test]
fn a_small_span_costs_what_it_has_and_not_what_the_journal_has() {
    let machine = grown(1_500);
    let segments = machine.journal.segments().unwrap().len();
    assert!(segments >= 4, "{segments} segments");
    let (entries, frames) = cost(&machine, 10);
    // Each of four sidecars may give an entry or two in vain.
    assert!(entries <= 10 + 2, "{entries} entries for 10 rows");
    assert!(frames <= 10 * 64, "{frames} frames for 10 rows of a journal of {ENTRIES}");
    // After a restart nothing is known in memory; the sidecars know where to begin.
    let machine = machine.reopened(OPTIONS());
    let (entries, again) = cost(&machine, 10);
    assert!(entries <= 10 + 2 && again <= 10 * 64, "{entries} entries, {again} frames after a restart");
    // And more rows cost more, up to everything once.
    let (entries, frames) = cost(&machine, 400);
    assert!((400..=410).contains(&entries), "{entries}");
    assert!(frames <= ENTRIES + 200, "{frames} frames: never more than all of them");
}

#[test]
fn what_no_sidecar_covers_is_read_once_in_order() {
    let machine = grown(u64::MAX);
    let source = machine.source();
    let (start, end) = &spans(10)[3];
    let found = source.writes(&(&start[..]..=&end[..]), &(Lsn(2_001)..=Lsn(3_000))).unwrap();
    assert!(found.len() < 10);
    assert_eq!(entries_read(&source), 1_000);
    assert!(frames_read(&source) <= 1_000 + 66, "{}", frames_read(&source));
}

#[test]
fn a_wrong_mark_costs_time_and_no_entry() {
    let machine = grown(u64::MAX);
    let mut marks = machine.journal.marks(&(Lsn(1)..=Lsn(ENTRIES)));
    assert!(marks.len() > 80, "{} marks", marks.len());
    let machine = machine.reopened(OPTIONS());
    for (at, mark) in marks.iter_mut().enumerate() {
        match at % 5 {
            0 => mark.chain.0[3] ^= 1,
            1 => mark.offset += 512,
            2 => mark.segment += 1,
            3 => mark.offset = 1 << 40,
            _ => {}
        }
    }
    let wanted: Vec<Lsn> = (1..=ENTRIES).step_by(97).map(Lsn).collect();
    let mut picked = machine.journal.pick(wanted.clone(), marks);
    let mut found = Vec::new();
    while let Some(entry) = stemedb_wal::JournalReader::next_entry(&mut picked).unwrap() {
        found.push(entry.lsn);
        assert_eq!(entry.bytes, put(&key(entry.lsn.0), &[7; 1_900]));
    }
    assert_eq!(found, wanted);
}

#[test]
fn an_entry_that_is_gone_is_an_error_and_never_a_shorter_answer() {
    let mut machine = grown(1_500);
    let journal = Arc::clone(&machine.journal);
    journal.release(Lsn(ENTRIES)).unwrap();
    let segments = journal.segments().unwrap();
    let gone = &segments[1];
    machine.sim.fs.delete(&gone.path).unwrap();
    drop(journal);
    machine = machine.reopened(OPTIONS());
    let source = machine.source();
    let (first, last) = (gone.first_lsn.0, gone.last_lsn.unwrap().0);
    let lost = key((first + last) / 2);
    let all = Lsn(1)..=Lsn(ENTRIES);
    match source.writes(&(&lost[..]..=&lost[..]), &all) {
        Err(Error::Corruption { file, .. }) => assert!(file.starts_with("/db/wal"), "{file:?}"),
        other => panic!("{other:?}"),
    }
    // A span whose entries are all there does not need the others.
    for lsn in [first - 1, last + 1, 1, ENTRIES] {
        let there = key(lsn);
        assert_eq!(source.writes(&(&there[..]..=&there[..]), &all).unwrap().len(), 1, "entry {lsn}");
    }
    // Without sidecars nobody can know that.
    machine.paths().iter().for_each(|path| machine.sim.fs.delete(path).unwrap());
    machine.look_again();
    let there = key(1);
    assert!(machine.source().writes(&(&there[..]..=&there[..]), &all).is_err());
    assert!(
        machine
            .source()
            .writes(&(&there[..]..=&there[..]), &(Lsn(last + 1)..=Lsn(ENTRIES)))
            .unwrap()
            .is_empty()
    );
}

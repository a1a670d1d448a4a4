//! Random entries, random tables: every span is answered as the journal itself would.

use proptest::{collection::vec, prelude::*};
use stemedb_core::{Assertion, Command, Object};
use stemedb_env::{Lsn, Micros};
use stemedb_index::{Admit, Claims, KeyValues, Submission};
use stemedb_lsm::{KvStore, MemStore, WriteBatch, WriteSource};
use stemedb_wal::JournalOptions;

use super::{Machine, entry, plain};

/// Keys that are each other's beginnings, empty, and at the end of all.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x61), Just(0xFE), Just(0xFF)];
    prop_oneof![
        6 => vec(byte, 0..6),
        1 => vec(Just(0xFFu8), 0..9),
        1 => vec(any::<u8>(), 30..40),
    ]
}

#[derive(Clone, Debug)]
enum Write {
    Put(Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        8 => key().prop_map(Write::Put),
        2 => key().prop_map(Write::Delete),
        1 => (key(), key()).prop_map(|(a, b)| Write::DeleteRange(a, b)),
    ]
}

fn batch(writes: &[Write], number: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for write in writes {
        match write {
            Write::Put(key) => batch.put(key, &number.to_be_bytes()),
            Write::Delete(key) => batch.delete(key),
            Write::DeleteRange(start, end) => batch.delete_range(start, end),
        }
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn key_values_of_any_span_come_back(
        entries in vec(vec(write(), 1..8), 1..60),
        flushes in vec((1usize..20, 0u8..4), 0..8),
        spans in vec((key(), key(), 0u64..70, 0u64..70), 12),
        reopen: bool,
    ) {
        let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
        let entries: Vec<Vec<u8>> =
            entries.iter().enumerate().map(|(at, writes)| entry(batch(writes, at))).collect();
        let count = entries.len() as u64;
        for group in entries.chunks(3) {
            machine.append(group);
        }
        for (entries, what) in flushes {
            let upto = (machine.flushed.0 + entries as u64).min(count);
            match what {
                // A table without a sidecar: nobody covers it.
                0 => machine.flushed = Lsn(upto),
                _ => machine.flush(upto),
            }
        }
        if reopen {
            machine = machine.reopened(JournalOptions::tiny());
        }
        for (a, b, first, last) in &spans {
            let (start, end) = if a <= b { (&a[..], &b[..]) } else { (&b[..], &a[..]) };
            machine.check(&(start..=end), &(Lsn((*first).min(*last))..=Lsn((*last).max(*first).min(count))));
            machine.check(&(start..=start), &(Lsn(0)..=Lsn(count)));
        }
        machine.check(&(&b""[..]..=&[0xFF; 64][..]), &(Lsn(1)..=Lsn(count)));
    }

    #[test]
    fn cuts_are_within_the_span_and_parts_together_are_the_whole(
        keys in vec(key(), 1..200), span in (key(), key()), rows in 1usize..40, covered: bool,
    ) {
        let mut machine = Machine::new(KeyValues, JournalOptions::tiny());
        let entries: Vec<Vec<u8>> = keys.iter().map(|key| super::put(key, b"v")).collect();
        machine.append(&entries);
        if covered {
            machine.flush(entries.len() as u64);
        }
        let (start, end) = if span.0 <= span.1 { (&span.0[..], &span.1[..]) } else { (&span.1[..], &span.0[..]) };
        let lsns = Lsn(1)..=Lsn(entries.len() as u64);
        let source = machine.source();
        let cuts = source.cuts(&(start..=end), &lsns, rows).unwrap();
        prop_assert!(cuts.is_sorted_by(|a, b| a < b));
        prop_assert!(cuts.iter().all(|cut| start <= &cut[..] && &cut[..] <= end), "{:?}", cuts);
        let whole = plain(source.writes(&(start..=end), &lsns).unwrap());
        let mut parts = Vec::new();
        let mut from = start;
        for cut in &cuts {
            let part = source.writes(&(from..=&cut[..]), &lsns).unwrap();
            parts.extend(plain(part).into_iter().filter(|write| write.0 < *cut));
            from = cut;
        }
        parts.extend(plain(source.writes(&(from..=end), &lsns).unwrap()));
        parts.sort();
        prop_assert_eq!(parts, whole);
    }
}

#[test]
fn claims_of_any_span_come_back() {
    let mut machine = Machine::new(Claims, JournalOptions::tiny());
    let view = MemStore::new().snapshot();
    let mut all_keys = std::collections::BTreeSet::new();
    for n in 0..120u64 {
        let mut submission = Submission::new();
        for m in 0..n % 5 + 1 {
            let claim = Assertion::new(
                format!("cas:{}", (n * 7 + m) % 11),
                ["melting_point_K", "density"][(n % 2) as usize],
                Object::Integer((n * 100 + m) as i64),
                format!("source {}", n % 3),
            );
            submission.push(&Command::Assert(claim)).unwrap();
        }
        let lsn = Lsn(n + 1);
        let admitted =
            Claims.admit(submission, &view, &mut Default::default(), lsn, Micros(n as i64)).unwrap();
        machine.append(&[admitted.entry.unwrap()]);
        if n % 25 == 24 && n != 49 {
            machine.flush(n + 1);
        } else if n == 49 {
            machine.flushed = lsn;
        }
    }
    for write in super::everything(&machine.journal, &Claims, &(Lsn(1)..=Lsn(120))) {
        if let stemedb_lsm::DerivedWrite::Row(row) = write {
            all_keys.insert(row.key);
        }
    }
    let all_keys: Vec<Vec<u8>> = all_keys.into_iter().collect();
    assert!(all_keys.len() > 1_000);
    for (at, window) in all_keys.windows(20).enumerate().step_by(37) {
        let upto = Lsn(120 - at as u64 % 60);
        machine.check(&(&window[0][..]..=&window[19][..]), &(Lsn(1)..=upto));
        machine.check(&(&window[7][..]..=&window[7][..]), &(Lsn(1)..=upto));
        // Between two keys there is nothing, whatever is cut off from them.
        let mut between = window[3].clone();
        between.push(0);
        let end = &window[4][..window[4].len() - 1];
        if &between[..] <= end {
            machine.check(&(&between[..]..=end), &(Lsn(1)..=upto));
        }
    }
    machine.check(&(&b""[..]..=&[0xFF; 80][..]), &(Lsn(1)..=Lsn(120)));
}

#[test]
fn a_key_with_more_versions_than_a_block_has_rows_comes_back_whole() {
    let mut machine = Machine::new(KeyValues, JournalOptions::default());
    let mut entries = Vec::new();
    for n in 0..9_000u64 {
        entries.push(super::put(if n % 2 == 0 { b"key" } else { b"kez" }, &n.to_be_bytes()));
    }
    entries.push(super::put(b"k", b"1"));
    entries.push(super::put(b"kf", b"1"));
    machine.append(&entries);
    machine.flush(entries.len() as u64);
    let all = Lsn(1)..=Lsn(entries.len() as u64);
    let keys: [&[u8]; 7] = [b"", b"k", b"ke", b"key", b"keya", b"kez", b"l"];
    for start in keys {
        for end in keys.into_iter().filter(|end| start <= *end) {
            machine.check(&(start..=end), &all);
        }
    }
}

//! The format, byte for byte: what is written today is what the golden files hold, and they are read as what was written.
//!
//! `STEMEDB_BLESS=1 cargo test -p stemedb-wal --test golden` writes them anew: after `docs/formats/journal.md` has been changed.
// Helpers outside the test functions unwrap too; golden files are real ones.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use stemedb_env::{Env, Lsn, frame::DatabaseId, fs::SimFs};
use stemedb_wal::{
    EntrySource, Healing, Journal, JournalIdentity, JournalOptions, JournalReader, Prepare, RecoveredEntry,
    SegmentedJournal, Unrecoverable,
};

const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId(*b"golden database!"), timeline: 3 };
const DIR: &str = "/db/wal";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal").join(name)
}

fn options() -> JournalOptions {
    JournalOptions { prepare: Prepare::Off, compress: true, pack_level: None, ..JournalOptions::tiny() }
}

fn entries() -> Vec<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> =
        [&b"the sky is blue"[..], b"", b"no, grey", &[0xA5; 700]].map(<[u8]>::to_vec).to_vec();
    // Compressed: an entry that repeats itself.
    entries.push(b"again and ".repeat(600));
    entries.push(b"after a rotation".to_vec());
    entries
}

/// One of everything that a segment holds: header, groups, a compressed one, a seal, the marker of a close.
fn written() -> SimFs {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(Path::new("/db")).unwrap();
    let journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options()).unwrap();
    let entries = entries();
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    assert_eq!(journal.append_group(&slices[..1]).unwrap(), Lsn(1));
    assert_eq!(journal.append_group(&slices[1..4]).unwrap(), Lsn(2));
    assert_eq!(journal.append_group(&slices[4..5]).unwrap(), Lsn(5));
    journal.rotate().unwrap();
    assert_eq!(journal.append_group(&slices[5..]).unwrap(), Lsn(6));
    journal.close().unwrap();
    handles.fs
}

const FILES: [&str; 3] = ["live.000001.wal", "live.000002.wal", "HEAD"];

#[test]
fn what_is_written_today_is_what_the_golden_files_hold() {
    let fs = written();
    for name in FILES {
        let bytes = fs.read_all(&Path::new(DIR).join(name)).unwrap();
        if std::env::var_os("STEMEDB_BLESS").is_some() {
            std::fs::create_dir_all(golden("")).unwrap();
            std::fs::write(golden(name), &bytes).unwrap();
        }
        let expected = std::fs::read(golden(name)).unwrap();
        let differs = bytes.iter().zip(&expected).position(|(one, other)| one != other);
        assert_eq!(differs, None, "{name} differs at this offset");
        assert_eq!(bytes.len(), expected.len(), "{name}");
    }
}

#[test]
fn the_golden_files_are_read_as_what_was_written() {
    let (env, handles) = Env::sim(2);
    handles.fs.install_dir(Path::new(DIR)).unwrap();
    for name in FILES {
        handles.fs.install(&Path::new(DIR).join(name), &std::fs::read(golden(name)).unwrap()).unwrap();
    }
    let (journal, report) =
        SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(6), options()).unwrap();
    assert_eq!((report.last_lsn, report.proven_lsn, report.head_found), (Lsn(6), Lsn(6), true));
    let mut reader = journal.read_from(Lsn(1)).unwrap();
    for (entry, lsn) in entries().iter().zip(1..) {
        let read = reader.next_entry().unwrap().unwrap();
        assert_eq!((read.lsn, &read.bytes[..]), (Lsn(lsn), &entry[..]));
    }
    assert_eq!(reader.next_entry().unwrap(), None);
}

/// The tables of the format page, checked against the bytes themselves and not by the code that wrote them.
#[test]
fn the_offsets_of_the_format_page_are_those_of_the_files() {
    let first = std::fs::read(golden("live.000001.wal")).unwrap();
    let second = std::fs::read(golden("live.000002.wal")).unwrap();
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((&first[0..4], first[5], &first[8..24]), (&b"STEM"[..], 1, &b"golden database!"[..]));
    // Header payload of segment 2, behind 96 bytes of frame header.
    let payload = &second[96..176];
    let accepted = number(payload, 8) as usize;
    assert_eq!((number(payload, 0), number(payload, 32), number(payload, 40)), (1, 5, 6));
    assert_eq!(u32::from_le_bytes(payload[48..52].try_into().unwrap()), 512);
    assert_eq!((number(payload, 56), number(payload, 64), number(payload, 72)), (512, 512, 0));
    // At the accepted length of segment 1 stands its seal, which names segment 2 and the last LSN.
    assert_eq!((&first[accepted..accepted + 4], first[accepted + 5]), (&b"STEM"[..], 4));
    assert_eq!((number(&first, accepted + 96), number(&first, accepted + 104)), (2, 5));
    // The marker of the close, with its flag, is the last frame.
    let marker = second.len() - 512;
    assert_eq!((second[marker + 5], second[marker + 6]), (3, 1));
    // HEAD: the newer slot says segment 2.
    let head = std::fs::read(golden("HEAD")).unwrap();
    let slots =
        [0, 4096].map(|at| (number(&head, at + 96), number(&head, at + 104), number(&head, at + 120)));
    assert!(
        slots.iter().any(|&(sequence, segment, last)| (sequence % 2, segment, last) == (sequence % 2, 2, 6))
    );
    assert_eq!(slots[0].0 % 2, 0);
}

/// Gives the entries again, and does not say which of them were one group.
struct Entries;

impl EntrySource for Entries {
    fn recover(&mut self, lsns: &RangeInclusive<Lsn>) -> Result<Vec<Option<RecoveredEntry>>, Unrecoverable> {
        let all = entries();
        let wanted = lsns.start().0 as usize - 1..lsns.end().0 as usize;
        let one =
            |bytes: &Vec<u8>| Some(RecoveredEntry { bytes: bytes.clone(), is_certain: true, stamp: None });
        Ok(all[wanted].iter().map(one).collect())
    }
}

const REPLACEMENT: &str = "replacement/live.000001.wal";

/// The journal above, whose first segment has lost everything but its header, written again.
fn replaced() -> SimFs {
    let fs = written();
    let path = Path::new(DIR).join(FILES[0]);
    let accepted = 2560;
    fs.overwrite(&path, 512, &vec![0; accepted - 512]).unwrap();
    let clock = stemedb_env::clock::SimClock::new(stemedb_env::Micros(0));
    let env = Env::over(fs.clone(), std::sync::Arc::new(clock), 1).0;
    let (journal, _) = SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(6), options()).unwrap();
    let healed = journal.heal(1, &mut Entries).unwrap().unwrap();
    assert_eq!(healed.healing, Healing::Replacement);
    drop(journal);
    fs
}

#[test]
fn a_replacement_is_what_its_golden_file_holds_and_is_read_as_what_was_written() {
    let fs = replaced();
    let bytes = fs.read_all(&Path::new(DIR).join(FILES[0])).unwrap();
    if std::env::var_os("STEMEDB_BLESS").is_some() {
        std::fs::create_dir_all(golden("replacement")).unwrap();
        std::fs::write(golden(REPLACEMENT), &bytes).unwrap();
    }
    let expected = std::fs::read(golden(REPLACEMENT)).unwrap();
    let differs = bytes.iter().zip(&expected).position(|(one, other)| one != other);
    assert_eq!((differs, bytes.len()), (None, expected.len()));
    // Beside the golden successor, which names the original.
    let (env, handles) = Env::sim(2);
    handles.fs.install_dir(Path::new(DIR)).unwrap();
    for (name, file) in [(FILES[0], REPLACEMENT), (FILES[1], FILES[1]), (FILES[2], FILES[2])] {
        handles.fs.install(&Path::new(DIR).join(name), &std::fs::read(golden(file)).unwrap()).unwrap();
    }
    let (journal, _) = SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, Lsn(6), options()).unwrap();
    let mut reader = journal.read_from(Lsn(1)).unwrap();
    for (entry, lsn) in entries().iter().zip(1..) {
        let read = reader.next_entry().unwrap().unwrap();
        assert_eq!((read.lsn, &read.bytes[..]), (Lsn(lsn), &entry[..]));
    }
    assert_eq!(reader.next_entry().unwrap(), None);
    assert!(journal.verify().unwrap().damage.is_empty());
    // The offsets of the format page: flags, own length, what it stands for, and a seal as the last frame.
    let number = |at: usize| u64::from_le_bytes(expected[at..at + 8].try_into().unwrap());
    let successor = std::fs::read(golden(FILES[1])).unwrap();
    assert_eq!(number(96 + 72), 2);
    assert_eq!(number(96 + 80), expected.len() as u64);
    assert_eq!(expected[96 + 88..96 + 96], successor[96 + 8..96 + 16]);
    assert_eq!(expected[96 + 96..96 + 112], successor[96 + 16..96 + 32]);
    assert_eq!(expected[expected.len() - 512 + 5], 4);
}

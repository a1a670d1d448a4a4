//! A small journal, damaged by a recipe, and everything that reads it.
//!
//! ```text
//! 0  1  the journal     which of the prepared ones: see `base.rs`
//! 1  1  flags           1 frames are made to verify again, 2 and those behind them, 4 the views have flushed something
//! 2  8  each damage     see `damage.rs`
//! ```
//!
//! Whatever the recipe: no panic. If no checksum was made right again, also: an entry that is read is the one that was
//! appended; what the damage left proof of is there, or an error says where it is not; and the journal can be written on.

mod base;
mod damage;

use std::{collections::BTreeMap, path::Path};

use stemedb_env::{Env, Lsn, clock::SimClock};
use stemedb_wal::{
    Error, Journal, JournalOptions, JournalReader, RecoveryReport, SegmentedJournal,
    inspect::{Finding, inspect},
};

use self::base::{Base, DIR, IDENTITY, entry};
use super::input::Input;

/// Name in the journal's folder, and content.
type Files = BTreeMap<String, Vec<u8>>;

const FIX: u8 = 1;
const FOLLOWERS: u8 = 2;
const FLUSHED: u8 = 4;
/// So many damages at most. Without the checksum being made right it takes more to forge one.
const DAMAGES: usize = 4;

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let base = Base::get(input.byte());
    let flags = input.byte();
    let forging = (flags & FIX != 0).then_some(damage::Forging { followers: flags & FOLLOWERS != 0 });
    let mut files = base.files.clone();
    for _ in 0..DAMAGES {
        if input.rest().is_empty() {
            break;
        }
        damage::apply(&mut files, input.take(), forging);
    }
    let flushed = if flags & FLUSHED != 0 { base.flushed } else { Lsn::ZERO };
    let provable = base.provable(&files).max(flushed.0);
    let judge = Judge { base, provable, sound: forging.is_none() };
    judge.inspection(&machine(&files));
    judge.rebuild(&machine(&files));
    judge.service(&machine(&files), flushed);
}

/// A machine with these files.
fn machine(files: &Files) -> Env {
    let fs = stemedb_env::fs::SimFs::new();
    fs.install_dir(Path::new(DIR)).unwrap();
    for (name, bytes) in files {
        fs.install(&Path::new(DIR).join(name), bytes).unwrap();
    }
    let clock = SimClock::new(stemedb_env::clock::Micros(0));
    Env::over(fs, std::sync::Arc::new(clock), 1).0
}

struct Judge<'a> {
    base: &'a Base,
    /// The last entry that must be there.
    provable: u64,
    /// Nothing was forged: what is read can be trusted.
    sound: bool,
}

impl Judge<'_> {
    fn expect(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds || !self.sound, "{}", what());
    }

    /// The error of a damaged journal names the damage.
    fn named(&self, error: &Error) {
        let fine = matches!(
            error,
            Error::Corruption { .. }
                | Error::MissingSegment { .. }
                | Error::Foreign { .. }
                | Error::NoJournal { .. }
        );
        self.expect(fine, || format!("not an error about damage: {error}"));
    }

    fn right(&self, lsn: u64, bytes: &[u8]) {
        self.expect(lsn > 0 && bytes == entry(lsn), || format!("entry {lsn} is wrong"));
    }

    fn inspection(&self, env: &Env) {
        let seen = inspect(env, Path::new(DIR), &[], &mut |finding| {
            let Finding::Frame(frame) = finding else { return };
            for (at, bytes) in (0..).zip(&frame.entries) {
                self.right(frame.first_lsn.0.wrapping_add(at), bytes);
            }
        });
        if let Err(error) = seen {
            self.named(&error);
        }
    }

    fn rebuild(&self, env: &Env) {
        match SegmentedJournal::open_read_only(env, Path::new(DIR)) {
            Ok((journal, _)) => {
                self.read(&journal);
                self.everything(&journal);
            }
            Err(error) => self.named(&error),
        }
    }

    /// Reads from the oldest entry that is said to be readable. Returns the last one that was.
    fn read(&self, journal: &SegmentedJournal) -> Option<u64> {
        let first = journal.first_lsn();
        let mut reader = match journal.read_from(first) {
            Ok(reader) => reader,
            Err(error) => {
                self.named(&error);
                return None;
            }
        };
        let mut last = first.0.wrapping_sub(1);
        loop {
            match reader.next_entry() {
                Ok(Some(read)) => {
                    self.expect(read.lsn.0 == last + 1, || format!("{} after {last}", read.lsn));
                    self.right(read.lsn.0, &read.bytes);
                    last = read.lsn.0;
                }
                Ok(None) => return Some(last),
                Err(error) => {
                    self.named(&error);
                    return None;
                }
            }
        }
    }

    fn everything(&self, journal: &SegmentedJournal) {
        for verdict in [journal.verify().map(drop), journal.segments().map(drop)] {
            if let Err(error) = verdict {
                self.named(&error);
            }
        }
    }

    fn open(&self, env: &Env, flushed: Lsn) -> Option<(SegmentedJournal, RecoveryReport)> {
        let options = JournalOptions { sector_bytes: 512, ..JournalOptions::tiny() };
        match SegmentedJournal::open(env, Path::new(DIR), IDENTITY, flushed, options) {
            Ok(opened) => Some(opened),
            Err(error) => {
                self.named(&error);
                None
            }
        }
    }

    fn service(&self, env: &Env, flushed: Lsn) {
        let Some((journal, report)) = self.open(env, flushed) else { return };
        let (m, first) = (report.last_lsn.0, report.first_lsn);
        self.expect(m >= self.provable, || format!("silently {m} of {} entries", self.provable));
        self.expect(m <= self.base.last, || format!("{m} of {} entries", self.base.last));
        let told = first == Lsn(1) || self.base.recycles || !report.missing.is_empty();
        self.expect(told, || format!("entries before {first} are gone without a word"));
        if let Some(last) = self.read(&journal) {
            self.expect(last == m, || format!("the reader stopped at {last} of {m} without a word"));
        }
        self.everything(&journal);
        if !self.sound {
            return;
        }
        // It goes on from there.
        let next = m.wrapping_add(1);
        let appended = journal.append(entry(next));
        let Ok(lsn) = appended else {
            self.expect(false, || format!("{appended:?}"));
            return;
        };
        self.expect(lsn.0 == next, || format!("{lsn} was given after {m}"));
        let closed = journal.close();
        self.expect(closed.is_ok(), || format!("{closed:?}"));
        drop(journal);
        let Some((journal, report)) = self.open(env, flushed) else {
            self.expect(false, || "it cannot be opened again".to_owned());
            return;
        };
        self.expect(report.last_lsn == lsn, || format!("{} of {lsn} entries after a close", report.last_lsn));
        self.read(&journal);
    }
}

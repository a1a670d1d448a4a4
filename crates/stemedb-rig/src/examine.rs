//! One disk after a power cut: opened, compared with what was promised, used, and opened again.

use std::path::Path;

use stemedb_env::{Env, Lsn};
use stemedb_wal::{Error, Journal, JournalReader, RecoveryReport, SegmentedJournal};

use crate::{
    JOURNAL_DIR,
    content::{self, OpId},
    history::{History, Verdict},
    life::journal_options,
};

/// How many entries are appended after the recovery.
const APPENDS: u32 = 3;

/// What an examination found.
#[derive(Debug)]
pub struct Examined {
    /// Before anything was appended.
    pub verdict: Verdict,
    /// What the open reported; `None` if there was no journal yet, or it did not open.
    pub report: Option<RecoveryReport>,
    /// If the journal goes on from the state that was found...
    pub found: History,
    /// ...or from that with three more entries.
    pub used: History,
}

/// Opens the journal below `root`. `life` is a number that no writer has, for the entries that are appended.
pub fn examine(root: &Path, history: &History, seed: u64, life: u32) -> Examined {
    let mut examined =
        Examined { verdict: Verdict::default(), report: None, found: history.clone(), used: history.clone() };
    if let Err(problem) = look(root, history, seed, life, &mut examined) {
        examined.verdict.problems.push(problem);
    }
    examined
}

/// Reads the journal below `root` without changing anything, as one can where a recovery has no room.
pub fn read_only(root: &Path, history: &History) -> Verdict {
    let opened = SegmentedJournal::open_read_only(&Env::real(), &root.join(JOURNAL_DIR));
    let entries = match opened {
        Ok((journal, report)) => read(&journal).map(|entries| (report.first_lsn, entries)),
        Err(Error::NoJournal { .. }) if !history.exists() => return Verdict::default(),
        Err(error) => Err(format!("it does not open: {error}")),
    };
    match entries {
        Ok((first_lsn, entries)) => history.compare(first_lsn.0, &entries),
        Err(problem) => history.unreadable(format!("read only: {problem}")),
    }
}

fn look(root: &Path, history: &History, seed: u64, life: u32, examined: &mut Examined) -> Result<(), String> {
    let (env, dir, identity) = (Env::real(), root.join(JOURNAL_DIR), crate::identity(seed));
    let options = journal_options(seed, life, true);
    // Views that know what they have flushed, and none.
    let flushed = Lsn(if life.is_multiple_of(2) { history.flushed() } else { 0 });
    let (journal, report) = match SegmentedJournal::open(&env, &dir, identity, flushed, options.clone()) {
        Ok(opened) => opened,
        // The power went before the journal was there.
        Err(Error::NoJournal { .. }) if !history.exists() => return Ok(()),
        Err(error) => {
            examined.verdict = history.unreadable(format!("it does not open: {error}"));
            return Ok(());
        }
    };
    let text = format!("{report:?}");
    let (last_lsn, first_lsn) = (report.last_lsn, report.first_lsn);
    examined.report = Some(report);
    let entries = match read(&journal) {
        Ok(entries) => entries,
        Err(problem) => {
            examined.verdict = history.unreadable(format!("{problem}; {text}"));
            return Ok(());
        }
    };
    examined.verdict = history.compare(first_lsn.0, &entries);
    if last_lsn.0 + 1 != first_lsn.0 + entries.len() as u64 || journal.durable_lsn() != last_lsn {
        let (read, durable) = (entries.len(), journal.durable_lsn());
        return Err(format!("{read} entries were read, durable to {durable}, reported as {text}"));
    }
    if !examined.verdict.problems.is_empty() {
        return Err(text);
    }
    examined.found.go_on_from(&examined.verdict);
    examined.used = examined.found.clone();
    examined.used.begins(life, 1);
    for seq in 0..APPENDS {
        let op = OpId { life, thread: 0, seq };
        let group = content::group(seed, op);
        let slices: Vec<&[u8]> = group.iter().map(|entry| &entry[..]).collect();
        let lsn = journal.append_group(&slices).map_err(|error| format!("append after recovery: {error}"))?;
        examined.used.acked(op, lsn.0, content::hash(&group))?;
    }
    journal.close().map_err(|error| format!("close after recovery: {error}"))?;
    drop(journal);
    let (journal, again) = SegmentedJournal::open(&env, &dir, identity, flushed, options)
        .map_err(|error| format!("it does not open again: {error}"))?;
    if again.cut.is_some() || again.adopted_entries > 0 {
        return Err(format!("closed, then opened as {again:?}, before as {text}"));
    }
    let entries = read(&journal)?;
    let verdict = examined.used.compare(again.first_lsn.0, &entries);
    examined.verdict.lost += verdict.lost;
    examined.verdict.problems.extend(verdict.problems);
    if examined.verdict.problems.is_empty() { Ok(()) } else { Err(format!("opened again as {again:?}")) }
}

/// Everything from the first readable entry on.
fn read(journal: &SegmentedJournal) -> Result<Vec<impl AsRef<[u8]> + use<>>, String> {
    let first_lsn = journal.first_lsn();
    let mut reader =
        journal.read_from(first_lsn).map_err(|error| format!("read from {first_lsn}: {error}"))?;
    let mut entries = Vec::new();
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) if entry.lsn.0 == first_lsn.0 + entries.len() as u64 => entries.push(entry.bytes),
            Ok(Some(entry)) => {
                return Err(format!("LSN {} comes after {} entries", entry.lsn, entries.len()));
            }
            Ok(None) => return Ok(entries),
            Err(error) => return Err(format!("read after {} entries: {error}", entries.len())),
        }
    }
}

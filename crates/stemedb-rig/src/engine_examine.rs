//! A data directory after a death: opened, compared with what was promised, used, and opened again.
//!
//! ```text
//! open ─ every entry: known, whole, in its place ─ derived again: the same root ─ verify ─ commit 3 ─ close ─ open ─ the same again
//! ```

use std::path::Path;

use stemedb_env::{Env, Lsn};
use stemedb_hybrid::{ClaimEngine, Error, EventKind, Layout, OpenReport, RedbStore, StateRoot};
use stemedb_index::{Claims, Derive as _, claims::Entry};
use stemedb_lsm::{Op, WriteBatch};
use stemedb_wal::{Journal as _, JournalReader as _};

use crate::{
    content::OpId,
    engine_content as content,
    engine_life::engine_options,
    history::{History, Verdict},
};

/// How many submissions are committed after the recovery.
const COMMITS: u32 = 3;

/// What an examination found.
#[derive(Debug)]
pub struct Examined {
    /// What is there and what is wrong, before and after the commits.
    pub verdict: Verdict,
    /// Claims that were found, in whole submissions, before the commits.
    pub claims: u64,
    /// A fallback view was found that a death had left half made: it is filled again, and tells so as damage.
    pub half_made_fallback: bool,
    /// What the open reported; `None` if there was no database yet, or it did not open.
    pub report: Option<OpenReport>,
    /// If the database goes on from the state that was found...
    pub found: History,
    /// ...or from that with three more submissions.
    pub used: History,
}

/// Opens the database in `dir`. `life` is a number that no writer has, for the submissions that are committed.
pub fn examine(dir: &Path, history: &History, seed: u64, life: u32) -> Examined {
    let mut examined = Examined {
        verdict: Verdict::default(),
        claims: 0,
        half_made_fallback: false,
        report: None,
        found: history.clone(),
        used: history.clone(),
    };
    if let Err(problem) = look(dir, history, seed, life, &mut examined) {
        examined.verdict.problems.push(problem);
    }
    examined
}

fn look(dir: &Path, history: &History, seed: u64, life: u32, examined: &mut Examined) -> Result<(), String> {
    let options = engine_options(seed, life);
    let young_fallback = fallback_is_young(dir);
    let (engine, report) = match ClaimEngine::open(&Env::real(), dir, Claims, &options) {
        Ok(opened) => opened,
        // It died before the database was there.
        Err(Error::NotADatabase { .. }) if !history.exists() => return Ok(()),
        Err(error) => {
            examined.verdict = history.unreadable(format!("it does not open: {error}"));
            return Ok(());
        }
    };
    let text = format!("{report:?}");
    let is_undamaged = !report.rebuilt && !report.catching_up && report.damaged_tables.is_empty();
    let last_lsn = report.journal.last_lsn;
    examined.report = Some(report);
    let all = match read(&engine) {
        Ok(all) => all,
        Err(problem) => {
            examined.verdict = history.unreadable(format!("{problem}; {text}"));
            return Ok(());
        }
    };
    examined.claims = all.claims;
    examined.verdict = history.compare(1, &all.entries);
    if last_lsn.0 != all.entries.len() as u64 {
        return Err(format!("{} entries were read, reported as {text}", all.entries.len()));
    }
    if !examined.verdict.problems.is_empty() || !is_undamaged {
        return Err(format!("opened as {text}"));
    }
    examined.half_made_fallback =
        sound(&engine, &all, young_fallback).map_err(|problem| format!("{problem}; opened as {text}"))?;
    examined.found.go_on_from(&examined.verdict);
    examined.used = examined.found.clone();
    examined.used.begins(life, 1);
    for seq in 0..COMMITS {
        let op = OpId { life, thread: 0, seq };
        let claims = content::claims(seed, op);
        let outcomes = engine
            .commit(content::submission(&claims)?)
            .map_err(|error| format!("commit after recovery: {error}"))?;
        let lsn = outcomes.first().map_or(0, |outcome| outcome.position.lsn.0);
        examined.used.acked(op, lsn, content::hash(&claims))?;
    }
    engine.close().map_err(|error| format!("close after recovery: {error}"))?;
    let young_fallback = fallback_is_young(dir);
    let (engine, again) = ClaimEngine::open(&Env::real(), dir, Claims, &options)
        .map_err(|error| format!("it does not open again: {error}"))?;
    if again.journal.cut.is_some() || again.journal.adopted_entries > 0 || again.rebuilt {
        return Err(format!("closed, then opened as {again:?}, before as {text}"));
    }
    let all = read(&engine)?;
    let verdict = examined.used.compare(1, &all.entries);
    examined.verdict.lost += verdict.lost;
    examined.verdict.problems.extend(verdict.problems);
    if !examined.verdict.problems.is_empty() {
        return Err(format!("opened again as {again:?}"));
    }
    sound(&engine, &all, young_fallback)
        .map_err(|problem| format!("{problem}; opened again as {again:?}"))?;
    engine.close().map_err(|error| format!("close: {error}"))
}

/// Every entry of a journal, and the root of the rows that follow from them.
struct All<B> {
    entries: Vec<B>,
    claims: u64,
    root: StateRoot,
}

/// Everything from the first entry on, up to what the engine shows.
fn read(engine: &ClaimEngine) -> Result<All<impl AsRef<[u8]> + use<>>, String> {
    let published = engine.published_lsn();
    if published != engine.durable_lsn() {
        return Err(format!("{published} is shown, {} is durable", engine.durable_lsn()));
    }
    let mut all = All { entries: Vec::new(), claims: 0, root: StateRoot::empty() };
    let mut reader = engine.journal().read_from(Lsn(1)).map_err(|error| format!("read from 1: {error}"))?;
    while (all.entries.len() as u64) < published.0 {
        let lsn = Lsn(all.entries.len() as u64 + 1);
        let entry = match reader.next_entry() {
            Ok(Some(entry)) if entry.lsn == lsn => entry,
            Ok(other) => return Err(format!("read {lsn}: got {:?}", other.map(|entry| entry.lsn))),
            Err(error) => return Err(format!("read {lsn}: {error}")),
        };
        let header = Entry::parse(lsn, &entry.bytes).map_err(|error| format!("entry {lsn}: {error}"))?;
        all.claims += u64::from(header.count);
        let mut rows = WriteBatch::new();
        Claims.derive(lsn, &entry.bytes, &mut rows).map_err(|error| format!("derive {lsn}: {error}"))?;
        for row in rows.iter() {
            match row {
                Op::Put { key, value } => all.root.add(key, value),
                _ => return Err(format!("entry {lsn} removes rows")),
            }
        }
        all.entries.push(entry.bytes);
    }
    Ok(all)
}

/// The length of a fallback view's file when it is made: no filled one is shorter.
const FALLBACK_BEGINS_BYTES: u64 = 72 << 10;

/// True if there is the file of a fallback view that has no more than it is made with. A death in its making leaves it without a
/// header, or without its tables.
pub fn fallback_is_young(dir: &Path) -> bool {
    let file = Layout::of(dir).fallback().join(RedbStore::FILE);
    std::fs::metadata(file).is_ok_and(|file| file.len() <= FALLBACK_BEGINS_BYTES)
}

/// The view is what follows from the journal, every file is whole, and nobody noticed any damage: what one place knows must
/// not have hidden that another had lost it. Returns what [`noticed`] does.
fn sound<B>(engine: &ClaimEngine, all: &All<B>, young_fallback: bool) -> Result<bool, String> {
    let root = engine.state_root().map_err(|error| format!("state root: {error}"))?;
    if root != all.root {
        return Err(format!("the view's root is {root:?}, that of the entries {:?}", all.root));
    }
    engine.verify().map_err(|error| format!("verify: {error}"))?;
    noticed(engine, young_fallback)
}

/// The error is the first damage that an engine has noticed since it was opened. True if there was a fallback view that had not
/// been made to its end: its file gets its name before its first transaction, nothing is lost with it, and the engine calls it
/// damaged all the same.
pub fn noticed(engine: &ClaimEngine, young_fallback: bool) -> Result<bool, String> {
    let mut half_made_fallback = false;
    for event in engine.events().after(0) {
        match event.kind {
            EventKind::Damage if young_fallback && event.file == Some(engine.layout().fallback()) => {
                half_made_fallback = true;
            }
            EventKind::Damage | EventKind::RepairFailed | EventKind::Failover => {
                return Err(format!("an event: {event:?}"));
            }
            _ => {}
        }
    }
    Ok(half_made_fallback)
}

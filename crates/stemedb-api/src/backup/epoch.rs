//! Whose turn it is to write: one object for each writer that has begun, made create-if-absent.
//!
//! ```text
//! epoch/<database>/000001.json     the first server that archived
//! epoch/<database>/000002.json     the same one after a restart
//! epoch/<database>/000003.json     a standby that was promoted: another timeline
//! ```
//!
//! A writer holds the newest one. After everything that it sends it looks whether there is a next one: if so it is no writer any
//! more, and what it has just sent does not count. So whoever makes the next one, and reads the archive *after* that, reads everything
//! that the writer before has ever counted as archived. See `docs/design/standby.md`.

use serde::{Deserialize, Serialize};

use super::{
    BackupTarget, FORMAT, Hex, Result,
    document::{self, damaged},
};

/// `epoch/<database>/<number>.json`: a writer has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Of the document.
    pub format: u32,
    /// The database.
    pub database: Hex<16>,
    /// Counts from 1.
    pub epoch: u64,
    /// The timeline of its entries.
    pub timeline: u32,
    /// Who: drawn at random, so that a writer knows its own.
    pub holder: Hex<16>,
    /// Of a standby that was promoted: the timeline that it had followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<u32>,
    /// When: wall clock, microseconds.
    pub begun_at: i64,
    /// Version of the program.
    pub program: String,
}

fn folder(database: &Hex<16>) -> String {
    format!("epoch/{database}/")
}

fn name(database: &Hex<16>, epoch: u64) -> String {
    format!("{}{epoch:06}.json", folder(database))
}

/// The databases that have had a writer.
pub fn databases(target: &dyn BackupTarget) -> Result<Vec<Hex<16>>> {
    let objects = target.list("epoch/")?;
    let id = |name: &str| Hex::parse(name.strip_prefix("epoch/")?.split_once('/')?.0);
    let mut found: Vec<Hex<16>> = objects.iter().filter_map(|object| id(&object.name)).collect();
    found.dedup();
    Ok(found)
}

/// The newest epoch of a database; `None` if it has never had a writer that archives. Cost: a listing and a read.
pub fn newest(target: &dyn BackupTarget, database: &Hex<16>) -> Result<Option<EpochRecord>> {
    let folder = folder(database);
    let number = |name: &str| name.strip_prefix(&folder)?.strip_suffix(".json")?.parse::<u64>().ok();
    let objects = target.list(&folder)?;
    let numbers = objects.iter().filter_map(|object| number(&object.name));
    let Some(epoch) = numbers.filter(|&epoch| epoch > 0).max() else { return Ok(None) };
    let name = name(database, epoch);
    let record: Option<EpochRecord> = document::get(target, &name)?;
    match record {
        Some(record) if record.format != FORMAT => {
            Err(damaged(target, &name, format!("format {} is not known", record.format)))
        }
        Some(record) if (record.database, record.epoch) != (*database, epoch) => {
            Err(damaged(target, &name, "it is of another epoch"))
        }
        record => Ok(record),
    }
}

/// Tries to begin an epoch; true if it is this writer's, also if it had begun it before without being told. Durable then. Of
/// several that try at once one is told true.
pub fn claim(target: &dyn BackupTarget, record: &EpochRecord) -> Result<bool> {
    let name = name(&record.database, record.epoch);
    let is_new = document::put_if_absent(target, &name, record)?;
    target.settle()?;
    // What is there decides, whatever the answer was.
    let there = match document::get::<EpochRecord>(target, &name) {
        // It was torn on its way, and nobody else's.
        Err(error) if is_new && error.is_damage() => {
            document::put(target, &name, record)?;
            target.settle()?;
            document::get(target, &name)?
        }
        there => there?,
    };
    Ok(there.is_some_and(|there| (there.holder, there.timeline) == (record.holder, record.timeline)))
}

/// Whether a writer's turn goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It does.
    Goes,
    /// Somebody else is the writer.
    Ended,
    /// Its own epoch is not there any more: a prefix of the target was lost.
    Lost,
}

/// Looks whether there is a next epoch, and whether this one is still its holder's: a service that ignores conditions may have let another
/// one write over it. Cost: a look and a read.
pub fn turn(target: &dyn BackupTarget, database: &Hex<16>, epoch: u64, holder: &Hex<16>) -> Result<Turn> {
    if target.size(&name(database, epoch.saturating_add(1)))?.is_some() {
        return Ok(Turn::Ended);
    }
    let own: Option<EpochRecord> = document::get(target, &name(database, epoch))?;
    Ok(match own {
        Some(own) if own.holder == *holder => Turn::Goes,
        Some(_) => Turn::Ended,
        None => Turn::Lost,
    })
}

/// Puts back a writer's epoch that was lost with all others. True if it is the only one then.
///
/// Whoever begins an epoch meanwhile looks afterwards whether it is the newest ([`newest`]): of two that do both, one at least sees the other.
pub fn put_back(target: &dyn BackupTarget, record: &EpochRecord) -> Result<bool> {
    let (folder, own) = (folder(&record.database), name(&record.database, record.epoch));
    let is_alone = || -> Result<bool> { Ok(target.list(&folder)?.iter().all(|object| object.name == own)) };
    Ok(is_alone()? && claim(target, record)? && is_alone()?)
}

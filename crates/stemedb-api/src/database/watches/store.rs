//! The folder of watches: see `docs/formats/watches.md`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    Env, Lsn,
    fs::{
        read_file,
        tree::{create_dir_durably, remove_tree},
        write_file_atomic,
    },
};
use stemedb_index::watches::Registered;
use stemedb_wal::{
    Error as JournalError, Journal, JournalIdentity, JournalOptions, JournalReader, Prepare, SegmentedJournal,
};

use super::record::{self, Line};
use crate::errors::{Error, Result};

const FIRST_LINE: &str = "stemedb watches 1";
const CURRENT_MAX_BYTES: u64 = 256;
/// Fewer lines than this are not worth writing anew.
const REWRITE_LINES_MIN: usize = 4096;
/// Watches that are written as one group when all are written anew: the largest that a watch may be fit into a group.
const REWRITE_AT_ONCE: usize = 1_000;

/// Why the watches of a folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read: {problem}", file.display())]
pub struct WatchesDamaged {
    /// The file or folder.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The journal of watches of one data folder.
#[derive(Debug)]
pub(super) struct Store {
    env: Env,
    dir: PathBuf,
    identity: JournalIdentity,
    /// Which folder is current.
    number: u64,
    journal: SegmentedJournal,
    /// Lines in the journal.
    lines: usize,
}

fn options() -> JournalOptions {
    JournalOptions { sector_bytes: 512, prepare: Prepare::Off, ..JournalOptions::default() }
}

fn of_env(error: stemedb_env::Error) -> Error {
    Error::Engine(stemedb_hybrid::Error::Env(error))
}

pub(super) fn of_journal(error: JournalError) -> Error {
    Error::Engine(stemedb_hybrid::Error::Journal(error))
}

impl Store {
    /// Whether anything was ever watched.
    pub fn exists(env: &Env, dir: &Path) -> Result<bool> {
        Ok(env.fs.metadata(dir).map_err(of_env)?.is_some())
    }

    /// Opens the folder, or makes it, and visits every line in order.
    ///
    /// Cost: reads the journal.
    pub fn open(
        env: &Env,
        dir: &Path,
        identity: JournalIdentity,
        mut visit: impl FnMut(Line) -> Result<(), &'static str>,
    ) -> Result<Store> {
        create_dir_durably(&*env.fs, dir).map_err(of_env)?;
        let current = dir.join("CURRENT");
        let number = match env.fs.metadata(&current).map_err(of_env)? {
            Some(_) => {
                let bytes = read_file(&*env.fs, &current, CURRENT_MAX_BYTES).map_err(of_env)?;
                let damaged = |problem| WatchesDamaged { file: current.clone(), problem };
                parse(&bytes).map_err(|problem| Error::Watches(damaged(problem)))?
            }
            None => return Store::begin(env, dir, identity),
        };
        let store = Store::at(env, dir, identity, number)?;
        store.remove_others();
        store.replay(&mut visit)
    }

    fn at(env: &Env, dir: &Path, identity: JournalIdentity, number: u64) -> Result<Store> {
        let folder = folder(dir, number);
        let opened = SegmentedJournal::open(env, &folder, identity, Lsn::ZERO, options());
        let (journal, _) = opened.map_err(|error| match error {
            JournalError::NoJournal { dir } => {
                Error::Watches(WatchesDamaged { file: dir, problem: "it holds no journal" })
            }
            error => of_journal(error),
        })?;
        Ok(Store { env: env.clone(), dir: dir.to_path_buf(), identity, number, journal, lines: 0 })
    }

    /// Makes the first folder, or goes on where making it was cut short.
    fn begin(env: &Env, dir: &Path, identity: JournalIdentity) -> Result<Store> {
        let found = env.fs.list(dir).map_err(of_env)?;
        let stray = |problem| Error::Watches(WatchesDamaged { file: dir.join("CURRENT"), problem });
        if found.iter().filter_map(|entry| number_of(&entry.name)).any(|number| number != 1) {
            return Err(stray("it is missing, and the folder is not new"));
        }
        let first = folder(dir, 1);
        let store = match SegmentedJournal::create(env, &first, identity, options()) {
            Ok(journal) => {
                Store { env: env.clone(), dir: dir.to_path_buf(), identity, number: 1, journal, lines: 0 }
            }
            Err(JournalError::AlreadyExists { .. }) => match Store::at(env, dir, identity, 1) {
                Ok(store) if store.journal.durable_lsn() == Lsn::ZERO => store,
                Ok(_) => return Err(stray("it is missing, and watches are there")),
                // Only its making can have been cut short: without CURRENT nothing was acknowledged.
                Err(Error::Watches(_)) => {
                    remove_tree(&*env.fs, &first).map_err(of_env)?;
                    let journal = SegmentedJournal::create(env, &first, identity, options());
                    let journal = journal.map_err(of_journal)?;
                    Store { env: env.clone(), dir: dir.to_path_buf(), identity, number: 1, journal, lines: 0 }
                }
                Err(error) => return Err(error),
            },
            Err(error) => return Err(of_journal(error)),
        };
        store.name_current()?;
        Ok(store)
    }

    fn name_current(&self) -> Result<()> {
        let text = format!("{FIRST_LINE}\n{:06}\n", self.number);
        write_file_atomic(&*self.env.fs, &self.dir.join("CURRENT"), text.as_bytes()).map_err(of_env)
    }

    /// Removes what a rewriting that was cut short has left. What cannot be removed is only in the way of nobody.
    fn remove_others(&self) {
        let Ok(found) = self.env.fs.list(&self.dir) else { return };
        for entry in found {
            if number_of(&entry.name).is_some_and(|number| number != self.number)
                && let Err(error) = remove_tree(&*self.env.fs, &self.dir.join(&entry.name))
            {
                tracing::warn!("an old folder of watches stays: {error}");
            }
        }
    }

    fn replay(mut self, visit: &mut impl FnMut(Line) -> Result<(), &'static str>) -> Result<Store> {
        let mut reader = self.journal.read_from(Lsn(1)).map_err(of_journal)?;
        while let Some(entry) = reader.next_entry().map_err(of_journal)? {
            let read = record::lines(&entry.bytes, |line| {
                self.lines += 1;
                visit(line)
            });
            read.map_err(|problem| {
                Error::Watches(WatchesDamaged { file: folder(&self.dir, self.number), problem })
            })?;
        }
        Ok(self)
    }

    /// Writes entries of so many lines: durable all together, or none of them. Cost: one sync.
    pub fn append(&mut self, entries: &[Vec<u8>], lines: usize) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        let group: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        self.journal.append_group(&group)?;
        self.lines += lines;
        Ok(())
    }

    /// Whether most of the lines are about watches that are not there any more.
    pub fn is_mostly_gone(&self, live: usize) -> bool {
        let gone = self.lines.saturating_sub(live);
        gone > REWRITE_LINES_MIN && gone > live
    }

    /// Writes the watches that are there to a new folder, which takes the old one's place.
    ///
    /// # Errors
    /// Where it cannot be written. The old one counts then, unless the system's answer to the last step was lost: so this store must
    /// not be used any more.
    pub fn rewrite<'a>(self, live: impl Iterator<Item = &'a Arc<Registered>>) -> Result<Store> {
        let number = self.number.saturating_add(1);
        let new = folder(&self.dir, number);
        remove_tree(&*self.env.fs, &new).map_err(of_env)?;
        let journal = SegmentedJournal::create(&self.env, &new, self.identity, options());
        let Store { env, dir, identity, .. } = &self;
        let mut store = Store {
            env: env.clone(),
            dir: dir.clone(),
            identity: *identity,
            number,
            journal: journal.map_err(of_journal)?,
            lines: 0,
        };
        let mut waiting = Vec::new();
        for registered in live {
            waiting.push(Arc::clone(registered));
            if waiting.len() == REWRITE_AT_ONCE {
                store.append_all(&waiting)?;
                waiting.clear();
            }
        }
        store.append_all(&waiting)?;
        store.name_current()?;
        drop(self);
        store.remove_others();
        Ok(store)
    }

    fn append_all(&mut self, live: &[Arc<Registered>]) -> Result<()> {
        let lines = live.iter().map(|one| Line::Add(Arc::clone(one)));
        self.append(&record::entries(lines), live.len()).map_err(of_journal)
    }

    /// Lines in the journal.
    #[cfg(test)]
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Groups that were written since it was opened: each one sync.
    #[cfg(test)]
    pub fn groups(&self) -> u64 {
        self.journal.stats().groups
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Not closing loses nothing; a closed journal has nothing to be repaired.
        if let Err(error) = self.journal.close() {
            tracing::debug!("the journal of watches stays open: {error}");
        }
    }
}

fn folder(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}"))
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

fn parse(bytes: &[u8]) -> Result<u64, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("it does not begin as a file of this version does");
    }
    match (lines.next().and_then(number_of), lines.next()) {
        (Some(number), None) => Ok(number),
        _ => Err("it does not name a folder"),
    }
}

//! Taking the list of tables away from a tree.

use std::path::{Path, PathBuf};

use stemedb_env::fs::SimFs;
use stemedb_lsm::{KvStore, LsmOptions, LsmStore, Lsn};

use super::{DATABASE, DIR, open};
use crate::{Dice, machine::Machine};

/// Manifest and `CURRENT` as they were once.
pub(super) type Copies = Vec<(PathBuf, Vec<u8>)>;

/// The tables that there are.
pub(super) fn tables(disk: &SimFs) -> Copies {
    let paths = named(disk, "0").into_iter();
    paths.filter_map(|path| Some((path.clone(), disk.read_all(&path).ok()?))).collect()
}

/// Puts some tables back that are gone.
pub(super) fn put_back(dice: &mut Dice, disk: &SimFs, old: &Copies) {
    let there = named(disk, "0");
    for (path, bytes) in old.iter().filter(|(path, _)| !there.contains(path)) {
        if dice.one_in(2) {
            drop(disk.install(path, bytes));
        }
    }
}

fn named(disk: &SimFs, begin: &str) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        path.parent() == Some(Path::new(DIR)) && name.starts_with(begin) && !name.ends_with(".tmp")
    };
    disk.paths().into_iter().filter(is_one).collect()
}

/// What a copy of the list of tables consists of.
pub(super) fn copies(disk: &SimFs) -> Copies {
    let paths = named(disk, "MANIFEST-").into_iter().chain(named(disk, "CURRENT"));
    paths.filter_map(|path| Some((path.clone(), disk.read_all(&path).ok()?))).collect()
}

/// Damages manifest or `CURRENT`, takes them away, or puts an older copy back. Says what it did.
pub(super) fn wreck(dice: &mut Dice, disk: &SimFs, old: &Copies) -> &'static str {
    let manifests = named(disk, "MANIFEST-");
    let current = named(disk, "CURRENT");
    let remove = |paths: &[PathBuf]| paths.iter().for_each(|path| drop(disk.delete(path)));
    match dice.below(6) {
        0 => {
            remove(&manifests);
            "lost_manifest"
        }
        1 => {
            remove(&current);
            "lost_current"
        }
        2 => {
            remove(&manifests);
            remove(&current);
            "lost_both"
        }
        3 if !old.is_empty() => {
            remove(&manifests);
            old.iter().for_each(|(path, bytes)| drop(disk.install(path, bytes)));
            "older_manifest"
        }
        4 => {
            for path in &manifests {
                let length = disk.read_all(path).map_or(0, |bytes| bytes.len());
                drop(disk.truncate(path, dice.below(length as u64 + 1)));
            }
            "cut_manifest"
        }
        _ => {
            for path in &manifests {
                let length = disk.read_all(path).map_or(0, |bytes| bytes.len());
                if length > 0 {
                    drop(disk.corrupt(path, dice.below(length as u64), 1 << dice.below(8)));
                }
            }
            "flipped_manifest"
        }
    }
}

/// What starting with this disk would come to: the flushed LSN, and how many tables are not whole.
pub(super) fn outlook(disk: &SimFs, options: &LsmOptions) -> stemedb_lsm::Result<(Lsn, usize)> {
    let machine = Machine::plain(disk.process_killed());
    match open(&machine.env, options) {
        Ok(store) => Ok((store.flushed_lsn(), store.damaged().len())),
        Err(error) if error.is_lost_manifest() => {
            let plan = LsmStore::plan_recovery(&machine.env, Path::new(DIR), DATABASE, options.clone())?;
            Ok((plan.flushed, plan.missing.len()))
        }
        Err(error) => Err(error),
    }
}

//! What a kernel may do by itself before the power goes: write any dirty page, commit its own journal, or neither.
//!
//! A stopped writer leaves dirty pages only in memory, and a cut right there would lose all of them, always. A kernel
//! under memory pressure, or one whose timers have run out, has written some of them. Here the parent makes it do so,
//! for random pages: `POSIX_FADV_DONTNEED` on a range starts the writing of its dirty pages, and a sync of a file that
//! the journal does not know commits the file system's own journal.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::fs::{Advice, fadvise};

use crate::{At, Result, dice::Dice, image::Variant, mount::Mount};

const PAGE_BYTES: u64 = 4096;
/// The newest files: older ones have been synced.
const FILES: usize = 4;
/// The last ones of each: a mebibyte.
const PAGES: u64 = 256;
/// A file whose sync commits everything that the file system has in its open transaction.
const BYSTANDER: &str = "bystander";

/// Writes what chance says, of files in `folders` below the root. The writer stands still, or there would be no one state.
pub fn by_chance(mount: &Mount, variant: Variant, folders: &[&str], dice: &mut Dice) -> Result<()> {
    match dice.below(10) {
        // As it stands: nothing but what was synced.
        0..3 => return Ok(()),
        3..6 => some_pages(mount.dir(), folders, dice, 2)?,
        6..8 => some_pages(mount.dir(), folders, dice, 1)?,
        8 => {}
        _ => {
            let root = File::open(mount.dir()).at("open", mount.dir())?;
            rustix::fs::syncfs(&root).at("sync", mount.dir())?;
        }
    }
    mount.settle()?;
    // The length of a file changes after its pages are down, on a thread of the kernel.
    thread::sleep(Duration::from_micros(500));
    if !dice.one_in(4) {
        commit(mount, variant)?;
        mount.settle()?;
    }
    Ok(())
}

/// Each page of the newest files of each folder with a chance of one in `n`.
fn some_pages(root: &Path, folders: &[&str], dice: &mut Dice, n: u64) -> Result<()> {
    for path in folders.iter().flat_map(|folder| newest(&root.join(folder))) {
        // It may have been renamed since it was listed.
        let Ok(file) = File::open(&path) else { continue };
        let pages = file.metadata().at("stat", &path)?.len().div_ceil(PAGE_BYTES);
        // What is dirty is at the end of what was written, which may be far before the end of a file that was made ahead.
        for page in pages.saturating_sub(PAGES)..pages {
            if dice.one_in(n) {
                let length = std::num::NonZeroU64::new(PAGE_BYTES);
                fadvise(&file, page * PAGE_BYTES, length, Advice::DontNeed).at("advise", &path)?;
            }
        }
    }
    Ok(())
}

fn newest(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    files.into_iter().rev().take(FILES).map(|(_, path)| path).collect()
}

/// The file system writes its own books: its journal, or (without one) the blocks themselves. All of them: half a change
/// is a damaged file system, which no journal above it could survive.
fn commit(mount: &Mount, variant: Variant) -> Result<()> {
    if variant == Variant::NoJournal {
        let device = mount.device()?.0;
        return File::open(&device).and_then(|blocks| blocks.sync_data()).at("sync", &device);
    }
    let path = mount.dir().join(BYSTANDER);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).at("open", &path)?;
    file.set_len(file.metadata().at("stat", &path)?.len() + 1)
        .and_then(|()| file.sync_all())
        .at("sync", &path)
}

//! A disk: a sparse file with an ext4 file system in it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{FallocateFlags, SeekFrom, fallocate, seek},
    io::Errno,
};

use crate::{At, Broken, Result, mount::Mount};

/// Bitmaps, inodes and descriptors of an image of up to 256 MiB with 1,024 inodes end before this; then the journal.
const METADATA_BYTES: u64 = 2 << 20;
/// The smallest journal of a file system.
pub const SMALL_JOURNAL_BYTES: u64 = 4 << 20;

/// How the file system keeps its own books, which decides what a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// With a journal, data before metadata: what most machines have.
    Ordered,
    /// With a journal, blocks allocated at once and data whenever: a file may have its length without its content.
    Writeback,
    /// Without a journal: metadata reaches the disk in any order, and the file system is checked before it is mounted
    /// again, as a machine does at its start.
    NoJournal,
}

impl Variant {
    /// With and without a journal in turn.
    pub fn of(number: u64) -> Variant {
        match number % 4 {
            0 => Variant::Ordered,
            2 => Variant::Writeback,
            _ => Variant::NoJournal,
        }
    }

    /// True where a check after a cut can take back what had been synced, if blocks of removed files are used again: the
    /// old owner may still be on the disk, and repairing it writes into what is now another file's.
    pub fn must_not_reuse_blocks(self) -> bool {
        self == Variant::NoJournal
    }

    /// A long `commit` interval: the file system writes nothing by itself while a copy is made.
    pub fn mount_options(self) -> &'static str {
        match self {
            Variant::Ordered => "commit=300",
            Variant::Writeback => "commit=300,data=writeback,nodelalloc",
            Variant::NoJournal => "defaults",
        }
    }
}

/// An image file. Dropping it removes the file.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    variant: Variant,
}

impl Image {
    /// Makes an empty file system of `bytes`, with a journal of its own of `journal_bytes` if it has one.
    pub fn make(path: &Path, bytes: u64, variant: Variant, journal_bytes: u64) -> Result<Image> {
        let image = Image { path: path.to_path_buf(), variant };
        File::create(path).and_then(|file| file.set_len(bytes)).at("create", path)?;
        let mut command = Command::new("mkfs.ext4");
        // Nothing is left to be initialised in the background, nothing is reserved, and the books are at the start.
        command.args(["-q", "-F", "-m", "0", "-b", "4096", "-N", "1024"]);
        command.args(["-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard,packed_meta_blocks=1"]);
        if variant != Variant::NoJournal {
            command.args(["-J", &format!("size={}", journal_bytes >> 20)]);
        } else {
            // Block maps instead of extents: a map only ever grows at its end, while a tree of extents moves into a new
            // block when it grows, and the inode may reach the disk without that block. Then the file system has lost
            // what had been synced, and nothing above it could have kept it.
            command.args(["-O", "^has_journal,^extent,^64bit"]);
        }
        crate::mount::run(command.arg(path))?;
        Ok(image)
    }

    /// How it keeps its books.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it takes of the place where it lies: blocks that were ever written.
    pub fn occupied_bytes(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.path).at("stat", &self.path)?;
        Ok(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512)
    }

    /// Makes sure that the device below has room for the file system's own books, which are at the start.
    pub fn occupy_metadata(&self, journal_bytes: u64) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path).at("open", &self.path)?;
        fallocate(&file, FallocateFlags::empty(), 0, METADATA_BYTES + journal_bytes).at("occupy", &self.path)
    }

    /// Mounts it on `dir` as a machine would that starts.
    pub fn mount(&self, dir: &Path) -> Result<Mount> {
        Mount::image(&self.path, dir, self.variant.mount_options())
    }

    /// Copies what is in the file now. Whoever writes to it must be stopped.
    pub fn copy(&self, to: &Path) -> Result<Image> {
        let copy = Image { path: to.to_path_buf(), variant: self.variant };
        let (from, into) = (
            File::open(&self.path).at("open", &self.path)?,
            OpenOptions::new().write(true).create(true).truncate(true).open(to).at("create", to)?,
        );
        copy_data(&from, &into).at("copy", &self.path)?;
        Ok(copy)
    }

    /// Takes the place of another image, which must not be mounted.
    pub fn replace(mut self, other: Image) -> Result<Image> {
        fs::rename(&self.path, &other.path).at("rename", &self.path)?;
        self.path.clone_from(&other.path);
        // Its file is this one's now.
        std::mem::forget(other);
        Ok(self)
    }

    /// What a machine does before it mounts a disk that was not unmounted: nothing where the file system has a
    /// journal, else a check with repairs.
    pub fn check(&self) -> Result<Checked> {
        if self.variant != Variant::NoJournal {
            return Ok(Checked::Whole);
        }
        let output = Command::new("e2fsck")
            .args(["-y", "-f"])
            .arg(&self.path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .at("e2fsck", &self.path)?;
        // 1 and 2: errors were found and repaired.
        match output.status.code() {
            Some(0..=2) => Ok(Checked::of(&String::from_utf8_lossy(&output.stdout))),
            _ => Err(Broken(format!("e2fsck {} ended with {}", self.path.display(), output.status))),
        }
    }
}

/// What a check of a file system found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Whatever it had to mend, each file has the blocks that are its own.
    Whole,
    /// A file's map of blocks was not its own, and the check has taken blocks away that had been synced.
    ///
    /// Without a journal an inode may reach the disk before the block of its map, when a sync of another file writes the
    /// same piece of the table of inodes: then old content of that block is read as a map. The file system itself has lost
    /// what was synced, and nothing above it can tell anything from such a disk.
    LostBlocks,
}

impl Checked {
    fn of(report: &str) -> Checked {
        // The texts of e2fsck 1.47 (e2fsck/problem.c, passes 1 and 1B).
        let signs = ["llegal block", "ultiply-claimed block"];
        if signs.iter().any(|sign| report.contains(sign)) { Checked::LostBlocks } else { Checked::Whole }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Copies data and leaves holes.
fn copy_data(from: &File, to: &File) -> std::io::Result<()> {
    let len = from.metadata()?.len();
    to.set_len(len)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        at = seek(from, SeekFrom::Hole(start))?;
        let mut done = start;
        while done < at {
            let want = usize::try_from(at - done).unwrap_or(usize::MAX).min(buffer.len());
            let Some(chunk) = buffer.get_mut(..want) else { break };
            from.read_exact_at(chunk, done)?;
            to.write_all_at(chunk, done)?;
            done += want as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_maps_of_others_are_lost_blocks() {
        let lost = "Inode 14 has illegal block(s).  Clear? yes\nIllegal block #12 (1296389203) in inode 14.  CLEARED.";
        assert_eq!(Checked::of(lost), Checked::LostBlocks);
        assert_eq!(Checked::of("Multiply-claimed block(s) in inode 7: 3"), Checked::LostBlocks);
        let usual = "Free blocks count wrong (24497, counted=23823).\nFix? yes\nInode 39, i_blocks is 112, should be 184.";
        assert_eq!(Checked::of(usual), Checked::Whole);
    }

    #[test]
    fn a_copy_has_the_data_the_holes_and_the_length() {
        let place = std::env::temp_dir().join(format!("stemedb-rig-copy-{}", std::process::id()));
        let (from, to) = (place.with_extension("from"), place.with_extension("to"));
        let image = Image { path: from.clone(), variant: Variant::Ordered };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&from).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"here", 3 << 20).unwrap();
        let copy = image.copy(&to).unwrap();
        let read = fs::read(copy.path()).unwrap();
        assert_eq!(read.len(), 8 << 20);
        assert_eq!(&read[3 << 20..][..4], b"here");
        assert_eq!(read.iter().filter(|&&byte| byte != 0).count(), 4);
        drop((image, copy));
        assert!(!from.exists() && !to.exists());
    }
}

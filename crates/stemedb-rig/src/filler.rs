//! A file that takes all the room there is.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use crate::{At, Result};

/// From large to small, so that in the end not one block is left.
const STEPS: [u64; 3] = [1 << 20, 64 << 10, 4 << 10];

/// The file. Dropping it frees the room.
#[derive(Debug)]
pub struct Filler {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Filler {
    /// Fills the file system of `dir`.
    pub fn fill(dir: &Path) -> Result<Filler> {
        let path = Filler::place(dir);
        let file = File::create(&path).at("create", &path)?;
        let mut filler = Filler { path, file, bytes: 0 };
        filler.again()?;
        Ok(filler)
    }

    /// Where the file is.
    pub fn place(dir: &Path) -> PathBuf {
        dir.join("filler")
    }

    /// Takes what has become free since.
    pub fn again(&mut self) -> Result<()> {
        for step in STEPS {
            loop {
                match fallocate(&self.file, FallocateFlags::empty(), self.bytes, step) {
                    Ok(()) => self.bytes += step,
                    Err(Errno::NOSPC) => break,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno).at("fill", &self.path),
                }
            }
        }
        Ok(())
    }

    /// How much it took.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

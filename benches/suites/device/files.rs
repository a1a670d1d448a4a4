//! Files in a chosen state, and ways to make a block on them durable.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{Advice, FallocateFlags, OFlags},
    io::ReadWriteFlags,
};

/// What memory and offsets are aligned to: enough for O_DIRECT on every usual disk.
pub const PAGE: usize = 4096;
/// Files are filled in steps of this size.
pub const STEP: usize = 1 << 20;

/// Memory that starts on a page: O_DIRECT asks for it, and copies to and from the page cache are slower elsewhere.
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Zeros.
    pub fn zeros(len: usize) -> Self {
        let bytes = vec![0; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, start, len }
    }

    /// Bytes that neither compress nor repeat from page to page.
    pub fn noise(len: usize) -> Self {
        let mut noise = Self::zeros(len);
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for byte in noise.as_mut() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
        noise
    }

    pub fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Opens or creates a file for reading and writing.
pub fn open(path: &Path, direct: bool, create: bool) -> io::Result<File> {
    // The flag is a bit of an `int` in the system call; the cast keeps the bits.
    let flags = if direct { OFlags::DIRECT.bits() as i32 } else { 0 };
    OpenOptions::new().read(true).write(true).create_new(create).custom_flags(flags).open(path)
}

/// Writes `size` bytes from the start, in steps.
pub fn fill(file: &File, size: u64, step: &Aligned) -> io::Result<()> {
    let mut offset = 0;
    while offset < size {
        let bytes = step.as_ref();
        let len = bytes.len().min((size - offset) as usize);
        file.write_all_at(&bytes[..len], offset)?;
        offset += len as u64;
    }
    Ok(())
}

/// Starts writing dirty pages of a range out, without waiting, and drops those that are clean.
///
/// `sync_file_range(WRITE)` would do the first half alone, but has no safe wrapper; the kernel starts the writing in the
/// same way for this advice.
pub fn write_out(file: &File, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(len), Advice::DontNeed)?)
}

/// Makes names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What a block finds where it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The end of the file: every commit changes its size.
    Growing,
    /// The size is set, no block is allocated.
    Sparse,
    /// Blocks are allocated, but marked as never written.
    Unwritten,
    /// Zeros have been written and synced.
    Zeroed,
    /// Zeros and then other bytes have been written and synced.
    Recycled,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Growing => "append",
            State::Sparse => "set_len ahead",
            State::Unwritten => "fallocated",
            State::Zeroed => "pre-zeroed",
            State::Recycled => "recycled",
        }
    }
}

/// How a block gets there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    BufferedFdatasync,
    BufferedDsync,
    DirectFdatasync,
    DirectDsync,
}

impl Way {
    pub const ALL: [Way; 4] =
        [Way::BufferedFdatasync, Way::BufferedDsync, Way::DirectFdatasync, Way::DirectDsync];

    fn name(self) -> &'static str {
        match self {
            Way::BufferedFdatasync => "buffered + fdatasync",
            Way::BufferedDsync => "buffered + RWF_DSYNC",
            Way::DirectFdatasync => "O_DIRECT + fdatasync",
            Way::DirectDsync => "O_DIRECT + RWF_DSYNC",
        }
    }

    fn is_direct(self) -> bool {
        matches!(self, Way::DirectFdatasync | Way::DirectDsync)
    }
}

/// A commit primitive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Primitive {
    pub state: State,
    pub way: Way,
}

impl Primitive {
    pub const fn new(state: State, way: Way) -> Self {
        Self { state, way }
    }

    pub fn name(self) -> String {
        format!("{}, {}", self.state.name(), self.way.name())
    }
}

/// A file on which one primitive commits block after block.
pub struct Lane {
    primitive: Primitive,
    path: PathBuf,
    file: File,
    size: u64,
    block: Aligned,
    next: u64,
}

impl Lane {
    /// Creates the file in its state, durable, with room for `blocks` blocks.
    pub fn create(path: PathBuf, primitive: Primitive, block_bytes: usize, blocks: u64) -> io::Result<Self> {
        let size = (blocks * block_bytes as u64).next_multiple_of(STEP as u64);
        let file = prepared(&path, primitive, size)?;
        Ok(Self { primitive, path, file, size, block: Aligned::noise(block_bytes), next: 0 })
    }

    /// Replaces a file that is nearly used up by a fresh one in the same state.
    pub fn refresh(&mut self) -> io::Result<()> {
        if self.size - self.next > self.size / 4 {
            return Ok(());
        }
        std::fs::remove_file(&self.path)?;
        self.file = prepared(&self.path, self.primitive, self.size)?;
        self.next = 0;
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.next == self.size
    }

    pub fn block_bytes(&self) -> u64 {
        self.block.as_ref().len() as u64
    }

    /// Starts again at the beginning. The file counts as recycled from then on.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// Writes the next block and returns when it is durable.
    pub fn commit(&mut self) -> io::Result<()> {
        let stamp = self.next.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.block.as_mut()[..8].copy_from_slice(&stamp.to_le_bytes());
        let block = self.block.as_ref();
        match self.primitive.way {
            Way::BufferedFdatasync | Way::DirectFdatasync => {
                self.file.write_all_at(block, self.next)?;
                self.file.sync_data()?;
            }
            Way::BufferedDsync | Way::DirectDsync => {
                let parts = [IoSlice::new(block)];
                let written = rustix::io::pwritev2(&self.file, &parts, self.next, ReadWriteFlags::DSYNC)?;
                if written != block.len() {
                    return Err(io::Error::other("a short write"));
                }
            }
        }
        self.next += block.len() as u64;
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // The whole folder is removed in the end; this only keeps the need for space low.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn prepared(path: &Path, primitive: Primitive, size: u64) -> io::Result<File> {
    let file = open(path, primitive.way.is_direct(), true)?;
    match primitive.state {
        State::Growing => {}
        State::Sparse => file.set_len(size)?,
        State::Unwritten => rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size)?,
        State::Zeroed | State::Recycled => fill(&file, size, &Aligned::zeros(STEP))?,
    }
    if primitive.state == State::Recycled {
        file.sync_data()?;
        fill(&file, size, &Aligned::noise(STEP))?;
    }
    file.sync_all()?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

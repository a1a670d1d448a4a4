//! The bare disk: one write and one fdatasync per commit, and nothing else.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{FallocateFlags, fallocate};

use super::names;
use crate::engine::{Engine, Kind, Pair, Result, Setting, Store};

/// Bytes per write: what StemeDB's journal writes for a commit of one small entry, a frame padded to a page.
const BLOCK_BYTES: usize = 4096;
/// Room that is allocated at a time: more than a minute of commits. The size of the file is part of it, so that a sync
/// has no new length to make durable; the extents stay unwritten until a block is written into them.
const ROOM_BYTES: u64 = 1 << 30;

/// The contender: a file that was allocated beforehand, one writer, blocks at increasing offsets.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

struct Opened {
    file: File,
    next: AtomicU64,
    syncs: AtomicU64,
}

impl Engine for Raw {
    fn name(&self) -> &'static str {
        names::RAW
    }

    fn kind(&self) -> Kind {
        Kind::Limit
    }

    fn configuration(&self) -> &'static str {
        "the bare disk: a file after fallocate (extents unwritten), one 4096-byte block per commit at increasing offsets, \
         pwrite and fdatasync, one thread"
    }

    fn open(&self, folder: &Path, _setting: &Setting) -> Result<Box<dyn Store>> {
        let file = File::options().read(true).write(true).create_new(true).open(folder.join("blocks"))?;
        fallocate(&file, FallocateFlags::empty(), 0, ROOM_BYTES)?;
        file.sync_all()?;
        Ok(Box::new(Opened { file, next: AtomicU64::new(0), syncs: AtomicU64::new(0) }))
    }

    fn max_writers(&self) -> usize {
        1
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        let mut block = [0; BLOCK_BYTES];
        let mut rest = &mut block[..];
        for field in batch.iter().flat_map(|pair| [pair.key, pair.value]) {
            let (place, behind) =
                rest.split_at_mut_checked(field.len()).ok_or("the batch is larger than a block")?;
            place.copy_from_slice(field);
            rest = behind;
        }
        let offset = self.next.fetch_add(BLOCK_BYTES as u64, Ordering::Relaxed);
        if offset > 0 && offset.is_multiple_of(ROOM_BYTES) {
            fallocate(&self.file, FallocateFlags::empty(), offset, ROOM_BYTES)?;
            self.file.sync_all()?;
        }
        self.file.write_all_at(&block, offset)?;
        self.file.sync_data()?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

//! Reading what the disk has, whatever the page cache has of it.

use std::{
    fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::fs::Advice;

use super::{File, real::O_DIRECT};
use crate::{AlignedBuffer, Error, Result, aligned::ALIGNMENT_BYTES, error::IoOp};

/// Bytes of one direct read; longer ones are made of several.
const PIECE_BYTES: usize = 1 << 20;

/// A file for reading with `O_DIRECT`, where the file system allows it.
#[derive(Debug)]
pub(super) struct PastCacheFile {
    plain: fs::File,
    direct: Option<fs::File>,
    /// Direct reads need aligned addresses and whole blocks; callers have neither.
    room: Mutex<AlignedBuffer>,
    path: PathBuf,
}

/// Opens a file; see [`super::Fs::open_past_cache`].
pub(super) fn open(path: &Path) -> Result<Arc<dyn File>> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    let plain = options.open(path).map_err(|source| Error::io(IoOp::Open, path, source))?;
    let direct = options.custom_flags(O_DIRECT).open(path).ok();
    if direct.is_none() {
        // A hint; without it the pages only stay longer.
        let _ = rustix::fs::fadvise(&plain, 0, None, Advice::NoReuse);
    }
    let room = Mutex::new(AlignedBuffer::new());
    Ok(Arc::new(PastCacheFile { plain, direct, room, path: path.to_path_buf() }))
}

impl PastCacheFile {
    fn fail(&self, op: IoOp) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::io(op, &self.path, source)
    }

    /// `None` if this read must go through the cache: it is refused, or ends within its first block.
    fn read_direct(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let Some(direct) = &self.direct else { return Ok(None) };
        let page = ALIGNMENT_BYTES as u64;
        let start = offset - offset % page;
        let lead = usize::try_from(offset - start).unwrap_or(0);
        let wanted = (lead + buffer.len().min(PIECE_BYTES)).next_multiple_of(ALIGNMENT_BYTES);
        let mut room = self.room.lock();
        room.resize_stale(wanted);
        let read = match direct.read_at(&mut room, start) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            read => read?,
        };
        let Some(found) = room.get(lead..read).filter(|found| !found.is_empty()) else { return Ok(None) };
        let bytes = found.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&found[..bytes]);
        Ok(Some(bytes))
    }

    fn read_only(&self, op: IoOp) -> Error {
        self.fail(op)(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl File for PastCacheFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = match self.read_direct(buffer, offset) {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => self.plain.read_at(buffer, offset),
                Err(error) => Err(error),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(self.fail(IoOp::Read)),
            }
        }
    }

    fn write_at(&self, _data: &[u8], _offset: u64) -> Result<usize> {
        Err(self.read_only(IoOp::Write))
    }

    fn sync_data(&self) -> Result<()> {
        Err(self.read_only(IoOp::SyncData))
    }

    fn len(&self) -> Result<u64> {
        self.plain.metadata().map(|metadata| metadata.len()).map_err(self.fail(IoOp::Metadata))
    }

    fn set_len(&self, _len: u64) -> Result<()> {
        Err(self.read_only(IoOp::SetLen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, OpenMode, RealFs};

    #[test]
    fn every_part_of_a_file_reads_as_it_does_through_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let content: Vec<u8> = (0..3 * PIECE_BYTES + 1234).map(|at| (at * 31 + at / 509) as u8).collect();
        let fs = RealFs::new();
        let file = fs.open(&path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let past = fs.open_past_cache(&path).unwrap();
        assert_eq!(past.len().unwrap(), content.len() as u64);
        let end = content.len();
        for (from, to) in
            [(0, 1), (0, end), (1, 4096), (4095, 4097), (4096, 8192), (777, 2 * PIECE_BYTES), (end - 1, end)]
        {
            let mut read = vec![0; to - from];
            past.read_exact_at(&mut read, from as u64).unwrap();
            assert!(read == content[from..to], "{from}..{to}");
        }
        let mut beyond = [0; 10];
        assert_eq!(past.read_up_to_at(&mut beyond, end as u64 - 3).unwrap(), 3);
        assert_eq!(past.read_at(&mut beyond, end as u64).unwrap(), 0);
        assert_eq!(past.read_at(&mut beyond, end as u64 + 100_000).unwrap(), 0);
        assert!(past.write_at(b"x", 0).is_err());
        // What is written later is seen.
        file.write_all_at(b"new", 5000).unwrap();
        let mut read = [0; 3];
        past.read_exact_at(&mut read, 5000).unwrap();
        assert_eq!(&read, b"new");
    }
}

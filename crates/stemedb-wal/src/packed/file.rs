//! A packed file that looks like a plain one.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use stemedb_env::{Error, File, Result, error::IoOp};

use super::{
    PackedError, PackedFormat,
    frame_header::{FrameStart, MAX_HEADER_BYTES, frame_start},
    frames::FrameReader,
    seek_table::{HEAD, SeekTable},
    stream::StreamReader,
};

/// The plain bytes of a packed file, read-only.
///
/// One handle has one decoder behind a lock. Readers at different places of a file without a seek table
/// would send it back to the start all the time: give each its own with [`PackedFile::reopen`].
///
/// Every error is a [`stemedb_env::Error`] of the packed file; [`PackedError::of`] says what is wrong with it. After one
/// the file may be read again: a failure of the disk need not last.
pub struct PackedFile {
    source: Arc<Source>,
    reader: Mutex<Reader>,
}

/// What all handles of a file share.
struct Source {
    file: Arc<dyn File>,
    format: PackedFormat,
    packed_bytes: u64,
    table: Option<Arc<SeekTable>>,
    /// Length of the plain bytes, once all of them have been decoded and verified.
    measured: OnceLock<u64>,
}

enum Reader {
    Frames(FrameReader),
    Stream(StreamReader),
}

impl Source {
    fn reader(&self) -> Reader {
        match &self.table {
            Some(table) => Reader::Frames(FrameReader::new(&self.file, table)),
            None => Reader::Stream(StreamReader::new(&self.file, self.format, self.packed_bytes)),
        }
    }

    fn fail(&self, reason: PackedError) -> Error {
        reason.at(IoOp::Read, self.file.path())
    }

    /// Length of the plain bytes.
    fn plain_bytes(&self, reader: &mut Reader) -> Result<u64> {
        match (&self.table, self.measured.get(), reader) {
            (Some(table), ..) => Ok(table.plain_bytes),
            (None, Some(&plain_bytes), _) => Ok(plain_bytes),
            (None, None, Reader::Stream(stream)) => {
                let plain_bytes = stream.measure()?;
                Ok(*self.measured.get_or_init(|| plain_bytes))
            }
            (None, None, Reader::Frames(_)) => Err(self.fail(PackedError::SeekTable)),
        }
    }
}

impl PackedFile {
    /// Opens `inner`, whose bytes are packed and do not change any more.
    ///
    /// Reads the first bytes; for zstd the last bytes too and, of a file with a seek table, two small pieces per frame.
    /// Fails if the file is empty, is not of the format, or promises a seek table that is not there.
    pub fn open(inner: Arc<dyn File>, format: PackedFormat) -> Result<Arc<PackedFile>> {
        let packed_bytes = inner.len()?;
        let mut source = Source { file: inner, format, packed_bytes, table: None, measured: OnceLock::new() };
        let mut bytes = [0; HEAD.len()];
        let read = source.file.read_up_to_at(&mut bytes, 0)?;
        let head = bytes.get(..read).unwrap_or_default();
        match format {
            PackedFormat::Gzip => match head {
                [0x1F, 0x8B, ..] => {}
                [] | [0x1F] => return Err(source.fail(PackedError::Truncated)),
                _ => return Err(source.fail(PackedError::Foreign { format })),
            },
            PackedFormat::Zstd => {
                match frame_start(head) {
                    FrameStart::Data(_) => {}
                    FrameStart::Skippable { total_bytes } if total_bytes <= packed_bytes => {}
                    FrameStart::Skippable { .. } | FrameStart::Short => {
                        return Err(source.fail(PackedError::Truncated));
                    }
                    FrameStart::Foreign => return Err(source.fail(PackedError::Foreign { format })),
                }
                source.table = SeekTable::load(&*source.file, packed_bytes)?.map(Arc::new);
                if head == HEAD && source.table.is_none() {
                    return Err(source.fail(PackedError::SeekTable));
                }
            }
        }
        Ok(PackedFile::with(Arc::new(source)))
    }

    fn with(source: Arc<Source>) -> Arc<PackedFile> {
        let reader = Mutex::new(source.reader());
        Arc::new(PackedFile { source, reader })
    }

    /// Another handle of the same file with a decoder of its own. What is known of the file is shared, so it is verified once.
    pub fn reopen(&self) -> Arc<PackedFile> {
        PackedFile::with(Arc::clone(&self.source))
    }

    /// True if any offset is reached by decoding one frame.
    pub fn is_seekable(&self) -> bool {
        self.source.table.is_some()
    }

    /// Length of the plain bytes as far as it can be told without decoding them. Exact for a file with a seek table,
    /// and after the first read; otherwise what the last gzip member (modulo 2^32) or the first zstd frame says about itself.
    pub fn len_hint(&self) -> Result<Option<u64>> {
        let Source { file, format, packed_bytes, table, measured } = &*self.source;
        if let Some(exact) = table.as_ref().map(|table| table.plain_bytes).or(measured.get().copied()) {
            return Ok(Some(exact));
        }
        if *format == PackedFormat::Gzip {
            let Some(start) = packed_bytes.checked_sub(4) else { return Ok(None) };
            let mut trailer = [0; 4];
            file.read_exact_at(&mut trailer, start)?;
            return Ok(Some(u64::from(u32::from_le_bytes(trailer))));
        }
        let mut head = [0; MAX_HEADER_BYTES];
        let read = file.read_up_to_at(&mut head, 0)?;
        Ok(match frame_start(head.get(..read).unwrap_or_default()) {
            FrameStart::Data(header) => header.content_bytes,
            _ => None,
        })
    }

    /// True if the file is seekable and its first frame, which says nothing and is said to be ours by the table alone, is not what we
    /// write there. No reader of the plain bytes would notice.
    pub(crate) fn has_damaged_head(&self) -> Result<bool> {
        let mut head = HEAD;
        let read = self.source.file.read_up_to_at(&mut head, 0)?;
        let is_skippable = matches!(frame_start(&head), FrameStart::Skippable { .. });
        Ok(self.is_seekable() && is_skippable && (read < HEAD.len() || head != HEAD))
    }

    fn read_only(&self, op: IoOp) -> Error {
        Error::io(op, self.path(), io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        match &*self.reader.lock() {
            Reader::Frames(frames) => frames.memory_bytes(),
            Reader::Stream(stream) => stream.memory_bytes(),
        }
    }
}

impl File for PackedFile {
    fn path(&self) -> &Path {
        self.source.file.path()
    }

    /// Reads plain bytes. Cost: decoding what lies between the last position and this one (from the start, if it lies
    /// before), or one frame; the first read of a file without a seek table decodes all of it.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let reader = &mut *self.reader.lock();
        let plain_bytes = self.source.plain_bytes(reader)?;
        if buffer.is_empty() || offset >= plain_bytes {
            return Ok(0);
        }
        let bytes = match reader {
            Reader::Frames(frames) => frames.bytes_at(offset)?,
            Reader::Stream(stream) => stream.bytes_at(offset, plain_bytes)?,
        };
        let read = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), bytes.get(..read)) {
            to.copy_from_slice(from);
        }
        Ok(read)
    }

    fn write_at(&self, _data: &[u8], _offset: u64) -> Result<usize> {
        Err(self.read_only(IoOp::Write))
    }

    fn sync_data(&self) -> Result<()> {
        Err(self.read_only(IoOp::SyncData))
    }

    /// Length of the plain bytes. Without a seek table the first call decodes the whole file.
    fn len(&self) -> Result<u64> {
        self.source.plain_bytes(&mut self.reader.lock())
    }

    fn set_len(&self, _len: u64) -> Result<()> {
        Err(self.read_only(IoOp::SetLen))
    }
}

impl fmt::Debug for PackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedFile")
            .field("path", &self.path())
            .field("format", &self.source.format)
            .field("packed_bytes", &self.source.packed_bytes)
            .field("seekable", &self.is_seekable())
            .finish_non_exhaustive()
    }
}

//! Tests of reading and writing packed files.

mod damage;
mod golden;
mod memory;
mod programs;
mod reading;
mod segment;
mod writing;

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_env::{Error, File, Random, Result, error::IoOp, random::SeededRandom};

use super::{PackedError, PackedFile, PackedFormat, PackedWriter};

/// A file in memory that counts, reads in short pieces and fails when told to.
#[derive(Debug, Default)]
struct MemFile {
    bytes: Mutex<Vec<u8>>,
    /// Bytes that a call reads or writes at most; 0 is without limit.
    piece_bytes: usize,
    read_bytes: AtomicU64,
    largest_read: AtomicUsize,
    /// Calls until one fails with `EIO`; 0 is never.
    fails_in: AtomicUsize,
}

impl MemFile {
    fn new(bytes: impl Into<Vec<u8>>) -> MemFile {
        MemFile { bytes: Mutex::new(bytes.into()), ..MemFile::default() }
    }

    fn call(&self, op: IoOp, wanted: usize) -> Result<usize> {
        if self.fails_in.load(Ordering::Relaxed) > 0 && self.fails_in.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Err(Error::io(op, self.path(), io::Error::other("EIO")));
        }
        Ok(if self.piece_bytes == 0 { wanted } else { wanted.min(self.piece_bytes) })
    }
}

impl File for MemFile {
    fn path(&self) -> &Path {
        Path::new("segment.000001.wal.packed")
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let wanted = self.call(IoOp::Read, buffer.len())?;
        let bytes = self.bytes.lock();
        let there = bytes.get(offset as usize..).unwrap_or_default();
        let read = there.len().min(wanted);
        buffer[..read].copy_from_slice(&there[..read]);
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        self.largest_read.fetch_max(buffer.len(), Ordering::Relaxed);
        Ok(read)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let written = self.call(IoOp::Write, data.len())?;
        let mut bytes = self.bytes.lock();
        let (start, end) = (offset as usize, offset as usize + written);
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(&data[..written]);
        Ok(written)
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }
}

fn open(packed: impl Into<Vec<u8>>, format: PackedFormat) -> Result<Arc<PackedFile>> {
    PackedFile::open(Arc::new(MemFile::new(packed)), format)
}

/// All plain bytes, read in pieces of `step` bytes.
fn read_all(file: &dyn File, step: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut buffer = vec![0; step];
    loop {
        match file.read_at(&mut buffer, plain.len() as u64)? {
            0 => return Ok(plain),
            read => plain.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Packs with our writer, pushing pieces of `step` bytes.
fn packed_by_us(plain: &[u8], step: usize) -> Vec<u8> {
    let out = Arc::new(MemFile::default());
    let mut writer = PackedWriter::new(out.clone(), 3).unwrap();
    for piece in plain.chunks(step.max(1)) {
        writer.push(piece).unwrap();
    }
    let summary = writer.finish().unwrap();
    let packed = out.bytes.lock().clone();
    assert_eq!(summary.plain_bytes, plain.len() as u64);
    assert_eq!(summary.packed_bytes, packed.len() as u64);
    assert_eq!(summary.plain_hash, blake3::hash(plain));
    packed
}

/// One gzip member.
fn gzip_member(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// One zstd frame, as `zstd` writes it: with a checksum, and with the length if `sized`.
fn zstd_frame(plain: &[u8], sized: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.set_pledged_src_size(sized.then_some(plain.len() as u64)).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A skippable frame.
fn skippable(content: &[u8]) -> Vec<u8> {
    let mut frame = 0x184D_2A57_u32.to_le_bytes().to_vec();
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    frame.extend_from_slice(content);
    frame
}

/// Frames of 4 KiB with 300 bytes that do not compress, like a journal of small groups.
fn journal_like(len: usize, seed: u64) -> Vec<u8> {
    let random = SeededRandom::new(seed);
    let mut plain = vec![0; len];
    for frame in plain.chunks_mut(4096) {
        let payload = frame.len().min(300);
        random.fill(&mut frame[..payload]);
    }
    plain
}

/// Several packed forms of the same bytes, with what they are.
fn forms(plain: &[u8]) -> Vec<(&'static str, PackedFormat, Vec<u8>)> {
    let (first, second) = plain.split_at(plain.len() / 3);
    let two = |pack: &dyn Fn(&[u8]) -> Vec<u8>| [pack(first), pack(second)].concat();
    vec![
        ("ours", PackedFormat::Zstd, packed_by_us(plain, 70_000)),
        ("one member", PackedFormat::Gzip, gzip_member(plain)),
        ("two members", PackedFormat::Gzip, two(&gzip_member)),
        ("one frame", PackedFormat::Zstd, zstd_frame(plain, true)),
        ("one frame of unknown length", PackedFormat::Zstd, zstd_frame(plain, false)),
        ("two frames", PackedFormat::Zstd, two(&|part| zstd_frame(part, true))),
        (
            "frames between skippable ones",
            PackedFormat::Zstd,
            [
                skippable(b""),
                zstd_frame(first, false),
                skippable(&[9; 70_000]),
                zstd_frame(b"", true),
                zstd_frame(second, true),
                skippable(b"the end"),
            ]
            .concat(),
        ),
    ]
}

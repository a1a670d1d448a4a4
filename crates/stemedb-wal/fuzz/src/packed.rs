//! Any bytes as a compressed segment, and what was compressed as itself.
//!
//! ```text
//! 0  1  what is done     even: the rest is a file; odd: the rest is packed, and read back
//!       bit 1            0 zstd, 1 gzip
//!       bits 2–3         damage done to what was packed: so many bytes are changed
//!       bit 4            it is cut instead (what is changed *and* cut may be a shorter file of another program)
//! 1  1  how often the rest is repeated before it is packed, in steps of 16
//! 2  3  for each damage: place (u16), bits; or the length after the cut (u16)
//! …  …  the bytes
//! ```

use std::{io::Write as _, path::Path, sync::Arc};

use stemedb_env::{Env, File, OpenMode};
use stemedb_wal::packed::{PackedFile, PackedFormat, PackedWriter};

use super::input::Input;

const PACKS: u8 = 1;
const GZIP: u8 = 2;
const CUT: u8 = 16;
/// No more of a file is read.
const READ_BYTES: u64 = 64 << 20;
/// No more is packed.
const PLAIN_BYTES: usize = 3 << 20;

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let does = input.byte();
    let format = if does & GZIP == 0 { PackedFormat::Zstd } else { PackedFormat::Gzip };
    if does & PACKS == 0 {
        // Any error will do; what is given out has to be consistent.
        let _ = read(&install(input.rest()), format);
        return;
    }
    let times = 1 + usize::from(input.byte()) * 16;
    let cut = (does & CUT != 0).then(|| u16::from_le_bytes(input.take()));
    let damages = if cut.is_none() { (does >> 2) & 3 } else { 0 };
    let places: Vec<[u8; 3]> = (0..damages).map(|_| input.take()).collect();
    let mut plain = input.rest().repeat(times);
    plain.truncate(PLAIN_BYTES);
    let packed = match format {
        PackedFormat::Zstd => zstd(&plain),
        PackedFormat::Gzip => gzip(&plain),
    };
    let mut damaged = packed.clone();
    for [low, high, bits] in places {
        let at = usize::from(u16::from_le_bytes([low, high])) % damaged.len();
        damaged[at] ^= bits;
    }
    if let Some(cut) = cut {
        damaged.truncate(usize::from(cut) % damaged.len());
    }
    match read(&install(&damaged), format) {
        Ok(bytes) => assert!(bytes == plain, "wrong bytes instead of an error"),
        Err(error) => assert!(damaged != packed, "{error}"),
    }
}

/// A file with these bytes.
fn install(bytes: &[u8]) -> Arc<dyn File> {
    let (env, handles) = Env::sim(1);
    let path = Path::new("/segment");
    handles.fs.install(path, bytes).unwrap();
    env.fs.open(path, OpenMode::Read).unwrap()
}

/// Everything that is given out, from front to back; then a few places again, which must be the same.
fn read(file: &Arc<dyn File>, format: PackedFormat) -> Result<Vec<u8>, stemedb_env::Error> {
    let packed = PackedFile::open(Arc::clone(file), format)?;
    packed.len_hint()?;
    let len = packed.len()?;
    if packed.is_seekable() {
        assert_eq!(packed.len_hint()?, Some(len));
    }
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 100_000];
    while (bytes.len() as u64) < len.min(READ_BYTES) {
        let read = packed.read_at(&mut buffer, bytes.len() as u64)?;
        assert!(read > 0, "the file ends at {} of {len} bytes", bytes.len());
        bytes.extend_from_slice(&buffer[..read]);
    }
    assert!(bytes.len() as u64 <= len);
    assert_eq!(packed.read_at(&mut buffer, len)?, 0);
    assert_eq!(packed.read_at(&mut buffer, u64::MAX)?, 0);
    let again = packed.reopen();
    for at in [bytes.len() / 2, 0, bytes.len().saturating_sub(1)] {
        let wanted = &bytes[at..bytes.len().min(at + 1000)];
        let mut found = vec![0; wanted.len()];
        again.read_exact_at(&mut found, at as u64)?;
        assert_eq!(found, wanted);
    }
    Ok(bytes)
}

/// As the journal packs.
pub fn zstd(plain: &[u8]) -> Vec<u8> {
    let (env, handles) = Env::sim(1);
    let path = Path::new("/packed");
    let mut writer = PackedWriter::new(env.fs.open(path, OpenMode::CreateNew).unwrap(), 1).unwrap();
    plain.chunks(70_000).for_each(|chunk| writer.push(chunk).unwrap());
    let summary = writer.finish().unwrap();
    let bytes = handles.fs.read_all(path).unwrap();
    assert_eq!(summary.plain_bytes, plain.len() as u64);
    assert_eq!(summary.packed_bytes, bytes.len() as u64);
    assert_eq!(summary.plain_hash, blake3::hash(plain));
    bytes
}

/// As an operator packs.
pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// The plain bytes, if all of them can be had.
pub fn unpack(packed: &[u8], format: PackedFormat) -> Option<Vec<u8>> {
    read(&install(packed), format).ok()
}

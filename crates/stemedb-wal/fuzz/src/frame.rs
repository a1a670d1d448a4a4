//! Any bytes at any place of any file, as a frame.
//!
//! ```text
//! 0   1  flags          1 manifest, 2 the bytes claim this place, 4 the lengths fit, 8 the checksum is right
//! 1   1  database id    repeated
//! 2   1  timeline
//! 3   8  file number
//! 11  8  offset
//! 19  1  sector         of the search: 512, 4,096 or 1 byte
//! 20  …  the bytes
//! ```

use std::{path::Path, sync::Arc};

use stemedb_env::{
    Env, File, OpenMode, Result,
    frame::{
        DatabaseId, FORMAT, FileIdentity, Frame, FrameReader, HEADER_BYTES, LogKind, MAGIC, MAX_FRAME_BYTES,
        ReadError, TRAILER_BYTES, claimed_bytes, decode, encode, find_frames,
    },
};

use super::{checksum, input::Input};

const MANIFEST: u8 = 1;
const CLAIM: u8 = 2;
const FIT: u8 = 4;
const FIX: u8 = 8;
/// The four bytes of the header that are zero in this format.
const RESERVED: std::ops::Range<usize> = 68..72;
/// Where in the file the bytes are put, at most.
const SECTORS: u64 = 32;

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let identity = FileIdentity {
        database: DatabaseId([input.byte(); 16]),
        timeline: u32::from(input.byte()),
        log: if flags & MANIFEST != 0 { LogKind::Manifest } else { LogKind::Journal },
        file: input.number(),
    };
    let offset = input.number();
    let sector_bytes = [512, 512, 4096, 1][usize::from(input.byte() % 4)];
    let bytes = input.rest();
    in_memory(&prepared(bytes, flags, &identity, offset), &identity, offset);
    // In a file the place is a sector near its start.
    let at = (offset % SECTORS) * 512;
    in_file(&prepared(bytes, flags, &identity, at), &identity, at, offset, sector_bytes);
}

/// The bytes, made as much of a frame as the flags want.
fn prepared(bytes: &[u8], flags: u8, identity: &FileIdentity, offset: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if flags & CLAIM != 0 && bytes.len() >= HEADER_BYTES {
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = FORMAT;
        bytes[8..24].copy_from_slice(&identity.database.0);
        bytes[24..28].copy_from_slice(&identity.timeline.to_le_bytes());
        bytes[28..32].copy_from_slice(&[identity.log as u8, 0, 0, 0]);
        bytes[32..40].copy_from_slice(&identity.file.to_le_bytes());
        bytes[40..48].copy_from_slice(&offset.to_le_bytes());
    }
    if flags & FIT != 0 && bytes.len() >= HEADER_BYTES + TRAILER_BYTES {
        let room = (bytes.len() - HEADER_BYTES - TRAILER_BYTES) as u32;
        let payload = u32::from_le_bytes([bytes[48], bytes[49], bytes[50], bytes[51]]).min(room);
        bytes[48..52].copy_from_slice(&payload.to_le_bytes());
        let total = bytes.len() as u32;
        bytes[52..56].copy_from_slice(&total.to_le_bytes());
    }
    if flags & FIX != 0 {
        checksum::fix(&mut bytes);
    }
    bytes
}

fn in_memory(bytes: &[u8], identity: &FileIdentity, offset: u64) {
    let claimed = claimed_bytes(bytes, identity, offset);
    if let Ok(total) = claimed {
        assert!((HEADER_BYTES + TRAILER_BYTES..=MAX_FRAME_BYTES).contains(&total));
    }
    match decode(bytes, identity, offset) {
        Ok(frame) => {
            assert_eq!(claimed, Ok(frame.frame_bytes));
            assert_eq!(frame.header.offset, offset);
            encodes_again(&frame, bytes, identity);
        }
        Err(error) => assert!(claimed.is_ok() || claimed == Err(error)),
    }
}

/// A frame that was accepted is what its header and payload are encoded to. Bytes that this format writes as zeros and
/// does not read (the reserved field, the padding) are cleared first.
fn encodes_again(frame: &Frame<'_>, bytes: &[u8], identity: &FileIdentity) {
    let mut original = bytes[..frame.frame_bytes].to_vec();
    let padding = HEADER_BYTES + frame.payload.len()..original.len() - TRAILER_BYTES;
    let canonical = original[RESERVED].iter().chain(&original[padding.clone()]).all(|&byte| byte == 0);
    if !canonical {
        original[RESERVED].fill(0);
        original[padding].fill(0);
        checksum::fix(&mut original);
    }
    let mut again = Vec::new();
    let chain = encode(identity, &frame.header, frame.payload, frame.frame_bytes, &mut again);
    assert_eq!(again, original);
    assert!(chain.is_ok());
    assert!(!canonical || chain == Ok(frame.chain));
}

/// A file that notices how much is asked of it at once.
#[derive(Debug)]
struct Watched(Arc<dyn File>);

impl File for Watched {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        assert!(buffer.len() <= MAX_FRAME_BYTES, "a buffer of {} bytes", buffer.len());
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.0.write_at(data, offset)
    }

    fn sync_data(&self) -> Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }
}

/// The same bytes behind `at` bytes of zeros.
fn in_file(bytes: &[u8], identity: &FileIdentity, at: u64, elsewhere: u64, sector_bytes: usize) {
    let (env, handles) = Env::sim(1);
    let path = Path::new("/file");
    let mut content = vec![0; at as usize];
    content.extend_from_slice(bytes);
    handles.fs.install(path, &content).unwrap();
    let file: Arc<dyn File> = Arc::new(Watched(env.fs.open(path, OpenMode::Read).unwrap()));

    let mut reader = FrameReader::new(Arc::clone(&file), *identity, at);
    let mut expected = at;
    let mut in_sequence = 0;
    loop {
        assert_eq!(reader.offset(), expected);
        match reader.next_frame() {
            Ok(found) => {
                assert_eq!(found.offset, expected);
                encodes_again(&found.frame, &content[expected as usize..], identity);
                expected += found.frame.frame_bytes as u64;
                in_sequence += 1;
            }
            Err(ReadError::Frame { offset, error }) => {
                assert_eq!(offset, expected);
                let here = decode(&content[expected as usize..], identity, expected);
                assert_eq!(here.err(), Some(error));
                break;
            }
            Err(ReadError::Env(error)) => panic!("{error}"),
        }
    }
    assert!(decode(bytes, identity, at).is_err() || in_sequence > 0);

    // Where the file has no bytes there is no frame.
    let beyond = elsewhere.max(content.len() as u64);
    assert!(FrameReader::new(Arc::clone(&file), *identity, beyond).next_frame().is_err());

    let mut found = 0;
    let mut end = 0;
    let search = find_frames(&file, identity, at, sector_bytes, &mut |buf| {
        assert!(buf.offset >= end && buf.offset >= at);
        end = buf.offset + buf.frame.frame_bytes as u64;
        found += 1;
        true
    });
    search.unwrap();
    assert!(in_sequence == 0 || found > 0 || !at.is_multiple_of(sector_bytes as u64));
}

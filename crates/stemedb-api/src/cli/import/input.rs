//! What is read: a file or standard input, decompressed by what its first bytes say.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stemedb_env::{Env, File, OpenMode};

use crate::cli::failure::Failure;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 256 << 10;
/// Largest window of a zstd frame, as a power of two: what decoding may take of memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// An opened input.
pub struct Input {
    /// The text, decompressed.
    pub text: Box<dyn Read>,
    /// How much of the file has been read.
    pub read: ReadSoFar,
}

/// Bytes of a file that have been read, as stored.
#[derive(Clone)]
pub struct ReadSoFar {
    bytes: Arc<AtomicU64>,
    whole_bytes: Option<u64>,
}

impl ReadSoFar {
    /// Bytes read and bytes in all, where that is known.
    pub fn part(&self) -> Option<(u64, u64)> {
        Some((self.bytes.load(Ordering::Relaxed), self.whole_bytes?))
    }
}

impl Input {
    /// Opens a file; `-` is standard input.
    pub fn open(env: &Env, path: &Path) -> Result<Input, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(error).context(format!("cannot read {}", path.display()))
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let (raw, whole_bytes): (Box<dyn Read>, _) = if path.as_os_str() == "-" {
            (Box::new(io::stdin()), None)
        } else {
            if env.fs.metadata(path)?.is_some_and(|found| found.is_dir) {
                return Err(cannot(&"it is a folder"));
            }
            let file = env.fs.open(path, OpenMode::Read).map_err(|error| cannot(&error))?;
            let len = file.len().map_err(|error| cannot(&error))?;
            // A pipe or a device has no length.
            (Box::new(FileReader { file, offset: 0 }), Some(len).filter(|len| *len > 0))
        };
        let text = decompressed(Counted { input: raw, bytes: Arc::clone(&bytes) })
            .map_err(|error| cannot(&error))?;
        Ok(Input { text, read: ReadSoFar { bytes, whole_bytes } })
    }

    /// A text in memory.
    pub fn of_text(text: &'static str) -> Input {
        let read = ReadSoFar { bytes: Arc::default(), whole_bytes: None };
        Input { text: Box::new(text.as_bytes()), read }
    }
}

/// Looks at the first bytes, whatever the file is called.
fn decompressed(raw: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
    let mut start = raw.fill_buf()?.to_vec();
    if start.len() < ZSTD_MAGIC.len() {
        // A pipe may give less than four bytes at first.
        raw.consume(start.len());
        while start.len() < ZSTD_MAGIC.len() {
            match raw.fill_buf()? {
                [] => break,
                more => {
                    let byte = *more.first().unwrap_or(&0);
                    start.push(byte);
                    raw.consume(1);
                }
            }
        }
        return dispatch(&start.clone(), io::Cursor::new(start).chain(raw));
    }
    dispatch(&start, raw)
}

fn dispatch(start: &[u8], raw: impl BufRead + 'static) -> io::Result<Box<dyn Read>> {
    if start.starts_with(&GZIP_MAGIC) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(raw)))
    } else if start.starts_with(&ZSTD_MAGIC) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(Box::new(decoder))
    } else {
        Ok(Box::new(raw))
    }
}

/// A file, read from its beginning to its end.
pub struct FileReader {
    file: Arc<dyn File>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read_at(buffer, self.offset) {
            Ok(n) => {
                self.offset += n as u64;
                Ok(n)
            }
            Err(error) => Err(error.kind().map_or_else(|| io::Error::other(error), io::Error::from)),
        }
    }
}

struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Gives one byte at a time, as a slow pipe does.
    struct Drip(io::Cursor<Vec<u8>>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    fn read_back(stored: Vec<u8>) -> String {
        let mut text = String::new();
        decompressed(Drip(io::Cursor::new(stored))).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_first_bytes_decide_however_slowly_they_come() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{\"a\":1}\n").unwrap();
        assert_eq!(read_back(gzip.finish().unwrap()), "{\"a\":1}\n");
        assert_eq!(read_back(zstd::encode_all(&b"{\"a\":1}\n"[..], 1).unwrap()), "{\"a\":1}\n");
        assert_eq!(read_back(b"{\"a\":1}\n".to_vec()), "{\"a\":1}\n");
        assert_eq!(read_back(b"{}".to_vec()), "{}");
        assert_eq!(read_back(Vec::new()), "");
    }
}

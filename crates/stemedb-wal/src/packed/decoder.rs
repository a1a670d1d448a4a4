//! Either decoder, at a position that only moves forward.

use std::sync::Arc;

use stemedb_env::{Error, File};

use super::{PackedFormat, gzip::Gzip, input::Input, zstd_stream::Zstd};

/// Decodes a file from its beginning.
pub(super) enum Decoder {
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    pub fn new(format: PackedFormat, file: &Arc<dyn File>, packed_bytes: u64) -> Result<Decoder, Error> {
        let input = Input::new(file, packed_bytes);
        Ok(match format {
            PackedFormat::Gzip => Decoder::Gzip(Box::new(Gzip::new(input))),
            PackedFormat::Zstd => Decoder::Zstd(Box::new(Zstd::new(input)?)),
        })
    }

    /// Fills `out` with the next plain bytes; fewer only at the end of the file, whose checksums then have been verified.
    /// After an error the decoder is of no further use.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while let Some(room) = out.get_mut(done..).filter(|room| !room.is_empty()) {
            let read = match self {
                Decoder::Gzip(gzip) => gzip.read(room)?,
                Decoder::Zstd(zstd) => zstd.read(room)?,
            };
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Decoder::Gzip(gzip) => gzip.memory_bytes(),
            Decoder::Zstd(zstd) => zstd.memory_bytes(),
        }
    }
}

//! Reading a file without a seek table: forward, from the start.

use std::sync::Arc;

use stemedb_env::{Error, File, error::IoOp};

use super::{PackedError, PackedFormat, decoder::Decoder};

/// Plain bytes that are kept, so that short steps back cost nothing.
const CHUNK_BYTES: usize = 128 << 10;

/// Plain bytes around the last position, and a decoder that stands behind them.
pub(super) struct StreamReader {
    file: Arc<dyn File>,
    format: PackedFormat,
    packed_bytes: u64,
    /// At the end of the chunk. `None` at the start, and at the end of the file, where its memory is given back.
    decoder: Option<Decoder>,
    chunk: Vec<u8>,
    /// Offset of the chunk in the plain bytes.
    chunk_start: u64,
}

impl StreamReader {
    pub fn new(file: &Arc<dyn File>, format: PackedFormat, packed_bytes: u64) -> StreamReader {
        let file = Arc::clone(file);
        StreamReader { file, format, packed_bytes, decoder: None, chunk: Vec::new(), chunk_start: 0 }
    }

    fn restart(&mut self) {
        self.decoder = None;
        self.chunk.clear();
        self.chunk_start = 0;
    }

    /// Decodes the whole file, so that every checksum is verified. Returns the number of plain bytes.
    pub fn measure(&mut self) -> Result<u64, Error> {
        self.restart();
        let mut decoder = Decoder::new(self.format, &self.file, self.packed_bytes)?;
        let mut scratch = vec![0; CHUNK_BYTES];
        let mut plain_bytes = 0;
        loop {
            match decoder.read(&mut scratch)? {
                0 => return Ok(plain_bytes),
                read => plain_bytes += read as u64,
            }
        }
    }

    /// Plain bytes from `offset` on, at least one. `offset` is below `plain_bytes`, the measured length.
    pub fn bytes_at(&mut self, offset: u64, plain_bytes: u64) -> Result<&[u8], Error> {
        debug_assert!(offset < plain_bytes);
        if offset < self.chunk_start {
            self.restart();
        }
        while offset >= self.chunk_end() {
            let advanced = self.advance(plain_bytes);
            if advanced.is_err() {
                self.restart();
            }
            advanced?;
        }
        let within = usize::try_from(offset - self.chunk_start).unwrap_or(usize::MAX);
        Ok(self.chunk.get(within..).unwrap_or_default())
    }

    fn chunk_end(&self) -> u64 {
        self.chunk_start + self.chunk.len() as u64
    }

    /// Replaces the chunk by the one behind it.
    fn advance(&mut self, plain_bytes: u64) -> Result<(), Error> {
        let start = self.chunk_end();
        let changed = || PackedError::Changed.at(IoOp::Read, self.file.path());
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None if start > 0 => return Err(changed()),
            none => none.insert(Decoder::new(self.format, &self.file, self.packed_bytes)?),
        };
        self.chunk.resize(CHUNK_BYTES, 0);
        let read = decoder.read(&mut self.chunk)?;
        self.chunk.truncate(read);
        self.chunk_start = start;
        let end = start + read as u64;
        if end == plain_bytes {
            // Past the last byte stands its checksum: see it verified again.
            if decoder.read(&mut [0])? > 0 {
                return Err(changed());
            }
            self.decoder = None;
        } else if end > plain_bytes || read < CHUNK_BYTES {
            return Err(changed());
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.chunk.capacity() + self.decoder.as_ref().map_or(0, Decoder::memory_bytes)
    }
}

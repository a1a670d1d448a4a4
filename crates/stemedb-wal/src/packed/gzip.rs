//! The members of a gzip file, one after the other.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use stemedb_env::Error;

use super::{PackedError, input::Input};

/// Decodes all members; CRC-32 and length of each are checked at its end.
#[derive(Debug)]
pub(super) struct Gzip {
    decoder: MultiGzDecoder<Below>,
}

/// The packed bytes as the decoder wants them. Its errors have no room for ours, so a failure waits here.
#[derive(Debug)]
struct Below {
    input: Input,
    failure: Option<Error>,
}

impl Gzip {
    pub fn new(input: Input) -> Gzip {
        Gzip { decoder: MultiGzDecoder::new(Below { input, failure: None }) }
    }

    /// The next plain bytes; 0 at the end of the last member, which then has been verified.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.decoder.read(out).map_err(|error| {
            let below = self.decoder.get_mut();
            match below.failure.take() {
                Some(failure) => failure,
                None if error.kind() == io::ErrorKind::UnexpectedEof => {
                    below.input.fail(PackedError::Truncated)
                }
                None => below.input.damaged(),
            }
        })
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.decoder.get_ref().input.memory_bytes()
    }
}

impl Read for Below {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Below {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Below { input, failure } = self;
        input.available().map_err(|error| {
            *failure = Some(error);
            io::Error::from(io::ErrorKind::Other)
        })
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
    }
}

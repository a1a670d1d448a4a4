//! What of the machine a client uses: time, sleep, a little randomness, and small files. Nothing else here names them.

// The client is no part of the engine and does not bring in its door, `stemedb-env`; this file is its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    fmt,
    hash::BuildHasher,
    io::{self, Read},
    path::Path,
    time::{Duration, Instant},
};

/// Largest file of a key or of certificates.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// Time and chance, so that tests need not wait for either.
pub(crate) trait Machine: Send + Sync + fmt::Debug {
    /// Time since some moment; never goes back.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// Bits that nobody else has. Not for secrets.
    fn random(&self) -> u64;
}

/// The machine itself.
#[derive(Debug)]
pub(crate) struct Real(Instant);

impl Real {
    pub(crate) fn new() -> Real {
        Real(Instant::now())
    }
}

impl Machine for Real {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u64 {
        // Each state has keys of its own.
        std::hash::RandomState::new().hash_one(self.0.elapsed())
    }
}

/// Reads a small file.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 4 MiB"));
    }
    Ok(bytes)
}

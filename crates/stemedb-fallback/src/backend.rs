//! redb's file, through the door to the operating system.

use std::{io, sync::Arc};

use redb::StorageBackend;
use stemedb_env::File;

/// A file of [`stemedb_env::Fs`]. That nobody else has it open is seen to by the lock of the data directory.
#[derive(Debug)]
pub(crate) struct EnvBackend {
    file: Arc<dyn File>,
}

impl EnvBackend {
    pub(crate) fn new(file: Arc<dyn File>) -> EnvBackend {
        EnvBackend { file }
    }
}

/// The system's own error where there is one, so that a full disk stays a full disk.
fn io(error: stemedb_env::Error) -> io::Error {
    match error.kind() {
        Some(kind) => io::Error::new(kind, error),
        None => io::Error::other(error),
    }
}

impl StorageBackend for EnvBackend {
    fn len(&self) -> io::Result<u64> {
        self.file.len().map_err(io)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset).map_err(io)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(io)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().map_err(io)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset).map_err(io)
    }
}

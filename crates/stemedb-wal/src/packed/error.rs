//! What can be wrong with a packed file.

use std::{io, path::Path};

use stemedb_env::{Error, error::IoOp};

use super::{MAX_FRAMES, PackedFormat, WINDOW_LOG_MAX};

/// Why a packed file cannot be read or written. It travels inside a [`stemedb_env::Error`], whose path says which file;
/// [`PackedError::of`] finds it there. Failures of the file below are passed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    /// The data ends inside a member or frame, or there is none.
    #[error("the compressed data ends too early")]
    Truncated,
    /// A checksum or the structure does not hold.
    #[error("the compressed data is damaged at or before byte {packed_offset}")]
    Damaged {
        /// How far the packed bytes had been read.
        packed_offset: u64,
    },
    /// The seek table is missing from a file that promises one, or contradicts the frames.
    #[error("the seek table is missing or does not fit the frames")]
    SeekTable,
    /// The first bytes are not those of the format.
    #[error("not a {} file", format.name())]
    Foreign {
        /// What it should be.
        format: PackedFormat,
    },
    /// Decoding would take too much memory.
    #[error("a zstd frame needs a window of {window_bytes} bytes, more than {}", 1u64 << WINDOW_LOG_MAX)]
    Window {
        /// What the frame asks for.
        window_bytes: u64,
    },
    /// The frame needs a dictionary, and there is none.
    #[error("a zstd frame needs a dictionary")]
    Dictionary,
    /// The decoder or encoder could not get its memory.
    #[error("not enough memory for zstd")]
    Memory,
    /// The bytes below are not those that were verified.
    #[error("the file has changed since it was verified")]
    Changed,
    /// More than a seek table should hold.
    #[error("more than {MAX_FRAMES} frames")]
    TooLarge,
    /// A write failed, so nobody knows what is in the file: it has to be made again.
    #[error("an earlier write of this file failed")]
    Abandoned,
}

impl PackedError {
    /// As an error of the file at `path`.
    pub(super) fn at(self, op: IoOp, path: &Path) -> Error {
        Error::io(op, path, io::Error::new(self.kind(), self))
    }

    /// The reason inside an error, if it is one of these.
    pub fn of(error: &Error) -> Option<PackedError> {
        match error {
            Error::Io { source, .. } => source.get_ref()?.downcast_ref().copied(),
            _ => None,
        }
    }

    fn kind(self) -> io::ErrorKind {
        match self {
            PackedError::Truncated => io::ErrorKind::UnexpectedEof,
            PackedError::Damaged { .. }
            | PackedError::SeekTable
            | PackedError::Foreign { .. }
            | PackedError::Changed => io::ErrorKind::InvalidData,
            PackedError::Window { .. } | PackedError::Dictionary => io::ErrorKind::Unsupported,
            PackedError::Memory => io::ErrorKind::OutOfMemory,
            PackedError::TooLarge => io::ErrorKind::FileTooLarge,
            PackedError::Abandoned => io::ErrorKind::Other,
        }
    }
}

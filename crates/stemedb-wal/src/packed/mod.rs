//! Segments that are compressed: read in place, and written.
//!
//! A released segment is mostly padding, so it packs to a fraction, and an operator may pack it with the system's own
//! programs (`gzip`, `pigz`, `zstd`). [`PackedFile`] makes such a file readable as if it were not packed: it
//! is a [`stemedb_env::File`] whose offsets are those of the plain bytes. Nothing is unpacked to disk, and no file is
//! ever held in memory whole.
//!
//! ```text
//!               ┌ seek table ─▶ FrameReader ── one frame of at most 1 MiB, decoded and checked, in memory
//! PackedFile ───┤
//!               └ none ───────▶ StreamReader ─ Gzip or Zstd ─ Input    128 KiB of plain bytes, the decoder, 64 KiB
//! ```
//!
//! **No byte is given out before the checksum that covers it has been verified.** In a file of ours that is a frame's
//! own. In anybody else's it stands at the far end, so the first use of the file decodes it once from end to end,
//! keeping nothing but the length; everything after that is streamed again, from where it last stopped or, to go
//! back, from the start. Damage is an error at that first use, never bytes that are wrong and never a file that is
//! short. What no reader of these formats can tell: a file that was cut exactly between two gzip members or two zstd frames
//! (a file of ours cannot be: its head promises a seek table), and damage in a zstd frame without a checksum, which
//! `zstd` writes only when asked to (`--no-check`). Against both stands what is above: the journal's own frames are
//! checksummed and chained, and the successor knows the segment's length.
//!
//! Memory per open file that was read: 1.2 MiB with a seek table (2.2 MiB where nothing can be compressed), 0.3 MiB for
//! gzip, 0.7 MiB and the window for other zstd files: 2 MiB as `zstd` writes by default, 8 MiB as `-19` and `--long=23` do. Frames
//! that ask for more are refused.
//!
//! [`PackedWriter`] writes the zstd seekable format, which every zstd program reads as an ordinary file
//! (`docs/formats/packed.md`; source: facebook/zstd, `contrib/seekable_format/zstd_seekable_compression_format.md`).

mod decoder;
mod error;
mod file;
mod frame_header;
mod frames;
mod gzip;
mod input;
mod seek_table;
mod stream;
#[cfg(test)]
mod tests;
mod writer;
mod zstd_stream;

pub use error::PackedError;
pub use file::PackedFile;
pub use writer::{PackedSummary, PackedWriter};

/// Plain bytes of each frame that is written, the last one excepted. A seek costs decoding one of these.
pub(crate) const FRAME_BYTES: usize = 1 << 20;
/// Frames of a seek table that is held in memory: 64 GiB of plain bytes.
const MAX_FRAMES: usize = 1 << 16;
/// As a power of two: the largest window that a zstd frame may ask for.
const WINDOW_LOG_MAX: u32 = 23;

/// What a file is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedFormat {
    /// RFC 1952: one or more members.
    Gzip,
    /// RFC 8878: one or more frames, with skippable frames anywhere.
    Zstd,
}

impl PackedFormat {
    /// The format that a file's name promises, by its ending.
    pub fn of_name(name: &str) -> Option<PackedFormat> {
        [PackedFormat::Gzip, PackedFormat::Zstd].into_iter().find(|format| name.ends_with(format.suffix()))
    }

    /// What is put behind the name of the plain file.
    pub fn suffix(self) -> &'static str {
        match self {
            PackedFormat::Gzip => ".gz",
            PackedFormat::Zstd => ".zst",
        }
    }

    fn name(self) -> &'static str {
        match self {
            PackedFormat::Gzip => "gzip",
            PackedFormat::Zstd => "zstd",
        }
    }
}

//! Looks at a journal's files without opening it: for tools.
//!
//! Nothing is written, nothing is decided, and no lock is needed: what a running server appends meanwhile is seen or
//! not. Every frame of every segment is read and verified, in order; what is wrong is told and walked around.
//!
//! Where the newest segment ends is judged as recovery does (`docs/formats/journal.md`): a bad frame below a position
//! that anything proves to have been durable is damage, any other is the end. A server beside it renames, compresses and
//! re-uses files meanwhile; so whatever looks missing or damaged is looked up once more before it is told.

mod walk;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use stemedb_env::{Env, Lsn};

use self::walk::{Walk, again_if_moved};
use crate::{Error, JournalIdentity, Result, head::Head, segment::SegmentDir};

/// What an inspection comes across, in the order of the journal.
#[derive(Clone, Debug)]
pub enum Finding {
    /// A segment begins.
    Segment(SegmentFound),
    /// A frame that verifies and follows from the one before.
    Frame(FrameFound),
    /// What stands behind the end of a segment and is not part of the journal.
    Rest {
        /// The segment.
        segment: u64,
        /// Where it starts.
        offset: u64,
        /// Its bytes, up to the last that is not zero. 0: only room that was allocated ahead.
        bytes: u64,
    },
    /// Segments that are not there.
    Gap {
        /// First missing segment.
        first_segment: u64,
        /// Last missing segment.
        last_segment: u64,
        /// First missing entry.
        first_lsn: Lsn,
        /// Last missing entry; below the first if the segments had none; `None` if nothing tells it.
        last_lsn: Option<Lsn>,
        /// They were recycled on purpose after every view had flushed them.
        recycled: bool,
    },
    /// Something that had been durable is damaged: [`Error::Corruption`] or [`Error::Foreign`]; or a segment is gone that
    /// had not been released: [`Error::MissingSegment`].
    Damage(Error),
}

/// A segment file.
#[derive(Clone, Debug)]
pub struct SegmentFound {
    /// Its number.
    pub id: u64,
    /// The file.
    pub path: PathBuf,
    /// False for `live.*`, which is needed to open the database.
    pub released: bool,
    /// `None` if plain, else what it is compressed with.
    pub compressed: Option<&'static str>,
    /// Length of the file.
    pub file_bytes: u64,
    /// First LSN that it may hold.
    pub first_lsn: Lsn,
    /// Its accepted length, if its successor tells it.
    pub accepted_bytes: Option<u64>,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameRole {
    /// A group commit.
    Group {
        /// The payload is stored compressed.
        compressed: bool,
    },
    /// Only a newer watermark.
    Marker {
        /// The journal was closed here.
        closed: bool,
    },
    /// The last frame of a rotated segment.
    Seal {
        /// Its successor.
        successor: u64,
    },
    /// Something else that verifies; never written by this version.
    Other,
}

/// A frame.
#[derive(Clone, Debug)]
pub struct FrameFound {
    /// Its segment.
    pub segment: u64,
    /// Its offset.
    pub offset: u64,
    /// Its length, padding included.
    pub frame_bytes: u64,
    /// Length of its payload, as stored.
    pub payload_bytes: u64,
    /// What it is.
    pub role: FrameRole,
    /// First entry.
    pub first_lsn: Lsn,
    /// Entries.
    pub count: u32,
    /// What it says had been durable when it was built.
    pub watermark: u64,
    /// The entries, sharing memory.
    pub entries: Vec<Bytes>,
}

/// Sums of an inspection.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Whose journal it is.
    pub identity: JournalIdentity,
    /// Segments that are there.
    pub segments: u64,
    /// Frames that verify, headers left out.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of those.
    pub entry_bytes: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// First entry that is there.
    pub first_lsn: Lsn,
    /// Last entry that is there.
    pub last_lsn: Lsn,
    /// Gaps with entries that were not recycled.
    pub gaps: u64,
    /// Damaged places.
    pub damages: u64,
}

/// Walks through a journal and tells `visit` what is there. Compressed segments are read in place, also from
/// `archives`.
///
/// Errors: [`Error::NoJournal`], [`Error::Corruption`] if no segment has a readable header, [`Error::Env`] if the disk
/// refuses. Everything else is a [`Finding`]. Cost: the whole journal is read and verified; memory for one group.
pub fn inspect(
    env: &Env,
    dir: &Path,
    archives: &[PathBuf],
    visit: &mut dyn FnMut(&Finding),
) -> Result<Inspection> {
    if !env.fs.metadata(dir)?.is_some_and(|metadata| metadata.is_dir) {
        return Err(Error::NoJournal { dir: dir.to_path_buf() });
    }
    let identity = again_if_moved(|| SegmentDir::discover(&env.fs, dir))?;
    let dir = SegmentDir {
        fs: Arc::clone(&env.fs),
        path: dir.to_path_buf(),
        archives: archives.to_vec(),
        identity,
    };
    // Before the files are listed: what it says is true for ever, so it is true of them.
    let head = again_if_moved(|| Head::read(&dir))?;
    let sums = Inspection {
        identity,
        segments: 0,
        frames: 0,
        entries: 0,
        entry_bytes: 0,
        file_bytes: 0,
        first_lsn: Lsn::ZERO,
        last_lsn: Lsn::ZERO,
        gaps: 0,
        damages: 0,
    };
    let listed = dir.list()?;
    let mut walk = Walk { dir, head, listed, visit, sums };
    walk.all()?;
    Ok(walk.sums)
}

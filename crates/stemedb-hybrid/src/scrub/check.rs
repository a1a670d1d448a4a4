//! One file, piece by piece.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{AlignedBuffer, File, fs::write_file_atomic};
use stemedb_lsm::{CheckEnd, TableCheck};
use stemedb_wal::{SegmentCheck, SegmentEnd};

use super::{
    Ground,
    files::{FileClass, Item},
};
use crate::{
    Error, Identity, Result,
    sidecar::{SidecarCheck, SidecarEnd},
};

/// A check under way.
pub(super) enum Check {
    /// Small files that are one piece: identity, head, manifest.
    Small,
    Segment(Box<SegmentCheck>),
    Table(Box<TableCheck>),
    Sidecar(Box<SidecarCheck>),
    Through(Through),
    /// Nothing to read: the file is not of the database any more.
    Gone,
}

/// What a piece was.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub bytes: u64,
    pub rereads: u64,
    pub entries: u64,
    pub entry_bytes: u64,
    pub rows: u64,
    /// Files that ended with this piece, if it is not one.
    pub files: u64,
    pub end: Option<End>,
    /// Damage that has been mended already, or could not be.
    pub damage: Vec<Damage>,
}

impl Piece {
    /// The file is not of the database any more.
    fn gone() -> Piece {
        Piece { end: Some(End::Gone), ..Piece::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Gone,
}

/// Something is wrong with a file.
#[derive(Debug)]
pub(super) struct Damage {
    pub error: Error,
    pub file: PathBuf,
    pub offset: Option<u64>,
    pub healed: bool,
}

/// Why a piece could not be had.
pub(super) enum Trouble {
    /// The bytes are not what was written.
    Damage(Box<Damage>),
    /// The system refused: may pass.
    Refused(Error),
}

impl Trouble {
    /// Tells damage from what may pass.
    fn of(error: Error) -> Trouble {
        let place = match &error {
            Error::Store(stemedb_lsm::Error::Corruption { file, offset, .. }) => {
                (file.clone(), Some(*offset))
            }
            Error::Journal(stemedb_wal::Error::Corruption { file, offset, .. }) => {
                (file.clone(), Some(*offset))
            }
            Error::Journal(stemedb_wal::Error::Foreign { file, .. }) => (file.clone(), Some(0)),
            Error::Journal(stemedb_wal::Error::MissingSegment { dir, .. }) => (dir.clone(), None),
            _ => return Trouble::Refused(error),
        };
        Trouble::Damage(Box::new(Damage { error, file: place.0, offset: place.1, healed: false }))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::of(error)
    }
}

/// A file that is read and not judged.
pub(super) struct Through {
    file: Arc<dyn File>,
    at: u64,
    room: AlignedBuffer,
}

impl Check {
    pub(super) fn open(ground: &Ground, item: &Item) -> Result<Check> {
        Ok(match item.class {
            FileClass::Identity | FileClass::Head | FileClass::Manifest => Check::Small,
            FileClass::Segment | FileClass::PackedSegment => {
                Check::Segment(Box::new(ground.journal.check_segment(item.key.number)))
            }
            FileClass::Table => match ground.tree.check_table(item.key.number) {
                Some(check) => Check::Table(Box::new(check)),
                None => Check::Gone,
            },
            FileClass::Sidecar => {
                match item.path.file_name().and_then(|name| ground.sidecars.check(name.to_str()?)) {
                    Some(check) => Check::Sidecar(Box::new(check)),
                    None => Check::Gone,
                }
            }
            FileClass::Fallback | FileClass::Quarantine | FileClass::Other => {
                match ground.env.fs.open_past_cache(&item.path) {
                    Err(error) if error.is_not_found() => Check::Gone,
                    file => Check::Through(Through { file: file?, at: 0, room: AlignedBuffer::new() }),
                }
            }
        })
    }

    /// Reads about `bytes` further.
    pub(super) fn step(
        &mut self,
        ground: &Ground,
        item: &Item,
        bytes: u64,
    ) -> std::result::Result<Piece, Trouble> {
        Ok(match self {
            Check::Gone => Piece::gone(),
            Check::Small => small(ground, item.class)?,
            Check::Segment(check) => {
                let piece = check.step(bytes).map_err(Error::from)?;
                Piece {
                    bytes: piece.bytes,
                    rereads: piece.rereads,
                    entries: piece.entries,
                    entry_bytes: piece.entry_bytes,
                    end: piece.end.map(|end| match end {
                        SegmentEnd::Whole => End::Whole,
                        SegmentEnd::Gone => End::Gone,
                    }),
                    ..Piece::default()
                }
            }
            Check::Table(check) => {
                let piece = match check.step(bytes) {
                    // Its folder may be that of another view by now.
                    Err(_) if !ground.tree.has_checked(check) => return Ok(Piece::gone()),
                    piece => piece.map_err(Error::from)?,
                };
                Piece {
                    bytes: piece.bytes,
                    rereads: piece.rereads,
                    rows: match piece.end {
                        Some(CheckEnd::Whole { rows }) => rows,
                        _ => 0,
                    },
                    end: piece.end.map(|end| match end {
                        CheckEnd::Whole { .. } => End::Whole,
                        CheckEnd::Gone => End::Gone,
                    }),
                    ..Piece::default()
                }
            }
            Check::Sidecar(check) => {
                let piece = check.step(bytes).map_err(Error::from)?;
                let (bytes, rereads) = (piece.bytes, piece.rereads);
                let end = match piece.end {
                    None => None,
                    Some(SidecarEnd::Whole) => Some(End::Whole),
                    Some(SidecarEnd::Gone) => Some(End::Gone),
                    Some(SidecarEnd::Damaged { file, problem }) => {
                        let error = Error::BadSidecar { file: file.clone(), problem };
                        let damage = Damage { error, file, offset: None, healed: false };
                        return Err(Trouble::Damage(Box::new(damage)));
                    }
                };
                Piece { bytes, rereads, end, ..Piece::default() }
            }
            Check::Through(through) => through.step(bytes)?,
        })
    }

    /// Whoever could make the file again is told that the system cannot read it.
    pub(super) fn give_up(&self, ground: &Ground, item: &Item, offset: u64) {
        match self {
            Check::Table(_) => ground.tree.note_unreadable(item.key.number, offset),
            Check::Sidecar(check) => check.give_up(),
            Check::Segment(check) => check.give_up(),
            Check::Gone | Check::Small | Check::Through(_) => {}
        }
    }
}

impl Through {
    fn step(&mut self, bytes: u64) -> Result<Piece> {
        let wanted = usize::try_from(bytes.clamp(1, 1 << 20)).unwrap_or(usize::MAX);
        self.room.resize_stale(wanted);
        let read = self.file.read_up_to_at(&mut self.room, self.at)? as u64;
        self.at += read;
        Ok(Piece { bytes: read, end: (read < wanted as u64).then_some(End::Whole), ..Piece::default() })
    }
}

/// Checks one of the small files, and mends it from what is known.
fn small(ground: &Ground, class: FileClass) -> std::result::Result<Piece, Trouble> {
    let mut piece = Piece { end: Some(End::Whole), ..Piece::default() };
    match class {
        FileClass::Identity => {
            piece.files = 2;
            for path in ground.layout.identities() {
                let mut is_whole = identity_is_whole(ground, &path, &mut piece)?;
                if !is_whole {
                    is_whole = identity_is_whole(ground, &path, &mut piece)?;
                    piece.rereads += u64::from(is_whole);
                }
                if !is_whole {
                    let dir = ground.layout.dir().to_path_buf();
                    let error =
                        Error::BadIdentity { dir, problem: "one of its copies is damaged or missing" };
                    let mended = write_file_atomic(&*ground.env.fs, &path, &ground.identity.encode());
                    piece.damage.push(mend(error, path, None, mended.map_err(Error::from)));
                }
            }
        }
        FileClass::Head => match ground.journal.check_head() {
            Ok(bytes) => piece.bytes = bytes,
            Err(error) => match Trouble::of(error.into()) {
                Trouble::Damage(damage) => {
                    let Damage { error, file, offset, .. } = *damage;
                    let mended = ground.journal.renew_head().map_err(Error::from);
                    piece.damage.push(mend(error, file, offset, mended));
                }
                refused => return Err(refused),
            },
        },
        _ => match ground.tree.check_state() {
            _ if !ground.tree.is_settled() => return Ok(Piece::gone()),
            Ok(bytes) => (piece.bytes, piece.files) = (bytes, ground.tree.state_files().len() as u64),
            Err(error) => match Trouble::of(error.into()) {
                Trouble::Damage(damage) => {
                    let Damage { error, file, offset, .. } = *damage;
                    let mended =
                        ground.tree.renew_state("damaged; what it said was known and stands in a new one");
                    if mended.is_err() && !ground.tree.is_settled() {
                        // The view is given up, and its files with it.
                        return Ok(Piece::gone());
                    }
                    piece.damage.push(mend(error, file, offset, mended.map_err(Error::from)));
                }
                refused => return Err(refused),
            },
        },
    }
    Ok(piece)
}

fn mend(error: Error, file: PathBuf, offset: Option<u64>, mended: Result<()>) -> Damage {
    if let Err(error) = &mended {
        tracing::warn!(file = %file.display(), %error, "a damaged file could not be written again");
    }
    Damage { error, file, offset, healed: mended.is_ok() }
}

/// True if a copy says what was opened.
fn identity_is_whole(ground: &Ground, path: &Path, piece: &mut Piece) -> Result<bool> {
    let file = match ground.env.fs.open_past_cache(path) {
        Err(error) if error.is_not_found() => return Ok(false),
        file => file?,
    };
    let expected = ground.identity.encode();
    // One byte more, to see that there is none.
    let mut found = vec![0; expected.len() + 1];
    let read = file.read_up_to_at(&mut found, 0)?;
    piece.bytes += read as u64;
    found.truncate(read);
    Ok(Identity::decode(&found) == Some(ground.identity))
}

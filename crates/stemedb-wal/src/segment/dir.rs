//! The journal's folder: names, and opening a segment's file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    File, Fs, OpenMode,
    frame::{Chain, FileIdentity, FrameError, HEADER_BYTES, claimed_bytes, decode},
};

use super::{KIND_HEADER, SegmentHeader};
use crate::{Error, JournalIdentity, Result, error::Damage, options::MAX_GROUP_BYTES};

/// No header frame is longer: the payload fits the smallest sector, the sector is at most 64 KiB.
const MAX_HEADER_FRAME_BYTES: usize = 64 << 10;
const _: () = assert!(MAX_HEADER_FRAME_BYTES < MAX_GROUP_BYTES);

/// Under which name a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// `live.NNNNNN.wal`: active, or needed to open the database.
    Live,
    /// `segment.NNNNNN.wal`: sealed, and flushed by every view.
    Released,
}

/// A segment file that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub place: Place,
    pub bytes: u64,
}

/// The header frame of a segment, verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadedHeader {
    pub header: SegmentHeader,
    /// Length of the frame: where the first group starts.
    pub frame_bytes: u64,
    /// What the next frame must carry.
    pub chain: Chain,
}

/// The folder, and whose files belong in it.
#[derive(Clone, Debug)]
pub(crate) struct SegmentDir {
    pub fs: Arc<dyn Fs>,
    pub path: PathBuf,
    pub identity: JournalIdentity,
}

/// `quarantine` beside the journal's folder.
pub(crate) fn quarantine_default(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).join("quarantine")
}

/// The number in `prefix.NNNNNN.wal`.
fn number(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(".wal")?;
    let plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Longer numbers have no leading zeros, so that every number has one name.
    let canonical = digits.len() == 6 || !digits.starts_with('0');
    if plain && canonical { digits.parse().ok().filter(|&id| id > 0) } else { None }
}

impl SegmentDir {
    /// The path of segment `id` under the name of its place.
    pub fn segment(&self, id: u64, place: Place) -> PathBuf {
        self.path.join(match place {
            Place::Live => format!("live.{id:06}.wal"),
            Place::Released => format!("segment.{id:06}.wal"),
        })
    }

    /// The name under which segment `id` is built. Matches neither `live.*.wal` nor `segment.*.wal`.
    pub fn temporary(&self, id: u64) -> PathBuf {
        self.path.join(format!("next.{id:06}.tmp"))
    }

    /// Every segment in the folder. A `live` name wins over a `segment` name of the same number.
    pub fn list(&self) -> Result<BTreeMap<u64, Listed>> {
        let mut found = BTreeMap::new();
        for entry in self.fs.list(&self.path)? {
            let listed = |place| Listed { place, bytes: entry.metadata.len };
            if entry.metadata.is_dir {
                continue;
            }
            if let Some(id) = number(&entry.name, "live.") {
                found.insert(id, listed(Place::Live));
            } else if let Some(id) = number(&entry.name, "segment.") {
                found.entry(id).or_insert(listed(Place::Released));
            }
        }
        Ok(found)
    }

    /// Removes what an interrupted build left behind. Nothing ever relied on those files.
    pub fn remove_temporaries(&self) -> Result<()> {
        for entry in self.fs.list(&self.path)? {
            let ours = entry.name.starts_with("next.") && entry.name.ends_with(".tmp");
            if ours || entry.name == "HEAD.tmp" {
                self.fs.remove(&self.path.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Opens a segment for reading.
    pub fn open(&self, id: u64, place: Place) -> Result<Arc<dyn File>> {
        Ok(self.fs.open(&self.segment(id, place), OpenMode::Read)?)
    }

    /// Reads and verifies the header frame of a segment. A segment gets its name only after its header is durable, so
    /// a header that does not verify is damage, never a crash.
    pub fn header(&self, file: &Arc<dyn File>, id: u64) -> Result<LoadedHeader> {
        let damaged = |damage| Error::Corruption {
            file: file.path().to_path_buf(),
            offset: 0,
            damage,
            first_lsn: stemedb_env::Lsn::ZERO,
            last_lsn: None,
        };
        let identity = self.identity.file(id);
        let bytes = head_bytes(file, &identity)?;
        let frame = match decode(&bytes, &identity, 0) {
            Ok(frame) => frame,
            Err(FrameError::Foreign) => {
                return Err(match discover(&bytes, id) {
                    Some(found) if found != self.identity => {
                        Error::Foreign { file: file.path().to_path_buf(), found, expected: self.identity }
                    }
                    _ => damaged(FrameError::Foreign.into()),
                });
            }
            Err(error) => return Err(damaged(error.into())),
        };
        let header = SegmentHeader::decode(frame.payload)
            .filter(|header| frame.header.kind == KIND_HEADER && header.predecessor == id - 1)
            .ok_or(damaged(Damage::Payload))?;
        if frame.header.chain_prev != header.predecessor_chain {
            return Err(damaged(Damage::BrokenChain));
        }
        Ok(LoadedHeader { header, frame_bytes: frame.frame_bytes as u64, chain: frame.chain })
    }

    /// Whose files are in a folder, by the header of any readable segment. For rebuilds without an IDENTITY.
    pub fn discover(fs: &Arc<dyn Fs>, path: &Path) -> Result<JournalIdentity> {
        let anybody = JournalIdentity { database: Default::default(), timeline: 0 };
        let dir = SegmentDir { fs: Arc::clone(fs), path: path.to_path_buf(), identity: anybody };
        let mut first_failure = None;
        for (id, listed) in dir.list()? {
            let file = dir.open(id, listed.place)?;
            match discover(&head_bytes(&file, &anybody.file(id))?, id) {
                Some(identity) => return Ok(identity),
                None => {
                    first_failure.get_or_insert(Error::Corruption {
                        file: file.path().to_path_buf(),
                        offset: 0,
                        damage: Damage::Payload,
                        first_lsn: stemedb_env::Lsn::ZERO,
                        last_lsn: None,
                    });
                }
            }
        }
        Err(first_failure.unwrap_or(Error::NoJournal { dir: path.to_path_buf() }))
    }
}

/// Enough bytes of the file's start to hold the header frame, if it is one.
fn head_bytes(file: &Arc<dyn File>, identity: &FileIdentity) -> Result<Vec<u8>> {
    let mut bytes = read_at_most(file, HEADER_BYTES)?;
    let total = match claimed_bytes(&bytes, identity, 0) {
        Ok(total) => total,
        // Whose it is will be seen after its checksum was.
        Err(FrameError::Foreign) => {
            let field = bytes.get(52..56).and_then(|field| field.try_into().ok());
            field.map_or(0, |field| u32::from_le_bytes(field) as usize)
        }
        Err(_) => 0,
    };
    if total > HEADER_BYTES && total <= MAX_HEADER_FRAME_BYTES {
        bytes = read_at_most(file, total)?;
    }
    Ok(bytes)
}

fn read_at_most(file: &Arc<dyn File>, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; limit];
    let filled = file.read_up_to_at(&mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// The identity that a header frame carries, if its checksum holds.
fn discover(bytes: &[u8], id: u64) -> Option<JournalIdentity> {
    let mut database = stemedb_env::frame::DatabaseId::default();
    database.0.copy_from_slice(bytes.get(8..24)?);
    let timeline = u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?);
    let identity = JournalIdentity { database, timeline };
    decode(bytes, &identity.file(id), 0).ok().map(|_| identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_names_are_segments() {
        assert_eq!(number("live.000007.wal", "live."), Some(7));
        assert_eq!(number("segment.1234567.wal", "segment."), Some(1_234_567));
        for name in
            ["live.7.wal", "live.0000007.wal", "live.000000.wal", "live.00000x.wal", "live.000007.wal.gz"]
        {
            assert_eq!(number(name, "live."), None, "{name}");
        }
        for other in ["segment.000001.wal.gz", "next.000001.tmp", "HEAD"] {
            assert_eq!(number(other, "segment."), None);
        }
    }
}

//! The journal's folder: names, and opening a segment's file.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{
    File, Fs, OpenMode,
    frame::{Chain, FileIdentity, FrameError, HEADER_BYTES, claimed_bytes, decode},
};

use super::{KIND_HEADER, SegmentHeader};
use crate::{
    Error, JournalIdentity, Result,
    error::Damage,
    options::MAX_GROUP_BYTES,
    packed::{PackedError, PackedFile, PackedFormat},
};

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

/// How a segment's bytes are stored. Only released ones are ever compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As they were written.
    Plain,
    /// `.wal.zst`: by the engine, or by an operator.
    Zstd,
    /// `.wal.gz`: by an operator.
    Gzip,
}

/// Where a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub place: Place,
    pub form: Form,
    /// 0: the journal's folder; n: the n-th of the archive folders.
    pub folder: usize,
}

impl Location {
    pub const LIVE: Location = Location { place: Place::Live, form: Form::Plain, folder: 0 };
    pub const RELEASED: Location = Location { place: Place::Released, form: Form::Plain, folder: 0 };
    pub const PACKED: Location = Location { place: Place::Released, form: Form::Zstd, folder: 0 };

    /// Of several files of one segment the first counts: `live` before `segment`, plain before compressed (a `gzip`
    /// that is still running has written half of its output), the journal's folder before an archive.
    fn rank(&self) -> (Place, usize, Form) {
        (self.place, self.folder, self.form)
    }
}

/// A segment file that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub location: Location,
    /// Length of the file, compressed if it is.
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
    /// Other folders with released segments, read-only.
    pub archives: Vec<PathBuf>,
    pub identity: JournalIdentity,
}

/// `quarantine` beside the journal's folder.
pub(crate) fn quarantine_default(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).join("quarantine")
}

/// Number and location that a file's name says, if it is a segment's.
fn parse(name: &str, folder: usize) -> Option<(u64, Location)> {
    let (place, rest) = match (name.strip_prefix("live."), name.strip_prefix("segment.")) {
        (Some(rest), _) if folder == 0 => (Place::Live, rest),
        (_, Some(rest)) => (Place::Released, rest),
        _ => return None,
    };
    let (digits, end) = rest.split_once('.')?;
    let form = match end {
        "wal" => Form::Plain,
        "wal.zst" if place == Place::Released => Form::Zstd,
        "wal.gz" if place == Place::Released => Form::Gzip,
        _ => return None,
    };
    let plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Longer numbers have no leading zeros, so that every number has one name.
    let canonical = digits.len() == 6 || !digits.starts_with('0');
    // The very last number has no successor.
    let id = digits.parse().ok().filter(|&id| plain && canonical && id > 0 && id < u64::MAX)?;
    Some((id, Location { place, form, folder }))
}

impl SegmentDir {
    /// The path of segment `id` at a location.
    pub fn segment(&self, id: u64, location: Location) -> PathBuf {
        let folder = location.folder.checked_sub(1).and_then(|at| self.archives.get(at));
        let end = match location.form {
            Form::Plain => "wal",
            Form::Zstd => "wal.zst",
            Form::Gzip => "wal.gz",
        };
        folder.unwrap_or(&self.path).join(match location.place {
            Place::Live => format!("live.{id:06}.{end}"),
            Place::Released => format!("segment.{id:06}.{end}"),
        })
    }

    /// The name under which segment `id` is built. Matches neither `live.*.wal` nor `segment.*.wal`.
    pub fn temporary(&self, id: u64) -> PathBuf {
        self.path.join(format!("next.{id:06}.tmp"))
    }

    /// The name under which segment `id` is compressed.
    pub fn temporary_packed(&self, id: u64) -> PathBuf {
        self.path.join(format!("next.{id:06}.zst.tmp"))
    }

    /// The name under which damaged segment `id` is written again.
    pub fn temporary_healed(&self, id: u64) -> PathBuf {
        self.path.join(format!("next.{id:06}.heal.tmp"))
    }

    /// The name of the file with entries for that.
    pub fn temporary_spool(&self, id: u64) -> PathBuf {
        self.path.join(format!("next.{id:06}.spool.tmp"))
    }

    /// The name of a file that waits to become a segment.
    pub fn spare(&self, number: u64) -> PathBuf {
        self.path.join(format!("spare.{number:06}.tmp"))
    }

    /// The name of the file of segment `id` when it waits to become another one. Not one of those of [`SegmentDir::spare`],
    /// whose numbers are counted from 1 by each process.
    pub fn recycled_spare(&self, id: u64) -> PathBuf {
        self.path.join(format!("spare.of.{id:06}.tmp"))
    }

    /// Every segment in the folder and in the archive folders.
    pub fn list(&self) -> Result<BTreeMap<u64, Listed>> {
        Ok(self.list_with_doubles()?.0)
    }

    /// The same, and the segments of which the folder has more than one file.
    pub fn list_with_doubles(&self) -> Result<(BTreeMap<u64, Listed>, Vec<u64>)> {
        let (mut found, mut doubles) = (BTreeMap::<u64, Listed>::new(), Vec::new());
        self.each(&mut |id, listed| match found.entry(id) {
            Entry::Vacant(free) => _ = free.insert(listed),
            Entry::Occupied(mut known) => {
                let other = known.get().location;
                if listed.location.folder == 0 && other.folder == 0 {
                    doubles.push(id);
                }
                if listed.location.rank() < other.rank() {
                    known.insert(listed);
                }
            }
        })?;
        Ok((found, doubles))
    }

    /// Every file that holds segment `id`, the one that counts first.
    pub fn forms(&self, id: u64) -> Result<Vec<Listed>> {
        let mut forms = Vec::new();
        self.each(&mut |found, listed| forms.extend((found == id).then_some(listed)))?;
        forms.sort_by_key(|listed| listed.location.rank());
        Ok(forms)
    }

    fn each(&self, visit: &mut dyn FnMut(u64, Listed)) -> Result<()> {
        for (folder, path) in std::iter::once(&self.path).chain(&self.archives).enumerate() {
            if folder > 0 && self.fs.metadata(path)?.is_none() {
                // Not made yet, or not mounted now.
                continue;
            }
            for entry in self.fs.list(path)? {
                let Some((id, location)) = parse(&entry.name, folder).filter(|_| !entry.metadata.is_dir)
                else {
                    continue;
                };
                visit(id, Listed { location, bytes: entry.metadata.len });
            }
        }
        Ok(())
    }

    /// Number of the segment that a file's name says.
    pub fn id_of(path: &Path) -> Option<u64> {
        parse(path.file_name()?.to_str()?, 0).map(|(id, _)| id)
    }

    /// Removes what interrupted work left behind. Nothing ever relied on those files.
    pub fn remove_temporaries(&self) -> Result<()> {
        for entry in self.fs.list(&self.path)? {
            let prefixed = entry.name.starts_with("next.") || entry.name.starts_with("spare.");
            if (prefixed && entry.name.ends_with(".tmp")) || entry.name == "HEAD.tmp" {
                self.fs.remove(&self.path.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Opens a segment for reading its plain bytes, however they are stored.
    pub fn open(&self, id: u64, location: Location) -> Result<Arc<dyn File>> {
        self.open_packed(&self.segment(id, location), location.form)
    }

    /// Opens a file of a form for reading its plain bytes.
    pub fn open_packed(&self, path: &Path, form: Form) -> Result<Arc<dyn File>> {
        let file = self.fs.open(path, OpenMode::Read)?;
        let format = match form {
            Form::Plain => return Ok(file),
            Form::Zstd => PackedFormat::Zstd,
            Form::Gzip => PackedFormat::Gzip,
        };
        Ok(PackedFile::open(file, format)?)
    }

    /// True for a compressed segment whose first frame is damaged: see [`PackedFile::has_damaged_head`].
    pub fn has_damaged_head(&self, id: u64, location: Location) -> Result<bool> {
        let format = match location.form {
            Form::Plain => return Ok(false),
            Form::Zstd => PackedFormat::Zstd,
            Form::Gzip => PackedFormat::Gzip,
        };
        let file = self.fs.open(&self.segment(id, location), OpenMode::Read)?;
        match PackedFile::open(file, format).and_then(|file| file.has_damaged_head()) {
            // What is damaged so badly is found by whoever reads it.
            Err(error) if is_unpack_damage(&error) => Ok(false),
            found => Ok(found?),
        }
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
        let bytes = match head_bytes(file, &identity) {
            Err(Error::Env(error)) if is_unpack_damage(&error) => return Err(damaged(Damage::Packed)),
            bytes => bytes?,
        };
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
        let dir = SegmentDir {
            fs: Arc::clone(fs),
            path: path.to_path_buf(),
            archives: Vec::new(),
            identity: anybody,
        };
        let mut first_failure = None;
        for (id, listed) in dir.list()? {
            let damaged = |damage| Error::Corruption {
                file: dir.segment(id, listed.location),
                offset: 0,
                damage,
                first_lsn: stemedb_env::Lsn::ZERO,
                last_lsn: None,
            };
            let head = dir.open(id, listed.location).and_then(|file| head_bytes(&file, &anybody.file(id)));
            let head = match head {
                Err(Error::Env(error)) if is_unpack_damage(&error) => {
                    first_failure.get_or_insert(damaged(Damage::Packed));
                    continue;
                }
                head => head?,
            };
            match discover(&head, id) {
                Some(identity) => return Ok(identity),
                None => {
                    first_failure.get_or_insert(damaged(Damage::Payload));
                }
            }
        }
        Err(first_failure.unwrap_or(Error::NoJournal { dir: path.to_path_buf() }))
    }
}

/// True if it is the compressed form of a segment that cannot be read, and not the disk.
pub(crate) fn is_unpack_damage(error: &stemedb_env::Error) -> bool {
    PackedError::of(error).is_some()
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
        assert_eq!(parse("live.000007.wal", 0), Some((7, Location::LIVE)));
        assert_eq!(parse("segment.1234567.wal", 0), Some((1_234_567, Location::RELEASED)));
        assert_eq!(parse("segment.000001.wal.zst", 0), Some((1, Location::PACKED)));
        let gzip = Location { form: Form::Gzip, folder: 2, ..Location::RELEASED };
        assert_eq!(parse("segment.000001.wal.gz", 2), Some((1, gzip)));
        let others = [
            "live.7.wal",
            "live.0000007.wal",
            "live.000000.wal",
            "live.00000x.wal",
            "live.000007.wal.gz",
            "live.000007.wal.zst",
            "segment.000007.wal.tmp",
            "live.18446744073709551615.wal",
            "next.000001.tmp",
            "spare.000001.tmp",
            "HEAD",
        ];
        for name in others {
            assert_eq!(parse(name, 0), None, "{name}");
        }
        assert_eq!(parse("live.000007.wal", 1), None, "an archive has no live segments");
    }
}

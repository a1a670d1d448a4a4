//! What a table says of itself, without anything that was known before.

use std::path::Path;

use stemedb_env::{File, Fs, OpenMode, frame::DatabaseId};

use super::{
    decode_meta,
    format::{
        BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES, Scratch, TableIdentity, check_header, read_block,
    },
    meta::TableMeta,
    table_path,
};
use crate::{CorruptionKind, Error, Result, codec::Fields, error::is_unreadable, manifest::Record};

/// A table by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// With the length of the file.
    pub(crate) meta: TableMeta,
    /// Of the change that it closes, if it does.
    pub(crate) record: Option<Record>,
}

/// Reads header, footer and properties of table `file`; `None` unless all three are whole and belong to it. Its rows are not
/// looked at.
///
/// Errors: those of the disk, except that bytes which cannot be read are as good as damaged.
pub(crate) fn describe(
    fs: &dyn Fs,
    dir: &Path,
    database: DatabaseId,
    file: u64,
    scratch: &mut Scratch,
) -> Result<Option<Described>> {
    let read = |scratch: &mut Scratch| {
        let open = fs.open(&table_path(dir, file), OpenMode::Read).map_err(Error::Env)?;
        read(&*open, TableIdentity { database, file }, scratch)
    };
    // A second try tells a bad transfer from a bad sector.
    let outcome = read(scratch).or_else(|_| read(scratch));
    scratch.trim();
    match outcome {
        Ok(described) => Ok(Some(described)),
        Err(Error::Corruption { .. }) => Ok(None),
        Err(Error::Env(error)) if error.is_not_found() || is_unreadable(&error) => Ok(None),
        Err(Error::Env(error)) if error.kind() == Some(std::io::ErrorKind::UnexpectedEof) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The derivation version in the header of a table at `path`, if the header is whole and that of table `file`.
///
/// Errors: those of the disk, except that bytes which cannot be read are as good as damaged.
pub(crate) fn header_version(
    fs: &dyn Fs,
    path: &Path,
    database: DatabaseId,
    file: u64,
) -> Result<Option<u32>> {
    let mut header = [0; HEADER_BYTES];
    let read = fs.open(path, OpenMode::Read).and_then(|open| open.read_exact_at(&mut header, 0));
    match read {
        Ok(()) => {}
        Err(error) if error.is_not_found() || is_unreadable(&error) => return Ok(None),
        Err(error) if error.kind() == Some(std::io::ErrorKind::UnexpectedEof) => return Ok(None),
        Err(other) => return Err(other.into()),
    }
    let version = version_in(&header);
    Ok(check_header(&TableIdentity { database, file }, version, &header).then_some(version))
}

fn version_in(header: &[u8; HEADER_BYTES]) -> u32 {
    header.get(12..16).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn read(file: &dyn File, identity: TableIdentity, scratch: &mut Scratch) -> Result<Described> {
    let bad = |kind, offset| Error::Corruption { kind, file: file.path().to_path_buf(), offset };
    let len = file.len()?;
    let footer_at = len.checked_sub(FOOTER_BYTES as u64).ok_or_else(|| bad(CorruptionKind::SstHeader, 0))?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0)?;
    let version = version_in(&header);
    if !check_header(&identity, version, &header) {
        return Err(bad(CorruptionKind::SstHeader, 0));
    }
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, footer_at)?;
    let footer =
        Footer::decode(&identity, &footer, len).ok_or_else(|| bad(CorruptionKind::SstHeader, footer_at))?;
    let handle = footer.properties;
    let payload = read_block(file, &identity, BlockKind::Properties, handle, scratch)?;
    let malformed = || bad(CorruptionKind::BlockFormat, handle.offset);
    let mut fields = Fields::new(scratch.payload(payload));
    let mut meta = decode_meta(&mut fields).map_err(|_| malformed())?;
    if meta.file != identity.file || meta.derivation_version != version {
        return Err(malformed());
    }
    meta.bytes = len;
    let record = match fields.rest() {
        [] => None,
        bytes => Some(Record::decode(bytes).map_err(|_| malformed())?),
    };
    Ok(Described { meta, record })
}

//! Parts of files as objects named by their content.

use super::{
    BackupTarget, Content, Error, FileEntry, Hex, Part, Result, document::damaged, metadata::PART_BYTES,
};

/// Level of zstd for parts of segments.
const LEVEL: i32 = 3;
/// More than this a packed part never is: what zstd may add to what it cannot compress.
const PACKED_MAX_BYTES: u64 = PART_BYTES + PART_BYTES / 128 + 1024;

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Objects that were not there.
    pub objects: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
}

/// The part that holds these plain bytes.
pub fn part_of(plain: &[u8], packed: bool) -> Part {
    Part { blake3: Hex::from(blake3::hash(plain)), bytes: plain.len() as u64, packed }
}

fn stored_form(target: &dyn BackupTarget, part: &Part, plain: &[u8]) -> Result<Option<Vec<u8>>> {
    if !part.packed {
        return Ok(None);
    }
    zstd::bulk::compress(plain, LEVEL).map(Some).map_err(|error| Error::Target {
        op: "pack",
        name: part.object(),
        target: target.describe(),
        source: Box::new(error),
    })
}

/// Stores a part unless it is there. Not durable before [`BackupTarget::settle`].
pub fn put(target: &dyn BackupTarget, part: &Part, plain: &[u8], sent: &mut Sent) -> Result<()> {
    let name = part.object();
    if target.size(&name)?.is_some() {
        return Ok(());
    }
    let packed = stored_form(target, part, plain)?;
    let content = Content::Bytes(packed.as_deref().unwrap_or(plain));
    if target.put_if_absent(&name, content)? {
        sent.objects += 1;
        sent.bytes += content.bytes();
    }
    Ok(())
}

/// Stores a part in the place of a damaged one.
pub fn mend(target: &dyn BackupTarget, part: &Part, plain: &[u8]) -> Result<()> {
    let packed = stored_form(target, part, plain)?;
    target.put(&part.object(), Content::Bytes(packed.as_deref().unwrap_or(plain)))
}

/// Reads a part and proves it. Errors: [`Error::Missing`], [`Error::Damaged`].
pub fn get(target: &dyn BackupTarget, file: &FileEntry, part: &Part) -> Result<Vec<u8>> {
    let name = part.object();
    let limit = if part.packed { PACKED_MAX_BYTES } else { PART_BYTES };
    let stored = target.get(&name, limit)?.ok_or_else(|| Error::Missing {
        name: format!("{name}, of {},", file.path),
        target: target.describe(),
    })?;
    let bad = |problem: &str| damaged(target, &name, format!("{problem}; it is of {}", file.path));
    let plain = if part.packed {
        let bytes = usize::try_from(part.bytes).map_err(|_| bad("it is too long"))?;
        zstd::bulk::decompress(&stored, bytes).map_err(|_| bad("it cannot be unpacked"))?
    } else {
        stored
    };
    if plain.len() as u64 != part.bytes || Hex::from(blake3::hash(&plain)) != part.blake3 {
        return Err(bad("its digest does not match"));
    }
    Ok(plain)
}

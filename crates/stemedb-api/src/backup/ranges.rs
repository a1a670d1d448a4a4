//! Ranges of frames of the segments that are not archived whole yet: one object each, which proves itself.
//!
//! ```text
//! frames/000007.000000000000.range          header of segment 7 and what followed      shipped every few seconds
//! frames/000007.000000040960.range          what was durable behind that
//! frames/000007.000000000000-000000524288.merged      the same bytes as sixteen of them
//!    └ 1,024 bytes of document, padded │ frames, as one zstd frame
//! ```
//!
//! A shipped range is named by where it begins, so that of two writers of one past the first wins there and the other is told.
//! Format: `docs/formats/archive.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stemedb_env::{
    Lsn, Micros,
    frame::{Chain, DatabaseId},
};
use stemedb_index::{Claims, Derive};
use stemedb_wal::{FrameRange, JournalIdentity, JournalMark, read_frames};

use super::{
    BackupTarget, Error, FORMAT, Hex, Result,
    document::{self, damaged},
};

/// The document in front of the frames, padded to this.
const HEAD_BYTES: usize = 1024;
/// Plain bytes of a range at most: more than any frame has, or any segment is built with.
const PLAIN_MAX_BYTES: u64 = 128 << 20;
/// More than that no object of a range has.
pub(crate) const OBJECT_MAX_BYTES: u64 = HEAD_BYTES as u64 + PLAIN_MAX_BYTES + PLAIN_MAX_BYTES / 128 + 1024;
/// Level of zstd. Frames are padded to whole sectors, so most of a small one is nothing.
const LEVEL: i32 = 3;

/// What a range says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeRecord {
    /// Of the object.
    pub format: u32,
    /// The database.
    pub database: Hex<16>,
    /// Its timeline.
    pub timeline: u32,
    /// Whose turn it was to write: see [`super::EpochRecord`].
    pub epoch: u64,
    /// Number of the segment.
    pub segment: u64,
    /// Where the range begins, in the plain bytes of the segment.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// The frame chain's value where it begins.
    pub chain_before: Hex<16>,
    /// The frame chain's value where it ends.
    pub chain: Hex<16>,
    /// First entry that it may hold.
    pub first_lsn: u64,
    /// Last entry; below the first if it has none.
    pub last_lsn: u64,
    /// Recorded time of its first entry, if it has one.
    pub first_recorded_at: Option<i64>,
    /// Recorded time of its last entry.
    pub last_recorded_at: Option<i64>,
    /// When it was sent: the writer's wall clock, microseconds.
    pub shipped_at: i64,
    /// Length of the packed frames.
    pub packed_bytes: u64,
    /// Their digest.
    pub blake3: Hex<32>,
}

impl RangeRecord {
    /// Where it begins.
    pub fn from_mark(&self) -> JournalMark {
        JournalMark {
            next_lsn: Lsn(self.first_lsn),
            segment: self.segment,
            offset: self.from,
            chain: Chain(self.chain_before.0),
        }
    }

    /// Where it ends.
    pub fn to_mark(&self) -> JournalMark {
        JournalMark {
            next_lsn: Lsn(self.last_lsn).next(),
            segment: self.segment,
            offset: self.to,
            chain: Chain(self.chain.0),
        }
    }

    fn problem(&self, object: &RangeObject, of: &Past) -> Option<&'static str> {
        let ends = object.to.is_none_or(|to| to == self.to);
        if self.format != FORMAT {
            return Some("its format is not known");
        }
        if (self.database, self.timeline) != (of.database, of.timeline)
            || (self.segment, self.from) != (object.segment, object.from)
            || !ends
        {
            return Some("it is of another range");
        }
        let plain =
            self.to.checked_sub(self.from).is_some_and(|bytes| (1..=PLAIN_MAX_BYTES).contains(&bytes));
        if !plain
            || self.first_lsn == 0
            || self.last_lsn.checked_add(1).is_none_or(|next| next < self.first_lsn)
        {
            return Some("its numbers contradict each other");
        }
        None
    }
}

/// A past: everything in an archive is of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub database: Hex<16>,
    pub timeline: u32,
}

impl Past {
    pub fn identity(&self) -> JournalIdentity {
        JournalIdentity { database: DatabaseId(self.database.0), timeline: self.timeline }
    }

    fn folder(&self) -> String {
        format!("wal-archive/{}/{:06}/frames/", self.database, self.timeline)
    }
}

/// An object that holds a range, as its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeObject {
    pub name: String,
    pub segment: u64,
    pub from: u64,
    /// Where it ends, of one that was merged.
    pub to: Option<u64>,
    /// Length of the object.
    pub bytes: u64,
}

impl RangeObject {
    pub fn shipped(of: &Past, segment: u64, from: u64) -> RangeObject {
        let name = format!("{}{segment:06}.{from:012}.range", of.folder());
        RangeObject { name, segment, from, to: None, bytes: 0 }
    }

    pub fn merged(of: &Past, segment: u64, from: u64, to: u64) -> RangeObject {
        let name = format!("{}{segment:06}.{from:012}-{to:012}.merged", of.folder());
        RangeObject { name, segment, from, to: Some(to), bytes: 0 }
    }

    /// `None` for names that are nobody's.
    fn parse(of: &Past, name: &str, bytes: u64) -> Option<RangeObject> {
        let (segment, rest) = name.strip_prefix(&of.folder())?.split_once('.')?;
        let segment = segment.parse().ok()?;
        let object = match (rest.strip_suffix(".range"), rest.strip_suffix(".merged")) {
            (Some(from), _) => RangeObject::shipped(of, segment, from.parse().ok()?),
            (_, Some(span)) => {
                let (from, to) = span.split_once('-')?;
                RangeObject::merged(of, segment, from.parse().ok()?, to.parse().ok()?)
            }
            _ => return None,
        };
        // Every range has one name.
        (object.name == name).then_some(RangeObject { bytes, ..object })
    }

    /// True if it has the frame behind this position of its segment, as far as its name tells.
    pub fn covers(&self, at: &JournalMark) -> bool {
        self.segment == at.segment
            && match self.to {
                Some(to) => self.from <= at.offset && at.offset < to,
                None => self.from == at.offset,
            }
    }
}

/// Every range of a past, by segment and place. Cost: one listing.
pub(crate) fn list(target: &dyn BackupTarget, of: &Past) -> Result<Vec<RangeObject>> {
    let listed = target.list(&of.folder())?;
    let mut objects: Vec<RangeObject> =
        listed.iter().filter_map(|object| RangeObject::parse(of, &object.name, object.bytes)).collect();
    objects.sort_by_key(|object| (object.segment, object.from, object.to));
    Ok(objects)
}

/// The object of a range, and what it says of itself.
pub(crate) fn encode(
    of: &Past,
    epoch: u64,
    range: &FrameRange,
    now: Micros,
) -> Result<(RangeRecord, Vec<u8>)> {
    let refused = |what: &dyn std::fmt::Display| Error::Refused(format!("a range cannot be written: {what}"));
    let (mut first, mut last) = (None, None);
    let mut visit = |lsn: Lsn, bytes: Bytes| {
        first.get_or_insert_with(|| (lsn, bytes.clone()));
        last = Some((lsn, bytes));
    };
    let end = read_frames(of.identity(), &range.from, &range.bytes, &mut visit);
    if end != Ok(range.to) {
        return Err(refused(&"its frames do not follow from each other"));
    }
    let time = |entry: Option<(Lsn, Bytes)>| -> Result<Option<i64>> {
        let Some((lsn, bytes)) = entry else { return Ok(None) };
        let at = Claims.recorded_at(lsn, &bytes).map_err(stemedb_hybrid::Error::from)?;
        Ok(at.map(|at| at.0))
    };
    let packed = zstd::bulk::compress(&range.bytes, LEVEL).map_err(|error| refused(&error))?;
    let record = RangeRecord {
        format: FORMAT,
        database: of.database,
        timeline: of.timeline,
        epoch,
        segment: range.from.segment,
        from: range.from.offset,
        to: range.to.offset,
        chain_before: Hex(range.from.chain.0),
        chain: Hex(range.to.chain.0),
        first_lsn: range.from.next_lsn.0,
        last_lsn: range.to.next_lsn.prev().0,
        first_recorded_at: time(first)?,
        last_recorded_at: time(last)?,
        shipped_at: now.0,
        packed_bytes: packed.len() as u64,
        blake3: Hex::from(blake3::hash(&packed)),
    };
    let mut object = document::encode(&record)?;
    if object.len() >= HEAD_BYTES {
        return Err(refused(&"its document is too long"));
    }
    object.resize(HEAD_BYTES - 1, b' ');
    object.push(b'\n');
    object.extend_from_slice(&packed);
    Ok((record, object))
}

/// What the document in front says, if it is whole and of this object.
fn decode_head(
    target: &dyn BackupTarget,
    of: &Past,
    object: &RangeObject,
    head: &[u8],
) -> Result<RangeRecord> {
    let record: RangeRecord =
        document::decode(head.trim_ascii_end()).map_err(|problem| damaged(target, &object.name, problem))?;
    match record.problem(object, of) {
        Some(problem) => Err(damaged(target, &object.name, problem)),
        None => Ok(record),
    }
}

/// Reads what a range says of itself, and not the frames. Errors: [`Error::Missing`], [`Error::Damaged`].
pub(crate) fn head(target: &dyn BackupTarget, of: &Past, object: &RangeObject) -> Result<RangeRecord> {
    let mut head = [0; HEAD_BYTES];
    target.read_at(&object.name, &mut head, 0)?;
    decode_head(target, of, object, &head)
}

/// A range that was read and proven.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub record: RangeRecord,
    /// The frames.
    pub plain: Vec<u8>,
    /// The object as it is stored.
    pub raw: Vec<u8>,
}

/// Reads a range and proves it: its digest, and every frame up to the chain value at its end. Nothing is taken from one that was
/// torn. Errors: [`Error::Missing`], [`Error::Damaged`].
pub(crate) fn fetch(target: &dyn BackupTarget, of: &Past, object: &RangeObject) -> Result<Fetched> {
    let name = &object.name;
    let missing = || Error::Missing { name: name.clone(), target: target.describe() };
    let raw = target.get(name, OBJECT_MAX_BYTES)?.ok_or_else(missing)?;
    let bad = |problem: &str| damaged(target, name, problem);
    let (head, packed) = raw.split_at_checked(HEAD_BYTES).ok_or_else(|| bad("it ends early"))?;
    let record = decode_head(target, of, object, head)?;
    if packed.len() as u64 != record.packed_bytes || Hex::from(blake3::hash(packed)) != record.blake3 {
        return Err(bad("its digest does not match"));
    }
    let bytes = usize::try_from(record.to - record.from).map_err(|_| bad("it is too long"))?;
    let plain = zstd::bulk::decompress(packed, bytes).map_err(|_| bad("it cannot be unpacked"))?;
    let end = read_frames(of.identity(), &record.from_mark(), &plain, &mut |_, _| {});
    if plain.len() != bytes || end != Ok(record.to_mark()) {
        return Err(bad("its frames are not what it says"));
    }
    Ok(Fetched { record, plain, raw })
}

/// A range that was read together with others.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub object: RangeObject,
    pub record: RangeRecord,
}

/// The ranges of one segment that follow from each other from its beginning on, the longest ones where there are several; and the
/// first damaged one, where they end because of it. `objects` are those of the segment, in their order. Cost: a read for each.
pub(crate) fn chain(
    target: &dyn BackupTarget,
    of: &Past,
    objects: &[RangeObject],
) -> Result<(Vec<Range>, Option<Error>)> {
    let mut ranges: Vec<Range> = Vec::new();
    loop {
        let at = ranges.last().map_or(0, |range| range.record.to);
        // Of those that begin there the longest is the last one of the merged.
        let object = objects.iter().filter(|object| object.from == at).max_by_key(|object| object.to);
        let Some(object) = object else { return Ok((ranges, None)) };
        let record = match head(target, of, object) {
            Ok(record) => record,
            Err(error) if error.is_damage() => return Ok((ranges, Some(error))),
            Err(error) => return Err(error),
        };
        if ranges.last().is_some_and(|before| before.record.to_mark() != record.from_mark()) {
            let error = damaged(target, &object.name, "it does not follow from the one before");
            return Ok((ranges, Some(error)));
        }
        ranges.push(Range { object: object.clone(), record });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_has_one_name_and_other_names_are_nobodys() {
        let of = Past { database: Hex([0xAB; 16]), timeline: 3 };
        let folder = of.folder();
        for object in [
            RangeObject::shipped(&of, 7, 0),
            RangeObject::shipped(&of, 1_234_567, 40_960),
            RangeObject::merged(&of, 7, 0, 524_288),
        ] {
            assert_eq!(RangeObject::parse(&of, &object.name, 5), Some(RangeObject { bytes: 5, ..object }));
        }
        for name in [
            "000007.1.range",
            "7.000000000000.range",
            "000007.000000000000",
            "000007.000000000000.merged",
            "000007.000000000000-1.merged",
            "000007.000000000000.range.tmp",
            "+00007.000000000000.range",
        ] {
            assert_eq!(RangeObject::parse(&of, &format!("{folder}{name}"), 0), None, "{name}");
        }
        let other = Past { timeline: 4, ..of };
        assert_eq!(RangeObject::parse(&other, &RangeObject::shipped(&of, 7, 0).name, 0), None);
    }
}

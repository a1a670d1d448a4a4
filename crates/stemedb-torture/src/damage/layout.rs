//! What stands where in an undamaged journal: read from its bytes by the format's page, not by the journal's code.
//!
//! From it follows which damage nothing can tell from a torn tail; every other must be noticed.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use crate::subject::FileKind;

/// The files of a folder.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Where it stands.
    pub bytes: Range<usize>,
    /// LSNs of its entries; empty if it has none.
    pub lsns: Range<u64>,
    /// What it is (`docs/formats/journal.md`).
    pub kind: u8,
}

/// One segment that is not packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its file.
    pub path: PathBuf,
    /// Its frames, the header first.
    pub spots: Vec<Spot>,
    /// First LSN that it may hold.
    pub base: u64,
    /// What was durable before it got its name.
    pub built: usize,
    /// Up to here it is a part of the journal.
    pub accepted: usize,
    /// Released: opening does not need it.
    pub released: bool,
}

/// All segments by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The segments.
    pub segments: BTreeMap<u64, Segment>,
}

const KIND_GROUP: u8 = 2;
const KIND_SEAL: u8 = 4;
const PAYLOAD_AT: usize = 96;

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let mut word = [0; 8];
    word.get_mut(..len)?.copy_from_slice(bytes.get(at..at + len)?);
    Some(u64::from_le_bytes(word))
}

fn spot(bytes: &[u8], at: usize, file: u64) -> Option<Spot> {
    let frame = bytes.get(at..)?;
    let here =
        frame.starts_with(b"STEM") && number(frame, 32, 8)? == file && number(frame, 40, 8)? == at as u64;
    let len = usize::try_from(number(frame, 52, 4)?).ok()?;
    let (first, count) = (number(frame, 56, 8)?, number(frame, 64, 4)?);
    (here && len > PAYLOAD_AT && len <= frame.len()).then(|| Spot {
        bytes: at..at + len,
        lsns: first..first + count,
        kind: frame[5],
    })
}

fn segment(path: &std::path::Path, bytes: &[u8], id: u64, released: bool) -> Option<(Segment, usize)> {
    let mut spots: Vec<Spot> = Vec::new();
    let mut at = 0;
    while let Some(next) = spot(bytes, at, id) {
        // A recycled file has frames of its own earlier lives behind the end, but of other numbers.
        at = next.bytes.end;
        spots.push(next);
    }
    spots.first()?;
    let predecessor_bytes = usize::try_from(number(bytes, PAYLOAD_AT + 8, 8)?).ok()?;
    let base = number(bytes, PAYLOAD_AT + 40, 8)?;
    let built = usize::try_from(number(bytes, PAYLOAD_AT + 56, 8)?).ok()?;
    let path = path.to_path_buf();
    Some((Segment { path, spots, base, built, accepted: at, released }, predecessor_bytes))
}

impl Layout {
    /// Reads the layout of an undamaged folder.
    pub fn of(files: &Files) -> Layout {
        let mut layout = Layout::default();
        let mut accepted = BTreeMap::new();
        for (path, bytes) in files {
            let (id, released) = match FileKind::of(path) {
                FileKind::Live(id) => (id, false),
                FileKind::Released(id) => (id, true),
                _ => continue,
            };
            if let Some((segment, predecessor_bytes)) = segment(path, bytes, id, released) {
                layout.segments.insert(id, segment);
                accepted.insert(id, predecessor_bytes);
            }
        }
        for (id, segment) in &mut layout.segments {
            segment.accepted = accepted.get(&(id + 1)).copied().unwrap_or(segment.accepted);
        }
        layout
    }

    /// Entries up to this one must be there, or the journal must say that something is wrong: what of `before` has become
    /// `after` is allowed to cost only what nothing proves. `closed` says that `HEAD` had been exact.
    pub fn floor(&self, before: &Files, after: &Files, closed: bool) -> u64 {
        let head_whole = before
            .iter()
            .any(|(path, bytes)| FileKind::of(path) == FileKind::Head && after.get(path) == Some(bytes));
        let whole = |segment: &Segment, spot: &Spot| {
            let of = |files: &Files| files.get(&segment.path)?.get(spot.bytes.clone()).map(<[u8]>::to_vec);
            of(before) == of(after)
        };
        let last_of = |segment: &Segment| {
            segment.spots.iter().map(|spot| spot.lsns.end).max().unwrap_or(0).max(segment.base) - 1
        };
        let all = self.segments.values().map(last_of).max().unwrap_or(0);
        let mut newest = true;
        for (id, segment) in self.segments.iter().rev() {
            if !after.contains_key(&segment.path) {
                let sealed = self.segments.get(&(id - 1)).is_some_and(|before| {
                    before.spots.last().is_some_and(|seal| seal.kind == KIND_SEAL && whole(before, seal))
                });
                // Somebody knows that it was there.
                if head_whole || sealed {
                    return all;
                }
                newest = false;
                continue;
            }
            if segment.spots.first().is_none_or(|header| !whole(segment, header)) {
                return all;
            }
            let groups = segment.spots.iter().enumerate().filter(|(_, spot)| spot.kind == KIND_GROUP);
            let Some((at, hit)) = groups.into_iter().find(|(_, spot)| !whole(segment, spot)) else {
                return last_of(segment);
            };
            let vouched = segment.spots.iter().skip(at + 1).any(|spot| whole(segment, spot));
            let by_head = newest && closed && head_whole;
            if vouched || by_head || hit.bytes.end <= segment.built {
                return all;
            }
            return hit.lsns.start - 1;
        }
        0
    }

    /// Has a byte changed that is a part of the journal? Then somebody must say so. A segment without entries may be gone
    /// without a word.
    pub fn is_hit(&self, before: &Files, after: &Files) -> bool {
        self.segments.values().any(|segment| {
            let end = segment.accepted;
            let is_group = |spot: &&Spot| spot.kind == KIND_GROUP && spot.bytes.end <= end;
            match after.get(&segment.path) {
                Some(after) => {
                    before.get(&segment.path).and_then(|bytes| bytes.get(..end)) != after.get(..end)
                }
                None => segment.spots.iter().any(|spot| is_group(&spot)),
            }
        })
    }
}

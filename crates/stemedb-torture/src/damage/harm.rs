//! What is done to a journal's files.

use std::{fmt, path::PathBuf};

use stemedb_env::fs::SimFs;

use super::{layout::Files, scene::Scene};
use crate::{Dice, subject::FileKind};

/// The smallest unit that a disk writes.
pub const SECTOR: usize = 512;

const OTHER_PAST: &str = "file_of_another_past";
const OTHER_PAST_FRAME: &str = "frame_of_another_past";

/// Damage.
#[derive(Clone, PartialEq, Eq)]
pub enum Harm {
    /// Bits of one byte are flipped.
    Flip {
        /// The file.
        file: PathBuf,
        /// The byte.
        at: u64,
        /// Its bits.
        mask: u8,
    },
    /// Bytes are replaced.
    Put {
        /// The file.
        file: PathBuf,
        /// The first byte.
        at: u64,
        /// The new ones.
        bytes: Vec<u8>,
        /// What it stands for.
        why: &'static str,
    },
    /// Two sectors change places: misdirected writes.
    Swap {
        /// One of them.
        one: (PathBuf, usize),
        /// The other.
        other: (PathBuf, usize),
    },
    /// The file ends early.
    Cut {
        /// The file.
        file: PathBuf,
        /// Its length.
        len: u64,
    },
    /// The file is gone.
    Missing(PathBuf),
    /// A file (this one or a new one) holds other bytes as a whole.
    Whole {
        /// The file.
        file: PathBuf,
        /// Its bytes.
        bytes: Vec<u8>,
        /// What it stands for.
        why: &'static str,
    },
    /// Two at once.
    Pair(Box<Harm>, Box<Harm>),
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Harm::Flip { file, at, mask } => write!(f, "{} byte {at} xor {mask:#04x}", file.display()),
            Harm::Put { file, at, bytes, why } => {
                write!(f, "{} bytes {at} to {}: {why}", file.display(), *at as usize + bytes.len())
            }
            Harm::Swap { one, other } => {
                let (a, b) = (one.0.display(), other.0.display());
                write!(f, "{a} sector at {} and {b} sector at {} exchanged", one.1, other.1)
            }
            Harm::Cut { file, len } => write!(f, "{} cut to {len} bytes", file.display()),
            Harm::Missing(file) => write!(f, "{} missing", file.display()),
            Harm::Whole { file, why, .. } => write!(f, "{}: {why}", file.display()),
            Harm::Pair(one, other) => write!(f, "{one} and {other}"),
        }
    }
}

impl fmt::Debug for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Harm {
    /// The class under which it is counted.
    pub fn class(&self) -> String {
        let of = |what: &str, file: &PathBuf| format!("{what}_{}", FileKind::of(file).name());
        match self {
            Harm::Flip { file, .. } => of("flip", file),
            Harm::Put { why, .. } => (*why).to_owned(),
            Harm::Swap { .. } => "sectors_exchanged".to_owned(),
            Harm::Cut { file, .. } => of("cut", file),
            Harm::Missing(file) => of("missing", file),
            Harm::Whole { why, .. } => (*why).to_owned(),
            Harm::Pair(..) => "pair".to_owned(),
        }
    }

    /// Does it put a file into the journal that is consistent in itself, and of the same database? Its chain gives it away
    /// where it meets its neighbour, and not before.
    pub fn keeps_a_chain(&self) -> bool {
        match self {
            Harm::Whole { why, .. } => *why == OTHER_PAST,
            // The first frame of a first segment follows the same header in every past.
            Harm::Put { why, .. } => *why == OTHER_PAST_FRAME,
            Harm::Pair(one, other) => one.keeps_a_chain() || other.keeps_a_chain(),
            _ => false,
        }
    }

    /// Does it to a disk. Nothing happens where the file (or the place in it) is gone already.
    pub fn apply(&self, disk: &SimFs) {
        match self {
            Harm::Flip { file, at, mask } => {
                let _ = disk.corrupt(file, *at, *mask);
            }
            Harm::Put { file, at, bytes, .. } => {
                let _ = disk.overwrite(file, *at, bytes);
            }
            Harm::Swap { one, other } => {
                let read = |(file, at): &(PathBuf, usize)| {
                    let bytes = disk.read_all(file).unwrap_or_default();
                    bytes.get(*at..(*at + SECTOR).min(bytes.len())).map(<[u8]>::to_vec).unwrap_or_default()
                };
                let (first, second) = (read(one), read(other));
                let _ = disk.overwrite(&one.0, one.1 as u64, &second);
                let _ = disk.overwrite(&other.0, other.1 as u64, &first);
            }
            Harm::Cut { file, len } => {
                let _ = disk.truncate(file, *len);
            }
            Harm::Missing(file) => {
                let _ = disk.delete(file);
            }
            Harm::Whole { file, bytes, .. } => {
                let _ = disk.install(file, bytes);
            }
            Harm::Pair(one, other) => {
                one.apply(disk);
                other.apply(disk);
            }
        }
    }
}

/// Every byte of every file, `every` apart: one random bit (each bit if `each_bit`), 0x00 and 0xFF.
pub fn bytes(scene: &Scene, every: usize, each_bit: bool, dice: &mut Dice) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (file, bytes) in &scene.files {
        for (at, old) in bytes.iter().enumerate().step_by(every.max(1)) {
            let mut masks = vec![*old, !*old];
            match each_bit {
                true => masks.extend((0..8).map(|bit| 1 << bit)),
                false => masks.push(1 << dice.below(8)),
            }
            masks.sort_unstable();
            masks.dedup();
            let changing = masks.into_iter().filter(|mask| *mask != 0);
            harms.extend(changing.map(|mask| Harm::Flip { file: file.clone(), at: at as u64, mask }));
        }
    }
    harms
}

/// Where the frames of a scene begin and end; of `HEAD` both slots.
fn frames_of(scene: &Scene) -> Vec<(PathBuf, std::ops::Range<usize>)> {
    let segments = scene.layout.segments.values();
    let of_segment = |segment: &super::layout::Segment| {
        let path = segment.path.clone();
        segment.spots.iter().map(move |spot| (path.clone(), spot.bytes.clone())).collect::<Vec<_>>()
    };
    let heads = scene.files.keys().filter(|path| FileKind::of(path) == FileKind::Head);
    let slots = heads.flat_map(|path| [0, 4096].map(|at| (path.clone(), at..at + 4096)));
    segments.flat_map(of_segment).chain(slots).collect()
}

/// Every bit of the fields of each frame that say how much there is; of every field and of the checksum if `all`.
pub fn fields(scene: &Scene, all: bool) -> Vec<Harm> {
    const HEADER: usize = 96;
    const LENGTHS: [std::ops::Range<usize>; 2] = [48..56, 64..68];
    let mut harms = Vec::new();
    for (file, frame) in frames_of(scene) {
        let places: Vec<usize> = match all {
            true => (0..HEADER).chain(frame.len() - 4..frame.len()).collect(),
            false => LENGTHS.into_iter().flatten().collect(),
        };
        for at in places {
            let at = (frame.start + at) as u64;
            harms.extend((0..8).map(|bit| Harm::Flip { file: file.clone(), at, mask: 1 << bit }));
        }
    }
    harms
}

/// Each frame as it would be in another past: its place, its length and its LSN are right, and its checksum is too. As a disk
/// gives it back that has lost a write of a file that was restored.
pub fn frames(scene: &Scene, other_past: &Files) -> Vec<Harm> {
    let other = |(file, frame): (PathBuf, std::ops::Range<usize>)| {
        let bytes = other_past.get(&file)?.get(frame.clone())?.to_vec();
        Some(Harm::Put { file, at: frame.start as u64, bytes, why: OTHER_PAST_FRAME })
    };
    let not_head = |(file, _): &(PathBuf, _)| FileKind::of(file) != FileKind::Head;
    frames_of(scene).into_iter().filter(not_head).filter_map(other).collect()
}

/// Every file cut at every length, `every` apart; sector boundaries and their neighbours always.
pub fn cuts(scene: &Scene, every: usize) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (file, bytes) in &scene.files {
        let near = |len: &usize| matches!(len % SECTOR, 0 | 1 | 511) || len.is_multiple_of(every.max(1));
        let lens = (0..bytes.len()).filter(near);
        harms.extend(lens.map(|len| Harm::Cut { file: file.clone(), len: len as u64 }));
    }
    harms
}

/// Every sector zeroed, filled with garbage, exchanged with every other one, and as it was at earlier moments.
pub fn sectors(scene: &Scene, dice: &mut Dice) -> Vec<Harm> {
    let mut harms = Vec::new();
    let mut places = Vec::new();
    for (file, bytes) in &scene.files {
        for at in (0..bytes.len()).step_by(SECTOR) {
            let end = (at + SECTOR).min(bytes.len());
            let put = |bytes: Vec<u8>, why| Harm::Put { file: file.clone(), at: at as u64, bytes, why };
            harms.push(put(vec![0; end - at], "sector_zeroed"));
            harms.push(put((at..end).map(|_| dice.number() as u8).collect(), "sector_garbage"));
            for moment in &scene.earlier {
                if let Some(old) = moment.get(file).and_then(|bytes| bytes.get(at..end)) {
                    harms.push(put(old.to_vec(), "sector_older"));
                }
            }
            places.push((file.clone(), at));
        }
    }
    for (index, one) in places.iter().enumerate() {
        for other in places.iter().skip(index + 1) {
            harms.push(Harm::Swap { one: one.clone(), other: other.clone() });
        }
    }
    harms
}

/// Every file missing, empty, standing in for another one, of another database, of another past, as it was earlier; files too
/// many; garbage and stale frames behind the end.
pub fn whole_files(scene: &Scene, foreign: &Files, other_past: &Files) -> Vec<Harm> {
    let mut harms = Vec::new();
    let whole =
        |file: &PathBuf, bytes: &[u8], why| Harm::Whole { file: file.clone(), bytes: bytes.to_vec(), why };
    let newest = scene.layout.segments.keys().max().copied().unwrap_or(0);
    for (file, bytes) in &scene.files {
        harms.push(Harm::Missing(file.clone()));
        harms.push(whole(file, &[], "file_empty"));
        for (other, others) in scene.files.iter().filter(|(other, _)| *other != file) {
            harms.push(whole(file, others, "file_of_another_name"));
            let mut longer = bytes.clone();
            longer.extend_from_slice(others.get(bytes.len()..).unwrap_or_default());
            if longer.len() > bytes.len() && FileKind::of(other) != FileKind::Head {
                harms.push(whole(file, &longer, "stale_frames_behind"));
            }
        }
        for (files, why) in [(foreign, "file_foreign"), (other_past, OTHER_PAST)] {
            harms.extend(files.get(file).map(|bytes| whole(file, bytes, why)));
        }
        for moment in &scene.earlier {
            harms.extend(moment.get(file).map(|bytes| whole(file, bytes, "file_older")));
        }
        let garbage: Vec<u8> = bytes.iter().copied().chain(*b"garbage").collect();
        harms.push(whole(file, &garbage, "garbage_behind"));
        for name in [
            format!("live.{:06}.wal", newest + 1),
            format!("segment.{:06}.wal", newest),
            format!("next.{:06}.tmp", newest + 1),
            "stranger".to_owned(),
        ] {
            let copy = file.with_file_name(name);
            if !scene.files.contains_key(&copy) {
                harms.push(whole(&copy, bytes, "file_duplicated"));
            }
        }
    }
    harms
}

/// `count` pairs of other harms.
pub fn pairs(of: &[Harm], count: usize, dice: &mut Dice) -> Vec<Harm> {
    let mut pick = || of.get(dice.size(of.len())).cloned();
    (0..count).filter_map(|_| Some(Harm::Pair(Box::new(pick()?), Box::new(pick()?)))).collect()
}

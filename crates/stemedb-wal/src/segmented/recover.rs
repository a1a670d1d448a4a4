//! What is in the folder, and where the journal ends.
//!
//! The rule (`docs/formats/journal.md`): at the first bad frame of the newest segment, at position p, let W be the
//! highest position that anything proves to have been durable: the watermark of any valid frame of the file (also of
//! those behind p), the length that the file had when it got its name, `HEAD`, the LSN that the views have flushed.
//!
//! - p < W: **corruption**. Something that was durable is damaged; an error, never a shorter journal.
//! - p ≥ W: **torn tail**. The journal ends at p. Groups between W and p are whole but perhaps not durable: they are
//!   *adopted*, which means written again into a new segment before anybody may rely on them.
//!
//! Nothing here writes.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use stemedb_env::{
    File, Lsn,
    frame::FrameError,
    planted::{Bug, planted},
};

use super::{
    report::LsnRange,
    table::{Mark, Table},
    writer::{Adopted, Tail},
};
use crate::{
    Error, Result,
    error::Damage,
    head::{Head, HeadRecord},
    segment::{
        Behind, Cursor, FLAG_CLOSED, Form, KIND_GROUP, KIND_MARKER, KIND_SEAL, Listed, Location, Next, Place,
        Seal, SegmentDir, look_behind,
    },
};

/// What is read at once of a tail.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes behind the end of the journal that are not part of it.
#[derive(Clone, Debug)]
pub(crate) struct CutTail {
    pub file: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    pub damage: Damage,
}

/// What a folder holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub table: Table,
    pub head: Option<HeadRecord>,
    /// The provably durable end.
    pub tail: Tail,
    /// Whole groups behind it.
    pub adopted: Vec<Adopted>,
    /// Last LSN, adopted groups included; and where its frame ends.
    pub last_lsn: Lsn,
    pub end_bytes: u64,
    pub cut: Option<CutTail>,
    /// Oldest LSN from which everything is readable.
    pub first_lsn: Lsn,
    pub missing: Vec<LsnRange>,
    /// Released segments that are there and cannot be read.
    pub unreadable: Vec<Error>,
    /// Live segments whose entries were recycled on purpose; a crash kept their names.
    pub stale: Vec<u64>,
    /// The newest segment, if its *name* may not be durable: it is built again under the same name.
    pub unsettled: Option<u64>,
    pub tail_frames: u64,
    /// Entries up to here were recycled after every view had flushed them.
    pub recycled_lsn: Lsn,
    /// Segments of which the folder has more than one file.
    pub doubles: Vec<u64>,
}

/// Whether losses are errors (to serve) or findings (to rebuild what is left).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Serve {
        flushed: Lsn,
    },
    ReadOnly,
    /// As `ReadOnly`, and what is damaged is passed over: the journal ends before it, or has a hole there.
    Damaged,
}

impl Purpose {
    pub fn serves(self) -> bool {
        matches!(self, Purpose::Serve { .. })
    }
}

pub(crate) fn recover(dir: &SegmentDir, purpose: Purpose) -> Result<Found> {
    let (listed, doubles) = match dir.fs.metadata(&dir.path)? {
        Some(metadata) if metadata.is_dir => dir.list_with_doubles()?,
        _ => Default::default(),
    };
    if listed.is_empty() {
        return Err(nothing_left(dir));
    }
    let head = Head::read(dir)?;
    let recycled_lsn = head.map_or(Lsn::ZERO, |head| head.recycled_lsn);
    let mut table = Table::new(&listed);
    let newest = listed.last_key_value().map_or(0, |(&id, _)| id);
    let (mut missing, mut unreadable) = (Vec::new(), Vec::new());
    // Not in the table, and not to be removed.
    let mut kept = Vec::new();
    let newest = match purpose {
        Purpose::Damaged => newest_readable(dir, &mut table, newest, &mut unreadable)?,
        _ => newest,
    };
    let first_lsn = loop {
        missing.clear();
        match check_history(dir, &mut table, &listed, purpose, recycled_lsn, &mut missing)? {
            History::From(first_lsn) => break first_lsn,
            History::Unreadable(id, error) => {
                tracing::warn!(segment = id, %error, "an unreadable segment that is not needed counts as missing");
                table.segments.remove(&id);
                unreadable.push(error);
                kept.push(id);
            }
        }
    };
    let scan = scan_tail(dir, &mut table, newest, head, purpose, &mut unreadable)?;
    let successor_lost = if let Some(seal) = scan.seal {
        Some(seal.successor)
    } else if listed.get(&newest).is_some_and(|listed| listed.location.place == Place::Released) {
        // Only a segment with a successor is ever released.
        Some(newest + 1)
    } else {
        head.filter(|head| head.segment > newest).map(|_| newest + 1)
    };
    if let Some(segment) = successor_lost {
        let lost = LsnRange {
            first: scan.last_lsn.next(),
            last: head.map(|head| head.last_lsn).filter(|&last| last > scan.last_lsn),
        };
        if purpose.serves() {
            let dir = dir.path.clone();
            return Err(Error::MissingSegment { dir, segment, first_lsn: lost.first, last_lsn: lost.last });
        }
        missing.push(lost);
    }
    let scan = match doubtful_name(&mut table, dir, newest, head, purpose, &scan)? {
        Some(before) => TailScan { tail: before, adopted: scan.built, built: Vec::new(), ..scan },
        None => scan,
    };
    let unsettled = (scan.tail.segment < newest).then_some(newest);
    let stale = listed
        .iter()
        .filter(|(id, listed)| {
            listed.location == Location::LIVE
                && !table.segments.contains_key(id)
                && !kept.contains(*id)
                && **id < newest
        })
        .map(|(&id, _)| id)
        .collect();
    Ok(Found {
        stale,
        unsettled,
        table,
        head,
        tail: scan.tail,
        adopted: scan.adopted,
        last_lsn: scan.last_lsn,
        end_bytes: scan.end_bytes,
        cut: scan.cut,
        first_lsn,
        missing,
        unreadable,
        tail_frames: scan.frames,
        recycled_lsn,
        doubles,
    })
}

/// The newest segment whose header can be read; the others are passed over.
fn newest_readable(
    dir: &SegmentDir,
    table: &mut Table,
    newest: u64,
    unreadable: &mut Vec<Error>,
) -> Result<u64> {
    let mut at = newest;
    loop {
        match table.header(dir, at) {
            Ok(_) => return Ok(at),
            Err(error @ Error::Env(_)) => return Err(error),
            Err(error) if table.segments.len() == 1 => return Err(error),
            Err(error) => {
                unreadable.push(error);
                table.segments.remove(&at);
                at = table.newest().unwrap_or(at);
            }
        }
    }
}

/// No segment at all: was there ever a journal?
fn nothing_left(dir: &SegmentDir) -> Error {
    let head = dir.fs.metadata(&dir.path).and_then(|found| match found {
        Some(_) => dir.fs.metadata(&Head::path(dir)),
        None => Ok(None),
    });
    match head {
        Err(error) => error.into(),
        Ok(None) => Error::NoJournal { dir: dir.path.clone() },
        Ok(Some(_)) => match Head::read(dir) {
            Err(error) => error,
            Ok(head) => Error::MissingSegment {
                dir: dir.path.clone(),
                segment: head.map_or(1, |head| head.segment),
                first_lsn: Lsn(1),
                last_lsn: head.map(|head| head.last_lsn).filter(|&last| last > Lsn::ZERO),
            },
        },
    }
}

/// What [`check_history`] found.
enum History {
    /// The oldest LSN behind which there is no hole.
    From(Lsn),
    /// A released segment whose header cannot be read. Opening needs none of those, so it is to be taken as missing.
    Unreadable(u64, Error),
}

/// Looks for holes before the newest segment.
///
/// A hole below a released segment is harmless to open: released means that every view had flushed past it. So is one
/// whose entries the views say they have. It is only reported; a reader that comes to it gets the error.
fn check_history(
    dir: &SegmentDir,
    table: &mut Table,
    listed: &BTreeMap<u64, Listed>,
    purpose: Purpose,
    recycled_lsn: Lsn,
    missing: &mut Vec<LsnRange>,
) -> Result<History> {
    let newest_released =
        listed.iter().filter(|(_, listed)| listed.location.place == Place::Released).map(|(&id, _)| id).max();
    let mut first_lsn = None;
    let mut holes = Vec::new();
    let ids: Vec<u64> = table.segments.keys().copied().collect();
    for (at, &id) in ids.iter().enumerate().rev() {
        let before = at.checked_sub(1).and_then(|at| ids.get(at).copied());
        let live = listed.get(&id).is_some_and(|listed| listed.location.place == Place::Live);
        let hole = before.map_or(id > 1, |before| before + 1 < id);
        if !live && !hole && at > 0 {
            continue;
        }
        let header = match table.header(dir, id) {
            // Another database's file under the name of one of ours is damage too, where the rest is ours.
            Err(error @ (Error::Corruption { .. } | Error::Foreign { .. }))
                if ids.len() > 1
                    && (!live || purpose == Purpose::Damaged || is_flushed(dir, table, id, purpose)) =>
            {
                return Ok(History::Unreadable(id, error));
            }
            loaded => loaded?.header,
        };
        let needed = |listed: &&Listed| live && !hole && listed.location.place == Place::Live;
        if let Some(listed) = before.and_then(|before| listed.get(&before)).filter(needed)
            && listed.bytes < header.predecessor_bytes
            && purpose != Purpose::Damaged
            && !is_flushed(dir, table, id - 1, purpose)
            && table.header(dir, id - 1)?.header.replaces.is_none_or(|own| listed.bytes < own.own_bytes)
        {
            let location = listed.location;
            return Err(Error::Corruption {
                file: dir.segment(id - 1, location),
                offset: listed.bytes,
                damage: Damage::EndsEarly { durable_bytes: header.predecessor_bytes },
                first_lsn: table.header(dir, id - 1)?.header.base_lsn(),
                last_lsn: Some(header.predecessor_last_lsn),
            });
        }
        if hole {
            let first = match before {
                Some(before) => match end_of(dir, table, before) {
                    Err(error @ (Error::Corruption { .. } | Error::Foreign { .. })) => {
                        return Ok(History::Unreadable(before, error));
                    }
                    end => end?.next(),
                },
                None => Lsn(1),
            };
            let last = header.predecessor_last_lsn;
            if first <= last {
                first_lsn.get_or_insert(header.base_lsn());
                if last <= recycled_lsn {
                    // Gone on purpose, and nothing to report. What is older was to go too, and a crash kept its name.
                    for &id in ids.iter().take(at) {
                        table.segments.remove(&id);
                    }
                    break;
                }
                // Segments are released in order, so a released one speaks for all before it, readable or not.
                let released = newest_released.is_some_and(|released| released + 1 >= id);
                let harmless = match purpose {
                    Purpose::ReadOnly | Purpose::Damaged => true,
                    Purpose::Serve { flushed } => released || last <= flushed.max(recycled_lsn),
                };
                if !harmless {
                    return Err(Error::MissingSegment {
                        dir: dir.path.clone(),
                        segment: before.map_or(1, |before| before + 1),
                        first_lsn: first,
                        last_lsn: Some(last),
                    });
                }
                holes.push(LsnRange { first, last: Some(last) });
            }
        }
        if at == 0 {
            first_lsn.get_or_insert(header.base_lsn());
        }
    }
    missing.extend(holes.into_iter().rev());
    Ok(History::From(first_lsn.unwrap_or(Lsn(1))))
}

/// True if the views say that they have every entry of a segment: then it is as good as released.
fn is_flushed(dir: &SegmentDir, table: &mut Table, id: u64, purpose: Purpose) -> bool {
    let Purpose::Serve { flushed } = purpose else { return false };
    let successor = id.checked_add(1).filter(|next| table.segments.contains_key(next));
    let ends = successor.and_then(|next| table.header(dir, next).ok());
    ends.is_some_and(|successor| successor.header.predecessor_last_lsn <= flushed)
}

/// Last LSN of a segment whose successor is missing: read to its end. Only done beside a hole.
fn end_of(dir: &SegmentDir, table: &mut Table, id: u64) -> Result<Lsn> {
    let start = table.start(dir, id, Lsn::ZERO)?;
    let file = table.open(dir, id)?;
    let len = file.len()?;
    let mut cursor = Cursor::new(file, dir.identity.file(id), start.offset, start.chain, start.next_lsn);
    while let Next::Frame(_) = cursor.next(len)? {}
    Ok(cursor.next_lsn.prev())
}

struct TailScan {
    tail: Tail,
    adopted: Vec<Adopted>,
    /// The groups that the segment was built with; kept only while there are no others.
    built: Vec<Adopted>,
    last_lsn: Lsn,
    end_bytes: u64,
    cut: Option<CutTail>,
    seal: Option<Seal>,
    frames: u64,
}

/// Where the journal ends before the newest segment, if the name of that one may not be durable.
///
/// The name is made durable before `HEAD` speaks of the segment, and `HEAD` is written before the first group. So a segment
/// of which `HEAD` does not know, and that holds nothing but what it was built with, may have a name that is only seen: its
/// process was killed before the folder was synced, or that sync failed. Syncing the folder again proves nothing in the
/// second case. What it holds is few, and is written again.
fn doubtful_name(
    table: &mut Table,
    dir: &SegmentDir,
    newest: u64,
    head: Option<HeadRecord>,
    purpose: Purpose,
    scan: &TailScan,
) -> Result<Option<Tail>> {
    let header = table.header(dir, newest)?.header;
    let known = head.is_some_and(|head| head.segment >= newest);
    if !purpose.serves() || known || scan.end_bytes > header.built_bytes {
        return Ok(None);
    }
    Ok(Some(Tail {
        segment: header.predecessor,
        bytes: header.predecessor_bytes,
        chain: header.predecessor_chain,
        last_lsn: header.predecessor_last_lsn,
    }))
}

/// Groups that are whole; those that a watermark has covered are dropped again.
#[derive(Default)]
struct Unproven {
    /// With the tail that each leaves behind.
    groups: Vec<(Tail, Adopted)>,
}

impl Unproven {
    /// Moves `tail` over everything that ends at or before `proven_bytes`.
    fn prove(&mut self, proven_bytes: u64, tail: &mut Tail) {
        let count = self.groups.partition_point(|(after, _)| after.bytes <= proven_bytes);
        if let Some((after, _)) = self.groups.drain(..count).next_back() {
            *tail = after;
        }
    }
}

fn scan_tail(
    dir: &SegmentDir,
    table: &mut Table,
    id: u64,
    head: Option<HeadRecord>,
    purpose: Purpose,
    unreadable: &mut Vec<Error>,
) -> Result<TailScan> {
    let loaded = table.header(dir, id)?;
    let header = loaded.header;
    let file = table.open(dir, id)?;
    let len = file.len()?;
    let identity = dir.identity.file(id);
    let head_here = head.filter(|head| head.segment == id);
    // Then a file is missing, and that is what has to be said.
    let successor_known = head.is_some_and(|head| head.segment > id);
    let mut proven = header.built_bytes.max(head_here.map_or(0, |head| head.watermark));
    let mut tail = Tail {
        segment: id,
        bytes: loaded.frame_bytes,
        chain: loaded.chain,
        last_lsn: header.predecessor_last_lsn,
    };
    let mut unproven = Unproven::default();
    let mut built = Vec::new();
    let mut seal = None;
    // Behind the marker of a close the file may end.
    let mut closed_at = None;
    let mut frames = 0;
    let start = Mark { offset: loaded.frame_bytes, chain: loaded.chain, next_lsn: header.base_lsn() };
    let mut cursor = Cursor::new(Arc::clone(&file), identity, start.offset, start.chain, start.next_lsn);
    let bad = loop {
        if seal.is_some() {
            // Nothing follows a seal.
            break None;
        }
        let frame = match cursor.next(len)? {
            Next::Frame(frame) => frame,
            Next::End => break None,
            Next::Bad(damage) => break Some(damage),
        };
        frames += 1;
        proven = proven.max(frame.header.watermark);
        let after = Tail {
            segment: id,
            bytes: frame.header.offset + frame.frame_bytes as u64,
            chain: frame.chain,
            last_lsn: Lsn(frame
                .header
                .first_lsn
                .0
                .saturating_add(u64::from(frame.header.count))
                .saturating_sub(1)),
        };
        match frame.header.kind {
            KIND_GROUP => {
                let group = Adopted {
                    flags: frame.header.flags,
                    first_lsn: frame.header.first_lsn,
                    count: frame.header.count,
                    payload: frame.payload.to_vec(),
                };
                if after.bytes <= header.built_bytes {
                    built.push(group.clone());
                } else {
                    built.clear();
                }
                unproven.groups.push((after, group));
            }
            KIND_SEAL => seal = Seal::decode(frame.payload),
            _ => {}
        }
        let closes = frame.header.kind == KIND_MARKER && frame.header.flags & FLAG_CLOSED != 0;
        closed_at = closes.then_some(after.bytes);
        unproven.prove(proven, &mut tail);
        let next_lsn = cursor.next_lsn;
        table.mark(id, Mark { offset: cursor.offset, chain: cursor.chain, next_lsn });
    };
    let end_bytes = cursor.offset;
    let last_lsn = cursor.next_lsn.prev();
    let behind = match bad {
        Some(_) => look_behind(&file, &identity, end_bytes, len, Form::Plain)?,
        None => Behind::default(),
    };
    // Frames behind the bad one cannot be used, but what they say about durability is true.
    proven = proven.max(behind.proven_bytes);
    unproven.prove(proven.min(end_bytes), &mut tail);
    let corrupt = |damage| Error::Corruption {
        file: file.path().to_path_buf(),
        offset: end_bytes,
        damage,
        first_lsn: last_lsn.next(),
        last_lsn: head_here.map(|head| head.last_lsn).filter(|&last| last > last_lsn),
    };
    if end_bytes < proven {
        let error = corrupt(match bad {
            Some(damage) if damage != Damage::Frame(FrameError::Truncated) => damage,
            _ => Damage::EndsEarly { durable_bytes: proven },
        });
        if purpose != Purpose::Damaged {
            return Err(error);
        }
        unreadable.push(error);
    }
    if let Purpose::Serve { flushed } = purpose {
        if last_lsn < flushed {
            return Err(corrupt(Damage::BehindViews { flushed }));
        }
        // The length was durable before the file had its name.
        let allocated = header.allocated_bytes;
        let may_be_short = seal.is_some() || closed_at == Some(end_bytes) || successor_known;
        if len < allocated && !may_be_short {
            return Err(corrupt(Damage::EndsEarly { durable_bytes: allocated }));
        }
    }
    // Zeros were written ahead, and the rest of a recycled file may be anything; neither is a torn write.
    let torn = behind.begins_frame || (behind.end_bytes > end_bytes && !header.recycled);
    let cut = bad.filter(|_| seal.is_none() && torn).map(|damage| CutTail {
        file: file.path().to_path_buf(),
        offset: end_bytes,
        bytes: behind.end_bytes.saturating_sub(end_bytes),
        damage,
    });
    if planted(Bug::DropTornTailsPredecessor) && cut.is_some() {
        unproven.groups.pop();
        let (end_bytes, last_lsn) = unproven
            .groups
            .last()
            .map_or((tail.bytes, tail.last_lsn), |(after, _)| (after.bytes, after.last_lsn));
        let adopted = unproven.groups.into_iter().map(|(_, group)| group).collect();
        return Ok(TailScan { tail, adopted, built, last_lsn, end_bytes, cut, seal, frames });
    }
    if planted(Bug::AppendToUnsyncedTail)
        && let Some((after, _)) = unproven.groups.drain(..).next_back()
    {
        tail = after;
    }
    let adopted = unproven.groups.into_iter().map(|(_, group)| group).collect();
    Ok(TailScan { tail, adopted, built, last_lsn, end_bytes, cut, seal, frames })
}

/// Copies the bytes of a cut tail, chunk by chunk, with a note beside them. Idempotent: a second recovery of the same
/// tail replaces the copy.
pub(crate) fn quarantine(dir: &SegmentDir, quarantine: &std::path::Path, cut: &CutTail) -> Result<PathBuf> {
    let fs = &dir.fs;
    fs.create_dir(quarantine)?;
    if let Some(parent) = quarantine.parent() {
        fs.sync_dir(parent)?;
    }
    let stem = cut.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = format!("{stem}.tail-{}", cut.offset);
    let (path, temporary) = (quarantine.join(&name), quarantine.join(format!("{name}.tmp")));
    if fs.metadata(&temporary)?.is_some() {
        fs.remove(&temporary)?;
    }
    let source = fs.open(&cut.file, stemedb_env::OpenMode::Read)?;
    let copy = fs.open(&temporary, stemedb_env::OpenMode::CreateNew)?;
    copy_range(&source, cut.offset, cut.bytes, &copy)?;
    copy.sync_data()?;
    fs.rename(&temporary, &path)?;
    let reason = format!(
        "The tail of {}, {} bytes from offset {}, is not part of the journal: {}.\n\
         Nothing proves that these bytes had ever been durable, so no acknowledged entry is in them.\n",
        cut.file.display(),
        cut.bytes,
        cut.offset,
        cut.damage
    );
    let note = quarantine.join(format!("{name}.reason.txt"));
    stemedb_env::fs::write_file_atomic(&**fs, &note, reason.as_bytes())?;
    fs.sync_dir(quarantine)?;
    Ok(path)
}

fn copy_range(source: &Arc<dyn File>, from: u64, bytes: u64, to: &Arc<dyn File>) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < bytes {
        let want = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(chunk.len());
        let Some(room) = chunk.get_mut(..want) else { break };
        let n = source.read_up_to_at(room, from + done)?;
        let Some(data) = chunk.get(..n).filter(|data| !data.is_empty()) else { break };
        to.write_all_at(data, done)?;
        done += n as u64;
    }
    Ok(())
}

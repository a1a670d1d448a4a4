//! Damaged segments: found, written again, proven, put in the place of the old ones. See `docs/formats/journal.md`.
//!
//! ```text
//! examine/        the frames that are left, and the gaps between them
//! neighbours.rs   what the segments before and behind say about one
//! correct.rs      a single byte, from the checksum
//! spool.rs        entries that somebody has given again
//! plan.rs         which frames may have held them
//! rebuild/        the frames: tried against the chain, written, read back
//! swap.rs         quarantine, names
//! list.rs         segments that are known to be damaged
//! ```

mod correct;
mod examine;
mod list;
mod neighbours;
mod plan;
mod rebuild;
mod spool;
mod swap;

use std::{
    fmt,
    ops::{Range, RangeInclusive},
    path::PathBuf,
};

pub(crate) use list::{DamageList, segment_of};
use stemedb_env::{IoOp, Lsn};

use self::{
    examine::{Content, Examined, examine},
    neighbours::place_of,
    rebuild::{Outcome, Rebuild},
    swap::{adopt_form, put_in_place},
};
use super::{SegmentedJournal, inner::Inner};
use crate::{Error, ReadOnlyCause, Result, error::Damage, packed::PackedError, segment::Location};

/// Bytes of a segment that are not the frames that were written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The segment.
    pub segment: u64,
    /// Its file; of a missing one, the name that it should have.
    pub file: PathBuf,
    /// What is wrong where it begins.
    pub damage: Damage,
    /// Where in the segment, of its plain bytes if it is compressed.
    pub bytes: Range<u64>,
    /// The entries that stood there; empty (the last before the first) if none did. From [`Lsn::ZERO`] if nothing tells the
    /// first.
    pub lsns: RangeInclusive<Lsn>,
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hole { file, damage, bytes, lsns, .. } = self;
        write!(f, "{}: bytes {} to {}", file.display(), bytes.start, bytes.end)?;
        if !lsns.is_empty() {
            write!(f, ", LSN {} to {}", lsns.start(), lsns.end())?;
        }
        write!(f, ": {damage}")
    }
}

/// An entry that is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredEntry {
    /// Its bytes, exactly as they were appended, as far as the source can tell.
    pub bytes: Vec<u8>,
    /// The source vouches for them. Entries that it does not vouch for are only used where the journal's own chain proves them.
    pub is_certain: bool,
    /// When it was recorded, in microseconds. Entries of one group have the same; a hint, and nothing more.
    pub stamp: Option<i64>,
}

/// Why nothing can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecoverable {
    /// In words.
    pub cause: String,
}

/// Gives entries again that the journal has lost: a view of them, from the journal's side.
pub trait EntrySource {
    /// The entries from the first of `lsns` on, in order and without a gap: at least one, and as many as is convenient.
    /// `None` for one that cannot be given.
    ///
    /// Errors: none of them can be given.
    fn recover(
        &mut self,
        lsns: &RangeInclusive<Lsn>,
    ) -> std::result::Result<Vec<Option<RecoveredEntry>>, Unrecoverable>;
}

/// The source of whoever has none. What the journal itself can put right is put right without it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEntries;

impl EntrySource for NoEntries {
    fn recover(
        &mut self,
        _lsns: &RangeInclusive<Lsn>,
    ) -> std::result::Result<Vec<Option<RecoveredEntry>>, Unrecoverable> {
        Err(Unrecoverable { cause: "nothing else holds them".to_owned() })
    }
}

/// How a segment became whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healing {
    /// Another file of it was whole.
    OtherForm,
    /// Byte for byte as it was, and the chain proves it.
    Exact,
    /// The same entries in other frames; the source vouches for each of them.
    Replacement,
}

/// A segment that is whole again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healed {
    /// Its number.
    pub segment: u64,
    /// Its file now.
    pub file: PathBuf,
    /// What was wrong.
    pub holes: Vec<Hole>,
    /// What it is now.
    pub healing: Healing,
    /// Where the damaged files are.
    pub quarantined: Vec<PathBuf>,
}

/// A hole that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostHole {
    /// Where.
    pub hole: Hole,
    /// The entries of it that nothing gives again. Empty if all are there, and nothing proves them.
    pub lost: Vec<RangeInclusive<Lsn>>,
    /// Why.
    pub cause: String,
}

impl fmt::Display for LostHole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hole)?;
        for lsns in &self.lost {
            write!(f, "; lost: LSN {} to {}", lsns.start(), lsns.end())?;
        }
        write!(f, "; {}", self.cause)
    }
}

/// Why a segment could not be healed. The damaged file is as it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealError {
    /// At least one hole cannot be filled, or what would fill it cannot be proven.
    #[error("journal segment {segment} cannot be healed: {}", list_of(holes))]
    Lost {
        /// The segment.
        segment: u64,
        /// What stays.
        holes: Vec<LostHole>,
    },
    /// There is no such segment: it was recycled, or has never been there.
    #[error("there is no journal segment {segment}")]
    NoSegment {
        /// Its number.
        segment: u64,
    },
    /// The journal or its disk refused.
    #[error(transparent)]
    Journal(#[from] Error),
}

impl From<stemedb_env::Error> for HealError {
    fn from(error: stemedb_env::Error) -> HealError {
        HealError::Journal(error.into())
    }
}

fn list_of(holes: &[LostHole]) -> String {
    holes.iter().map(LostHole::to_string).collect::<Vec<_>>().join("; ")
}

/// `EIO`, everywhere.
const EIO: i32 = 5;

/// True if bytes cannot be had: their compressed form is damaged, or the disk refuses them.
pub(crate) fn is_unreadable(error: &stemedb_env::Error) -> bool {
    match error {
        stemedb_env::Error::Io { op: IoOp::Read, source, .. } => {
            source.raw_os_error() == Some(EIO) || PackedError::of(error).is_some()
        }
        _ => false,
    }
}

impl SegmentedJournal {
    /// Calls `tell` with the number of every segment that a reader, [`SegmentedJournal::verify`] or the opening finds to be
    /// damaged, once until it is healed. What is known already is told at once. The first call counts.
    ///
    /// `tell` is called by whoever reads, so it should only wake somebody.
    pub fn on_damage(&self, tell: impl Fn(u64) + Send + Sync + 'static) {
        self.damaged_segments().into_iter().for_each(&tell);
        self.inner.damage.tell(Box::new(tell));
    }

    /// Segments that are known to be damaged, and those that are missing between others. Reads nothing.
    pub fn damaged_segments(&self) -> Vec<u64> {
        let mut damaged: Vec<u64> =
            self.inner.damage.list().into_iter().map(|(segment, _)| segment).collect();
        let table = self.inner.table.lock();
        if let (Some((&first, _)), Some((&last, _))) =
            (table.segments.first_key_value(), table.segments.last_key_value())
        {
            damaged.extend((first..last).filter(|id| !table.segments.contains_key(id)));
        }
        drop(table);
        damaged.sort_unstable();
        damaged.dedup();
        damaged
    }

    /// Number of the oldest segment that is there.
    pub fn first_segment(&self) -> Option<u64> {
        self.inner.table.lock().segments.first_key_value().map(|(&id, _)| id)
    }

    /// What is wrong with a segment: exact bytes and LSNs. Empty if nothing is. Of its files, one that is whole is enough.
    ///
    /// Cost: its files are read once. Errors: `NoSegment`; whatever keeps it from being read for reasons of the system.
    pub fn holes(&self, segment: u64) -> std::result::Result<Vec<Hole>, HealError> {
        let inner = &self.inner;
        check_known(inner, segment)?;
        let examined = examine(inner, segment)?;
        let whole = examined.contents.iter().any(Content::is_whole);
        Ok(if whole { Vec::new() } else { examined.holes(inner) })
    }

    /// Makes a damaged or missing segment whole again: from another file of it, from its own checksums, from the entries
    /// that `source` gives. `None` if nothing is wrong with it.
    ///
    /// Nothing is put in its place that is not proven; the damaged file goes to `quarantine`. Readers go on meanwhile, and
    /// so do appends. A damaged segment that is being written ends first, and another one begins.
    ///
    /// Cost: the segment is read up to three times and written once; a few KiB of memory, the largest group, and 24 bytes per lost
    /// entry. Errors: [`HealError`]; the damaged file is then as it was.
    pub fn heal(
        &self,
        segment: u64,
        source: &mut dyn EntrySource,
    ) -> std::result::Result<Option<Healed>, HealError> {
        let inner = &self.inner;
        if inner.is_read_only {
            let cause = ReadOnlyCause::OpenedReadOnly;
            return Err(HealError::Journal(Error::ReadOnly { cause }));
        }
        let _one = inner.healing.lock();
        // What is gone on purpose is not damaged.
        check_known(inner, segment).inspect_err(|error| {
            if matches!(error, HealError::NoSegment { .. }) {
                inner.damage.forget(segment);
            }
        })?;
        let is_newest = inner.table.lock().newest() == Some(segment);
        if is_newest {
            // Only what does not change any more can be written again.
            inner.writer.lock().succeed(inner)?;
        }
        let examined = examine(inner, segment)?;
        let holes = examined.holes(inner);
        let present_is_whole = examined.present().is_some_and(Content::is_whole);
        if present_is_whole {
            let location =
                examined.present().and_then(|content| content.listed).map(|listed| listed.location);
            settle(inner, segment, location)?;
            return Ok(None);
        }
        if let Some(whole) = examined.contents.iter().find(|content| content.is_whole()) {
            let (file, quarantined) = adopt_form(inner, &examined, whole, &holes)?;
            return Ok(Some(Healed { segment, file, holes, healing: Healing::OtherForm, quarantined }));
        }
        let healed = self.write_again(&examined, holes, source);
        if healed.is_err() {
            // As large as the segment, both of them, and the disk may be full.
            for temporary in [inner.dir.temporary_healed(segment), inner.dir.temporary_spool(segment)] {
                match inner.env.fs.remove(&temporary) {
                    Err(error) if !error.is_not_found() => {
                        tracing::warn!(%error, "what a healing has left stays until the next open");
                    }
                    _ => {}
                }
            }
        }
        healed.map(Some)
    }

    /// Writes an examined segment again, and gives the new file its name.
    fn write_again(
        &self,
        examined: &Examined,
        holes: Vec<Hole>,
        source: &mut dyn EntrySource,
    ) -> std::result::Result<Healed, HealError> {
        let (inner, segment) = (&self.inner, examined.id);
        let outcome = Rebuild::new(inner, examined)?.run(source)?;
        let (written, healing) = match outcome {
            Outcome::Written { written, healing } => (written, healing),
            Outcome::Lost(lost) => return Err(HealError::Lost { segment, holes: lost }),
        };
        let last_lsn = examined.end.map_or(Lsn::ZERO, |end| end.last_lsn);
        let place = place_of(inner, segment);
        let Some((file, quarantined)) = put_in_place(inner, segment, place, last_lsn, &written, &holes)?
        else {
            inner.damage.forget(segment);
            return Err(HealError::NoSegment { segment });
        };
        tracing::info!(segment, file = %file.display(), ?healing, holes = holes.len(), "a journal segment is whole again");
        Ok(Healed { segment, file, holes, healing, quarantined })
    }
}

impl SegmentedJournal {
    /// Of segments with more than one file, decides which one counts: one that is whole.
    ///
    /// A crash between the two steps of compressing a segment leaves both files, and the plain one need not be what it was:
    /// its removal may be under way, and a file system that does not order data and its own journal (ext4 with
    /// `data=writeback`, or without a journal) may have given its blocks to another file already. The other way round, an operator's
    /// tool that was cut short leaves a compressed file that ends early. Cost: one pass over the files of such a segment.
    pub(super) fn decide_doubles(&self, segments: &[u64]) -> Result<()> {
        for &segment in segments {
            if !self.inner.is_read_only {
                match self.heal(segment, &mut NoEntries) {
                    Ok(None) | Err(HealError::Lost { .. } | HealError::NoSegment { .. }) => continue,
                    Ok(Some(healed)) => {
                        tracing::warn!(segment, file = %healed.file.display(), "of two files of a segment one is damaged; the other one counts");
                        continue;
                    }
                    // Where nothing can be written it may still be read.
                    Err(HealError::Journal(error)) => tracing::warn!(segment, %error, "a damaged file stays"),
                }
            }
            let examined = examine(&self.inner, segment)?;
            let whole = examined.contents.iter().find(|content| content.is_whole());
            if let Some(Content { listed: Some(listed), header: Some(header), .. }) = whole
                && !examined.present().is_some_and(Content::is_whole)
            {
                self.inner.table.lock().replaced(segment, listed.location, *header);
                self.inner.damage.forget(segment);
            }
        }
        Ok(())
    }
}

/// Refuses segments that were never there, or were recycled.
fn check_known(inner: &Inner, segment: u64) -> std::result::Result<(), HealError> {
    let recycled = inner.writer.lock().recycled_lsn;
    let mut table = inner.table.lock();
    let unknown = HealError::NoSegment { segment };
    if segment == 0 || table.newest().is_none_or(|newest| segment > newest) {
        return Err(unknown);
    }
    if table.segments.contains_key(&segment) || recycled == Lsn::ZERO {
        return Ok(());
    }
    // What is not there and lies before everything recycled is gone on purpose.
    let Some(next) = table.after(segment) else { return Err(unknown) };
    let header = table.header(&inner.dir, next)?;
    if header.header.predecessor_last_lsn <= recycled { Err(unknown) } else { Ok(()) }
}

/// Nothing is wrong with a segment (any more): it counts again, wherever it is.
fn settle(inner: &Inner, segment: u64, location: Option<Location>) -> Result<()> {
    let mut table = inner.table.lock();
    if let Some(location) = location.filter(|_| !table.segments.contains_key(&segment)) {
        let file = inner.dir.open(segment, location)?;
        let header = inner.dir.header(&file, segment)?;
        table.replaced(segment, location, header);
    }
    drop(table);
    inner.damage.forget(segment);
    inner.find_first_lsn();
    Ok(())
}

impl Inner {
    /// Looks for the oldest LSN behind which nothing is missing, after something has come back.
    fn find_first_lsn(&self) {
        let mut table = self.table.lock();
        let mut first = None;
        let ids: Vec<u64> = table.segments.keys().rev().copied().collect();
        for id in ids {
            if first.is_some_and(|first: u64| first != id + 1) {
                break;
            }
            first = Some(id);
        }
        if let Some(header) = first.and_then(|id| table.header(&self.dir, id).ok()) {
            self.first_lsn.fetch_min(header.header.base_lsn().0, std::sync::atomic::Ordering::AcqRel);
        }
    }
}

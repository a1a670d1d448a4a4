//! Durable frames as bytes, for whoever keeps them elsewhere while their segment is still being written.
//!
//! ```text
//! live.k   header │ group │ group │ marker │ group │ group (being written)
//!          ╰── range ─────────────╯╰─ range ───────╯ what is durable ends here
//! ```
//!
//! A range begins and ends between two frames of one segment, and never has a byte whose sync has not returned. What the bytes are
//! is proven by themselves, wherever they are kept: [`read_frames`] checks whose they are, their place, checksums and chain.

use bytes::Bytes;
use stemedb_env::{
    Lsn,
    frame::{Chain, FileIdentity, Frame, FrameError, decode},
};

use super::{SegmentedJournal, inner::Inner, pick::JournalMark, reader::Limit};
use crate::{
    Error, JournalIdentity, Result,
    error::Damage,
    segment::{KIND_GROUP, KIND_HEADER, Next, SegmentHeader, decode_group, misfit},
};

/// Frames of one segment, one behind the other, as they stand in its plain form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// Where they begin.
    pub from: JournalMark,
    /// Where they end.
    pub to: JournalMark,
    /// The frames.
    pub bytes: Vec<u8>,
}

/// What follows on a position of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurableFrames {
    /// These.
    Range(FrameRange),
    /// Nothing that is durable yet.
    Nothing,
    /// The segment ends there, or before: the journal goes on in its successor.
    SegmentEnds,
    /// The segment has been written again after damage, with frames of its own: what was kept of it is of another one.
    Replaced,
}

/// What a segment's header says of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOrigin {
    /// How long the predecessor counts: what followed there is not part of the journal.
    pub bytes: u64,
    /// The frame chain's value at that length.
    pub chain: Chain,
    /// The last entry before this segment.
    pub last_lsn: Lsn,
}

/// Walks whole frames from a position on. Returns where it has come, and what is wrong with the next bytes if there are some.
fn walk<'a>(
    identity: &FileIdentity,
    from: &JournalMark,
    bytes: &'a [u8],
    visit: &mut dyn FnMut(&JournalMark, &Frame<'a>) -> std::result::Result<(), Damage>,
) -> (JournalMark, Option<Damage>) {
    let (mut at, mut rest) = (*from, bytes);
    while !rest.is_empty() {
        let frame = match decode(rest, identity, at.offset) {
            Ok(frame) => frame,
            Err(error) => return (at, Some(error.into())),
        };
        let damage = misfit(&frame, at.chain, at.next_lsn).or_else(|| misplaced(&frame, &at));
        if let Some(damage) = damage.or_else(|| visit(&at, &frame).err()) {
            return (at, Some(damage));
        }
        at.offset += frame.frame_bytes as u64;
        at.chain = frame.chain;
        at.next_lsn = Lsn(at.next_lsn.0.saturating_add(u64::from(frame.header.count)));
        rest = rest.get(frame.frame_bytes..).unwrap_or_default();
    }
    (at, None)
}

/// A header that names another past than the position.
fn misplaced(frame: &Frame<'_>, at: &JournalMark) -> Option<Damage> {
    if frame.header.kind != KIND_HEADER {
        return None;
    }
    let fits = SegmentHeader::decode(frame.payload)
        .is_some_and(|header| header.predecessor_chain == at.chain && header.base_lsn() == at.next_lsn);
    (!fits).then_some(Damage::BrokenChain)
}

/// Reads frames of a journal that are kept elsewhere, and gives every entry of them to `visit`. They must begin at `from`; returns
/// where they end. Cost: a CRC-32 and a BLAKE3 pass.
///
/// Errors: what is wrong with the first frame that is not as it was written, or not the next one.
pub fn read_frames(
    identity: JournalIdentity,
    from: &JournalMark,
    bytes: &[u8],
    visit: &mut dyn FnMut(Lsn, Bytes),
) -> std::result::Result<JournalMark, Damage> {
    let mut entries = |at: &JournalMark, frame: &Frame<'_>| -> std::result::Result<(), Damage> {
        if frame.header.kind == KIND_GROUP {
            let mut group = decode_group(frame).ok_or(Damage::Payload)?;
            let mut lsn = at.next_lsn;
            while let Some(entry) = group.take() {
                visit(lsn, entry);
                lsn = lsn.next();
            }
        }
        Ok(())
    };
    match walk(&identity.file(from.segment), from, bytes, &mut entries) {
        (to, None) => Ok(to),
        (_, Some(damage)) => Err(damage),
    }
}

/// What the header at the beginning of a segment's bytes says of the segment before.
///
/// Errors: what is wrong with it.
pub fn segment_origin(
    identity: JournalIdentity,
    segment: u64,
    bytes: &[u8],
) -> std::result::Result<SegmentOrigin, Damage> {
    let frame = decode(bytes, &identity.file(segment), 0)?;
    let header = SegmentHeader::decode(frame.payload).filter(|_| frame.header.kind == KIND_HEADER);
    let header = header.ok_or(Damage::Payload)?;
    Ok(SegmentOrigin {
        bytes: header.predecessor_bytes,
        chain: header.predecessor_chain,
        last_lsn: header.predecessor_last_lsn,
    })
}

impl SegmentedJournal {
    /// The position at the very beginning of a segment; `None` where there is no such segment, or nobody may read it yet.
    ///
    /// Errors: those of reading its header.
    pub fn segment_mark(&self, segment: u64) -> Result<Option<JournalMark>> {
        if self.inner.durable_bytes(segment)?.is_none() {
            return Ok(None);
        }
        let header = self.inner.header(segment)?.header;
        let (next_lsn, chain) = (header.base_lsn(), header.predecessor_chain);
        Ok(Some(JournalMark { next_lsn, segment, offset: 0, chain }))
    }

    /// How long a segment counts by now, and whether it has a successor; `None` as of [`SegmentedJournal::segment_mark`].
    pub fn segment_bytes(&self, segment: u64) -> Result<Option<(u64, bool)>> {
        self.inner.durable_bytes(segment)
    }

    /// The positions at these ascending offsets of a segment: `None` for one at which no frame ends, or that is not durable.
    ///
    /// Cost: reads the segment up to the last of them. Errors: [`Error::Corruption`], [`Error::MissingSegment`], [`Error::Env`].
    pub fn marks_at(&self, segment: u64, offsets: &[u64]) -> Result<Vec<Option<JournalMark>>> {
        let mut marks = vec![None; offsets.len()];
        let Some((limit, _)) = self.inner.durable_bytes(segment)? else { return Ok(marks) };
        let mut cursor = self.inner.cursor(segment, Lsn::ZERO)?;
        for (mark, &offset) in marks.iter_mut().zip(offsets) {
            while cursor.offset < offset.min(limit) {
                let damage = match cursor.next(limit)? {
                    Next::Frame(_) => continue,
                    Next::End => break,
                    Next::Bad(damage) => damage,
                };
                let at = JournalMark {
                    next_lsn: cursor.next_lsn,
                    segment,
                    offset: cursor.offset,
                    chain: cursor.chain,
                };
                return Err(self.inner.damaged_at(&at, damage));
            }
            if cursor.offset == offset {
                let (next_lsn, chain) = (cursor.next_lsn, cursor.chain);
                *mark = Some(JournalMark { next_lsn, segment, offset, chain });
            }
        }
        Ok(marks)
    }

    /// The durable frames behind a position, as bytes: about `most_bytes`, and at least one frame. The first range of a segment has
    /// everything that the segment was built with.
    ///
    /// Cost: reads and checks what is returned. Errors: [`Error::Corruption`] where the bytes do not follow from the position;
    /// [`Error::MissingSegment`], [`Error::Env`].
    pub fn frames_after(&self, at: &JournalMark, most_bytes: u64) -> Result<DurableFrames> {
        let inner = &*self.inner;
        let Some((limit, has_successor)) = inner.durable_bytes(at.segment)? else {
            return Ok(DurableFrames::Nothing);
        };
        let header = inner.header(at.segment)?.header;
        if header.replaces.is_some() {
            return Ok(DurableFrames::Replaced);
        }
        let left = limit.saturating_sub(at.offset);
        if left == 0 {
            return Ok(if has_successor { DurableFrames::SegmentEnds } else { DurableFrames::Nothing });
        }
        let identity = inner.dir.identity.file(at.segment);
        let file = inner.table.lock().open(&inner.dir, at.segment)?;
        let least_bytes = if at.offset == 0 { header.built_bytes } else { 1 };
        let mut wanted = most_bytes.max(least_bytes).min(left);
        loop {
            let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, at.offset)?;
            let (to, stopped) = walk(&identity, at, &bytes, &mut |_, _| Ok(()));
            let whole = to.offset - at.offset;
            match stopped {
                None => {}
                // The frame goes on behind what was read.
                Some(Damage::Frame(FrameError::Truncated)) if wanted < left && whole < least_bytes => {
                    wanted = wanted.saturating_mul(4).min(left);
                    continue;
                }
                Some(Damage::Frame(FrameError::Truncated)) if wanted < left => {}
                Some(damage) => {
                    let error = inner.damaged_at(&to, damage);
                    // A position that is not of this segment is no damage of it.
                    if whole > 0 || damage == Damage::Frame(FrameError::Checksum) {
                        inner.damage.note(&error);
                    }
                    return Err(error);
                }
            }
            bytes.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
            return Ok(DurableFrames::Range(FrameRange { from: *at, to, bytes }));
        }
    }
}

impl Inner {
    /// How long a segment counts by now, and whether it has a successor.
    fn durable_bytes(&self, id: u64) -> Result<Option<(u64, bool)>> {
        let readable = *self.readable.lock();
        // A segment is in the table a moment before anybody may read it.
        if id > readable.segment || self.location(id).is_none() {
            return Ok(None);
        }
        if id == readable.segment {
            return Ok(Some((readable.bytes, false)));
        }
        match self.limit(id)? {
            Limit::Succeeded { bytes, .. } => Ok(Some((bytes, true))),
            Limit::Newest { bytes } => Ok(Some((bytes, false))),
            Limit::BeforeHole { next } => Err(Error::MissingSegment {
                dir: self.dir.path.clone(),
                segment: id + 1,
                first_lsn: Lsn::ZERO,
                last_lsn: Some(self.header(next)?.header.predecessor_last_lsn),
            }),
        }
    }

    fn damaged_at(&self, at: &JournalMark, damage: Damage) -> Error {
        Error::Corruption {
            file: self.segment_path(at.segment),
            offset: at.offset,
            damage,
            first_lsn: at.next_lsn,
            last_lsn: None,
        }
    }
}

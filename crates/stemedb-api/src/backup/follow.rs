//! What a follower reads in one go, before it goes on range by range: copies of the segments from an entry on.

use std::{collections::BTreeMap, path::Path};

use stemedb_env::{Env, Lsn};

use super::{
    BackupTarget, Catalog, Error, Metadata, Result,
    archive::fetch_segment,
    plan::{Copies, Copy, SegmentCopy, copies},
    ranges::Past,
    restore::fetch_ranges,
    verify::fetch,
};

/// Segments that follow from each other up to the newest one.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    chain: Vec<SegmentCopy>,
    /// The newest one is as the writer has written it, and not a backup's.
    pub is_archive: bool,
}

/// The segments from the one with the entry before `next` on, from the archive or else with the help of backups; `None` where nobody has
/// `next` or the one before.
///
/// Cost: reads every document of the past's archive. Errors: [`Error::NotCovered`] where there are later entries and those between
/// are missing; [`Error::Damaged`].
pub(crate) fn segments_from(target: &dyn BackupTarget, of: Past, next: Lsn) -> Result<Option<Segments>> {
    let archive = copies(target, &[], of)?;
    if let Some(chain) = connected(&archive.segments, next) {
        return Ok(Some(Segments { chain, is_archive: true }));
    }
    let catalog = Catalog::load(target)?;
    let mine: Vec<(&str, &Metadata, bool)> = catalog
        .verified()
        .filter(|(_, found)| (found.database, found.timeline) == (of.database, of.timeline))
        .map(|(name, found)| (name, found, true))
        .collect();
    let Copies { segments, damage } = copies(target, &mine, of)?;
    if let Some(chain) = connected(&segments, next) {
        let is_archive = chain.last().is_some_and(|last| !matches!(last.copy, Copy::Parts(_)));
        return Ok(Some(Segments { chain, is_archive }));
    }
    let later = segments.values().filter(|copy| copy.last >= next).map(|copy| copy.first).max();
    match (later, damage) {
        (None, None) => Ok(None),
        (_, Some(error)) => Err(error),
        (Some(first), None) => Err(Error::NotCovered { first: next, last: first.prev().max(next) }),
    }
}

/// From the newest segment down to the one with the entry before `next`.
fn connected(segments: &BTreeMap<u64, SegmentCopy>, next: Lsn) -> Option<Vec<SegmentCopy>> {
    let wanted = next.prev().max(Lsn(1));
    let mut chain: Vec<SegmentCopy> = Vec::new();
    for copy in segments.values().rev() {
        let follows = |after: &SegmentCopy| copy.id + 1 == after.id && copy.last.next() == after.first;
        if !chain.last().is_none_or(follows) {
            break;
        }
        chain.push(copy.clone());
        if copy.first <= wanted {
            break;
        }
    }
    chain.reverse();
    let newest = chain.last()?.last;
    (chain.first()?.first <= next && newest.next() >= next).then_some(chain)
}

/// Puts the segments into a folder, each proven, where they can be read as a journal.
pub(crate) fn stage(
    env: &Env,
    target: &dyn BackupTarget,
    of: Past,
    segments: &Segments,
    dir: &Path,
) -> Result<()> {
    for segment in &segments.chain {
        match &segment.copy {
            Copy::Parts(file) => {
                fetch(env, target, file, &dir.join(format!("live.{:06}.wal", segment.id)), None)?;
            }
            Copy::Archived(record) => {
                fetch_segment(env, target, record, dir)?;
            }
            Copy::Ranges(ranges) => {
                fetch_ranges(env, target, of, ranges, dir)?;
            }
        }
    }
    Ok(())
}

//! Entries that somebody has given again, in a file, so that a hole of any length needs little memory.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use stemedb_env::{File, Lsn, OpenMode};

use super::{super::inner::Inner, EntrySource, examine::Gap};
use crate::{MAX_ENTRY_BYTES, Result};

/// Written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Entries of the gaps of one segment, in order, as a group holds them: length and bytes. 24 bytes of memory per entry.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: Arc<dyn File>,
    /// Where each entry begins, and where the last one ends.
    offsets: Vec<u64>,
    stamps: Vec<Option<i64>>,
    /// LSN of the first entry of each gap, and its place in the list.
    gaps: Vec<(Lsn, usize)>,
    /// The source vouches for every one of them.
    pub is_certain: bool,
}

/// What the source gave.
pub(super) struct Gathered {
    /// `None` if entries are missing.
    pub spool: Option<Spool>,
    /// The missing ones, and why.
    pub lost: Vec<(RangeInclusive<Lsn>, String)>,
}

impl Spool {
    /// Asks for every entry of these gaps.
    pub fn gather<'a>(
        journal: &Inner,
        id: u64,
        gaps: impl Iterator<Item = &'a Gap>,
        source: &mut dyn EntrySource,
    ) -> Result<Gathered> {
        let path = journal.dir.temporary_spool(id);
        if journal.env.fs.metadata(&path)?.is_some() {
            journal.env.fs.remove(&path)?;
        }
        let file = journal.env.fs.open(&path, OpenMode::CreateNew)?;
        let mut spool =
            Spool { path, file, offsets: vec![0], stamps: Vec::new(), gaps: Vec::new(), is_certain: true };
        let mut lost: Vec<(RangeInclusive<Lsn>, String)> = Vec::new();
        let mut buffer = Vec::new();
        let mut end = 0;
        for gap in gaps {
            spool.gaps.push((gap.first, spool.stamps.len()));
            let mut next = gap.first;
            while next <= gap.last {
                let asked = next..=gap.last;
                let given = match source.recover(&asked) {
                    Ok(given) => given,
                    Err(refused) => {
                        // Where nothing more is known, everything that was asked for is lost.
                        lost.push((asked, refused.cause));
                        break;
                    }
                };
                if given.is_empty() {
                    lost.push((asked, "nothing was given".to_owned()));
                    break;
                }
                for entry in given {
                    if next > gap.last {
                        break;
                    }
                    match entry {
                        Some(entry) if entry.bytes.len() <= MAX_ENTRY_BYTES => {
                            spool.is_certain &= entry.is_certain;
                            let len = u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX);
                            buffer.extend_from_slice(&len.to_le_bytes());
                            buffer.extend_from_slice(&entry.bytes);
                            spool.stamps.push(entry.stamp);
                            spool.offsets.push(end + buffer.len() as u64);
                        }
                        _ => add_lost(&mut lost, next),
                    }
                    next = next.next();
                }
                if buffer.len() >= CHUNK_BYTES {
                    spool.file.write_all_at(&buffer, end)?;
                    end += buffer.len() as u64;
                    buffer.clear();
                }
            }
        }
        spool.file.write_all_at(&buffer, end)?;
        let spool = lost.is_empty().then_some(spool);
        Ok(Gathered { spool, lost })
    }

    /// Which entries belong to a gap.
    pub fn entries_of(&self, gap: &Gap) -> std::ops::Range<usize> {
        let count = usize::try_from(gap.last.0.saturating_add(1).saturating_sub(gap.first.0)).unwrap_or(0);
        let start = self.gaps.iter().find(|(first, _)| *first == gap.first).map_or(0, |(_, start)| *start);
        start..start.saturating_add(count).min(self.stamps.len())
    }

    /// Payload of a group of entries, before it is packed: its length.
    pub fn payload_bytes(&self, entries: &std::ops::Range<usize>) -> u64 {
        let at = |index: usize| self.offsets.get(index).copied().unwrap_or_default();
        at(entries.end).saturating_sub(at(entries.start))
    }

    /// Payload of a group of entries, before it is packed.
    pub fn payload(&self, entries: &std::ops::Range<usize>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.payload_bytes(entries)).unwrap_or(usize::MAX)];
        let start = self.offsets.get(entries.start).copied().unwrap_or_default();
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    pub fn stamp(&self, entry: usize) -> Option<i64> {
        self.stamps.get(entry).copied().flatten()
    }

    /// Removes the file.
    pub fn remove(self, journal: &Inner) -> Result<()> {
        Ok(journal.env.fs.remove(&self.path)?)
    }
}

fn add_lost(lost: &mut Vec<(RangeInclusive<Lsn>, String)>, lsn: Lsn) {
    const CAUSE: &str = "no view has all of its rows";
    match lost.last_mut() {
        Some((range, cause)) if range.end().next() == lsn && cause.as_str() == CAUSE => {
            *range = *range.start()..=lsn
        }
        _ => lost.push((lsn..=lsn, CAUSE.to_owned())),
    }
}

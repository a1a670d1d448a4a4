//! Opening over a journal that is damaged.
//!
//! Damage where the views have the entries is nobody's concern here: the database opens, and the segment is healed in the
//! background. Damage above what the views have flushed loses acknowledged entries, as far as anybody can tell. Then the
//! open fails and says where; at the operator's word it serves what lies before the damage, and changes nothing.

use stemedb_env::Lsn;
use stemedb_index::Derive;
use stemedb_wal::{Error as Wal, Healed, Hole, Journal, SegmentedJournal};

use super::primary::{Replayed, replay};
use crate::{Error, Result, repair::ViewEntries, view::ViewStore};

/// What is damaged of a journal that was opened at the operator's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedJournal {
    /// Why writes are refused: file, place and LSN.
    pub cause: String,
    /// The last entry that is served.
    pub served: Lsn,
    /// The last entry that is known to have been durable, if anything still tells it.
    pub durable: Option<Lsn>,
    /// Exact bytes and LSNs, as far as whole frames behind the damage tell them.
    pub holes: Vec<Hole>,
}

/// Heals what is known to be damaged, from what the view has on disk.
fn heal<P: ViewStore, D: Derive>(journal: &SegmentedJournal, view: &P, derive: &D) -> Vec<Healed> {
    let mut entries = ViewEntries::new(view, derive);
    let heal = |segment| match journal.heal(segment, &mut entries) {
        Ok(healed) => healed,
        Err(error) => {
            tracing::warn!(segment, "StorageError: {error}");
            None
        }
    };
    journal.damaged_segments().into_iter().filter_map(heal).collect()
}

/// True if files are damaged or missing: another attempt would find the same.
pub(super) fn is_damage(error: &Error) -> bool {
    match error {
        Error::Journal(error) => {
            matches!(error, Wal::Corruption { .. } | Wal::MissingSegment { .. } | Wal::Foreign { .. })
        }
        Error::JournalGap { .. } | Error::ViewAhead { .. } => true,
        _ => false,
    }
}

/// Brings a view up to the journal's end, or as far as about `most_bytes` of entries go. What is damaged on the way, and can be
/// healed from what the view has, is healed: the second result.
pub(super) fn replay_and_heal<P: ViewStore, D: Derive>(
    journal: &SegmentedJournal,
    view: &P,
    derive: &D,
    most_bytes: u64,
) -> Result<(Replayed, Vec<Healed>)> {
    let (mut healed, mut entries) = (Vec::new(), 0);
    loop {
        let error = match replay(journal, view, derive, most_bytes) {
            Ok(mut replayed) => {
                entries += replayed.entries;
                match replayed.stopped.take() {
                    Some(error) => error,
                    None => return Ok((Replayed { entries, ..replayed }, healed)),
                }
            }
            Err(error) => error,
        };
        // Damage in front of what is to be replayed, and a single changed byte anywhere, are healed on the spot.
        let before = healed.len();
        if is_damage(&error) {
            healed.extend(heal(journal, view, derive));
        }
        if healed.len() == before {
            return Err(error);
        }
    }
}

/// Brings a view as far as the damage lets it, at the operator's word.
pub(super) fn replay_to_damage<P: ViewStore, D: Derive>(
    journal: &SegmentedJournal,
    view: &P,
    derive: &D,
) -> Result<Replayed> {
    match replay(journal, view, derive, u64::MAX) {
        // Nothing of what is left follows on what the view has; the view itself is whole.
        Err(error) if is_damage(&error) => Ok(Replayed::nothing()),
        replayed => replayed,
    }
}

/// Says what is damaged of a journal whose opening has failed with `error`, and that is now opened for reading.
pub(super) fn tell<P: ViewStore>(journal: &SegmentedJournal, view: &P, error: &Error) -> DamagedJournal {
    let mut holes = Vec::new();
    for segment in journal.damaged_segments() {
        if let Ok(found) = journal.holes(segment) {
            holes.extend(found);
        }
    }
    let durable = match error {
        Error::Journal(Wal::Corruption { last_lsn, .. } | Wal::MissingSegment { last_lsn, .. }) => *last_lsn,
        Error::ViewAhead { view, .. } => Some(*view),
        _ => None,
    };
    let durable = durable.max(Some(journal.durable_lsn())).filter(|&lsn| lsn > Lsn::ZERO);
    let cause = format!("the journal is damaged, and it was opened for reading only: {error}");
    tracing::error!(served = %view.published_lsn(), "StorageError: {cause}");
    DamagedJournal { cause, served: view.published_lsn(), durable, holes }
}

/// The newest entry, which the view has. Where the journal cannot give it, the view does.
pub(super) fn last_entry<P: ViewStore, D: Derive>(
    journal: &SegmentedJournal,
    view: &P,
    derive: &D,
    end: Lsn,
) -> Result<Option<Vec<u8>>> {
    let from_view = || ViewEntries::new(view, derive).recover(&(end..=end));
    match journal.last_entry() {
        Ok(Some(entry)) => Ok(Some(entry.bytes.to_vec())),
        // Its segment was recycled, which is nobody's loss, or it is missing.
        Ok(None) if journal.damaged_segments().is_empty() => Ok(None),
        Ok(None) => Ok(from_view()?.pop().flatten().map(|entry| entry.bytes)),
        Err(error @ (Wal::Corruption { .. } | Wal::MissingSegment { .. } | Wal::Foreign { .. })) => {
            match from_view()?.pop().flatten() {
                Some(entry) => Ok(Some(entry.bytes)),
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

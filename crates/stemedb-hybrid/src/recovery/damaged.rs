//! Opening over a journal that is damaged.
//!
//! Damage where the views have the entries is nobody's concern here: the database opens, and the segment is healed in the
//! background. Damage above what the views have flushed loses acknowledged entries, as far as anybody can tell. Then the
//! open fails and says where; at the operator's word it serves what lies before the damage, and changes nothing.

use stemedb_env::{Env, Lsn, Micros};
use stemedb_index::Derive;
use stemedb_lsm::{KvStore, LsmStore};
use stemedb_wal::{Error as Wal, Healed, Hole, Journal, RecoveryReport, SegmentedJournal};

use super::{journal_identity, replay};
use crate::{
    Error, HybridOptions, Identity, Layout, OpenDamaged, Result, commit::classify, repair::ViewEntries,
};

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

/// A journal, and what became of replaying it.
pub(super) struct OpenedJournal {
    pub journal: SegmentedJournal,
    pub recovery: RecoveryReport,
    pub replayed: u64,
    pub recorded: Micros,
    pub damage: Option<DamagedJournal>,
    /// Segments that had to be healed before they could be replayed.
    pub healed: Vec<Healed>,
}

/// Heals what is known to be damaged, from what the view has on disk.
fn heal<D: Derive>(journal: &SegmentedJournal, view: &LsmStore, derive: &D) -> Vec<Healed> {
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
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Journal(error) => {
            matches!(error, Wal::Corruption { .. } | Wal::MissingSegment { .. } | Wal::Foreign { .. })
        }
        Error::JournalGap { .. } | Error::ViewAhead { .. } => true,
        _ => false,
    }
}

/// Opens the journal and brings the view up to its end.
pub(super) fn open_journal<D: Derive>(
    env: &Env,
    layout: &Layout,
    identity: &Identity,
    view: &LsmStore,
    derive: &D,
    options: &HybridOptions,
) -> Result<OpenedJournal> {
    let whole = || {
        let (journal, recovery) = SegmentedJournal::open(
            env,
            &layout.wal(),
            journal_identity(identity),
            view.flushed_lsn(),
            options.journal.clone(),
        )
        .map_err(classify)?;
        let mut healed = Vec::new();
        let (mut replayed, mut recorded) = (0, Micros(i64::MIN));
        loop {
            let mut stopped = None;
            let error = match replay(&journal, view, derive, &mut stopped) {
                Ok((more, at)) => {
                    (replayed, recorded) = (replayed + more, recorded.max(at));
                    match stopped {
                        Some(error) => error,
                        None => break,
                    }
                }
                Err(error) => error,
            };
            // Damage in front of what is to be replayed, and a single changed byte anywhere, are healed on the spot.
            let before = healed.len();
            if is_damage(&error) {
                healed.extend(heal(&journal, view, derive));
            }
            if healed.len() == before {
                return Err(error);
            }
        }
        Ok(OpenedJournal { journal, recovery, replayed, recorded, damage: None, healed })
    };
    match whole() {
        Err(error) if options.open_damaged == OpenDamaged::ReadOnly && is_damage(&error) => {
            open_at_a_word(env, layout, identity, view, derive, options, &error)
        }
        opened => opened,
    }
}

fn open_at_a_word<D: Derive>(
    env: &Env,
    layout: &Layout,
    identity: &Identity,
    view: &LsmStore,
    derive: &D,
    options: &HybridOptions,
    error: &Error,
) -> Result<OpenedJournal> {
    let (journal, recovery) = SegmentedJournal::open_damaged(
        env,
        &layout.wal(),
        journal_identity(identity),
        options.journal.clone(),
    )?;
    let mut stopped = None;
    let (replayed, recorded) = match replay(&journal, view, derive, &mut stopped) {
        // Nothing of what is left follows on what the view has; the view itself is whole.
        Err(error) if is_damage(&error) => (0, Micros(i64::MIN)),
        replayed => replayed?,
    };
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
    let damage = DamagedJournal { cause, served: view.published_lsn(), durable, holes };
    Ok(OpenedJournal { journal, recovery, replayed, recorded, damage: Some(damage), healed: Vec::new() })
}

/// The newest entry, which the view has. Where the journal cannot give it, the view does.
pub(super) fn last_entry<D: Derive>(
    journal: &SegmentedJournal,
    view: &LsmStore,
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

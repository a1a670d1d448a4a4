//! Which state of the tree the evidence proves.
//!
//! Every state that the tree has had is right as it is: its tables hold everything up to its flushed LSN, and the journal has the
//! rest. So the newest one that is known is taken: that of a manifest, or the one that a table was made for. From there the edits that still
//! read lead on, and then the tables of the few changes that were made at the same time, whose records say what they
//! replace. A change is taken whole, with what it removes, or not at all.

use std::collections::BTreeMap;

use stemedb_env::planted::{Bug, planted};

use super::{AsideReason, RecoveryBasis, evidence::Evidence};
use crate::{
    Result,
    manifest::{Edit, Placing, Record, TreeState},
    table::{Described, TableMeta},
    version::LAST_LEVEL,
};

/// A recovered tree starts to count its changes behind the next multiple of this, so that nothing that was made before can be taken for
/// newer.
const EPOCH: u64 = 1 << 32;

/// What is accepted.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) state: TreeState,
    pub(super) basis: RecoveryBasis,
    /// Tables that close the changes which were added to the basis.
    pub(super) completed: Vec<u64>,
    /// A missing table, and the one that has its content.
    pub(super) twins: Vec<(u64, u64)>,
    /// Tables that the basis knows; it says that they are on the disk.
    attested: Vec<u64>,
    replaced: Vec<u64>,
}

impl Decision {
    /// Accepted tables of which nothing says that they have ever been synced.
    pub(super) fn unattested<'a>(&'a self, evidence: &'a Evidence) -> impl Iterator<Item = u64> + 'a {
        let is_new = |file: &&u64| !self.attested.contains(file) && evidence.tables.contains_key(file);
        self.state.tables.keys().filter(is_new).copied()
    }

    /// Tables in the folder that are not accepted.
    pub(super) fn aside(&self, evidence: &Evidence) -> Vec<(u64, AsideReason)> {
        let left = evidence.tables.iter().filter(|(file, _)| !self.state.tables.contains_key(file));
        left.map(|(file, described)| {
            let reason = match described {
                _ if self.replaced.contains(file) => AsideReason::Replaced,
                None => AsideReason::Unreadable,
                Some(_) => AsideReason::Unproven,
            };
            (*file, reason)
        })
        .collect()
    }
}

/// Decides. `is_whole` reads a table and adds it up; it is asked only about tables in whose place the journal can be replayed.
pub(super) fn decide(
    evidence: &Evidence,
    is_whole: &mut dyn FnMut(&TableMeta) -> Result<bool>,
) -> Result<Decision> {
    let (mut state, basis) = newest_state(evidence);
    let attested = state.tables.keys().copied().collect();
    let mut completed = Vec::new();
    let mut replaced: Vec<u64> = state.obsolete.iter().copied().collect();
    // Merges before new rows, which are placed by what is there. Then the latest: of two attempts at one change only the later one can have
    // taken effect.
    let mut changes: Vec<(&Described, &Record)> =
        evidence.records().filter(|(table, _)| !state.tables.contains_key(&table.meta.file)).collect();
    changes.sort_by_key(|(table, record)| {
        (record.edit.flushed.0 > 0, std::cmp::Reverse((record.state.sequence, table.meta.file)))
    });
    let completing = |state: &TreeState, changes: &[(&Described, &Record)]| {
        let next = |(table, record): &(&Described, &Record)| completes(evidence, state, table, record);
        changes.iter().enumerate().find_map(|(at, change)| Some((at, next(change)?)))
    };
    // What did not fit before one change may fit after it.
    while let Some((at, mut next)) = completing(&state, &changes) {
        let (table, record) = changes.remove(at);
        if record.edit.flushed > state.flushed {
            let mut all_whole = true;
            for (_, meta) in &record.change(&table.meta).added {
                all_whole = all_whole && is_whole(meta)?;
            }
            if !all_whole {
                continue;
            }
        }
        let gone: Vec<u64> =
            state.tables.keys().filter(|file| !next.tables.contains_key(file)).copied().collect();
        if planted(Bug::LsmRecoveryKeepsInputs) {
            let kept = gone.iter().filter_map(|file| evidence.tables.get(file)?.as_ref());
            next.tables.extend(kept.map(|table| (table.meta.file, (0, table.meta.clone()))));
        }
        replaced.extend(gone);
        completed.push(table.meta.file);
        state = next;
    }
    let twins = exchange_twins(evidence, &mut state);
    state.next_file = state.next_file.max(evidence.next_file());
    state.sequence = (evidence.newest_change() | (EPOCH - 1)).saturating_add(1);
    // Whatever had been replaced goes to quarantine, also if an ordinary open has to do it.
    state.obsolete.clear();
    Ok(Decision { state, basis, completed, twins, attested, replaced })
}

/// The newest state that anything tells, led on by the edits that read.
fn newest_state(evidence: &Evidence) -> (TreeState, RecoveryBasis) {
    let manifests = evidence.manifests.iter().filter_map(|survey| {
        survey.snapshot.as_ref().map(|state| (state, RecoveryBasis::Manifest(survey.number)))
    });
    let tables =
        evidence.records().map(|(table, record)| (&record.state, RecoveryBasis::Table(table.meta.file)));
    // The manifest's own word last, so that it wins among equals.
    let newest = tables.chain(manifests).max_by_key(|(state, _)| state.sequence);
    let Some((state, mut basis)) = newest else { return (TreeState::default(), RecoveryBasis::Nothing) };
    let mut state = state.clone();
    let edits = edits(evidence);
    while let Some((number, edit)) = state.sequence.checked_add(1).and_then(|next| edits.get(&next)) {
        state.apply(edit);
        basis = RecoveryBasis::Manifest(*number);
    }
    (state, basis)
}

/// The edits that may have taken effect, by their number, each with that of its manifest.
fn edits(evidence: &Evidence) -> BTreeMap<u64, (u64, &Edit)> {
    let mut edits = BTreeMap::new();
    let newest = evidence.manifests.last().map(|survey| survey.number);
    for survey in &evidence.manifests {
        // The last edit of a manifest that another one has followed may have failed. An open asks no more of the one that it
        // reads than that the edit is there.
        let is_open = evidence.current.or(newest) == Some(survey.number);
        let followers = evidence.manifests.iter().filter(|other| other.number > survey.number);
        let end = followers.filter_map(|other| other.snapshot.as_ref()).map(|state| state.sequence).min();
        for (sequence, edit) in &survey.edits {
            let counts = is_open || *sequence <= survey.proven;
            if counts && end.is_none_or(|end| *sequence <= end) {
                edits.insert(*sequence, (survey.number, edit));
            }
        }
    }
    edits
}

/// The state with one more change, if that change fits and the state is better for it: less is missing, or more is flushed.
pub(super) fn completes(
    evidence: &Evidence,
    state: &TreeState,
    table: &Described,
    record: &Record,
) -> Option<TreeState> {
    let change = record.change(&table.meta);
    if state.tables.contains_key(&table.meta.file) || !fits(state, record, &change) {
        return None;
    }
    let next = with_change(state, record, change);
    let (before, after) = (evidence.missing(state).count(), evidence.missing(&next).count());
    let is_better = if next.flushed > state.flushed { after <= before } else { after < before };
    (is_better && is_sound(&next)).then_some(next)
}

/// True if a change that was made for another state is one of this state too: what it removes is there and where it was, and nothing
/// has come between its tables and the others.
fn fits(state: &TreeState, record: &Record, change: &Edit) -> bool {
    let before = &record.state;
    let unmoved =
        |file: &u64| state.tables.get(file).is_some_and(|here| before.tables.get(file) == Some(here));
    if !change.removed.iter().all(unmoved) {
        return false;
    }
    if change.flushed.0 > 0 && (state.flushed != before.flushed || change.flushed <= state.flushed) {
        return false;
    }
    if record.placing == Placing::Anew || change.removed.is_empty() {
        // New rows alone, on top of all others.
        return true;
    }
    let touched: Vec<&TableMeta> = change
        .added
        .iter()
        .map(|(_, meta)| meta)
        .chain(change.removed.iter().filter_map(|file| state.tables.get(file)).map(|(_, meta)| meta))
        .collect();
    state.tables.iter().filter(|(file, _)| !change.removed.contains(file)).all(|(file, (level, meta))| {
        unmoved(file)
            || (*level == 0 && meta.min_lsn > before.flushed)
            || !touched.iter().any(|other| other.overlaps(&meta.smallest, &meta.largest))
    })
}

fn with_change(state: &TreeState, record: &Record, mut change: Edit) -> TreeState {
    if record.placing == Placing::Anew {
        for (level, meta) in &mut change.added {
            let highest = state
                .tables
                .values()
                .filter(|(_, older)| older.overlaps(&meta.smallest, &meta.largest))
                .map(|(level, _)| level.saturating_sub(1))
                .min();
            *level = highest.unwrap_or(u32::try_from(LAST_LEVEL).unwrap_or(u32::MAX));
        }
    }
    let mut next = state.clone();
    next.apply(&change);
    next
}

/// True if the tables of every level below 0 are apart.
fn is_sound(state: &TreeState) -> bool {
    let mut runs: Vec<(u32, &TableMeta)> =
        state.tables.values().map(|(level, meta)| (*level, meta)).collect();
    runs.sort_by(|a, b| (a.0, &a.1.smallest).cmp(&(b.0, &b.1.smallest)));
    runs.windows(2).all(|pair| match pair {
        [(level, one), (other, next)] => *level == 0 || level != other || one.largest < next.smallest,
        _ => true,
    })
}

/// A repair writes a table with the content of another one into its place, and says nothing of that: its digest does. Puts such tables
/// into the places of missing ones.
fn exchange_twins(evidence: &Evidence, state: &mut TreeState) -> Vec<(u64, u64)> {
    let missing: Vec<u64> = evidence.missing(state).collect();
    let mut twins = Vec::new();
    for file in missing {
        let Some((level, lost)) = state.tables.get(&file).cloned() else { continue };
        let is_twin = |table: &&Described| {
            let meta = &table.meta;
            !state.tables.contains_key(&meta.file)
                && table.record.is_none()
                && TableMeta { file, bytes: lost.bytes, ..meta.clone() } == lost
        };
        if let Some(twin) = evidence.described().find(is_twin) {
            twins.push((file, twin.meta.file));
            state.tables.remove(&file);
            state.tables.insert(twin.meta.file, (level, twin.meta.clone()));
        }
    }
    twins
}

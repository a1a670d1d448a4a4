//! The primary view at open: found, or begun anew; and what the journal has that it has not.

use stemedb_env::{Env, Lsn, Micros, frame::DatabaseId};
use stemedb_index::Derive;
use stemedb_lsm::{DerivedBy, WriteBatch};
use stemedb_wal::{Journal, JournalReader, SegmentedJournal};

use super::damaged::last_entry;
use crate::{
    Error, EventKind, Events, HybridOptions, Layout, Result,
    repair::put_aside,
    upgrade::mixed,
    view::{FailureClass, ViewStore},
};

/// What lies in the folder of the primary view.
pub(super) enum Found<P> {
    /// One that can be opened.
    Whole(P),
    /// One that older versions derived. It takes rows of this one.
    Older(P, DerivedBy),
    /// Nothing.
    Missing,
    /// Something that cannot be opened, and would not be the next time either.
    Damaged(stemedb_lsm::Error),
}

/// Opens the primary view if that can be done.
///
/// Errors: [`Error::NewerDerivation`]; those of the disk.
pub(super) fn find<P: ViewStore>(
    env: &Env,
    layout: &Layout,
    database: DatabaseId,
    options: &HybridOptions,
    events: &Events,
    may_mix: impl FnOnce(DerivedBy) -> Result<()>,
) -> Result<Found<P>> {
    let error = match find_of_one_version(env, layout, database, options, events) {
        Err(Error::Store(error)) => error,
        found => return found,
    };
    let stemedb_lsm::Error::OtherDerivation { found: by, .. } = error else { return Err(error.into()) };
    let known = options.lsm.derivation_version;
    if by.newest > known || by.oldest >= known {
        return Err(Error::NewerDerivation { dir: layout.kv(), found: by, known });
    }
    // Once it is opened its manifest says that rows are mixed.
    may_mix(by)?;
    match find_of_one_version(env, layout, database, &mixed(options, by), events)? {
        Found::Whole(store) => Ok(Found::Older(store, by)),
        lost => Ok(lost),
    }
}

fn find_of_one_version<P: ViewStore>(
    env: &Env,
    layout: &Layout,
    database: DatabaseId,
    options: &HybridOptions,
    events: &Events,
) -> Result<Found<P>> {
    let kv = layout.kv();
    let is_missing = match env.fs.metadata(&kv)? {
        None => true,
        Some(_) => env.fs.list(&kv)?.is_empty(),
    };
    if is_missing {
        return Ok(Found::Missing);
    }
    match P::open(env, &kv, database, options) {
        Ok(store) => Ok(Found::Whole(store)),
        Err(error) => match FailureClass::of(&error) {
            FailureClass::Corruption | FailureClass::Gone if is_about_files(&error) => {
                recover(env, layout, database, options, events, error)
            }
            _ => Err(error.into()),
        },
    }
}

/// Makes the list of the view's parts again from the parts, where that is what is damaged.
fn recover<P: ViewStore>(
    env: &Env,
    layout: &Layout,
    database: DatabaseId,
    options: &HybridOptions,
    events: &Events,
    error: stemedb_lsm::Error,
) -> Result<Found<P>> {
    let kv = layout.kv();
    match P::recover(env, &kv, database, options, &error) {
        Ok(None) => Ok(Found::Damaged(error)),
        Ok(Some((store, found))) => {
            tracing::error!(kv = %kv.display(), error = ?error, "StorageError: {error}");
            events.push(EventKind::Damage, Some(kv.clone()), error.to_string());
            let text = format!("the list of the primary view's tables is made again: {found}");
            tracing::warn!(kv = %kv.display(), "{text}");
            events.push(EventKind::Repaired, Some(kv), text);
            Ok(Found::Whole(store))
        }
        Err(again @ stemedb_lsm::Error::OtherDerivation { .. }) => Err(again.into()),
        Err(again) => match FailureClass::of(&again) {
            FailureClass::Corruption | FailureClass::Gone => {
                tracing::warn!(error = %again, "the list of tables cannot be made again");
                Ok(Found::Damaged(error))
            }
            FailureClass::Transient | FailureClass::Full => Err(again.into()),
        },
    }
}

/// Options that cannot work are nothing that a new folder would heal.
fn is_about_files(error: &stemedb_lsm::Error) -> bool {
    use stemedb_lsm::Error as Store;
    matches!(error, Store::Env(_) | Store::Corruption { .. } | Store::Folder { .. })
}

/// A new primary view in the place of one that is lost. What is left of that is put aside, whole; but only if the journal
/// can give everything back.
pub(super) fn begin_anew<P: ViewStore>(
    env: &Env,
    layout: &Layout,
    database: DatabaseId,
    options: &HybridOptions,
    journal: &SegmentedJournal,
    lost: Found<P>,
    events: &Events,
) -> Result<P> {
    let kv = layout.kv();
    let (first, end) = (journal.first_lsn(), journal.durable_lsn());
    let can_be_derived = end == Lsn::ZERO || first <= Lsn(1);
    let text = match lost {
        Found::Damaged(error) if !can_be_derived => return Err(error.into()),
        _ if !can_be_derived => return Err(Error::JournalGap { first, needed: Lsn(1) }),
        Found::Damaged(error) => {
            let text = format!("the primary view ({}) cannot be opened: {error}", P::KIND);
            tracing::error!(kv = %kv.display(), error = ?error, "StorageError: {text}");
            events.push(EventKind::Damage, Some(kv.clone()), text);
            put_aside(env, &kv, &layout.quarantine(), &error.to_string())?;
            "the primary view is derived again from the journal"
        }
        Found::Missing | Found::Whole(_) | Found::Older(..) => {
            "the view is missing; it is derived again from the journal"
        }
    };
    tracing::warn!(kv = %kv.display(), entries = %end, "{text}");
    events.push(EventKind::Rebuild, Some(kv.clone()), format!("{text}, up to entry {end}"));
    Ok(P::create(env, &kv, database, options)?)
}

/// What a replay did.
pub(super) struct Replayed {
    pub entries: u64,
    /// Recorded time of the journal's last entry.
    pub recorded: Micros,
    /// There is more.
    pub is_cut_short: bool,
    /// Where the journal cannot be read; what is before that has been replayed.
    pub stopped: Option<Error>,
}

impl Replayed {
    pub fn nothing() -> Replayed {
        Replayed { entries: 0, recorded: Micros(i64::MIN), is_cut_short: false, stopped: None }
    }
}

/// Applies to a view what the journal has and the view has not, as far as about `most_bytes` of entries go.
pub(super) fn replay<P: ViewStore, D: Derive>(
    journal: &SegmentedJournal,
    view: &P,
    derive: &D,
    most_bytes: u64,
) -> Result<Replayed> {
    let (reached, end) = (view.published_lsn(), journal.durable_lsn());
    if reached > end {
        return Err(Error::ViewAhead { view: reached, journal: end });
    }
    let mut done = Replayed::nothing();
    if end == Lsn::ZERO {
        return Ok(done);
    }
    let first = journal.first_lsn();
    if reached.next() < first && reached < end {
        return Err(Error::JournalGap { first, needed: reached.next() });
    }
    let mut last = reached;
    if reached < end {
        let mut reader = journal.read_from(reached.next())?;
        let mut bytes = 0;
        view.replay(&mut |rows: &mut WriteBatch| {
            if bytes >= most_bytes && last < end {
                return Ok(None);
            }
            let entry = match reader.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(None),
                Err(error) => {
                    done.stopped = Some(Error::Journal(error));
                    return Ok(None);
                }
            };
            bytes += entry.bytes.len() as u64 + 1;
            if let Some(at) = derive.recorded_at(entry.lsn, &entry.bytes)? {
                done.recorded = done.recorded.max(at);
            }
            derive.derive(entry.lsn, &entry.bytes, rows)?;
            done.entries += 1;
            last = entry.lsn;
            Ok(Some(entry.lsn))
        })?;
    }
    done.is_cut_short = last < end && done.stopped.is_none();
    // The last entry is read even when it is not replayed: its time is a floor for the next one.
    if (reached == end || done.is_cut_short)
        && let Some(entry) = last_entry(journal, view, derive, end)?
        && let Some(at) = derive.recorded_at(end, &entry)?
    {
        done.recorded = done.recorded.max(at);
    }
    Ok(done)
}

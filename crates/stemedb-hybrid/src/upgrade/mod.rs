//! A view of another derivation version: a new one is built beside it from the journal, and takes its place.
//!
//! ```text
//! open ─▶ settle the folders ─▶ kv is of an older version ─▶ begin: what kv.next has come to, who answers meanwhile
//! job  ─▶ fill kv.next ─▶ near ─▶ turn ─▶ stop both ─▶ kv → kv.old, kv.next → kv ─▶ open, serve ─▶ remove kv.old
//! ```
//!
//! The protocol, and what each crash leaves, stands in `docs/design/versions.md`.

mod folders;
mod work;

use std::fmt;

pub(crate) use folders::{begun, settle, tidy};
use stemedb_env::{Env, Lsn, frame::DatabaseId};
use stemedb_index::Derive;
use stemedb_lsm::DerivedBy;
use stemedb_wal::{Journal, SegmentedJournal};
pub(crate) use work::{Step as UpgradeStep, Upgrade};

use crate::{Error, EventKind, Events, HybridOptions, Layout, RebuildProgress, Result, view::ViewStore};

/// An upgrade of the primary view to this program's derivation version, under way or stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeHealth {
    /// What the present view's rows were derived by, and are while the upgrade lasts.
    pub from: DerivedBy,
    /// What the new view is derived by.
    pub to: u32,
    /// The present view answers meanwhile.
    pub readable: bool,
    /// How far the new view has come.
    pub progress: RebuildProgress,
    /// Why it does not go on, if so. It is tried again.
    pub stuck: Option<String>,
}

impl fmt::Display for UpgradeHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UpgradeHealth { from, to, progress: RebuildProgress { done, end }, .. } = self;
        write!(f, "from {from} to version {to}, {done} of {end} entries")?;
        match &self.stuck {
            None => Ok(()),
            Some(cause) => write!(f, ", stuck: {cause}"),
        }
    }
}

/// The options that open a view of an older version, to which rows of the present one are added.
pub(crate) fn mixed(options: &HybridOptions, found: DerivedBy) -> HybridOptions {
    let mut options = options.clone();
    options.lsm.mixed_with = Some(options.lsm.derivation_version);
    options.lsm.derivation_version = found.oldest;
    options
}

/// True if a view that `found` derived may answer meanwhile.
fn reads<D: Derive>(found: DerivedBy) -> bool {
    let is_own = found.newest == found.oldest || found.newest == D::VERSION;
    D::reads_version(found.oldest) && (is_own || D::reads_version(found.newest))
}

/// Refuses a view that must not answer where no new one can be derived, before anything is changed. Cost, of such a view: the
/// journal is looked through.
pub(crate) fn may_begin<D: Derive>(
    env: &Env,
    layout: &Layout,
    found: DerivedBy,
    is_held: bool,
) -> Result<()> {
    if reads::<D>(found) {
        return Ok(());
    }
    let refuse = || {
        let wanted = DerivedBy::one(D::VERSION);
        Err(stemedb_lsm::Error::OtherDerivation { dir: layout.kv(), found, wanted }.into())
    };
    if is_held {
        return refuse();
    }
    match SegmentedJournal::open_read_only(env, &layout.wal()) {
        Ok((journal, _)) if journal.durable_lsn() > Lsn::ZERO && journal.first_lsn() > Lsn(1) => {
            match env.fs.metadata(&layout.kv_next())? {
                // It may have come so far that the rest is enough.
                Some(_) => Ok(()),
                None => refuse(),
            }
        }
        // Whatever is wrong with the journal, its own opening says it better.
        _ => Ok(()),
    }
}

/// What a beginning needs to know.
pub(crate) struct Ground<'a> {
    pub env: &'a Env,
    pub layout: &'a Layout,
    pub database: DatabaseId,
    /// With what the derivation decides.
    pub options: &'a HybridOptions,
    pub journal: &'a SegmentedJournal,
    pub events: &'a Events,
    /// The journal is damaged, and an operator wants to look first.
    pub is_held: bool,
}

/// Decides what becomes of a database whose primary view was derived by the older versions `found`.
///
/// Errors: [`stemedb_lsm::Error::OtherDerivation`] if the old view must not answer and no new one can be derived.
pub(crate) fn begin<P: ViewStore, D: Derive>(ground: &Ground<'_>, found: DerivedBy) -> Result<Upgrade<P>> {
    let Ground { env, layout, database, options, journal, events, is_held } = *ground;
    let (first, end) = (journal.first_lsn(), journal.durable_lsn());
    let reads = reads::<D>(found);
    let next = match is_held {
        true => None,
        false => begun::<P>(env, layout, database, options, end).unwrap_or_else(|error| {
            // The job tries again.
            tracing::warn!(%error, "the new view cannot be gone on with yet");
            None
        }),
    };
    let reached = next.as_ref().map_or(Lsn::ZERO, P::published_lsn);
    let stuck = if is_held {
        Some("the journal is damaged".to_owned())
    } else if end > Lsn::ZERO && reached.next() < first {
        Some(Error::JournalGap { first, needed: reached.next() }.to_string())
    } else {
        None
    };
    if stuck.is_some() && !reads {
        let wanted = DerivedBy::one(D::VERSION);
        return Err(stemedb_lsm::Error::OtherDerivation { dir: layout.kv(), found, wanted }.into());
    }
    let from = DerivedBy { newest: D::VERSION, ..found };
    let progress = RebuildProgress { done: reached, end };
    let health = UpgradeHealth { from, to: D::VERSION, readable: reads, progress, stuck };
    let text = match &health.stuck {
        None => format!(
            "the primary view was derived by {found}: one of version {} is built beside it from the journal, {} of {} entries",
            health.to, progress.done, progress.end
        ),
        Some(cause) => format!(
            "the primary view was derived by {found} and goes on as it is, for one of version {} cannot be derived: {cause}",
            health.to
        ),
    };
    tracing::warn!(kv = %layout.kv().display(), "{text}");
    let kind = if health.stuck.is_some() { EventKind::RepairFailed } else { EventKind::Rebuild };
    events.push(kind, Some(layout.kv()), text);
    let is_held = health.stuck.is_some();
    Ok(Upgrade::new(health, next.filter(|_| !is_held), is_held, options))
}

//! Creating and opening: lock, identity, journal, views, replay.
//!
//! ```text
//! lock ─▶ identity ─▶ primary view (its manifest says how far it has flushed: F)
//!                        └─▶ journal (recovers 1..M; F is a lower bound for M) ─▶ replay F+1..M into the views ─▶ serve
//! ```
//!
//! A primary view that is missing, or damaged beyond opening, is begun anew. What would take long to replay is replayed in the
//! background: see `docs/design/views.md`.

mod primary;

mod damaged;

use std::{path::Path, sync::Arc};

pub use damaged::DamagedJournal;

use stemedb_env::{Env, Error as EnvError, FileLock, Fs, Lsn, Micros};
use stemedb_index::{Admit, Derive};
use stemedb_lsm::LsmOptions;
use stemedb_wal::{Journal, JournalIdentity, RecoveryReport, SegmentedJournal};

use self::primary::{Found, begin_anew, find};
use crate::{
    Error, Events, HybridOptions, HybridStore, Identity, Layout, LsmEngine, OpenDamaged, RebuildProgress,
    Result, UpgradeHealth, ViewHealth,
    checkpoint::clear_staging,
    commit::classify,
    repair::{health_of, tell_healed},
    sidecar::{SidecarParts, Sidecars, is_sidecar_name},
    store::Parts,
    upgrade,
    view::{View, ViewStore},
};

/// What opening found and did.
#[derive(Clone, Debug)]
pub struct OpenReport {
    /// What the journal's recovery found: the last entry, bytes cut from a torn tail.
    pub journal: RecoveryReport,
    /// Entries replayed into the primary view.
    pub replayed: u64,
    /// True when the primary view was missing or beyond opening, and is derived again from the first entry on.
    pub rebuilt: bool,
    /// True when there was too much to replay: the rest is replayed in the background, and reads are refused until then.
    pub catching_up: bool,
    /// What becomes of a primary view that an older version derived.
    pub upgrade: Option<UpgradeHealth>,
    /// Numbers of tables in the primary view that are damaged: reads that touch them say so.
    pub damaged_tables: Vec<u64>,
    /// What of the journal is damaged, if it was opened all the same: writes are refused.
    pub damaged_journal: Option<DamagedJournal>,
}

/// An opened store, and what opening found and did.
pub type OpenedStore<D> = (LsmEngine<D>, OpenReport);

/// Takes the lock of a data directory.
pub(crate) fn lock(env: &Env, layout: &Layout) -> Result<Box<dyn FileLock>> {
    env.fs.lock(&layout.lock(), &format!("pid {}", std::process::id())).map_err(|error| match error {
        EnvError::Locked { holder, .. } => Error::InUse { dir: layout.dir().to_path_buf(), holder },
        other => Error::Env(other),
    })
}

/// The tree's options with what the derivation decides.
pub(crate) fn lsm_options<D: Derive>(options: &LsmOptions) -> LsmOptions {
    LsmOptions {
        prefix_extractor: Some(D::filtered_prefix_bytes),
        derivation_version: D::VERSION,
        ..options.clone()
    }
}

pub(crate) fn journal_identity(identity: &Identity) -> JournalIdentity {
    JournalIdentity { database: identity.database, timeline: identity.timeline }
}

/// The options with what the derivation decides.
fn engine_options<D: Derive>(options: &HybridOptions) -> HybridOptions {
    HybridOptions { lsm: lsm_options::<D>(&options.lsm), ..options.clone() }
}

impl<P: ViewStore, F: ViewStore, D: Admit> HybridStore<P, F, D> {
    /// Creates a database in a folder that is absent or empty.
    ///
    /// The identity is written last: a folder without one is not a database, so a crash in the middle leaves nothing
    /// that could be taken for one.
    pub fn create(env: &Env, dir: &Path, derive: D, options: &HybridOptions) -> Result<Self> {
        let fs = env.fs.as_ref();
        let layout = Layout::of(dir);
        create_dir_durably(fs, dir)?;
        let lock = lock(env, &layout)?;
        if Identity::exists(fs, &layout)? {
            return Err(Error::AlreadyExists { dir: dir.to_path_buf(), found: "IDENTITY".to_owned() });
        }
        clear_leftovers(env, &layout)?;
        let identity = Identity::generate(env);
        let journal = SegmentedJournal::create(
            env,
            &layout.wal(),
            journal_identity(&identity),
            options.journal.clone(),
        )?;
        let options = engine_options::<D>(options);
        let primary = P::create(env, &layout.kv(), identity.database, &options)?;
        fs.sync_dir(dir)?;
        identity.write(fs, &layout)?;
        let (journal, derive) = (Arc::new(journal), Arc::new(derive));
        let events = Events::new(Arc::clone(&env.clock));
        let sidecars = Sidecars::attach(
            &SidecarParts {
                env,
                layout: &layout,
                identity: &identity,
                journal: &journal,
                observes: options.observes_tables(),
                derive: &derive,
                events: &events,
                is_new_tree: true,
            },
            &primary,
        )?;
        let (scrub, fallback_dir) = (options.scrub, options.fallback_dir.clone());
        let mut store = HybridStore::assemble(Parts {
            env: env.clone(),
            layout,
            identity,
            lock,
            journal,
            primary: View::ready(primary, ViewHealth::Healthy),
            upgrade: None,
            derive,
            recorded: Micros(i64::MIN),
            options,
            events,
            sidecars,
            heals_journal: true,
        })?;
        store.start_scrub(env, scrub, fallback_dir)?;
        Ok(store)
    }

    /// Opens the database in a folder. Fails with [`Error::NotADatabase`] where none was created.
    ///
    /// Cost: independent of the database's size; replay is bounded by what the memtables may hold, and by
    /// [`HybridOptions::replay_at_open_bytes`] where the view is missing or old.
    pub fn open(
        env: &Env,
        dir: &Path,
        derive: D,
        options: &HybridOptions,
    ) -> Result<(HybridStore<P, F, D>, OpenReport)> {
        let derive = Arc::new(derive);
        match HybridStore::open_once(env, dir, &derive, options, None) {
            Err(error) if options.open_damaged == OpenDamaged::ReadOnly && damaged::is_damage(&error) => {
                HybridStore::open_once(env, dir, &derive, options, Some(&error))
            }
            opened => opened,
        }
    }

    /// Opens the database; if that was `refused` because of the journal, what is left of it for reading only.
    fn open_once(
        env: &Env,
        dir: &Path,
        derive: &Arc<D>,
        options: &HybridOptions,
        refused: Option<&Error>,
    ) -> Result<(HybridStore<P, F, D>, OpenReport)> {
        let fs = env.fs.as_ref();
        let layout = Layout::of(dir);
        if !Identity::exists(fs, &layout)? {
            return Err(Error::NotADatabase { dir: dir.to_path_buf() });
        }
        let lock = lock(env, &layout)?;
        let identity = Identity::read(fs, &layout)?;
        mention_moved_aside(fs, &layout)?;
        clear_staging(fs, &layout)?;
        let events = Events::new(Arc::clone(&env.clock));
        let options = engine_options::<D>(options);
        upgrade::settle::<P>(env, &layout)?;
        let may_mix = |by| upgrade::may_begin::<D>(env, &layout, by, refused.is_some());
        let found = find::<P>(env, &layout, identity.database, &options, &events, may_mix)?;
        let flushed = match &found {
            Found::Whole(store) | Found::Older(store, _) => store.flushed_lsn(),
            Found::Missing | Found::Damaged(_) => Lsn::ZERO,
        };
        let (wal, owner, wanted) = (layout.wal(), journal_identity(&identity), options.journal.clone());
        let (journal, recovery) = match refused {
            None => SegmentedJournal::open(env, &wal, owner, flushed, wanted).map_err(classify)?,
            Some(_) => SegmentedJournal::open_damaged(env, &wal, owner, wanted)?,
        };
        let rebuilt = !matches!(found, Found::Whole(_) | Found::Older(..));
        let (primary, derived_by) = match found {
            Found::Whole(store) => (store, None),
            Found::Older(store, derived_by) => (store, Some(derived_by)),
            lost => (begin_anew(env, &layout, identity.database, &options, &journal, lost, &events)?, None),
        };
        let upgrade = match derived_by {
            None if rebuilt => None,
            None => {
                upgrade::tidy(fs, &layout)?;
                None
            }
            Some(derived_by) => {
                let ground = upgrade::Ground {
                    env,
                    layout: &layout,
                    database: identity.database,
                    options: &options,
                    journal: &journal,
                    events: &events,
                    is_held: refused.is_some(),
                };
                Some(upgrade::begin::<P, D>(&ground, derived_by)?)
            }
        };
        let damaged_tables: Vec<u64> = primary.damaged_parts().iter().map(|(file, _)| *file).collect();
        let journal = Arc::new(journal);
        let mark = Layout::rebuilt_mark(&layout.kv());
        let was_rebuilt = fs.metadata(&mark)?.is_some();
        // Before the replay, which may flush.
        let parts = SidecarParts {
            env,
            layout: &layout,
            identity: &identity,
            journal: &journal,
            observes: options.observes_tables(),
            derive,
            events: &events,
            is_new_tree: rebuilt || was_rebuilt || upgrade.as_ref().is_some_and(|it| it.store().is_none()),
        };
        let sidecars = match &upgrade {
            None => Sidecars::attach(&parts, &primary)?,
            Some(upgrade) => {
                // Of a view with rows of two versions nothing can be derived again: the new one is served.
                let sidecars = Sidecars::attach_later(&parts, upgrade.flushed().unwrap_or(Lsn::ZERO))?;
                upgrade.store().into_iter().for_each(|store| sidecars.serve(store));
                sidecars
            }
        };
        // A view that must not answer need not catch up.
        let is_readable = upgrade.as_ref().is_none_or(|upgrade| upgrade.health.readable);
        let most_bytes = if is_readable { options.replay_at_open_bytes } else { 0 };
        let (replayed, healed) = match refused {
            None => damaged::replay_and_heal(&journal, &primary, &**derive, most_bytes)?,
            Some(_) => (damaged::replay_to_damage(&journal, &primary, &**derive)?, Vec::new()),
        };
        healed.iter().for_each(|healed| tell_healed(&events, healed));
        if rebuilt && !replayed.is_cut_short {
            tracing::info!(entries = replayed.entries, "rebuild complete");
        }
        if was_rebuilt {
            tracing::info!("rebuild complete (offline, before this start)");
            fs.remove(&mark)?;
        }
        let catching_up = replayed.is_cut_short || !is_readable;
        let primary = match catching_up {
            false => {
                let health = health_of(&primary);
                View::ready(primary, health)
            }
            true => {
                let progress = RebuildProgress { done: primary.published_lsn(), end: journal.durable_lsn() };
                tracing::warn!(%progress.done, %progress.end, "the view is far behind; it catches up in the background");
                View::behind(primary, progress)
            }
        };
        let report = OpenReport {
            journal: recovery,
            replayed: replayed.entries,
            rebuilt,
            catching_up,
            upgrade: upgrade.as_ref().map(|upgrade| upgrade.health.clone()),
            damaged_tables,
            damaged_journal: refused.map(|error| damaged::tell(&journal, &primary.store, error)),
        };
        let cause = report.damaged_journal.as_ref().map(|damage| damage.cause.clone());
        let (scrub, fallback_dir) = (options.scrub, options.fallback_dir.clone());
        let mut store = HybridStore::assemble(Parts {
            env: env.clone(),
            layout,
            identity,
            lock,
            journal,
            primary,
            upgrade,
            derive: Arc::clone(derive),
            recorded: replayed.recorded,
            options,
            events,
            sidecars,
            heals_journal: refused.is_none(),
        })?;
        if let Some(cause) = cause {
            store.refuse_writes(cause);
        }
        store.start_scrub(env, scrub, fallback_dir)?;
        Ok((store, report))
    }
}

fn create_dir_durably(fs: &dyn Fs, dir: &Path) -> Result<()> {
    fs.create_dir(dir)?;
    if let Some(parent) = dir.parent() {
        fs.sync_dir(parent)?;
    }
    Ok(())
}

/// A create that was cut short leaves files but no identity. Anything else in the folder is somebody's, and refused.
fn clear_leftovers(env: &Env, layout: &Layout) -> Result<()> {
    let fs = env.fs.as_ref();
    const OURS: [&str; 8] =
        ["LOCK", "IDENTITY.a.tmp", "IDENTITY.b.tmp", "wal", "kv", "sidecar", "quarantine", "lost+found"];
    for entry in fs.list(layout.dir())? {
        if !OURS.contains(&entry.name.as_str()) {
            return Err(Error::AlreadyExists { dir: layout.dir().to_path_buf(), found: entry.name });
        }
    }
    let dirs = [layout.wal(), layout.kv()];
    let mut found = Vec::new();
    for dir in &dirs {
        if fs.metadata(dir)?.is_some() {
            found.push((dir, fs.list(dir)?));
        }
    }
    // Everything is looked at before anything is removed.
    for (dir, files) in &found {
        // Without an identity nothing was ever acknowledged here. But a journal with entries has had an identity: then
        // somebody lost it, and the entries must not be thrown away.
        let held = if **dir == layout.wal() { held_by(env, dir)? } else { Held::Unknown };
        let used = files.iter().map(|file| file.metadata.len).sum::<u64>();
        let is_ours = match held {
            Held::Nothing => true,
            Held::Entries => false,
            Held::Unknown => used <= CREATE_LEFTOVER_BYTES,
        };
        if !is_ours {
            let found = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Err(Error::AlreadyExists { dir: layout.dir().to_path_buf(), found });
        }
    }
    for (dir, files) in found {
        for file in files {
            fs.remove(&dir.join(file.name))?;
        }
    }
    clear_sidecars(fs, layout)
}

/// What a journal's folder without an identity holds.
enum Held {
    /// Not a single entry, or files that were on their way to become a journal. Their length says nothing: it is made ahead.
    Nothing,
    Entries,
    /// It cannot be read: a power cut may have left the beginnings of a segment.
    Unknown,
}

fn held_by(env: &Env, wal: &Path) -> Result<Held> {
    match SegmentedJournal::open_read_only(env, wal) {
        Ok((_, found)) if found.last_lsn < found.first_lsn => Ok(Held::Nothing),
        Ok(_) => Ok(Held::Entries),
        Err(stemedb_wal::Error::NoJournal { .. }) => {
            let files = env.fs.list(wal)?;
            let is_begun = files.iter().all(|file| file.name == "HEAD" || file.name.ends_with(".tmp"));
            Ok(if is_begun { Held::Nothing } else { Held::Unknown })
        }
        Err(error @ stemedb_wal::Error::Env(_)) => Err(error.into()),
        Err(_) => Ok(Held::Unknown),
    }
}

/// Sidecars without the journal that they speak of are of no use to anybody.
fn clear_sidecars(fs: &dyn Fs, layout: &Layout) -> Result<()> {
    let dir = layout.sidecars();
    if fs.metadata(&dir)?.is_none() {
        return Ok(());
    }
    for file in fs.list(&dir)? {
        if !is_sidecar_name(&file.name) {
            let found = format!("sidecar/{}", file.name);
            return Err(Error::AlreadyExists { dir: layout.dir().to_path_buf(), found });
        }
        fs.remove(&dir.join(file.name))?;
    }
    Ok(())
}

/// More than the empty files that a create makes before it writes the identity, but for what the journal makes ahead; less than
/// anything worth keeping.
const CREATE_LEFTOVER_BYTES: u64 = 64 << 10;

/// Operators move damaged views aside as `kv.corrupted.YYYYMMDD`; they are left alone and mentioned.
fn mention_moved_aside(fs: &dyn Fs, layout: &Layout) -> Result<()> {
    for entry in fs.list(layout.dir())? {
        if entry.name.starts_with("kv.corrupted.") {
            tracing::warn!(folder = %entry.name, "a view that was moved aside is ignored");
        }
    }
    Ok(())
}

//! Creating and opening: lock, identity, journal, views, replay.
//!
//! ```text
//! lock ─▶ identity ─▶ primary view (its manifest says how far it has flushed: F)
//!                        └─▶ journal (recovers 1..M; F is a lower bound for M) ─▶ replay F+1..M into the views ─▶ serve
//! ```

use std::{path::Path, sync::Arc};

use stemedb_env::{Env, Error as EnvError, FileLock, Fs, Lsn, Micros};
use stemedb_index::{Admit, Derive};
use stemedb_lsm::{KvStore, LsmOptions, LsmStore, MemStore, WriteBatch};
use stemedb_wal::{Journal, JournalIdentity, JournalReader, RecoveryReport, SegmentedJournal};

use crate::{
    Error, Events, HybridOptions, HybridStore, Identity, Layout, LsmEngine, Result, ViewHealth,
    checkpoint::clear_staging, commit::classify, store::Parts, view::View,
};

/// What opening found and did.
#[derive(Clone, Debug)]
pub struct OpenReport {
    /// What the journal's recovery found: the last entry, bytes cut from a torn tail.
    pub journal: RecoveryReport,
    /// Entries replayed into the primary view.
    pub replayed: u64,
    /// True when the primary view was missing and has been derived again from the first entry on.
    pub rebuilt: bool,
    /// Numbers of tables in the primary view that are damaged: reads that touch them say so.
    pub damaged_tables: Vec<u64>,
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

impl<D: Admit> HybridStore<LsmStore, MemStore, D> {
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
        clear_leftovers(fs, &layout)?;
        let identity = Identity::generate(env);
        let journal = SegmentedJournal::create(
            env,
            &layout.wal(),
            journal_identity(&identity),
            options.journal.clone(),
        )?;
        let tree =
            LsmStore::create(env.clone(), &layout.kv(), identity.database, lsm_options::<D>(&options.lsm))?;
        fs.sync_dir(dir)?;
        identity.write(fs, &layout)?;
        HybridStore::assemble(Parts {
            env: env.clone(),
            layout,
            identity,
            lock,
            journal: Arc::new(journal),
            primary: View::new(tree, ViewHealth::Healthy),
            fallback: None,
            derive: Arc::new(derive),
            recorded: Micros(i64::MIN),
            commit: options.commit.clone(),
            events: Events::new(Arc::clone(&env.clock)),
        })
    }

    /// Opens the database in a folder. Fails with [`Error::NotADatabase`] where none was created.
    ///
    /// Cost: independent of the database's size; replay is bounded by what the memtables may hold.
    pub fn open(env: &Env, dir: &Path, derive: D, options: &HybridOptions) -> Result<OpenedStore<D>> {
        let fs = env.fs.as_ref();
        let layout = Layout::of(dir);
        if !Identity::exists(fs, &layout)? {
            return Err(Error::NotADatabase { dir: dir.to_path_buf() });
        }
        let lock = lock(env, &layout)?;
        let identity = Identity::read(fs, &layout)?;
        mention_moved_aside(fs, &layout)?;
        clear_staging(fs, &layout)?;
        let (tree, rebuilt) = open_tree::<D>(env, &layout, &identity, options)?;
        let flushed = tree.flushed_lsn();
        let (journal, recovery) = SegmentedJournal::open(
            env,
            &layout.wal(),
            journal_identity(&identity),
            flushed,
            options.journal.clone(),
        )
        .map_err(classify)?;
        let damaged_tables: Vec<u64> = tree.damaged().iter().map(|(file, _)| *file).collect();
        let health = match damaged_tables.as_slice() {
            [] => ViewHealth::Healthy,
            files => ViewHealth::Degraded { cause: format!("damaged tables: {files:?}") },
        };
        let derive = Arc::new(derive);
        let (replayed, recorded) = replay(&journal, &tree, derive.as_ref())?;
        if rebuilt {
            tracing::info!(entries = replayed, "rebuild complete");
        }
        let mark = Layout::rebuilt_mark(&layout.kv());
        if fs.metadata(&mark)?.is_some() {
            tracing::info!("rebuild complete (offline, before this start)");
            fs.remove(&mark)?;
        }
        let report = OpenReport { journal: recovery, replayed, rebuilt, damaged_tables };
        let store = HybridStore::assemble(Parts {
            env: env.clone(),
            layout,
            identity,
            lock,
            journal: Arc::new(journal),
            primary: View::new(tree, health),
            fallback: None,
            derive,
            recorded,
            commit: options.commit.clone(),
            events: Events::new(Arc::clone(&env.clock)),
        })?;
        Ok((store, report))
    }
}

/// The tree; a new one where it is missing. True if it is new.
fn open_tree<D: Derive>(
    env: &Env,
    layout: &Layout,
    identity: &Identity,
    options: &HybridOptions,
) -> Result<(LsmStore, bool)> {
    let kv = layout.kv();
    let lsm = lsm_options::<D>(&options.lsm);
    let is_missing = match env.fs.metadata(&kv)? {
        None => true,
        Some(_) => env.fs.list(&kv)?.is_empty(),
    };
    if !is_missing {
        return Ok((LsmStore::open(env.clone(), &kv, identity.database, lsm)?, false));
    }
    tracing::warn!(kv = %kv.display(), "the view is missing; it is derived again from the journal");
    Ok((LsmStore::create(env.clone(), &kv, identity.database, lsm)?, true))
}

/// Applies to a view what the journal has and the view has not. Returns the number of entries and the recorded time
/// of the journal's last one.
fn replay<D: Derive>(journal: &SegmentedJournal, view: &LsmStore, derive: &D) -> Result<(u64, Micros)> {
    let (reached, end) = (view.published_lsn(), journal.durable_lsn());
    if reached > end {
        return Err(Error::ViewAhead { view: reached, journal: end });
    }
    let mut recorded = Micros(i64::MIN);
    if end == Lsn::ZERO {
        return Ok((0, recorded));
    }
    let first = journal.first_lsn();
    if reached.next() < first && reached < end {
        return Err(Error::JournalGap { first, needed: reached.next() });
    }
    if reached == end {
        // The last entry is read even when nothing is to be replayed: its time is a floor for the next one.
        if let Some(entry) = journal.last_entry()?
            && let Some(at) = derive.recorded_at(entry.lsn, &entry.bytes)?
        {
            recorded = at;
        }
        return Ok((0, recorded));
    }
    let mut reader = journal.read_from(reached.next())?;
    let mut rows = WriteBatch::new();
    let mut replay = view.begin_replay();
    let mut replayed = 0;
    while let Some(entry) = reader.next_entry()? {
        if let Some(at) = derive.recorded_at(entry.lsn, &entry.bytes)? {
            recorded = recorded.max(at);
        }
        rows.clear();
        derive.derive(entry.lsn, &entry.bytes, &mut rows)?;
        replay.apply(&rows, entry.lsn)?;
        replayed += 1;
    }
    replay.finish()?;
    Ok((replayed, recorded))
}

fn create_dir_durably(fs: &dyn Fs, dir: &Path) -> Result<()> {
    fs.create_dir(dir)?;
    if let Some(parent) = dir.parent() {
        fs.sync_dir(parent)?;
    }
    Ok(())
}

/// A create that was cut short leaves files but no identity. Anything else in the folder is somebody's, and refused.
fn clear_leftovers(fs: &dyn Fs, layout: &Layout) -> Result<()> {
    const OURS: [&str; 7] =
        ["LOCK", "IDENTITY.a.tmp", "IDENTITY.b.tmp", "wal", "kv", "quarantine", "lost+found"];
    for entry in fs.list(layout.dir())? {
        if !OURS.contains(&entry.name.as_str()) {
            return Err(Error::AlreadyExists { dir: layout.dir().to_path_buf(), found: entry.name });
        }
    }
    for dir in [layout.wal(), layout.kv()] {
        if fs.metadata(&dir)?.is_none() {
            continue;
        }
        // Without an identity nothing was ever acknowledged here. But a journal with entries has had an identity:
        // then somebody lost it, and the entries must not be thrown away.
        let used = fs.list(&dir)?.iter().map(|file| file.metadata.len).sum::<u64>();
        if used > CREATE_LEFTOVER_BYTES {
            let found = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Err(Error::AlreadyExists { dir: layout.dir().to_path_buf(), found });
        }
        for file in fs.list(&dir)? {
            fs.remove(&dir.join(file.name))?;
        }
    }
    Ok(())
}

/// More than the empty files that a create makes before it writes the identity, less than anything worth keeping.
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

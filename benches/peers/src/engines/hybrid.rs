//! StemeDB's engine over plain rows: journal, commit queue and LSM tree, without what knows claims.

use std::{
    collections::VecDeque,
    fs,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use stemedb_env::{Env, Lsn, Micros};
use stemedb_hybrid::{CommitTicket, HybridOptions, Layout, LsmEngine, RedbStore, ViewSnapshot};
use stemedb_index::{Admit, Admitted, Derive, KeyValues, ViewRow};
use stemedb_lsm::{KvSnapshot, KvStore, LsmOptions, LsmSnapshot, LsmStore, Stats, Value, WriteBatch};
use stemedb_wal::Retention;

use super::{NoSyncFs, names, snapshot_reader::SnapshotReader};
use crate::engine::{Engine, Kind, Pair, Pipeline, Reader, Result, Setting, Shape, Store};

/// Longest that closing waits for background work.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);

/// Which leading bytes of a key are its declared prefix.
pub(super) trait Prefix: Send + Sync + 'static {
    fn prefix_bytes(key: &[u8]) -> usize;
}

/// Small rows: the group.
#[derive(Debug)]
pub(super) struct Groups;

impl Prefix for Groups {
    fn prefix_bytes(key: &[u8]) -> usize {
        if key.len() >= 8 { 8 } else { 0 }
    }
}

/// Rows derived from claims: what the index declares.
#[derive(Debug)]
pub(super) struct Derived;

impl Prefix for Derived {
    fn prefix_bytes(key: &[u8]) -> usize {
        stemedb_index::keys::filtered_prefix_bytes(key)
    }
}

/// Plain rows with a declared prefix: [`KeyValues`] in all but the prefix.
struct Rows<P> {
    plain: KeyValues,
    prefix: PhantomData<fn() -> P>,
}

impl<P: Prefix> Derive for Rows<P> {
    const VERSION: u32 = KeyValues::VERSION;

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> stemedb_index::Result<()> {
        self.plain.derive(lsn, entry, rows)
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> stemedb_index::Result<Option<Vec<u8>>> {
        self.plain.invert(lsn, rows)
    }

    fn recorded_at(&self, lsn: Lsn, entry: &[u8]) -> stemedb_index::Result<Option<Micros>> {
        self.plain.recorded_at(lsn, entry)
    }

    fn filtered_prefix_bytes(key: &[u8]) -> usize {
        P::prefix_bytes(key)
    }
}

impl<P: Prefix> Admit for Rows<P> {
    type Request = WriteBatch;
    type Reply = Lsn;
    type InFlight = ();

    fn cost_bytes(request: &WriteBatch) -> usize {
        KeyValues::cost_bytes(request)
    }

    fn admit<S: KvSnapshot>(
        &self,
        request: WriteBatch,
        view: &S,
        in_flight: &mut (),
        lsn: Lsn,
        now: Micros,
    ) -> stemedb_index::Result<Admitted<Lsn>> {
        self.plain.admit(request, view, in_flight, lsn, now)
    }

    fn retire(&self, in_flight: &mut (), lsn: Lsn) {
        self.plain.retire(in_flight, lsn);
    }

    fn abandon(&self, in_flight: &mut (), lsn: Lsn) {
        self.plain.abandon(in_flight, lsn);
    }
}

/// The contender. Where nobody syncs, the files of its journal are not synced either; those of its tables are, as with the
/// other LSM trees.
#[derive(Clone, Copy, Debug)]
pub struct Hybrid;

/// The same, driven by one thread that keeps many commits under way. What a server with an event loop does.
#[derive(Clone, Copy, Debug)]
pub struct HybridAsync;

struct Opened<P: Prefix> {
    engine: LsmEngine<Rows<P>>,
    pipelined: bool,
}

struct Tickets<'a, P: Prefix> {
    engine: &'a LsmEngine<Rows<P>>,
    under_way: VecDeque<CommitTicket<LsmStore, RedbStore, Rows<P>>>,
}

impl<P: Prefix> Pipeline for Tickets<'_, P> {
    fn submit(&mut self, batch: &[Pair<'_>]) -> Result<()> {
        self.under_way.push_back(self.engine.submit(batch_of(batch))?);
        Ok(())
    }

    fn wait_oldest(&mut self) -> Result<()> {
        self.under_way.pop_front().ok_or("nothing is under way")?.wait()?;
        Ok(())
    }
}

pub(super) fn env(setting: &Setting) -> Env {
    let mut env = Env::real();
    if !setting.durable {
        env.fs = Arc::new(NoSyncFs::under("wal"));
    }
    env
}

pub(super) fn lsm_options(setting: &Setting) -> LsmOptions {
    // What the others get: a cache and two memtables (`requirements::BUDGET_MIB` with the default setting). Where the cache
    // is small on purpose, never so little that the memtable would not be what was asked for: three may take five eighths.
    let memtable = setting.memtable_bytes as u64;
    let budget = (setting.cache_bytes as u64).saturating_add(memtable.saturating_mul(2));
    LsmOptions {
        memory_bytes: budget.max(memtable.saturating_mul(5)),
        memtable_bytes: setting.memtable_bytes,
        block_cache_bytes: setting.cache_bytes as u64,
        ..LsmOptions::default()
    }
}

pub(super) fn batch_of(batch: &[Pair<'_>]) -> WriteBatch {
    let mut writes = WriteBatch::new();
    for pair in batch {
        writes.put(pair.key, pair.value);
    }
    writes
}

pub(super) fn batch_without(keys: &[&[u8]]) -> WriteBatch {
    let mut writes = WriteBatch::new();
    for key in keys {
        writes.delete(key);
    }
    writes
}

/// Waits until nothing is left to do in the background: no compaction is due, and the tables that the last one replaced
/// are gone.
fn settle(kv: &Path, stats: impl Fn() -> Stats) {
    let begin = Instant::now();
    loop {
        let stats = stats();
        let tables = fs::read_dir(kv).map_or(0, |entries| {
            entries
                .flatten()
                .filter(|entry| entry.path().extension().is_some_and(|name| name == "sst"))
                .count()
        });
        let is_settled = stats.pending_compaction_bytes == 0 && tables <= stats.sst_file_count;
        if is_settled || begin.elapsed() > SETTLE_PATIENCE {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn open<P: Prefix>(folder: &Path, setting: &Setting, pipelined: bool) -> Result<Box<dyn Store>> {
    let env = env(setting);
    let mut options = HybridOptions { lsm: lsm_options(setting), ..HybridOptions::default() };
    // As long as a log is: up to what the tables have. The default keeps every entry ever written.
    options.journal.retention = Retention::Recycle;
    let rows = || Rows::<P> { plain: KeyValues, prefix: PhantomData };
    let engine = if Layout::of(folder).kv().exists() {
        LsmEngine::open(&env, folder, rows(), &options)?.0
    } else {
        LsmEngine::create(&env, folder, rows(), &options)?
    };
    Ok(Box::new(Opened { engine, pipelined }))
}

impl Engine for Hybrid {
    fn name(&self) -> &'static str {
        names::STEMEDB
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn configuration(&self) -> &'static str {
        "StemeDB: journal and LSM tree, plain rows; default options but for memory budget, cache, memtable and the prefix of the keys, and \
         the journal's files are used again when the tables have their rows, as a log's are; where nobody syncs, syncs of the \
         journal do nothing; durable: commit returned"
    }

    fn record(&self) -> Option<&'static str> {
        Some("wal")
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        match setting.shape {
            Shape::Small => open::<Groups>(folder, setting, false),
            Shape::Claims => open::<Derived>(folder, setting, false),
        }
    }
}

impl Engine for HybridAsync {
    fn name(&self) -> &'static str {
        names::STEMEDB_ASYNC
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn configuration(&self) -> &'static str {
        "the same, driven by one thread that submits and keeps as many commits under way as the others have threads; durable: \
         the ticket's wait returned"
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        match setting.shape {
            Shape::Small => open::<Groups>(folder, setting, true),
            Shape::Claims => open::<Derived>(folder, setting, true),
        }
    }
}

type View = ViewSnapshot<LsmSnapshot, <RedbStore as KvStore>::Snapshot>;

impl<P: Prefix> Store for Opened<P> {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        self.engine.commit(batch_of(batch))?;
        Ok(())
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        self.engine.commit(batch_without(keys))?;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let newest = || -> Result<View> { Ok(self.engine.snapshot()?) };
        let fresh = |key: &[u8]| -> Result<Option<Value>> { Ok(self.engine.get(key)?) };
        Ok(Box::new(SnapshotReader::new(newest, fresh, P::prefix_bytes)?))
    }

    fn pipeline(&self) -> Option<Box<dyn Pipeline + '_>> {
        (self.pipelined)
            .then(|| Box::new(Tickets { engine: &self.engine, under_way: VecDeque::new() }) as Box<_>)
    }

    fn flush(&self) -> Result<()> {
        self.engine.flush()?;
        Ok(())
    }

    fn compact(&mut self) -> Result<bool> {
        self.engine.compact()?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        let layout = self.engine.layout();
        settle(&layout.kv(), || self.engine.stats().lsm);
        Ok(self.engine.close()?)
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.engine.journal().stats().syncs)
    }
}

/// The contender without its journal: rows go straight into the tree, nothing survives a crash before a flush. A limit.
#[derive(Clone, Copy, Debug)]
pub struct Lsm;

struct OpenedLsm {
    folder: PathBuf,
    tree: LsmStore,
    next: Mutex<Lsn>,
    prefix: fn(&[u8]) -> usize,
}

impl Engine for Lsm {
    fn name(&self) -> &'static str {
        names::STEMEDB_LSM
    }

    fn kind(&self) -> Kind {
        Kind::Limit
    }

    fn configuration(&self) -> &'static str {
        "StemeDB's LSM tree alone, without a journal: nothing survives a crash before a flush"
    }

    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>> {
        let prefix = match setting.shape {
            Shape::Small => Groups::prefix_bytes,
            Shape::Claims => Derived::prefix_bytes,
        };
        let options = LsmOptions { prefix_extractor: Some(prefix), ..lsm_options(setting) };
        let database = stemedb_env::frame::DatabaseId(*b"peers on a disk.");
        let folder = folder.join("kv");
        let tree = if folder.exists() {
            LsmStore::open(Env::real(), &folder, database, options)?
        } else {
            LsmStore::create(Env::real(), &folder, database, options)?
        };
        let next = Mutex::new(tree.published_lsn().next());
        Ok(Box::new(OpenedLsm { folder, tree, next, prefix }))
    }
}

impl OpenedLsm {
    fn apply(&self, batch: &WriteBatch) -> Result<()> {
        let mut next = self.next.lock().map_err(|_| "a writer panicked")?;
        self.tree.apply(batch, *next)?;
        self.tree.publish(*next);
        *next = next.next();
        Ok(())
    }
}

impl Store for OpenedLsm {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        self.apply(&batch_of(batch))
    }

    fn delete(&self, keys: &[&[u8]]) -> Result<()> {
        self.apply(&batch_without(keys))
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let fresh = |key: &[u8]| -> Result<Option<Value>> { Ok(self.tree.get(key)?) };
        Ok(Box::new(SnapshotReader::new(|| Ok(self.tree.snapshot()), fresh, self.prefix)?))
    }

    fn flush(&self) -> Result<()> {
        self.tree.flush()?;
        Ok(())
    }

    fn compact(&mut self) -> Result<bool> {
        self.tree.compact()?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        settle(&self.folder, || self.tree.stats());
        self.tree.close();
        Ok(())
    }
}

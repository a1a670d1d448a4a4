//! The embedding facade: a database in a folder, without a runtime.
//!
//! ```text
//! submit ─ policy, rules, encoding ─▶ engine.commit ─▶ durable and readable ─▶ Outcome
//! query  ─ snapshot ─ as of ─ candidates ─ lens ─▶ Resolved      (each from the caches, if they have it)
//! import ─ lines ─ records ─▶ batches ─(second thread)─▶ engine.commit ─▶ verdicts
//! ```
//!
//! Every call blocks until it is done. Handles are cheap to clone and may be used from any thread; the folder is closed
//! when the last one is dropped.

mod agents;
mod as_of;
mod binding;
mod conflicts;
mod cursor;
mod difference;
mod evidence;
mod feed;
mod import;
mod lines;
mod list;
mod options;
mod pending;
mod query;
mod receipt;
mod role;
mod server_key;
mod watches;

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub use agents::AgentKnown;
pub use as_of::AsOf;
#[cfg(feature = "server")]
pub(crate) use binding::bind;
pub use conflicts::{ConflictQuery, Conflicts, KnowledgeReport};
#[cfg(feature = "fuzzing")]
pub(crate) use cursor::fuzzing;
pub use difference::{AnswerDifference, Arrived, Difference, DifferenceQuery, QuestionDifference};
pub use feed::{Feed, FeedEntry};
pub use import::{ImportFailed, ImportOptions, ImportReport, ImportSink, OnError};
pub use lines::{LINE_MAX_BYTES, Line, Lines};
pub use list::{ListPage, ListQuery, Selection};
pub use options::DatabaseOptions;
pub use pending::Pending;
pub use query::{Query, QueryCost, Resolved, leave_out};
pub use receipt::{ReceiptCheck, ReceiptError, RootCheck, check_document, read_receipt};
pub use role::{ArchiveStatus, Role, StandbyStatus};
pub use server_key::ServerKeyError;
use stemedb_core::{
    Agent, AgentKey, Assertion, AuthorityPolicy, ClaimId, Command, Cosign, Epoch, SignatureError,
    SignaturePolicy, Source, Supersession, Vote, identity::verify_claim,
};
use stemedb_env::{Env, Lsn};
use stemedb_hybrid::{
    Checkpoint, ClaimEngine, EventKind, Events, Health, Layout, OpenReport, RedbStore, ScrubReport, Stats,
    Verified, ViewSnapshot,
};
use stemedb_index::{CacheStats, ClaimCache, ClaimReader, Claims, Outcome, StoredClaim, Submission};
use stemedb_lsm::{KvStore, LsmStore};
pub use watches::{Notices, WATCHES_MAX, WatchPage, Watched, WatchesDamaged};
#[cfg(feature = "server")]
pub(crate) use watches::{Stepped, WATCH_PAGE_MAX};

use crate::{
    backup::StandbyMark,
    errors::{Code, Error, FieldError, Result, of_signature},
};

/// A consistent view of a database, as it was when the view was taken.
pub type Snapshot = ViewSnapshot<<LsmStore as KvStore>::Snapshot, <RedbStore as KvStore>::Snapshot>;

/// A database. Clones are handles on the same one.
#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: ClaimEngine,
    env: Env,
    signatures: SignaturePolicy,
    authority: AuthorityPolicy,
    cache: Option<Arc<ClaimCache>>,
    /// The last readable entry when the database was opened.
    opened_at: Lsn,
    /// Claims that were new since.
    created: AtomicU64,
    report: Option<OpenReport>,
    /// What receipts are signed with, once it was needed.
    server_key: OnceLock<AgentKey>,
    /// Held by whoever reads or makes it.
    server_key_turn: parking_lot::Mutex<()>,
    board: conflicts::Board,
    watches: watches::Registry,
    /// Whether it acknowledges writes.
    role: Arc<Role>,
    /// Held by whoever archives segments, or lets go of them.
    archive_turn: parking_lot::Mutex<()>,
}

impl Database {
    /// Creates a database in a folder that is absent or empty.
    ///
    /// # Errors
    /// [`Error::Engine`] where something is there already, or the system refuses.
    pub fn create(dir: impl AsRef<Path>, mut options: DatabaseOptions) -> Result<Database> {
        let cache = options.caches();
        let engine = ClaimEngine::create(&options.env, dir.as_ref(), Claims, &options.engine)?;
        let role = Role::writer(engine.identity().timeline);
        let database = Database::over(engine, options, cache, None, role);
        database.server_key()?;
        Ok(database)
    }

    /// Opens the database in a folder. Never creates one: an emptied or unmounted disk must not look like a new
    /// database. One that is a standby's refuses writes: see [`crate::replication`].
    ///
    /// Cost: independent of the size; replays what was not flushed.
    ///
    /// # Errors
    /// [`Error::Engine`] where there is no database, another process has it open, or it is damaged; [`Error::StandbyMark`].
    pub fn open(dir: impl AsRef<Path>, mut options: DatabaseOptions) -> Result<Database> {
        let cache = options.caches();
        // A standby's folder is one for whoever opens it.
        let mark = StandbyMark::read(&options.env, &Layout::of(dir.as_ref()))
            .map_err(|error| Error::StandbyMark(Box::new(error)))?;
        options.engine.follows = mark.is_some();
        let (engine, report) = ClaimEngine::open(&options.env, dir.as_ref(), Claims, &options.engine)?;
        let role = match &mark {
            Some(mark) => Role::standby(mark.follows, options.env.clock.monotonic()),
            None => Role::writer(engine.identity().timeline),
        };
        Ok(Database::over(engine, options, cache, Some(report), role))
    }

    fn over(
        engine: ClaimEngine,
        options: DatabaseOptions,
        cache: Option<Arc<ClaimCache>>,
        report: Option<OpenReport>,
        role: Role,
    ) -> Database {
        let opened_at = engine.published_lsn();
        let DatabaseOptions {
            signatures, supersession_authority: authority, env, conflict_board_bytes, ..
        } = options;
        let watches_of = watches::journal_identity(engine.identity());
        let watches = watches::Registry::new(&env, engine.layout().watches(), watches_of);
        let inner = Inner {
            engine,
            env,
            signatures,
            authority,
            cache,
            opened_at,
            created: AtomicU64::new(0),
            report,
            server_key: OnceLock::new(),
            server_key_turn: parking_lot::Mutex::new(()),
            board: conflicts::Board::new(conflict_board_bytes),
            watches,
            role: Arc::new(role),
            archive_turn: parking_lot::Mutex::default(),
        };
        Database { inner: Arc::new(inner) }
    }

    /// What opening found and did; `None` for a database that was created by this handle.
    pub fn open_report(&self) -> Option<&OpenReport> {
        self.inner.report.as_ref()
    }

    /// Records commands together or not at all, as one journal entry. Returns when they are durable and readable, with
    /// one outcome a command.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the member of the first command that is refused; nothing was applied. The classes of
    /// [`Error::Engine`] are told apart by [`Error::code`].
    pub fn submit(&self, commands: &[Command]) -> Result<Vec<Outcome>> {
        self.begin(commands)?.wait()
    }

    /// Hands commands in as [`Database::submit`] does, without waiting for the disk: one thread can have many of them under way. What
    /// one thread hands in becomes durable in that order.
    ///
    /// Cost: checking the commands and their signatures.
    ///
    /// # Errors
    /// [`Error::Invalid`] as of [`Database::submit`], and an overloaded queue; everything else is told by what is returned.
    pub fn begin(&self, commands: &[Command]) -> Result<Pending> {
        let mut submission = Submission::new().under(self.inner.authority);
        for command in commands {
            self.check_signatures(command)?;
            submission.push(command)?;
        }
        self.hand_in(submission)
    }

    /// Records a claim. Asserting it again changes nothing and answers with its first place.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn assert(&self, assertion: Assertion) -> Result<Outcome> {
        self.submit_one(Command::Assert(assertion))
    }

    /// Records a vote. An agent's newest vote on a claim is the one that counts.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn vote(&self, vote: Vote) -> Result<Outcome> {
        self.submit_one(Command::Vote(vote))
    }

    /// Sets a claim aside.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn supersede(&self, supersession: Supersession) -> Result<Outcome> {
        self.submit_one(Command::Supersede(supersession))
    }

    /// Opens an epoch.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn epoch(&self, epoch: Epoch) -> Result<Outcome> {
        self.submit_one(Command::Epoch(epoch))
    }

    /// Records what is known about a source. The newest record counts.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn source(&self, source: Source) -> Result<Outcome> {
        self.submit_one(Command::Source(source))
    }

    /// Records what is known about an agent. The newest record counts as a whole.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn agent(&self, agent: Agent) -> Result<Outcome> {
        self.submit_one(Command::Agent(agent))
    }

    /// Records another agent's signature on a claim.
    ///
    /// # Errors
    /// As [`Database::submit`].
    pub fn cosign(&self, cosign: Cosign) -> Result<Outcome> {
        self.submit_one(Command::Cosign(cosign))
    }

    fn submit_one(&self, command: Command) -> Result<Outcome> {
        let outcomes = self.submit(std::slice::from_ref(&command))?;
        // One command, one outcome: anything else is a defect of the engine, answered as a lost commit.
        outcomes.first().copied().ok_or_else(abandoned)
    }

    fn commit(&self, submission: Submission) -> Result<Vec<Outcome>> {
        self.hand_in(submission)?.wait()
    }

    fn hand_in(&self, submission: Submission) -> Result<Pending> {
        self.inner.role.may_write()?;
        let ticket = self.inner.engine.submit(submission)?;
        Ok(Pending::new(self.clone(), ticket))
    }

    /// Applies the signature policy, and names the member that breaks it.
    fn check_signatures(&self, command: &Command) -> Result<(), FieldError> {
        let Err(error) = self.inner.signatures.check(command) else { return Ok(()) };
        Err(match (command, error) {
            (Command::Assert(claim), SignatureError::Invalid { .. } | SignatureError::NotAKey { .. }) => {
                let id = claim.id();
                let wrong =
                    claim.signatures.iter().position(|signature| verify_claim(&id, signature).is_err());
                of_signature(format!("/signatures/{}/signature", wrong.unwrap_or(0)), error)
            }
            (Command::Assert(_), _) => of_signature("/signatures", error),
            (_, SignatureError::MissingAgent) => of_signature("/agent", error),
            _ => of_signature("/signature", error),
        })
    }

    /// Answers a question.
    ///
    /// Cost: one short range scan, a few filtered probes a claim, and O(n log n) in the number of claims. A lookup if the same was
    /// asked before and nothing has changed: see [`DatabaseOptions::cache_bytes`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a moment that lies in the future; [`Error::Engine`] where the store fails.
    pub fn query(&self, query: Query) -> Result<Resolved> {
        query::answer(self, query)
    }

    /// [`Database::query`], and what it has cost.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub fn query_measured(&self, query: Query) -> Result<(Resolved, QueryCost)> {
        query::measured(self, query)
    }

    /// [`Database::query_measured`] for who must not wait: an answer if the caches have all that it needs, in microseconds and
    /// without reading from the store, else `None`.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub fn query_if_known(&self, query: &Query) -> Result<Option<(Resolved, QueryCost)>> {
        query::measured_if_known(self, query)
    }

    /// A claim by its id.
    ///
    /// # Errors
    /// Where the store fails: never "not found" for what could not be read.
    pub fn claim(&self, id: ClaimId) -> Result<Option<StoredClaim>> {
        Ok(self.reader(None)?.claim(id)?)
    }

    /// Reads claims, questions, votes and sources as they are now, or as they were known at a moment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a moment that lies in the future.
    pub fn reader(&self, as_of: Option<AsOf>) -> Result<ClaimReader<Snapshot>> {
        let snapshot = self.inner.engine.snapshot()?;
        let reader = match as_of {
            None => ClaimReader::new(snapshot),
            Some(AsOf::Lsn(lsn)) => ClaimReader::as_of(snapshot, lsn)?,
            Some(AsOf::Time(time)) => {
                let newest = ClaimReader::new(snapshot);
                let time = stemedb_env::Micros(time.0);
                let lsn = newest.lsn_at(time)?;
                ClaimReader::as_of(newest.snapshot().clone(), lsn)?.recorded_by(time)
            }
        };
        Ok(reader.with_cache(self.inner.cache.clone()))
    }

    /// [`Database::reader`], for a moment that was given by another parameter than `as_of`.
    fn reader_at(&self, moment: Option<AsOf>, parameter: &'static str) -> Result<ClaimReader<Snapshot>> {
        self.reader(moment).map_err(|error| match error {
            Error::Invalid(invalid) if invalid.code() == Code::LsnNotReached => {
                let detail = invalid.errors().next().map(|error| error.detail.clone());
                FieldError::in_parameter(parameter, Code::LsnNotReached, detail.unwrap_or_default()).into()
            }
            error => error,
        })
    }

    /// The last entry that is readable: everything acknowledged is at or before it.
    pub fn published_lsn(&self) -> Lsn {
        self.inner.engine.published_lsn()
    }

    /// The timeline of the positions that the database tells: its own, or the one that it follows as a standby.
    pub fn timeline(&self) -> u32 {
        self.inner.role.timeline()
    }

    /// Whether it acknowledges writes.
    pub fn role(&self) -> Arc<Role> {
        Arc::clone(&self.inner.role)
    }

    /// Acknowledges no write from now on, because another server is the writer; reads go on. Until it is opened again.
    pub(crate) fn fence(&self, reason: &str) {
        // In this order: whoever is refused by the engine is told why.
        if self.inner.role.fence(reason) {
            self.inner.engine.refuse_writes(format!("fenced: {reason}"));
            tracing::error!("fenced: no write is acknowledged any more: {reason}");
            self.events().push(EventKind::Failover, None, format!("fenced: {reason}"));
        }
    }

    /// A standby becomes the writer of its own timeline.
    pub(crate) fn promote(&self) {
        self.inner.engine.end_following();
        self.inner.role.promote(self.inner.engine.identity().timeline);
        let text = format!("promoted at LSN {}", self.published_lsn());
        tracing::warn!("{text}");
        self.events().push(EventKind::Failover, None, text);
    }

    /// How the continuous archiving of the journal goes.
    pub fn archive_status(&self) -> ArchiveStatus {
        let now = self.env().clock.monotonic();
        self.inner.role.archive_status(self.inner.engine.durable_lsn(), now)
    }

    /// How a standby follows.
    pub fn standby_status(&self) -> StandbyStatus {
        let clock = &self.env().clock;
        self.inner.role.standby_status(clock.monotonic(), clock.wall())
    }

    /// Of a standby: [`StandbyStatus::lag`]. Cost for others: a load.
    #[cfg(feature = "server")]
    pub(crate) fn standby_lag(&self) -> Option<std::time::Duration> {
        self.inner.role.is_standby().then(|| self.standby_status().lag)
    }

    /// Held while segments are archived or let go of: those who do share a folder.
    pub(crate) fn archive_turn(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.inner.archive_turn.lock()
    }

    /// The key that this server signs receipts with: `keys/server.key` in the data folder. A folder that has none gets one.
    ///
    /// # Errors
    /// [`Error::ServerKey`] for a file that does not hold a key; [`Error::Engine`] where the system refuses.
    pub fn server_key(&self) -> Result<&AgentKey> {
        let inner = &self.inner;
        if let Some(key) = inner.server_key.get() {
            return Ok(key);
        }
        let _turn = inner.server_key_turn.lock();
        match inner.server_key.get() {
            Some(key) => Ok(key),
            None => {
                let file = inner.engine.layout().server_key();
                let key = server_key::load_or_make(&inner.env, file)?;
                Ok(inner.server_key.get_or_init(|| key))
            }
        }
    }

    /// Which signatures the database asks for.
    pub fn signature_policy(&self) -> SignaturePolicy {
        self.inner.signatures
    }

    /// Whether a claim is protected from supersessions by a lower class than its own.
    pub fn authority_policy(&self) -> AuthorityPolicy {
        self.inner.authority
    }

    /// Claims that were new since the database was opened, and the LSN it was opened at.
    pub fn created_since_open(&self) -> (u64, Lsn) {
        (self.inner.created.load(Ordering::Relaxed), self.inner.opened_at)
    }

    /// Counters of the engine and its parts.
    pub fn stats(&self) -> Stats {
        self.inner.engine.stats()
    }

    /// Counters of the caches of questions; `None` without them.
    pub fn cache_stats(&self) -> Option<CacheStats> {
        self.inner.cache.as_ref().map(|cache| cache.stats())
    }

    fn caches(&self) -> Option<&ClaimCache> {
        self.inner.cache.as_deref()
    }

    /// How well the parts are.
    pub fn health(&self) -> Health {
        self.inner.engine.health()
    }

    /// What happened to the files, newest last.
    pub fn events(&self) -> &Events {
        self.inner.engine.events()
    }

    /// Makes the views independent of the journal up to now.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn flush(&self) -> Result<Lsn> {
        Ok(self.inner.engine.flush()?)
    }

    /// Makes a second database in a folder that is absent or empty, of everything durable now, while writing goes on: hard
    /// links where the file system has them. See [`stemedb_hybrid::HybridStore::checkpoint`]; [`crate::backup::create`] makes copies that
    /// are proven.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<Checkpoint> {
        Ok(self.inner.engine.checkpoint(dir.as_ref())?)
    }

    /// Merges the view's tables; returns when done.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn compact(&self) -> Result<()> {
        Ok(self.inner.engine.compact()?)
    }

    /// Reads everything back and checks it: the journal's frames and the view's blocks.
    ///
    /// # Errors
    /// [`Error::Engine`] names the file and offset of the first damage.
    pub fn verify(&self) -> Result<Verified> {
        Ok(self.inner.engine.verify()?)
    }

    /// Reads everything back and checks it, as [`Database::verify`] does, and tells what was read and all damage.
    ///
    /// # Errors
    /// [`Error::Engine`] if a folder cannot be listed.
    pub fn scrub(&self) -> Result<ScrubReport> {
        Ok(self.inner.engine.scrub_now()?)
    }

    /// The engine below, for tools that look at files and views.
    pub fn engine(&self) -> &ClaimEngine {
        &self.inner.engine
    }

    /// A handle that does not keep the database open.
    pub(crate) fn downgrade(&self) -> WeakDatabase {
        WeakDatabase { inner: Arc::downgrade(&self.inner) }
    }

    fn board(&self) -> &conflicts::Board {
        &self.inner.board
    }

    fn registry(&self) -> &watches::Registry {
        &self.inner.watches
    }

    pub(crate) fn env(&self) -> &Env {
        &self.inner.env
    }

    /// Closes the database if this is its last handle; otherwise it closes with the last one. Not closing loses nothing:
    /// the next open only has more to replay.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn close(self) -> Result<()> {
        match Arc::into_inner(self.inner) {
            Some(inner) => Ok(inner.engine.close()?),
            None => Ok(()),
        }
    }
}

/// A handle that does not keep the database open.
#[derive(Clone, Debug)]
pub(crate) struct WeakDatabase {
    inner: std::sync::Weak<Inner>,
}

impl WeakDatabase {
    /// The database, if it is still open.
    pub(crate) fn upgrade(&self) -> Option<Database> {
        self.inner.upgrade().map(|inner| Database { inner })
    }
}

/// A commit whose answer never came.
fn abandoned() -> Error {
    Error::Engine(stemedb_hybrid::Error::Indeterminate { source: stemedb_wal::Error::Abandoned })
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Error {
        Error::Invalid(error.into())
    }
}

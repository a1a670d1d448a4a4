//! Making a backup.

use std::path::{Path, PathBuf};

use stemedb_env::{
    Env, File, IoOp, Lsn, Micros, OpenMode,
    fs::tree::{create_dir_durably, remove_tree},
};
use stemedb_hybrid::{Checkpoint, EventKind, StateRoot};
use stemedb_index::{Claims, Derive};
use stemedb_wal::{Error as Wal, Journal, JournalReader, SegmentContent, SegmentedJournal};

use super::{
    BackupTarget, Content, Error, FORMAT, FileEntry, Hex, Metadata, Part, Progress, Result, SegmentEntry,
    blobs::{self, Sent},
    catalog::{mark_verified, metadata_name, name_at},
    document,
    metadata::{PART_BYTES, SEGMENT_PART_BYTES},
    verify::{Compared, look_for_room, verify_with},
};
use crate::Database;

/// How a backup is made.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Restore it into a scratch folder and compare. Without this it is not `latest`, and does not count for cleaning up.
    pub verify: bool,
    /// Where it is restored to for that; by default beside the checkpoint, in the data directory.
    pub scratch: Option<PathBuf>,
}

impl Default for CreateOptions {
    fn default() -> CreateOptions {
        CreateOptions { verify: true, scratch: None }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct CreateReport {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub metadata: Metadata,
    /// Objects that had to be sent.
    pub sent_objects: u64,
    /// Their bytes, metadata left out.
    pub sent_bytes: u64,
    /// Objects that were damaged in the target and have been sent again.
    pub mended: u64,
    /// It was restored and compared.
    pub verified: bool,
}

/// The object that says that somebody is writing.
pub(super) fn writing_name(database: &Hex<16>) -> String {
    format!("writing/{database}")
}

/// Makes a backup of an open database into a target, while writing goes on; see `docs/design/backup.md`.
///
/// Cost: a checkpoint (a flush, links), reading and hashing every byte of it, sending what the target does not have; to verify,
/// reading all of it back. Memory: one part. If it is cut short the earlier backups are as they were, and the next run
/// sends only what is missing.
///
/// Errors: those of the checkpoint and the target; [`Error::StorageFull`] where the proof has no room, before anything of it is
/// written; [`Error::Differs`] if the restored copy is not what the database was.
pub fn create(
    database: &Database,
    target: &dyn BackupTarget,
    options: &CreateOptions,
    progress: Progress<'_>,
) -> Result<CreateReport> {
    let (env, engine) = (database.env(), database.engine());
    let staging = engine.layout().staging();
    let mark = writing_name(&Hex(engine.identity().database.0));
    target.put(&mark, Content::Bytes(env!("CARGO_PKG_VERSION").as_bytes()))?;
    remove_tree(&*env.fs, &staging)?;
    create_dir_durably(&*env.fs, &staging)?;
    let done = create_in(database, target, options, &staging, progress);
    // Whatever happened: what is in the target is whole or not named by anything.
    let unmarked = target.delete(&mark).and_then(|()| target.settle());
    remove_tree(&*env.fs, &staging)?;
    let report = done?;
    unmarked?;
    let text = format!("{} at LSN {} into {}", report.name, report.metadata.lsn, target.describe());
    tracing::info!(sent = report.sent_bytes, verified = report.verified, "backup {text}");
    engine.events().push(EventKind::Backup, None, text);
    Ok(report)
}

fn create_in(
    database: &Database,
    target: &dyn BackupTarget,
    options: &CreateOptions,
    staging: &Path,
    progress: Progress<'_>,
) -> Result<CreateReport> {
    let env = database.env();
    let copy = staging.join("data");
    let (checkpoint, root) = sound_checkpoint(database, &copy)?;
    let sources = sources(env, &copy).inspect_err(|error| look_at_home_after(database, error))?;
    let total = sources.iter().map(|source| source.bytes).fold(0, u64::saturating_add);
    let scratch = options.scratch.clone().unwrap_or_else(|| staging.join("restored"));
    // What writes need must stay free; another folder may be on another disk.
    let kept = || match &options.scratch {
        None => database.engine().health().space.map_or(0, |space| space.refuses_below_bytes),
        Some(_) => 0,
    };
    if options.verify {
        look_for_room(env, &scratch, total, kept())?;
    }
    let mut sent = Sent::default();
    let mut files = Vec::with_capacity(sources.len());
    let mut done = 0;
    progress(0, total);
    for source in &sources {
        let stored = store(target, source, &mut sent);
        files.push(stored.inspect_err(|error| look_at_home_after(database, error))?);
        done += source.bytes;
        progress(done, total);
    }
    // Metadata must never be durable before everything that it names.
    target.settle()?;
    let (name, metadata) = describe(database, target, &checkpoint, &root, files)?;
    let mut report = CreateReport {
        name,
        metadata,
        sent_objects: sent.objects,
        sent_bytes: sent.bytes,
        mended: 0,
        verified: false,
    };
    if options.verify {
        // Others have written meanwhile, and the target may be on the same disk.
        look_for_room(env, &scratch, total, kept())?;
        let mend = |file: &FileEntry, part: usize| {
            let source = sources.iter().find(|source| source.path == file.path);
            let source = source.ok_or_else(|| Error::Refused(format!("{} is not ours", file.path)))?;
            source.part(part)
        };
        let compared = verify_with(env, target, &report.name, &report.metadata, &scratch, Some(&mend));
        let Compared { mended, .. } = compared.inspect_err(|error| look_at_home_after(database, error))?;
        report.mended = mended;
        mark_verified(target, &report.name, &report.metadata, env.clock.wall())?;
        report.verified = true;
    }
    Ok(report)
}

/// How often a checkpoint is made whose original turns out to be damaged.
const CHECKPOINTS: u32 = 3;

/// A checkpoint, and the root of what it must show. Reading all rows for the root finds tables that are damaged; the links are of
/// the same files, so the checkpoint is made again of the repaired ones. What cannot be repaired the verification refuses.
fn sound_checkpoint(database: &Database, copy: &Path) -> Result<(Checkpoint, StateRoot)> {
    let engine = database.engine();
    let mut made = 0;
    loop {
        let seen = engine.events().newest();
        let (checkpoint, view) = engine.checkpoint_with_view(copy)?;
        let root = view.state_root()?;
        made += 1;
        // In this order: whoever repairs a table has told of the damage before.
        let is_damaged = engine.stats().lsm.damaged_tables > 0
            || engine.events().after(seen).iter().any(|event| event.kind == EventKind::Damage);
        if !is_damaged || made == CHECKPOINTS {
            return Ok((checkpoint, root));
        }
        drop(view);
        tracing::warn!("a table was damaged while a backup was begun; its checkpoint is made again");
        remove_tree(&*database.env().fs, copy)?;
    }
}

/// True for what may be wrong with the database's own tables and segments: the copy shares their files.
fn is_of_the_original(error: &Error) -> bool {
    let is_damage = |error: &Wal| {
        matches!(error, Wal::Corruption { .. } | Wal::MissingSegment { .. } | Wal::Foreign { .. })
    };
    match error {
        Error::Engine(stemedb_hybrid::Error::Store(_)) => true,
        Error::Journal(error) | Error::Engine(stemedb_hybrid::Error::Journal(error)) => is_damage(error),
        Error::Env(stemedb_env::Error::Io { op: IoOp::Read, .. }) => true,
        Error::Differs { what, .. } => matches!(*what, "the view" | "the state root"),
        _ => false,
    }
}

/// After a failure that may come from the database's own files, those are looked at.
fn look_at_home_after(database: &Database, error: &Error) {
    if is_of_the_original(error) {
        look_at_home(database);
    }
}

/// Reads everything of the database itself, past its caches: what is damaged is known from then on, and repaired by itself.
fn look_at_home(database: &Database) {
    match database.verify() {
        Ok(_) => {}
        Err(error) => tracing::error!("the database that was to be backed up is damaged: {error}"),
    }
}

/// Writes the metadata under a name that is free.
fn describe(
    database: &Database,
    target: &dyn BackupTarget,
    checkpoint: &Checkpoint,
    root: &StateRoot,
    files: Vec<FileEntry>,
) -> Result<(String, Metadata)> {
    let identity = database.engine().identity();
    let now = database.env().clock.wall();
    let first_lsn = checkpoint.first_lsn.max(Lsn(1));
    let metadata = Metadata {
        format: FORMAT,
        database: Hex(identity.database.0),
        timeline: identity.timeline,
        lsn: checkpoint.lsn.0,
        recorded_at: checkpoint.recorded_at.map(|at| at.0),
        flushed: checkpoint.flushed.0,
        flushed_recorded_at: checkpoint.flushed_recorded_at.map(|at| at.0),
        first_lsn: first_lsn.0,
        entries: (checkpoint.lsn.0 + 1).saturating_sub(first_lsn.0),
        rows: root.rows(),
        state_root: Hex(root.digest()),
        created_at: now.0,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        files,
    };
    if let Some(problem) = metadata.problem() {
        return Err(Error::Refused(format!("the backup would contradict itself: {problem}")));
    }
    // Two backups of one second: the later one is named by the next second that is free.
    let mut at = now;
    loop {
        let name = name_at(at);
        if document::put_if_absent(target, &metadata_name(&name), &metadata)? {
            target.settle()?;
            return Ok((name, metadata));
        }
        at = Micros(at.0 + 1_000_000);
    }
}

/// A file of the checkpoint.
struct Source {
    path: String,
    file: std::sync::Arc<dyn File>,
    bytes: u64,
    segment: Option<SegmentEntry>,
}

impl Source {
    fn part_bytes(&self) -> u64 {
        if self.segment.is_some() { SEGMENT_PART_BYTES } else { PART_BYTES }
    }

    /// The plain bytes of a part.
    fn part(&self, number: usize) -> Result<Vec<u8>> {
        let offset = (number as u64).saturating_mul(self.part_bytes());
        let bytes = self.bytes.saturating_sub(offset).min(self.part_bytes());
        let mut plain = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut plain, offset)?;
        Ok(plain)
    }

    fn parts(&self) -> usize {
        usize::try_from(self.bytes.div_ceil(self.part_bytes())).unwrap_or(usize::MAX)
    }
}

fn store(target: &dyn BackupTarget, source: &Source, sent: &mut Sent) -> Result<FileEntry> {
    let mut whole = blake3::Hasher::new();
    let mut parts: Vec<Part> = Vec::with_capacity(source.parts());
    for number in 0..source.parts() {
        let plain = source.part(number)?;
        whole.update(&plain);
        let part = blobs::part_of(&plain, source.segment.is_some());
        blobs::put(target, &part, &plain, sent)?;
        parts.push(part);
    }
    Ok(FileEntry {
        path: source.path.clone(),
        bytes: source.bytes,
        blake3: Hex::from(whole.finalize()),
        segment: source.segment.clone(),
        parts,
    })
}

/// Every file of a checkpoint, by path.
fn sources(env: &Env, copy: &Path) -> Result<Vec<Source>> {
    let plain = |path: &str| -> Result<Source> {
        let file = env.fs.open(&copy.join(path), OpenMode::Read)?;
        let bytes = file.len()?;
        Ok(Source { path: path.to_owned(), file, bytes, segment: None })
    };
    let mut sources = vec![plain("IDENTITY.a")?, plain("IDENTITY.b")?, plain("wal/HEAD")?];
    for entry in env.fs.list(&copy.join("kv"))? {
        sources.push(plain(&format!("kv/{}", entry.name))?);
    }
    let (journal, _) = SegmentedJournal::open_read_only(env, &copy.join("wal"))?;
    for content in journal.contents()? {
        let recorded_at = first_time(&journal, &content)?;
        let SegmentContent { id, first_lsn, last_lsn, bytes, chain, file, released, .. } = content;
        let place = if released { "segment" } else { "live" };
        sources.push(Source {
            path: format!("wal/{place}.{id:06}.wal"),
            file,
            bytes,
            segment: Some(SegmentEntry {
                id,
                first_lsn: first_lsn.0,
                last_lsn: last_lsn.0,
                chain: Hex(chain.0),
                recorded_at: recorded_at.map(|at| at.0),
            }),
        });
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// The recorded time of a segment's first entry.
pub(super) fn first_time(journal: &SegmentedJournal, content: &SegmentContent) -> Result<Option<Micros>> {
    if content.last_lsn < content.first_lsn { Ok(None) } else { time_of(journal, content.first_lsn) }
}

/// The recorded time of an entry of a database's journal; `None` if it is not there. Errors: [`Error::Journal`], [`Error::Engine`].
pub fn recorded_at(database: &Database, lsn: Lsn) -> Result<Option<Micros>> {
    time_of(database.engine().journal(), lsn)
}

/// The recorded time of an entry.
pub(super) fn time_of(journal: &SegmentedJournal, lsn: Lsn) -> Result<Option<Micros>> {
    match journal.read_from(lsn)?.next_entry()? {
        None => Ok(None),
        Some(entry) => {
            let at = Claims.recorded_at(entry.lsn, &entry.bytes).map_err(stemedb_hybrid::Error::from)?;
            Ok(at)
        }
    }
}

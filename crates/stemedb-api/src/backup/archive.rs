//! The journal's archive: released segments, packed, each proven; and letting go of those that are kept there.

use std::{path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use stemedb_env::{
    Env, File, Lsn, Micros, OpenMode,
    fs::tree::{create_dir_durably, remove_tree},
};
use stemedb_hybrid::EventKind;
use stemedb_wal::{
    Journal, SegmentContent, SegmentEnd, SegmentedJournal,
    packed::{PackedFile, PackedFormat, PackedWriter},
};

use super::{
    BackupTarget, Catalog, Content, Error, FORMAT, Hex, Result,
    create::{first_time, time_of},
    document::{self, damaged},
};
use crate::Database;

/// Level of zstd.
const LEVEL: i32 = 3;
/// What is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// `segment.NNNNNN.json`: what an archived segment holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveRecord {
    /// Of the document.
    pub format: u32,
    /// The database.
    pub database: Hex<16>,
    /// Its timeline.
    pub timeline: u32,
    /// Number of the segment.
    pub segment: u64,
    /// First entry that it may hold.
    pub first_lsn: u64,
    /// Last entry; below the first if it has none.
    pub last_lsn: u64,
    /// Its accepted length, unpacked.
    pub bytes: u64,
    /// The frame chain's value there.
    pub chain: Hex<16>,
    /// Recorded time of its first entry.
    pub recorded_at: Option<i64>,
    /// Length of the packed file.
    pub packed_bytes: u64,
    /// Digest of the packed file.
    pub blake3: Hex<32>,
    /// Of a segment that was written again after damage: the one whose entries it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ReplacedSegment>,
}

/// What a segment had been before it was written again: that stays the same however often it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacedSegment {
    /// Its accepted length.
    pub bytes: u64,
    /// The frame chain's value there.
    pub chain: Hex<16>,
}

impl ArchiveRecord {
    /// True if it holds the same entries: one of both may have been written again meanwhile.
    fn is_of(&self, content: &SegmentContent) -> bool {
        let here = ReplacedSegment { bytes: content.bytes, chain: Hex(content.chain.0) };
        let there = ReplacedSegment { bytes: self.bytes, chain: self.chain };
        self.segment == content.id && self.replaces.unwrap_or(there) == replaced(content).unwrap_or(here)
    }

    fn packed_name(&self) -> String {
        packed_name(&self.database, self.timeline, self.segment)
    }
}

fn replaced(content: &SegmentContent) -> Option<ReplacedSegment> {
    content.replaces.map(|(bytes, chain)| ReplacedSegment { bytes, chain: Hex(chain.0) })
}

fn folder(database: &Hex<16>, timeline: u32) -> String {
    format!("wal-archive/{database}/{timeline:06}/")
}

fn packed_name(database: &Hex<16>, timeline: u32, segment: u64) -> String {
    format!("{}segment.{segment:06}.wal.zst", folder(database, timeline))
}

fn record_name(database: &Hex<16>, timeline: u32, segment: u64) -> String {
    format!("{}segment.{segment:06}.json", folder(database, timeline))
}

/// The record of one segment; `None` if it is not archived whole. Errors: as of [`archived`].
pub(crate) fn record_of(
    target: &dyn BackupTarget,
    database: &Hex<16>,
    timeline: u32,
    segment: u64,
) -> Result<Option<ArchiveRecord>> {
    let name = record_name(database, timeline, segment);
    let record: Option<ArchiveRecord> = document::get(target, &name)?;
    let is_of_it = |record: &ArchiveRecord| {
        (record.format, record.database, record.timeline, record.segment)
            == (FORMAT, *database, timeline, segment)
    };
    match record {
        Some(record) if !is_of_it(&record) => Err(damaged(target, &name, "it is of another segment")),
        record => Ok(record),
    }
}

fn index_name(database: &Hex<16>, timeline: u32) -> String {
    format!("{}index.json", folder(database, timeline))
}

/// The records of a timeline as they were when a segment was archived last: also those of segments that somebody has let go of since.
/// Errors: [`Error::Damaged`].
pub(crate) fn index(
    target: &dyn BackupTarget,
    database: &Hex<16>,
    timeline: u32,
) -> Result<Vec<ArchiveRecord>> {
    Ok(document::get(target, &index_name(database, timeline))?.unwrap_or_default())
}

/// What was archived.
#[derive(Clone, Debug, Default)]
pub struct ArchiveReport {
    /// Segments that are new in the archive.
    pub archived: Vec<ArchiveRecord>,
    /// Segments that were there already.
    pub known: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// The last entry that the archive has now, without a gap below it.
    pub upto: Lsn,
}

/// The records of a timeline, by segment. Errors: [`Error::Damaged`] names a record that cannot be read.
pub fn archived(target: &dyn BackupTarget, database: &Hex<16>, timeline: u32) -> Result<Vec<ArchiveRecord>> {
    let mut records = Vec::new();
    for object in target.list(&folder(database, timeline))? {
        let is_record = object.name.ends_with(".json") && !object.name.ends_with("/index.json");
        if !is_record {
            continue;
        }
        let record: Option<ArchiveRecord> = document::get(target, &object.name)?;
        let Some(record) = record else { continue };
        let expected = record_name(database, timeline, record.segment);
        if record.format != FORMAT
            || record.database != *database
            || record.timeline != timeline
            || object.name != expected
        {
            return Err(damaged(target, &object.name, "it is of another segment"));
        }
        records.push(record);
    }
    records.sort_by_key(|record| record.segment);
    Ok(records)
}

/// Copies every released segment that the archive does not have, packed, and proves each copy: read back, unpacked, and every
/// frame of it checked, up to the value that the frame chain has at the segment's end.
///
/// With `rotate` the segment that is being written is ended first, and the view flushed, so that everything up to now is
/// archived. Cost: reading what is archived; disk for one packed segment.
///
/// Errors: [`Error::Conflict`] if the archive has another segment of the same number and timeline: two databases write there;
/// [`Error::Journal`] for a damaged segment, which is not archived before it has been healed.
pub fn archive(database: &Database, target: &dyn BackupTarget, rotate: bool) -> Result<ArchiveReport> {
    archive_known(database, target, rotate, &mut None)
}

/// [`archive`], of somebody who does it again and again: `known` are the records that he has seen, and is what there is afterwards.
pub(super) fn archive_known(
    database: &Database,
    target: &dyn BackupTarget,
    rotate: bool,
    known: &mut Option<Vec<ArchiveRecord>>,
) -> Result<ArchiveReport> {
    // One at a time: they share a folder.
    let _turn = database.archive_turn();
    let (env, engine) = (database.env(), database.engine());
    if rotate {
        engine.journal().rotate()?;
        engine.flush()?;
    }
    let identity = engine.identity();
    let (id, timeline) = (Hex(identity.database.0), identity.timeline);
    let mut records = match known.take() {
        Some(records) => records,
        None => archived(target, &id, timeline)?,
    };
    let staging = engine.layout().dir().join("archive.staging");
    remove_tree(&*env.fs, &staging)?;
    let mark = format!("writing/{id}-archive");
    target.put(&mark, Content::Bytes(env!("CARGO_PKG_VERSION").as_bytes()))?;
    let mut report = ArchiveReport::default();
    let archived = archive_all(database, target, &staging, (id, timeline), &mut records, &mut report);
    let unmarked = target.delete(&mark).and_then(|()| target.settle());
    remove_tree(&*env.fs, &staging)?;
    archived?;
    unmarked?;
    report.upto = contiguous(&records);
    let records = known.insert(records);
    if !report.archived.is_empty() {
        document::put(target, &index_name(&id, timeline), records)?;
        target.settle()?;
        let text = format!("{} segments archived in {}", report.archived.len(), target.describe());
        engine.events().push(EventKind::Backup, None, text);
    }
    Ok(report)
}

/// The last entry of the first records that follow from each other.
fn contiguous(records: &[ArchiveRecord]) -> Lsn {
    let mut upto = None;
    for record in records {
        if upto.is_some_and(|upto: u64| upto + 1 != record.first_lsn) {
            break;
        }
        upto = Some(record.last_lsn);
    }
    Lsn(upto.unwrap_or(0))
}

fn archive_all(
    database: &Database,
    target: &dyn BackupTarget,
    staging: &Path,
    (id, timeline): (Hex<16>, u32),
    records: &mut Vec<ArchiveRecord>,
    report: &mut ArchiveReport,
) -> Result<()> {
    let (env, journal) = (database.env(), database.engine().journal());
    for content in journal.contents()? {
        if !content.released {
            break;
        }
        if let Some(record) = records.iter().find(|record| record.segment == content.id) {
            if !record.is_of(&content) {
                return Err(conflict(target, record));
            }
            report.known += 1;
            continue;
        }
        prove(journal, content.id)?;
        create_dir_durably(&*env.fs, staging)?;
        let path = staging.join(format!("segment.{:06}.wal.zst", content.id));
        let (packed_bytes, blake3) = pack(env, &content, &path)?;
        let record = ArchiveRecord {
            format: FORMAT,
            database: id,
            timeline,
            segment: content.id,
            first_lsn: content.first_lsn.0,
            last_lsn: content.last_lsn.0,
            bytes: content.bytes,
            chain: Hex(content.chain.0),
            recorded_at: first_time(journal, &content)?.map(|at| at.0),
            packed_bytes,
            blake3,
            replaces: replaced(&content),
        };
        let name = record.packed_name();
        let file = env.fs.open(&path, OpenMode::Read)?;
        let whole = Content::File { file: &*file, bytes: packed_bytes };
        if !target.put_if_absent(&name, whole)? {
            // Without a record it is what an archiving that was cut short has left.
            target.put(&name, whole)?;
        }
        target.settle()?;
        check(env, journal, target, &record, staging)?;
        let new = document::put_if_absent(target, &record_name(&id, timeline, content.id), &record)?;
        target.settle()?;
        if !new {
            return Err(conflict(target, &record));
        }
        report.sent_bytes += packed_bytes;
        report.archived.push(record.clone());
        records.push(record);
        env.fs.remove(&path)?;
    }
    records.sort_by_key(|record| record.segment);
    Ok(())
}

fn conflict(target: &dyn BackupTarget, record: &ArchiveRecord) -> Error {
    Error::Conflict {
        name: record_name(&record.database, record.timeline, record.segment),
        target: target.describe(),
        problem: "it records another segment of this number".to_owned(),
    }
}

/// Reads a segment from the disk, frame by frame. Damage is noted, and healed from then on.
fn prove(journal: &SegmentedJournal, id: u64) -> Result<()> {
    let mut check = journal.check_segment(id);
    loop {
        match check.step(CHUNK_BYTES as u64)?.end {
            None => {}
            Some(SegmentEnd::Whole) => return Ok(()),
            Some(SegmentEnd::Gone) => {
                return Err(Error::Refused(format!("segment {id} was removed while it was being archived")));
            }
        }
    }
}

/// Packs a segment into a file; its length and digest.
fn pack(env: &Env, content: &SegmentContent, path: &Path) -> Result<(u64, Hex<32>)> {
    let mut out = PackedWriter::new(env.fs.open(path, OpenMode::CreateNew)?, LEVEL)?;
    each_chunk(&*content.file, content.bytes, &mut |chunk| Ok(out.push(chunk)?))?;
    let summary = out.finish()?;
    let file = env.fs.open(path, OpenMode::ReadWrite)?;
    file.sync_data()?;
    let mut digest = blake3::Hasher::new();
    each_chunk(&*file, summary.packed_bytes, &mut |chunk| {
        digest.update(chunk);
        Ok(())
    })?;
    Ok((summary.packed_bytes, Hex::from(digest.finalize())))
}

fn each_chunk(file: &dyn File, bytes: u64, visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut chunk = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
    let mut at = 0;
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(chunk.len());
        let Some(piece) = chunk.get_mut(..left) else { break };
        file.read_exact_at(piece, at)?;
        visit(piece)?;
        at += left as u64;
    }
    Ok(())
}

/// Fetches an archived segment, proven by its digest, into a folder, under the name that a journal knows.
pub(super) fn fetch_segment(
    env: &Env,
    target: &dyn BackupTarget,
    record: &ArchiveRecord,
    dir: &Path,
) -> Result<Arc<dyn File>> {
    let name = record.packed_name();
    let path = dir.join(format!("segment.{:06}.wal.zst", record.segment));
    let out = env.fs.open(&path, OpenMode::CreateNew)?;
    match target.size(&name)? {
        None => return Err(Error::Missing { name, target: target.describe() }),
        Some(bytes) if bytes != record.packed_bytes => {
            return Err(damaged(target, &name, format!("it has {bytes} bytes, not {}", record.packed_bytes)));
        }
        Some(_) => {}
    }
    let mut digest = blake3::Hasher::new();
    let mut chunk = vec![0; usize::try_from(record.packed_bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES)];
    let mut at = 0;
    while at < record.packed_bytes {
        let left = usize::try_from(record.packed_bytes - at).unwrap_or(usize::MAX).min(chunk.len());
        let Some(piece) = chunk.get_mut(..left) else { break };
        target.read_at(&name, piece, at)?;
        digest.update(piece);
        out.write_all_at(piece, at)?;
        at += left as u64;
    }
    if Hex::from(digest.finalize()) != record.blake3 {
        return Err(damaged(target, &name, "its digest does not match"));
    }
    out.sync_data()?;
    Ok(env.fs.open(&path, OpenMode::Read)?)
}

/// Reads an archived segment back, unpacks it, and proves every frame of it by the chain.
fn check(
    env: &Env,
    journal: &SegmentedJournal,
    target: &dyn BackupTarget,
    record: &ArchiveRecord,
    staging: &Path,
) -> Result<()> {
    let dir = staging.join("back");
    remove_tree(&*env.fs, &dir)?;
    create_dir_durably(&*env.fs, &dir)?;
    let packed = fetch_segment(env, target, record, &dir)?;
    let differs = || damaged(target, &record.packed_name(), "it is not the segment");
    let unpacked: Arc<dyn File> = PackedFile::open(packed, PackedFormat::Zstd).map_err(|_| differs())?;
    let (chain, last_lsn) = match journal.walk_copy(record.segment, &unpacked, record.bytes) {
        Err(stemedb_wal::Error::Corruption { .. } | stemedb_wal::Error::Foreign { .. }) => {
            return Err(differs());
        }
        walked => walked?,
    };
    if (Hex(chain.0), last_lsn.0, unpacked.len()?) != (record.chain, record.last_lsn, record.bytes) {
        return Err(differs());
    }
    remove_tree(&*env.fs, &dir)?;
    Ok(())
}

/// What must be so before a segment is let go of.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// How long ago its last entry must have been recorded at least.
    pub older_than: Duration,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What was let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Segments that are gone, or would be.
    pub removed: Vec<u64>,
    /// The first segment that stays, and why.
    pub stays: Option<(u64, String)>,
    /// The oldest entry that the journal has now: tables that need older ones cannot be repaired from it alone.
    pub floor: Lsn,
}

/// Removes the oldest segments of the journal that are applied, checkpointed, archived, verified, and old; stops at the first
/// that is not, and says why. While the view is being derived again, or something is damaged that the journal repairs, nothing is
/// removed. `backups` and `archive` may be the same target.
///
/// Cost: reads every archived copy back. Errors: those of targets and journal, which may have been opened for reading only; nothing
/// is removed then.
pub fn prune_journal(
    database: &Database,
    archive: &dyn BackupTarget,
    backups: &dyn BackupTarget,
    options: PruneOptions,
) -> Result<PruneReport> {
    let _turn = database.archive_turn();
    let (env, engine) = (database.env(), database.engine());
    // Refused at once where nothing may be removed.
    engine.journal().prune(&[])?;
    let identity = engine.identity();
    let (id, timeline) = (Hex(identity.database.0), identity.timeline);
    let records = archived(archive, &id, timeline)?;
    let catalog = Catalog::load(backups)?;
    let checkpointed = catalog
        .verified()
        .filter(|(_, found)| found.database == id && found.timeline == timeline)
        .map(|(_, found)| found.flushed)
        .max();
    let staging = engine.layout().dir().join("archive.staging");
    remove_tree(&*env.fs, &staging)?;
    create_dir_durably(&*env.fs, &staging)?;
    let contents = engine.journal().contents()?;
    let horizon =
        env.clock.wall().0.saturating_sub(i64::try_from(options.older_than.as_micros()).unwrap_or(i64::MAX));
    let mut report = PruneReport::default();
    let oldest = engine.journal().segment_files()?.first().map(|file| file.id);
    let judge = |content: &SegmentContent| -> Result<Option<String>> {
        let flushed = match engine.prunable() {
            Ok(flushed) => flushed,
            Err(reason) => return Ok(Some(reason)),
        };
        if !content.released || content.last_lsn > flushed {
            return Ok(Some("it is needed to open the database: the view has not flushed it".to_owned()));
        }
        match checkpointed {
            None => return Ok(Some(format!("no verified backup in {}", backups.describe()))),
            Some(flushed) if flushed < content.last_lsn.0 => {
                return Ok(Some(format!("verified backups hold the view up to LSN {flushed} only")));
            }
            Some(_) => {}
        }
        let Some(record) = records.iter().find(|record| record.segment == content.id) else {
            return Ok(Some(format!("not archived in {}", archive.describe())));
        };
        // A segment without entries is as old as the one before it.
        let has_entries = content.last_lsn >= content.first_lsn;
        if has_entries
            && time_of(engine.journal(), content.last_lsn)?.is_none_or(|last: Micros| last.0 > horizon)
        {
            return Ok(Some("younger than the retention".to_owned()));
        }
        if !record.is_of(content) {
            return Err(conflict(archive, record));
        }
        match check(env, engine.journal(), archive, record, &staging) {
            Ok(()) => Ok(None),
            Err(error) if error.is_damage() => {
                let record = record_name(&id, timeline, record.segment);
                Ok(Some(format!(
                    "its archived copy cannot be trusted: {error}. Without {record} it is archived again"
                )))
            }
            Err(error) => Err(error),
        }
    };
    let mut failed = Ok(());
    // What is before a hole is in no list of contents: nothing tells how long its last segment counts.
    let before_hole = oldest.filter(|&oldest| contents.first().is_some_and(|first| first.id > oldest));
    if let Some(oldest) = before_hole {
        report.stays = Some((oldest, "segments behind it are missing".to_owned()));
    }
    for content in contents.iter().filter(|_| before_hole.is_none()) {
        match judge(content) {
            Ok(None) => report.removed.push(content.id),
            Ok(Some(reason)) => {
                report.stays = Some((content.id, reason));
                break;
            }
            Err(error) => {
                failed = Err(error);
                break;
            }
        }
    }
    drop(contents);
    remove_tree(&*env.fs, &staging)?;
    failed?;
    // Reading the copies back takes its time.
    if let (Some(&first), Err(reason)) = (report.removed.first(), engine.prunable()) {
        report.removed.clear();
        report.stays = Some((first, reason));
    }
    if !options.dry_run && !report.removed.is_empty() {
        report.removed = engine.journal().prune(&report.removed)?;
        let text = format!(
            "{} archived segments removed: entries below {} are in {} alone, and tables that need them cannot be repaired from the journal",
            report.removed.len(),
            engine.journal().first_lsn(),
            archive.describe()
        );
        tracing::warn!("{text}");
        engine.events().push(EventKind::Backup, None, text);
    }
    report.floor = engine.journal().first_lsn();
    Ok(report)
}

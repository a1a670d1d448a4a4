//! A new tree from whatever is still readable of a damaged one.
//!
//! Nothing of the old tree is trusted but blocks whose checksums are right: each says itself that it belongs to this database,
//! this file and this place. The newest version of every key that is found is written into a new tree; what could not be
//! read is reported. The old tree is not changed.
//!
//! - [`table`]: the rows of one file.
//! - [`scan`]: blocks of a file whose index is lost.
//!
//! If the manifest reads, the tables it names are the tree, and no others are looked at. Without it nobody knows which tables
//! had been replaced already and were only waiting for their deletion, so all are read. The newest version of a key wins
//! among them; but a removal that a merge at the bottom has dropped hides nothing any more, and what it had hidden comes
//! back if a table from before that merge is still there. In either case an older version may come back where the newest one
//! lay in a block that is lost. Removed ranges are settled here: what one hides is not written. They are found through the
//! footer of a file alone.

mod table;

use std::path::{Path, PathBuf};

use stemedb_env::{Env, Lsn, frame::DatabaseId};

use self::table::{Limits, Sources, end_of, read_table};
use crate::{
    BulkOptions, CorruptionKind, DerivedBy, Error, Ingested, KvStore, LsmOptions, LsmStore, Result, Versions,
    manifest::{TreeState, manifest_number, read_current, replay},
    ranges::Fragments,
    table::{header_version, table_number, table_path},
};

/// How [`salvage`] works.
#[derive(Clone, Debug)]
pub struct SalvageOptions {
    /// Of the new tree. Its derivation versions are those of the old one.
    pub lsm: LsmOptions,
    /// Reads tables in `quarantine/` beside the old tree, too. Rows that were removed or replaced long ago may come back
    /// with them.
    pub quarantine: bool,
    /// Memory for rows: see [`BulkOptions::buffer_bytes`].
    pub buffer_bytes: usize,
}

impl Default for SalvageOptions {
    fn default() -> SalvageOptions {
        SalvageOptions {
            lsm: LsmOptions::default(),
            quarantine: false,
            buffer_bytes: BulkOptions::default().buffer_bytes,
        }
    }
}

/// Where the list of live tables came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestUse {
    /// The manifest that `CURRENT` names.
    Current,
    /// The newest manifest in the folder: `CURRENT` is lost.
    Newest,
    /// None reads: every table that was found has been used.
    Lost,
}

/// Bytes that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// How many bytes: blocks with their trailers, or a whole file.
    pub bytes: u64,
    /// What is wrong.
    pub kind: CorruptionKind,
    /// No key in it was less than this, if that is known.
    pub from: Option<Vec<u8>>,
    /// No key in it was greater than this, if that is known.
    pub upto: Option<Vec<u8>>,
}

/// What [`salvage`] found and wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// Where the list of tables came from.
    pub manifest: ManifestUse,
    /// Files of which something was read.
    pub tables_read: u64,
    /// Files whose index was lost, and whose blocks were searched for.
    pub tables_searched: u64,
    /// Files out of `quarantine/` among them.
    pub quarantined_read: u64,
    /// Rows read, all versions and removals counted.
    pub rows_read: u64,
    /// Rows among them that are newer than [`SalvageReport::upto`], and were not written: they belong to a flush or an ingest
    /// that did not end.
    pub left_out: u64,
    /// What was written: rows kept, tables, bytes.
    pub written: Ingested,
    /// The LSN of the new tree: that of the manifest; without one that of the newest row in a file that was written to its end.
    /// Everything up to it that could be read is there.
    pub upto: Lsn,
    /// What is lost, by file and offset; neighbouring blocks are one entry.
    pub lost: Vec<Loss>,
}

impl SalvageReport {
    /// Bytes of all that is lost.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.iter().map(|loss| loss.bytes).sum()
    }

    /// True if rows that had been removed or replaced may be among those written: tables were read of which nobody knows
    /// whether they were live, or newer versions or removed ranges may lie in what is lost.
    pub fn may_hold_old_rows(&self) -> bool {
        self.manifest == ManifestUse::Lost
            || self.quarantined_read > 0
            || self.tables_searched > 0
            || !self.lost.is_empty()
    }
}

/// Reads what is readable of the tree in `from` and writes it into a new one in `into`, which must not hold a tree.
///
/// As for [`LsmStore::open`], nobody may have either tree open: whoever owns the database's lock file sees to that. The new
/// tree holds of each key the newest version found, and is durable when this returns. Rows that the journal has beyond
/// [`SalvageReport::upto`] can be replayed into it as into any other.
///
/// Cost: every byte of the tables is read once, about as many are written, and rows beyond the buffer are written and read
/// once more. Where an index is lost, blocks are searched for by their checksums: seconds per table, and a block of more than
/// 64 KiB right behind a damaged place is not found. Memory: the buffer, one table's index, and an entry per damaged place.
///
/// Errors: [`Error::Folder`] if `from` is not a folder, or `into` holds a tree; those of the disk, except that what cannot
/// be read of a table counts as lost.
pub fn salvage(
    env: &Env,
    from: &Path,
    into: &Path,
    database: DatabaseId,
    options: &SalvageOptions,
) -> Result<SalvageReport> {
    if env.fs.metadata(from)?.is_none_or(|found| !found.is_dir) {
        return Err(Error::Folder { dir: from.to_path_buf(), problem: "is not a folder" });
    }
    let (manifest, state) = find_manifest(env, from, database)?;
    let mut files = tables_of(env, from, state.as_ref())?;
    let own = files.len();
    if options.quarantine {
        files.extend(quarantined(env, from)?);
    }
    let lsm = with_versions(env, database, &options.lsm, state.as_ref(), &files)?;
    let store = LsmStore::create(env.clone(), into, database, lsm)?;
    let mut loader =
        store.bulk_loader(BulkOptions { buffer_bytes: options.buffer_bytes, versions: Versions::Newest });
    let mut report = SalvageReport {
        manifest,
        tables_read: 0,
        tables_searched: 0,
        quarantined_read: 0,
        rows_read: 0,
        left_out: 0,
        written: Ingested::default(),
        upto: Lsn::ZERO,
        lost: Vec::new(),
    };
    let mut sources = Sources { env, database, scratch: Default::default() };
    // A table may remove rows of any other: these first.
    let mut ranges = Vec::new();
    let mut newest_whole = None;
    for file in &files {
        let told = end_of(&mut sources, file, &mut report)?;
        ranges.push(told.ranges);
        newest_whole = newest_whole.max(told.newest);
    }
    // What is newer than what is known to be complete comes from a flush or an ingest that did not end: half of it would hide
    // from a replay what the other half had. Where no file is whole nothing better is known.
    let upto = state.as_ref().map(|state| state.flushed).or(newest_whole).unwrap_or(Lsn::MAX);
    let removed =
        Fragments::merged(ranges).with_lsns(|lsns| lsns.iter().copied().filter(|lsn| *lsn <= upto).collect());
    let newest_removal = removed.lsns().map_or(Lsn::ZERO, |(_, newest)| newest);
    let limits = Limits { removed, upto };
    for (at, file) in files.iter().enumerate() {
        let before = report.rows_read;
        read_table(&mut sources, file, &limits, &mut loader, &mut report)?;
        let was_read = report.rows_read > before;
        report.tables_read += u64::from(was_read);
        report.quarantined_read += u64::from(was_read && at >= own);
        tracing::info!(file = %file.path.display(), rows = report.rows_read - before, "table read for salvage");
    }
    report.upto = state.map_or(Lsn::ZERO, |state| state.flushed).max(loader.newest_lsn()).max(newest_removal);
    if report.upto > Lsn::ZERO {
        report.written = loader.finish(report.upto)?;
    } else {
        drop(loader);
    }
    debug_assert_eq!(store.flushed_lsn(), report.upto);
    store.close();
    Ok(report)
}

/// The options of the new tree, which says of its rows what the old ones say: nobody derives them again.
fn with_versions(
    env: &Env,
    database: DatabaseId,
    options: &LsmOptions,
    state: Option<&TreeState>,
    files: &[Candidate],
) -> Result<LsmOptions> {
    let mut found = state.and_then(DerivedBy::found);
    for file in files {
        let version = header_version(&*env.fs, &file.path, database, file.number)?;
        if let Some(version) = version.map(DerivedBy::one) {
            found = Some(found.map_or(version, |found| found.and(version)));
        }
    }
    let DerivedBy { oldest, newest } = found.unwrap_or_else(|| DerivedBy::of(options));
    let mixed_with = (newest > oldest).then_some(newest);
    Ok(LsmOptions { derivation_version: oldest, mixed_with, ..options.clone() })
}

/// A file that may hold rows.
#[derive(Debug)]
struct Candidate {
    path: PathBuf,
    /// From its name.
    number: u64,
    /// Key range and length that the manifest tells.
    told: Option<(Vec<u8>, Vec<u8>, u64)>,
    /// It may remove ranges: the manifest says so, or nobody knows.
    may_remove: bool,
}

/// What the manifest says, if one reads. A damaged one is as good as none; an unreadable disk is an error.
fn find_manifest(env: &Env, dir: &Path, database: DatabaseId) -> Result<(ManifestUse, Option<TreeState>)> {
    let read = |number: u64| match replay(env, dir, database, number) {
        Ok(replayed) => Ok(Some(replayed.state)),
        Err(Error::Corruption { .. }) => Ok(None),
        Err(other) => Err(other),
    };
    let current = match read_current(env, dir, database) {
        Err(Error::Corruption { .. }) => None,
        other => other?,
    };
    if let Some(number) = current
        && let Some(state) = read(number)?
    {
        return Ok((ManifestUse::Current, Some(state)));
    }
    // An older one may not know tables that were live.
    let newest = env.fs.list(dir)?.iter().filter_map(|entry| manifest_number(&entry.name)).max();
    Ok(match newest.filter(|newest| current.is_none_or(|current| current < *newest)) {
        Some(number) => match read(number)? {
            Some(state) => (ManifestUse::Newest, Some(state)),
            None => (ManifestUse::Lost, None),
        },
        None => (ManifestUse::Lost, None),
    })
}

/// The tables of the tree: those that the manifest names, or all there are.
fn tables_of(env: &Env, dir: &Path, state: Option<&TreeState>) -> Result<Vec<Candidate>> {
    let Some(state) = state else {
        let names = env.fs.list(dir)?;
        let mut files: Vec<Candidate> = names
            .iter()
            .filter_map(|entry| {
                let number = table_number(&entry.name)?;
                Some(Candidate { path: dir.join(&entry.name), number, told: None, may_remove: true })
            })
            .collect();
        files.sort_by_key(|file| file.number);
        return Ok(files);
    };
    let live = state.tables.values().map(|(_, meta)| Candidate {
        path: table_path(dir, meta.file),
        number: meta.file,
        told: Some((meta.smallest.clone(), meta.largest.clone(), meta.bytes)),
        may_remove: meta.ranges > 0,
    });
    Ok(live.collect())
}

/// Tables in `quarantine/` beside the tree: `000012.sst`, and `000012.sst.1` where that name was taken.
fn quarantined(env: &Env, dir: &Path) -> Result<Vec<Candidate>> {
    let home = dir.parent().unwrap_or(dir).join("quarantine");
    if env.fs.metadata(&home)?.is_none() {
        return Ok(Vec::new());
    }
    let mut files: Vec<Candidate> = env
        .fs
        .list(&home)?
        .iter()
        .filter_map(|entry| {
            let (stem, counter) = entry.name.split_once(".sst")?;
            let is_copy = counter.strip_prefix('.').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
            let number = table_number(&format!("{stem}.sst"))?;
            (counter.is_empty() || is_copy).then(|| Candidate {
                path: home.join(&entry.name),
                number,
                told: None,
                may_remove: true,
            })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

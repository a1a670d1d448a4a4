//! Making a database from what a target holds.

use std::path::Path;

use stemedb_env::{
    Env, Lsn, Micros, OpenMode,
    fs::tree::{create_dir_durably, remove_tree},
    fs::write_file_atomic,
};
use stemedb_hybrid::{ClaimEngine, Identity, Layout, StateRoot, finish_restored};
use stemedb_index::{Claims, Derive};
use stemedb_wal::{Journal, JournalIdentity, JournalOptions, JournalReader, SegmentedJournal};

use super::{
    BackupTarget, Content, Error, Hex, Metadata, Plan, Progress, RestoreOptions, Result,
    archive::fetch_segment,
    document::{self, damaged},
    plan::{Copy, Point, Upto},
    ranges::{self, Past, Range},
    verify::{await_upgrade, compare, fetch, fetch_all, mended_view, quiet_options},
};

/// What was restored.
#[derive(Clone, Debug)]
pub struct RestoreReport {
    /// The last entry.
    pub lsn: Lsn,
    /// Its recorded time.
    pub recorded_at: Option<Micros>,
    /// The timeline of the restored database.
    pub timeline: u32,
    /// Entries of its journal.
    pub entries: u64,
    /// Content of its view.
    pub root: StateRoot,
    /// The backup of exactly this point that it was compared with, where there is one.
    pub compared_with: Option<String>,
}

/// A folder that holds this is half restored; nobody ever opened it.
const MARK: &str = "RESTORING";
/// The journal is written in groups of about this size, each of them durable.
const GROUP_BYTES: usize = 4 << 20;

/// `timelines/<database>/<number>.json`: a timeline that has been begun.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    format: u32,
    database: Hex<16>,
    timeline: u32,
    parent: u32,
    begun_at: i64,
}

/// Restores as planned into a folder that is absent, opens the result, reads it whole, and compares it with the backup of
/// the same point where there is one.
///
/// A restore that was cut short leaves a folder that is no database; restoring into it begins again. Cost: what
/// [`Plan::fetch_bytes`] says; on a new timeline the journal is written twice, so for a while there must be room for that.
///
/// Errors: [`Error::Exists`]; [`Error::Damaged`] and [`Error::Missing`] name the object; [`Error::Differs`]. There is no database then.
pub fn restore(
    env: &Env,
    target: &dyn BackupTarget,
    archive: &dyn BackupTarget,
    plan: &Plan,
    options: &RestoreOptions,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<RestoreReport> {
    begin(env, dir)?;
    if options.keep_timeline {
        return keep(env, target, plan, options, dir);
    }
    let timeline = match options.new_timeline {
        Some(timeline) if timeline > plan.timeline => timeline,
        Some(timeline) => {
            return Err(Error::Refused(format!("timeline {timeline} is not after {}", plan.timeline)));
        }
        None => take_timeline(env, target, plan)?,
    };
    let identity = Identity {
        database: stemedb_env::frame::DatabaseId(plan.database.0),
        timeline,
        created_at: env.clock.wall(),
    };
    let staging = dir.join("restore.staging");
    create_dir_durably(&*env.fs, &staging)?;
    let mut fetched = 0;
    for segment in &plan.chain {
        let bytes = match &segment.copy {
            // Everything but the name's number says nothing here: the copies are read, not served.
            Copy::Parts(file) => {
                fetch(env, target, file, &staging.join(format!("live.{:06}.wal", segment.id)), None)?;
                file.bytes
            }
            Copy::Archived(record) => {
                fetch_segment(env, archive, record, &staging)?;
                record.packed_bytes
            }
            Copy::Ranges(ranges) => fetch_ranges(env, archive, plan.past(), ranges, &staging)?,
        };
        fetched += bytes;
        progress(fetched, plan.fetch_bytes);
    }
    let (lsn, recorded_at, entries) = write_journal(env, plan, &identity, &staging, &dir.join("wal"))?;
    remove_tree(&*env.fs, &staging)?;
    if let Some(view) = &plan.view_metadata {
        fetch_view(env, target, view, dir, |bytes| {
            fetched += bytes;
            progress(fetched, plan.fetch_bytes);
        })?;
    }
    let layout = Layout::of(dir);
    if let Some(mark) = &options.standby {
        // Before the folder is a database: nobody ever takes it for one that may be written to.
        mark.write(env, &layout)?;
    }
    finish_restored(&*env.fs, &layout, &identity)?;
    let report = prove(env, plan, &identity, dir, lsn, entries);
    match report {
        Ok((root, compared_with)) => {
            end(env, dir)?;
            Ok(RestoreReport { lsn, recorded_at, timeline, entries, root, compared_with })
        }
        Err(error) => Err(withdraw(env, &layout, error)),
    }
}

/// Puts the ranges of a segment together, each proven, under the name that a journal knows. Returns what was fetched.
pub(super) fn fetch_ranges(
    env: &Env,
    archive: &dyn BackupTarget,
    of: Past,
    ranges: &[Range],
    dir: &Path,
) -> Result<u64> {
    let Some(segment) = ranges.first().map(|range| range.record.segment) else { return Ok(0) };
    let out = env.fs.open(&dir.join(format!("live.{segment:06}.wal")), OpenMode::CreateNew)?;
    let mut fetched = 0;
    for range in ranges {
        let found = ranges::fetch(archive, &of, &range.object)?;
        if found.record != range.record {
            return Err(damaged(archive, &range.object.name, "it is another one than a moment ago"));
        }
        out.write_all_at(&found.plain, range.record.from)?;
        fetched += range.object.bytes;
    }
    out.sync_data()?;
    Ok(fetched)
}

/// A restored database that is not what it should be is none.
fn withdraw(env: &Env, layout: &Layout, error: Error) -> Error {
    for path in layout.identities() {
        if let Err(failed) = env.fs.remove(&path) {
            tracing::error!(%failed, "the restored folder must not be used");
        }
    }
    error
}

/// Marks the folder as being restored; one that was marked before is emptied first.
fn begin(env: &Env, dir: &Path) -> Result<()> {
    let fs = &*env.fs;
    if fs.metadata(dir)?.is_some() {
        let names = fs.list(dir)?;
        let is_ours = names.iter().any(|entry| entry.name == MARK);
        if !is_ours || Identity::exists(fs, &Layout::of(dir))? {
            return Err(Error::Exists { dir: dir.to_path_buf() });
        }
        // The mark goes last: what is left of the folder says what it is.
        for entry in names.iter().filter(|entry| ![MARK, "lost+found"].contains(&entry.name.as_str())) {
            remove_tree(fs, &dir.join(&entry.name))?;
        }
    }
    create_dir_durably(fs, dir)?;
    write_file_atomic(fs, &dir.join(MARK), b"not a database yet\n")?;
    Ok(())
}

/// Lets a folder that is there, and empty, be restored into.
pub(crate) fn accept_empty(env: &Env, dir: &Path) -> Result<()> {
    if env.fs.metadata(dir)?.is_some() && env.fs.list(dir)?.iter().all(|entry| entry.name == "lost+found") {
        write_file_atomic(&*env.fs, &dir.join(MARK), b"not a database yet\n")?;
    }
    Ok(())
}

fn end(env: &Env, dir: &Path) -> Result<()> {
    env.fs.remove(&dir.join(MARK))?;
    env.fs.sync_dir(dir)?;
    Ok(())
}

/// The backup as it is, identity and all.
fn keep(
    env: &Env,
    target: &dyn BackupTarget,
    plan: &Plan,
    options: &RestoreOptions,
    dir: &Path,
) -> Result<RestoreReport> {
    let (Point::Backup(name), Some((_, metadata))) = (&options.point, &plan.same_as) else {
        return Err(Error::Refused("only a backup can keep its timeline: name it".to_owned()));
    };
    fetch_all(env, target, metadata, dir, None)?;
    let layout = Layout::of(dir);
    let proven = compare(env, name, metadata, dir).and_then(|entries| {
        let (engine, _) = ClaimEngine::open(env, dir, Claims, &quiet_options())?;
        let root = engine.state_root()?;
        engine.close()?;
        Ok((entries, root))
    });
    match proven {
        Ok((entries, root)) => {
            end(env, dir)?;
            Ok(RestoreReport {
                lsn: metadata.lsn(),
                recorded_at: metadata.recorded_at.map(Micros),
                timeline: metadata.timeline,
                entries,
                root,
                compared_with: Some(name.clone()),
            })
        }
        Err(error) => Err(withdraw(env, &layout, error)),
    }
}

/// Where it is noted that a timeline has been begun.
pub(crate) fn timeline_name(database: &Hex<16>, timeline: u32) -> String {
    format!("timelines/{database}/{timeline:06}.json")
}

/// The next timeline that nobody has begun in this target.
fn take_timeline(env: &Env, target: &dyn BackupTarget, plan: &Plan) -> Result<u32> {
    let folder = format!("timelines/{}/", plan.database);
    let numbers = target.list(&folder)?;
    let number = |name: &str| name.strip_prefix(&folder)?.strip_suffix(".json")?.parse::<u32>().ok();
    let begun = numbers.iter().filter_map(|object| number(&object.name)).max().unwrap_or(0);
    let mut timeline = begun.max(plan.timeline);
    loop {
        timeline = timeline
            .checked_add(1)
            .ok_or_else(|| Error::Refused("there are no more timelines".to_owned()))?;
        let says = Begun {
            format: super::FORMAT,
            database: plan.database,
            timeline,
            parent: plan.timeline,
            begun_at: env.clock.wall().0,
        };
        let name = timeline_name(&plan.database, timeline);
        if target.put_if_absent(&name, Content::Bytes(&document::encode(&says)?))? {
            target.settle()?;
            return Ok(timeline);
        }
    }
}

/// Writes the entries up to the point into a new journal of the new timeline. Returns the last one, its time, and how many
/// there are.
fn write_journal(
    env: &Env,
    plan: &Plan,
    identity: &Identity,
    from: &Path,
    to: &Path,
) -> Result<(Lsn, Option<Micros>, u64)> {
    let journal_identity = JournalIdentity { database: identity.database, timeline: identity.timeline };
    // The copies are in order, so nothing is packed before the database is opened by its owner.
    let options = JournalOptions { pack_level: None, ..JournalOptions::default() };
    let journal = SegmentedJournal::create_from(env, to, journal_identity, plan.first_lsn, options)?;
    let mut last = (plan.first_lsn.prev(), None);
    let mut entries = 0;
    if !plan.chain.is_empty() {
        let (old, _) = SegmentedJournal::open_read_only(env, from)?;
        let mine = old.identity();
        if Hex(mine.database.0) != plan.database || mine.timeline != plan.timeline {
            return Err(Error::Refused(format!(
                "the journal is of database {}, timeline {}",
                mine.database, mine.timeline
            )));
        }
        let mut reader = old.read_from(plan.first_lsn)?;
        let mut group: Vec<bytes::Bytes> = Vec::new();
        let mut group_bytes = 0;
        let mut newest = None;
        while let Some(entry) = reader.next_entry()? {
            let recorded =
                Claims.recorded_at(entry.lsn, &entry.bytes).map_err(stemedb_hybrid::Error::from)?;
            newest = newest.max(recorded);
            let beyond = match plan.upto {
                Upto::Lsn(lsn) => entry.lsn > lsn,
                Upto::Time(time) => newest.is_some_and(|at| at > time),
            };
            if beyond {
                break;
            }
            last = (entry.lsn, newest);
            entries += 1;
            group_bytes += entry.bytes.len();
            group.push(entry.bytes);
            if group_bytes >= GROUP_BYTES {
                append(&journal, &mut group)?;
                group_bytes = 0;
            }
        }
        append(&journal, &mut group)?;
    }
    journal.close()?;
    let reached = match plan.upto {
        Upto::Lsn(lsn) => last.0 == lsn,
        Upto::Time(_) => last.0 >= plan.view_lsn,
    };
    if !reached {
        // A copy that is shorter than its document says.
        return Err(Error::NotCovered { first: last.0.next(), last: plan.lsn.1 });
    }
    Ok((last.0, last.1, entries))
}

fn append(journal: &SegmentedJournal, group: &mut Vec<bytes::Bytes>) -> Result<()> {
    if !group.is_empty() {
        let entries: Vec<&[u8]> = group.iter().map(|entry| &entry[..]).collect();
        journal.append_group(&entries)?;
        group.clear();
    }
    Ok(())
}

fn fetch_view(
    env: &Env,
    target: &dyn BackupTarget,
    view: &Metadata,
    dir: &Path,
    mut fetched: impl FnMut(u64),
) -> Result<()> {
    let kv = dir.join("kv");
    create_dir_durably(&*env.fs, &kv)?;
    for file in view.files.iter().filter(|file| file.path.starts_with("kv/")) {
        fetch(env, target, file, &dir.join(&file.path), None)?;
        fetched(file.bytes);
    }
    env.fs.sync_dir(&kv)?;
    Ok(())
}

/// Opens the result, reads all of it, and compares it with the backup of the same point.
fn prove(
    env: &Env,
    plan: &Plan,
    identity: &Identity,
    dir: &Path,
    lsn: Lsn,
    entries: u64,
) -> Result<(StateRoot, Option<String>)> {
    let (engine, opened) = ClaimEngine::open(env, dir, Claims, &quiet_options())?;
    let name = || plan.same_as.as_ref().map_or_else(|| format!("LSN {lsn}"), |(name, _)| name.clone());
    let differs = |what, expected: &dyn ToString, found: &dyn ToString| {
        Err(Error::Differs { backup: name(), what, expected: expected.to_string(), found: found.to_string() })
    };
    if engine.identity() != identity {
        return differs("the timeline", &identity.timeline, &engine.identity().timeline);
    }
    if engine.published_lsn() != lsn {
        return differs("the last entry", &lsn, &engine.published_lsn());
    }
    let verified = engine.verify()?;
    let is_upgraded = await_upgrade(env, &engine, &opened)?;
    if verified.entries != entries {
        return differs("the number of entries", &entries, &verified.entries);
    }
    // Of another version, its rows are others.
    let same_as = plan.same_as.as_ref().filter(|_| !is_upgraded);
    let root = engine.state_root()?;
    if let Some((_, metadata)) = same_as {
        if root.rows() != metadata.rows {
            return differs("the number of rows", &metadata.rows, &root.rows());
        }
        if Hex(root.digest()) != metadata.state_root {
            return differs("the state root", &metadata.state_root, &root);
        }
    }
    if let Some(problem) = mended_view(&engine, &opened, plan.view.is_some()) {
        return differs("the view", &"whole", &problem);
    }
    engine.close()?;
    Ok((root, same_as.map(|(name, _)| name.clone())))
}

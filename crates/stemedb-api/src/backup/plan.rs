//! What a restore takes from where.

use std::collections::BTreeMap;

use stemedb_env::{Lsn, Micros};

use super::{
    ArchiveRecord, BackupTarget, Catalog, Error, FileEntry, Hex, Metadata, Result, archived,
    catalog::CatalogEntry,
    ranges::{self, Past, Range},
    standby_mark::StandbyMark,
};

/// Where to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// The last entry that backups and archive hold.
    Latest,
    /// A backup, by its name, verified or not.
    Backup(String),
    /// After this entry.
    Lsn(Lsn),
    /// After the last entry recorded at or before this time.
    Time(Micros),
}

/// How to restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Where to.
    pub point: Point,
    /// Which database, where the target holds several.
    pub database: Option<Hex<16>>,
    /// Of which timeline; by default the one of the newest verified backup.
    pub timeline: Option<u32>,
    /// Stay on the timeline: only for a database that was closed and moves. The point must be a backup.
    pub keep_timeline: bool,
    /// Number of the new timeline; by default the next free one, which is taken in the target.
    pub new_timeline: Option<u32>,
    /// The result is a standby, which goes on to follow the archive: it may be empty at first.
    pub standby: Option<StandbyMark>,
}

impl RestoreOptions {
    /// To a point, on a new timeline.
    pub fn to(point: Point) -> RestoreOptions {
        RestoreOptions {
            point,
            database: None,
            timeline: None,
            keep_timeline: false,
            new_timeline: None,
            standby: None,
        }
    }
}

/// A segment of the journal, and where its best copy is.
#[derive(Clone, Debug)]
pub(super) enum Copy {
    /// In the parts of a backup.
    Parts(FileEntry),
    /// In the archive, packed.
    Archived(ArchiveRecord),
    /// In the archive, in ranges of frames that follow from each other.
    Ranges(Vec<Range>),
}

#[derive(Clone, Debug)]
pub(super) struct SegmentCopy {
    pub id: u64,
    pub first: Lsn,
    pub last: Lsn,
    /// Nothing of the segment is missing: its successor follows from it.
    pub complete: bool,
    /// It is of a verified backup, or of the archive.
    pub proven: bool,
    pub recorded_at: Option<Micros>,
    pub copy: Copy,
}

/// What a restore does, before it does it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The database.
    pub database: Hex<16>,
    /// The timeline that is restored from.
    pub timeline: u32,
    /// The backup whose tables are used; `None`: the view is derived from the first entry on.
    pub view: Option<String>,
    /// Its tables end here.
    pub view_lsn: Lsn,
    /// The last entry of the result lies between these, both included; they differ only for a point in time.
    pub lsn: (Lsn, Lsn),
    /// Recorded time of the last entry, where a document tells it.
    pub recorded_at: Option<Micros>,
    /// First entry of the journal of the result.
    pub first_lsn: Lsn,
    /// Segments taken from backups, and from the archive, whole or in ranges.
    pub segments: (usize, usize),
    /// Files of the view.
    pub view_files: usize,
    /// Bytes that are fetched, before unpacking those of the archive.
    pub fetch_bytes: u64,
    pub(super) upto: Upto,
    pub(super) view_metadata: Option<Metadata>,
    pub(super) chain: Vec<SegmentCopy>,
    /// The backup that ends exactly at the result, to compare with.
    pub(super) same_as: Option<(String, Metadata)>,
}

/// Where to stop reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upto {
    Lsn(Lsn),
    Time(Micros),
}

impl Plan {
    /// Decides what a restore takes from where. Reads documents only.
    ///
    /// Errors: [`Error::NoBackup`]; [`Error::NotCovered`] names the entries that nobody has; [`Error::Refused`] where the target
    /// holds several databases and none is named.
    pub fn make(
        target: &dyn BackupTarget,
        archive: &dyn BackupTarget,
        options: &RestoreOptions,
    ) -> Result<Plan> {
        let catalog = Catalog::load(target)?;
        let nothing = |wanted: String| Error::NoBackup { target: target.describe(), wanted };
        let (database, timeline) = which(&catalog, options, &nothing)?;
        let of_it = |entry: &&CatalogEntry| {
            entry.usable().is_some_and(|(_, found)| found.database == database && found.timeline == timeline)
        };
        let mine: Vec<(&str, &Metadata, bool)> = catalog
            .backups
            .iter()
            .filter(of_it)
            .filter_map(|entry| Some((entry.usable()?.0, entry.usable()?.1, entry.verified)))
            .collect();
        let Copies { segments, damage } = copies(archive, &mine, Past { database, timeline })?;
        let is_nothing = mine.is_empty() && segments.is_empty();
        // Whoever wants all that there is must be told what cannot be read of it.
        if let Some(error) = damage
            && (options.point == Point::Latest || is_nothing)
        {
            return Err(error);
        }
        if is_nothing && options.standby.is_none() {
            return Err(nothing(format!("or segment of database {database}, timeline {timeline}")));
        }
        let named = match &options.point {
            Point::Backup(name) => {
                let found = mine.iter().find(|(found, ..)| found == name);
                Some(*found.ok_or_else(|| nothing(format!("named {name} of this timeline")))?)
            }
            _ => None,
        };
        let end = end(&options.point, named, &segments, &mine)?;
        let views = mine.iter().filter(|(name, view, verified)| {
            let before = match end.upto {
                Upto::Lsn(lsn) => view.flushed <= lsn.0,
                Upto::Time(time) => view.flushed_recorded_at.is_some_and(|at| at <= time.0),
            };
            let chosen = named.is_none_or(|(chosen, ..)| chosen == *name);
            before && chosen && (*verified || named.is_some())
        });
        // The newest of them needs the least of the journal; a view without entries helps nobody.
        let view = views.filter(|(_, view, _)| view.flushed > 0).max_by_key(|(_, view, _)| view.flushed);
        let view_lsn = view.map_or(Lsn::ZERO, |(_, view, _)| Lsn(view.flushed));
        let chain = chain(&segments, end.segment, view_lsn.next().min(end.last.max(Lsn(1))), end.last)?;
        let first_lsn = chain.first().map_or(view_lsn.next(), |segment| segment.first);
        let view_files: Vec<&FileEntry> = view
            .iter()
            .flat_map(|(_, view, _)| &view.files)
            .filter(|file| file.path.starts_with("kv/"))
            .collect();
        let archived = chain.iter().filter(|segment| !matches!(segment.copy, Copy::Parts(_))).count();
        let fetch_bytes = chain
            .iter()
            .map(SegmentCopy::fetch_bytes)
            .chain(view_files.iter().map(|file| file.bytes))
            .fold(0, u64::saturating_add);
        let same_as = named
            .as_ref()
            .or(mine.iter().find(|(_, found, verified)| *verified && end.upto == Upto::Lsn(found.lsn())))
            .map(|(name, found, _)| ((*name).to_owned(), (*found).clone()));
        Ok(Plan {
            database,
            timeline,
            view: view.map(|(name, ..)| (*name).to_owned()),
            view_lsn,
            lsn: (end.first, end.last),
            recorded_at: same_as.as_ref().and_then(|(_, found)| found.recorded_at).map(Micros),
            first_lsn,
            segments: (chain.len() - archived, archived),
            view_files: view_files.len(),
            fetch_bytes,
            upto: end.upto,
            view_metadata: view.map(|(_, view, _)| (*view).clone()),
            chain,
            same_as,
        })
    }
}

impl Plan {
    /// Whose entries these are.
    pub(super) fn past(&self) -> Past {
        Past { database: self.database, timeline: self.timeline }
    }
}

impl SegmentCopy {
    fn fetch_bytes(&self) -> u64 {
        match &self.copy {
            Copy::Parts(file) => file.bytes,
            Copy::Archived(record) => record.packed_bytes,
            Copy::Ranges(ranges) => ranges.iter().map(|range| range.object.bytes).sum(),
        }
    }
}

/// The best copy of each segment.
pub(super) struct Copies {
    pub segments: BTreeMap<u64, SegmentCopy>,
    /// What is damaged of the archive's ranges: what follows there is not among the copies.
    pub damage: Option<Error>,
}

/// Looks for copies of every segment, in these backups and in an archive. Cost: reads every document of the past's archive.
pub(super) fn copies(
    archive: &dyn BackupTarget,
    backups: &[(&str, &Metadata, bool)],
    of: Past,
) -> Result<Copies> {
    let mut segments = best_copies(backups, archived(archive, &of.database, of.timeline)?);
    let objects = ranges::list(archive, &of)?;
    let mut damage = None;
    let mut begun: Vec<SegmentCopy> = Vec::new();
    for objects in objects.chunk_by(|a, b| a.segment == b.segment) {
        let Some(segment) = objects.first().map(|object| object.segment) else { continue };
        // What is there whole needs no ranges: they are about to go.
        if segments.get(&segment).is_some_and(|known| matches!(known.copy, Copy::Archived(_))) {
            continue;
        }
        let (ranges, damaged) = ranges::chain(archive, &of, objects)?;
        damage = damage.or(damaged);
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { continue };
        begun.push(SegmentCopy {
            id: segment,
            first: Lsn(first.record.first_lsn),
            last: Lsn(last.record.last_lsn),
            complete: false,
            proven: true,
            recorded_at: ranges.iter().find_map(|range| range.record.first_recorded_at).map(Micros),
            copy: Copy::Ranges(ranges),
        });
    }
    // They are sent in order, so one that has a successor among them is complete; and what the successor has again does not count.
    let firsts: Vec<(u64, Lsn)> = begun.iter().map(|copy| (copy.id, copy.first)).collect();
    for mut copy in begun {
        if let Some((_, next)) = firsts.iter().find(|(id, _)| *id == copy.id + 1) {
            copy.last = copy.last.min(next.prev());
            copy.complete = true;
        }
        let better = segments
            .get(&copy.id)
            .is_none_or(|known| (known.last, known.complete) < (copy.last, copy.complete));
        if better {
            segments.insert(copy.id, copy);
        }
    }
    clip(&mut segments);
    Ok(Copies { segments, damage })
}

/// What a segment has beyond its successor's first entry does not count: the successor has it, too.
fn clip(segments: &mut BTreeMap<u64, SegmentCopy>) {
    let firsts: Vec<(u64, Lsn)> = segments.values().map(|copy| (copy.id, copy.first)).collect();
    for (id, first) in firsts {
        let before = id.checked_sub(1).and_then(|before| segments.get_mut(&before));
        if let Some(before) = before {
            before.last = before.last.min(first.prev());
        }
    }
}

/// The database and timeline that are meant.
fn which(
    catalog: &Catalog,
    options: &RestoreOptions,
    nothing: &dyn Fn(String) -> Error,
) -> Result<(Hex<16>, u32)> {
    if let Point::Backup(name) = &options.point {
        let entry = catalog.find(name).ok_or_else(|| nothing(format!("named {name}")))?;
        return match &entry.metadata {
            Ok(metadata) => Ok((metadata.database, metadata.timeline)),
            Err(problem) => Err(Error::Refused(format!("{name} cannot be used: {problem}"))),
        };
    }
    if let (Some(database), Some(timeline)) = (options.database, options.timeline) {
        // Perhaps without a backup: the archive alone may reach back to the first entry.
        return Ok((database, timeline));
    }
    let fits = |found: &&Metadata| {
        options.database.is_none_or(|database| database == found.database)
            && options.timeline.is_none_or(|timeline| timeline == found.timeline)
    };
    let mut found = catalog.verified().map(|(_, metadata)| metadata).filter(fits);
    let newest = found
        .next_back()
        .ok_or_else(|| nothing("that is verified; one that is not can be named".to_owned()))?;
    if options.database.is_none() && found.any(|other| other.database != newest.database) {
        return Err(Error::Refused("the target holds several databases: name one with its id".to_owned()));
    }
    Ok((newest.database, newest.timeline))
}

/// Of each segment the longest copy; of two that hold the same entries the complete one, for a backup ends its last segment
/// with a frame of its own; of two such the proven one, for the other may be damaged.
fn best_copies(
    backups: &[(&str, &Metadata, bool)],
    archive: Vec<ArchiveRecord>,
) -> BTreeMap<u64, SegmentCopy> {
    let mut best: BTreeMap<u64, SegmentCopy> = BTreeMap::new();
    let mut offer = |copy: SegmentCopy| {
        let rank = |copy: &SegmentCopy| (copy.last, copy.complete, copy.proven);
        let better = best.get(&copy.id).is_none_or(|known| rank(known) < rank(&copy));
        if better {
            best.insert(copy.id, copy);
        }
    };
    for (_, metadata, verified) in backups {
        let segments = || metadata.files.iter().filter_map(|file| Some((file, file.segment.as_ref()?)));
        let tail = segments().map(|(_, segment)| segment.id).max();
        for (file, segment) in segments() {
            offer(SegmentCopy {
                id: segment.id,
                first: Lsn(segment.first_lsn),
                last: Lsn(segment.last_lsn),
                complete: Some(segment.id) != tail,
                proven: *verified,
                recorded_at: segment.recorded_at.map(Micros),
                copy: Copy::Parts(file.clone()),
            });
        }
    }
    for record in archive {
        offer(SegmentCopy {
            id: record.segment,
            first: Lsn(record.first_lsn),
            last: Lsn(record.last_lsn),
            complete: true,
            proven: true,
            recorded_at: record.recorded_at.map(Micros),
            copy: Copy::Archived(record),
        });
    }
    best
}

/// Where the result ends.
struct End {
    upto: Upto,
    /// The segment in which that is; `None` if the result has no entries.
    segment: Option<u64>,
    first: Lsn,
    last: Lsn,
}

fn end(
    point: &Point,
    named: Option<(&str, &Metadata, bool)>,
    segments: &BTreeMap<u64, SegmentCopy>,
    backups: &[(&str, &Metadata, bool)],
) -> Result<End> {
    let newest = segments.values().map(|segment| segment.last).max().unwrap_or(Lsn::ZERO);
    let at = |lsn: Lsn| -> Result<End> {
        if lsn > newest {
            return Err(Error::NotCovered { first: newest.next(), last: lsn });
        }
        let holds = |segment: &&SegmentCopy| segment.first <= lsn && lsn <= segment.last;
        let segment = segments.values().find(holds).map(|segment| segment.id);
        Ok(End { upto: Upto::Lsn(lsn), segment, first: lsn, last: lsn })
    };
    match point {
        Point::Latest => at(newest),
        Point::Lsn(lsn) => at(*lsn),
        Point::Backup(_) => at(named.map_or(Lsn::ZERO, |(_, metadata, _)| metadata.lsn())),
        Point::Time(time) => {
            let begun = |segment: &&SegmentCopy| segment.recorded_at.is_some_and(|at| at <= *time);
            let Some(segment) = segments.values().rev().find(begun) else {
                return Err(Error::Refused("nothing had been recorded at that time".to_owned()));
            };
            // A backup's own end tells more than the segment's beginning.
            let ended = backups.iter().map(|(_, found, _)| found);
            let first = ended
                .filter(|found| found.recorded_at.is_some_and(|at| at <= time.0))
                .map(|found| found.lsn())
                .max()
                .unwrap_or(Lsn::ZERO);
            Ok(End {
                upto: Upto::Time(*time),
                segment: Some(segment.id),
                first: segment.first.max(first).min(segment.last),
                last: segment.last,
            })
        }
    }
}

/// The segments from the oldest that is connected to the last one, which must reach down to `needed`.
fn chain(
    segments: &BTreeMap<u64, SegmentCopy>,
    last: Option<u64>,
    needed: Lsn,
    end: Lsn,
) -> Result<Vec<SegmentCopy>> {
    let Some(last) = last else {
        // Nothing in the journal at all, or the entry is in a hole.
        return if end == Lsn::ZERO {
            Ok(Vec::new())
        } else {
            Err(Error::NotCovered { first: end, last: end })
        };
    };
    let mut chain: Vec<SegmentCopy> = Vec::new();
    let mut next = Some(last);
    while let Some(segment) = next.and_then(|id| segments.get(&id)) {
        if chain.last().is_some_and(|after| segment.last.next() != after.first) {
            break;
        }
        chain.push(segment.clone());
        next = segment.id.checked_sub(1);
    }
    chain.reverse();
    let first = chain.first().map_or(Lsn::MAX, |segment| segment.first);
    if first > needed {
        return Err(Error::NotCovered { first: needed, last: first.prev() });
    }
    Ok(chain)
}

//! Following an archive: what it has beyond the own journal, applied in order.
//!
//! ```text
//! catch up   copies of segments, whole or in ranges ─▶ a journal to read ─▶ entries from the next one on
//! step       one listing ─ the range at the position ─ its entries ─ the next one …      until there is no more
//! ```

use std::sync::Arc;

use bytes::Bytes;
use stemedb_env::{
    Env, Lsn, Micros,
    fs::tree::{create_dir_durably, remove_tree},
};
use stemedb_wal::{
    Journal, JournalMark, JournalReader, SegmentedJournal, SegmentedReader, read_frames, segment_origin,
};

use crate::{
    Database,
    backup::{
        ArchiveRecord, BackupTarget, Error, Hex, Result,
        follow::{segments_from, stage},
        index,
        ranges::{self, Past, RangeObject},
        record_of,
    },
};

/// Entries that are given to the database at once have about so many bytes.
const GROUP_BYTES: usize = 4 << 20;

/// Applies what an archive has to a database that follows. One for each open database.
#[derive(Debug)]
pub struct Follower {
    database: Database,
    target: Arc<dyn BackupTarget>,
    of: Past,
    /// Where the journal that is followed goes on behind the last entry that was applied; `None`: that has to be found.
    at: Option<JournalMark>,
}

/// What a look at the listing has come to.
enum Advance {
    /// Entries were applied, or at least the position has moved.
    Moved,
    /// The archive has no more.
    Nothing,
    /// There is more, but not at the position.
    Lost,
}

impl Follower {
    /// Follows a timeline. Nothing is asked of the target before the first step.
    pub fn new(database: &Database, target: Arc<dyn BackupTarget>, timeline: u32) -> Follower {
        let of = Past { database: Hex(database.engine().identity().database.0), timeline };
        Follower { database: database.clone(), target, of, at: None }
    }

    /// Applies everything that the archive has by now. Returns the last entry that can be read then.
    ///
    /// Cost where nothing is new: one listing. Errors: [`Error::Conflict`] where the archive has other entries than the database;
    /// [`Error::NotCovered`] names those that are missing; [`Error::Damaged`], those of target and engine. The next step goes on.
    pub fn step(&mut self) -> Result<Lsn> {
        let began = self.database.env().clock.monotonic();
        let role = self.database.role();
        match self.try_step() {
            Ok(lsn) => {
                role.note_followed(began);
                Ok(lsn)
            }
            Err(error) => {
                // A call that failed says nothing of the position. After anything else it is looked for again.
                if !matches!(error, Error::Target { .. }) {
                    self.at = None;
                }
                role.note_standby_error(error.to_string());
                Err(error)
            }
        }
    }

    fn try_step(&mut self) -> Result<Lsn> {
        let mut is_lost_before = false;
        if self.at.is_none() {
            self.catch_up()?;
        }
        loop {
            let objects = ranges::list(&*self.target, &self.of)?;
            loop {
                match self.advance(&objects)? {
                    Advance::Moved => is_lost_before = false,
                    Advance::Nothing => return Ok(self.database.published_lsn()),
                    Advance::Lost if is_lost_before => {
                        let next = self.database.engine().durable_lsn().next();
                        return Err(Error::NotCovered { first: next, last: next });
                    }
                    Advance::Lost => {
                        is_lost_before = true;
                        break;
                    }
                }
            }
            self.catch_up()?;
            if self.at.is_none() {
                return Ok(self.database.published_lsn());
            }
        }
    }

    /// Applies what follows in the archive's objects at the position.
    fn advance(&mut self, objects: &[RangeObject]) -> Result<Advance> {
        let Some(at) = self.at else { return Ok(Advance::Nothing) };
        if let Some(object) =
            objects.iter().filter(|object| object.covers(&at)).max_by_key(|object| object.to)
        {
            let fetched = ranges::fetch(&*self.target, &self.of, object)?;
            let known = usize::try_from(at.offset - object.from).unwrap_or(usize::MAX);
            let rest = fetched.plain.get(known..).unwrap_or_default();
            self.take(object, &at, rest, fetched.record.to_mark(), fetched.record.shipped_at)?;
            return Ok(Advance::Moved);
        }
        let next = at.segment.saturating_add(1);
        let first = objects.iter().filter(|object| object.segment == next && object.from == 0);
        if let Some(object) = first.max_by_key(|object| object.to) {
            let fetched = ranges::fetch(&*self.target, &self.of, object)?;
            let origin = segment_origin(self.of.identity(), next, &fetched.plain)
                .map_err(|damage| self.conflict(&object.name, &format!("its header is none: {damage}")))?;
            // After a restart of the writer the old segment may count for less than was read of it.
            let continues = (origin.bytes, origin.chain) == (at.offset, at.chain) || origin.bytes < at.offset;
            if !continues {
                return Ok(Advance::Lost);
            }
            let from = fetched.record.from_mark();
            self.take(object, &from, &fetched.plain, fetched.record.to_mark(), fetched.record.shipped_at)?;
            return Ok(Advance::Moved);
        }
        if objects.iter().any(|object| object.segment > at.segment) {
            return Ok(Advance::Lost);
        }
        if !objects.iter().any(|object| object.segment == at.segment) {
            // It may have gone whole meanwhile.
            let whole = record_of(&*self.target, &self.of.database, self.of.timeline, at.segment)?;
            match whole {
                Some(whole) if whole.last_lsn >= at.next_lsn.0 => return Ok(Advance::Lost),
                Some(_) => {}
                // Somebody has let go of what was read to its end.
                None if self.is_known_whole(|whole| whole.segment == at.segment, at.next_lsn.prev())? => {}
                // What it has read there has gone: a disk that is not mounted looks like that.
                None => return Err(self.gone(self.database.engine().durable_lsn())),
            }
        }
        Ok(Advance::Nothing)
    }

    /// The archive's index says that what it had ended with this entry, in a segment that was archived whole. Of an archive that is lost, or
    /// whose disk is not mounted, there is no index either.
    fn is_known_whole(&self, is_it: impl Fn(&ArchiveRecord) -> bool, upto: Lsn) -> Result<bool> {
        let index = index(&*self.target, &self.of.database, self.of.timeline)?;
        let ends = index.iter().filter(|whole| is_it(whole)).map(|whole| whole.last_lsn).max();
        Ok(ends == Some(upto.0))
    }

    /// The archive has not even what was read of it.
    fn gone(&self, lsn: Lsn) -> Error {
        Error::NotCovered { first: lsn, last: lsn }
    }

    fn conflict(&self, name: &str, problem: &str) -> Error {
        Error::Conflict { name: name.to_owned(), target: self.target.describe(), problem: problem.to_owned() }
    }

    /// Applies the entries of proven frames that begin at a position, and goes behind them.
    fn take(
        &mut self,
        object: &RangeObject,
        from: &JournalMark,
        plain: &[u8],
        to: JournalMark,
        shipped_at: i64,
    ) -> Result<()> {
        let mut entries = Vec::new();
        let end = read_frames(self.of.identity(), from, plain, &mut |lsn, bytes| entries.push((lsn, bytes)));
        if end != Ok(to) {
            return Err(self.conflict(&object.name, "it does not follow from what was read before"));
        }
        let given = self.apply(entries)?;
        self.database.role().note_given(given, Some(Micros(shipped_at)));
        self.at = Some(to);
        Ok(())
    }

    /// Gives entries to the database; those that it has must be the same. Returns how many were new.
    fn apply(&self, entries: Vec<(Lsn, Bytes)>) -> Result<u64> {
        let engine = self.database.engine();
        let (mut given, mut group, mut group_bytes) = (0, Vec::new(), 0);
        let mut next = engine.durable_lsn().next();
        let mut own: Option<SegmentedReader> = None;
        for (lsn, bytes) in entries {
            if lsn < next {
                self.must_be_known(&mut own, lsn, &bytes)?;
                continue;
            }
            let expected = Lsn(next.0 + group.len() as u64);
            if lsn != expected {
                return Err(Error::NotCovered { first: expected, last: lsn.prev() });
            }
            group_bytes += bytes.len();
            group.push(bytes.to_vec());
            given += 1;
            if group_bytes >= GROUP_BYTES {
                next = engine.follow(next, std::mem::take(&mut group))?.next();
                group_bytes = 0;
            }
        }
        if !group.is_empty() {
            engine.follow(next, group)?;
        }
        Ok(given)
    }

    /// An entry that the database has is the same in the archive.
    fn must_be_known(&self, own: &mut Option<SegmentedReader>, lsn: Lsn, bytes: &Bytes) -> Result<()> {
        let journal = self.database.engine().journal();
        if lsn < journal.first_lsn() {
            return Ok(());
        }
        let reader = match own {
            Some(reader) => reader,
            none => none.insert(journal.read_from(lsn)?),
        };
        let entry = reader.next_entry()?;
        if entry.is_none_or(|entry| (entry.lsn, &entry.bytes) != (lsn, bytes)) {
            return Err(self.conflict("the archive", &format!("entry {lsn} is another one there")));
        }
        Ok(())
    }

    /// Reads what the archive has beyond the own journal from copies of segments, and finds the position behind it.
    fn catch_up(&mut self) -> Result<()> {
        self.at = None;
        let env: &Env = self.database.env();
        let durable = self.database.engine().durable_lsn();
        let Some(segments) = segments_from(&*self.target, self.of, durable.next())? else {
            let is_all = durable == Lsn::ZERO || self.is_known_whole(|_| true, durable)?;
            return if is_all { Ok(()) } else { Err(self.gone(durable)) };
        };
        let dir = self.database.engine().layout().dir().join("follow.staging");
        remove_tree(&*env.fs, &dir)?;
        create_dir_durably(&*env.fs, &dir)?;
        stage(env, &*self.target, self.of, &segments, &dir)?;
        let read = self.read_copies(env, &dir, durable);
        remove_tree(&*env.fs, &dir)?;
        let end = read?;
        // The end of a backup's last segment is a frame of its own: nothing can be followed from there.
        self.at = end.filter(|_| segments.is_archive);
        Ok(())
    }

    /// Applies the entries of copied segments from the last known one on; returns where they end.
    fn read_copies(&self, env: &Env, dir: &std::path::Path, durable: Lsn) -> Result<Option<JournalMark>> {
        let (copy, _) = SegmentedJournal::open_read_only(env, dir)?;
        // The last known entry is compared, so that another past is noticed.
        let from = durable.max(copy.first_lsn());
        let mut reader = copy.read_from(from)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = reader.next_entry()? {
            bytes += entry.bytes.len();
            entries.push((entry.lsn, entry.bytes));
            if bytes >= GROUP_BYTES {
                let given = self.apply(std::mem::take(&mut entries))?;
                self.database.role().note_given(given, None);
                bytes = 0;
            }
        }
        let given = self.apply(entries)?;
        self.database.role().note_given(given, None);
        Ok(Some(reader.mark()))
    }
}

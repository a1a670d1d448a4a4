//! Sending durable frames into the archive while their segment is still being written.
//!
//! ```text
//! begin   newest epoch is ours? ─ own journal has all that is archived? ─ claim the next epoch ─ once more
//! step    range ─ create-if-absent ─ durable ─ read back ─ …            (all that is durable now)
//!         └▶ is there a next epoch? ─ no ─▶ it counts as archived        yes, or this one is another's ─▶ fenced: no write is
//!                                                                        acknowledged any more
//! ```
//!
//! What counts as archived is therefore in the archive before any later epoch begins. The protocol: `docs/design/standby.md`.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use stemedb_env::Lsn;
use stemedb_wal::{
    DurableFrames, FrameRange, Journal, JournalMark, JournalReader, SegmentedJournal, read_frames,
};

use super::{
    ArchiveRecord, BackupTarget, Content, EpochRecord, Error, FORMAT, Hex, Result, archive, archived,
    document::damaged,
    epoch::{self, Turn},
    ranges::{self, Fetched, OBJECT_MAX_BYTES, Past, Range, RangeObject},
};
use crate::Database;

/// Plain bytes of a range that is sent at once.
const RANGE_BYTES: u64 = 4 << 20;
/// Ranges that are sent before anybody else has a turn.
const RANGES_AT_ONCE: usize = 16;
/// So many ranges of about one size become one.
const MERGED_AT_ONCE: usize = 16;
/// Plain bytes of a merged range at most.
const MERGED_MAX_BYTES: u64 = 8 << 20;

/// How frames are sent.
#[derive(Clone, Copy, Debug)]
pub struct ShipOptions {
    /// Plain bytes of a range at most, unless one frame has more.
    pub range_bytes: u64,
    /// How long objects stay whose bytes are in another one by now: somebody may have read a listing with them.
    pub keep_superseded: Duration,
}

impl Default for ShipOptions {
    fn default() -> ShipOptions {
        ShipOptions { range_bytes: RANGE_BYTES, keep_superseded: Duration::from_secs(600) }
    }
}

/// Where shipping goes on.
#[derive(Clone, Copy, Debug)]
enum Place {
    Unknown,
    /// At the beginning of a segment, which need not be there yet.
    StartOf(u64),
    At(JournalMark),
}

/// A range of the present segment that may be merged with its neighbours.
#[derive(Clone, Debug)]
struct Sent {
    object: RangeObject,
    from: JournalMark,
    to: JournalMark,
    /// How often it was merged.
    rank: u32,
}

/// Objects that nobody needs any more, and since when.
#[derive(Debug, Default)]
pub(crate) struct Superseded(VecDeque<(Duration, String)>);

impl Superseded {
    pub fn push(&mut self, since: Duration, name: String) {
        self.0.push_back((since, name));
    }

    /// Removes those that have been there long enough.
    pub fn remove(&mut self, target: &dyn BackupTarget, now: Duration, keep: Duration) -> Result<()> {
        let mut removed = false;
        while let Some((since, name)) = self.0.front() {
            if now.saturating_sub(*since) < keep {
                break;
            }
            target.delete(name)?;
            self.0.pop_front();
            removed = true;
        }
        if removed { target.settle() } else { Ok(()) }
    }
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShipReport {
    /// The last entry that counts as archived.
    pub upto: Lsn,
    /// There is more to send at once.
    pub more: bool,
}

/// Sends what is durable of one database into an archive. One for each open database.
#[derive(Debug)]
pub struct Shipper {
    database: Database,
    target: Arc<dyn BackupTarget>,
    of: Past,
    holder: Hex<16>,
    epoch: Option<u64>,
    place: Place,
    /// Everything up to here has been sent.
    reached: Lsn,
    sent: Vec<Sent>,
    /// Objects that were there when it was found where the archive ends.
    found: BTreeSet<String>,
    superseded: Superseded,
    options: ShipOptions,
}

impl Shipper {
    /// Nothing is asked of the target before the first step.
    pub fn new(database: &Database, target: Arc<dyn BackupTarget>, options: ShipOptions) -> Shipper {
        let mut holder = [0; 16];
        database.env().random.fill(&mut holder);
        let identity = database.engine().identity();
        let of = Past { database: Hex(identity.database.0), timeline: identity.timeline };
        Shipper {
            database: database.clone(),
            target,
            of,
            holder: Hex(holder),
            epoch: None,
            place: Place::Unknown,
            reached: Lsn::ZERO,
            sent: Vec::new(),
            found: BTreeSet::new(),
            superseded: Superseded::default(),
            options,
        }
    }

    /// [`Shipper::new`] of a writer whose epoch has begun already.
    #[must_use]
    pub fn holding(self, epoch: u64, holder: Hex<16>) -> Shipper {
        Shipper { epoch: Some(epoch), holder, ..self }
    }

    /// Sends everything that is durable now, or a part of it, and looks whether it counts.
    ///
    /// Cost: nothing new: a look and a read; else a create, a read and a look; now and then what merging takes. The first step also
    /// reads what the archive has, and the journal's segment that it ends in.
    ///
    /// Errors: [`Error::Fenced`] once another is the writer, or the archive has entries that this journal lacks: then the database
    /// acknowledges no write any more. Any other: the next step goes on where this one was.
    pub fn step(&mut self) -> Result<ShipReport> {
        let role = self.database.role();
        if let Some(reason) = role.fenced() {
            return Err(Error::Fenced { reason });
        }
        let began = self.database.env().clock.monotonic();
        let stepped = self.try_step();
        match &stepped {
            Ok(report) => role.note_archived(report.upto, (!report.more).then_some(began)),
            Err(Error::Fenced { reason }) => self.database.fence(reason),
            Err(error) => role.note_archive_error(error.to_string()),
        }
        stepped
    }

    fn try_step(&mut self) -> Result<ShipReport> {
        match (self.epoch, self.place) {
            (None, _) => self.begin()?,
            (Some(_), Place::Unknown) => self.resume()?,
            _ => {}
        }
        let Some(epoch) = self.epoch else { return Ok(ShipReport { upto: Lsn::ZERO, more: false }) };
        self.database.role().note_epoch(epoch);
        let more = self.ship(epoch)?;
        // After everything that was sent: only now it is known that it counts.
        match epoch::turn(&*self.target, &self.of.database, epoch, &self.holder)? {
            Turn::Goes => {}
            Turn::Ended => return Err(self.lost_to_another()),
            Turn::Lost => self.put_back(epoch)?,
        }
        let upto = self.reached;
        self.merge(epoch)?;
        let now = self.database.env().clock.monotonic();
        self.superseded.remove(&*self.target, now, self.options.keep_superseded)?;
        Ok(ShipReport { upto, more })
    }

    /// All epochs are gone: whoever were promoted now would begin with the first one, and fence nobody.
    fn put_back(&self, epoch: u64) -> Result<()> {
        let record = self.record(epoch);
        if !epoch::put_back(&*self.target, &record)? {
            let reason = format!(
                "epoch {epoch} is gone from the archive, and others are there: nobody knows whose turn it is"
            );
            return Err(Error::Fenced { reason });
        }
        tracing::error!(
            epoch,
            target = self.target.describe(),
            "the epochs were lost, and this one is put back"
        );
        Ok(())
    }

    fn record(&self, epoch: u64) -> EpochRecord {
        EpochRecord {
            format: FORMAT,
            database: self.of.database,
            epoch,
            timeline: self.of.timeline,
            holder: self.holder,
            follows: None,
            begun_at: self.database.env().clock.wall().0,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn journal(&self) -> &SegmentedJournal {
        self.database.engine().journal()
    }

    fn lost_to_another(&self) -> Error {
        let reason = match epoch::newest(&*self.target, &self.of.database) {
            Ok(Some(EpochRecord { epoch, timeline, .. })) => {
                format!("another server is the writer: epoch {epoch}, timeline {timeline}")
            }
            _ => "another server is the writer".to_owned(),
        };
        Error::Fenced { reason }
    }

    /// Becomes the writer, if nobody else is one of another past.
    fn begin(&mut self) -> Result<()> {
        let newest = epoch::newest(&*self.target, &self.of.database)?;
        if newest.as_ref().is_some_and(|newest| newest.timeline != self.of.timeline) {
            return Err(self.lost_to_another());
        }
        // Whoever lacks what is archived is not the one to go on: nothing is claimed then.
        self.resume()?;
        let next = newest.map_or(0, |newest| newest.epoch).saturating_add(1);
        if !epoch::claim(&*self.target, &self.record(next))? {
            self.place = Place::Unknown;
            return Err(Error::Refused(format!("epoch {next} was begun by another at this moment")));
        }
        // What the one before has sent until then.
        self.resume()?;
        self.epoch = Some(next);
        tracing::info!(
            epoch = next,
            target = self.target.describe(),
            "the journal is archived as it is written"
        );
        Ok(())
    }

    /// Finds where the archive ends, and that everything in it is in the journal.
    fn resume(&mut self) -> Result<()> {
        self.place = Place::Unknown;
        self.sent.clear();
        let whole = archived(&*self.target, &self.of.database, self.of.timeline)?.pop();
        let objects = ranges::list(&*self.target, &self.of)?;
        self.found = objects.iter().map(|object| object.name.clone()).collect();
        let behind = whole.as_ref().map_or(0, |whole| whole.segment);
        let newest = objects.iter().map(|object| object.segment).filter(|&segment| segment > behind).max();
        let of_newest: Vec<RangeObject> =
            objects.into_iter().filter(|object| Some(object.segment) == newest).collect();
        let (chained, damage) = ranges::chain(&*self.target, &self.of, &of_newest)?;
        if let Some(error) = damage {
            tracing::warn!(%error, "a range in the archive is damaged, and is sent again");
        }
        (self.place, self.reached) = match chained.last() {
            None => self.after_whole(whole.as_ref())?,
            Some(last) => self.after_ranges(&chained, last)?,
        };
        Ok(())
    }

    fn another_past(&self, what: &str) -> Error {
        Error::Fenced { reason: format!("the archive is of another past: {what}") }
    }

    /// Behind the newest segment that is archived whole.
    fn after_whole(&self, whole: Option<&ArchiveRecord>) -> Result<(Place, Lsn)> {
        let Some(whole) = whole else {
            let oldest = self.journal().segment_files()?.first().map_or(1, |file| file.id);
            return Ok((Place::StartOf(oldest), Lsn::ZERO));
        };
        self.must_reach(Lsn(whole.last_lsn))?;
        let next = whole.segment.saturating_add(1);
        let chain = whole.replaces.map_or(whole.chain, |replaced| replaced.chain);
        match self.journal().segment_mark(next)? {
            Some(mark) if Hex(mark.chain.0) == chain && mark.next_lsn == Lsn(whole.last_lsn).next() => {
                Ok((Place::StartOf(next), Lsn(whole.last_lsn)))
            }
            _ => Err(self.another_past(&format!("segment {next} does not follow from it"))),
        }
    }

    /// The journal has everything that the archive has.
    fn must_reach(&self, lsn: Lsn) -> Result<()> {
        let durable = self.database.engine().durable_lsn();
        match durable >= lsn {
            true => Ok(()),
            false => Err(Error::Fenced {
                reason: format!("the archive has entries up to {lsn}, and this journal ends at {durable}"),
            }),
        }
    }

    /// Behind the ranges of the newest segment. After a restart the old segment often counts for less than was durable of it: what
    /// nothing proved is written again in the next one.
    fn after_ranges(&mut self, chained: &[Range], last: &Range) -> Result<(Place, Lsn)> {
        let (end, segment) = (last.record.to_mark(), last.record.segment);
        let reached = end.next_lsn.prev();
        self.must_reach(reached)?;
        let offsets: Vec<u64> = chained.iter().map(|range| range.record.to).collect();
        let own = self.journal().marks_at(segment, &offsets)?;
        let agrees = |(range, own): &(&Range, &Option<JournalMark>)| **own == Some(range.record.to_mark());
        let agreed = chained.iter().zip(&own).take_while(agrees).count();
        let rest = chained.get(agreed..).unwrap_or_default();
        let mut is_cut = true;
        for (at, range) in rest.iter().enumerate() {
            let fetched = ranges::fetch(&*self.target, &self.of, &range.object)?;
            self.must_be_ours(&fetched)?;
            if at == 0 {
                is_cut = self.is_cut_within(&fetched)?;
            }
        }
        self.settle_again(&last.object)?;
        if rest.is_empty() {
            let ranks = |range: &Range| Sent {
                object: range.object.clone(),
                from: range.record.from_mark(),
                to: range.record.to_mark(),
                rank: u32::from(range.object.to.is_some()),
            };
            self.sent = chained.iter().map(ranks).collect();
            return Ok((Place::At(end), reached));
        }
        if is_cut {
            return Ok((Place::StartOf(segment.saturating_add(1)), reached));
        }
        // The same entries in other frames: nothing can be added to those, so the segment goes whole.
        self.send_whole(segment)?;
        let whole = archived(&*self.target, &self.of.database, self.of.timeline)?.pop();
        let (place, upto) = self.after_whole(whole.as_ref())?;
        Ok((place, upto.max(reached)))
    }

    /// Ends a segment and archives it whole.
    fn send_whole(&self, segment: u64) -> Result<()> {
        let report = archive(&self.database, &*self.target, true)?;
        let last = archived(&*self.target, &self.of.database, self.of.timeline)?.pop();
        match last.is_some_and(|last| last.segment >= segment) {
            true => Ok(()),
            false => Err(Error::Refused(format!(
                "segment {segment} is not archived whole yet: the archive reaches LSN {}",
                report.upto
            ))),
        }
    }

    /// Every entry of a range is the one that the journal has.
    fn must_be_ours(&self, fetched: &Fetched) -> Result<()> {
        let mut entries = Vec::new();
        let from = fetched.record.from_mark();
        // It has been proven just now.
        let _ = read_frames(self.of.identity(), &from, &fetched.plain, &mut |lsn, bytes| {
            entries.push((lsn, bytes));
        });
        let Some((first, _)) = entries.first() else { return Ok(()) };
        let mut reader = self.journal().read_from(*first)?;
        for (lsn, bytes) in &entries {
            let own = reader.next_entry()?;
            if own.is_none_or(|own| (own.lsn, &own.bytes) != (*lsn, bytes)) {
                return Err(self.another_past(&format!("entry {lsn} is another one")));
            }
        }
        Ok(())
    }

    /// True if the journal's segment ends within a range, and is the same up to there.
    fn is_cut_within(&self, fetched: &Fetched) -> Result<bool> {
        let (from, to) = (fetched.record.from, fetched.record.to);
        let Some((ends, _)) = self.journal().segment_bytes(fetched.record.segment)? else { return Ok(false) };
        if !(from..to).contains(&ends) {
            return Ok(false);
        }
        if ends == from {
            return Ok(true);
        }
        match self.journal().frames_after(&fetched.record.from_mark(), ends - from) {
            Ok(DurableFrames::Range(own)) => {
                Ok(own.to.offset == ends && fetched.plain.starts_with(&own.bytes))
            }
            Ok(_) | Err(stemedb_wal::Error::Corruption { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever has written the newest object may have died before it was durable.
    fn settle_again(&self, object: &RangeObject) -> Result<()> {
        let raw = ranges::fetch(&*self.target, &self.of, object)?.raw;
        self.target.put(&object.name, Content::Bytes(&raw))?;
        self.target.settle()
    }

    /// Sends some ranges; true if there is more.
    fn ship(&mut self, epoch: u64) -> Result<bool> {
        for _ in 0..RANGES_AT_ONCE {
            let at = match self.place {
                Place::Unknown => return Ok(false),
                Place::At(mark) => mark,
                Place::StartOf(segment) => match self.journal().segment_mark(segment)? {
                    Some(mark) => mark,
                    None => return Ok(false),
                },
            };
            match self.journal().frames_after(&at, self.options.range_bytes)? {
                DurableFrames::Nothing => return Ok(false),
                DurableFrames::SegmentEnds => {
                    self.sent.clear();
                    self.place = Place::StartOf(at.segment.saturating_add(1));
                }
                DurableFrames::Replaced => {
                    self.send_whole(at.segment)?;
                    self.resume()?;
                }
                DurableFrames::Range(range) => {
                    let to = self.send(epoch, &range)?;
                    self.reached = self.reached.max(to.next_lsn.prev());
                    self.place = Place::At(to);
                }
            }
        }
        Ok(true)
    }

    /// Sends a range, and reads it back. Returns where what is there by now ends.
    fn send(&mut self, epoch: u64, range: &FrameRange) -> Result<JournalMark> {
        let target = Arc::clone(&self.target);
        let object = RangeObject::shipped(&self.of, range.from.segment, range.from.offset);
        let now = self.database.env().clock.wall();
        let (_, raw) = ranges::encode(&self.of, epoch, range, now)?;
        let mut to = range.to;
        if !target.put_if_absent(&object.name, Content::Bytes(&raw))? {
            match ranges::fetch(&*target, &self.of, &object) {
                // An earlier try of this very writer, whose answer was lost: a beginning of what is durable by now.
                Ok(there) if range.bytes.starts_with(&there.plain) => {
                    to = there.record.to_mark();
                    target.put(&object.name, Content::Bytes(&there.raw))?;
                    target.settle()?;
                    self.note_sent(object, range.from, to);
                    return Ok(to);
                }
                // It was not there when this epoch had begun, so its writer looks for the next epoch after that, and it counts for nothing.
                Ok(there) if there.record.epoch < epoch && !self.found.contains(&object.name) => {
                    tracing::warn!(
                        name = object.name,
                        "a range that a fenced writer has sent too late is replaced"
                    );
                    target.put(&object.name, Content::Bytes(&raw))?;
                }
                Ok(_) => {
                    return Err(self.another_past(&format!("{} is of another writer", object.name)));
                }
                // What is there is nothing: it was torn.
                Err(error) if error.is_damage() => target.put(&object.name, Content::Bytes(&raw))?,
                Err(error) => return Err(error),
            }
        }
        target.settle()?;
        self.read_back(&object, &raw)?;
        self.note_sent(object, range.from, to);
        Ok(to)
    }

    fn note_sent(&mut self, object: RangeObject, from: JournalMark, to: JournalMark) {
        self.database.role().note_range();
        self.sent.push(Sent { object, from, to, rank: 0 });
    }

    fn read_back(&self, object: &RangeObject, raw: &[u8]) -> Result<()> {
        let back = self.target.get(&object.name, OBJECT_MAX_BYTES)?;
        match back.is_some_and(|back| back == raw) {
            true => Ok(()),
            false => Err(damaged(&*self.target, &object.name, "it is not what was sent")),
        }
    }

    /// Makes one range of many small ones, so that a restore need not read thousands.
    fn merge(&mut self, epoch: u64) -> Result<()> {
        while let Some(from) = due(&self.sent) {
            let Some((first, last)) = self.sent.get(from).zip(self.sent.last()) else { return Ok(()) };
            let (begin, end, rank) = (first.from, last.to, last.rank);
            let DurableFrames::Range(range) =
                self.journal().frames_after(&begin, end.offset - begin.offset)?
            else {
                return Ok(());
            };
            if range.to != end {
                return Ok(());
            }
            let object = RangeObject::merged(&self.of, begin.segment, begin.offset, end.offset);
            let now = self.database.env().clock.wall();
            let (_, raw) = ranges::encode(&self.of, epoch, &range, now)?;
            self.target.put(&object.name, Content::Bytes(&raw))?;
            self.target.settle()?;
            self.read_back(&object, &raw)?;
            let since = self.database.env().clock.monotonic();
            for merged in self.sent.drain(from..) {
                self.superseded.push(since, merged.object.name);
            }
            self.sent.push(Sent { object, from: begin, to: end, rank: rank + 1 });
        }
        Ok(())
    }
}

/// From where on the newest ranges are to be one, if there are enough of about one size.
fn due(sent: &[Sent]) -> Option<usize> {
    let from = sent.len().checked_sub(MERGED_AT_ONCE)?;
    let (newest, group) = (sent.last()?, sent.get(from..)?);
    let bytes = newest.to.offset.checked_sub(group.first()?.from.offset)?;
    let is_alike = group.iter().all(|one| one.rank == newest.rank);
    (is_alike && bytes <= MERGED_MAX_BYTES).then_some(from)
}

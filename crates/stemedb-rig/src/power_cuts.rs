//! Power cuts at random moments of a writer's life.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    JOURNAL_DIR, Result,
    child::Writer,
    dice::Dice,
    examine::{Examined, examine},
    history::History,
    image::{Checked, Image, SMALL_JOURNAL_BYTES, Variant},
    life::{WriterOptions, threads},
    mount::Mount,
    protocol::Line,
    scratch::Scratch,
    writeback,
};

const IMAGE_BYTES: u64 = 96 << 20;
/// What one life writes at most: four of them, and the examinations between them, fit into an image.
const LIFE_BYTES: u64 = 12 << 20;
const KEEP_BYTES: u64 = 4 << 20;
/// A run of fewer cuts may miss a rare state without being broken.
const ENOUGH_CUTS: u64 = 200;
/// More unusable disks than one in so many cuts would be a way to look away.
const CUTS_PER_UNUSABLE: u64 = 50;
const SHOW_EVERY: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many cuts.
    pub cuts: u64,
    /// Decides everything but the timing.
    pub seed: u64,
    /// The writer does not sync: the run must find losses.
    pub without_sync: bool,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Power cuts.
    pub cuts: u64,
    /// Acknowledged entries that were looked for, and were there.
    pub entries: u64,
    /// Acknowledged entries that were not.
    pub lost: u64,
    /// Cuts after which a torn tail was cut.
    pub torn: u64,
    /// Cuts after which whole groups were adopted.
    pub adopted: u64,
    /// Starts of a machine with a disk that had been cut.
    pub continued: u64,
    /// Cuts before a writer had opened a journal that another had left.
    pub in_recovery: u64,
    /// Disks that told nothing, because the file system had lost synced blocks by itself; not counted as cuts.
    pub unusable: u64,
    /// Writers that were killed while the machine went on.
    pub kills: u64,
    /// Writer processes.
    pub lives: u64,
    /// Everything that is wrong; the run ends at the first (except without syncs).
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "suite=power-cuts cuts={} entries={} torn={} adopted={} in_recovery={} unusable={} kills={} lives={} continued={} lost={} problems={} seconds={:.1}",
            self.cuts,
            self.entries,
            self.torn,
            self.adopted,
            self.in_recovery,
            self.unusable,
            self.kills,
            self.lives,
            self.continued,
            self.lost,
            self.problems.len(),
            self.took.as_secs_f64()
        )
    }
}

/// Cuts the power until it has been cut often enough.
pub fn run(scratch: &Scratch, options: &Options) -> Result<Summary> {
    let start = Instant::now();
    let dice = Dice::new(options.seed);
    let mut rig = PowerCuts {
        scratch,
        options,
        dice,
        summary: Summary::default(),
        start,
        shown: start,
        life: 0,
        writer: 0,
    };
    let mut world = 0;
    while !rig.is_over() {
        rig.world(world)?;
        world += 1;
    }
    let mut summary = rig.summary;
    summary.took = start.elapsed();
    let dead = [
        (summary.torn, "a torn tail"),
        (summary.adopted, "an adopted group"),
        (summary.in_recovery, "a recovery that was cut"),
    ];
    if summary.cuts >= ENOUGH_CUTS && summary.problems.is_empty() {
        let never = dead.into_iter().filter(|(count, _)| *count == 0);
        let unusable = (summary.unusable * CUTS_PER_UNUSABLE > summary.cuts)
            .then(|| format!("{} of {} disks told nothing", summary.unusable, summary.cuts));
        summary.problems.extend(unusable);
        summary
            .problems
            .extend(never.map(|(_, what)| format!("never happened, so nothing is proved about it: {what}")));
    }
    Ok(summary)
}

struct PowerCuts<'a> {
    scratch: &'a Scratch,
    options: &'a Options,
    dice: Dice,
    summary: Summary,
    start: Instant,
    shown: Instant,
    /// Number of the newest writer or examination.
    life: u32,
    /// Number of the newest writer.
    writer: u32,
}

/// One journal's disk and what was promised about it.
struct Disk {
    image: Image,
    history: History,
    seed: u64,
}

impl Disk {
    fn record(&mut self, life: u32, lines: &[Line]) -> std::result::Result<(), String> {
        lines.iter().try_for_each(|line| self.history.record(life, line))
    }
}

impl PowerCuts<'_> {
    fn is_over(&self) -> bool {
        let found = !self.summary.problems.is_empty() && !self.options.without_sync;
        found || self.summary.cuts >= self.options.cuts
    }

    /// One journal, from its creation on, through a few starts of its machine.
    fn world(&mut self, number: u64) -> Result<()> {
        let seed = self.dice.number();
        let image = Image::make(
            &self.scratch.dir().join("live.img"),
            IMAGE_BYTES,
            Variant::of(number),
            SMALL_JOURNAL_BYTES,
        )?;
        let mut disk = Disk { image, history: History::new(seed), seed };
        // A history of losses cannot go on.
        let starts = if self.options.without_sync { 1 } else { self.dice.between(1, 4) };
        for number in 0..starts {
            self.summary.continued += u64::from(number > 0);
            match self.uptime(disk)? {
                Some(next) if !self.is_over() => disk = next,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The writers of a disk between two starts of the machine, and the cuts in their lives. Returns the disk that the
    /// next start finds.
    fn uptime(&mut self, mut disk: Disk) -> Result<Option<Disk>> {
        let mount = disk.image.mount(&self.scratch.dir().join("live"))?;
        let mut writer = self.writer(&mut disk, &mount)?;
        let (mut recovers, mut opened) = (disk.history.exists(), false);
        let cuts = self.dice.between(2, 10);
        for cut in 1..=cuts {
            // The first ones soon after the start: that is where recovery is.
            let limit = if cut <= 2 || !opened || self.dice.one_in(5) { 6_000 } else { 50_000 };
            let wait = Duration::from_micros(self.dice.below(limit));
            let mut lines = writer.listen(wait)?;
            lines.extend(writer.stop()?);
            writeback::by_chance(&mount, disk.image.variant(), &[JOURNAL_DIR], &mut self.dice)?;
            let raw = disk.image.copy(&self.scratch.dir().join("raw.img"))?;
            writer.go_on()?;
            opened |= lines.iter().any(|line| matches!(line, Line::Open { .. }));
            self.summary.in_recovery += u64::from(recovers && !opened);
            let done = lines.contains(&Line::Done);
            if let Err(problem) = disk.record(self.writer, &lines) {
                self.problem(&disk, &raw, vec![problem])?;
                return Ok(None);
            }
            let Some((copy, examined)) = self.examine(&disk, &raw)? else { continue };
            if !examined.verdict.problems.is_empty() {
                self.problem(&disk, &raw, examined.verdict.problems)?;
                if !self.options.without_sync {
                    return Ok(None);
                }
                continue;
            }
            if cut == cuts || done || self.is_over() {
                // The next start finds what recovery left, or has to recover by itself (and is cut while it does).
                let (image, history) =
                    if self.dice.one_in(2) { (copy, examined.used) } else { (raw, examined.found) };
                drop((writer, mount));
                let image = image.replace(disk.image)?;
                if image.check()? == Checked::LostBlocks {
                    self.summary.unusable += 1;
                    return Ok(None);
                }
                return Ok(Some(Disk { image, history, ..disk }));
            }
            if self.dice.one_in(4) {
                // The process dies and the machine does not: what was not synced is still there, for now.
                let lines = writer.listen(Duration::from_micros(self.dice.below(20_000)))?;
                let recorded = disk.record(self.writer, &lines);
                let lines = writer.kill()?;
                if let Err(problem) = recorded.and_then(|()| disk.record(self.writer, &lines)) {
                    self.problem(&disk, &raw, vec![problem])?;
                    return Ok(None);
                }
                self.summary.kills += 1;
                (recovers, opened) = (disk.history.exists(), false);
                writer = self.writer(&mut disk, &mount)?;
            }
        }
        Ok(None)
    }

    fn writer(&mut self, disk: &mut Disk, mount: &Mount) -> Result<Writer> {
        self.life += 1;
        self.writer = self.life;
        self.summary.lives += 1;
        disk.history.begins(self.life, threads(disk.seed, self.life));
        Writer::start(&WriterOptions {
            dir: mount.dir().join(JOURNAL_DIR),
            seed: disk.seed,
            life: self.life,
            exists: disk.history.exists(),
            flushed: disk.history.flushed(),
            gone: disk.history.gone(),
            bytes: LIFE_BYTES,
            keep_bytes: if disk.image.variant().must_not_reuse_blocks() { u64::MAX } else { KEEP_BYTES },
            dawdles: true,
            without_sync: self.options.without_sync,
            ..WriterOptions::default()
        })
    }

    /// Examines a copy of `raw`, which stays as it is. Returns the used copy too; `None` if the disk is unusable.
    fn examine(&mut self, disk: &Disk, raw: &Image) -> Result<Option<(Image, Examined)>> {
        self.life += 1;
        let copy = raw.copy(&self.scratch.dir().join("cut.img"))?;
        if copy.check()? == Checked::LostBlocks {
            self.summary.unusable += 1;
            return Ok(None);
        }
        let mount = copy.mount(&self.scratch.dir().join("cut"))?;
        let examined = examine(mount.dir(), &disk.history, disk.seed, self.life);
        drop(mount);
        let summary = &mut self.summary;
        summary.cuts += 1;
        summary.entries += examined.verdict.checked;
        summary.lost += examined.verdict.lost;
        if let Some(report) = &examined.report {
            summary.torn += u64::from(report.cut.is_some());
            summary.adopted += u64::from(report.adopted_entries > 0);
        }
        if self.shown.elapsed() > SHOW_EVERY {
            self.shown = Instant::now();
            let (cuts, entries) = (summary.cuts, summary.entries);
            println!("{cuts} cuts, {entries} entries after {} s", self.start.elapsed().as_secs());
        }
        Ok(Some((copy, examined)))
    }

    fn problem(&mut self, disk: &Disk, raw: &Image, problems: Vec<String>) -> Result<()> {
        if !self.options.without_sync {
            let note = format!(
                "seed {}, cut {}, {:?}, seed of the journal {}, writer {}\n{}\n\n{:#?}\n",
                self.options.seed,
                self.summary.cuts,
                disk.image.variant(),
                disk.seed,
                self.writer,
                problems.join("\n"),
                disk.history
            );
            let name = format!("{}-{}", self.options.seed, self.summary.cuts);
            let kept = self.scratch.keep(&name, &[raw.path()], &note)?;
            println!("the disk and the history of the failure: {}", kept.display());
        }
        self.summary.problems.extend(problems);
        Ok(())
    }
}

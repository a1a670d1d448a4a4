//! Power cuts below a process that runs the whole engine, at random moments.
//!
//! Only on file systems with a journal of their own. Without one, a check after the cut may repair the old owner of a block
//! that is another file's by now, and so takes back what had been synced; the journal's own suite avoids that by removing no file
//! there ([`crate::image::Variant::must_not_reuse_blocks`]). An engine cannot: its merges, its flushes and the packing of
//! segments remove files all the time, and a suite that switched all of them off would not be about the engine any more.

use std::time::{Duration, Instant};

use crate::{
    Result,
    child::Writer,
    dice::Dice,
    engine_deaths::{DATA_DIR, Life, Summary, start},
    engine_examine::{Examined, examine},
    history::History,
    image::{Checked, Image, SMALL_JOURNAL_BYTES, Variant},
    mount::Mount,
    scratch::Scratch,
    writeback,
};

const IMAGE_BYTES: u64 = 192 << 20;
/// What one life writes at most.
const LIFE_BYTES: u64 = 3 << 20;
/// An image that takes so much room is left behind: others need the memory, and examinations take longer and longer.
const FULL_BYTES: u64 = 120 << 20;
/// Where the engine's files are, of which the kernel may write pages by itself.
const FOLDERS: &[&str] = &["db", "db/wal", "db/kv", "db/sidecar", "db/fallback"];
const SHOW_EVERY: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many cuts.
    pub cuts: u64,
    /// Decides everything but the timing.
    pub seed: u64,
    /// The engine does not sync: the run must find losses.
    pub without_sync: bool,
}

/// Cuts the power until it has been cut often enough.
pub fn run(scratch: &Scratch, options: &Options) -> Result<Summary> {
    let start = Instant::now();
    let dice = Dice::new(options.seed);
    let mut rig =
        Cuts { scratch, options, dice, summary: Summary::new("engine-cuts"), start, shown: start, life: 0 };
    let mut world = 0;
    while !rig.is_over() {
        let variant = if world % 2 == 0 { Variant::Ordered } else { Variant::Writeback };
        rig.world(variant)?;
        world += 1;
    }
    rig.summary.end(start);
    Ok(rig.summary)
}

struct Cuts<'a> {
    scratch: &'a Scratch,
    options: &'a Options,
    dice: Dice,
    summary: Summary,
    start: Instant,
    shown: Instant,
    /// Number of the newest writer or examination.
    life: u32,
}

/// One database's disk and what was promised about it.
struct Disk {
    image: Image,
    history: History,
    seed: u64,
}

/// A process, and how far it has come.
struct Running {
    writer: Writer,
    number: u32,
    life: Life,
}

impl Cuts<'_> {
    fn is_over(&self) -> bool {
        let found = !self.summary.problems.is_empty() && !self.options.without_sync;
        found || self.summary.deaths >= self.options.cuts
    }

    /// One database, from its creation on, through a few starts of its machine.
    fn world(&mut self, variant: Variant) -> Result<()> {
        let seed = self.dice.number();
        let path = self.scratch.dir().join("live.img");
        let image = Image::make(&path, IMAGE_BYTES, variant, SMALL_JOURNAL_BYTES)?;
        let mut disk = Disk { image, history: History::of_engine(seed), seed };
        // A history of losses cannot go on.
        let starts = if self.options.without_sync { 1 } else { self.dice.between(1, 4) };
        for number in 0..starts {
            self.summary.continued += u64::from(number > 0);
            match self.uptime(disk)? {
                Some(next) if !self.is_over() && next.image.occupied_bytes()? < FULL_BYTES => disk = next,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The processes of a disk between two starts of the machine, and the cuts in their lives. Returns the disk that the
    /// next start finds.
    fn uptime(&mut self, mut disk: Disk) -> Result<Option<Disk>> {
        let mount = disk.image.mount(&self.scratch.dir().join("live"))?;
        let mut running = self.begin(&mut disk, &mount)?;
        let cuts = self.dice.between(2, 10);
        for cut in 1..=cuts {
            let time = self.until_cut(cut, running.life.opened);
            let mut lines = running.writer.listen(time)?;
            lines.extend(running.writer.stop()?);
            writeback::by_chance(&mount, disk.image.variant(), FOLDERS, &mut self.dice)?;
            let raw = disk.image.copy(&self.scratch.dir().join("raw.img"))?;
            running.writer.go_on()?;
            if let Err(problem) = running.life.hear(running.number, &mut disk.history, &lines) {
                self.problem(&disk, &raw, vec![problem])?;
                return Ok(None);
            }
            let Some((copy, examined)) = self.examine(&disk, &raw, &running.life)? else { continue };
            if !examined.verdict.problems.is_empty() {
                self.problem(&disk, &raw, examined.verdict.problems)?;
                if !self.options.without_sync {
                    return Ok(None);
                }
                continue;
            }
            if cut == cuts || running.life.done || self.is_over() {
                // The next start finds what recovery left, or has to recover by itself (and is cut while it does).
                let (image, history) =
                    if self.dice.one_in(2) { (copy, examined.used) } else { (raw, examined.found) };
                drop((running, mount));
                let image = image.replace(disk.image)?;
                if image.check()? == Checked::LostBlocks {
                    self.summary.unusable += 1;
                    return Ok(None);
                }
                return Ok(Some(Disk { image, history, ..disk }));
            }
            if self.dice.one_in(4) {
                // The process dies and the machine does not: what was not synced is still there, for now.
                let time = Duration::from_micros(self.dice.below(20_000));
                let mut lines = running.writer.listen(time)?;
                lines.extend(running.writer.kill()?);
                if let Err(problem) = running.life.hear(running.number, &mut disk.history, &lines) {
                    self.problem(&disk, &raw, vec![problem])?;
                    return Ok(None);
                }
                running = self.begin(&mut disk, &mount)?;
            }
        }
        Ok(None)
    }

    /// The first cuts come soon after the start: that is where recovery is.
    fn until_cut(&mut self, cut: u64, opened: bool) -> Duration {
        let limit_us = match (cut <= 2 || !opened, self.dice.below(10)) {
            (true, 0..=7) => 12_000,
            (_, 0..=1) => 6_000,
            (_, 8) => 400_000,
            _ => 70_000,
        };
        Duration::from_micros(self.dice.below(limit_us))
    }

    fn begin(&mut self, disk: &mut Disk, mount: &Mount) -> Result<Running> {
        self.life += 1;
        self.summary.lives += 1;
        let (number, without_sync) = (self.life, self.options.without_sync);
        let (writer, life) =
            start(mount.dir(), disk.seed, number, &mut disk.history, LIFE_BYTES, without_sync)?;
        Ok(Running { writer, number, life })
    }

    /// Examines a copy of `raw`, which stays as it is. Returns the used copy too; `None` if the disk is unusable.
    fn examine(&mut self, disk: &Disk, raw: &Image, life: &Life) -> Result<Option<(Image, Examined)>> {
        self.life += 1;
        let copy = raw.copy(&self.scratch.dir().join("cut.img"))?;
        if copy.check()? == Checked::LostBlocks {
            self.summary.unusable += 1;
            return Ok(None);
        }
        let mount = copy.mount(&self.scratch.dir().join("cut"))?;
        let examined = examine(&mount.dir().join(DATA_DIR), &disk.history, disk.seed, self.life);
        drop(mount);
        self.summary.died(life);
        self.summary.add(&examined);
        if self.shown.elapsed() > SHOW_EVERY {
            self.shown = Instant::now();
            let Summary { deaths, entries, .. } = self.summary;
            println!("{deaths} cuts, {entries} entries after {} s", self.start.elapsed().as_secs());
        }
        Ok(Some((copy, examined)))
    }

    fn problem(&mut self, disk: &Disk, raw: &Image, problems: Vec<String>) -> Result<()> {
        if !self.options.without_sync {
            let note = format!(
                "seed {}, cut {}, {:?}, seed of the database {}, life {}\n{}\n\n{:#?}\n",
                self.options.seed,
                self.summary.deaths,
                disk.image.variant(),
                disk.seed,
                self.life,
                problems.join("\n"),
                disk.history
            );
            let name = format!("engine-{}-{}", self.options.seed, self.summary.deaths);
            let kept = self.scratch.keep(&name, &[raw.path()], &note)?;
            println!("the disk and the history of the failure: {}", kept.display());
        }
        self.summary.problems.extend(problems);
        Ok(())
    }
}

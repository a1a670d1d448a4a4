//! A disk that can be full, the process that writes to it, and what that process was promised.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    time::{Duration, Instant},
};

use crate::{
    At, Broken, JOURNAL_DIR,
    child::Writer,
    examine,
    filler::Filler,
    full_disk::{Options, Summary},
    history::History,
    image::{Image, SMALL_JOURNAL_BYTES, Variant},
    life::{WriterOptions, threads},
    mount::{Mount, SmallRequests},
    protocol::Line,
    scratch::Scratch,
};

const FULL_IMAGE_BYTES: u64 = 48 << 20;
const THIN_IMAGE_BYTES: u64 = 192 << 20;
/// What is below the thin image.
const THIN_DISK_BYTES: u64 = 72 << 20;
/// So large that it is not written back to where the blocks belong in a life: some of those places have no room, and a
/// file system whose own books cannot be written stops for good.
const THIN_JOURNAL_BYTES: u64 = 32 << 20;
const KEEP_BYTES: u64 = 4 << 20;
/// Microseconds between appends: the disk is to be filled by the filler, not by the journal.
const CALM_US: u64 = 1_500;
const LIFE: u32 = 1;

/// How a disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The file system has no block left: writes fail.
    Full(Variant),
    /// The file system has blocks, the device below has not: syncs fail.
    Thin,
}

/// Why a cycle ends early.
#[derive(Debug)]
pub enum Stop {
    /// Something is wrong with the journal.
    Wrong(String),
    /// Something did not happen in time: wrong too, unless the file system is dead.
    Late(String),
    /// The rig does not work.
    Broken(Broken),
    /// The file system has stopped for good, which is not the journal's doing.
    Dead,
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        Stop::Broken(broken)
    }
}

impl From<String> for Stop {
    fn from(problem: String) -> Stop {
        Stop::Wrong(problem)
    }
}

/// A disk. Its parts are let go of in this order.
#[derive(Debug)]
pub struct Disk<'a> {
    writer: Writer,
    filler: Option<Filler>,
    /// On a thin device, so that it does not lie.
    _small: Option<SmallRequests>,
    mount: Mount,
    image: Image,
    /// The device below a thin image.
    under: Option<Mount>,
    history: History,
    scratch: &'a Scratch,
    kind: Kind,
    seed: u64,
    /// Threads that were served since this was last emptied.
    served: BTreeSet<u16>,
    /// Appends that were not acknowledged since this was last zero, and the last error.
    failures: u64,
    last_error: String,
    /// Why the journal could not be opened again, the last time.
    last_shut: String,
    /// What the writer said after it had read everything.
    verified: Option<u64>,
    /// Number of the newest writer or examination.
    life: u32,
    /// Keep the disk of a failure; not where it was asked for.
    keeps: bool,
}

impl<'a> Disk<'a> {
    /// An empty disk, and a writer that has begun.
    pub fn make(scratch: &'a Scratch, kind: Kind, options: &Options, seed: u64) -> Result<Disk<'a>, Stop> {
        let (under, image) = match kind {
            Kind::Full(variant) => {
                let path = scratch.dir().join("full.img");
                (None, Image::make(&path, FULL_IMAGE_BYTES, variant, SMALL_JOURNAL_BYTES)?)
            }
            Kind::Thin => {
                let under = Mount::memory(&scratch.dir().join("under"), THIN_DISK_BYTES)?;
                let path = under.dir().join("thin.img");
                let image = Image::make(&path, THIN_IMAGE_BYTES, Variant::Ordered, THIN_JOURNAL_BYTES)?;
                image.occupy_metadata(THIN_JOURNAL_BYTES)?;
                (Some(under), image)
            }
        };
        let mount = image.mount(&scratch.dir().join("disk"))?;
        let small = under.as_ref().map(|_| SmallRequests::of(&mount)).transpose()?;
        let writer = Writer::start(&WriterOptions {
            dir: mount.dir().join(JOURNAL_DIR),
            seed,
            life: LIFE,
            bytes: u64::MAX,
            // On a thin device a block that was written once never fails again.
            keep_bytes: if under.is_some() { u64::MAX } else { KEEP_BYTES },
            calm_us: CALM_US,
            stubborn: true,
            reopens: options.policy.allow_reopen,
            retries_sync: options.retries_sync,
            ..WriterOptions::default()
        })?;
        let mut history = History::new(seed);
        history.begins(LIFE, threads(seed, LIFE));
        Ok(Disk {
            writer,
            filler: None,
            _small: small,
            mount,
            image,
            under,
            history,
            scratch,
            kind,
            seed,
            served: BTreeSet::new(),
            failures: 0,
            last_error: String::new(),
            last_shut: String::new(),
            verified: None,
            life: LIFE,
            keeps: !options.retries_sync,
        })
    }

    /// Takes all the room, and whatever becomes free, until an append has failed.
    pub fn fill(&mut self, summary: &mut Summary, patience: Duration) -> Result<(), Stop> {
        let room = self.under.as_ref().unwrap_or(&self.mount).dir().to_path_buf();
        self.filler = Some(Filler::fill(&room)?);
        self.failures = 0;
        self.until(summary, patience, "no append failed", |disk| {
            disk.filler.as_mut().map_or(Ok(()), Filler::again)?;
            Ok(disk.failures > 0)
        })
    }

    /// Gives the room back. Returns how long it took until every thread had an append acknowledged.
    pub fn free(&mut self, summary: &mut Summary, within: Duration) -> Result<Duration, Stop> {
        // What was acknowledged while the disk was full must not count.
        let said = self.writer.listen(Duration::ZERO)?;
        self.record(summary, said)?;
        self.filler = None;
        let freed = Instant::now();
        self.all_served(summary, within)?;
        Ok(freed.elapsed())
    }

    /// Whether the file system takes no write any more, although there is room.
    pub fn is_dead(&mut self) -> bool {
        self.filler = None;
        let path = self.mount.dir().join("probe");
        let probe = File::create(&path).and_then(|file| file.set_len(1).and_then(|()| file.sync_all()));
        let _ = fs::remove_file(&path);
        probe.is_err()
    }

    /// Waits until every thread has had an append acknowledged.
    pub fn all_served(&mut self, summary: &mut Summary, patience: Duration) -> Result<(), Stop> {
        self.served.clear();
        let all = usize::from(threads(self.seed, LIFE));
        self.until(summary, patience, "a thread has no acknowledgement", |disk| Ok(disk.served.len() == all))
    }

    /// The writer reads everything that it was promised.
    pub fn read_all(&mut self, summary: &mut Summary, patience: Duration) -> Result<(), Stop> {
        self.verified = None;
        self.writer.ask("verify")?;
        self.until(summary, patience, "it has not read everything", |disk| Ok(disk.verified.is_some()))
    }

    /// Lets time pass.
    pub fn pass(&mut self, summary: &mut Summary, time: Duration) -> Result<(), Stop> {
        let end = Instant::now() + time;
        self.until(summary, time * 2, "time stands still", |_| Ok(Instant::now() > end))
    }

    fn until(
        &mut self,
        summary: &mut Summary,
        patience: Duration,
        otherwise: &str,
        mut is_so: impl FnMut(&mut Self) -> crate::Result<bool>,
    ) -> Result<(), Stop> {
        let start = Instant::now();
        while !is_so(self)? {
            if start.elapsed() > patience {
                let (served, failures) = (&self.served, self.failures);
                let (error, shut) = (&self.last_error, &self.last_shut);
                let state =
                    format!("served {served:?}, {failures} failures, the last: {error}; shut: {shut}");
                return Err(Stop::Late(format!("{otherwise} after {patience:?}: {state}")));
            }
            let lines = self.writer.listen(Duration::from_millis(2))?;
            self.record(summary, lines)?;
            if self.writer.has_ended() {
                return Err(Broken("the writer ended".to_owned()).into());
            }
        }
        Ok(())
    }

    fn record(&mut self, summary: &mut Summary, lines: Vec<Line>) -> Result<(), Stop> {
        for line in lines {
            self.history.record(LIFE, &line)?;
            match line {
                Line::Acked { thread, .. } => {
                    self.served.insert(thread);
                }
                Line::Refused { why, .. } => {
                    summary.refused += 1;
                    self.failures += 1;
                    self.last_error = why;
                }
                Line::Unknown { why, .. } => {
                    summary.unknown += 1;
                    self.failures += 1;
                    self.last_error = why;
                }
                Line::StaysShut { why } => self.last_shut = why,
                Line::Verified { entries } => self.verified = Some(entries),
                _ => {}
            }
        }
        Ok(())
    }

    /// Cuts the power of a copy: what was acknowledged must be in it.
    pub fn cut(&mut self, summary: &mut Summary) -> Result<(), Stop> {
        let said = self.writer.stop()?;
        self.mount.settle()?;
        let raw = self.image.copy(&self.scratch.dir().join("raw.img"))?;
        self.writer.go_on()?;
        self.record(summary, said)?;
        let copy = raw.copy(&self.scratch.dir().join("cut.img"))?;
        copy.check()?;
        let mount = copy.mount(&self.scratch.dir().join("cut"))?;
        // As it was found it can be read...
        let mut verdict = examine::read_only(mount.dir(), &self.history);
        summary.lost += verdict.lost;
        // ...but a recovery writes, so it is given the room that was taken.
        let filler = Filler::place(mount.dir());
        if filler.exists() {
            fs::remove_file(&filler).at("remove", &filler)?;
            let root = File::open(mount.dir()).at("open", mount.dir())?;
            rustix::fs::syncfs(&root).at("sync", mount.dir())?;
        }
        self.life += 1;
        if verdict.problems.is_empty() {
            verdict = examine::examine(mount.dir(), &self.history, self.seed, self.life).verdict;
            summary.lost += verdict.lost;
        }
        summary.cuts += 1;
        summary.entries += verdict.checked;
        if verdict.problems.is_empty() {
            return Ok(());
        }
        let problems = verdict.problems.join("\n");
        if self.keeps {
            let (kind, seed) = (self.kind, self.seed);
            let note = format!("{kind:?}, seed of the journal {seed}\n{problems}\n\n{:#?}\n", self.history);
            let kept = self.scratch.keep(&format!("{seed}-{}", self.life), &[raw.path()], &note)?;
            println!("the disk and the history of the failure: {}", kept.display());
        }
        Err(Stop::Wrong(problems))
    }
}

//! `kill -9` of a process that runs the whole engine, at random moments. What the kernel was given stays.
//!
//! The folder lies in memory, so that a death costs nothing but the engine's own work. Most deaths are examined; after the
//! others the next process has to recover by itself, and may be killed while it does.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    At, Result,
    dice::Dice,
    engine_deaths::{DATA_DIR, Summary, start},
    engine_examine::examine,
    history::History,
    mount::run as run_command,
    scratch::Scratch,
};

/// What one life writes at most.
const LIFE_BYTES: u64 = 3 << 20;
/// A database that has grown to this is left behind: every examination reads all of it.
const WORLD_BYTES: u64 = 48 << 20;
const SHOW_EVERY: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many kills.
    pub kills: u64,
    /// Decides everything but the timing.
    pub seed: u64,
}

/// Kills until it has killed often enough.
pub fn run(scratch: &Scratch, options: &Options) -> Result<Summary> {
    let start = Instant::now();
    let dice = Dice::new(options.seed);
    let mut rig =
        Kills { scratch, options, dice, summary: Summary::new("engine-kills"), start, shown: start, life: 0 };
    while !rig.is_over() {
        rig.world()?;
    }
    rig.summary.end(start);
    Ok(rig.summary)
}

struct Kills<'a> {
    scratch: &'a Scratch,
    options: &'a Options,
    dice: Dice,
    summary: Summary,
    start: Instant,
    shown: Instant,
    /// Number of the newest writer or examination.
    life: u32,
}

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(path: PathBuf) -> Result<Folder> {
        fs::create_dir_all(&path).at("create", &path)?;
        Ok(Folder(path))
    }

    fn bytes(&self) -> u64 {
        let mut waiting = vec![self.0.clone()];
        let mut bytes = 0;
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                    Ok(metadata) => bytes += metadata.len(),
                    Err(_) => {}
                }
            }
        }
        bytes
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One database, and what was promised about it.
struct World {
    folder: Folder,
    history: History,
    seed: u64,
}

impl Kills<'_> {
    fn is_over(&self) -> bool {
        !self.summary.problems.is_empty() || self.summary.deaths >= self.options.kills
    }

    /// One database, from its creation on, through many deaths.
    fn world(&mut self) -> Result<()> {
        let seed = self.dice.number();
        let folder = Folder::make(self.scratch.dir().join("world"))?;
        let mut world = World { folder, history: History::of_engine(seed), seed };
        let kills = self.dice.between(20, 40);
        for kill in 1..=kills {
            self.summary.continued += u64::from(world.history.exists());
            self.life_of(&mut world)?;
            let is_last = kill == kills || self.is_over() || world.folder.bytes() > WORLD_BYTES;
            if self.summary.problems.is_empty() && (is_last || !self.dice.one_in(4)) {
                self.examine(&mut world)?;
            }
            if is_last || self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// How long a process may live. Most recoveries take a few milliseconds.
    fn lifetime(&mut self) -> Duration {
        let limit_us = match self.dice.below(40) {
            0..14 => 8_000,
            14..24 => 40_000,
            24..39 => 300_000,
            _ => return Duration::from_millis(1_500),
        };
        Duration::from_micros(self.dice.below(limit_us))
    }

    fn life_of(&mut self, world: &mut World) -> Result<()> {
        self.life += 1;
        self.summary.lives += 1;
        let number = self.life;
        let (mut writer, mut life) =
            start(&world.folder.0, world.seed, number, &mut world.history, LIFE_BYTES, false)?;
        let time = self.lifetime();
        let mut lines = writer.listen(time)?;
        lines.extend(writer.kill()?);
        let heard = life.hear(number, &mut world.history, &lines);
        self.summary.died(&life);
        match heard {
            Ok(()) => Ok(()),
            Err(problem) => self.problem(world, &world.folder.0.join(DATA_DIR), vec![problem]),
        }
    }

    /// In its place: the next process goes on from there.
    fn examine(&mut self, world: &mut World) -> Result<()> {
        self.life += 1;
        let dir = world.folder.0.join(DATA_DIR);
        // As the death left it, for people to look at if something is wrong.
        let before = Folder::make(self.scratch.dir().join("before"))?;
        if dir.exists() {
            copy(&dir, &before.0)?;
        }
        let examined = examine(&dir, &world.history, world.seed, self.life);
        self.summary.add(&examined);
        if self.shown.elapsed() > SHOW_EVERY {
            self.shown = Instant::now();
            let Summary { deaths, entries, .. } = self.summary;
            println!("{deaths} kills, {entries} entries after {} s", self.start.elapsed().as_secs());
        }
        if !examined.verdict.problems.is_empty() {
            return self.problem(world, &before.0.join(DATA_DIR), examined.verdict.problems);
        }
        world.history = examined.used;
        Ok(())
    }

    fn problem(&mut self, world: &World, evidence: &std::path::Path, problems: Vec<String>) -> Result<()> {
        let note = format!(
            "seed {}, kill {}, seed of the database {}, life {}\n{}\n\n{:#?}\n",
            self.options.seed,
            self.summary.deaths,
            world.seed,
            self.life,
            problems.join("\n"),
            world.history
        );
        let name = format!("kills-{}-{}", self.options.seed, self.summary.deaths);
        let kept = self.scratch.keep(&name, &[], &note)?;
        if evidence.exists() {
            copy(evidence, &kept)?;
        }
        println!("the database and the history of the failure: {}", kept.display());
        self.summary.problems.extend(problems);
        Ok(())
    }
}

/// A folder, into another one.
fn copy(from: &std::path::Path, into: &std::path::Path) -> Result<()> {
    run_command(Command::new("cp").arg("-a").arg(from).arg(into))
}

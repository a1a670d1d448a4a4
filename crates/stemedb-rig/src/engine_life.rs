//! What a writer of an engine is told, and what follows from the number of its life alone.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;
use stemedb_hybrid::{FallbackMode, HybridOptions, ScrubOptions};

use crate::dice::Dice;

/// What the parent tells a writer of an engine.
#[derive(Args, Clone, Debug, Default)]
pub struct EngineWriterOptions {
    /// The data directory.
    #[arg(long)]
    pub dir: PathBuf,
    /// Seed of the run: decides content.
    #[arg(long)]
    pub seed: u64,
    /// Which child process this is.
    #[arg(long)]
    pub life: u32,
    /// The database exists: do not make one.
    #[arg(long)]
    pub exists: bool,
    /// Stop committing after about so many bytes.
    #[arg(long)]
    pub bytes: u64,
    /// Do not sync, to prove that the rig can fail.
    #[arg(long)]
    pub without_sync: bool,
}

impl EngineWriterOptions {
    /// As they stand on the command line.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--dir".into(), self.dir.clone().into()];
        for (name, value) in
            [("--seed", self.seed), ("--life", u64::from(self.life)), ("--bytes", self.bytes)]
        {
            words.extend([name.into(), value.to_string().into()]);
        }
        for (name, set) in [("--exists", self.exists), ("--without-sync", self.without_sync)] {
            words.extend(set.then(|| name.into()));
        }
        words
    }
}

fn dice(seed: u64, life: u32) -> Dice {
    Dice::of(!seed, 1 << 33 | u64::from(life))
}

/// How many threads of a life commit.
pub fn threads(seed: u64, life: u32) -> u16 {
    u16::try_from(dice(seed, life).between(1, 4)).unwrap_or(1)
}

/// How a life goes, beside the engine's options.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Short writes and late syncs; else the file system as it is, with direct writes where the engine wants them.
    pub dawdles: bool,
    /// The longest pause between two commits of a thread, in microseconds.
    pub calm_us: u64,
}

/// The pace of a life.
pub fn pace(seed: u64, life: u32) -> Pace {
    let mut dice = Dice::of(seed, 1 << 34 | u64::from(life));
    let calm_us = [0, 300, 1_500, 6_000].get(usize::try_from(dice.below(4)).unwrap_or(0)).copied();
    Pace { dawdles: dice.below(3) > 0, calm_us: calm_us.unwrap_or(0) }
}

/// Sizes so small that a fraction of a second flushes, merges, rotates and packs. They differ from one life to the next, as
/// they may. The journal keeps everything, as it does unless told otherwise: an examination reads it from the first entry on.
pub fn engine_options(seed: u64, life: u32) -> HybridOptions {
    let mut dice = dice(seed, life);
    dice.number();
    let mut options = HybridOptions::default();
    options.lsm.memory_bytes = 16 << 20;
    options.lsm.memtable_bytes = 64 << (10 + dice.below(4));
    options.lsm.target_table_bytes = 64 << (10 + dice.below(4));
    options.lsm.l0_trigger = if dice.one_in(2) { 2 } else { 4 };
    options.lsm.idle_after = Duration::from_millis(dice.between(10, 200));
    options.journal.segment_bytes = 64 << (10 + 2 * dice.below(3));
    options.journal.sector_bytes = if dice.one_in(2) { 512 } else { 4096 };
    options.journal.compress = dice.one_in(2);
    options.journal.idle_marker = Duration::from_millis(dice.between(1, 5));
    options.disk.reserve_bytes = 1 << 20;
    options.fallback_cache_bytes = 1 << 20;
    if dice.one_in(4) {
        options.fallback = FallbackMode::Standby;
    }
    if dice.one_in(2) {
        options.scrub = ScrubOptions::off();
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_differ_and_each_follows_from_its_number() {
        let lives: Vec<_> = (0..60).map(|life| engine_options(7, life)).collect();
        assert!(lives.iter().any(|options| options.fallback == FallbackMode::Standby));
        assert!(lives.iter().any(|options| options.fallback == FallbackMode::OnDemand));
        let sizes: std::collections::BTreeSet<_> =
            lives.iter().map(|options| (options.lsm.memtable_bytes, options.journal.segment_bytes)).collect();
        assert!(sizes.len() > 5);
        assert_eq!(format!("{:?}", lives[5]), format!("{:?}", engine_options(7, 5)));
        assert!((0..60).all(|life| (1..=4).contains(&threads(7, life))));
        assert!((0..60).any(|life| !pace(7, life).dawdles));
    }
}

//! What a writer is told, and what follows from the number of its life alone, so that the parent knows it too.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;
use stemedb_wal::{JournalOptions, Prepare};

use crate::dice::Dice;

/// What the parent tells a writer.
#[derive(Args, Clone, Debug, Default)]
pub struct WriterOptions {
    /// The journal's folder.
    #[arg(long)]
    pub dir: PathBuf,
    /// Seed of the run: decides content and identity.
    #[arg(long)]
    pub seed: u64,
    /// Which child process this is.
    #[arg(long)]
    pub life: u32,
    /// The journal exists: do not make one.
    #[arg(long)]
    pub exists: bool,
    /// What the views have flushed.
    #[arg(long)]
    pub flushed: u64,
    /// Entries up to here have been removed.
    #[arg(long)]
    pub gone: u64,
    /// Stop appending after about so many bytes.
    #[arg(long)]
    pub bytes: u64,
    /// Remove the oldest released segments when they have more than this together.
    #[arg(long)]
    pub keep_bytes: u64,
    /// Microseconds between two appends of a thread.
    #[arg(long)]
    pub calm_us: u64,
    /// Short writes and late syncs.
    #[arg(long)]
    pub dawdles: bool,
    /// Do not sync, to prove that the rig can fail.
    #[arg(long)]
    pub without_sync: bool,
    /// Try failed syncs again and believe them, to prove that the rig can fail.
    #[arg(long)]
    pub retries_sync: bool,
    /// Go on after errors, which are otherwise wrong.
    #[arg(long)]
    pub stubborn: bool,
    /// Open the journal again after a failed write; otherwise it is waited for.
    #[arg(long)]
    pub reopens: bool,
}

impl WriterOptions {
    /// The journal's options in this life.
    pub fn journal(&self) -> JournalOptions {
        journal_options(self.seed, self.life, self.keep_bytes == u64::MAX)
    }

    /// As they stand on the command line.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--dir".into(), self.dir.clone().into()];
        for (name, value) in [
            ("--seed", self.seed),
            ("--life", u64::from(self.life)),
            ("--flushed", self.flushed),
            ("--gone", self.gone),
            ("--bytes", self.bytes),
            ("--keep-bytes", self.keep_bytes),
            ("--calm-us", self.calm_us),
        ] {
            words.extend([name.into(), value.to_string().into()]);
        }
        for (name, set) in [
            ("--exists", self.exists),
            ("--dawdles", self.dawdles),
            ("--without-sync", self.without_sync),
            ("--retries-sync", self.retries_sync),
            ("--stubborn", self.stubborn),
            ("--reopens", self.reopens),
        ] {
            words.extend(set.then(|| name.into()));
        }
        words
    }
}

/// How many threads a life has.
pub fn threads(seed: u64, life: u32) -> u16 {
    u16::try_from(Dice::of(seed, u64::from(life)).between(1, 5)).unwrap_or(1)
}

/// The journal's sizes in a life. They differ from one life to the next, as they may.
///
/// On a file system whose check may put blocks of removed files into files that are there (`keeps_all`), nothing is removed:
/// neither originals of compressed segments nor files that were made ahead.
pub fn journal_options(seed: u64, life: u32, keeps_all: bool) -> JournalOptions {
    let mut dice = Dice::of(!seed, u64::from(life));
    JournalOptions {
        prepare: if keeps_all { Prepare::Off } else { Prepare::default() },
        pack_level: if keeps_all { None } else { JournalOptions::default().pack_level },
        segment_bytes: 64 << (10 + 2 * dice.below(3)),
        sector_bytes: if dice.one_in(2) { 512 } else { 4096 },
        compress: dice.one_in(2),
        idle_marker: Duration::from_millis(dice.between(1, 5)),
        ..JournalOptions::default()
    }
}

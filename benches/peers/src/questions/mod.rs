//! Questions about claims: the same claims, the same questions, the same lenses, over StemeDB and over databases that a
//! careful user would have taken instead.
//!
//! ```text
//! data ─ batches ─▶ every store: record durably, settle ─▶ answers compared ─▶ slices in turns ─▶ report
//! ```

pub mod contender;
pub mod data;
mod postgres;
pub mod report;
mod rocksdb;
mod sql;
mod sqlite;
mod stemedb;

use std::{
    collections::HashMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use stemedb_core::{Command, Lens};

use self::{
    contender::{ClaimStore, Contender},
    data::{Batch, Origin, Question, each_batch},
};
use crate::{
    engine::{Kind, Result},
    random::Shuffle,
};

/// Claims of the questions that are measured.
pub const CANDIDATES: usize = 8;
/// Questions whose answers are compared over all stores, of any number of claims.
const COMPARED: usize = 2000;
const ORDER_SEED: u64 = 0xA5C;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The claims, once for each size.
    pub origins: Vec<Origin>,
    /// Memory for blocks or pages, for everybody.
    pub cache_bytes: usize,
    /// Questions that are asked again and again.
    pub questions: usize,
    /// Rounds.
    pub rounds: usize,
    /// Contenders; all if empty.
    pub only: Vec<String>,
    /// Where the databases are made.
    pub dir: PathBuf,
}

/// What a store did with one set of claims.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Measured {
    /// The contender.
    pub name: &'static str,
    /// On which side it stands.
    pub kind: Kind,
    /// How it was set.
    pub configuration: String,
    /// Seconds until everything was durable.
    pub load_s: f64,
    /// Seconds of settling.
    pub settle_s: f64,
    /// Bytes of the file system afterwards.
    pub disk_bytes: u64,
    /// Questions whose answers were compared with those of the first store.
    pub compared: usize,
    /// Per lens, per round: microseconds a question.
    pub ask_us: Vec<Vec<f64>>,
}

/// One set of claims.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// Made, not found.
    pub generated: bool,
    /// Claims.
    pub claims: u64,
    /// Questions that they answer.
    pub questions: u64,
    /// Questions that were measured.
    pub measured: usize,
    /// The stores.
    pub stores: Vec<Measured>,
    /// Contenders that could not run, and why.
    pub missing: Vec<(&'static str, String)>,
}

/// Everybody. StemeDB comes first: the others' answers are compared with its.
fn contenders(options: &Options, missing: &mut Vec<(&'static str, String)>) -> Vec<Box<dyn Contender>> {
    let cache_bytes = options.cache_bytes;
    let mut all: Vec<Box<dyn Contender>> = vec![
        Box::new(stemedb::StemeDb { cache_bytes }),
        Box::new(rocksdb::RocksDb { cache_bytes }),
        Box::new(sqlite::Sqlite { cache_bytes }),
    ];
    match postgres::Postgres::find(cache_bytes) {
        Ok(found) => all.push(Box::new(found)),
        Err(error) => missing.push(("postgres", error.to_string())),
    }
    all.retain(|one| options.only.is_empty() || options.only.iter().any(|name| name == one.name()));
    missing.retain(|(name, _)| options.only.is_empty() || options.only.iter().any(|only| only == name));
    all
}

/// Runs everything; tells how far it is.
pub fn run(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Vec<Outcome>> {
    options.origins.iter().map(|origin| run_one(options, origin, tell)).collect()
}

fn run_one(options: &Options, origin: &Origin, tell: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("stemedb-peers-").tempdir_in(&options.dir)?;
    tell("counting the questions");
    let asked = Asked::of(origin, options.questions)?;
    if asked.measured.is_empty() {
        return Err(format!("no question has {CANDIDATES} claims").into());
    }
    let mut missing = Vec::new();
    let mut stores: Vec<(Measured, Box<dyn ClaimStore>)> = Vec::new();
    for contender in contenders(options, &mut missing) {
        tell(&format!("{}: {} claims", contender.name(), asked.claims));
        let dir = folder.path().join(contender.name());
        fs::create_dir(&dir)?;
        stores.push(load(&*contender, origin, &dir)?);
    }
    compare(&mut stores, &asked, tell)?;
    measure(&mut stores, &asked, options.rounds, tell)?;
    let stores = stores.into_iter().map(|(measured, _)| measured).collect();
    let Asked { claims, questions, measured, .. } = asked;
    let generated = matches!(origin, Origin::Generated(_));
    Ok(Outcome { generated, claims, questions, measured: measured.len(), stores, missing })
}

/// Which questions there are.
struct Asked {
    claims: u64,
    questions: u64,
    /// With [`CANDIDATES`] claims.
    measured: Vec<Question>,
    /// With any number.
    compared: Vec<Question>,
}

fn question_of(command: &Command) -> Option<(&str, &str)> {
    match command {
        Command::Assert(claim) => Some((&claim.subject, &claim.predicate)),
        _ => None,
    }
}

impl Asked {
    fn of(origin: &Origin, most: usize) -> Result<Asked> {
        // By hash: ten million claims have more questions than should be held as texts.
        let hasher = RandomState::new();
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let mut claims = 0;
        each_batch(origin, &mut |batch| {
            for question in batch.commands.iter().filter_map(|(command, _)| question_of(command)) {
                *counts.entry(hasher.hash_one(question)).or_default() += 1;
                claims += 1;
            }
            Ok(())
        })?;
        let questions = counts.len() as u64;
        let wanted = counts.values().filter(|count| **count as usize == CANDIDATES).count();
        let (each_measured, each_compared) =
            (wanted.div_ceil(most.max(1)).max(1), counts.len().div_ceil(COMPARED).max(1));
        let (mut at_measured, mut at_compared) = (0, 0);
        let (mut measured, mut compared) = (Vec::new(), Vec::new());
        each_batch(origin, &mut |batch: &Batch| {
            for (subject, predicate) in batch.commands.iter().filter_map(|(command, _)| question_of(command))
            {
                // Each question once.
                let Some(count) = counts.remove(&hasher.hash_one((subject, predicate))) else { continue };
                let question = || Question { subject: subject.to_owned(), predicate: predicate.to_owned() };
                if count as usize == CANDIDATES {
                    if at_measured % each_measured == 0 {
                        measured.push(question());
                    }
                    at_measured += 1;
                }
                if at_compared % each_compared == 0 {
                    compared.push(question());
                }
                at_compared += 1;
            }
            Ok(())
        })?;
        Ok(Asked { claims, questions, measured, compared })
    }
}

fn load(contender: &dyn Contender, origin: &Origin, dir: &Path) -> Result<(Measured, Box<dyn ClaimStore>)> {
    let mut store = contender.create(dir)?;
    // What making the claims takes is nobody's time.
    let mut spent = Duration::ZERO;
    each_batch(origin, &mut |batch| {
        let started = Instant::now();
        store.record(batch)?;
        spent += started.elapsed();
        Ok(())
    })?;
    let started = Instant::now();
    store.settle()?;
    let settle_s = started.elapsed().as_secs_f64();
    let measured = Measured {
        name: contender.name(),
        kind: contender.kind(),
        configuration: contender.configuration(),
        load_s: spent.as_secs_f64(),
        settle_s,
        disk_bytes: allocated(dir)? + store.further_bytes()?,
        compared: 0,
        ask_us: vec![Vec::new(); Lens::ALL.len()],
    };
    Ok((measured, store))
}

/// Bytes that a folder takes, in blocks of the file system.
fn allocated(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => allocated(&entry.path())?,
            false => entry.metadata()?.blocks() * 512,
        };
    }
    Ok(bytes)
}

/// Every store must give the same answers as the first, to the last figure.
fn compare(
    stores: &mut [(Measured, Box<dyn ClaimStore>)],
    asked: &Asked,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut expected = Vec::new();
    for (at, (measured, store)) in stores.iter_mut().enumerate() {
        tell(&format!("{}: comparing answers", measured.name));
        let mut asker = store.asker()?;
        let mut place = 0;
        for question in asked.compared.iter().chain(asked.measured.iter().take(COMPARED)) {
            for lens in Lens::ALL {
                let answer = asker.ask(question, lens)?;
                if at == 0 {
                    expected.push(answer);
                } else if expected.get(place) != Some(&answer) {
                    let wanted = expected.get(place);
                    return Err(format!(
                        "{} answers {question:?} through {lens} with {answer:#?} instead of {wanted:#?}",
                        measured.name
                    )
                    .into());
                }
                place += 1;
            }
            measured.compared += 1;
        }
    }
    Ok(())
}

fn measure(
    stores: &mut [(Measured, Box<dyn ClaimStore>)],
    asked: &Asked,
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let count = stores.len();
    let shuffle = Shuffle::of(asked.measured.len() as u64, ORDER_SEED);
    let order: Vec<&Question> = (0..asked.measured.len() as u64)
        .filter_map(|place| asked.measured.get(shuffle.at(place) as usize))
        .collect();
    for round in 0..rounds {
        tell(&format!("round {} of {rounds}", round + 1));
        for turn in 0..count {
            let Some((measured, store)) = stores.get_mut((round + turn) % count) else { continue };
            let mut asker = store.asker()?;
            // Blocks come into the caches.
            for question in &order {
                asker.ask(question, Lens::Skeptic)?;
            }
            for (lens, slices) in Lens::ALL.into_iter().zip(&mut measured.ask_us) {
                let started = Instant::now();
                for question in &order {
                    std::hint::black_box(asker.ask(question, lens)?);
                }
                slices.push(started.elapsed().as_secs_f64() * 1e6 / order.len() as f64);
            }
        }
    }
    Ok(())
}

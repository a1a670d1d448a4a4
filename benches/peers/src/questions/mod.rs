//! Questions about claims: the same claims, the same questions, the same lenses, over StemeDB and over databases that a
//! careful user would have taken instead.
//!
//! ```text
//! data ─ batches ─▶ every store: record durably, settle ─▶ answers compared ─▶ slices in turns ─▶ report
//! ```
//!
//! Each contender is a process of its own, which waits for its turn: caches, memory and background work of one are not those
//! of another.

pub mod contender;
pub mod data;
pub mod postgres;
mod process;
pub mod report;
#[cfg(feature = "rocksdb")]
mod rocksdb;
pub mod sql;
mod sqlite;
mod stemedb;
pub mod worker;

use std::{
    collections::HashMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
};

use stemedb_core::{Command, Lens};

use self::{
    contender::Contender,
    data::{Batch, Origin, Question, each_batch},
    process::{Memory, Process},
    worker::{Asked, Order, Reply, Task},
};
use crate::engine::{Kind, Result};

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
    /// Product and version.
    pub version: String,
    /// How it was set.
    pub configuration: String,
    /// What loading took; `None` if it is asked over the folder of another.
    pub loaded: Option<Loaded>,
    /// Its memory when it had been asked, the greatest of all rounds; `None` where the system does not tell.
    pub asked_memory: Option<Memory>,
    /// Questions whose answers were compared with those of the first store.
    pub compared: usize,
    /// Per lens, per round: microseconds a question.
    pub ask_us: Vec<Vec<f64>>,
}

/// What loading took.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Loaded {
    /// Seconds until everything was durable.
    pub load_s: f64,
    /// Seconds of settling.
    pub settle_s: f64,
    /// Bytes of the file system afterwards.
    pub disk_bytes: u64,
    /// Memory at its peak, from the first claim until it had settled; `None` where the system does not tell.
    pub memory: Option<Memory>,
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

/// Everybody. StemeDB comes first: the others' answers are compared with its. One that is asked over another's folder comes after
/// it.
fn contenders(cache_bytes: usize, missing: &mut Vec<(&'static str, String)>) -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = vec![
        Box::new(stemedb::StemeDb { cache_bytes, keeps_answers: false }),
        Box::new(stemedb::StemeDb { cache_bytes, keeps_answers: true }),
    ];
    #[cfg(feature = "rocksdb")]
    all.push(Box::new(rocksdb::RocksDb { cache_bytes }));
    if !cfg!(feature = "rocksdb") {
        missing.push(("rocksdb", "this build is without it".to_owned()));
    }
    all.push(Box::new(sqlite::Sqlite { cache_bytes }));
    match postgres::Postgres::find(cache_bytes) {
        Ok(found) => all.push(Box::new(found)),
        Err(error) => missing.push(("postgres", error.to_string())),
    }
    all
}

/// Runs everything; tells how far it is.
pub fn run(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Vec<Outcome>> {
    options.origins.iter().map(|origin| run_one(options, origin, tell)).collect()
}

fn run_one(options: &Options, origin: &Origin, tell: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("stemedb-peers-").tempdir_in(&options.dir)?;
    tell("counting the questions");
    let asked = asked_of(origin, options.questions)?;
    if asked.measured.is_empty() {
        return Err(format!("no question has {CANDIDATES} claims").into());
    }
    let questions = folder.path().join("questions.json");
    fs::write(&questions, serde_json::to_vec(&asked)?)?;
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let mut missing = Vec::new();
    let mut stores: Vec<(Measured, Process)> = Vec::new();
    for contender in contenders(options.cache_bytes, &mut missing) {
        let loader = contender.loaded_by().unwrap_or(contender.name());
        if !wanted(loader) {
            continue;
        }
        let dir = folder.path().join(loader);
        let mut process = Process::start(&Task {
            contender: contender.name().to_owned(),
            cache_bytes: options.cache_bytes,
            origin: origin.clone(),
            folder: dir.clone(),
            questions: questions.clone(),
        })?;
        let mut loaded = None;
        if contender.loaded_by().is_none() {
            tell(&format!("{}: {} claims", contender.name(), asked.claims));
            fs::create_dir(&dir)?;
            let (reply, memory) = process.order(Order::Load, true)?;
            let Reply::Loaded { load_s, settle_s, disk_bytes } = reply else {
                return Err(unexpected(&reply));
            };
            loaded = Some(Loaded { load_s, settle_s, disk_bytes, memory });
            process.order(Order::Rest, false)?;
        }
        let measured = Measured {
            name: contender.name(),
            kind: contender.kind(),
            version: contender.version(),
            configuration: contender.configuration(),
            loaded,
            asked_memory: None,
            compared: 0,
            ask_us: vec![Vec::new(); Lens::ALL.len()],
        };
        stores.push((measured, process));
    }
    missing.retain(|(name, _)| wanted(name));
    compare(&mut stores, &asked, tell)?;
    measure(&mut stores, options.rounds, tell)?;
    let stores = stores.into_iter().map(|(measured, _)| measured).collect();
    let Asked { claims, questions, measured, .. } = asked;
    let generated = matches!(origin, Origin::Generated(_));
    Ok(Outcome { generated, claims, questions, measured: measured.len(), stores, missing })
}

fn unexpected(reply: &Reply) -> crate::engine::EngineError {
    format!("an answer to another order: {reply:?}").into()
}

fn question_of(command: &Command) -> Option<(&str, &str)> {
    match command {
        Command::Assert(claim) => Some((&claim.subject, &claim.predicate)),
        _ => None,
    }
}

/// Which questions there are.
fn asked_of(origin: &Origin, most: usize) -> Result<Asked> {
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
        for (subject, predicate) in batch.commands.iter().filter_map(|(command, _)| question_of(command)) {
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

/// Every store must give the same answers as the first, to the last figure.
fn compare(stores: &mut [(Measured, Process)], asked: &Asked, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let mut expected = Vec::new();
    for at in 0..stores.len() {
        let Some((measured, process)) = stores.get_mut(at) else { continue };
        tell(&format!("{}: comparing answers", measured.name));
        let (reply, _) = process.order(Order::Compare, false)?;
        let Reply::Compared(hashes) = reply else { return Err(unexpected(&reply)) };
        let differs = expected.iter().zip(&hashes).position(|(wanted, found)| wanted != found);
        measured.compared = asked.all_compared().count();
        if hashes.len() != measured.compared * Lens::ALL.len() {
            return Err(format!("{} answers {} times", measured.name, hashes.len()).into());
        }
        if let Some(place) = differs {
            let (found, _) = process.order(Order::Tell(place), false)?;
            process.order(Order::Rest, false)?;
            let name = measured.name;
            let Some((first, process)) = stores.first_mut() else { continue };
            let (wanted, _) = process.order(Order::Tell(place), false)?;
            return Err(format!("{name} says {found:?}, but {} {wanted:?}", first.name).into());
        }
        process.order(Order::Rest, false)?;
        if at == 0 {
            expected = hashes;
        }
    }
    Ok(())
}

/// Those with a folder of their own take turns and stay open between them; then those that are asked over another's folder.
fn measure(stores: &mut [(Measured, Process)], rounds: usize, tell: &mut dyn FnMut(&str)) -> Result<()> {
    for owns in [true, false] {
        let mut group: Vec<&mut (Measured, Process)> =
            stores.iter_mut().filter(|(measured, _)| measured.loaded.is_some() == owns).collect();
        let count = group.len();
        for round in 0..rounds {
            if count > 0 {
                tell(&format!("round {} of {rounds}", round + 1));
            }
            for turn in 0..count {
                let Some((measured, process)) = group.get_mut((round + turn) % count) else { continue };
                let (reply, memory) = process.order(Order::Turn, false)?;
                let Reply::Asked(figures) = reply else { return Err(unexpected(&reply)) };
                for (slices, figure) in measured.ask_us.iter_mut().zip(figures) {
                    slices.push(figure);
                }
                measured.asked_memory = Memory::peak(measured.asked_memory, memory);
            }
        }
        for (_, process) in group {
            process.order(Order::Rest, false)?;
        }
    }
    Ok(())
}

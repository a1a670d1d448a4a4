//! One contender in a process of its own, so that its memory is nobody else's: it does what a line on its input says and
//! tells on its output what came of it.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    io::{BufRead, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use stemedb_core::Lens;

use super::{
    COMPARED, ORDER_SEED,
    contender::{ClaimStore, Contender},
    contenders,
    data::{Origin, Question, each_batch},
};
use crate::{engine::Result, random::Shuffle};

/// Questions of a slice, at least.
const ASKS: usize = 5000;

/// What a process is there for.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Task {
    /// Name of the contender.
    pub contender: String,
    /// Memory for blocks or pages.
    pub cache_bytes: usize,
    /// Which claims it loads.
    pub origin: Origin,
    /// Its folder.
    pub folder: PathBuf,
    /// The file of the questions.
    pub questions: PathBuf,
}

/// What is asked, as the file holds it.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Asked {
    /// Claims there are.
    pub claims: u64,
    /// Questions that they answer.
    pub questions: u64,
    /// Questions that are measured: all have equally many claims.
    pub measured: Vec<Question>,
    /// Questions whose answers are compared: with any number.
    pub compared: Vec<Question>,
}

impl Asked {
    /// Every question whose answers are compared, those that are measured among them.
    pub fn all_compared(&self) -> impl Iterator<Item = &Question> {
        self.compared.iter().chain(self.measured.iter().take(COMPARED))
    }
}

/// What can be asked of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Order {
    /// Record everything, and settle.
    Load,
    /// Answer what is compared, through every lens.
    Compare,
    /// Tell one of these answers in words, by its place.
    Tell(usize),
    /// Answer what is measured, through every lens.
    Turn,
    /// Leave the folder to others if it is shared.
    Rest,
}

/// What it says to that.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Reply {
    /// Loaded.
    Loaded {
        /// Seconds until everything was durable.
        load_s: f64,
        /// Seconds of settling.
        settle_s: f64,
        /// Bytes of the file system afterwards.
        disk_bytes: u64,
    },
    /// A hash of each answer.
    Compared(Vec<u64>),
    /// An answer.
    Told(String),
    /// Per lens: microseconds a question.
    Asked(Vec<f64>),
    /// Nothing to tell.
    Rested,
    /// It failed.
    Failed(String),
}

struct Worker {
    task: Task,
    contender: Box<dyn Contender>,
    asked: Asked,
    store: Option<Box<dyn ClaimStore>>,
}

/// Does what the lines of `orders` say until they end.
pub fn serve(task: &str, orders: impl BufRead, mut replies: impl Write) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let asked = serde_json::from_slice(&fs::read(&task.questions)?)?;
    let contender = contenders(task.cache_bytes, &mut Vec::new())
        .into_iter()
        .find(|one| one.name() == task.contender)
        .ok_or_else(|| format!("there is no contender {}", task.contender))?;
    let mut worker = Worker { task, contender, asked, store: None };
    for order in orders.lines() {
        let order: Order = serde_json::from_str(&order?)?;
        let reply = worker.follow(order).unwrap_or_else(|error| Reply::Failed(error.to_string()));
        writeln!(replies, "{}", serde_json::to_string(&reply)?)?;
        replies.flush()?;
    }
    Ok(())
}

impl Worker {
    fn follow(&mut self, order: Order) -> Result<Reply> {
        match order {
            Order::Load => self.load(),
            Order::Compare => self.compare(),
            Order::Tell(place) => self.tell(place),
            Order::Turn => self.turn(),
            Order::Rest => {
                if self.contender.is_shared()
                    && let Some(store) = self.store.take()
                {
                    store.close()?;
                }
                Ok(Reply::Rested)
            }
        }
    }

    fn opened(&mut self) -> Result<()> {
        if self.store.is_none() {
            self.store = Some(self.contender.open(&self.task.folder)?);
        }
        Ok(())
    }

    fn load(&mut self) -> Result<Reply> {
        let mut store = self.contender.create(&self.task.folder)?;
        // What making the claims takes is nobody's time.
        let mut spent = Duration::ZERO;
        each_batch(&self.task.origin, &mut |batch| {
            let started = Instant::now();
            store.record(batch)?;
            spent += started.elapsed();
            Ok(())
        })?;
        let started = Instant::now();
        store.settle()?;
        let settle_s = started.elapsed().as_secs_f64();
        let further = store.further_bytes()?;
        if self.contender.is_shared() {
            // Closed, it does not hold files that are prepared for what comes next.
            store.close()?;
        } else {
            self.store = Some(store);
        }
        let disk_bytes = allocated(&self.task.folder)? + further;
        Ok(Reply::Loaded { load_s: spent.as_secs_f64(), settle_s, disk_bytes })
    }

    fn compare(&mut self) -> Result<Reply> {
        self.opened()?;
        let store = self.store.as_ref().ok_or("not opened")?;
        let mut asker = store.asker()?;
        let mut hashes = Vec::new();
        for question in self.asked.all_compared() {
            for lens in Lens::ALL {
                // Whatever differs in an answer differs in its text: figures are written so that they can be read back.
                let mut hasher = DefaultHasher::new();
                hasher.write(format!("{:?}", asker.ask(question, lens)?).as_bytes());
                hashes.push(hasher.finish());
            }
        }
        Ok(Reply::Compared(hashes))
    }

    fn tell(&mut self, place: usize) -> Result<Reply> {
        self.opened()?;
        let store = self.store.as_ref().ok_or("not opened")?;
        let lens = *Lens::ALL.get(place % Lens::ALL.len()).ok_or("no lens")?;
        let question =
            self.asked.all_compared().nth(place / Lens::ALL.len()).ok_or("there is no such answer")?;
        let answer = store.asker()?.ask(question, lens)?;
        Ok(Reply::Told(format!("{question:?} through {lens}: {answer:#?}")))
    }

    fn turn(&mut self) -> Result<Reply> {
        self.opened()?;
        let store = self.store.as_ref().ok_or("not opened")?;
        let measured = &self.asked.measured;
        let shuffle = Shuffle::of(measured.len() as u64, ORDER_SEED);
        let order: Vec<&Question> = (0..measured.len() as u64)
            .filter_map(|place| measured.get(usize::try_from(shuffle.at(place)).ok()?))
            .collect();
        let mut asker = store.asker()?;
        // Blocks come into the caches, and what is kept of answers where it is.
        for lens in Lens::ALL {
            for question in &order {
                asker.ask(question, lens)?;
            }
        }
        let mut figures = Vec::new();
        for lens in Lens::ALL {
            // Whole passes: few questions are asked several times, so that a slice is no shorter.
            let passes = ASKS.div_ceil(order.len().max(1));
            let started = Instant::now();
            for question in std::iter::repeat_n(&order, passes).flatten() {
                std::hint::black_box(asker.ask(question, lens)?);
            }
            figures.push(started.elapsed().as_secs_f64() * 1e6 / (passes * order.len()) as f64);
        }
        Ok(Reply::Asked(figures))
    }
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

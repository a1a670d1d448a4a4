//! The claims that a history begins with, and the questions that will be asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Cursor},
    path::Path,
};

use stemedb_env::{Env, fs};
use stemedb_oracle::{Value, World};

use crate::Dice;

/// Real claims, as they are shown by the examples.
const SAMPLE: &str = include_str!("../../../../examples/data/chemistry-sample.jsonl");
/// A file of claims larger than this is refused.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Half of the questions have at least so many claims: with fewer there is little to disagree about.
const MANY: usize = 3;

/// What a source said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub subject: String,
    pub predicate: String,
    pub object: Value,
    pub source: String,
}

impl Said {
    pub fn question(&self) -> (String, String) {
        (self.subject.clone(), self.predicate.clone())
    }
}

/// Claims in the order in which they are made, and questions about them.
#[derive(Debug)]
pub struct Corpus {
    pub said: Vec<Said>,
    /// Subject and predicate, in a drawn order.
    pub questions: Vec<(String, String)>,
    pub sources: Vec<String>,
}

impl Corpus {
    /// Reads a file of claims (JSON lines, `.zst` or not), or takes the committed sample, and draws `count` questions. Where there are
    /// fewer, the claims are said again of other subjects.
    ///
    /// # Errors
    /// When the file cannot be read, or has no claims.
    pub fn read(path: Option<&Path>, count: usize, dice: &mut Dice) -> Result<Corpus, String> {
        let mut said = match path {
            None => parse(Cursor::new(SAMPLE))?,
            Some(path) => {
                let bytes = fs::read_file(&*Env::real().fs, path, MAX_FILE_BYTES)
                    .map_err(|error| error.to_string())?;
                let shown = |error: std::io::Error| format!("{}: {error}", path.display());
                match path.extension().is_some_and(|extension| extension == "zst") {
                    true => parse(BufReader::new(zstd::Decoder::new(bytes.as_slice()).map_err(shown)?))?,
                    false => parse(Cursor::new(bytes))?,
                }
            }
        };
        let mut questions: BTreeMap<(String, String), usize> = BTreeMap::new();
        said.iter().for_each(|one| *questions.entry(one.question()).or_default() += 1);
        if questions.is_empty() {
            return Err("no claims".to_owned());
        }
        let (once, times) = (said.len(), count.div_ceil(questions.len()));
        let first: Vec<((String, String), usize)> = questions.iter().map(|(q, n)| (q.clone(), *n)).collect();
        for again in 2..=times {
            let renamed = |subject: &str| format!("{subject} #{again}");
            for at in 0..once {
                let copy = Said { subject: renamed(&said[at].subject), ..said[at].clone() };
                said.push(copy);
            }
            for ((subject, predicate), claims) in &first {
                questions.insert((renamed(subject), predicate.clone()), *claims);
            }
        }
        shuffle(&mut said, dice);
        let sources: BTreeSet<String> = said.iter().map(|one| one.source.clone()).collect();
        Ok(Corpus { said, questions: draw(questions, count, dice), sources: sources.into_iter().collect() })
    }
}

fn parse(reader: impl BufRead) -> Result<Vec<Said>, String> {
    let world = World::read_jsonl(reader, "[]").map_err(|error| error.to_string())?;
    let said = |claim: &stemedb_oracle::Claim| Said {
        subject: claim.subject.clone(),
        predicate: claim.predicate.clone(),
        object: claim.object.clone(),
        source: claim.source.clone(),
    };
    Ok(world.claims().iter().map(said).collect())
}

/// `count` different questions, every second one of those with many claims as long as there are any.
fn draw(
    questions: BTreeMap<(String, String), usize>,
    count: usize,
    dice: &mut Dice,
) -> Vec<(String, String)> {
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for (question, claims) in questions {
        if claims >= MANY { many.push(question) } else { few.push(question) }
    }
    shuffle(&mut many, dice);
    shuffle(&mut few, dice);
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count {
        let (first, second) =
            if drawn.len() % 2 == 0 { (&mut many, &mut few) } else { (&mut few, &mut many) };
        let Some(next) = first.pop().or_else(|| second.pop()) else { break };
        drawn.push(next);
    }
    drawn
}

fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for end in (1..list.len()).rev() {
        list.swap(end, dice.size(end + 1));
    }
}

//! Rows that StemeDB's index derives from claims: what the product stores.
//!
//! Keys have 20 to some 170 bytes with long common beginnings and are written once; values range from nothing to the
//! claim itself. The claims are facts about substances, with the sources that state them. When there are fewer than were
//! asked for, they are told again of other substances.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde_json::Value;
use stemedb_core::{Assertion, Command, Object, Source, SourceClass};
use stemedb_env::{Lsn, Micros};
use stemedb_index::{Admit, Claims, Derive, Submission};
use stemedb_lsm::{KvStore, MemStore, Op, WriteBatch};

use super::rows::RowFile;
use crate::engine::Result;

/// Claims that are journaled together: a client's batch.
const BATCH_CLAIMS: usize = 100;
/// Recorded time of the first batch, 2026-01-01; each one comes a second later.
const FIRST_RECORDED: i64 = 1_767_225_600_000_000;
const SAMPLE: &str = include_str!("../../../../examples/data/chemistry-sample.jsonl");
const SAMPLE_SOURCES: &str = include_str!("../../../../examples/data/sources.json");

/// Where the claims come from; by default from the sample of the repository.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Files {
    /// One claim per line, `.jsonl` or `.jsonl.zst`.
    pub claims: Option<PathBuf>,
    /// Their sources.
    pub sources: Option<PathBuf>,
}

/// Derives so many rows, or a few more, and writes them with [`RowFile::write`].
pub fn write_rows(files: &Files, rows: u64, path: &Path) -> Result<()> {
    let mut derivation = Derivation::default();
    for source in sources(files)? {
        derivation.tell(&Command::Source(source))?;
    }
    // Again and again, of other substances each time.
    for copy in 0_u64.. {
        let before = derivation.rows.len();
        for line in lines(files)? {
            derivation.tell(&Command::Assert(parse_claim(&line?, copy)?))?;
            if derivation.rows.len() as u64 >= rows {
                break;
            }
        }
        derivation.end_batch()?;
        if derivation.rows.len() as u64 >= rows {
            break;
        }
        if derivation.rows.len() == before {
            return Err("the claims give no rows".into());
        }
    }
    RowFile::write(path, &derivation.rows)
}

/// The sources of the claims.
pub(crate) fn sources(files: &Files) -> Result<Vec<Source>> {
    let text = match &files.sources {
        Some(path) => fs::read_to_string(path)?,
        None => SAMPLE_SOURCES.to_owned(),
    };
    serde_json::from_str::<Vec<Value>>(&text)?.iter().map(parse_source).collect()
}

/// The claims, line by line.
pub(crate) fn lines(files: &Files) -> Result<Box<dyn Iterator<Item = std::io::Result<String>> + '_>> {
    let Some(path) = &files.claims else {
        return Ok(Box::new(SAMPLE.lines().map(|line| Ok(line.to_owned()))));
    };
    let file = File::open(path)?;
    Ok(if path.extension().is_some_and(|extension| extension == "zst") {
        Box::new(BufReader::new(zstd::Decoder::new(file)?).lines())
    } else {
        Box::new(BufReader::new(file).lines())
    })
}

fn text<'a>(object: &'a Value, member: &str) -> Result<&'a str> {
    object.get(member).and_then(Value::as_str).ok_or_else(|| format!("no text {member} in {object}").into())
}

fn parse_source(source: &Value) -> Result<Source> {
    let class = source.get("class").and_then(Value::as_u64).and_then(|class| u8::try_from(class).ok());
    let class = class.and_then(|class| SourceClass::new(class).ok()).ok_or("a source without a class")?;
    Ok(Source { title: Some(text(source, "title")?.to_owned()), ..Source::new(text(source, "id")?, class) })
}

/// A claim from its line; `copy` tells it again of another substance.
pub(crate) fn parse_claim(line: &str, copy: u64) -> Result<Assertion> {
    let claim: Value = serde_json::from_str(line)?;
    let subject = text(&claim, "subject")?;
    let subject = if copy == 0 { subject.to_owned() } else { format!("{subject}/{copy}") };
    let object = match claim.get("object") {
        Some(Value::String(text)) => Object::Text(text.clone()),
        Some(Value::Bool(bool)) => Object::Boolean(*bool),
        Some(Value::Number(number)) => {
            number.as_i64().map_or_else(|| Object::Number(number.to_string()), Object::Integer)
        }
        _ => return Err(format!("no object in {line}").into()),
    };
    Ok(Assertion::new(subject, text(&claim, "predicate")?, object, text(&claim, "source")?))
}

/// Does what a commit does, without a journal.
#[derive(Default)]
struct Derivation {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    batch: Submission,
    lsn: u64,
}

impl Derivation {
    fn tell(&mut self, command: &Command) -> Result<()> {
        self.batch.push(command)?;
        if self.batch.len() >= BATCH_CLAIMS { self.end_batch() } else { Ok(()) }
    }

    fn end_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.lsn += 1;
        let (lsn, now) = (Lsn(self.lsn), Micros(FIRST_RECORDED + self.lsn as i64 * 1_000_000));
        // No claim is told twice, so nobody has to look for earlier ones.
        let nothing = MemStore::default().snapshot();
        let submission = std::mem::take(&mut self.batch);
        let admitted = Claims.admit(submission, &nothing, &mut Default::default(), lsn, now)?;
        let mut rows = WriteBatch::new();
        Claims.derive(lsn, &admitted.entry.ok_or("a batch without anything new")?, &mut rows)?;
        for row in rows.iter() {
            if let Op::Put { key, value } = row {
                self.rows.insert(key.to_vec(), value.to_vec());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stemedb_index::Family;

    use super::*;
    use crate::workloads::rows::{Order, RowBatch, RowSource};

    #[test]
    fn the_sample_gives_as_many_rows_as_asked_for_the_same_ones_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for name in ["one", "two"] {
            let path = folder.path().join(name);
            // More than the sample has, so that it is told again.
            write_rows(&Files::default(), 20_000, &path).unwrap();
            let rows = RowSource::File { path }.open(1.0).unwrap();
            let mut batch = RowBatch::default();
            assert!(rows.walk(Order::Sorted).unwrap().next_batch(usize::MAX, &mut batch).unwrap());
            all.push(batch.pairs().map(|pair| (pair.key.to_vec(), pair.value.to_vec())).collect::<Vec<_>>());
        }
        assert_eq!(all[0], all[1]);
        assert!((20_000..20_500).contains(&all[0].len()), "{}", all[0].len());
        for family in [Family::Claim, Family::ById, Family::ByPredicate, Family::BySource, Family::Entry] {
            assert!(all[0].iter().any(|(key, _)| Family::of(key) == Some(family)), "{}", family.name());
        }
    }
}

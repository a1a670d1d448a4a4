//! Bytes of a row, on keys of chemistry.

use std::path::PathBuf;

use stemedb_core::{Assertion, Command, Object};
use stemedb_env::{Env, Lsn, Micros, fs::read_file};
use stemedb_index::{Admit, Claims, Derive, Submission};
use stemedb_lsm::{KvStore, MemStore, WriteBatch};

use super::{
    super::{
        format::{Header, MadeFrom},
        writer::SidecarWriter,
    },
    ORIGIN,
};

const SAMPLE: &str = include_str!("../../../../../examples/data/chemistry-sample.jsonl");

/// A text field of a line of the sample.
fn text<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\": \"")).unwrap();
    rest.split_once('"').unwrap().0
}

/// Claims like the sample's without end: about other subjects in every round.
fn claims() -> impl Iterator<Item = Command> {
    (0u64..).flat_map(|round| {
        SAMPLE.lines().enumerate().map(move |(n, line)| {
            let subject = format!("{}#{round}", text(line, "subject"));
            let object = Object::Integer(n as i64);
            Command::Assert(Assertion::new(subject, text(line, "predicate"), object, text(line, "source")))
        })
    })
}

/// The rows of a table, sorted: where each key ends in the first part, and its LSN.
fn rows(entries: u64, claims_per_entry: usize) -> (Vec<u8>, Vec<(usize, Lsn)>) {
    let view = MemStore::new().snapshot();
    let (mut claims, mut rows) = (claims(), Vec::new());
    for lsn in (1..=entries).map(Lsn) {
        let mut submission = Submission::new();
        for claim in claims.by_ref().take(claims_per_entry) {
            submission.push(&claim).unwrap();
        }
        let admitted = Claims.admit(submission, &view, &mut Default::default(), lsn, Micros(1)).unwrap();
        let mut batch = WriteBatch::new();
        Claims.derive(lsn, &admitted.entry.unwrap(), &mut batch).unwrap();
        rows.extend(batch.iter().map(|op| (op.key().to_vec(), lsn)));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut keys = Vec::new();
    let ends = rows.into_iter().map(|(key, lsn)| {
        keys.extend_from_slice(&key);
        (keys.len(), lsn)
    });
    let ends = ends.collect();
    (keys, ends)
}

#[test]
fn a_row_takes_less_than_seven_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let env = Env::real();
    for (entries, claims_per_entry) in [(30_000, 1), (600, 100)] {
        let (keys, rows) = rows(entries, claims_per_entry);
        let path: PathBuf = folder.path().join(format!("{entries}.keys"));
        let mut fastest = f64::MAX;
        for nonce in 0..7 {
            let header = Header { origin: ORIGIN, made_from: MadeFrom::Table, nonce };
            let mut writer = SidecarWriter::new(&env.fs, folder.path().join("next"), &header);
            let before = env.clock.monotonic();
            let mut start = 0;
            for (end, lsn) in &rows {
                writer.row(&keys[start..*end], *lsn).unwrap();
                start = *end;
            }
            let took = env.clock.monotonic() - before;
            fastest = fastest.min(took.as_nanos() as f64 / rows.len() as f64);
            writer.finish(&(Lsn(1)..=Lsn(entries)), &[], &path).unwrap();
        }
        let bytes = read_file(env.fs.as_ref(), &path, 1 << 30).unwrap().len() as f64 / rows.len() as f64;
        // The time is for people: it depends on the machine.
        println!(
            "{claims_per_entry} claims an entry: {bytes:.2} bytes, {fastest:.1} ns per row of {}",
            rows.len()
        );
        assert!(bytes < 7.0, "{bytes:.2} bytes per row with {claims_per_entry} claims an entry");
    }
}

//! Folders that earlier programs have left: see `tests/fixtures/README.md`.

use std::{io::Read, path::Path};

use stemedb_env::{Env, Lsn, Micros, fs::SimFs};
use stemedb_hybrid::{ClaimEngine, DerivedBy, Error, FallbackMode, HybridOptions, LsmEngine, StateRoot};
use stemedb_index::{Admit, Admitted, ClaimReader, Claims, Derive, ViewRow};
use stemedb_lsm::{KvSnapshot, Op, WriteBatch};
use stemedb_wal::{Journal, JournalReader};

use super::super::setup::submission;

const DERIVATION_1: &[u8] = include_bytes!("../../fixtures/derivation-1.zst");
const ENTRIES: u64 = 45;
const CLAIMS: usize = 460 + 40;

/// The files of a packed folder, each with its length and what it begins with; the rest of it is zeros.
fn packed_files(packed: &[u8]) -> Vec<(String, u64, Vec<u8>)> {
    let mut rest = Vec::new();
    zstd::Decoder::new(packed).unwrap().read_to_end(&mut rest).unwrap();
    let (mut rest, mut files) = (rest.as_slice(), Vec::new());
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        let [name, len, kept] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (len, kept): (u64, usize) = (len.parse().unwrap(), kept.parse().unwrap());
        let (content, behind) = rest[end + 1..].split_at(kept);
        files.push((name.to_owned(), len, content.to_vec()));
        rest = behind;
    }
    files
}

/// Lays the folder out.
fn unpack(packed: &[u8], to: &Path) {
    for (name, len, content) in packed_files(packed) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len).unwrap();
    }
}

/// The folder of the first version on a simulated disk.
pub fn installed(to: &Path) -> SimFs {
    let fs = SimFs::new();
    fs.install_dir(to).unwrap();
    for (name, len, mut content) in packed_files(DERIVATION_1) {
        content.resize(usize::try_from(len).unwrap(), 0);
        let path = to.join(name);
        fs.install_dir(path.parent().unwrap()).unwrap();
        fs.install(&path, &content).unwrap();
    }
    fs
}

/// What comes after [`Claims`]: one more family, by entry and length.
struct Next<const READS: bool>;

const FAMILY: u8 = 0xf0;

impl<const READS: bool> Derive for Next<READS> {
    const VERSION: u32 = Claims::VERSION + 1;
    const INVERSE_IS_CERTAIN: bool = Claims::INVERSE_IS_CERTAIN;
    const WRITE_ONCE: bool = Claims::WRITE_ONCE;

    fn reads_version(_version: u32) -> bool {
        READS
    }

    fn derive(&self, lsn: Lsn, entry: &[u8], rows: &mut WriteBatch) -> stemedb_index::Result<()> {
        Claims.derive(lsn, entry, rows)?;
        let mut key = vec![FAMILY];
        key.extend_from_slice(&lsn.0.to_be_bytes());
        rows.put(&key, &(entry.len() as u64).to_be_bytes());
        Ok(())
    }

    fn invert(&self, lsn: Lsn, rows: &[ViewRow]) -> stemedb_index::Result<Option<Vec<u8>>> {
        let plain: Vec<ViewRow> =
            rows.iter().filter(|(key, _)| key.first() != Some(&FAMILY)).cloned().collect();
        Claims.invert(lsn, &plain)
    }

    fn recorded_at(&self, lsn: Lsn, entry: &[u8]) -> stemedb_index::Result<Option<Micros>> {
        Claims.recorded_at(lsn, entry)
    }

    fn filtered_prefix_bytes(key: &[u8]) -> usize {
        Claims::filtered_prefix_bytes(key)
    }
}

impl<const READS: bool> Admit for Next<READS> {
    type Request = <Claims as Admit>::Request;
    type Reply = <Claims as Admit>::Reply;
    type InFlight = <Claims as Admit>::InFlight;

    fn cost_bytes(request: &Self::Request) -> usize {
        Claims::cost_bytes(request)
    }

    fn admit<S: KvSnapshot>(
        &self,
        request: Self::Request,
        view: &S,
        in_flight: &mut Self::InFlight,
        lsn: Lsn,
        now: Micros,
    ) -> stemedb_index::Result<Admitted<Self::Reply>> {
        Claims.admit(request, view, in_flight, lsn, now)
    }

    fn retire(&self, in_flight: &mut Self::InFlight, lsn: Lsn) {
        Claims.retire(in_flight, lsn);
    }

    fn abandon(&self, in_flight: &mut Self::InFlight, lsn: Lsn) {
        Claims.abandon(in_flight, lsn);
    }
}

/// The root of what `derive` says of the journal.
fn fresh_root<D: Admit>(engine: &LsmEngine<D>, derive: &D) -> StateRoot {
    let mut rows = std::collections::BTreeMap::new();
    let mut batch = WriteBatch::new();
    let mut reader = engine.journal().read_from(Lsn(1)).unwrap();
    while let Some(entry) = reader.next_entry().unwrap() {
        batch.clear();
        derive.derive(entry.lsn, &entry.bytes, &mut batch).unwrap();
        for op in batch.iter() {
            let Op::Put { key, value } = op else { panic!("claims remove nothing") };
            rows.insert(key.to_vec(), value.to_vec());
        }
    }
    let mut root = StateRoot::empty();
    rows.iter().for_each(|(key, value)| root.add(key, value));
    root
}

/// Every claim by question, which must also be found by id.
fn claims<D: Admit>(engine: &LsmEngine<D>) -> usize {
    let reader = ClaimReader::new(engine.snapshot().unwrap());
    let mut questions = reader.questions_from("");
    let mut found = 0;
    while let Some((_, candidates)) = questions.next_question().unwrap() {
        for candidate in candidates {
            assert!(reader.claim(candidate.id).unwrap().is_some());
            found += 1;
        }
    }
    found
}

/// Waits for the end of an upgrade, whose job has a thread of its own. Returns how often it was looked at before.
fn await_upgrade<D: Admit>(engine: &LsmEngine<D>, expected: Option<usize>) -> u64 {
    let mut looks = 0;
    while let Some(upgrade) = engine.health().upgrade {
        assert_eq!(upgrade.stuck, None);
        if let Some(expected) = expected {
            assert_eq!(claims(engine), expected);
        }
        looks += 1;
        assert!(looks < 1_000_000, "{upgrade}");
        std::thread::yield_now();
    }
    looks
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("db");
    unpack(DERIVATION_1, &folder);
    (home, folder)
}

fn options() -> HybridOptions {
    HybridOptions { fallback: FallbackMode::Off, ..HybridOptions::default() }
}

/// Today's derivation, whichever that is.
#[test]
fn a_folder_of_the_first_version_opens_and_becomes_one_of_todays() {
    let (_home, folder) = folder();
    let (engine, report) = ClaimEngine::open(&Env::real(), &folder, Claims, &options()).unwrap();
    assert_eq!(report.journal.last_lsn, Lsn(ENTRIES));
    assert!(!report.rebuilt);
    assert_eq!(report.upgrade.is_some(), Claims::VERSION != 1, "{:?}", report.upgrade);
    if report.upgrade.as_ref().is_none_or(|upgrade| upgrade.readable) {
        assert_eq!(claims(&engine), CLAIMS);
        assert!(engine.commit(submission([7])).unwrap()[0].created);
    }
    await_upgrade(&engine, None);
    engine.commit(submission([7, 8])).unwrap();
    assert_eq!(claims(&engine), CLAIMS + 2);
    assert_eq!(engine.snapshot().unwrap().derived_by(), Some(DerivedBy::one(Claims::VERSION)));
    assert_eq!(engine.state_root().unwrap(), fresh_root(&engine, &Claims));
    engine.verify().unwrap();
    engine.close().unwrap();
    let (engine, report) = ClaimEngine::open(&Env::real(), &folder, Claims, &options()).unwrap();
    assert_eq!((report.upgrade, report.rebuilt), (None, false));
    assert_eq!(claims(&engine), CLAIMS + 2);
}

fn next<const READS: bool>() {
    let (_home, folder) = folder();
    let (engine, report) = LsmEngine::open(&Env::real(), &folder, Next::<READS>, &options()).unwrap();
    let upgrade = report.upgrade.unwrap();
    assert_eq!((upgrade.from.oldest, upgrade.to, upgrade.readable), (1, Claims::VERSION + 1, READS));
    await_upgrade(&engine, READS.then_some(CLAIMS));
    assert!(engine.commit(submission([7])).unwrap()[0].created);
    assert_eq!(claims(&engine), CLAIMS + 1);
    assert_eq!(engine.state_root().unwrap(), fresh_root(&engine, &Next::<READS>));
    engine.verify().unwrap();
    engine.close().unwrap();
    for leftover in ["kv.next", "kv.old"] {
        assert!(!folder.join(leftover).exists());
    }
    let error = ClaimEngine::open(&Env::real(), &folder, Claims, &options()).unwrap_err();
    assert!(matches!(error, Error::NewerDerivation { .. }), "{error:?}");
}

#[test]
fn a_folder_of_the_first_version_becomes_one_of_the_next() {
    next::<true>();
    next::<false>();
}

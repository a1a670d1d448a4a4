//! Every lens, any moment: the reader's candidates resolve to what the oracle says.

use stemedb_core::lens::{Answer, Candidate, Lens, LensParams, resolve};
use stemedb_env::{Env, Lsn, Micros};
use stemedb_index::{ClaimReader, Claims, Derive};
use stemedb_lsm::{
    Direction, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, MemStore, WriteBatch,
};
use stemedb_oracle as oracle;

use super::history::{DAY_US, History, PREDICATES, SUBJECTS, value};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 3e-9
}

/// Compares two answers; the engine's names claims by index, the oracle's by id.
pub fn assert_same(answer: &Answer, candidates: &[Candidate], expected: &oracle::Answer, context: &str) {
    let keys = |values: &[oracle::Value]| values.iter().map(oracle::Value::key).collect::<Vec<_>>();
    assert_eq!(
        keys(&answer.value.iter().map(value).collect::<Vec<_>>()),
        keys(&expected.value.iter().cloned().collect::<Vec<_>>()),
        "value: {context}"
    );
    let winners: Vec<String> = answer.winners.iter().map(ToString::to_string).collect();
    assert_eq!(winners, expected.winners, "winners: {context}");
    assert!(close(answer.confidence.to_f64(), expected.confidence), "confidence: {context}");
    assert!(close(answer.margin, expected.margin), "margin: {context}");
    assert!(close(answer.conflict_score, expected.conflict_score), "conflict: {context}");
    assert_eq!(answer.status.name(), expected.status, "status: {context}");
    assert_eq!(answer.considered, expected.considered, "considered: {context}");
    let ours: Vec<_> = answer.values.iter().map(|v| (value(&v.object).key(), v.support.0)).collect();
    let theirs: Vec<_> = expected.values.iter().map(|(v, support, _)| (v.key(), *support)).collect();
    assert_eq!(ours, theirs, "values: {context}");
    let mut ours: Vec<_> = answer
        .set_aside
        .iter()
        .map(|(i, why)| (candidates[*i].id.to_string(), why.name().to_owned()))
        .collect();
    let mut theirs = expected.set_aside.clone();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "set aside: {context}");
    let mut ours: Vec<_> =
        candidates.iter().filter_map(|c| c.tainted.map(|by| (c.id.to_string(), by.to_string()))).collect();
    let mut theirs = expected.tainted.clone();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "tainted: {context}");
    if answer.lens == Lens::Layered {
        let ours: Vec<_> = answer.layers.iter().map(|l| (l.class.number(), value(&l.value).key())).collect();
        let theirs: Vec<_> = expected.layers.iter().map(|(class, v, ..)| (*class, v.key())).collect();
        assert_eq!(ours, theirs, "layers: {context}");
        assert!(close(answer.cross_class_conflict, expected.cross_class_conflict), "cross-class: {context}");
    }
}

/// Asks random questions of a history; returns how many had an answer.
fn compare<S: KvStore>(history: &History<S>, questions: usize) -> usize {
    let newest = history.ledger.store.published_lsn();
    let mut answered = 0;
    for _ in 0..questions {
        let dice = &history.dice;
        let subject = SUBJECTS[dice.below(3) as usize];
        let predicate = PREDICATES[dice.below(2) as usize];
        let as_of = if dice.below(2) == 0 { newest } else { Lsn(dice.below(newest.0 + 1)) };
        let epoch = [None, None, Some("2019"), Some("2024")][dice.below(4) as usize];
        let decay = dice.below(3) > 0;
        let evaluated_at = history.recorded.last().unwrap() + (dice.below(200) as i64 - 100) * DAY_US;
        let reader = ClaimReader::as_of(history.ledger.store.snapshot(), as_of).unwrap();
        let candidates = reader.candidates(subject, predicate, epoch).unwrap();
        for lens in Lens::ALL {
            let params = LensParams::at(stemedb_core::Micros(evaluated_at)).with_decay(decay);
            let answer = resolve(lens, &candidates, &params);
            let name = lens.to_string();
            let expected = history.world.ask(subject, predicate, &name, as_of.0, evaluated_at, decay, epoch);
            let context =
                format!("{subject} {predicate} {name} as of {as_of}, epoch {epoch:?}, decay {decay}");
            assert_same(&answer, &candidates, &expected, &context);
            answered += usize::from(answer.considered > 0);
        }
    }
    answered
}

#[test]
fn every_lens_at_any_moment_answers_like_the_oracle() {
    let (mut answered, mut refused, mut tainted) = (0, 0, 0);
    for seed in 0..60 {
        let history = History::random(MemStore::new(), seed, 40);
        answered += compare(&history, 60);
        refused += history.refused;
        let reader = ClaimReader::new(history.ledger.store.snapshot());
        let mut scan = reader.questions_from("");
        while let Some((_, candidates)) = scan.next_question().unwrap() {
            tainted += candidates.iter().filter(|candidate| candidate.tainted.is_some()).count();
        }
    }
    assert!(answered > 10_000, "only {answered} questions had an answer");
    assert!(refused > 20, "only {refused} submissions had too little authority or closed a circle");
    assert!(tainted > 50, "only {tainted} claims derived from a retracted one");
}

pub fn tree() -> LsmStore {
    let (env, _) = Env::sim(7);
    let options = LsmOptions { prefix_extractor: Some(Claims::filtered_prefix_bytes), ..LsmOptions::tiny() };
    LsmStore::create(env, std::path::Path::new("/kv"), stemedb_env::frame::DatabaseId([1; 16]), options)
        .unwrap()
}

#[test]
fn claims_on_the_tree_answer_like_the_oracle_through_flushes_and_compactions() {
    for seed in 100..112 {
        let history = History::random(tree(), seed, 60);
        history.ledger.store.flush().unwrap();
        assert!(compare(&history, 30) > 0);
        history.ledger.store.compact().unwrap();
        assert!(compare(&history, 30) > 0);
    }
}

#[test]
fn the_same_history_gives_the_same_rows_on_every_store() {
    let (a, b) = (History::random(MemStore::new(), 5, 80), History::random(tree(), 5, 80));
    b.ledger.store.compact().unwrap();
    assert_eq!(rows(&a.ledger.store.snapshot()), rows(&b.ledger.store.snapshot()));
}

fn rows<S: KvSnapshot>(snapshot: &S) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut scan = snapshot.scan(&KeyRange::all(), Direction::Forward);
    while scan.advance().unwrap() {
        rows.push((scan.key().to_vec(), scan.value().to_vec()));
    }
    rows
}

#[test]
fn every_key_is_written_once() {
    let history = History::random(MemStore::new(), 9, 120);
    let mut seen = std::collections::BTreeSet::new();
    for (i, entry) in history.ledger.entries.iter().enumerate() {
        let mut batch = WriteBatch::new();
        Claims.derive(Lsn(i as u64 + 1), entry, &mut batch).unwrap();
        for op in batch.iter() {
            assert!(op.value().is_some(), "nothing is ever deleted");
            assert!(seen.insert(op.key().to_vec()), "a key was written twice: {:?}", op.key());
        }
    }
    assert!(seen.len() > 500);
}

#[test]
fn every_entry_can_be_rebuilt_from_its_rows() {
    let history = History::random(MemStore::new(), 11, 120);
    let mut commands = 0;
    for (i, entry) in history.ledger.entries.iter().enumerate() {
        let lsn = Lsn(i as u64 + 1);
        let mut batch = WriteBatch::new();
        Claims.derive(lsn, entry, &mut batch).unwrap();
        let mut rows: Vec<_> =
            batch.iter().map(|op| (op.key().to_vec(), op.value().unwrap().to_vec())).collect();
        rows.reverse();
        assert_eq!(Claims.invert(lsn, &rows).unwrap().as_ref(), Some(entry));
        commands += stemedb_index::claims::Entry::parse(lsn, entry).unwrap().count;
        // Without the row that holds a command, the entry must not come back shorter.
        let held = rows
            .iter()
            .position(|(key, _)| matches!(key[0], 0x01 | 0x06 | 0x07 | 0x09 | 0x0a | 0x0b | 0x0d))
            .unwrap();
        rows.remove(held);
        assert_eq!(Claims.invert(lsn, &rows).unwrap(), None);
    }
    assert!(commands > 150);
}

#[test]
fn a_time_means_the_last_entry_recorded_by_then() {
    let history = History::random(MemStore::new(), 13, 80);
    let reader = ClaimReader::new(history.ledger.store.snapshot());
    let (first, last) = (history.recorded[0], *history.recorded.last().unwrap());
    for time in
        [first - 1, first, first + 1, (first + last) / 2, last - 1, last, last + DAY_US, i64::MAX, i64::MIN]
    {
        let expected = history.recorded.iter().filter(|recorded| **recorded <= time).count() as u64;
        assert_eq!(reader.lsn_at(Micros(time)).unwrap(), Lsn(expected), "{time}");
    }
}

#[test]
fn walking_over_questions_meets_each_once_with_all_its_candidates() {
    let history = History::random(MemStore::new(), 17, 60);
    let reader = ClaimReader::new(history.ledger.store.snapshot());
    let mut scan = reader.questions_from("");
    let mut met = Vec::new();
    while let Some((question, candidates)) = scan.next_question().unwrap() {
        assert_eq!(candidates, reader.candidates(&question.subject, &question.predicate, None).unwrap());
        met.push((question.subject, question.predicate));
    }
    let expected: Vec<_> = history.world.questions().map(|(s, p)| (s.to_owned(), p.to_owned())).collect();
    assert_eq!(met, expected);
    let mut about = reader.questions_about("cas:64-17-5");
    while let Some((question, _)) = about.next_question().unwrap() {
        assert_eq!(question.subject, "cas:64-17-5", "not a subject that merely starts alike");
    }
}

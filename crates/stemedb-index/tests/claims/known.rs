//! Nothing later than the bound is used: facts of the future are in the store and change nothing.

use stemedb_env::{Lsn, Micros};
use stemedb_index::{ClaimReader, Claims, Derive};
use stemedb_lsm::{KvStore, MemStore, WriteBatch};

use super::history::{History, PREDICATES, SUBJECTS};

/// A store that has never seen more than the first entries.
fn show(store: &MemStore, lsn: Lsn, entry: &[u8]) {
    let mut rows = WriteBatch::new();
    Claims.derive(lsn, entry, &mut rows).unwrap();
    store.apply(&rows, lsn).unwrap();
    store.publish(lsn);
}

#[test]
fn a_bound_reads_what_a_store_without_the_future_reads_and_says_what_the_newest_was() {
    let (mut read, mut used_something) = (0, 0);
    for seed in 300..312 {
        let history = History::random(MemStore::new(), seed, 50);
        let past = MemStore::new();
        for (index, entry) in history.ledger.entries.iter().enumerate() {
            let (lsn, recorded) = (Lsn(index as u64 + 1), Micros(history.recorded[index]));
            show(&past, lsn, entry);
            for subject in SUBJECTS {
                for predicate in PREDICATES {
                    for epoch in [None, Some("2024")] {
                        let without = ClaimReader::new(past.snapshot());
                        let bound = ClaimReader::as_of(history.ledger.store.snapshot(), lsn).unwrap();
                        let bound = bound.recorded_by(recorded);
                        let candidates = bound.candidates(subject, predicate, epoch).unwrap();
                        assert_eq!(candidates, without.candidates(subject, predicate, epoch).unwrap());
                        assert_eq!(bound.used(), without.used(), "seed {seed}, entry {lsn}");
                        let newest = candidates.iter().map(|one| one.lsn).max();
                        assert_eq!(bound.used().is_some(), newest.is_some());
                        if let Some(used) = bound.used() {
                            assert!(used.lsn <= lsn && used.recorded_at <= recorded, "{used:?}");
                            assert!(Some(used.lsn.0) >= newest);
                            assert_eq!(used.recorded_at.0, history.recorded[used.lsn.0 as usize - 1]);
                            used_something += 1;
                        }
                        read += 1;
                    }
                }
            }
        }
    }
    assert!(read > 4_000 && used_something > 3_000, "{read} {used_something}");
}

#[test]
fn every_kind_of_row_counts_as_used() {
    use stemedb_core::{
        Agent, AgentId, Assertion, Command, Cosign, Epoch, Nano, Object, SignatureBytes, Source, SourceClass,
        Supersession, Vote,
    };
    let mut ledger = super::history::Ledger::new(MemStore::new());
    let mut claim = Assertion::new("s", "p", Object::Integer(1), "src");
    let agent = AgentId([1; 32]);
    (claim.epoch, claim.author) = (Some("e".to_owned()), Some(agent));
    let id = claim.id();
    let commands = [
        Command::Assert(claim),
        Command::Vote(Vote::new(id, agent, Nano::ONE)),
        Command::Cosign(Cosign { claim: id, agent, signature: SignatureBytes([0; 64]) }),
        Command::Epoch(Epoch::new("e")),
        Command::Supersede(Supersession::retract(id)),
        Command::Source(Source::new("src", SourceClass::REGULATORY)),
        Command::Agent(Agent::new(agent)),
    ];
    for (index, command) in commands.into_iter().enumerate() {
        let lsn = Lsn(index as u64 + 1);
        ledger.one(command, 1_000 * (index as i64 + 1)).unwrap();
        let reader = ClaimReader::new(ledger.store.snapshot());
        reader.candidates("s", "p", None).unwrap();
        let used = reader.used().unwrap();
        assert_eq!((used.lsn, used.recorded_at), (lsn, Micros(1_000 * lsn.0 as i64)));
    }
    let reader = ClaimReader::new(ledger.store.snapshot());
    assert_eq!(reader.used(), None);
    reader.candidates("s", "q", None).unwrap();
    assert_eq!(reader.used(), None);
    reader.claim(id).unwrap().unwrap();
    assert_eq!(reader.used().map(|used| used.lsn), Some(Lsn(1)));
}

//! Commands in the order of the journal, from the rows: what the entries hold.

use stemedb_core::{ClaimId, Command, CommandRef};
use stemedb_env::{Lsn, Micros};
use stemedb_index::{
    ClaimReader, Position, Submission,
    claims::{Entry, Recorded},
};
use stemedb_lsm::{KvSnapshot, KvStore, MemStore};

use super::history::History;

/// What the journal says.
fn journaled<S: KvStore>(history: &History<S>, upto: Lsn) -> Vec<Recorded> {
    let mut all = Vec::new();
    for (lsn, entry) in (1..).map(Lsn).zip(&history.ledger.entries) {
        if lsn > upto {
            break;
        }
        let entry = Entry::parse(lsn, entry).unwrap();
        for (ordinal, command) in (0..).zip(entry.commands().unwrap()) {
            let id = match &command {
                Command::Assert(claim) => Some(claim.id()),
                _ => None,
            };
            let position = Position { lsn, ordinal };
            all.push(Recorded { position, recorded_at: Micros(entry.recorded_at.0), id, command });
        }
    }
    all
}

fn replayed<S: KvSnapshot>(reader: &ClaimReader<S>, memory_bytes: usize) -> (Vec<Recorded>, u64) {
    let mut replay = reader.replay(memory_bytes);
    let mut all = Vec::new();
    while let Some(recorded) = replay.next_command().unwrap() {
        all.push(recorded);
    }
    (all, replay.readings())
}

#[test]
fn commands_come_in_the_order_of_the_journal_whatever_the_memory() {
    for seed in 0..20 {
        let history = History::random(MemStore::new(), seed, 120);
        let newest = history.ledger.store.published_lsn();
        for upto in [newest, Lsn(newest.0 / 2), Lsn(1), Lsn(0)] {
            let reader = ClaimReader::as_of(history.ledger.store.snapshot(), upto).unwrap();
            let expected = journaled(&history, upto);
            for memory_bytes in [1, 2000, 20_000, 1 << 20] {
                let (all, readings) = replayed(&reader, memory_bytes);
                assert_eq!(all, expected, "seed {seed}, up to {upto}, {memory_bytes} bytes");
                match memory_bytes {
                    1 => assert_eq!(readings, (expected.len() as u64).max(1), "one at a time"),
                    0x10_0000 => assert_eq!(readings, 1, "everything fits"),
                    _ => assert!(readings >= 1),
                }
            }
        }
    }
}

#[test]
fn only_what_is_wanted_is_held() {
    let history = History::random(MemStore::new(), 7, 200);
    let reader = ClaimReader::new(history.ledger.store.snapshot());
    let of_water = |command: &[u8]| match CommandRef::decode(&mut &*command) {
        Ok(CommandRef::Assert(claim)) => claim.subject == "water",
        _ => false,
    };
    let expected: Vec<ClaimId> = journaled(&history, reader.lsn())
        .into_iter()
        .filter(|recorded| matches!(&recorded.command, Command::Assert(claim) if claim.subject == "water"))
        .filter_map(|recorded| recorded.id)
        .collect();
    assert!(expected.len() > 10);
    // Memory for all of these and not for everything: one reading.
    let mut replay = reader.replay(expected.len() * 600).only(|_, command| Ok(of_water(command)));
    let mut found = Vec::new();
    while let Some(recorded) = replay.next_command().unwrap() {
        found.extend(recorded.id);
    }
    assert_eq!((found, replay.readings()), (expected.clone(), 1));
    let mut claims = Vec::new();
    reader
        .each_claim(|id, command| {
            if of_water(command) {
                claims.push(id);
            }
            Ok(())
        })
        .unwrap();
    claims.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(claims, sorted);
}

#[test]
fn a_submission_is_cut_in_two_without_changing_a_command() {
    let history = History::random(MemStore::new(), 3, 60);
    let commands: Vec<Command> =
        journaled(&history, Lsn(1000)).into_iter().map(|recorded| recorded.command).collect();
    let mut whole = Submission::new();
    for command in &commands {
        whole.push(command).unwrap();
    }
    for count in [0, 1, commands.len() / 2, commands.len(), commands.len() + 5] {
        let (left, right) = whole.split(count);
        let count = count.min(commands.len());
        assert_eq!((left.len(), right.len()), (count, commands.len() - count));
        assert_eq!(left.encoded_bytes() + right.encoded_bytes(), whole.encoded_bytes());
        // Told to a new database, the two halves make what the whole makes.
        let mut cut = History::random(MemStore::new(), 0, 0);
        cut.ledger.commit(left, 1).unwrap();
        cut.ledger.commit(right, 1).unwrap();
        let mut uncut = History::random(MemStore::new(), 0, 0);
        uncut.ledger.commit(whole.clone(), 1).unwrap();
        let said = |history: &History<MemStore>| -> Vec<Command> {
            journaled(history, Lsn(9)).into_iter().map(|recorded| recorded.command).collect()
        };
        assert_eq!(said(&cut), said(&uncut));
        assert_eq!(said(&cut), commands);
    }
}

//! When what was changed last: the newest entry that touched a question, a claim, a source, or everything.

use std::sync::atomic::{AtomicU64, Ordering};

use stemedb_core::ClaimId;
use stemedb_env::Lsn;
use stemedb_lsm::{Op, WriteBatch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::keys::{self, Family};

/// Slots of the smallest board.
const FEWEST_SLOTS: usize = 1 << 10;
/// And of the largest one.
const MOST_SLOTS: usize = 1 << 24;

/// Kinds of things that have slots: told apart in the hash.
const QUESTION: u64 = 1;
const CLAIM: u64 = 2;
const SOURCE: u64 = 3;

/// The newest LSN that touched each of many things, by hash. Two things may share a slot: then a change of one counts as a
/// change of the other. Lock-free; see `docs/design/caches.md` for the order of its accesses.
#[derive(Debug)]
pub(super) struct ChangeBoard {
    /// A power of two of them.
    slots: Box<[AtomicU64]>,
    seed: u64,
    everything: AtomicU64,
    /// What was before is not on the board.
    floor: AtomicU64,
}

/// What a value was made from, as places on the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dependencies {
    slots: Vec<u32>,
}

impl Dependencies {
    /// One more place.
    pub fn add(&mut self, slot: u32) {
        self.slots.push(slot);
    }

    /// Each place once.
    pub fn finish(&mut self) {
        self.slots.sort_unstable();
        self.slots.dedup();
        self.slots.shrink_to_fit();
    }

    pub fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

impl ChangeBoard {
    /// A board that knows nothing yet, of about `bytes`.
    pub fn new(bytes: usize, seed: u64) -> ChangeBoard {
        let wanted = (bytes / size_of::<AtomicU64>()).clamp(FEWEST_SLOTS, MOST_SLOTS);
        // Rounded down.
        let slots = 1_usize << wanted.ilog2();
        ChangeBoard {
            slots: std::iter::repeat_with(AtomicU64::default).take(slots).collect(),
            seed,
            everything: AtomicU64::new(0),
            floor: AtomicU64::new(0),
        }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Entries up to `lsn` are not on the board.
    pub fn begin_at(&self, lsn: Lsn) {
        self.floor.fetch_max(lsn.0, Ordering::Release);
    }

    fn slot(&self, kind: u64, name: &[u8]) -> u32 {
        let hash = xxh3_64_with_seed(name, self.seed ^ kind);
        // The mask is at most that of the largest board.
        (hash as usize & (self.slots.len() - 1)) as u32
    }

    /// Of a question, by its prefix of claim keys.
    pub fn question(&self, prefix: &[u8]) -> u32 {
        self.slot(QUESTION, prefix)
    }

    /// Of a claim.
    pub fn claim(&self, id: &ClaimId) -> u32 {
        self.slot(CLAIM, &id.0)
    }

    /// Of a source's record.
    pub fn source(&self, name: &str) -> u32 {
        self.slot(SOURCE, name.as_bytes())
    }

    fn touch(&self, slot: u32, lsn: Lsn) {
        if let Some(slot) = self.slots.get(slot as usize) {
            slot.fetch_max(lsn.0, Ordering::Release);
        }
    }

    /// Notes an entry's rows.
    pub fn note(&self, lsn: Lsn, rows: &WriteBatch) {
        for op in rows.iter() {
            self.note_row(lsn, &op);
        }
    }

    fn note_row(&self, lsn: Lsn, op: &Op<'_>) {
        let everything = || {
            self.everything.fetch_max(lsn.0, Ordering::Release);
        };
        let key = op.key();
        let (Op::Put { .. }, Some(family)) = (op, Family::of(key)) else { return everything() };
        match family {
            // All of them follow from a claim or another record, and no candidate is made from them.
            Family::ById
            | Family::ByPredicate
            | Family::BySource
            | Family::ByAgent
            | Family::Derived
            | Family::Entry
            | Family::ByValue => {}
            Family::Claim => {
                let prefix = key.get(..keys::filtered_prefix_bytes(key)).unwrap_or_default();
                self.touch(self.question(prefix), lsn);
                // Somebody may derive from it, and may have done so before it was there.
                match key.last_chunk::<32>() {
                    Some(id) => self.touch(self.slot(CLAIM, id), lsn),
                    None => everything(),
                }
            }
            Family::Vote | Family::Cosigned | Family::Superseded => {
                match key.get(1..).and_then(|rest| rest.first_chunk::<32>()) {
                    Some(id) => self.touch(self.slot(CLAIM, id), lsn),
                    None => everything(),
                }
            }
            Family::Source => match keys::parse_named(family, key) {
                Ok((name, _)) => self.touch(self.source(name), lsn),
                Err(_) => everything(),
            },
            // Which epochs are superseded, and whom to trust how much.
            Family::Epoch | Family::Agent => everything(),
        }
    }

    /// True if a value made from these, of the moment `built`, is also the value of the moment `wanted`. Whoever asks must have made a
    /// snapshot that shows `wanted` before. Cost: a load per place.
    pub fn is_exact(&self, dependencies: &Dependencies, built: Lsn, wanted: Lsn) -> bool {
        if built == wanted {
            // The past does not change.
            return true;
        }
        let limit = built.min(wanted).0;
        let is_untouched = |slot: &AtomicU64| slot.load(Ordering::Acquire) <= limit;
        is_untouched(&self.floor)
            && is_untouched(&self.everything)
            && dependencies.slots.iter().all(|slot| self.is_untouched(*slot, limit))
    }

    fn is_untouched(&self, slot: u32, limit: u64) -> bool {
        self.slots.get(slot as usize).is_some_and(|slot| slot.load(Ordering::Acquire) <= limit)
    }

    /// As [`ChangeBoard::is_exact`], of what one claim's records alone decide.
    pub fn is_claim_exact(&self, id: &ClaimId, built: Lsn, wanted: Lsn) -> bool {
        let limit = built.min(wanted).0;
        built == wanted
            || (self.floor.load(Ordering::Acquire) <= limit && self.is_untouched(self.claim(id), limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Position;

    fn board() -> ChangeBoard {
        ChangeBoard::new(1 << 20, 7)
    }

    fn rows(keys: &[Vec<u8>]) -> WriteBatch {
        let mut batch = WriteBatch::new();
        keys.iter().for_each(|key| batch.put(key, &[]));
        batch
    }

    fn on(slots: &[u32]) -> Dependencies {
        Dependencies { slots: slots.to_vec() }
    }

    #[test]
    fn a_value_holds_until_one_of_its_things_is_touched_and_back_to_when_one_was() {
        let board = board();
        let (question, claim) = (keys::claim_prefix("s", "p"), ClaimId([3; 32]));
        let value = on(&[board.question(&question), board.claim(&claim)]);
        let at = |lsn| Position { lsn: Lsn(lsn), ordinal: 0 };
        board.note(Lsn(4), &rows(&[keys::claim("s", "p", at(4), &claim.0)]));
        board.note(Lsn(5), &rows(&[keys::claim("s", "q", at(5), &[4; 32])]));
        assert!(board.is_exact(&value, Lsn(5), Lsn(9)), "nothing of it was touched since");
        assert!(board.is_exact(&value, Lsn(5), Lsn(4)), "nor between the two");
        assert!(!board.is_exact(&value, Lsn(5), Lsn(3)), "it came with entry 4");
        assert!(board.is_exact(&value, Lsn(3), Lsn(3)), "of the same moment");
        board.note(Lsn(6), &rows(&[keys::id_agent(Family::Vote, &claim.0, &[1; 32], at(6))]));
        assert!(!board.is_exact(&value, Lsn(5), Lsn(6)));
        assert!(board.is_exact(&value, Lsn(6), Lsn(6)));
    }

    #[test]
    fn every_family_touches_what_depends_on_it_and_nothing_else() {
        let at = Position { lsn: Lsn(1), ordinal: 0 };
        let (id, other, agent) = ([3; 32], [9; 32], [1; 32]);
        // Key, then whether it touches: the question, the claim, the source, everything.
        let cases = [
            (keys::entry(Lsn(1)), [false; 4]),
            (keys::by_id(&id), [false; 4]),
            (keys::by_predicate("p", "s", at), [false; 4]),
            (keys::by_source("S", at), [false; 4]),
            (keys::by_agent(&agent, at), [false; 4]),
            (keys::claim("s", "p", at, &other), [true, false, false, false]),
            (keys::claim("t", "p", at, &id), [false, true, false, false]),
            (keys::id_agent(Family::Vote, &id, &agent, at), [false, true, false, false]),
            (keys::id_agent(Family::Cosigned, &id, &agent, at), [false, true, false, false]),
            (keys::superseded(&id, at), [false, true, false, false]),
            (keys::derived(&other, &id), [false, false, false, false]),
            (keys::named(Family::Source, "S", at), [false, false, true, false]),
            (keys::named(Family::Epoch, "S", at), [false, false, false, true]),
            (keys::agent(&agent, at), [false, false, false, true]),
            (vec![0xff, 1], [false, false, false, true]),
            (vec![], [false, false, false, true]),
        ];
        for (key, expected) in cases {
            let board = board();
            board.note(Lsn(1), &rows(std::slice::from_ref(&key)));
            let things =
                [board.question(&keys::claim_prefix("s", "p")), board.claim(&ClaimId(id)), board.source("S")];
            let touched = |slot: &AtomicU64| slot.load(Ordering::Relaxed) == 1;
            let mut found = things.map(|slot| touched(&board.slots[slot as usize])).to_vec();
            found.push(touched(&board.everything));
            assert_eq!(found, expected, "{key:?}");
        }
        let board = board();
        let mut batch = WriteBatch::new();
        batch.delete_range(b"\x01a", b"\x01b");
        board.note(Lsn(1), &batch);
        assert_eq!(
            board.everything.load(Ordering::Relaxed),
            1,
            "what is never done counts as a change of all"
        );
    }

    #[test]
    fn nothing_is_compared_with_a_moment_before_the_board_began() {
        let board = board();
        board.begin_at(Lsn(100));
        let value = on(&[board.question(b"q")]);
        assert!(board.is_exact(&value, Lsn(100), Lsn(120)));
        assert!(!board.is_exact(&value, Lsn(99), Lsn(100)));
        assert!(!board.is_exact(&value, Lsn(110), Lsn(50)));
        assert!(board.is_exact(&value, Lsn(50), Lsn(50)));
    }

    #[test]
    fn a_board_has_a_power_of_two_of_slots_within_its_bytes() {
        for bytes in [0, 1, 8 << 10, (8 << 10) + 1, 100_000, 1 << 20] {
            let board = ChangeBoard::new(bytes, 1);
            assert!(board.slots.len().is_power_of_two());
            assert!(board.bytes() <= bytes.max(FEWEST_SLOTS * 8), "{bytes}");
        }
    }
}

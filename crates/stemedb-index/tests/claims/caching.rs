//! Whatever the caches answer, at whatever moment, is what the oracle says: never an answer of before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use stemedb_core::{
    Assertion, Command, Object, SourceClass,
    lens::{Lens, LensParams, resolve},
};
use stemedb_env::Lsn;
use stemedb_index::{
    Admit, AppliedRows, ClaimCache, ClaimReader, Claims, Derive, Submission, claims::InFlightClaims,
};
use stemedb_lsm::{KvStore, MemStore, WriteBatch};

use super::{
    history::{DAY_US, Dice, History, PREDICATES, SUBJECTS},
    questions::{assert_same, tree},
};

/// A history that is shown again, entry by entry, to a store with caches.
struct Replay<'a, S> {
    history: &'a History<MemStore>,
    store: S,
    cache: Arc<ClaimCache>,
}

impl<'a, S: KvStore> Replay<'a, S> {
    /// The entries before `from` are there before the caches begin.
    fn new(history: &'a History<MemStore>, store: S, cache_bytes: u64, from: Lsn) -> Replay<'a, S> {
        let replay = Replay { history, store, cache: Arc::new(ClaimCache::new(cache_bytes, 11)) };
        for lsn in (1..=from.0).map(Lsn) {
            replay.apply(lsn, &replay.rows(lsn));
        }
        replay.cache.begins_at(from);
        replay
    }

    fn rows(&self, lsn: Lsn) -> WriteBatch {
        let mut rows = WriteBatch::new();
        let entry = &self.history.ledger.entries[usize::try_from(lsn.0).unwrap() - 1];
        Claims.derive(lsn, entry, &mut rows).unwrap();
        rows
    }

    fn apply(&self, lsn: Lsn, rows: &WriteBatch) {
        self.store.apply(rows, lsn).unwrap();
        self.store.publish(lsn);
    }

    /// As the engine does.
    fn show(&self, lsn: Lsn) {
        let rows = self.rows(lsn);
        self.cache.about_to_show(lsn, &rows);
        self.apply(lsn, &rows);
    }

    /// A random question to a snapshot, as of its LSN or an earlier moment, through every lens or one.
    fn ask(&self, snapshot: &S::Snapshot, as_of: Lsn, dice: &Dice, all: bool) {
        let subject = SUBJECTS[dice.below(3) as usize];
        let predicate = PREDICATES[dice.below(2) as usize];
        let epoch = [None, None, None, Some("2019")][dice.below(4) as usize];
        let reader = ClaimReader::as_of(snapshot.clone(), as_of).unwrap();
        let reader = reader.with_cache(Some(Arc::clone(&self.cache)));
        let set = reader.question(subject, predicate, epoch).unwrap();
        let one = [Lens::ALL[dice.below(6) as usize]];
        for lens in if all { &Lens::ALL[..] } else { &one[..] } {
            let decay = dice.below(6) == 0;
            let evaluated_at = DAY_US * (20_000 + dice.below(150) as i64);
            let params = LensParams::at(stemedb_core::Micros(evaluated_at)).with_decay(decay);
            let answer = self.cache.answer(*lens, &set, &params);
            let name = lens.to_string();
            let world = &self.history.world;
            let expected = world.ask(subject, predicate, &name, as_of.0, evaluated_at, decay, epoch);
            let context =
                format!("{subject} {predicate} {name} as of {as_of}, epoch {epoch:?}, decay {decay}");
            assert_same(&answer, &set, &expected, &context);
            assert_eq!(answer, resolve(*lens, &set, &params), "{context}");
        }
        if all {
            let fresh = reader.candidates(subject, predicate, epoch).unwrap();
            assert_eq!(**set, *fresh, "{subject} {predicate} as of {as_of}, epoch {epoch:?}");
            for candidate in set.iter() {
                let supersessions = reader.supersessions(candidate.id).unwrap();
                let newest = supersessions.iter().rev().find_map(|(_, by)| by.new);
                let is_retracted = supersessions.iter().any(|(_, by)| by.new.is_none());
                assert_eq!(set.successor(candidate.id), newest.filter(|_| !is_retracted));
            }
        }
    }
}

/// Entries are shown one by one. In between, readers ask: of now, of earlier moments, and with snapshots of before, whose sets are
/// made when their time is over.
fn interleaved<S: KvStore>(store: S, seed: u64, cache_bytes: u64) -> [u64; 3] {
    let history = History::random(MemStore::new(), seed, 60);
    let last = history.ledger.entries.len() as u64;
    let dice = Dice::new(seed ^ 0xcac4e);
    let from = Lsn(dice.below(last / 2));
    let replay = Replay::new(&history, store, cache_bytes, from);
    let mut snapshots = vec![replay.store.snapshot()];
    for lsn in (from.0 + 1..=last).map(Lsn) {
        replay.show(lsn);
        snapshots.push(replay.store.snapshot());
        for _ in 0..10 {
            let behind = if dice.below(3) > 0 { 0 } else { dice.below(snapshots.len() as u64) };
            let snapshot = &snapshots[snapshots.len() - 1 - behind as usize];
            let newest = stemedb_lsm::KvSnapshot::lsn(snapshot);
            let as_of = if dice.below(3) > 0 { newest } else { Lsn(dice.below(newest.0 + 1)) };
            replay.ask(snapshot, as_of, &dice, true);
        }
    }
    let stats = replay.cache.stats();
    let names = stats.by_name();
    assert!(names.iter().all(|(_, counts)| counts.bytes <= counts.capacity_bytes), "{stats:?}");
    names.map(|(_, counts)| counts.hits)
}

#[test]
fn every_interleaving_of_writes_and_reads_answers_like_the_oracle() {
    let mut hits = [0; 3];
    for seed in 0..40 {
        let found = interleaved(MemStore::new(), seed, 1 << 20);
        hits.iter_mut().zip(found).for_each(|(hits, found)| *hits += found);
    }
    println!("{hits:?} hits");
    assert!(hits.iter().all(|hits| *hits > 1_000), "the caches were hardly used: {hits:?}");
}

#[test]
fn also_on_the_tree_and_with_caches_that_hold_next_to_nothing() {
    let mut hits = [0; 3];
    for seed in 100..108 {
        let found = interleaved(tree(), seed, 1 << 20);
        hits.iter_mut().zip(found).for_each(|(hits, found)| *hits += found);
        interleaved(MemStore::new(), seed, 30_000);
        interleaved(MemStore::new(), seed, 1);
    }
    assert!(hits.iter().all(|hits| *hits > 100), "the caches were hardly used: {hits:?}");
}

/// Says when a thread has failed: nobody may wait for it then.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A writer that does not wait and readers that do not either.
fn hammered<S: KvStore>(store: S, seed: u64) -> (u64, u64) {
    let history = History::random(MemStore::new(), seed, 400);
    let last = history.ledger.entries.len() as u64;
    let replay = Replay::new(&history, store, 1 << 20, Lsn(0));
    let (asked, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for reader in 0..3 {
            let (replay, asked, failed) = (&replay, &asked, &failed);
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                let dice = Dice::new(seed * 31 + reader);
                loop {
                    let snapshot = replay.store.snapshot();
                    let newest = stemedb_lsm::KvSnapshot::lsn(&snapshot);
                    let as_of = if dice.below(8) > 0 { newest } else { Lsn(dice.below(newest.0 + 1)) };
                    replay.ask(&snapshot, as_of, &dice, false);
                    asked.fetch_add(1, Ordering::Relaxed);
                    if newest.0 == last || failed.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        scope.spawn(|| {
            for lsn in 1..=last {
                // The readers get on, whatever the machine: each entry is asked about.
                let before = asked.load(Ordering::Relaxed);
                replay.show(Lsn(lsn));
                while asked.load(Ordering::Relaxed) < before + 3 {
                    assert!(!failed.load(Ordering::Relaxed), "a reader has failed");
                    thread::yield_now();
                }
            }
        });
    });
    let stats = replay.cache.stats();
    (asked.into_inner(), stats.candidates.hits)
}

#[test]
fn readers_beside_a_writer_are_answered_like_the_oracle_for_their_moment() {
    let (mut asked, mut hits) = (0, 0);
    for seed in 0..4 {
        let (one, two) = (hammered(MemStore::new(), seed), hammered(tree(), seed + 50));
        asked += one.0 + two.0;
        hits += one.1 + two.1;
    }
    println!("{asked} questions, {hits} from the cache");
    assert!(hits > asked / 20, "{hits} of {asked}");
}

/// What the announcement is for: without it, or behind the publication, the caches would answer with the past.
#[test]
fn an_entry_that_is_shown_before_it_is_announced_is_not_seen() {
    let history = History::random(MemStore::new(), 5, 120);
    let (mut unseen, last) = (0, history.ledger.entries.len() as u64);
    let replay = Replay::new(&history, MemStore::new(), 1 << 20, Lsn(0));
    for lsn in (1..=last).map(Lsn) {
        let rows = replay.rows(lsn);
        replay.apply(lsn, &rows);
        let reader = ClaimReader::new(replay.store.snapshot()).with_cache(Some(Arc::clone(&replay.cache)));
        let asked = reader.question("water", "boiling", None).unwrap();
        unseen += u64::from(**asked != *reader.candidates("water", "boiling", None).unwrap());
        replay.cache.about_to_show(lsn, &rows);
        let asked = reader.question("water", "boiling", None).unwrap();
        assert_eq!(**asked, *reader.candidates("water", "boiling", None).unwrap());
    }
    assert!(unseen > 20, "{unseen} of {last}");
}

#[test]
fn what_a_question_has_not_is_kept_too_and_a_first_claim_ends_that() {
    let history = History::random(MemStore::new(), 3, 60);
    let replay = Replay::new(&history, MemStore::new(), 1 << 20, Lsn(0));
    let ask = || {
        let reader = ClaimReader::new(replay.store.snapshot()).with_cache(Some(Arc::clone(&replay.cache)));
        reader.question("water", "boiling_point_K", None).unwrap().len()
    };
    assert_eq!((ask(), ask()), (0, 0));
    assert_eq!(replay.cache.stats().candidates.hits, 1, "an empty answer is an answer");
    let mut shown = 0;
    for lsn in 1..=history.ledger.entries.len() as u64 {
        replay.show(Lsn(lsn));
        let found = ask();
        assert!(found >= shown);
        shown = found;
    }
    assert!(shown > 0);
}

#[test]
fn a_report_about_the_past_leaves_the_present_where_it_is() {
    let history = History::random(MemStore::new(), 4, 80);
    let last = history.ledger.entries.len() as u64;
    let replay = Replay::new(&history, MemStore::new(), 1 << 20, Lsn(0));
    (1..=last).for_each(|lsn| replay.show(Lsn(lsn)));
    let at = |lsn: u64| {
        let reader = ClaimReader::as_of(replay.store.snapshot(), Lsn(lsn)).unwrap();
        reader.with_cache(Some(Arc::clone(&replay.cache))).question("water", "boiling", None).unwrap()
    };
    let present = at(last);
    (0..last).for_each(|lsn| drop(at(lsn)));
    assert!(Arc::ptr_eq(&present, &at(last)), "it was pushed out");
}

#[test]
fn of_a_claim_about_which_nothing_else_is_known_only_its_row_is_read() {
    let (store, mut entries) = (tree(), 0);
    let mut in_flight = InFlightClaims::default();
    let mut commit = |commands: &[Command]| {
        let mut submission = Submission::new();
        for command in commands {
            submission.push(command).unwrap();
        }
        entries += 1;
        let (lsn, now) = (Lsn(entries), stemedb_env::Micros(DAY_US));
        let admitted = Claims.admit(submission, &store.snapshot(), &mut in_flight, lsn, now).unwrap();
        let mut rows = WriteBatch::new();
        Claims.derive(lsn, &admitted.entry.unwrap(), &mut rows).unwrap();
        store.apply(&rows, lsn).unwrap();
        store.publish(lsn);
    };
    let mut ids = Vec::new();
    for n in 0..8 {
        let mut claim = Assertion::new("s", "p", Object::Integer(n), format!("source {n}"));
        claim.source_class = SourceClass::new(2).ok();
        ids.push(claim.id());
        commit(&[Command::Assert(claim)]);
    }
    store.compact().unwrap();
    let reader = ClaimReader::new(store.snapshot());
    let blocks = || {
        let before = store.stats();
        assert_eq!(reader.candidates("s", "p", None).unwrap().len(), 8);
        let after = store.stats();
        after.cache_hits + after.block_reads - before.cache_hits - before.block_reads
    };
    blocks();
    let alone = blocks();
    assert!(alone <= 3, "{alone} blocks for a question whose rows lie together");
    // The yardstick: a probe of every family for every claim, as scans.
    let scans = {
        let before = store.stats();
        for id in &ids {
            let found = reader.votes(*id).unwrap().len() + reader.supersessions(*id).unwrap().len();
            assert_eq!(found + reader.cosignatures(*id).unwrap().len(), 0);
        }
        let after = store.stats();
        after.filter_useful - before.filter_useful
    };
    assert!(scans >= 20, "{scans}");
}

//! The caches of a whole database: never stale while many write, bounded, counted, and off where they are off.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use stemedb_api::{
    AsOf, Code, Database, DatabaseOptions, Query,
    core::{
        AgentKey, Assertion, ClaimId, Command, Epoch, Lens, LensParams, Micros, Nano, Object, Source,
        SourceClass, Supersession, SupersessionKind, Vote, resolve,
    },
};

use crate::support::{Dice, Server, database, tiny};

const SUBJECTS: u64 = 3;
const REFUSED: [Code; 2] = [Code::AuthorityTooLow, Code::SupersessionCycle];

fn command(dice: &mut Dice, known: &[ClaimId]) -> Command {
    let agent = |dice: &mut Dice| AgentKey::from_seed(&[dice.below(5) as u8 + 1; 32]).agent();
    let fresh = |dice: &mut Dice| {
        let object = Object::Integer(dice.below(4) as i64);
        let source = format!("source {}", dice.below(40));
        let mut claim = Assertion::new(format!("s{}", dice.below(SUBJECTS)), "p", object, source);
        claim.confidence = dice.chance(40).then(|| Nano(dice.below(1_000_000_000) as i64));
        claim.epoch = dice.chance(20).then(|| format!("e{}", dice.below(3)));
        if !known.is_empty() && dice.chance(20) {
            claim.parents = vec![*dice.pick(known)];
        }
        claim
    };
    if known.is_empty() {
        return Command::Assert(fresh(dice));
    }
    match dice.below(10) {
        0..=2 => Command::Assert(fresh(dice)),
        3..=6 => {
            let weight = Nano(dice.below(2_000_000_000) as i64 - 1_000_000_000);
            Command::Vote(Vote::new(*dice.pick(known), agent(dice), weight))
        }
        7 => {
            let (old, new) = (*dice.pick(known), *dice.pick(known));
            match old == new || dice.chance(30) {
                true => Command::Supersede(Supersession::retract(old)),
                false => Command::Supersede(Supersession::replace(old, new, SupersessionKind::Corrects)),
            }
        }
        8 => {
            let class = SourceClass::new(dice.below(6) as u8).unwrap();
            Command::Source(Source::new(format!("source {}", dice.below(40)), class))
        }
        _ => {
            let mut epoch = Epoch::new(format!("e{}", dice.below(3)));
            epoch.supersedes = Some(format!("e{}", dice.below(3))).filter(|old| *old != epoch.name);
            Command::Epoch(epoch)
        }
    }
}

/// Asks, and compares with what the rows say as of the answer's own LSN.
fn ask(database: &Database, dice: &mut Dice) {
    let lens = *dice.pick(&Lens::ALL);
    let now = database.published_lsn();
    let as_of = dice.chance(20).then(|| AsOf::Lsn(stemedb_env::Lsn(dice.below(now.0 + 1))));
    let epoch = dice.chance(20).then(|| "e1".to_owned());
    let query = Query { as_of, epoch, ..Query::new(format!("s{}", dice.below(SUBJECTS)), "p", lens) };
    let resolved = database.query(query.clone()).unwrap();
    assert!(as_of.is_some() || resolved.lsn >= now, "what was published before is seen");
    let reader = database.reader(Some(AsOf::Lsn(resolved.lsn))).unwrap();
    let fresh = reader.candidates(&query.subject, "p", query.epoch.as_deref()).unwrap();
    assert_eq!(**resolved.candidates, *fresh, "{query:?} at {}", resolved.lsn);
    let params = LensParams::at(resolved.evaluated_at);
    assert_eq!(resolved.answer, resolve(lens, &fresh, &params), "{query:?} at {}", resolved.lsn);
    for (old, new) in &resolved.successors {
        let supersessions = reader.supersessions(*old).unwrap();
        assert_eq!(supersessions.iter().rev().find_map(|(_, by)| by.new), Some(*new));
    }
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

#[test]
fn answers_beside_many_writers_are_those_of_the_rows_as_of_their_lsn() {
    let (database, _dir) = database();
    let (known, failed, writing) = (Mutex::new(Vec::new()), AtomicBool::new(false), AtomicU64::new(3));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (database, known, failed, writing) = (&database, &known, &failed, &writing);
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                let mut dice = Dice(writer + 1);
                for _ in 0..150 {
                    let pool: Vec<ClaimId> = known.lock().unwrap().clone();
                    let commands: Vec<_> = (0..=dice.below(3)).map(|_| command(&mut dice, &pool)).collect();
                    let outcomes = match database.submit(&commands) {
                        // Histories are made at random, without regard to ranks and circles.
                        Err(error) if REFUSED.contains(&error.code()) => continue,
                        submitted => submitted.unwrap(),
                    };
                    known.lock().unwrap().extend(outcomes.iter().filter_map(|outcome| outcome.id));
                    if failed.load(Ordering::Relaxed) {
                        break;
                    }
                }
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        for reader in 0..3 {
            let (database, failed, writing) = (&database, &failed, &writing);
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                let mut dice = Dice(reader + 100);
                while writing.load(Ordering::Relaxed) > 0 && !failed.load(Ordering::Relaxed) {
                    ask(database, &mut dice);
                }
                (0..50).for_each(|_| ask(database, &mut dice));
            });
        }
    });
    let stats = database.cache_stats().unwrap();
    assert!(stats.candidates.hits > 100 && stats.answers.hits > 20, "{stats:?}");
}

fn five_sources(database: &Database) {
    for n in 0..5 {
        database.assert(Assertion::new("s", "p", Object::Integer(n % 2), format!("source {n}"))).unwrap();
    }
}

#[test]
fn a_repeated_question_reads_nothing_and_ages_all_the_same() {
    let (database, _dir) = database();
    five_sources(&database);
    database.flush().unwrap();
    let at = |us: i64| {
        let query = Query::new("s", "p", Lens::Consensus);
        database.query(Query { evaluated_at: Some(Micros(us)), ..query }).unwrap()
    };
    let start = 4_000_000_000_000_000;
    let first = at(start);
    let read = |database: &Database| {
        let lsm = database.stats().lsm;
        lsm.block_reads + lsm.cache_hits
    };
    let before = read(&database);
    let later = at(start + 1_000);
    assert_eq!(read(&database), before, "it looked into the tree");
    let ages = |resolved: &stemedb_api::Resolved| {
        let stemedb_api::Resolved { answer, candidates, params, evidence, .. } = resolved;
        let explained = stemedb_api::core::lens::explain(answer, candidates, params, evidence);
        explained.claims.iter().map(|claim| claim.age_us).collect::<Vec<_>>()
    };
    let older: Vec<i64> = ages(&first).iter().map(|age| age + 1_000).collect();
    assert_eq!(ages(&later), older);
    let stats = database.cache_stats().unwrap();
    assert_eq!((stats.candidates.hits, stats.answers.hits), (1, 1), "{stats:?}");
    assert_eq!(stats.answers.hit_rate(), 0.5);
    // Through another lens the candidates are the same.
    database.query(Query::new("s", "p", Lens::Skeptic)).unwrap();
    let stats = database.cache_stats().unwrap();
    assert_eq!((stats.candidates.hits, stats.answers.hits), (2, 1), "{stats:?}");
    // A vote on one claim ends both; of the other four nothing is known besides.
    let voted = first.candidates[0].id;
    database.vote(Vote::new(voted, AgentKey::from_seed(&[1; 32]).agent(), Nano::ONE)).unwrap();
    assert_eq!(at(start).candidates.iter().map(|one| one.votes.len()).sum::<usize>(), 1);
    assert_eq!(database.cache_stats().unwrap().candidates.stale, 1);
}

#[test]
fn a_change_of_another_question_costs_nothing() {
    let (database, _dir) = database();
    five_sources(&database);
    let query = || database.query(Query::new("s", "p", Lens::Recency)).unwrap();
    query();
    database.assert(Assertion::new("t", "p", Object::Integer(1), "source 1")).unwrap();
    database.source(Source::new("source 77", SourceClass::new(1).unwrap())).unwrap();
    query();
    let stats = database.cache_stats().unwrap();
    assert_eq!((stats.candidates.hits, stats.candidates.stale), (1, 0), "{stats:?}");
    // A source of its own is another matter.
    database.source(Source::new("source 1", SourceClass::new(1).unwrap())).unwrap();
    assert!(query().candidates.iter().any(|one| one.class.number() == 1));
    assert_eq!(database.cache_stats().unwrap().candidates.stale, 1);
}

#[test]
fn without_bytes_there_are_no_caches_and_the_answers_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let options = DatabaseOptions { cache_bytes: 0, ..tiny() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    five_sources(&database);
    let mut dice = Dice(9);
    (0..50).for_each(|_| ask(&database, &mut dice));
    assert_eq!(database.cache_stats(), None);
}

#[test]
fn the_bound_holds_whatever_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let options = DatabaseOptions { cache_bytes: 1 << 20, ..tiny() };
    let database = Database::create(dir.path().join("db"), options).unwrap();
    let commands: Vec<_> = (0..3_000)
        .map(|n| Command::Assert(Assertion::new(format!("s{n}"), "p", Object::Integer(n), "one source")))
        .collect();
    commands.chunks(500).for_each(|chunk| drop(database.submit(chunk).unwrap()));
    for round in 0..3_000 {
        for lens in [Lens::Recency, Lens::Skeptic] {
            database.query(Query::new(format!("s{round}"), "p", lens)).unwrap();
        }
        let stats = database.cache_stats().unwrap();
        assert!(stats.bytes() <= 1 << 20, "{stats:?}");
    }
    let stats = database.cache_stats().unwrap();
    assert!(stats.candidates.entries > 300 && stats.candidates.entries < 3_000, "{stats:?}");
}

#[test]
fn metrics_show_what_the_caches_do() {
    let server = Server::start();
    five_sources(&server.database);
    for _ in 0..3 {
        assert_eq!(server.get("/v1/query?subject=s&predicate=p").status, 200);
    }
    let metrics = server.get("/metrics");
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        "stemedb_cache_candidates_hits_total 2",
        "stemedb_cache_answers_hits_total 2",
        "stemedb_cache_answers_misses_total 1",
        "stemedb_cache_tallies_entries 0",
        "stemedb_cache_candidates_entries 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
}

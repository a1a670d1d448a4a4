//! The board of conflicts over a database that is written to.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use stemedb_api::{
    Code, ConflictQuery, Conflicts, Database, Error, RouterOptions,
    core::{AgentKey, Assertion, Micros, Nano, Object, Supersession, Vote},
};
use stemedb_env::Lsn;
use stemedb_index::{
    ClaimReader,
    questions::{ConflictBoard, Contested, Knowledge},
};

use crate::support::{Dice, Server, database, tiny};

/// What a scan of everything finds.
fn scanned(database: &Database, lsn: Lsn, evaluated_at: Micros) -> (Vec<Contested>, Knowledge) {
    let view = database.reader(None).unwrap().snapshot().clone();
    let mut board = ConflictBoard::begin(0, 1 << 30, lsn, evaluated_at);
    while !board.build_step(view.clone(), 1000).unwrap() {}
    let page = board.page(None, 0, usize::MAX).unwrap();
    (page.items, page.knowledge)
}

fn everything(database: &Database, limit: usize) -> (Vec<Contested>, Conflicts) {
    let mut query = ConflictQuery { limit, ..ConflictQuery::default() };
    let first = database.conflicts(&query).unwrap();
    let (mut items, mut cursor) = (first.items.clone(), first.cursor.clone());
    while cursor.is_some() {
        query.cursor = cursor;
        let next = database.conflicts(&query).unwrap();
        assert_eq!(
            (next.lsn, next.evaluated_at, next.knowledge),
            (first.lsn, first.evaluated_at, first.knowledge)
        );
        items.extend(next.items);
        cursor = next.cursor;
    }
    (items, first)
}

fn write(database: &Database, dice: &mut Dice, timed: bool) {
    let (subject, predicate) = (format!("s{}", dice.below(30)), format!("p{}", dice.below(3)));
    let object = Object::Integer(i64::try_from(dice.below(4)).unwrap());
    let mut claim = Assertion::new(subject, predicate, object, format!("source {}", dice.below(6)));
    if timed && dice.chance(10) {
        // Validity that begins or ends within this test.
        let at = Micros(database_time() + i64::try_from(dice.below(2_000_000)).unwrap());
        if dice.chance(50) { claim.valid_from = Some(at) } else { claim.valid_to = Some(at) }
    }
    let id = database.assert(claim).unwrap().id.unwrap();
    if dice.chance(20) {
        let agent = AgentKey::from_seed(&[u8::try_from(dice.below(4)).unwrap(); 32]).agent();
        database.vote(Vote::new(id, agent, Nano(500_000_000))).unwrap();
    }
    if dice.chance(15) {
        database.supersede(Supersession::retract(id)).unwrap();
    }
}

/// Stops the writers, also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn database_time() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

#[test]
fn every_answer_is_what_a_scan_of_its_moment_finds_while_others_write() {
    let (database, _dir) = database();
    let mut dice = Dice(1);
    for _ in 0..200 {
        write(&database, &mut dice, true);
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for writer in 0..2 {
            let (database, stop) = (&database, &stop);
            scope.spawn(move || {
                let mut dice = Dice(100 + writer);
                while !stop.load(Ordering::Relaxed) {
                    write(database, &mut dice, true);
                }
            });
        }
        let mut seen = 0;
        for round in 0..25 {
            let at_least = database.published_lsn();
            let (items, first) = everything(&database, 7);
            assert!(first.lsn >= at_least, "what was acknowledged before is in");
            let (expected, knowledge) = scanned(&database, first.lsn, first.evaluated_at);
            assert_eq!(items, expected, "round {round} at {}", first.lsn);
            assert_eq!(first.knowledge, knowledge, "round {round}");
            seen += items.len();
        }
        assert!(seen > 500, "{seen}");
    });
}

#[test]
fn the_board_follows_without_scanning_again() {
    let (database, _dir) = database();
    let mut dice = Dice(2);
    for _ in 0..100 {
        write(&database, &mut dice, false);
    }
    let first = database.conflicts(&ConflictQuery::default()).unwrap();
    let read = |database: &Database| {
        let reader: ClaimReader<_> = database.reader(None).unwrap();
        reader.lsn()
    };
    let claim = |value, source: &str| Assertion::new("new", "p", Object::Integer(value), source);
    database.assert(claim(1, "a")).unwrap();
    database.assert(claim(2, "b")).unwrap();
    let one = ConflictQuery { limit: 1, ..ConflictQuery::default() };
    let place = database.conflicts(&one).unwrap();
    let with_new = everything(&database, 100).0;
    assert!(with_new.iter().any(|contested| contested.question.subject == "new"));
    // A cursor of before goes on at its moment: the board was not begun again.
    let id = database.assert(claim(1, "c")).unwrap().id.unwrap();
    database.supersede(Supersession::retract(id)).unwrap();
    let now = everything(&database, 100).0;
    assert_eq!(now, scanned(&database, read(&database), Micros(database_time())).0);
    let rest = ConflictQuery { cursor: place.cursor, limit: 1000, ..ConflictQuery::default() };
    let rest = database.conflicts(&rest).unwrap();
    assert_eq!([place.items, rest.items].concat(), with_new);
    assert!(rest.lsn > first.lsn && rest.complete);
}

#[test]
fn routes_metrics_and_restarts() {
    let (database, dir) = database();
    let path = dir.path().join("db");
    let mut dice = Dice(3);
    for _ in 0..120 {
        write(&database, &mut dice, true);
    }
    let metric = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    let before;
    {
        // The server's folder goes with it; this one is needed again.
        let server = Server::over(database, tempfile::tempdir().unwrap(), RouterOptions::default());
        let text = server.get("/metrics").text().to_owned();
        assert_eq!(metric(&text, "stemedb_knowledge_ready"), Some(0.0));
        assert_eq!(metric(&text, "stemedb_knowledge_questions"), None);
        let reply = server.get("/v1/conflicts?limit=2&min_score=0.5");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let json = reply.json();
        let scores: Vec<f64> = json["conflicts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["conflict_score"].as_f64().unwrap())
            .collect();
        assert!(scores.len() == 2 && scores.iter().all(|score| *score >= 0.5) && scores[0] >= scores[1]);
        let text = server.get("/metrics").text().to_owned();
        for (name, member) in [
            ("stemedb_knowledge_questions", "questions"),
            ("stemedb_knowledge_open_conflicts", "open_conflicts"),
            ("stemedb_knowledge_agreed", "agreed"),
            ("stemedb_knowledge_unanimous", "unanimous"),
            ("stemedb_knowledge_claims", "claims"),
        ] {
            assert_eq!(metric(&text, name), json["knowledge"][member].as_f64(), "{name}");
        }
        for (name, member) in [
            ("stemedb_knowledge_single_source_share", "single_source_share"),
            ("stemedb_knowledge_unsigned_share", "unsigned_share"),
        ] {
            let shares = (metric(&text, name).unwrap(), json["knowledge"][member].as_f64().unwrap());
            assert!((shares.0 - shares.1).abs() < 1e-8, "{name} {shares:?}");
        }
        assert_eq!(metric(&text, "stemedb_knowledge_ready"), Some(1.0));
        let cursor = json["cursor"].as_str().unwrap().to_owned();
        let other = server.get(&format!("/v1/conflicts?cursor={cursor}"));
        assert_eq!(other.problem().2, "?cursor", "another min_score is another listing");
        before = cursor;
    }
    // The last request may still hold the database for a moment.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let database = loop {
        match Database::open(&path, tiny()) {
            Ok(database) => break database,
            Err(error) if error.code() == Code::InUse && std::time::Instant::now() < deadline => {
                thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    };
    let query = ConflictQuery { cursor: Some(before), min_score: 500_000_000, ..ConflictQuery::default() };
    let Err(error) = database.conflicts(&query) else { panic!("a board of before a restart") };
    assert_eq!(error.code(), Code::CursorExpired);
    assert_eq!(error.code().status(), 410);
    // No time at all is given: there is an answer only if the first steps were enough.
    let hurried = ConflictQuery { wait: Some(Duration::ZERO), ..ConflictQuery::default() };
    match database.conflicts(&hurried) {
        Ok(_) => {}
        Err(error @ Error::Building { .. }) => assert_eq!(error.code().status(), 503),
        Err(error) => panic!("{error}"),
    }
    assert!(!database.conflicts(&ConflictQuery::default()).unwrap().items.is_empty());
}

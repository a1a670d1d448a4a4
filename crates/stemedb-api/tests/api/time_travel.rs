//! The world as it was known then.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use stemedb_api::{
    AsOf, Database, DatabaseOptions, Outcome, Query, RouterOptions,
    core::{Assertion, Lens, Micros, Object, Source, SourceClass, Supersession},
    hybrid::HybridOptions,
};
use stemedb_env::{Env, Lsn, clock::SimClock};

use crate::support::Server;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn questions_as_of_an_lsn_or_a_time_see_what_was_known_then() {
    let clock = Arc::new(SimClock::new(stemedb_env::Micros(1_700_000_000_000_000)));
    let dir = tempfile::tempdir().unwrap();
    let env = Env { clock: Arc::clone(&clock) as Arc<dyn stemedb_env::Clock>, ..Env::real() };
    let options = DatabaseOptions { env, engine: HybridOptions::tiny(), ..DatabaseOptions::default() };
    let database = Database::create(dir.path().join("db"), options).unwrap();

    // 1: a claim. 2: another one. 3: the first source becomes a regulator. 4: the second claim is withdrawn. A day apart.
    let claim = |value, source: &str| Assertion::new("s", "p", Object::Integer(value), source);
    type Doing = Box<dyn FnOnce(&Database) -> Outcome>;
    let mut steps: Vec<Doing> = Vec::new();
    steps.push(Box::new(move |db| db.assert(claim(1, "A")).unwrap()));
    steps.push(Box::new(move |db| db.assert(claim(2, "B")).unwrap()));
    steps.push(Box::new(|db| db.source(Source::new("A", SourceClass::REGULATORY)).unwrap()));
    let second = claim(2, "B").id();
    steps.push(Box::new(move |db| db.supersede(Supersession::retract(second)).unwrap()));
    for step in steps {
        step(&database);
        clock.advance(DAY);
    }

    let at_noon = |day: i64| Micros(1_700_000_000_000_000 + day * 86_400_000_000 + 1);
    let seen = |as_of: AsOf, lens| {
        let answer = database.query(Query { as_of: Some(as_of), ..Query::new("s", "p", lens) }).unwrap();
        let classes: Vec<u8> = answer.candidates.iter().map(|one| one.class.number()).collect();
        (answer.answer.value, classes, answer.lsn)
    };
    for as_of in [AsOf::Lsn(Lsn(1)), AsOf::Time(at_noon(0))] {
        assert_eq!(seen(as_of, Lens::Recency), (Some(Object::Integer(1)), vec![5], Lsn(1)));
    }
    for as_of in [AsOf::Lsn(Lsn(2)), AsOf::Time(at_noon(1))] {
        assert_eq!(seen(as_of, Lens::Recency), (Some(Object::Integer(2)), vec![5, 5], Lsn(2)));
    }
    for as_of in [AsOf::Lsn(Lsn(3)), AsOf::Time(at_noon(2))] {
        assert_eq!(seen(as_of, Lens::Authority), (Some(Object::Integer(1)), vec![5, 0], Lsn(3)));
        assert_eq!(seen(as_of, Lens::Recency).0, Some(Object::Integer(2)));
    }
    for as_of in [AsOf::Lsn(Lsn(4)), AsOf::Time(at_noon(1000))] {
        assert_eq!(seen(as_of, Lens::Recency).0, Some(Object::Integer(1)));
    }
    for as_of in [AsOf::Lsn(Lsn(0)), AsOf::Time(Micros(0))] {
        assert_eq!(seen(as_of, Lens::Consensus), (None, vec![], Lsn(0)));
    }

    // The same over HTTP; the reply says which LSN answered.
    let server = Server::over(database, dir, RouterOptions::default());
    for as_of in ["2", "2023-11-15T22:13:20.5Z", "2023-11-15T23:13:21%2B01:00"] {
        let reply = server.get(&format!("/v1/query?subject=s&predicate=p&lens=recency&as_of={as_of}"));
        assert_eq!((&reply.json()["value"], &reply.json()["lsn"]), (&json!(2), &json!(2)), "{as_of}");
        assert_eq!(reply.header("stemedb-lsn"), Some("1.2"), "{as_of}");
    }
    let decayed = "/v1/query?subject=s&predicate=p&lens=confidence&decay=true&as_of=2&evaluated_at=2023-12-15T22:13:20Z";
    let answer = server.get(decayed).json();
    assert_eq!(answer["evaluated_at"], "2023-12-15T22:13:20Z");
    // Recorded on 15 November at 22:13:20, asked thirty days later, half-life thirty days.
    assert_eq!((&answer["value"], &answer["confidence"]), (&json!(2), &json!(0.5)));
}

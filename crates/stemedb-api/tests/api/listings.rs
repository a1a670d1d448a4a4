//! Listings and their cursors, embedded and over HTTP.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;
use stemedb_api::{
    AsOf, Database, ListPage, ListQuery, RouterOptions, Selection,
    core::{AgentKey, Assertion, Cosign, Object},
};
use stemedb_index::StoredClaim;

use crate::support::{Dice, Server, database};

fn subject(subject: &str) -> Selection {
    Selection { subject: Some(subject.into()), ..Selection::default() }
}

fn all_claims(database: &Database, query: ListQuery) -> (Vec<StoredClaim>, BTreeSet<u64>) {
    walk(database, query, || ())
}

/// Walks to the end; `between` comes after each page.
fn walk(
    database: &Database,
    mut query: ListQuery,
    mut between: impl FnMut(),
) -> (Vec<StoredClaim>, BTreeSet<u64>) {
    let (mut all, mut moments) = (Vec::new(), BTreeSet::new());
    loop {
        let ListPage { items, lsn, cursor } = database.claims(&query).unwrap();
        all.extend(items);
        moments.insert(lsn.0);
        query.cursor = cursor;
        if query.cursor.is_none() {
            return (all, moments);
        }
        between();
    }
}

/// Stops the writers, also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn claim(subject: u64, value: u64, source: u64) -> Assertion {
    let object = Object::Integer(i64::try_from(value).unwrap());
    Assertion::new(format!("s{subject}"), "p", object, format!("source {source}"))
}

#[test]
fn a_walk_sees_one_moment_while_writers_write() {
    let (database, _dir) = database();
    for number in 0..300 {
        database.assert(claim(number % 7, number, number % 3)).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for writer in 0..2_u64 {
            let (database, stop) = (&database, &stop);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    database.assert(claim(number % 7, 1000 * number + writer, number % 3)).unwrap();
                }
            });
        }
        let selections = [
            subject("s3"),
            Selection { source: Some("source 1".into()), ..Selection::default() },
            Selection { predicate: Some("p".into()), min: Some("10".into()), ..Selection::default() },
            Selection { prefix: Some("s".into()), ..Selection::default() },
        ];
        for selection in selections {
            let query = ListQuery { limit: 13, ..ListQuery::new(selection) };
            let mut seen = database.published_lsn();
            let (walked, moments) = walk(&database, query.clone(), || {
                // A page only after others have written again.
                while database.published_lsn() == seen {
                    thread::yield_now();
                }
                seen = database.published_lsn();
            });
            let lsn = *moments.first().unwrap();
            assert_eq!(moments.len(), 1, "one moment");
            assert!(database.published_lsn().0 > lsn, "others wrote meanwhile");
            let at_once = ListQuery {
                limit: ListQuery::LIMIT_MAX,
                as_of: Some(AsOf::Lsn(stemedb_env::Lsn(lsn))),
                ..query
            };
            assert_eq!(walked, all_claims(&database, at_once).0);
            assert!(walked.len() > 13 && walked.iter().all(|claim| claim.position.lsn.0 <= lsn));
        }
    });
}

#[test]
fn the_routes_list_what_the_database_lists() {
    let server = Server::start();
    let mut dice = Dice(5);
    for _ in 0..60 {
        server.database.assert(claim(dice.below(4), dice.below(9), dice.below(3))).unwrap();
    }
    let walk = |target: &str, items: &str| {
        let (mut all, mut cursor) = (Vec::<Value>::new(), String::new());
        loop {
            let reply = server.get(&format!("{target}{cursor}"));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let json = reply.json();
            assert!(reply.header("stemedb-lsn").unwrap().ends_with(&format!(".{}", json["lsn"])));
            all.extend(json[items].as_array().unwrap().iter().cloned());
            match json["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    };
    let everything = all_claims(&server.database, ListQuery::new(Selection::default())).0;
    let ids = |claims: &[Value]| claims.iter().map(|claim| claim["id"].clone()).collect::<Vec<_>>();
    let listed = walk("/v1/claims?limit=7", "claims");
    let expected: Vec<String> = everything.iter().map(|claim| claim.id.to_string()).collect();
    assert_eq!(ids(&listed), expected);
    let values = walk("/v1/claims?limit=3&predicate=p&min=2&max=4.0", "claims");
    let sizes: Vec<i64> = values.iter().map(|claim| claim["object"].as_i64().unwrap()).collect();
    assert!(!sizes.is_empty() && sizes.is_sorted() && sizes.iter().all(|value| (2..=4).contains(value)));
    let inside = everything.iter().filter(|claim| match claim.assertion.object {
        Object::Integer(value) => (2..=4).contains(&value),
        _ => false,
    });
    assert_eq!(values.len(), inside.count());
    let one = walk("/v1/claims?limit=2&subject=s1&predicate=p", "claims");
    assert!(one.iter().all(|claim| claim["subject"] == "s1") && !one.is_empty());
    let questions = walk("/v1/questions?limit=1&prefix=s", "questions");
    assert_eq!(questions.len(), 4);
    let counts: u64 = questions.iter().map(|question| question["claims"].as_u64().unwrap()).sum();
    assert_eq!(counts as usize, everything.len());
}

#[test]
fn an_agent_stands_behind_what_it_asserted_signed_or_cosigned() {
    let (database, _dir) = database();
    let key = AgentKey::from_seed(&[3; 32]);
    let mut authored = claim(1, 1, 1);
    authored.author = Some(key.agent());
    let mut signed = claim(1, 2, 1);
    signed.sign(&key);
    let (plain, other) = (claim(1, 3, 1), claim(1, 4, 1));
    for claim in [&other, &plain, &signed, &authored] {
        database.assert(claim.clone()).unwrap();
    }
    database.cosign(Cosign::new(&key, plain.id())).unwrap();
    let selection = Selection { agent: Some(key.agent().to_string()), ..Selection::default() };
    let (listed, _) = all_claims(&database, ListQuery { limit: 1, ..ListQuery::new(selection) });
    let ids: Vec<_> = listed.iter().map(|claim| claim.id).collect();
    assert_eq!(ids, [signed.id(), authored.id(), plain.id()], "by when it did so");
}

#[test]
fn what_is_no_listing_or_no_cursor_is_refused_by_name() {
    let server = Server::start();
    for number in 0..5 {
        server.database.assert(claim(1, number, 1)).unwrap();
    }
    let problem = |target: &str| server.get(target).problem();
    let invalid = |place: &str| (400, "invalid_parameter".to_owned(), format!("?{place}"));
    assert_eq!(problem("/v1/claims?limit=0"), invalid("limit"));
    assert_eq!(problem("/v1/claims?limit=1001"), invalid("limit"));
    assert_eq!(problem("/v1/claims?subject=s1&source=x"), invalid("source"));
    assert_eq!(problem("/v1/claims?subject=a%00b"), invalid("subject"));
    assert_eq!(problem("/v1/questions?predicate=p&min=abc"), invalid("min"));
    assert_eq!(problem("/v1/claims?cursor=abc"), invalid("cursor"));
    assert_eq!(problem("/v1/claims?sbject=s1").1, "unknown_parameter");
    assert_eq!(problem("/v1/conflicts?min_score=1.5"), invalid("min_score"));
    let page = server.get("/v1/claims?subject=s1&limit=2").json();
    let cursor = page["cursor"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/claims?subject=s1&limit=3&cursor={cursor}")).status, 200);
    for other in ["subject=s2", "subject=s1&as_of=5", "prefix=s", ""] {
        assert_eq!(problem(&format!("/v1/claims?{other}&cursor={cursor}")), invalid("cursor"), "{other}");
    }
    assert_eq!(problem(&format!("/v1/questions?subject=s1&cursor={cursor}")), invalid("cursor"));
    // Another database has other cursors.
    let (other, dir) = database();
    let other = Server::over(other, dir, RouterOptions::default());
    let refused = other.get(&format!("/v1/claims?subject=s1&cursor={cursor}"));
    assert_eq!(refused.problem(), invalid("cursor"));
}

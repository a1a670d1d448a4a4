//! Many writers at once.

use std::{collections::BTreeSet, thread};

use stemedb_api::{
    Query,
    core::{Assertion, Lens, Object},
};

use crate::support::{Server, database};

#[test]
fn sixteen_writers_read_what_they_wrote_as_soon_as_it_is_acknowledged() {
    let (database, _dir) = database();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let database = database.clone();
            thread::spawn(move || {
                let mut positions = Vec::new();
                for number in 0..40_i64 {
                    // Half of the claims are the same for every writer: one of them creates it.
                    let source = if number % 2 == 0 { "all".to_owned() } else { format!("w{writer}") };
                    let claim = Assertion::new(format!("s{number}"), "p", Object::Integer(number), source);
                    let outcome = database.assert(claim.clone()).unwrap();
                    let answer =
                        database.query(Query::new(format!("s{number}"), "p", Lens::Consensus)).unwrap();
                    assert!(answer.lsn >= outcome.position.lsn);
                    assert!(answer.candidates.iter().any(|one| one.id == claim.id()), "read your writes");
                    if outcome.created {
                        positions.push((outcome.position.lsn, outcome.position.ordinal));
                    }
                }
                positions
            })
        })
        .collect();
    let positions: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert_eq!(positions.len(), 20 + 16 * 20, "each claim was created by exactly one writer");
    assert_eq!(positions.iter().collect::<BTreeSet<_>>().len(), positions.len(), "no two share a place");
    assert_eq!(database.created_since_open().0, 340);
    assert_eq!(database.health().published, database.published_lsn());
    database.verify().unwrap();
}

#[test]
fn writers_over_http_are_acknowledged_with_what_every_later_read_shows() {
    let server = Server::start();
    let shared = &server;
    thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for number in 0..10 {
                    let body = format!(
                        r#"{{"subject":"q","predicate":"p","object":{number},"source":"w{writer}"}}"#
                    );
                    let reply = shared.post("/v1/assert", &body);
                    assert_eq!(reply.status, 201);
                    let lsn = reply.json()["lsn"].as_u64().unwrap();
                    let answer = shared.get("/v1/query?subject=q&predicate=p").json();
                    assert!(answer["lsn"].as_u64().unwrap() >= lsn);
                    let found = answer["candidates"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|one| one["id"] == reply.json()["id"]);
                    assert!(found, "read your writes");
                }
            });
        }
    });
    assert_eq!(server.get("/v1/query?subject=q&predicate=p").json()["considered"], 80);
}

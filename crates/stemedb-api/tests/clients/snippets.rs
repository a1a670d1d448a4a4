//! What `docs/clients.md` shows, run: the page's blocks are excerpts of this file, of the first examples, and of
//! `clients/python/tests/snippets.py`; `cargo xtask docs` compares them line by line.

use stemedb_client::{AgentKey, Assertion, Change, Client, Error, FeedQuery, ImportOptions, Position};

use crate::{python, server::Server};

/// Gives the changes that were told until `handle` had enough.
fn many(db: &Client, claims: Vec<Assertion>, position: Position) -> Result<usize, Error> {
    let (mut verdicts, mut told) = (0, 0);
    let report = db.import(claims, &ImportOptions::default(), |_verdict| {
        // Of each record, in order.
        verdicts += 1;
    })?;
    assert_eq!(verdicts, report.lines);
    let mut handle = |_change: Change| {
        told += 1;
        told < 2
    };
    for change in db.feed(&FeedQuery::from(position).following()) {
        if !handle(change?) {
            break;
        }
    }
    Ok(told)
}

fn signed(mut claim: Assertion, seed: [u8; 32]) -> Result<Assertion, Error> {
    let key = AgentKey::from_seed(&seed);
    // Last: every other change makes another claim of it.
    claim.sign(&key)?;
    Ok(claim)
}

#[test]
fn what_the_page_about_clients_shows_for_rust_works() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let db = Client::new(&server.url()).unwrap();
    let claim = |value: f64| Assertion::new("cas:1", "density", value, "handbook");
    let start: Position = "1.1".parse().unwrap();
    let two = vec![claim(1.5), signed(claim(2.5), [7; 32]).unwrap()];
    assert_eq!(many(&db, two, start).unwrap(), 2);
}

#[test]
fn what_the_page_about_clients_shows_for_python_works() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let ran = python::command()
        .args(["-W", "error", "-m", "unittest", "tests.snippets"])
        .env("STEMEDB_URL", server.url())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("\nOK") && !said.contains("skipped"), "{said}");
}

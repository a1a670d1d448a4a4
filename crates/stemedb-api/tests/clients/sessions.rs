//! Positions that are carried from client to client.

use stemedb_client::{Assertion, Client, Error, Position, Question, RetryPolicy, Session};

use crate::server::Server;

#[test]
fn a_reader_waits_for_what_another_client_has_seen_and_is_told_if_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    let client = |session: Session| {
        Client::builder(&server.url()).session(session).retry(RetryPolicy::never()).build().unwrap()
    };
    let writer = client(Session::new());
    let first = writer.assert(&Assertion::new("s", "p", 1, "a")).unwrap();
    let seen = writer.session().unwrap().position().unwrap();
    assert_eq!(seen, Position { timeline: 1, lsn: first.lsn });

    // The position as text, in another process: an entry that is not there yet is waited for.
    let reader = client(Session::new());
    let ahead = seen.next().to_string();
    reader.session().unwrap().observe(ahead.parse().unwrap());
    let waiting = std::thread::spawn(move || reader.query(&Question::new("s", "p")));
    let second = writer.assert(&Assertion::new("s", "p", 2, "b")).unwrap();
    let answer = waiting.join().unwrap().unwrap();
    assert!(answer.lsn >= second.lsn && answer.considered == 2, "{answer:?}");

    // One that does not come, and one of a history that was left behind.
    let refused = |position: Position| {
        let reader = client(Session::new());
        reader.session().unwrap().observe(position);
        match reader.query(&Question::new("s", "p")).unwrap_err() {
            Error::Refused(problem) => (problem.status, problem.code.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(Position { timeline: 1, lsn: 1_000 }), (409, "lsn_not_reached".to_owned()));
    assert_eq!(refused(Position { timeline: 7, lsn: 1 }), (410, "position_gone".to_owned()));
    // Whoever wants none of it is answered.
    let free = Client::builder(&server.url()).without_session().build().unwrap();
    assert!(free.session().is_none() && free.query(&Question::new("s", "p")).is_ok());
    assert_eq!(server.stop().0, Some(0));
}

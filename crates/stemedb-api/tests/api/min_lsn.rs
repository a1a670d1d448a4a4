//! `Stemedb-Min-Lsn`: not answered from before what was seen.

use crate::support::Server;

#[test]
fn a_position_that_can_be_read_is_answered_and_one_that_is_none_is_refused() {
    let server = Server::start();
    server.post("/v1/assert", r#"{"subject":"s","predicate":"p","object":1,"source":"a"}"#);
    let asked = |path: &str, position: &str| server.send("GET", path, &[("Stemedb-Min-Lsn", position)], b"");
    for position in ["1.1", "1"] {
        let reply = asked("/v1/claims", position);
        assert_eq!((reply.status, reply.json()["claims"].as_array().unwrap().len()), (200, 1));
    }
    for position in ["", "x", "1.", "1.-1"] {
        let reply = asked("/v1/claims", position);
        let problem = reply.json();
        assert_eq!((reply.status, problem["code"].as_str()), (400, Some("invalid_parameter")), "{position}");
        assert_eq!(problem["errors"][0]["parameter"], "Stemedb-Min-Lsn");
    }
    let gone = asked("/v1/claims", "2.1");
    assert_eq!((gone.status, gone.json()["code"].as_str()), (410, Some("position_gone")));
    // The refusal says where the database is.
    assert_eq!(gone.header("stemedb-lsn"), Some("1.1"));
    // Whoever asks how the server is gets an answer in any case.
    assert_eq!(asked("/readyz", "9.9").status, 200);
}

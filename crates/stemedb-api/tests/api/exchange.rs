//! `GET /v1/export`, and `POST /v1/import` of every format.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use stemedb_api::{Format, RouterOptions};

use crate::support::{Reply, Server};

const CLAIMS: &str = concat!(
    r#"{"subject":"water","predicate":"boils","object":373.1243,"source":"IAPWS"}"#,
    "\n",
    r#"{"record":"claim","subject":"water","predicate":"boils","object":{"type":"time","value":"2024-01-01T00:00:00Z"},"source":"a joke, \"once\""}"#,
    "\n",
    r#"{"record":"source","id":"IAPWS","class":0}"#,
    "\n",
    r#"{"record":"epoch","name":"2024"}"#,
    "\n"
);

fn with_claims() -> Server {
    let server = Server::start();
    let reply = server.import("/v1/import", &[], CLAIMS.as_bytes());
    assert_eq!(reply.lines().pop().unwrap()["created"], 4, "{}", reply.text());
    server
}

fn export(server: &Server, target: &str, accept: &str) -> Reply {
    server.send("GET", target, &[("Accept", accept)], b"")
}

#[test]
fn what_is_exported_is_imported_by_its_media_type() {
    let server = with_claims();
    for (format, media_type, records) in [
        (Format::Jsonl, "application/x-ndjson", 4),
        (Format::Csv, "text/csv", 2),
        (Format::NQuads, "application/n-quads", 4),
        (Format::TriG, "application/trig", 4),
        (Format::Nanopub, "application/trig", 2),
    ] {
        let target = format!("/v1/export?format={format}");
        let reply = server.get(&target);
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
        assert!(reply.header("content-type").unwrap().starts_with(media_type), "{reply:?}");
        let lsn = format!("1.{}", server.database.published_lsn());
        assert_eq!(reply.header("stemedb-lsn"), Some(lsn.as_str()));
        if format != Format::Nanopub {
            assert_eq!(export(&server, "/v1/export", media_type).body, reply.body, "{format}");
        }

        let other = Server::start();
        let named = if format == Format::Nanopub { "?format=nanopub" } else { "" };
        let target = format!("/v1/import{named}");
        let done = other.send("POST", &target, &[("Content-Type", media_type)], &reply.body);
        let end = done.lines().pop().unwrap();
        assert_eq!((&end["created"], &end["refused"]), (&records.into(), &0.into()), "{format}: {end}");
        let again = other.get(&format!("/v1/export?format={format}&subject=water"));
        assert_eq!(again.status, 200);
        assert!(again.text().contains("373.1243"), "{}", again.text());
    }
}

#[test]
fn what_cannot_be_exported_is_a_problem() {
    let server = with_claims();
    assert_eq!(export(&server, "/v1/export", "text/html").problem().1, "not_acceptable");
    assert_eq!(export(&server, "/v1/export", "text/html").status, 406);
    assert_eq!(server.get("/v1/export?format=xml").problem().2, "?format");
    assert_eq!(
        server.get("/v1/export?as_of=99999").problem(),
        (409, "lsn_not_reached".into(), "?as_of".into())
    );
    assert_eq!(server.get("/v1/export?subjects=x").problem().1, "unknown_parameter");
    let server = Server::with(RouterOptions { max_exports: 0, ..RouterOptions::default() });
    assert_eq!(server.get("/v1/export").problem().1, "overloaded");
    // Nothing at all is an export too.
    let server = Server::start();
    let reply = server.get("/v1/export");
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(server.get("/v1/export?format=csv").text().lines().count(), 1);
}

#[test]
fn an_input_that_is_not_of_its_format_is_a_problem_with_its_line() {
    let server = Server::start();
    let send = |target: &str, media_type: &str, body: &str| {
        server.send("POST", target, &[("Content-Type", media_type)], body.as_bytes())
    };
    let reply = send("/v1/import", "text/csv", "subject,object\n");
    assert_eq!(reply.problem().1, "missing_field");
    let reply = send("/v1/import", "application/trig", "<a:g> { <a:s> <a:p> 1 }\n<a:g> { nonsense }\n");
    assert_eq!((reply.status, reply.problem().1.as_str()), (400, "invalid_rdf"));
    assert!(reply.text().contains("line 2"), "{}", reply.text());
    assert_eq!(reply.json()["import"]["created"], 1);
    let reply = send("/v1/import?source=me&scope=f", "application/n-quads", "_:a <b:c> \"d\" .\nbad\n");
    let lines = reply.lines();
    assert_eq!((&lines[0]["line"], &lines[0]["code"]), (&2.into(), &"invalid_rdf".into()));
    assert_eq!(lines[1]["created"], 1);
    assert!(server.get("/v1/query?subject=_:f/a&predicate=b:c").text().contains("\"d\""));
    let reply = send("/v1/import?scope=", "application/n-quads", "");
    assert_eq!(reply.problem().2, "?scope");
}

#[test]
fn a_client_that_stops_reading_is_cut_off_and_its_place_is_free_again() {
    let options = RouterOptions {
        max_exports: 1,
        body_timeout: Duration::from_millis(300),
        ..RouterOptions::default()
    };
    let server = Server::with(options);
    let text = "x".repeat(20_000);
    let lines: String = (0..2000)
        .map(|n| {
            format!("{{\"subject\":\"s{n}\",\"predicate\":\"p\",\"object\":\"{text}\",\"source\":\"s\"}}\n")
        })
        .collect();
    let done = server.import("/v1/import", &[], lines.as_bytes());
    assert_eq!(done.lines().pop().unwrap()["created"], 2000);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /v1/export HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n").unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    // Its place is taken until the server loses patience; 40 MB do not fit into the sockets' buffers.
    let mut reply = server.get("/v1/export?subject=s1");
    let mut tries = 0;
    while reply.status != 200 && tries < 600 {
        assert_eq!(reply.problem().1, "overloaded");
        std::thread::sleep(Duration::from_millis(50));
        reply = server.get("/v1/export?subject=s1");
        tries += 1;
    }
    assert_eq!(reply.text().lines().count(), 1, "after {tries} tries");
    assert!(tries > 0, "the first client held its place");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "a reply that was cut off does not look whole");
    assert!(rest.len() < 40_000_000, "{} bytes", rest.len());
}

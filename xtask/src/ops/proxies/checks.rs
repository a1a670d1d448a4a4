//! What a proxy does with single requests: whom it is for, what it lets in, and what it tells the server.

use std::{fs, path::Path, time::Duration};

use super::{
    super::monitoring::daemon,
    access,
    authority::{Authority, NAME, Stream},
    envoy,
    front::{Front, Kind},
    load::Door,
    nginx,
    pair::{Pair, WRITER},
};
use crate::{
    http::{Connection, Reply, Request},
    steps::Outcome,
};

/// A client that is not the proxy's machine, as far as addresses go.
const CLIENT: &str = "127.0.0.9";
/// Whom it says it is.
const LIE: &str = "203.0.113.9";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// One request over a connection of its own, with the key.
fn ask(
    door: &Door,
    (method, target): (&str, &str),
    more: &[(&str, &str)],
    body: &str,
) -> Result<Reply, String> {
    let bearer = format!("Bearer {}", door.key);
    let headers = [&[("Authorization", &*bearer)][..], more].concat();
    let reply = door
        .open(CLIENT)
        .and_then(|mut connection| connection.ask(&Request { method, target, headers: &headers, body }));
    reply.map_err(|error| format!("{method} {target}: {error}"))
}

fn must(is_so: bool, what: &str, reply: &Reply) -> Outcome {
    let Reply { status, headers, body } = reply;
    let body: String = body.chars().take(300).collect();
    if is_so { Ok(()) } else { Err(format!("{what}: {status} {headers:?} {body}")) }
}

/// Looks at all of it.
pub fn run(front: &Front, authority: &Authority, door: &Door, pair: &Pair) -> Outcome {
    tls(front, authority)?;
    closed(door)?;
    told(front, door, pair)?;
    sizes(front, door)?;
    println!(
        "{}: TLS verified, admin plane closed, ids and addresses passed on, bodies limited",
        front.kind.name()
    );
    Ok(())
}

/// Its certificate is what makes it the one that was meant.
fn tls(front: &Front, authority: &Authority) -> Outcome {
    for (trusted, name) in [(authority.stranger(), NAME), (authority.trusted(), "elsewhere.example")] {
        let stream = Stream::open(CLIENT, front.port, &trusted, name).map_err(|error| error.to_string())?;
        let request = Request { method: "GET", target: "/livez", ..Request::default() };
        if let Ok(reply) = Connection::over(stream, name).ask(&request) {
            return Err(format!("a client that does not trust it was answered: {reply:?}"));
        }
    }
    Ok(())
}

/// Another certificate takes the place of its own, without a restart.
pub fn renewal(root: &Path, front: &Front, authority: &Authority) -> Outcome {
    match front.kind {
        Kind::Nginx => nginx::renew(front, &authority.renewed())?,
        Kind::Envoy => envoy::renew(root, front, &authority.renewed())?,
    }
    let is_shown = || {
        let stream = Stream::open(CLIENT, front.port, &authority.stranger(), NAME);
        let request = Request { method: "GET", target: "/livez", ..Request::default() };
        stream.and_then(|stream| Connection::over(stream, NAME).ask(&request)).is_ok()
    };
    daemon::until("new connections are shown the new certificate", Duration::from_secs(10), is_shown)?;
    println!("{}: shows a renewed certificate, without a restart", front.kind.name());
    Ok(())
}

/// What is for machines inside alone.
fn closed(door: &Door) -> Outcome {
    for target in ["/v1/admin/keys", "/v1/admin/storage/stats", "/metrics"] {
        let reply = ask(door, ("GET", target), &[], "")?;
        must(reply.status == 403 && !reply.body.contains("stemedb_"), target, &reply)?;
    }
    let reply = ask(door, ("POST", "/v1/admin/storage/compact"), &[], "{}")?;
    must(reply.status == 403, "POST /v1/admin/storage/compact", &reply)
}

/// Who asks, under which id, as part of which trace.
fn told(front: &Front, door: &Door, pair: &Pair) -> Outcome {
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let reply = ask(door, ("GET", "/v1/query?subject=s1&predicate=p"), &[("traceparent", &parent)], "")?;
    let goes_on = reply.header("traceresponse").is_some_and(|value| value.contains(TRACE));
    must(reply.status == 200 && goes_on, "the trace goes on", &reply)?;
    must(
        reply.header("x-request-id").is_some_and(|id| id.len() >= 16),
        "there is an id in any case",
        &reply,
    )?;
    let claim =
        format!("{{\"subject\":\"told\",\"predicate\":\"p\",\"object\":{},\"source\":\"x\"}}", door.port);
    let id = format!("told-{}", door.port);
    let lies = [
        ("X-Request-Id", &*id),
        ("Content-Type", "application/json"),
        ("X-Forwarded-For", LIE),
        ("Forwarded", "for=203.0.113.9"),
    ];
    let reply = ask(door, ("POST", "/v1/assert"), &lies, &claim)?;
    must(reply.status == 201 && reply.header("x-request-id") == Some(&*id), "a record", &reply)?;
    // The server writes it down within a second.
    let id = format!("\"request_id\":\"{id}\"");
    let mut line = String::new();
    let is_there = || {
        let log = fs::read_to_string(pair.audit(WRITER)).unwrap_or_default();
        line = log.lines().find(|line| line.contains(&id)).unwrap_or_default().to_owned();
        !line.is_empty()
    };
    daemon::until("the audit log has the record", Duration::from_secs(10), is_there)?;
    let means = |address: &str| line.contains(&format!("\"peer\":\"{address}\""));
    let is_right = match front.kind {
        Kind::Nginx => means(CLIENT),
        // For a loopback address Envoy says another one of the machine, if it has one.
        Kind::Envoy => !means(LIE) && !means("127.0.0.1"),
    };
    if is_right { Ok(()) } else { Err(format!("the audit log means somebody else: {line}")) }
}

/// Bodies beyond what the server takes end at the proxy; those that it takes for some routes get through.
fn sizes(front: &Front, door: &Door) -> Outcome {
    let json = ("Content-Type", "application/json");
    let lines = ("Content-Type", "application/x-ndjson");
    let id = format!("large-{}", front.port);
    let reply = ask(
        door,
        ("POST", "/v1/assert"),
        &[json, ("X-Request-Id", &id)],
        &format!("\"{}\"", "x".repeat(1 << 20)),
    )?;
    let is_problem = reply.header("content-type") == Some("application/problem+json");
    must(reply.status == 413 && is_problem && reply.body.contains(&id), "a body of more than 1 MiB", &reply)?;
    let mut seen = Vec::new();
    let is_there = || {
        seen = access::lines(front, &id).unwrap_or_default();
        !seen.is_empty()
    };
    daemon::until("the access log has it", Duration::from_secs(5), is_there)?;
    if seen.iter().any(|line| line.attempts > 0) {
        return Err(format!("it was the server that refused: {seen:?}"));
    }
    let reply = ask(door, ("POST", "/v1/watches"), &[lines], &"{}\n".repeat(700_000))?;
    // They are no watches, and the server says so.
    must(reply.body.contains("\"code\"") && reply.status != 413, "watches of 2 MiB", &reply)?;
    let claim = |number| {
        let (port, padding) = (door.port, "x".repeat(1000));
        format!(
            "{{\"subject\":\"imported\",\"predicate\":\"p{port}\",\"object\":\"{number}{padding}\",\"source\":\"x\"}}\n"
        )
    };
    let reply = ask(door, ("POST", "/v1/import"), &[lines], &(0..2000).map(claim).collect::<String>())?;
    must(reply.status == 200 && reply.body.contains("\"created\":2000"), "an import of 2 MiB", &reply)
}

//! Connections: limits, TLS that is renewed, and an end in phases.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::CertificateDer,
};

use crate::{http, server::Server};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

fn all_of(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // A server that cuts may do so with a reset: what came before counts.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn waits_until(mut is_so: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn clients_that_never_finish_a_request_are_cut_and_keep_nobody_from_asking() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start_with(&dir.path().join("db"), &["--bind", "127.0.0.1:0", "--head-timeout-seconds", "2"]);
    let mut slow: Vec<TcpStream> = (0..500)
        .map(|nth| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            // Some have said nothing at all, some half a head.
            let begun = if nth % 2 == 0 { "" } else { "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: " };
            stream.write_all(begun.as_bytes()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(http::get(&server.address, "/livez").unwrap().status, 200);
    }
    // None of them is told that all is well, and none of them waits for ever.
    for stream in &mut slow {
        let said = all_of(stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    // A connection that has had an answer may not be idle for longer either.
    let mut idle = TcpStream::connect(&server.address).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let said = all_of(&mut idle);
    assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("ok\n"), "{said}");
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn one_connection_too_many_is_told_so_and_its_place_is_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start_with(&dir.path().join("db"), &["--bind", "127.0.0.1:0", "--max-connections", "3"]);
    let mut held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    // They count once they are answered.
    for stream in &mut held {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    let refused = http::get(&server.address, "/livez").unwrap();
    assert_eq!(refused.status, 503);
    let problem: serde_json::Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(problem["code"], "overloaded", "{problem}");
    drop(held.pop());
    assert!(waits_until(|| http::get(&server.address, "/livez").is_ok_and(|reply| reply.status == 200)));
    let (_, log) = server.stop();
    assert!(log.contains("all connections are taken"), "{log}");
}

#[test]
fn a_head_beyond_its_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("db"));
    for head in [format!("X-Long: {}", "a".repeat(600_000)), "X-Many: 1\r\n".repeat(150)] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        // It may stop reading before all is written.
        let _ = write!(stream, "GET /livez HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n");
        let said = all_of(&mut stream);
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    assert_eq!(http::get(&server.address, "/livez").unwrap().status, 200);
}

#[test]
fn before_it_stops_a_server_says_that_it_is_not_ready_and_answers_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--bind", "127.0.0.1:0", "--drain-wait-seconds", "600"];
    let server = Server::start_with(&dir.path().join("db"), &options);
    assert_eq!(http::get(&server.address, "/readyz").unwrap().status, 200);
    server.terminate();
    assert!(waits_until(|| http::get(&server.address, "/readyz").unwrap().status == 503));
    let ready: serde_json::Value =
        serde_json::from_str(&http::get(&server.address, "/readyz").unwrap().body).unwrap();
    assert_eq!(ready["checks"][3], serde_json::json!({ "name": "not_draining", "ok": false }), "{ready}");
    let asked = "/v1/query?subject=water&predicate=boils";
    assert_eq!(http::get(&server.address, asked).unwrap().status, 200);
    // Whoever does not want to wait says so again.
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("database closed"), "{log}");
}

/// Writes a certificate for localhost and its key; returns the certificate.
fn certificate(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// Asks over TLS, trusting one certificate alone.
fn ask(address: &str, trusted: &CertificateDer<'static>) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_never() {
    let dir = tempfile::tempdir().unwrap();
    let first = certificate(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let options = [
        "--bind",
        "127.0.0.1:0",
        "--tls-certificate-file",
        &path("tls.pem"),
        "--tls-key-file",
        &path("tls.key"),
    ];
    let server = Server::start_with(&dir.path().join("db"), &options);
    assert!(ask(&server.address, &first).unwrap().starts_with("HTTP/1.1 200 "));
    // Without TLS nothing is answered.
    let mut plain = TcpStream::connect(&server.address).unwrap();
    plain.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(!all_of(&mut plain).contains("HTTP/1.1"));

    // Only one of two files is new: the two do not belong together. (They are made elsewhere: the server looks at its
    // files by itself, too.)
    let renewed = tempfile::tempdir().unwrap();
    let second = certificate(renewed.path());
    std::fs::copy(renewed.path().join("tls.pem"), path("tls.pem")).unwrap();
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(ask(&server.address, &first).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(&server.address, &second).is_err());

    std::fs::copy(renewed.path().join("tls.key"), path("tls.key")).unwrap();
    server.signal("HUP");
    assert!(waits_until(
        || ask(&server.address, &second).is_ok_and(|reply| reply.starts_with("HTTP/1.1 200 "))
    ));
    assert!(ask(&server.address, &first).is_err());
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the old one stays") && log.contains("renewed certificate"), "{log}");
}

#[test]
fn a_server_does_not_start_with_a_key_that_is_not_the_certificate_s() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::copy(path("tls.pem"), path("other.pem")).unwrap();
    certificate(dir.path());
    let db = path("db");
    for (cert, key, why) in [
        ("other.pem", "tls.key", "other.pem"),
        ("tls.key", "tls.key", "holds no certificate"),
        ("tls.pem", "tls.pem", "holds no private key"),
        ("absent.pem", "tls.key", "absent.pem"),
    ] {
        let (cert, key) = (path(cert), path(key));
        let arguments = [
            "serve",
            "--init",
            "--data-dir",
            &db,
            "--bind",
            "127.0.0.1:0",
            "--tls-certificate-file",
            &cert,
            "--tls-key-file",
            &key,
        ];
        let ran = crate::program::run(arguments);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(why), "{why}: {ran:?}");
    }
}

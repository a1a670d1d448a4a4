//! Spans of the real program: over TLS and with headers of an operator's own, sent when it stops, and never in the way of that.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};

use crate::{
    collector::{Collector, Says},
    program::{program, run},
    server::Server,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Asks as a part of a trace; returns the id of the request within it.
fn traced(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "GET /v1/query?subject=water&predicate=boils HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    write!(stream, "{head}traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    let answer = reply.lines().find_map(|line| line.strip_prefix("traceresponse: ")).unwrap();
    answer.split('-').nth(2).unwrap().to_owned()
}

fn named_localhost() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn tls(of: &CertifiedKey<KeyPair>) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(of.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![of.cert.der().clone()], key);
    Arc::new(config.unwrap())
}

#[test]
fn spans_reach_a_collector_over_tls_with_the_operators_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let theirs = named_localhost();
    std::fs::write(path("trusted.pem"), theirs.cert.pem()).unwrap();
    std::fs::write(path("headers"), "# its key\nX-Collector-Key: hush-7\n").unwrap();
    let collector = Collector::start_with(&[], Says::YES, Some(tls(&theirs)));
    let endpoint = format!("https://localhost:{}/below", collector.address.port());
    let headers = path("headers");
    let options = ["--bind", "127.0.0.1:0", "--otlp-endpoint", &endpoint, "--otlp-headers-file", &headers];
    let trusted = path("trusted.pem");
    let server = Server::start_in(&dir.path().join("db"), &options, &[("SSL_CERT_FILE", &trusted)]);
    let id = traced(&server.address);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("spans are exported") && !log.contains("hush") && !log.contains("spans are cut"),
        "{log}"
    );
    let got = collector.got();
    assert!(got[0].head.starts_with("POST /below/v1/traces HTTP/1.1\r\n"), "{}", got[0].head);
    assert!(got[0].head.to_lowercase().contains("x-collector-key: hush-7\r\n"), "{}", got[0].head);
    let spans = collector.spans();
    let span = spans.iter().find(|span| span["spanId"] == id.as_str());
    assert!(span.is_some_and(|span| span["traceId"] == TRACE), "{spans:?}");
}

#[test]
fn a_certificate_that_nobody_trusts_is_no_collector() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (theirs, other) = (named_localhost(), named_localhost());
    std::fs::write(path("trusted.pem"), other.cert.pem()).unwrap();
    let collector = Collector::start_with(&[], Says::YES, Some(tls(&theirs)));
    let endpoint = format!("https://localhost:{}", collector.address.port());
    let trusted = path("trusted.pem");
    let options = ["--bind", "127.0.0.1:0", "--otlp-endpoint", &endpoint];
    let server = Server::start_in(&dir.path().join("db"), &options, &[("SSL_CERT_FILE", &trusted)]);
    traced(&server.address);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("spans are lost") && log.contains("certificate"), "{log}");
    assert!(collector.got().is_empty(), "{:?}", collector.got());
}

#[test]
fn a_collector_that_never_answers_does_not_keep_a_server_from_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(&[], Says::Nothing);
    let url = collector.url();
    let options = ["--bind", "127.0.0.1:0", "--drain-seconds", "1", "--otlp-timeout-ms", "600000"];
    let variables = [("STEMEDB_OTLP_ENDPOINT", url.as_str())];
    let server = Server::start_in(&dir.path().join("db"), &options, &variables);
    for _ in 0..20 {
        traced(&server.address);
    }
    // The answer that it waits for would come in ten minutes.
    collector.wait(1);
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("spans are cut") && log.contains("database closed"), "{log}");
}

#[test]
fn what_cannot_be_is_refused_and_never_repeated_where_it_may_be_secret() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("api.toml");
    let text = "[otlp]\nendpoint = \"http://me:hush@collector:4318\"\nsample_ratio = 1.5\ntimeout_ms = 0\n";
    std::fs::write(&config, text).unwrap();
    let checked = run(["check-config", "--config", config.to_str().unwrap()]);
    let place = |line: usize| format!("{}:{line}:1: otlp.", config.display());
    let lines: Vec<&str> = checked.out.lines().collect();
    assert_eq!((checked.code, lines.len()), (Some(1), 3), "{checked:?}");
    assert!(lines[0].starts_with(&(place(2) + "endpoint must be an address such as")), "{checked:?}");
    assert_eq!(lines[1], place(3) + "sample_ratio must be a number from 0 to 1; it is 1.5");
    assert!(lines[2].starts_with(&(place(4) + "timeout_ms must be a whole number from 1")), "{checked:?}");
    assert!(!format!("{checked:?}").contains("hush"), "{checked:?}");

    std::fs::write(&config, "[otlp]\nendpoint = \"http://127.0.0.1:4318\"\nsample_ratio = 0.25\n").unwrap();
    assert_eq!(run(["check-config", "--config", config.to_str().unwrap()]).code, Some(0));
    let headers = dir.path().join("headers");
    std::fs::write(&headers, "A: b\nhush\n").unwrap();
    let mut serve = program();
    serve.args(["serve", "--init", "--bind", "127.0.0.1:0", "--config"]).arg(&config);
    serve.arg("--data-dir").arg(dir.path().join("db")).arg("--otlp-headers-file").arg(&headers);
    let output = serve.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot export spans: line 2 of the file of headers is not"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

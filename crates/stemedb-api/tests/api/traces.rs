//! A request's place in a trace: what comes in goes on, and every line that is logged for a request has its ids.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt};

use crate::support::Server;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

#[test]
fn a_trace_is_gone_on_with_and_answered() {
    let server = Server::start();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let reply = server.send("GET", "/v1/health", &[("traceparent", &parent)], b"");
    let answer = reply.header("traceresponse").unwrap();
    assert!(answer.starts_with(&format!("00-{TRACE}-")) && answer.ends_with("-01"), "{answer}");
    assert_ne!(answer, parent);
    let other = server.get("/v1/health");
    let other = other.header("traceresponse").unwrap();
    assert!(other.len() == 55 && !other.contains(TRACE), "{other}");
}

#[test]
fn every_line_for_a_request_has_its_ids_also_from_other_threads() {
    let log = Log::default();
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_writer(log.clone());
    // Once in a process; where tests share one, this one alone logs.
    lines.finish().try_init().unwrap();
    let server = Server::start();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers =
        [("traceparent", parent.as_str()), ("X-Request-Id", "mine-7"), ("Content-Type", "application/json")];
    server.send("POST", "/v1/admin/storage/compact", &headers, b"{}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let text = String::from_utf8(log.0.lock().clone()).unwrap();
        let of_it: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["span"]["request_id"] == "mine-7")
            .collect();
        // Begun by the request's own thread, ended by another.
        let said = |what: &str| of_it.iter().any(|line| line["message"].as_str().unwrap().contains(what));
        if said("compaction job began") && said("compaction job done") {
            assert!(of_it.iter().all(|line| line["span"]["trace_id"] == TRACE), "{of_it:#?}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
    }
}

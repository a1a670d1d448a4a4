//! Spans of requests reach a collector over a real socket, whole and with the ids that were answered; and whatever the collector
//! does, nobody who asks notices.

mod contents;
mod delivery;

use std::time::Duration;

use serde_json::Value;
use stemedb_api::{
    RouterOptions, RouterParts,
    http::{Otlp, OtlpEndpoint, OtlpOptions},
};
use stemedb_env::Env;
use tokio::runtime::Runtime;

use crate::{
    collector::{Collector, PATIENCE},
    support::{Reply, Server, database},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// A route whose requests become one span each.
const PLAIN: &str = "/v1/questions";

/// A server that exports.
struct Exporting {
    server: Server,
    otlp: Otlp,
    runtime: Runtime,
}

/// Options under which nothing is sent before a batch is full or the exporter stops, and nothing is tried twice by itself.
fn patient(url: &str) -> OtlpOptions {
    let hour = Duration::from_secs(3600);
    OtlpOptions {
        flush_every: hour,
        backoff: hour,
        give_up_after: hour * 2,
        ..OtlpOptions::new(OtlpEndpoint::parse(url).unwrap())
    }
}

impl Exporting {
    fn start(options: OtlpOptions) -> Exporting {
        Exporting::with(options, RouterOptions::default(), RouterParts::default())
    }

    fn with(options: OtlpOptions, router: RouterOptions, parts: RouterParts) -> Exporting {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let otlp = Otlp::start(runtime.handle(), &Env::real(), options).unwrap();
        let (database, dir) = database();
        let parts = RouterParts { otlp: Some(otlp.clone()), ..parts };
        Exporting { server: Server::with_parts(database, dir, router, parts), otlp, runtime }
    }

    /// A request of somebody who wants to see the trace.
    fn traced(&self, target: &str) -> Reply {
        self.with_flags(target, "01")
    }

    fn with_flags(&self, target: &str, flags: &str) -> Reply {
        self.server.send("GET", target, &[("traceparent", &format!("00-{TRACE}-{CALLER}-{flags}"))], b"")
    }

    /// Sends what waits; returns how many spans were cut.
    fn stop(&self) -> u64 {
        self.stop_within(PATIENCE)
    }

    fn stop_within(&self, within: Duration) -> u64 {
        self.runtime.block_on(self.otlp.stop(within))
    }

    /// Spans by what became of them: exported, queue_full, refused, unanswered, cut.
    fn outcomes(&self) -> [u64; 5] {
        let text = self.server.get("/metrics").text().to_owned();
        ["exported", "queue_full", "refused", "unanswered", "cut"].map(|outcome| {
            let name = format!("stemedb_otlp_spans_total{{outcome=\"{outcome}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        })
    }

    #[track_caller]
    fn wait_for(&self, outcomes: [u64; 5]) {
        let begun = std::time::Instant::now();
        while self.outcomes() != outcomes {
            assert!(begun.elapsed() < PATIENCE, "{:?} are not {outcomes:?}", self.outcomes());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The trace's and the request's own id, and the flags, as a reply says them.
fn answered(reply: &Reply) -> (String, String, String) {
    let parts: Vec<&str> = reply.header("traceresponse").unwrap().split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"));
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

/// The attributes of a span or resource, by name.
fn attributes(of: &Value) -> std::collections::BTreeMap<String, Value> {
    let list = of["attributes"].as_array().unwrap();
    list.iter().map(|entry| (entry["key"].as_str().unwrap().to_owned(), entry["value"].clone())).collect()
}

fn nanos(of: &Value) -> u64 {
    of.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_full_batch_is_sent_at_once_and_requests_stay_whole() {
    let collector = Collector::start(&[], crate::collector::Says::YES);
    let exporting = Exporting::start(OtlpOptions { batch_spans: 4, ..patient(&collector.url()) });
    for _ in 0..8 {
        assert_eq!(exporting.traced(PLAIN).status, 200);
    }
    let got = collector.wait(2);
    let sizes: Vec<usize> = got.iter().map(|got| crate::collector::spans(got).len()).collect();
    assert_eq!(sizes, [4, 4]);
    exporting.wait_for([8, 0, 0, 0, 0]);
}

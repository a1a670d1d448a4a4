//! How spans come to a collector that is busy, broken, slow or not there.

use std::{net::TcpListener, time::Duration};

use stemedb_api::http::OtlpOptions;

use super::{Exporting, PLAIN, patient};
use crate::collector::{Collector, Says};

/// One span is a batch.
fn at_once(url: &str) -> OtlpOptions {
    OtlpOptions { batch_spans: 1, ..patient(url) }
}

#[test]
fn a_collector_that_is_busy_gets_the_same_batch_again_when_it_wants_it() {
    // By itself nothing is tried again within an hour.
    let collector = Collector::start(&[Says::Answer(503, "Retry-After: 0\r\n", "")], Says::YES);
    let exporting = Exporting::start(at_once(&collector.url()));
    assert_eq!(exporting.traced(PLAIN).status, 200);
    let got = collector.wait(2);
    assert_eq!(got[0].body, got[1].body);
    exporting.wait_for([1, 0, 0, 0, 0]);
}

#[test]
fn a_batch_is_tried_again_after_every_answer_that_is_not_for_good_and_after_none() {
    let busy = [429, 502, 503, 504].map(|status| Says::Answer(status, "", ""));
    let script = [&busy[..], &[Says::Nothing]].concat();
    let collector = Collector::start(&script, Says::YES);
    let exporting = Exporting::start(OtlpOptions {
        backoff: Duration::from_millis(1),
        timeout: Duration::from_millis(200),
        ..at_once(&collector.url())
    });
    assert_eq!(exporting.traced(PLAIN).status, 200);
    let got = collector.wait(6);
    assert!(got.iter().all(|one| one.body == got[0].body));
    exporting.wait_for([1, 0, 0, 0, 0]);
}

#[test]
fn what_a_collector_does_not_want_is_not_tried_again_and_counted() {
    let partly = r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#;
    let collector = Collector::start(&[Says::Answer(400, "", ""), Says::Answer(200, "", partly)], Says::YES);
    let exporting = Exporting::start(OtlpOptions { batch_spans: 3, ..patient(&collector.url()) });
    for request in 0..9 {
        assert_eq!(exporting.traced(PLAIN).status, 200);
        // So that batches are what they are planned to be.
        collector.wait((request + 1) / 3);
    }
    exporting.wait_for([5, 0, 4, 0, 0]);
    assert_eq!(collector.got().len(), 3);
}

#[test]
fn requests_do_not_notice_a_collector_that_is_not_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let exporting = Exporting::start(OtlpOptions {
        backoff: Duration::from_millis(1),
        give_up_after: Duration::from_millis(50),
        ..at_once(&format!("http://{free}"))
    });
    for _ in 0..20 {
        assert_eq!(exporting.traced(PLAIN).status, 200);
    }
    exporting.wait_for([0, 0, 0, 20, 0]);
    assert_eq!(exporting.stop(), 0);
}

#[test]
fn a_collector_that_never_answers_costs_a_queue_and_the_time_that_is_given() {
    let collector = Collector::start(&[], Says::Nothing);
    let exporting = Exporting::start(OtlpOptions {
        queue_spans: 10,
        timeout: Duration::from_secs(3600),
        ..at_once(&collector.url())
    });
    assert_eq!(exporting.traced(PLAIN).status, 200);
    // It holds the first one; the others wait, or find no room.
    collector.wait(1);
    for _ in 0..50 {
        assert_eq!(exporting.traced(PLAIN).status, 200);
    }
    assert_eq!(exporting.outcomes(), [0, 40, 0, 0, 0]);
    assert_eq!(exporting.stop_within(Duration::from_millis(50)), 11);
    assert_eq!(exporting.outcomes(), [0, 40, 0, 0, 11]);
    // Whoever is answered afterwards is cut, too.
    assert_eq!(exporting.traced(PLAIN).status, 200);
    assert_eq!(exporting.outcomes(), [0, 40, 0, 0, 12]);
}

#[test]
fn the_queue_is_bounded_by_bytes_as_well() {
    let collector = Collector::start(&[], Says::YES);
    let exporting = Exporting::start(OtlpOptions { queue_bytes: 2000, ..patient(&collector.url()) });
    for _ in 0..50 {
        assert_eq!(exporting.traced(PLAIN).status, 200);
    }
    assert_eq!(exporting.stop(), 0);
    let [exported, full, ..] = exporting.outcomes();
    // A request holds a few hundred bytes.
    assert!((2..10).contains(&exported) && exported + full == 50, "{exported} + {full}");
    assert_eq!(collector.spans().len() as u64, exported);
}

#[test]
fn a_collector_that_is_away_when_it_ends_is_asked_once_more_for_each_batch() {
    let collector = Collector::start(&[Says::Answer(503, "", "")], Says::YES);
    let exporting = Exporting::start(at_once(&collector.url()));
    assert_eq!(exporting.traced(PLAIN).status, 200);
    collector.wait(1);
    // The next attempt would be in an hour.
    assert_eq!(exporting.traced(PLAIN).status, 200);
    assert_eq!(exporting.stop(), 0);
    assert_eq!(exporting.outcomes(), [2, 0, 0, 0, 0]);
    assert_eq!(collector.got().len(), 3);
}

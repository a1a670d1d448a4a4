//! The arithmetic of the `device` suite: which has no harness of its own, so its pure parts are tested here.
#![allow(missing_docs, clippy::disallowed_methods, clippy::disallowed_types)]

#[allow(dead_code)]
#[path = "../suites/device/counters.rs"]
mod counters;
#[allow(dead_code)]
#[path = "../suites/device/slices.rs"]
mod slices;

use std::time::Duration;

use counters::{Counts, Mount};
use slices::{Paired, Slice, median, order, quantile, summary};

fn slice(latencies_us: &[u64]) -> Slice {
    let latencies: Vec<Duration> = latencies_us.iter().map(|us| Duration::from_micros(*us)).collect();
    let took = latencies.iter().sum();
    Slice { latencies, took, bytes: 4096, device: None, other_syncs: 0 }
}

#[test]
fn a_storm_in_one_slice_does_not_move_the_medians() {
    let calm = [100, 100, 100, 200];
    let quiet = summary(&[slice(&calm), slice(&calm), slice(&calm)]).unwrap();
    let stormy = summary(&[slice(&calm), slice(&[9_000; 4]), slice(&calm)]).unwrap();
    assert_eq!((quiet.p50_us, quiet.p99_us), (100.0, 200.0));
    assert_eq!((stormy.p50_us, stormy.p99_us, stormy.per_second), (100.0, 200.0, quiet.per_second));
    assert_eq!(quiet.spread_percent, 0.0);
    assert_eq!(stormy.spread_percent, 4_450.0);
    assert_eq!(stormy.max_us, 9_000.0);
}

#[test]
fn what_slows_both_in_a_round_does_not_change_their_ratio() {
    let paired = Paired::of(&[50.0, 500.0, 60.0], &[100.0, 1_000.0, 50.0]).unwrap();
    assert_eq!(paired, Paired { ratio: 0.5, agreement: 2.0 / 3.0 });
    assert_eq!(Paired::of(&[1.0], &[1.0, 2.0]), None);
}

#[test]
fn requests_are_counted_per_operation_of_ours_and_of_the_other_file() {
    let counts = Counts { writes: 8, flushes: 4, written_sectors: 64, ..Counts::default() };
    let slice = Slice { device: Some(counts), other_syncs: 4, ..slice(&[1, 1, 1, 1]) };
    let device = summary(&[slice]).unwrap().device.unwrap();
    assert_eq!((device.writes, device.flushes, device.written_kib), (1.0, 0.5, 4.0));
}

#[test]
fn a_quantile_is_one_of_the_values_and_a_median_may_lie_between_two() {
    let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!([0.0, 0.5, 0.99, 1.0].map(|part| quantile(&hundred, part)), [1.0, 50.0, 99.0, 100.0]);
    assert_eq!(quantile(&[], 0.5), 0.0);
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    assert!(summary(&[]).is_none());
}

#[test]
fn everyone_has_a_turn_in_every_round_and_none_is_always_first() {
    let firsts: std::collections::BTreeSet<usize> = (0..5).map(|round| order(5, round)[0]).collect();
    assert!(firsts.len() > 2, "{firsts:?}");
    for (count, round) in (0..9).flat_map(|count| (0..9).map(move |round| (count, round))) {
        let mut turns = order(count, round);
        turns.sort_unstable();
        assert_eq!(turns, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_kernel_that_counts_no_flushes_is_refused() {
    let new = "31440 6450 3658650 61970 7392 32023 8505472 23394 0 26328 86121 4121 28 3853592 740 279 15";
    let counts = Counts::parse(new).unwrap();
    assert_eq!((counts.reads, counts.writes, counts.written_sectors), (31_440, 7_392, 8_505_472));
    assert_eq!((counts.discards, counts.flushes), (4_121, 279));
    let old: Vec<&str> = new.split(' ').take(15).collect();
    assert_eq!(Counts::parse(&old.join(" ")), None);
}

#[test]
fn a_mount_is_read_with_and_without_optional_fields() {
    for optional in ["", "shared:1 master:2 "] {
        let line = format!("27 1 254:0 / /data rw,relatime {optional}- ext4 /dev/vda rw,discard");
        let mount = Mount::parse(&line).unwrap();
        assert_eq!((mount.kind.as_str(), mount.options.as_str()), ("ext4", "rw,discard"));
    }
}

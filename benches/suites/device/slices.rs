//! Short slices of time, one variant after the other, round after round; and what they say together.
//!
//! A disk that others share, or that cleans up behind the scenes, is faster in one second than in the next. Variants that
//! take turns every fraction of a second see the same weather, and the median over a variant's slices forgets a storm.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::counters::{Counts, Device};

/// What one variant did in one turn.
pub struct Slice {
    pub latencies: Vec<Duration>,
    pub took: Duration,
    /// Bytes of one operation.
    pub bytes: u64,
    /// What the disk was asked to do meanwhile.
    pub device: Option<Counts>,
    /// Syncs of other files of ours meanwhile: they share the disk's counts.
    pub other_syncs: u64,
}

/// Repeats an operation until the time is over or the operation says (`false`) that it was the last.
pub fn timed(
    limit: Duration,
    bytes: u64,
    device: Option<&Device>,
    mut operation: impl FnMut() -> io::Result<bool>,
) -> io::Result<Slice> {
    let mut latencies = Vec::with_capacity(1 << 14);
    let before = device.and_then(Device::read);
    let start = Instant::now();
    let mut now = start;
    loop {
        let more = operation()?;
        let end = Instant::now();
        latencies.push(end - now);
        now = end;
        if !more || end - start >= limit {
            break;
        }
    }
    let after = device.and_then(Device::read);
    let device = before.zip(after).map(|(before, after)| after.since(before));
    Ok(Slice { latencies, took: now - start, bytes, device, other_syncs: 0 })
}

/// In which order `count` variants take their turns: all in every round, each round with another first, every second one
/// backwards, so that nobody always follows the same one.
pub fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if count > 0 {
        order.rotate_left(round * 7 % count);
    }
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// A variant's slices together. Medians over the slices, unless said otherwise.
#[derive(Clone, Debug)]
pub struct Summary {
    pub p50_us: f64,
    /// The p50 of each slice.
    pub p50_by_round_us: Vec<f64>,
    pub p99_us: f64,
    /// The worst of all slices.
    pub max_us: f64,
    pub per_second: f64,
    pub mb_per_second: f64,
    /// Half the distance from the least to the greatest p50 of a slice, in percent of their median.
    pub spread_percent: f64,
    /// Operations of all slices.
    pub operations: u64,
    pub device: Option<PerOperation>,
}

/// Requests to the disk per operation.
#[derive(Clone, Copy, Debug)]
pub struct PerOperation {
    pub read_kib: f64,
    pub writes: f64,
    pub written_kib: f64,
    pub flushes: f64,
}

/// Nothing, if no slice has an operation.
pub fn summary(slices: &[Slice]) -> Option<Summary> {
    let slices: Vec<(&Slice, Vec<f64>)> = slices
        .iter()
        .filter(|slice| !slice.latencies.is_empty())
        .map(|slice| (slice, sorted_us(&slice.latencies)))
        .collect();
    let over = |figure: &dyn Fn(&Slice, &[f64]) -> f64| {
        median(slices.iter().map(|(slice, latencies)| figure(slice, latencies)).collect())
    };
    let p50s: Vec<f64> = slices.iter().map(|(_, latencies)| quantile(latencies, 0.5)).collect();
    let least = p50s.iter().copied().reduce(f64::min)?;
    let greatest = p50s.iter().copied().reduce(f64::max)?;
    let p50_us = median(p50s.clone());
    let per_second = over(&|slice, latencies| latencies.len() as f64 / slice.took.as_secs_f64());
    let bytes = slices.first().map_or(0, |(slice, _)| slice.bytes);
    let counted = |field: &dyn Fn(&Counts) -> u64| {
        over(&|slice, latencies| {
            let operations = latencies.len() as f64 + slice.other_syncs as f64;
            slice.device.as_ref().map_or(0, field) as f64 / operations
        })
    };
    let is_counted = slices.iter().all(|(slice, _)| slice.device.is_some());
    Some(Summary {
        p50_us,
        p50_by_round_us: p50s,
        p99_us: over(&|_, latencies| quantile(latencies, 0.99)),
        max_us: slices.iter().filter_map(|(_, latencies)| latencies.last().copied()).fold(0.0, f64::max),
        per_second,
        mb_per_second: per_second * bytes as f64 / 1e6,
        spread_percent: (greatest - least) / 2.0 / p50_us * 100.0,
        operations: slices.iter().map(|(_, latencies)| latencies.len() as u64).sum(),
        device: is_counted.then(|| PerOperation {
            read_kib: counted(&|counts| counts.read_sectors) / 2.0,
            writes: counted(&|counts| counts.writes),
            written_kib: counted(&|counts| counts.written_sectors) / 2.0,
            flushes: counted(&|counts| counts.flushes),
        }),
    })
}

/// One variant as a multiple of another, round by round: what changed between rounds changed for both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// The median.
    pub ratio: f64,
    /// The share of rounds that lie on the median's side of 1.
    pub agreement: f64,
}

impl Paired {
    /// Nothing, if the two do not have the same rounds.
    pub fn of(one: &[f64], other: &[f64]) -> Option<Self> {
        if one.is_empty() || one.len() != other.len() {
            return None;
        }
        let ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| one / other).collect();
        let ratio = median(ratios.clone());
        let agree = ratios.iter().filter(|each| (**each > 1.0) == (ratio > 1.0)).count();
        Some(Self { ratio, agreement: agree as f64 / ratios.len() as f64 })
    }
}

/// Microseconds in ascending order.
pub fn sorted_us(durations: &[Duration]) -> Vec<f64> {
    let mut values: Vec<f64> = durations.iter().map(|duration| duration.as_secs_f64() * 1e6).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The least value that at least `part` of all values do not exceed; 0 of none.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

//! Commits: every state of a file with every way to make a block durable, at three block sizes, alone on the disk.

use std::{io, path::Path, time::Duration};

use crate::{
    Plan,
    counters::Device,
    files::{Lane, Primitive, State, Way},
    report::{self, Measured, Table},
    slices::{self, Slice, Summary},
};

/// At every block size.
const PRIMITIVES: [Primitive; 8] = [
    Primitive::new(State::Growing, Way::BufferedFdatasync),
    Primitive::new(State::Sparse, Way::BufferedFdatasync),
    Primitive::new(State::Unwritten, Way::BufferedFdatasync),
    Primitive::new(State::Unwritten, Way::DirectDsync),
    Primitive::new(State::Zeroed, Way::BufferedFdatasync),
    Primitive::new(State::Zeroed, Way::BufferedDsync),
    Primitive::new(State::Zeroed, Way::DirectFdatasync),
    Primitive::new(State::Zeroed, Way::DirectDsync),
];

/// The size that the journal writes; what wins here is measured in company too.
pub const PAGE_KEY: &str = "commit 4 KiB";
const SIZES: [(&str, usize); 3] = [("commit 512 B", 512), (PAGE_KEY, 4 << 10), ("commit 64 KiB", 64 << 10)];

/// Commits per second for which files are made: a slice ends early where the disk is faster.
const EXPECTED_PER_SECOND: f64 = 5_000.0;
const EXPECTED_BYTES_PER_SECOND: f64 = 80e6;

/// How many blocks a file needs for all slices of one variant.
pub fn blocks(plan: &Plan, slice: Duration, block_bytes: usize) -> u64 {
    let seconds = slice.as_secs_f64() * plan.rounds as f64;
    let rate = EXPECTED_PER_SECOND.min(EXPECTED_BYTES_PER_SECOND / block_bytes as f64);
    ((seconds * rate) as u64).max(256)
}

/// A variant and its slices so far.
struct Contender {
    size: usize,
    primitive: Primitive,
    lane: Result<Lane, String>,
    slices: Vec<Slice>,
}

/// One turn: two commits to warm up, then as many as the time allows.
pub fn commits(lane: &mut Lane, limit: Duration, device: Option<&Device>) -> io::Result<Slice> {
    lane.refresh()?;
    lane.commit()?;
    lane.commit()?;
    let bytes = lane.block_bytes();
    slices::timed(limit, bytes, device, || {
        lane.commit()?;
        Ok(!lane.is_full())
    })
}

/// The tables, and the primitives with 4 KiB blocks from best to worst, the recycled ones left out.
pub fn run(plan: &Plan, dir: &Path, device: Option<&Device>) -> (Vec<Table>, Vec<Primitive>) {
    let recycled = Way::ALL.map(|way| Primitive::new(State::Recycled, way));
    let chosen =
        |bytes| PRIMITIVES.into_iter().chain(recycled.into_iter().filter(move |_| bytes == SIZES[1].1));
    let all: Vec<(usize, Primitive)> = SIZES
        .iter()
        .enumerate()
        .flat_map(|(size, (_, bytes))| chosen(*bytes).map(move |primitive| (size, primitive)))
        .collect();
    let slice = plan.slice(0.34, all.len() * plan.rounds);
    let mut contenders: Vec<Contender> = all
        .into_iter()
        .enumerate()
        .map(|(number, (size, primitive))| {
            let bytes = SIZES[size].1;
            let path = dir.join(format!("lane.{number}"));
            let lane = Lane::create(path, primitive, bytes, blocks(plan, slice, bytes));
            Contender { size, primitive, lane: lane.map_err(|error| error.to_string()), slices: Vec::new() }
        })
        .collect();
    for round in 0..plan.rounds {
        for at in slices::order(contenders.len(), round) {
            let contender = &mut contenders[at];
            let Ok(lane) = &mut contender.lane else { continue };
            match commits(lane, slice, device) {
                Ok(slice) => contender.slices.push(slice),
                Err(error) => contender.lane = Err(error.to_string()),
            }
        }
    }
    let results: Vec<(usize, Primitive, Result<Summary, String>)> = contenders
        .into_iter()
        .map(|Contender { size, primitive, lane, slices }| {
            let nothing = || "no commit".to_owned();
            (size, primitive, lane.and_then(|_| slices::summary(&slices).ok_or_else(nothing)))
        })
        .collect();
    (tables(&results), ranking(&results))
}

fn tables(results: &[(usize, Primitive, Result<Summary, String>)]) -> Vec<Table> {
    use report::{FLUSHES, MB, P50, P99, PER_SECOND, RATIO, SPREAD, WRITES, WRITTEN};
    let columns = [P50, P99, PER_SECOND, MB, RATIO, SPREAD, WRITES, WRITTEN, FLUSHES];
    let table = |(size, (key, _)): (usize, &(&str, usize))| {
        let of_size = results.iter().filter(|(of, ..)| *of == size);
        let measured: Measured =
            of_size.map(|(_, primitive, summary)| (primitive.name(), summary.clone())).collect();
        let mut table =
            Table::of(key, &format!("A. {key}, one file, nothing else going on"), &columns, measured);
        let flushes: Vec<f64> = table.rows.iter().filter_map(|row| table.get(&row.name, FLUSHES)).collect();
        if !flushes.is_empty() {
            let note = "writes, KiB, flushes: requests to the disk per commit; the empty one that asks for a flush counts as a write";
            table.notes.push(note.to_owned());
        }
        if !flushes.is_empty() && flushes.iter().all(|count| *count == 0.0) {
            table.notes.push(
                "NO FLUSH WAS COUNTED: a disk made of others, or one without a volatile cache".to_owned(),
            );
        }
        table
    };
    SIZES.iter().enumerate().map(table).collect()
}

fn ranking(results: &[(usize, Primitive, Result<Summary, String>)]) -> Vec<Primitive> {
    let mut ranked: Vec<(f64, Primitive)> = results
        .iter()
        .filter(|(size, primitive, _)| SIZES[*size].0 == PAGE_KEY && primitive.state != State::Recycled)
        .filter_map(|(_, primitive, summary)| Some((summary.as_ref().ok()?.p50_us, *primitive)))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.into_iter().map(|(_, primitive)| primitive).collect()
}

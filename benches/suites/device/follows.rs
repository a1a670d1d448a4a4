//! What the figures say about the choices that depend on them, one line each.

use crate::{
    company::{OTHER, TO_ALONE},
    files::{Primitive, State, Way},
    primitives::PAGE_KEY,
    reads,
    report::{Column, FLUSHES, P50, P99, PER_SECOND, READ, Table},
    slices::Paired,
    space, threads,
};

/// In so many of the rounds the same one must have been faster, else there is no saying which is.
const AGREEMENT: f64 = 0.85;

/// The tables of all parts.
pub struct Figures<'a>(pub &'a [Table]);

impl Figures<'_> {
    fn get(&self, table: &str, row: &str, column: Column) -> Option<f64> {
        self.0.iter().find(|each| each.key == table)?.get(row, column)
    }

    /// One row as a multiple of another of the same table.
    fn paired(&self, table: &str, one: &str, other: &str) -> Option<Paired> {
        let table = self.0.iter().find(|each| each.key == table)?;
        Paired::of(table.by_round(one)?, table.by_round(other)?)
    }

    fn first_row(&self, table: &str) -> Option<&str> {
        Some(self.0.iter().find(|each| each.key == table)?.rows.first()?.name.as_str())
    }
}

/// Lines for which there are figures.
pub fn lines(figures: &Figures) -> Vec<String> {
    let pairs = [
        (zeroed(Way::DirectDsync), unwritten(Way::BufferedFdatasync)),
        (zeroed(Way::DirectDsync), zeroed(Way::BufferedFdatasync)),
        (zeroed(Way::DirectDsync), unwritten(Way::DirectDsync)),
        (unwritten(Way::BufferedFdatasync), Primitive::new(State::Growing, Way::BufferedFdatasync)),
        (Primitive::new(State::Recycled, Way::DirectDsync), zeroed(Way::DirectDsync)),
    ];
    let commits = pairs.into_iter().filter_map(|(one, other)| commit(figures, one, other));
    let rest = [
        beside_commits(figures),
        beside_writer(figures),
        reads(figures),
        read_ahead(figures),
        waking(figures),
        crowd(figures),
        zero_fill(figures),
        unlink(figures),
    ];
    commits.chain(rest.into_iter().flatten()).collect()
}

fn zeroed(way: Way) -> Primitive {
    Primitive::new(State::Zeroed, way)
}

fn unwritten(way: Way) -> Primitive {
    Primitive::new(State::Unwritten, way)
}

/// The p50 of one as a multiple of another's, and whether the rounds say the same.
fn commit(figures: &Figures, one: Primitive, other: Primitive) -> Option<String> {
    let paired = figures.paired(PAGE_KEY, &one.name(), &other.name())?;
    let doubt = if paired.agreement < AGREEMENT { " (the rounds do not agree which is faster)" } else { "" };
    Some(format!("commit: {} is {:.2} × {}{doubt}", one.name(), paired.ratio, other.name()))
}

fn beside_commits(figures: &Figures) -> Option<String> {
    let key = "beside commits";
    let best = figures.first_row(key)?;
    let (slower, own) = (figures.get(key, best, TO_ALONE)?, figures.get(key, best, PER_SECOND)?);
    let both = own + figures.get(key, best, OTHER)?;
    let alone = figures.get("beside nothing", best, PER_SECOND)?;
    let flushes =
        figures.get(key, best, FLUSHES).map_or(String::new(), |n| format!(", {n:.2} flushes a commit"));
    let verdict = match both / alone {
        gain if gain > 1.6 => "the disk takes flushes side by side",
        gain if gain > 1.15 => "flushes overlap in part",
        _ => "flushes queue up",
    };
    Some(format!(
        "second file: a commit takes {slower:.2} × as long; both together {both:.0}/s against {alone:.0}/s{flushes}: \
         {verdict}"
    ))
}

fn beside_writer(figures: &Figures) -> Option<String> {
    let best = figures.first_row("beside nothing")?;
    let rates = [20, 50, 100].map(|rate| {
        let key = format!("beside {rate} MB/s");
        let p99 = figures.get(&key, best, P99)? / figures.get("beside nothing", best, P99)?;
        Some(format!("{rate} MB/s: p50 {:.2} ×, p99 {p99:.1} ×", figures.get(&key, best, TO_ALONE)?))
    });
    let rates: Vec<String> = rates.into_iter().flatten().collect();
    (!rates.is_empty())
        .then(|| format!("commits beside background writes, against alone: {}", rates.join("; ")))
}

fn reads(figures: &Figures) -> Option<String> {
    let to_random = figures.paired(reads::ALONE_KEY, reads::DIRECT, reads::RANDOM)?.ratio;
    let p50 = |table| figures.get(table, reads::DIRECT, P50);
    let beside = p50(reads::BESIDE_KEY)? / p50(reads::ALONE_KEY)?;
    Some(format!(
        "cold reads: O_DIRECT is {to_random:.2} × buffered with FADV_RANDOM; beside commits it takes {beside:.2} × as long"
    ))
}

fn read_ahead(figures: &Figures) -> Option<String> {
    let kib = |row| figures.get(reads::ALONE_KEY, row, READ);
    Some(format!(
        "cold reads: {:.1} KiB from the disk for 4 KiB without advice, {:.1} with FADV_RANDOM",
        kib(reads::BUFFERED)?,
        kib(reads::RANDOM)?
    ))
}

fn waking(figures: &Figures) -> Option<String> {
    let round_trip = figures.get(threads::ROUND_TRIP_KEY, threads::FUTEX, P50)?;
    let commit = figures.get(PAGE_KEY, &zeroed(Way::DirectDsync).name(), P50);
    let share = commit.map_or(String::new(), |commit| format!(" = {:.2} of a commit", round_trip / commit));
    Some(format!(
        "handing a commit to another thread: {round_trip:.0} µs to wake it and be woken (futex){share}"
    ))
}

fn crowd(figures: &Figures) -> Option<String> {
    let futex = figures.get(threads::WAKE_ALL_KEY, threads::FUTEX, P50)?;
    let to_futex = |row| Some(figures.paired(threads::WAKE_ALL_KEY, row, threads::FUTEX)?.ratio);
    let (unpark, parking_lot) = (to_futex(threads::UNPARK)?, to_futex(threads::PARKING_LOT)?);
    Some(format!(
        "64 sleepers have run {futex:.0} µs after one futex call; 64 unparks take {unpark:.2} ×, parking_lot {parking_lot:.2} ×"
    ))
}

fn zero_fill(figures: &Figures) -> Option<String> {
    let worst = |row| figures.get(space::KEY, row, space::WORST).map(|worst_us| worst_us / 1e3);
    let nothing = worst(space::NOTHING)?;
    let parts: Vec<String> = [
        ("plain", space::FILL),
        ("paced", space::FILL_PACED),
        ("with write-out", space::FILL_WRITE_OUT),
        ("both", space::FILL_BOTH),
        ("O_DIRECT paced", space::FILL_DIRECT),
    ]
    .into_iter()
    .filter_map(|(name, row)| Some(format!("{name} {:.1}", worst(row)?)))
    .collect();
    Some(format!(
        "zero-fill: ms of the worst commit beside it: {}; beside nothing {nothing:.1}",
        parts.join(", ")
    ))
}

fn unlink(figures: &Figures) -> Option<String> {
    let took = figures.get(space::KEY, space::UNLINK, space::ALONE)?;
    let beside = figures.get(space::KEY, space::UNLINK, space::BESIDE)?;
    let worst_ms = figures.get(space::KEY, space::UNLINK, space::WORST)? / 1e3;
    Some(format!(
        "unlink of 64 MiB: {took:.1} ms, {beside:.1} ms beside commits, of which the worst then takes {worst_ms:.1} ms"
    ))
}

//! Random reads of single pages from a file that is not in memory, alone and while another file is being committed to.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use rustix::fs::Advice;

use crate::{
    Plan,
    company::{self, Commit},
    counters::Device,
    files::{self, Aligned, Lane, PAGE, Primitive, STEP},
    primitives,
    report::{self, Measured, Table},
    slices::{self, Slice},
};

pub const BUFFERED: &str = "buffered, cache dropped before";
pub const RANDOM: &str = "buffered + FADV_RANDOM, cache dropped before";
pub const DIRECT: &str = "O_DIRECT";
pub const ALONE_KEY: &str = "read";
pub const BESIDE_KEY: &str = "read beside commits";
pub const COMMITS_KEY: &str = "commits beside reads";

struct Reader {
    name: &'static str,
    file: Result<File, String>,
    is_direct: bool,
    /// Alone, and beside commits.
    slices: [Vec<Slice>; 2],
}

impl Reader {
    fn open(path: &Path, name: &'static str) -> io::Result<Self> {
        let is_direct = name == DIRECT;
        let file = files::open(path, is_direct, false).map_err(|error| error.to_string());
        if let (RANDOM, Ok(file)) = (name, &file) {
            rustix::fs::fadvise(file, 0, None, Advice::Random)?;
        }
        Ok(Self { name, file, is_direct, slices: [Vec::new(), Vec::new()] })
    }
}

/// Reads of every kind; `commit` is what goes on beside.
pub fn run(plan: &Plan, dir: &Path, device: Option<&Device>, commit: Primitive) -> io::Result<Vec<Table>> {
    let size: u64 = if plan.is_quick { 64 << 20 } else { 256 << 20 };
    let path = dir.join("cold");
    let file = files::open(&path, false, true)?;
    files::fill(&file, size, &Aligned::noise(STEP))?;
    file.sync_all()?;
    drop(file);

    let mut readers = [BUFFERED, RANDOM, DIRECT]
        .into_iter()
        .map(|name| Reader::open(&path, name))
        .collect::<io::Result<Vec<_>>>()?;
    let limit = plan.slice(0.07, readers.len() * 2 * plan.rounds);
    let mut page = Aligned::zeros(PAGE);
    let mut commits: Vec<Commit> = Vec::new();
    let mut number = 0_u64;
    for round in 0..plan.rounds {
        for beside in [false, true] {
            let stream = if beside {
                let blocks = primitives::blocks(plan, limit, PAGE);
                Some(company::committing(Lane::create(dir.join("stream"), commit, PAGE, blocks)?))
            } else {
                None
            };
            for at in slices::order(readers.len(), round) {
                let reader = &mut readers[at];
                let Ok(file) = &reader.file else { continue };
                if !reader.is_direct {
                    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
                }
                let slice = slices::timed(limit, PAGE as u64, device, || {
                    // An odd factor visits every page of a power of two once before the first comes again.
                    let at = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (size / PAGE as u64);
                    number += 1;
                    file.read_exact_at(page.as_mut(), at * PAGE as u64)?;
                    Ok(true)
                });
                match slice {
                    Ok(slice) => reader.slices[usize::from(beside)].push(slice),
                    Err(error) => reader.file = Err(error.to_string()),
                }
            }
            if let Some(stream) = stream {
                commits.extend(stream.finish()?.1);
            }
        }
    }
    Ok(tables(readers, &commits, commit))
}

fn tables(readers: Vec<Reader>, commits: &[Commit], commit: Primitive) -> Vec<Table> {
    use report::{COUNT, MAX, P50, P99, PER_SECOND, RATIO, READ, SPREAD};
    let measured = |which: usize| -> Measured {
        let outcome = |reader: &Reader| match &reader.file {
            Err(reason) => Err(reason.clone()),
            Ok(_) => slices::summary(&reader.slices[which]).ok_or_else(|| "no read".to_owned()),
        };
        readers.iter().map(|reader| (reader.name.to_owned(), outcome(reader))).collect()
    };
    let columns = [P50, P99, PER_SECOND, RATIO, SPREAD, READ];
    let alone = Table::of(ALONE_KEY, "C. random reads of 4 KiB, one thread", &columns, measured(0));
    let mut beside = Table::of(BESIDE_KEY, "C. the same while another thread commits", &columns, measured(1));
    beside.notes.push("KiB read: per read; much more than 4 is the kernel's reading ahead".to_owned());
    let sorted = slices::sorted_us(&commits.iter().map(|commit| commit.took).collect::<Vec<_>>());
    let mut stream = Table::new(COMMITS_KEY, "C. the commits beside those reads", &[P50, P99, MAX, COUNT]);
    let at = |part| Some(slices::quantile(&sorted, part));
    stream.push(&commit.name(), vec![at(0.5), at(0.99), at(1.0), Some(sorted.len() as f64)]);
    vec![alone, beside, stream]
}

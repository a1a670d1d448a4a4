//! The fuzz targets without a fuzzer: every input of the corpus, and a few hundred random ones.
// Helpers outside the test functions unwrap too; the corpus is read from the disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../fuzz/src/lib.rs"]
mod harness;

use std::path::Path;

use stemedb_env::{Random, random::SeededRandom};

const RANDOM_INPUTS: u64 = 300;
const INPUT_BYTES: u64 = 700;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // Shown when the test fails.
        println!("{}", path.display());
        run(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus of {target} is gone");
    for seed in 0..RANDOM_INPUTS {
        println!("seed {seed}");
        let random = SeededRandom::new(seed);
        let mut input = vec![0; (random.next_u64() % INPUT_BYTES) as usize];
        random.fill(&mut input);
        run(&input);
    }
}

#[test]
fn any_bytes_are_a_frame_or_an_error() {
    replay("frame", harness::frame::run);
}

#[test]
fn a_damaged_journal_is_read_right_or_not_at_all() {
    replay("segments", harness::segments::run);
}

#[test]
fn any_bytes_are_a_packed_segment_or_an_error() {
    replay("packed", harness::packed::run);
}

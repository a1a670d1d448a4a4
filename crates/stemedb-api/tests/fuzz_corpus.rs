//! The fuzz targets without a fuzzer: every input of the corpus, each of them changed a few times, and some random ones.
//!
//! `STEMEDB_MUTATIONS=100000 cargo test --release -p stemedb-api --test fuzz_corpus` looks longer.
// Helpers outside the test functions unwrap too; the corpus is read from the disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, missing_docs)]
mod harness;

use std::path::Path;

use stemedb_env::{Random, random::SeededRandom};

fn below(random: &SeededRandom, limit: usize) -> usize {
    (random.next_u64() % limit.max(1) as u64) as usize
}

/// One to four changes of the kinds that fuzzers make.
fn mutate(random: &SeededRandom, input: &mut Vec<u8>, other: &[u8], longest: usize) {
    for _ in 0..=below(random, 4) {
        let at = below(random, input.len());
        match below(random, 8) {
            0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << below(random, 8)),
            1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next_u64() as u8),
            2 => input.insert(at, random.next_u64() as u8),
            3 if !input.is_empty() => drop(input.remove(at)),
            4 => input.truncate(at),
            5 => {
                let piece: Vec<u8> = other
                    .iter()
                    .skip(below(random, other.len()))
                    .take(1 + below(random, 32))
                    .copied()
                    .collect();
                input.splice(at..at, piece);
            }
            6 => {
                const WILD: [u8; 6] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF];
                let byte = WILD[below(random, WILD.len())];
                input.iter_mut().skip(at).take(1 + below(random, 4)).for_each(|place| *place = byte);
            }
            _ => input.push(random.next_u64() as u8),
        }
    }
    input.truncate(longest);
}

fn replay(target: &str, run: fn(&[u8]), mutations: u64, longest: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {target} is gone");
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (path, input) in paths.iter().zip(&corpus) {
        // Shown when the test fails.
        println!("{}", path.display());
        run(input);
    }
    let asked = std::env::var("STEMEDB_MUTATIONS").ok().and_then(|text| text.parse().ok());
    for seed in 0..asked.unwrap_or(mutations) {
        let random = SeededRandom::new(seed);
        let mut input = match below(&random, 10) {
            0 => {
                let mut input = vec![0; below(&random, longest)];
                random.fill(&mut input);
                input
            }
            _ => corpus[below(&random, corpus.len())].clone(),
        };
        mutate(&random, &mut input, &corpus[below(&random, corpus.len())], longest);
        println!("seed {seed}: {:?}", String::from_utf8_lossy(&input));
        run(&input);
    }
}

#[test]
fn any_bytes_are_a_body_or_a_refusal() {
    replay("body", harness::body::run, 6_000, 700);
}

#[test]
fn any_bytes_are_a_cursor_or_a_refusal() {
    replay("cursor", harness::cursor::run, 6_000, 200);
}

#[test]
fn any_bytes_are_a_configuration_or_problems() {
    replay("configuration", harness::configuration::run, 1_000, 700);
}

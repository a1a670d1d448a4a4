//! What the fuzz targets do with an input: plain functions, without a fuzzer.
//!
//! A function that returns has found nothing; a defect is a panic. The targets in `fuzz_targets/` feed them from libFuzzer
//! (`cargo xtask fuzz`); `tests/fuzz_corpus.rs` of the crate includes this file and replays the corpus on stable.
//!
//! - [`body`]: any bytes as the body of a request, or as an import in each format.
//! - [`cursor`]: any bytes as a cursor, also with the check that makes them one.
//! - [`configuration`]: any bytes as the file, a variable and a flag.

pub mod body;
pub mod configuration;
pub mod cursor;

//! What the fuzz targets do with an input: plain functions, without a fuzzer.
//!
//! A function that returns has found nothing; a defect is a panic. The targets in `fuzz_targets/` feed them from libFuzzer
//! (`cargo xtask fuzz`); `tests/fuzz_corpus.rs` of the journal includes this file and replays the corpus on stable.
//!
//! - [`frame`]: any bytes as a frame.
//! - [`segments`]: a small journal, damaged, and everything that reads it.
//! - [`packed`]: any bytes as a compressed segment.

pub mod checksum;
pub mod frame;
pub mod input;
pub mod packed;
pub mod segments;

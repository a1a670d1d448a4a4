//! What the fuzz targets do with an input: plain functions, without a fuzzer.
//!
//! A function that returns has found nothing; a defect is a panic. The targets in `fuzz_targets/` feed them from libFuzzer
//! (`cargo xtask fuzz`); `tests/fuzz_corpus.rs` of the tree includes this file, replays the corpus and mutates it on stable.
//!
//! - [`block`]: any bytes as a data block, and any rows through one.
//! - [`index`]: any bytes as an index, and any separators through one.
//! - [`filter`]: any bytes as a filter, and any keys through one.
//! - [`manifest`]: a damaged manifest; any bytes as an edit.
//! - [`tree`]: a small tree, damaged, opened and read.
//! - [`page`]: the formats by their pages: what the others are compared with.

pub mod block;
pub mod filter;
pub mod index;
pub mod input;
pub mod manifest;
pub mod page;
pub mod tree;

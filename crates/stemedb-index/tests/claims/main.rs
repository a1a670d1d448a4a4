//! Claims on a store, compared with the naive oracle: the same random history into both, the same questions to both.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admission;
mod board;
mod history;
mod listings;
mod questions;

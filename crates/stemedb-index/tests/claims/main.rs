//! Claims on a store, compared with the naive oracle: the same random history into both, the same questions to both.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// Threads that nobody schedules are what some of these tests are about.
#![allow(clippy::disallowed_methods)]

mod admission;
mod authority;
mod board;
mod caching;
mod history;
mod known;
mod listings;
mod questions;
mod records;
mod replay;
mod watches;
mod within;
